/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The dynamic loader as a way round rules on execution. */
#include "attack.h"
#include <signal.h>
#include <sys/mman.h>

/*
 * Runs a dynamic program and reads from the loader's complaint why it did not do what was asked: 0 if it ended with
 * RAN, else the errno whose text the complaint ends in.
 */
static int loaded(const char *program, char *const arguments[], char *const environment[])
{
	static const int known[] = {EPERM, EACCES, ENOENT};
	char said[2048] = "";
	size_t length = 0;
	int ends[2], status;
	ssize_t got;
	pid_t child;

	if (pipe(ends))
		unattempted("pipe");
	child = fork();
	if (child < 0)
		unattempted("fork");
	if (child == 0) {
		dup2(ends[1], 2);
		close(ends[0]);
		execve(program, arguments, environment);
		child_end(-errno);
	}
	close(ends[1]);
	while (length < sizeof(said) - 1 && (got = read(ends[0], said + length, sizeof(said) - 1 - length)) > 0)
		length += (size_t)got;
	close(ends[0]);
	if (waitpid(child, &status, 0) != child)
		unattempted("waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == RAN)
		return 0;
	/* Past the point of no return execve(2) can refuse only so. */
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV)
		refused("SIGNAL_11");
	for (size_t place = 0; place < sizeof(known) / sizeof(*known); place++)
		if (strstr(said, strerror(known[place])))
			return -known[place];
	/* ld.so passes over a library that it cannot open, or names no errno. */
	if (strstr(said, "cannot be preloaded") || strstr(said, "failed to map"))
		return -EPERM;
	if (WIFEXITED(status) && WEXITSTATUS(status) < 127 && WEXITSTATUS(status) > 0 && !length)
		return -WEXITSTATUS(status);
	unattempted("the loader ended with %d: %.120s", status, said);
}

/* ld-so LOADER PROGRAM: the loader as the program, the denied program as its argument. */
static int run_ld_so(int argc, char **argv)
{
	const char *loader = argument(argc, argv, 0);
	char *const arguments[] = {(char *)loader, (char *)argument(argc, argv, 1), NULL};
	char *const environment[] = {NULL};

	return loaded(loader, arguments, environment);
}

/* preload PROGRAM LIBRARY: LD_PRELOAD into an allowed program; the library ends it with RAN. */
static int run_preload(int argc, char **argv)
{
	const char *program = argument(argc, argv, 0);
	char variable[512];
	char *const arguments[] = {(char *)program, NULL};
	char *const environment[] = {variable, NULL};

	snprintf(variable, sizeof(variable), "LD_PRELOAD=%s", argument(argc, argv, 1));
	return loaded(program, arguments, environment);
}

/* audit-library PROGRAM LIBRARY: the same by LD_AUDIT. */
static int run_audit_library(int argc, char **argv)
{
	const char *program = argument(argc, argv, 0);
	char variable[512];
	char *const arguments[] = {(char *)program, NULL};
	char *const environment[] = {variable, NULL};

	snprintf(variable, sizeof(variable), "LD_AUDIT=%s", argument(argc, argv, 1));
	return loaded(program, arguments, environment);
}

/* preload-by-word LOADER LIBRARY PROGRAM: by a word of the loader's own command line. */
static int run_preload_by_word(int argc, char **argv)
{
	const char *loader = argument(argc, argv, 0);
	char *const arguments[] = {(char *)loader, "--preload", (char *)argument(argc, argv, 1),
				   (char *)argument(argc, argv, 2), NULL};
	char *const environment[] = {NULL};

	return loaded(loader, arguments, environment);
}

/* preload-by-folder PROGRAM FOLDER NAME: found by LD_LIBRARY_PATH. */
static int run_preload_by_folder(int argc, char **argv)
{
	const char *program = argument(argc, argv, 0);
	char name[256], folder[256];
	char *const arguments[] = {(char *)program, NULL};
	char *const environment[] = {name, folder, NULL};

	snprintf(folder, sizeof(folder), "LD_LIBRARY_PATH=%s", argument(argc, argv, 1));
	snprintf(name, sizeof(name), "LD_PRELOAD=%s", argument(argc, argv, 2));
	return loaded(program, arguments, environment);
}

/* map-exec PATH: what a loader does, by hand: maps a file executable. */
static int run_map_exec(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);

	if (file < 0)
		unattempted("open");
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) == MAP_FAILED ? -errno : 0;
}

/* map-then-protect PATH: maps it readable, makes it executable after. */
static int run_map_then_protect(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);
	void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);

	if (file < 0 || at == MAP_FAILED)
		unattempted("open and map");
	return outcome(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

const struct attack loader_attacks[] = {
    {"ld-so", NULL, run_ld_so},
    {"preload", NULL, run_preload},
    {"audit-library", NULL, run_audit_library},
    {"preload-by-word", NULL, run_preload_by_word},
    {"preload-by-folder", NULL, run_preload_by_folder},
    {"map-exec", NULL, run_map_exec},
    {"map-then-protect", NULL, run_map_then_protect},
    {0},
};
