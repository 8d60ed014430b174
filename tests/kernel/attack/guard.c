/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Other names for guarded files: each attack is in a user namespace of its own, where anybody may mount. */
#include "attack.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static void map(const char *path, unsigned int id)
{
	char text[64];
	int file = open(path, O_WRONLY);

	if (file < 0 || write(file, text, (size_t)snprintf(text, sizeof(text), "0 %u 1", id)) < 0)
		unattempted("%s", path);
	close(file);
}

static void own_namespace(void)
{
	unsigned int uid = getuid(), gid = getgid();
	int file;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		unattempted("unshare");
	file = open("/proc/self/setgroups", O_WRONLY);
	if (file < 0 || write(file, "deny", 4) < 0)
		unattempted("setgroups");
	close(file);
	map("/proc/self/uid_map", uid);
	map("/proc/self/gid_map", gid);
}

static int executes(void *path)
{
	char *arguments[] = {path, NULL};

	execv(path, arguments);
	return -errno;
}

static int connects(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	return outcome(connect(fd, (void *)&to, sizeof(to)));
}

/* What is done to a file, by the verb of its rule or the call. */
static int use(const char *what, const char *path, const char *other)
{
	if (!strcmp(what, "read"))
		return outcome(open(path, O_RDONLY));
	if (!strcmp(what, "modify"))
		return outcome(open(path, O_WRONLY));
	if (!strcmp(what, "truncate"))
		return outcome(truncate(path, 0));
	if (!strcmp(what, "create"))
		return outcome(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600));
	if (!strcmp(what, "mkdir"))
		return outcome(mkdir(path, 0700));
	if (!strcmp(what, "delete"))
		return outcome(unlink(path));
	if (!strcmp(what, "chmod"))
		return outcome(chmod(path, 0640));
	if (!strcmp(what, "times"))
		return outcome(utimensat(AT_FDCWD, path, NULL, 0));
	if (!strcmp(what, "exec"))
		return in_child(executes, (void *)path);
	if (!strcmp(what, "rename"))
		return outcome(rename(path, other));
	if (!strcmp(what, "link"))
		return outcome(link(path, other));
	if (!strcmp(what, "connect"))
		return connects(path);
	unattempted("%s is not known", what);
}

static void bound(const char *from, const char *to)
{
	if (mount(from, to, NULL, MS_BIND | MS_REC, NULL))
		unattempted("binding %s", from);
}

/* The server of a socket that is asked for. */
static void prepare_bound(int argc, char **argv)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd;

	if (strcmp(argument(argc, argv, 0), "connect"))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", argument(argc, argv, 1), argument(argc, argv, 3));
	if (bind(fd, (void *)&at, sizeof(at)) || listen(fd, 1) || chmod(at.sun_path, 0666))
		unattempted("the server");
}

/* bound WHAT SOURCE TARGET NAME [OTHER]: both names below TARGET, which shows SOURCE; without a name TARGET itself. */
static int run_bound(int argc, char **argv)
{
	const char *target = argument(argc, argv, 2);
	char path[512], other[512] = "";

	own_namespace();
	bound(argument(argc, argv, 1), target);
	if (argc > 4)
		snprintf(path, sizeof(path), "%s/%s", target, argv[4]);
	else
		snprintf(path, sizeof(path), "%s", target);
	if (argc > 5)
		snprintf(other, sizeof(other), "%s/%s", target, argv[5]);
	return use(argument(argc, argv, 0), path, other);
}

/* bound-twice SOURCE TARGET COVERED NAME: the source's own name is covered, and the binding is bound again. */
static int run_bound_twice(int argc, char **argv)
{
	const char *source = argument(argc, argv, 0), *target = argument(argc, argv, 1);
	char path[512];

	own_namespace();
	bound(source, target);
	bound(argument(argc, argv, 2), source);
	bound(target, source);
	if (umount2(target, MNT_DETACH))
		unattempted("unmounting");
	bound(source, target);
	snprintf(path, sizeof(path), "%s/%s", target, argument(argc, argv, 3));
	return use("read", path, NULL);
}

/* layered WHAT SOURCE TARGET NAME: SOURCE is the layer of an overlay that this process makes. */
static int run_layered(int argc, char **argv)
{
	const char *target = argument(argc, argv, 2);
	char options[512], path[512];

	own_namespace();
	snprintf(options, sizeof(options), "lowerdir=%s:%s", argument(argc, argv, 1), target);
	if (mount("overlay", target, "overlay", 0, options))
		unattempted("overlay");
	snprintf(path, sizeof(path), "%s/%s", target, argument(argc, argv, 3));
	return use(argument(argc, argv, 0), path, NULL);
}

/* private-file WHAT TARGET NAME: of a file system that only this process has. */
static int run_private_file(int argc, char **argv)
{
	const char *target = argument(argc, argv, 1);
	char path[512];

	own_namespace();
	if (mount("none", target, "tmpfs", 0, NULL))
		unattempted("tmpfs");
	snprintf(path, sizeof(path), "%s/%s", target, argument(argc, argv, 2));
	if (mknod(path, S_IFREG | 0600, 0))
		return -errno;
	return use(argument(argc, argv, 0), path, NULL);
}

const struct attack guard_attacks[] = {
    {"bound", prepare_bound, run_bound},
    {"bound-twice", NULL, run_bound_twice},
    {"layered", NULL, run_layered},
    {"private-file", NULL, run_private_file},
    {0},
};
