/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Mounts and namespaces: other paths to the same files. */
#include "attack.h"
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void private_namespace(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		unattempted("a mount namespace");
}

static int take(int file)
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

static void write_text(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);

	if (file < 0 || write(file, text, strlen(text)) < 0)
		unattempted("writing %s", path);
	close(file);
}

/* Root of a new user namespace: what unshare -Urm gives to anybody. */
static void new_user(void)
{
	char map[64];
	unsigned int uid = getuid(), gid = getgid();

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		unattempted("unshare");
	write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	write_text("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	write_text("/proc/self/gid_map", map);
}

/* exec-bind SOURCE TARGET NAME: SOURCE bound at TARGET, then TARGET/NAME. */
static int run_exec_bind(int argc, char **argv)
{
	char path[512];

	private_namespace();
	if (mount(argument(argc, argv, 0), argument(argc, argv, 1), NULL, MS_BIND, NULL))
		unattempted("mount");
	snprintf(path, sizeof(path), "%s/%s", argument(argc, argv, 1), argument(argc, argv, 2));
	return execute(path);
}

static int run_read_bind(int argc, char **argv)
{
	char path[512];

	private_namespace();
	if (mount(argument(argc, argv, 0), argument(argc, argv, 1), NULL, MS_BIND, NULL))
		unattempted("mount");
	snprintf(path, sizeof(path), "%s/%s", argument(argc, argv, 1), argument(argc, argv, 2));
	return take(open(path, O_RDONLY));
}

static int run_exec_user_namespace(int argc, char **argv)
{
	new_user();
	return execute(argument(argc, argv, 0));
}

static int run_exec_all_namespaces(int argc, char **argv)
{
	new_user();
	if (unshare(CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP))
		unattempted("unshare");
	return in_child((int (*)(void *))execute, (void *)argument(argc, argv, 0));
}

/* read-detached DIRECTORY NAME: a mount that hangs nowhere, so that paths in it start at its own root. */
static int run_read_detached(int argc, char **argv)
{
	int tree;

	if (getuid() != 0)
		new_user();
	tree = (int)syscall(SYS_open_tree, AT_FDCWD, argument(argc, argv, 0), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		unattempted("open_tree");
	return take(openat(tree, argument(argc, argv, 1), O_RDONLY));
}

static int run_exec_detached(int argc, char **argv)
{
	char *const arguments[] = {(char *)"victim", NULL};
	char *const environment[] = {NULL};
	int tree;

	if (getuid() != 0)
		new_user();
	tree = (int)syscall(SYS_open_tree, AT_FDCWD, argument(argc, argv, 0), OPEN_TREE_CLONE);
	if (tree < 0)
		unattempted("open_tree");
	syscall(SYS_execveat, tree, argument(argc, argv, 1), arguments, environment, 0);
	return -errno;
}

/* read-lazy SOURCE TARGET NAME: a mount left behind by MNT_DETACH, with the working directory still in it. */
static int run_read_lazy(int argc, char **argv)
{
	private_namespace();
	if (mount(argument(argc, argv, 0), argument(argc, argv, 1), NULL, MS_BIND, NULL) ||
	    chdir(argument(argc, argv, 1)) || umount2(argument(argc, argv, 1), MNT_DETACH))
		unattempted("a lazily unmounted directory");
	return take(open(argument(argc, argv, 2), O_RDONLY));
}

/* Mount operations themselves. */
static int run_mount(int argc, char **argv)
{
	return outcome(mount(argument(argc, argv, 0), argument(argc, argv, 1), NULL, MS_BIND, NULL));
}

static int run_mount_tmpfs(int argc, char **argv)
{
	return outcome(mount("tmpfs", argument(argc, argv, 0), "tmpfs", 0, NULL));
}

static int run_remount(int argc, char **argv)
{
	return outcome(mount(NULL, argument(argc, argv, 0), NULL, MS_REMOUNT | MS_NOATIME, "mode=0777"));
}

static int run_umount(int argc, char **argv)
{
	return outcome(umount2(argument(argc, argv, 0), MNT_DETACH));
}

static int run_move_mount(int argc, char **argv)
{
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, argument(argc, argv, 0), OPEN_TREE_CLONE);

	if (tree < 0)
		return -errno;
	return outcome(syscall(SYS_move_mount, tree, "", AT_FDCWD, argument(argc, argv, 1), MOVE_MOUNT_F_EMPTY_PATH));
}

/* mount-setattr MOUNT: lets its programs run again. */
static int run_mount_setattr(int argc, char **argv)
{
	struct mount_attr change = {.attr_clr = MOUNT_ATTR_NOEXEC};

	return outcome(syscall(SYS_mount_setattr, AT_FDCWD, argument(argc, argv, 0), 0, &change, sizeof(change)));
}

/* fsmount KIND: a file system that is mounted nowhere and reached by its descriptor. */
static int run_fsmount(int argc, char **argv)
{
	int context = (int)syscall(SYS_fsopen, argument(argc, argv, 0), 0);

	if (context < 0)
		unattempted("fsopen");
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) {
		if (errno != EPERM)
			unattempted("fsconfig");
		return -EPERM;
	}
	return outcome(syscall(SYS_fsmount, context, 0, 0));
}

static int run_chroot(int argc, char **argv)
{
	return outcome(chroot(argument(argc, argv, 0)));
}

static int run_user_namespace(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(unshare(CLONE_NEWUSER));
}

static int cloned(void *unused)
{
	long child = syscall(SYS_clone, CLONE_NEWUSER | 17, NULL, NULL, NULL, NULL);

	(void)unused;
	if (child < 0)
		return -errno;
	if (child == 0)
		_exit(RAN);
	return child_result((pid_t)child);
}

static int run_user_namespace_clone(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return in_child(cloned, NULL);
}

const struct attack mount_attacks[] = {
    {"exec-bind", NULL, run_exec_bind},
    {"read-bind", NULL, run_read_bind},
    {"exec-user-namespace", NULL, run_exec_user_namespace},
    {"exec-all-namespaces", NULL, run_exec_all_namespaces},
    {"read-detached", NULL, run_read_detached},
    {"exec-detached", NULL, run_exec_detached},
    {"read-lazy", NULL, run_read_lazy},
    {"mount", NULL, run_mount},
    {"mount-tmpfs", NULL, run_mount_tmpfs},
    {"remount", NULL, run_remount},
    {"umount", NULL, run_umount},
    {"move-mount", NULL, run_move_mount},
    {"mount-setattr", NULL, run_mount_setattr},
    {"fsmount", NULL, run_fsmount},
    {"chroot", NULL, run_chroot},
    {"user-namespace", NULL, run_user_namespace},
    {"user-namespace-clone", NULL, run_user_namespace_clone},
    {0},
};
