/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Names by detours: links of procfs, folders held open, descriptors that only name; and new ways to mount. */
#include "attack.h"
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* glibc's own header for mount(2) cannot stand beside the kernel's. */
int mount(const char *from, const char *to, const char *type, unsigned long flags, const void *data);

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef MOVE_MOUNT_BENEATH
#define MOVE_MOUNT_BENEATH 0x200
#endif
#define MS_SHARED_ (1UL << 20)

static int took(int file)
{
	char byte;

	if (file < 0)
		return -errno;
	return read(file, &byte, 1) == 1 ? 0 : -errno;
}

static int execute(const char *path)
{
	char *const arguments[] = {(char *)path, NULL};
	char *const environment[] = {NULL};

	execve(path, arguments, environment);
	return -errno;
}

/* read-cwd FOLDER NAME */
static int run_read_cwd(int argc, char **argv)
{
	char path[512];

	if (chdir(argument(argc, argv, 0)))
		unattempted("chdir");
	snprintf(path, sizeof(path), "/proc/self/cwd/%s", argument(argc, argv, 1));
	return took(open(path, O_RDONLY));
}

static void by_folder(char *path, size_t size, int argc, char **argv)
{
	int folder = open(argument(argc, argv, 0), O_PATH | O_DIRECTORY);

	if (folder < 0)
		unattempted("open");
	snprintf(path, size, "/dev/fd/%d/%s", folder, argument(argc, argv, 1));
}

static int run_read_folder(int argc, char **argv)
{
	char path[512];

	by_folder(path, sizeof(path), argc, argv);
	return took(open(path, O_RDONLY));
}

static int run_exec_folder(int argc, char **argv)
{
	char path[512];

	by_folder(path, sizeof(path), argc, argv);
	return execute(path);
}

/* read-in-root FOLDER PATH: the folder is the root for this one look. */
static int run_read_in_root(int argc, char **argv)
{
	struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_IN_ROOT};
	int folder = open(argument(argc, argv, 0), O_PATH | O_DIRECTORY);

	if (folder < 0)
		unattempted("open");
	return took((int)syscall(SYS_openat2, folder, argument(argc, argv, 1), &how, sizeof(how)));
}

/* A process outside the policy that waits in a folder. */
static pid_t other;

static void prepare_other(int argc, char **argv)
{
	int ready[2];
	char byte;

	if (pipe2(ready, O_CLOEXEC))
		unattempted("pipe");
	other = fork();
	if (other == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir(argument(argc, argv, 0)) || write(ready[1], "r", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	if (read(ready[0], &byte, 1) != 1)
		unattempted("a process in %s", argument(argc, argv, 0));
}

/* read-theirs FOLDER LINK NAME: /proc/PID/LINK/NAME of that process. */
static int run_read_theirs(int argc, char **argv)
{
	char path[512];

	snprintf(path, sizeof(path), "/proc/%d/%s", other, argument(argc, argv, 1));
	return took(open(path, O_RDONLY));
}

/* read-mapped FILE: what was mapped before, opened by the link of the mapping. */
static void *mapped;

static void prepare_mapped(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);

	mapped = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
	if (file < 0 || mapped == MAP_FAILED || close(file))
		unattempted("mapping it");
}

static int run_read_mapped(int argc, char **argv)
{
	char path[128];

	(void)argc;
	(void)argv;
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)mapped,
		 (unsigned long)mapped + 4096);
	return took(open(path, O_RDONLY));
}

/* by-name-only WHAT FILE: changes a file by a descriptor that only names it (O_PATH). */
static int run_by_name_only(int argc, char **argv)
{
	const char *what = argument(argc, argv, 0);
	int file = open(argument(argc, argv, 1), O_PATH);
	char link[64];

	if (file < 0)
		unattempted("open");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	if (strcmp(what, "chmod") == 0)
		return outcome(chmod(link, 0777));
	if (strcmp(what, "fchmodat2") == 0)
		return outcome(syscall(SYS_fchmodat2, file, "", 0777, AT_EMPTY_PATH));
	if (strcmp(what, "chown") == 0)
		return outcome(fchownat(file, "", getuid(), (gid_t)-1, AT_EMPTY_PATH));
	if (strcmp(what, "utimes") == 0)
		return outcome(syscall(SYS_utimensat, file, "", NULL, AT_EMPTY_PATH));
	if (strcmp(what, "setxattr") == 0)
		return outcome(setxattr(link, "trusted.kt", "x", 1, 0));
	if (strcmp(what, "truncate") == 0)
		return outcome(truncate(link, 0));
	if (strcmp(what, "execveat") == 0) {
		char *const arguments[] = {link, NULL};

		return outcome(syscall(SYS_execveat, file, "", arguments, NULL, AT_EMPTY_PATH));
	}
	unattempted("%s is unknown", what);
}

/* mark-able FILE: gives a program a capability of its own (security.capability). */
static int run_mark_able(int argc, char **argv)
{
	const uint32_t able[5] = {0x02000001, 1u << 13, 0, 0, 0};

	return outcome(setxattr(argument(argc, argv, 0), "security.capability", able, sizeof(able), 0));
}

/* chmod-to MODE FILE */
static int run_chmod_to(int argc, char **argv)
{
	return outcome(chmod(argument(argc, argv, 1), (mode_t)strtoul(argument(argc, argv, 0), NULL, 8)));
}

/* put FILE TEXT: writes a line to a file that the kernel reads. */
static int run_put(int argc, char **argv)
{
	const char *text = argument(argc, argv, 1);
	int file = open(argument(argc, argv, 0), O_WRONLY);

	if (file < 0)
		return -errno;
	return write(file, text, strlen(text)) > 0 ? 0 : -errno;
}

/* mount-kind KIND TARGET OPTIONS */
static int run_mount_kind(int argc, char **argv)
{
	return outcome(mount("none", argument(argc, argv, 1), argument(argc, argv, 0), 0, argument(argc, argv, 2)));
}

/* mount-fuse TARGET: whose files are then what this process says. */
static int run_mount_fuse(int argc, char **argv)
{
	char options[128];
	int device = open("/dev/fuse", O_RDWR);

	if (device < 0)
		unattempted("open");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	return outcome(mount("kt", argument(argc, argv, 0), "fuse", 0, options));
}

static int run_mount_shared(int argc, char **argv)
{
	return outcome(mount(NULL, argument(argc, argv, 0), NULL, MS_SHARED_, NULL));
}

/* reconfigure MOUNT: fspick(2) and another mode of its root. */
static int run_reconfigure(int argc, char **argv)
{
	int context = (int)syscall(SYS_fspick, AT_FDCWD, argument(argc, argv, 0), 0);

	if (context < 0)
		return -errno;
	if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "size", "1m", 0))
		unattempted("fsconfig");
	return outcome(syscall(SYS_fsconfig, context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
}

/* mount-beneath FOLDER MOUNT: below what is mounted there, to be found when that goes. */
static int run_mount_beneath(int argc, char **argv)
{
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, argument(argc, argv, 0), OPEN_TREE_CLONE);

	if (tree < 0)
		return -errno;
	return outcome(syscall(SYS_move_mount, tree, "", AT_FDCWD, argument(argc, argv, 1),
			       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_BENEATH));
}

/* exec-moved-root ROOT PATH: the folder is moved over the root of a namespace, and the path is another program's. */
static int run_exec_moved_root(int argc, char **argv)
{
	const char *root = argument(argc, argv, 0);

	if (unshare(CLONE_NEWNS))
		unattempted("a mount namespace");
	if (mount(NULL, "/", NULL, (1UL << 14) | (1UL << 18), NULL) || mount(root, root, NULL, 1UL << 12, NULL))
		return -errno;
	if (chdir(root) || mount(".", "/", NULL, 1UL << 13, NULL) || chroot("."))
		return -errno;
	return execute(argument(argc, argv, 1));
}

/* exec-shared-root ROOT PATH: a process outside the policy that shares its root (CLONE_FS) changes it for both. */
static int changed(void *root)
{
	if (chroot(root) || chdir("/"))
		_exit(1);
	_exit(0);
}

static void prepare_shared_root(int argc, char **argv)
{
	static char stack[1 << 16];

	if (clone(changed, stack + sizeof(stack), CLONE_FS | SIGCHLD, (void *)argument(argc, argv, 0)) < 0)
		unattempted("clone");
	if (wait(NULL) < 0)
		unattempted("wait");
}

static int run_exec_shared_root(int argc, char **argv)
{
	return execute(argument(argc, argv, 1));
}

/* exec-second-mount FOLDER PROGRAM: leaves its cgroup by another mount of the tree. */
static int run_exec_second_mount(int argc, char **argv)
{
	char path[512];
	int procs;

	snprintf(path, sizeof(path), "%s/kt-aside", argument(argc, argv, 0));
	if (mkdir(path, 0755) && errno != EEXIST)
		unattempted("mkdir");
	snprintf(path, sizeof(path), "%s/kt-aside/cgroup.procs", argument(argc, argv, 0));
	procs = open(path, O_WRONLY);
	if (procs < 0 || write(procs, "0", 1) != 1)
		unattempted("moving");
	return execute(argument(argc, argv, 1));
}

const struct attack door_attacks[] = {
    {"read-cwd", NULL, run_read_cwd},
    {"read-folder", NULL, run_read_folder},
    {"exec-folder", NULL, run_exec_folder},
    {"read-in-root", NULL, run_read_in_root},
    {"read-theirs", prepare_other, run_read_theirs},
    {"read-mapped", prepare_mapped, run_read_mapped},
    {"by-name-only", NULL, run_by_name_only},
    {"mark-able", NULL, run_mark_able},
    {"chmod-to", NULL, run_chmod_to},
    {"put", NULL, run_put},
    {"mount-kind", NULL, run_mount_kind},
    {"mount-fuse", NULL, run_mount_fuse},
    {"mount-shared", NULL, run_mount_shared},
    {"reconfigure", NULL, run_reconfigure},
    {"mount-beneath", NULL, run_mount_beneath},
    {"exec-moved-root", NULL, run_exec_moved_root},
    {"exec-shared-root", prepare_shared_root, run_exec_shared_root},
    {"exec-second-mount", NULL, run_exec_second_mount},
    {0},
};
