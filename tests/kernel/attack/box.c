/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Attacks from within a sandbox such as systemd's: a mount namespace with some of
 *
 *   tmp            PrivateTmp=: another folder is /tmp, but for what `bind=` brings back
 *   system         ProtectSystem=strict: everything is read-only, but /dev, /proc and /sys
 *   home           ProtectHome=: an empty file system is at /home and /root
 *   devices        PrivateDevices=: a /dev of its own with a few nodes
 *   rw=PATH        ReadWritePaths=
 *   bind=FROM:TO   BindPaths=
 *   tmpfs=PATH     TemporaryFileSystem=
 *   gone=PATH      what is mounted there is not
 *   root=DIRECTORY RootDirectory=: it is mounted over the root
 *
 * in that order, separated by commas; `-` is none but the namespace.
 */
#include "attack.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <linux/mount.h>

static void bound(const char *from, const char *to)
{
	if (mount(from, to, NULL, MS_BIND | MS_REC, NULL))
		unattempted("binding %s at %s", from, to);
}

static void read_only(const char *path, int on, unsigned int flags)
{
	struct mount_attr change = {.attr_set = on ? MOUNT_ATTR_RDONLY : 0, .attr_clr = on ? 0 : MOUNT_ATTR_RDONLY};

	if (syscall(SYS_mount_setattr, AT_FDCWD, path, flags, &change, sizeof(change)))
		unattempted("mount_setattr of %s", path);
}

static void empty(const char *path)
{
	mkdir(path, 0755);
	if (mount("tmpfs", path, "tmpfs", 0, "mode=0755"))
		unattempted("tmpfs at %s", path);
}

static void own_devices(void)
{
	static const char *const names[] = {"null", "zero", "full", "random", "urandom", "tty"};
	char from[64], to[64];

	empty("/run/kt-dev");
	for (size_t at = 0; at < sizeof(names) / sizeof(*names); at++) {
		snprintf(from, sizeof(from), "/dev/%s", names[at]);
		snprintf(to, sizeof(to), "/run/kt-dev/%s", names[at]);
		if (access(from, F_OK))
			continue;
		close(open(to, O_CREAT | O_WRONLY, 0666));
		bound(from, to);
	}
	if (mount("/run/kt-dev", "/dev", NULL, MS_MOVE, NULL))
		unattempted("a /dev of its own");
}

static void own_root(const char *directory)
{
	bound(directory, "/run/kt-root");
	if (chdir("/run/kt-root") || mount("/run/kt-root", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		unattempted("a root of its own");
}

static void feature(char *text)
{
	char *value = strchr(text, '='), *to;

	if (value)
		*value++ = 0;
	if (!strcmp(text, "-"))
		return;
	if (!strcmp(text, "tmp")) {
		mkdir("/run/kt-private", 0700);
		mkdir("/run/kt-private/tmp", 01777);
		bound("/run/kt-private/tmp", "/tmp");
	} else if (!strcmp(text, "system")) {
		bound("/dev", "/dev");
		bound("/proc", "/proc");
		bound("/sys", "/sys");
		read_only("/", 1, AT_RECURSIVE);
		read_only("/dev", 0, AT_RECURSIVE);
		read_only("/proc", 0, AT_RECURSIVE);
		read_only("/sys", 0, AT_RECURSIVE);
	} else if (!strcmp(text, "home")) {
		empty("/home");
		empty("/root");
	} else if (!strcmp(text, "devices")) {
		own_devices();
	} else if (!strcmp(text, "rw") && value) {
		bound(value, value);
		read_only(value, 0, 0);
	} else if (!strcmp(text, "bind") && value && (to = strchr(value, ':'))) {
		*to++ = 0;
		bound(value, to);
	} else if (!strcmp(text, "tmpfs") && value) {
		empty(value);
	} else if (!strcmp(text, "gone") && value) {
		if (umount2(value, MNT_DETACH))
			unattempted("unmounting %s", value);
	} else if (!strcmp(text, "root") && value) {
		own_root(value);
	} else {
		unattempted("no sandbox has %s", text);
	}
}

static void enter_box(const char *features)
{
	char text[1024], *rest = text, *one;

	snprintf(text, sizeof(text), "%s", features);
	/* What the mounts below need to be there while all can still be written. */
	mkdir("/run/kt-dev", 0755);
	mkdir("/run/kt-root", 0755);
	mkdir("/home", 0755);
	mkdir("/root", 0700);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		unattempted("a mount namespace");
	while ((one = strsep(&rest, ",")))
		feature(one);
}

static const struct attack *inner(int argc, char **argv)
{
	const struct attack *attack = find_attack(argument(argc, argv, 1));

	if (!attack)
		unattempted("no attack named %s", argv[2]);
	return attack;
}

/* boxed FEATURES ATTACK [ARGUMENT]...: what the attack prepares it prepares on the host. */
static void prepare_boxed(int argc, char **argv)
{
	const struct attack *attack = inner(argc, argv);

	if (attack->prepare)
		attack->prepare(argc - 2, argv + 2);
	enter_box(argument(argc, argv, 0));
}

static int run_inner(int argc, char **argv)
{
	return inner(argc, argv)->run(argc - 2, argv + 2);
}

/* from-box FEATURES ATTACK [ARGUMENT]...: what the attack prepares, a server, is in the sandbox; the attacker is not.
 */
static void prepare_from_box(int argc, char **argv)
{
	int ready[2];
	char byte;

	if (pipe2(ready, O_CLOEXEC))
		unattempted("pipe");
	switch (fork()) {
	case -1:
		unattempted("fork");
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		enter_box(argument(argc, argv, 0));
		inner(argc, argv)->prepare(argc - 2, argv + 2);
		if (write(ready[1], "r", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		unattempted("a server in a sandbox");
}

/* box-to-box FEATURES ATTACK [ARGUMENT]...: each has a sandbox of its own. */
static void prepare_box_to_box(int argc, char **argv)
{
	prepare_from_box(argc, argv);
	enter_box(argument(argc, argv, 0));
}

/*
 * box-all FEATURES DENIED-FOLDER PERMITTED-FOLDER: each of the probes below, on a permitted and on a denied object.
 * Permitted ones must work and denied ones must not; the first that is otherwise is named.
 */
static const char *const probes[] = {"read",	    "append",	     "utimes",	    "chmod",
				     "unix-stream", "unix-datagram", "unix-sendto", "unix-packets"};
#define PROBES (sizeof(probes) / sizeof(*probes))
#define SOCKETS 4 /* from this probe on */

static void probe(const char *folder, size_t which, char path[static 512], char *out[static 3])
{
	snprintf(path, 512, "%s/%s", folder, which >= SOCKETS ? probes[which] : "f");
	out[0] = (char *)probes[which];
	out[1] = path;
	out[2] = NULL;
}

static void prepare_all(int argc, char **argv)
{
	char path[512], *command[3];

	for (int denied = 0; denied < 2; denied++)
		for (size_t which = 0; which < PROBES; which++) {
			const struct attack *attack = find_attack(probes[which]);

			probe(argument(argc, argv, denied ? 1 : 2), which, path, command);
			if (attack->prepare)
				attack->prepare(2, command);
		}
	enter_box(argument(argc, argv, 0));
}

static int run_all(int argc, char **argv)
{
	char path[512], *command[3], token[64];

	for (int denied = 0; denied < 2; denied++)
		for (size_t which = 0; which < PROBES; which++) {
			const struct attack *attack = find_attack(probes[which]);
			int got;

			probe(argument(argc, argv, denied ? 1 : 2), which, path, command);
			got = attack->run(2, command);
			if (denied ? got != -EPERM : got != 0) {
				snprintf(token, sizeof(token), "%s:%s:%s", denied ? "denied" : "permitted",
					 probes[which], got ? strerrorname_np(-got) : "worked");
				refused(token);
			}
		}
	return 0;
}

const struct attack box_attacks[] = {
    {"boxed", prepare_boxed, run_inner},
    {"from-box", prepare_from_box, run_inner},
    {"box-to-box", prepare_box_to_box, run_inner},
    {"box-all", prepare_all, run_all},
    {0},
};
