/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the kernel permits by a capability without asking a security module. And what it shows of itself in namespaces
 * of a task's own.
 */
#include "attack.h"
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

/* secure-bits: what setpcap is asked for, by prctl(2). */
static int run_secure_bits(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(prctl(PR_SET_SECUREBITS, SECBIT_NO_CAP_AMBIENT_RAISE));
}

/* inherit-more: a capability that the process does not have comes into what it inherits, by capset(2). */
static int run_inherit_more(int argc, char **argv)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	(void)argc;
	(void)argv;
	if (syscall(SYS_capget, &head, data))
		unattempted("capget");
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= i ? 0 : 1u << CAP_SETPCAP;
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, data))
		unattempted("capset");
	data[0].inheritable = 1u << CAP_NET_RAW;
	return outcome(syscall(SYS_capset, &head, data));
}

struct aside {
	const char *type, *folder, *file;
};

static int open_aside(void *context)
{
	const struct aside *it = context;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", it->folder, it->file);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("aside", it->folder, it->type, 0, NULL))
		unattempted("mounting it");
	return outcome(open(path, O_RDONLY | O_CLOEXEC));
}

/* open-aside TYPE FOLDER FILE: by a file system of that type that is mounted in namespaces of the task's own. */
static int run_open_aside(int argc, char **argv)
{
	struct aside it = {argument(argc, argv, 0), argument(argc, argv, 1), argument(argc, argv, 2)};

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET))
		unattempted("namespaces");
	return in_child(open_aside, &it);
}

const struct attack sixth_attacks[] = {
    {"open-aside", NULL, run_open_aside},
    {"secure-bits", NULL, run_secure_bits},
    {"inherit-more", NULL, run_inherit_more},
    {NULL, NULL, NULL},
};
