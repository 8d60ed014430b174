/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is reached by a second way: a file by its attributes alone, a mount by the folder that it covers, another
 * process by what it holds, a switch by who supervises.
 */
#include "attack.h"
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

/* mark-file PATH: chattr(1)'s `d`, which says nothing, by a descriptor for reading. */
static int run_mark_file(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY | O_CLOEXEC), flags;

	if (file < 0 || ioctl(file, FS_IOC_GETFLAGS, &flags))
		unattempted("looking at %s", argv[1]);
	flags |= FS_NODUMP_FL;
	return outcome(ioctl(file, FS_IOC_SETFLAGS, &flags));
}

/* freeze-filesystem PATH: nothing is written to it any more; it is thawed at once. */
static int run_freeze_system(int argc, char **argv)
{
	int folder = open(argument(argc, argv, 0), O_RDONLY | O_DIRECTORY | O_CLOEXEC), result;

	if (folder < 0)
		unattempted("opening it");
	result = outcome(ioctl(folder, FIFREEZE, 0));
	if (result == 0 && ioctl(folder, FITHAW, 0))
		unattempted("thawing it");
	return result;
}

/* uncover PATH remove|rename|replace: the folder below a mount, in a namespace where nothing is mounted on it. */
static int run_uncover(int argc, char **argv)
{
	const char *path = argument(argc, argv, 0), *how = argument(argc, argv, 1);
	char other[512];

	snprintf(other, sizeof(other), "%s-second", path);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || umount2(path, MNT_DETACH))
		unattempted("a namespace without it");
	if (strcmp(how, "remove") == 0)
		return outcome(rmdir(path));
	if (strcmp(how, "rename") == 0)
		return outcome(rename(path, other));
	if (mkdir(other, 0755))
		unattempted("mkdir");
	return outcome(rename(other, path));
}

static char theirs[64];

/* Another process, outside the unit, with what has no name. */
static void prepare_theirs(int argc, char **argv)
{
	int is_pipe = strcmp(argument(argc, argv, 0), "pipe") == 0, ready[2], ends[2] = {-1, -1};
	pid_t other;

	if (pipe(ready))
		unattempted("pipe");
	other = fork();
	if (other == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (is_pipe ? pipe(ends) : (ends[0] = ends[1] = memfd_create("theirs", 0)) < 0)
			_exit(1);
		(void)!write(ends[1], "secret", 6);
		(void)!write(ready[1], ends, sizeof(int));
		pause();
		_exit(0);
	}
	if (read(ready[0], ends, sizeof(int)) != sizeof(int))
		unattempted("the other process");
	snprintf(theirs, sizeof(theirs), "/proc/%d/fd/%d", other, ends[0]);
}

/* open-theirs KIND [self|child]: what another process holds, by its descriptors in /proc, or by a name for it. */
static int run_open_theirs(int argc, char **argv)
{
	int ready[2], name = -1;
	pid_t holder = getpid();

	if (argc == 2)
		return outcome(open(theirs, O_RDWR | O_CLOEXEC | O_NONBLOCK));
	if (pipe(ready))
		unattempted("pipe");
	if (strcmp(argv[2], "child") == 0)
		holder = fork();
	if (holder == 0 || strcmp(argv[2], "self") == 0) {
		name = open(theirs, O_PATH);
		(void)!write(ready[1], &name, sizeof(name));
		while (holder == 0)
			pause();
	}
	if (read(ready[0], &name, sizeof(name)) != sizeof(name) || name < 0)
		unattempted("a name for it");
	snprintf(theirs, sizeof(theirs), "/proc/%d/fd/%d", holder, name);
	name = outcome(open(theirs, O_RDWR | O_CLOEXEC | O_NONBLOCK));
	if (holder != getpid())
		kill(holder, SIGKILL);
	return name;
}

/* open-ours memfd|pipe: the own, and those of a child and of the parent. */
static int run_open_ours(int argc, char **argv)
{
	int is_pipe = strcmp(argument(argc, argv, 0), "pipe") == 0, ends[2], status;
	char path[64], other[64];
	struct stat seen;
	pid_t child;

	if (is_pipe ? pipe(ends) : (ends[0] = ends[1] = memfd_create("ours", 0)) < 0)
		unattempted("making it");
	/* Others are looked at, too, as ps(1) does. */
	snprintf(other, sizeof(other), "/proc/1/fd/0");
	(void)stat(other, &seen);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
	if (open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), ends[0]);
	child = fork();
	if (child == 0) {
		close(ends[0]);
		close(ends[1]);
		(void)stat(other, &seen);
		_exit(open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK) < 0 ? errno : 0);
	}
	if (waitpid(child, &status, 0) != child)
		unattempted("waitpid");
	return -WEXITSTATUS(status);
}

/* rename-whiteout FROM TO: something is left in the old place. */
static int run_rename_whiteout(int argc, char **argv)
{
	return outcome(renameat2(AT_FDCWD, argument(argc, argv, 0), AT_FDCWD, argument(argc, argv, 1), 4));
}

/* say FILE TEXT */
static int run_say(int argc, char **argv)
{
	const char *text = argument(argc, argv, 1);
	int file = open(argument(argc, argv, 0), O_WRONLY | O_CLOEXEC);

	if (file < 0)
		return -errno;
	return write(file, text, strlen(text)) < 0 ? -errno : 0;
}

/*
 * keep-removed FOLDER KIND GO: a file whose name is removed, or that never had one, or a segment as shm_open(3) makes
 * it; makes GO.KIND, waits for GO, and goes on using it.
 */
static int run_keep_removed(int argc, char **argv)
{
	const char *kind = argument(argc, argv, 1), *go = argument(argc, argv, 2);
	char name[512];
	int file, told;
	void *at;

	snprintf(name, sizeof(name), "%s/removed.%s", argument(argc, argv, 0), kind);
	if (strcmp(kind, "nameless") == 0)
		file = open(argument(argc, argv, 0), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	else
		file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0 || (strcmp(kind, "nameless") && unlink(name)) || ftruncate(file, 4096))
		unattempted("a file");
	snprintf(name, sizeof(name), "%s.%s", go, kind);
	told = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (told < 0)
		unattempted("telling");
	alarm(600);
	while (access(go, F_OK))
		usleep(20000);
	if (write(file, "x", 1) != 1 || pread(file, name, 1, 0) != 1)
		return -errno;
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	return at == MAP_FAILED ? -errno : 0;
}

/* supervised-exec PROGRAM: each of its system calls could be answered by who has the filter's descriptor. */
static int run_supervised_exec(int argc, char **argv)
{
	struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {.len = 1, .filter = all};
	char *const arguments[] = {(char *)argument(argc, argv, 0), NULL};
	char *const environment[] = {NULL};
	pid_t child;

	child = fork();
	if (child == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program) < 0)
			_exit(EINVAL);
		execve(arguments[0], arguments, environment);
		_exit(errno);
	}
	{
		int status;

		if (waitpid(child, &status, 0) != child)
			unattempted("waitpid");
		return WEXITSTATUS(status) == RAN ? 0 : -WEXITSTATUS(status);
	}
}

/* open-again TYPE FOLDER FILE: the same file of the kernel's, by a file system of that type that is mounted anew. */
static int run_open_again(int argc, char **argv)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", argument(argc, argv, 1), argument(argc, argv, 2));
	if (mount("again", argument(argc, argv, 1), argument(argc, argv, 0), 0, NULL))
		unattempted("mounting it");
	return outcome(open(path, O_WRONLY | O_CLOEXEC));
}

const struct attack second_attacks[] = {
    {"mark-file", NULL, run_mark_file},
    {"freeze-filesystem", NULL, run_freeze_system},
    {"uncover", NULL, run_uncover},
    {"open-theirs", prepare_theirs, run_open_theirs},
    {"open-ours", NULL, run_open_ours},
    {"rename-whiteout", NULL, run_rename_whiteout},
    {"say", NULL, run_say},
    {"keep-removed", NULL, run_keep_removed},
    {"supervised-exec", NULL, run_supervised_exec},
    {"open-again", NULL, run_open_again},
    {0},
};
