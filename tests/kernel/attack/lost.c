/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is open and has no name any more. */
#include "attack.h"
#include <sys/mman.h>

static int made(const char *path, int flags)
{
	int file = open(path, flags | O_RDWR, 0600);

	if (file < 0 || ftruncate(file, 4096))
		unattempted("%s", path);
	return file;
}

/* A file of the folder that lost its name in some way, or never had one. */
static int nameless(const char *folder, const char *how)
{
	char path[512], other[520];
	int file;

	if (!strcmp(how, "nameless"))
		return made(folder, O_TMPFILE);
	snprintf(path, sizeof(path), "%s/%d", folder, getpid());
	snprintf(other, sizeof(other), "%s.new", path);
	file = made(path, O_CREAT | O_EXCL);
	if (!strcmp(how, "unlinked"))
		return unlink(path) ? (unattempted("unlink"), -1) : file;
	close(made(other, O_CREAT | O_EXCL));
	if (rename(other, path))
		unattempted("rename");
	return file;
}

static int mapped(int file, int prot, int flags)
{
	void *at = mmap(NULL, 4096, prot, flags, file, 0);
	int result = outcome(at == MAP_FAILED ? -1 : 0);

	if (!result && prot == PROT_NONE)
		result = outcome(mprotect(at, 4096, PROT_READ | PROT_WRITE));
	return result;
}

/*
 * lost-name FOLDER unlinked|replaced|nameless GO: has such a file of FOLDER open, makes GO.HOW, waits for GO; worked if
 * then all uses of it work, refused if all are; else it tells which were refused.
 */
static int run_lost_name(int argc, char **argv)
{
	const char *how = argument(argc, argv, 1), *go = argument(argc, argv, 2);
	int file = nameless(argument(argc, argv, 0), how), refusals = 0;
	char path[512], told[32] = "";
	char byte = 'x';

	snprintf(path, sizeof(path), "%s.%s", go, how);
	close(made(path, O_CREAT));
	alarm(600);
	while (access(go, F_OK))
		usleep(20000);
	const struct {
		const char *name;
		int result;
	} uses[] = {
	    {"write", outcome(pwrite(file, &byte, 1, 0))},
	    {"read", outcome(pread(file, &byte, 1, 0))},
	    {"shared", mapped(file, PROT_READ | PROT_WRITE, MAP_SHARED)},
	    {"private", mapped(file, PROT_READ, MAP_PRIVATE)},
	    {"later", mapped(file, PROT_NONE, MAP_SHARED)},
	};
	const int all = sizeof(uses) / sizeof(*uses);

	for (int i = 0; i < all; i++) {
		if (!uses[i].result)
			continue;
		if (uses[i].result != -EPERM)
			unattempted("%s: error %d", uses[i].name, -uses[i].result);
		snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s,", uses[i].name);
		refusals++;
	}
	if (refusals && refusals < all)
		refused(told);
	return refusals ? -EPERM : 0;
}

const struct attack lost_attacks[] = {
    {"lost-name", NULL, run_lost_name},
    {0},
};
