/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What systemd gives a unit with PrivateTmp=yes, ProtectSystem=strict, PrivateDevices=yes, ProtectHome=yes and
 * NoNewPrivileges=yes.
 *
 * kt private PROGRAM [ARGUMENT]...: executes the program in a mount namespace with a /tmp of its own, so that the
 * ground of an attack is laid there, too. `kt run --sandbox` does the rest for the attack alone.
 */
#include "attack.h"
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* glibc's own header for mount(2) cannot stand beside the kernel's. */
int mount(const char *from, const char *to, const char *type, unsigned long flags, const void *data);

#define TMP "/tmp/systemd-private-kt/tmp"
#define DEVICES "/run/kt-dev"
#define NOTHING "/run/kt-inaccessible"

static void fail(const char *what)
{
	fprintf(stderr, "kt: sandbox: %s: %s\n", what, strerrorname_np(errno));
	_exit(3);
}

static void mounted(const char *from, const char *to, const char *type, unsigned long flags, const char *data)
{
	if (mount(from, to, type, flags, data))
		fail(to);
}

static void own_namespace(void)
{
	if (unshare(CLONE_NEWNS))
		fail("unshare");
	mounted(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL);
}

int private(int argc, char **argv)
{
	if (argc < 1)
		return 2;
	if (mkdir("/tmp/systemd-private-kt", 0700) && errno != EEXIST)
		fail("/tmp/systemd-private-kt");
	if (mkdir(TMP, 0777) && errno != EEXIST)
		fail(TMP);
	if (chmod(TMP, 01777))
		fail(TMP);
	own_namespace();
	mounted(TMP, "/tmp", NULL, MS_BIND, NULL);
	execv(argv[0], argv);
	return errno;
}

static void device(const char *name, unsigned int major, unsigned int minor)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", DEVICES, name);
	if (mknod(path, S_IFCHR | 0666, makedev(major, minor)) || chmod(path, 0666))
		fail(path);
}

static void private_devices(void)
{
	static const char *const kept[] = {"pts", "shm", "mqueue"};
	char from[64], to[64];

	if (mkdir(DEVICES, 0755) && errno != EEXIST)
		fail(DEVICES);
	mounted("tmpfs", DEVICES, "tmpfs", MS_NOSUID | MS_NOEXEC | MS_STRICTATIME, "mode=755");
	device("null", 1, 3);
	device("zero", 1, 5);
	device("full", 1, 7);
	device("random", 1, 8);
	device("urandom", 1, 9);
	device("tty", 5, 0);
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		snprintf(from, sizeof(from), "/dev/%s", kept[i]);
		snprintf(to, sizeof(to), "%s/%s", DEVICES, kept[i]);
		if (access(from, F_OK))
			continue;
		if (mkdir(to, 0755))
			fail(to);
		mounted(from, to, NULL, MS_BIND, NULL);
	}
	if (symlink("/proc/self/fd", DEVICES "/fd") || symlink("pts/ptmx", DEVICES "/ptmx"))
		fail("links in /dev");
	mounted(DEVICES, "/dev", NULL, MS_MOVE, NULL);
}

static void inaccessible(const char *path)
{
	if (access(path, F_OK) == 0)
		mounted(NOTHING, path, NULL, MS_BIND, NULL);
}

static void read_only(const char *path, int on)
{
	struct mount_attr change = {
	    .attr_set = on ? MOUNT_ATTR_RDONLY : 0,
	    .attr_clr = on ? 0 : MOUNT_ATTR_RDONLY,
	};

	if (syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &change, sizeof(change)))
		fail(path);
}

static void without(const int *capabilities, size_t count)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		fail("capget");
	for (size_t i = 0; i < count; i++) {
		unsigned int bit = 1U << (capabilities[i] % 32);
		struct __user_cap_data_struct *half = &data[capabilities[i] / 32];

		if (prctl(PR_CAPBSET_DROP, capabilities[i]))
			fail("capability");
		half->effective &= ~bit;
		half->permitted &= ~bit;
		half->inheritable &= ~bit;
	}
	if (syscall(SYS_capset, &header, data))
		fail("capset");
}

void sandbox(void)
{
	static const char *const writable[] = {"/dev", "/proc", "/sys", "/tmp"};
	static const char *const homes[] = {"/home", "/root", "/run/user"};
	static const int dropped[] = {CAP_MKNOD, CAP_SYS_RAWIO};
	int space;

	if (mkdir(NOTHING, 0000) && errno != EEXIST)
		fail(NOTHING);
	own_namespace();
	private_devices();
	for (size_t i = 0; i < sizeof(homes) / sizeof(*homes); i++)
		inaccessible(homes[i]);
	read_only("/", 1);
	for (size_t i = 0; i < sizeof(writable) / sizeof(*writable); i++)
		read_only(writable[i], 0);
	without(dropped, sizeof(dropped) / sizeof(*dropped));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail("no_new_privs");
	/* A unit's namespace lives on in its other processes when one of them leaves it. */
	space = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (space < 0 || fcntl(space, F_DUPFD_CLOEXEC, 900) < 0 || close(space))
		fail("the namespace");
}
