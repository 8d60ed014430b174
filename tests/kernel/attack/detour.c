/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ways round one class of a policy by another, and by what the kernel does for itself. */
#include "attack.h"
#include <dirent.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <termios.h>

static int end_by_signal(const char *program, int *status)
{
	char *const arguments[] = {(char *)program, NULL};
	struct rlimit whole = {RLIM_INFINITY, RLIM_INFINITY};
	pid_t child = fork();

	if (child < 0)
		unattempted("fork");
	if (child == 0) {
		setrlimit(RLIMIT_CORE, &whole);
		if (program)
			execv(program, arguments);
		else
			abort();
		_exit(errno);
	}
	return waitpid(child, status, 0) == child ? 0 : -errno;
}

/* crash FOLDER: a child ends by abort(3) in FOLDER, and leaves a core there. */
static int run_crash(int argc, char **argv)
{
	int status;

	if (chdir(argument(argc, argv, 0)))
		unattempted("chdir");
	prctl(PR_SET_DUMPABLE, 1);
	if (end_by_signal(NULL, &status))
		unattempted("waitpid");
	if (!WIFSIGNALED(status))
		unattempted("it ended with %x", status);
	return WCOREDUMP(status) ? 0 : -ENODATA;
}

/* fork-exec PROGRAM: in a child, so that the label comes by fork. */
static int run_fork_exec(int argc, char **argv)
{
	const char *program = argument(argc, argv, 0);
	int status;

	if (end_by_signal(program, &status))
		unattempted("waitpid");
	if (WIFSIGNALED(status))
		refused("SIGNALLED");
	return WEXITSTATUS(status) == RAN ? 0 : -WEXITSTATUS(status);
}

/* list FOLDER */
static int run_list(int argc, char **argv)
{
	DIR *folder = opendir(argument(argc, argv, 0));
	int names = 0;

	if (!folder)
		return -errno;
	errno = 0;
	while (readdir(folder))
		names++;
	return names > 2 ? 0 : errno ? -errno : -ENODATA;
}

/* change FILE: one byte of it, and read back. */
static int run_change(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDWR);
	char byte = 0;

	if (file < 0)
		return -errno;
	if (pwrite(file, "c", 1, 0) != 1 || pread(file, &byte, 1, 0) != 1)
		return -errno;
	return byte == 'c' ? 0 : -EIO;
}

/* queue-flags NAME FLAGS: a POSIX message queue, opened with more flags (hexadecimal) than open(2) would pass on. */
static int run_queue(int argc, char **argv)
{
	const char *name = argument(argc, argv, 0);
	long flags = strtol(argument(argc, argv, 1), NULL, 16);

	return outcome(syscall(SYS_mq_open, name, O_RDWR | O_CREAT | flags, 0600, NULL));
}

/* terminal-peer FLAGS: a pseudo terminal's other end, by ioctl(2). */
static int run_terminal_peer(int argc, char **argv)
{
	int first = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY), zero = 0;

	if (first < 0 || ioctl(first, TIOCSPTLCK, &zero))
		unattempted("ptmx");
	return outcome(ioctl(first, TIOCGPTPEER, O_RDWR | O_NOCTTY | strtol(argument(argc, argv, 0), NULL, 16)));
}

/* By the entry of 32-bit programs, which any program may use. */
static long by_old_entry(long call, long first, long second)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(call), "b"(first), "c"(second)
			 : "memory", "r8", "r9", "r10", "r11");
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

/* use-library FILE: uselib(2) opens it as execve(2) opens a program. */
static int run_use_library(int argc, char **argv)
{
	static char path[512]; /* where 32 bits reach it */
	long got;

	snprintf(path, sizeof(path), "%s", argument(argc, argv, 0));
	got = by_old_entry(86, (long)path, 0);
	/* It is opened, and then found not to be an old library. */
	return got < 0 && errno == ENOEXEC ? 0 : outcome(got);
}

/* notified-open FILE: somebody else opens FILE, and fanotify(7) gives a descriptor of it. */
static int watch = -1;

static void prepare_notified(int argc, char **argv)
{
	const char *path = argument(argc, argv, 0);
	int way[2];
	char byte;

	if (pipe(way))
		unattempted("pipe");
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int first = 1;; first = 0) {
			close(open(path, O_RDONLY));
			if (first && write(way[1], "r", 1) != 1)
				_exit(1);
			usleep(100000);
		}
	}
	if (read(way[0], &byte, 1) != 1)
		unattempted("the other");
}

static int run_notified(int argc, char **argv)
{
	struct fanotify_event_metadata event;
	char byte;

	watch = fanotify_init(FAN_CLASS_NOTIF, O_RDONLY);
	if (watch < 0)
		return -errno;
	if (fanotify_mark(watch, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, argument(argc, argv, 0)))
		unattempted("fanotify_mark");
	if (read(watch, &event, sizeof(event)) < (ssize_t)sizeof(event))
		return -errno;
	if (event.fd < 0)
		return -EPERM;
	return read(event.fd, &byte, 1) == 1 ? 0 : -errno;
}

/* A process outside the unit, which waits; `secret` of its own mount namespace where a folder is given. */
static pid_t other;

static void start_other(const char *from, const char *to)
{
	int way[2];
	char byte;

	if (pipe(way))
		unattempted("pipe");
	other = fork();
	if (other == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_DUMPABLE, 1);
		if (from && (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
			     mount(from, to, NULL, MS_BIND, NULL)))
			_exit(1);
		if (write(way[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(way[1]);
	if (read(way[0], &byte, 1) != 1)
		unattempted("the other process");
}

static void prepare_other(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	start_other(NULL, NULL);
}

static int elsewhere = -1;

static void prepare_elsewhere(int argc, char **argv)
{
	char path[64];

	start_other(argument(argc, argv, 0), argument(argc, argv, 1));
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", other);
	elsewhere =
	    strcmp(argument(argc, argv, 3), "file") ? (int)syscall(SYS_pidfd_open, other, 0) : open(path, O_RDONLY);
	if (elsewhere < 0)
		unattempted("a handle of the namespace");
}

/* enter FOLDER PLACE FILE HOW: another's mount namespace, where FOLDER is also at PLACE; then FILE is read there. */
static int run_enter(int argc, char **argv)
{
	const char *how = argument(argc, argv, 3);
	char path[512], byte;
	int file;
	long result;

	result = strcmp(how, "old") == 0 ? by_old_entry(346, elsewhere, CLONE_NEWNS) : setns(elsewhere, CLONE_NEWNS);
	if (result)
		return -errno;
	snprintf(path, sizeof(path), "%s/%s", argument(argc, argv, 1), argument(argc, argv, 2));
	file = open(path, O_RDONLY);
	if (file < 0)
		return -errno;
	return read(file, &byte, 1) == 1 ? 0 : -errno;
}

/* take-descriptor: another process's, by pidfd_getfd(2). */
static int run_take_descriptor(int argc, char **argv)
{
	int handle = (int)syscall(SYS_pidfd_open, other, 0);

	(void)argc;
	(void)argv;
	if (handle < 0)
		unattempted("pidfd_open");
	return outcome(syscall(SYS_pidfd_getfd, handle, 1, 0));
}

/* look: what ps(1) and pidof(1) ask of every process. */
static int run_look(int argc, char **argv)
{
	char path[64], text[512];
	int file;

	(void)argc;
	(void)argv;
	snprintf(path, sizeof(path), "/proc/%d/exe", other);
	if (readlink(path, text, sizeof(text)) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d/stat", other);
	file = open(path, O_RDONLY);
	if (file < 0)
		return -errno;
	return read(file, text, sizeof(text)) > 0 ? 0 : -errno;
}

/* look-at PIDFILE: the same of a process that a file names, as far as ps(1) goes. */
static int run_look_at(int argc, char **argv)
{
	char text[512] = "", path[64];
	int file = open(argument(argc, argv, 0), O_RDONLY);

	if (file < 0 || read(file, text, sizeof(text) - 1) <= 0)
		unattempted("pid");
	close(file);
	snprintf(path, sizeof(path), "/proc/%d/stat", atoi(text));
	file = open(path, O_RDONLY);
	if (file < 0)
		return -errno;
	return read(file, text, sizeof(text)) > 0 ? 0 : -errno;
}

/* trace-child: one's own, by attaching and by being asked to. */
static int run_trace_child(int argc, char **argv)
{
	int status;
	pid_t child = fork();

	(void)argc;
	(void)argv;
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(errno);
		raise(SIGSTOP);
		_exit(RAN);
	}
	if (waitpid(child, &status, 0) != child)
		unattempted("waitpid");
	if (!WIFSTOPPED(status))
		return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
	if (ptrace(PTRACE_DETACH, child, NULL, NULL))
		unattempted("detach");
	child = fork();
	if (child == 0)
		for (;;)
			pause();
	if (ptrace(PTRACE_SEIZE, child, NULL, NULL))
		return -errno;
	kill(child, SIGKILL);
	return 0;
}

/* type: a letter into the terminal that one shares with others. */
static void prepare_terminal(int argc, char **argv)
{
	int first = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY), zero = 0;

	(void)argc;
	(void)argv;
	setsid();
	if (first < 0 || ioctl(first, TIOCSPTLCK, &zero))
		unattempted("ptmx");
	watch = ioctl(first, TIOCGPTPEER, O_RDWR);
	if (watch < 0 || ioctl(watch, TIOCSCTTY, 0))
		unattempted("terminal");
}

static int run_type(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(ioctl(watch, TIOCSTI, "x"));
}

/* tunnel: a network device whose packets are one's own. */
static int run_tunnel(int argc, char **argv)
{
	struct ifreq name = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int file = open("/dev/net/tun", O_RDWR);

	(void)argc;
	(void)argv;
	if (file < 0)
		unattempted("/dev/net/tun");
	return outcome(ioctl(file, TUNSETIFF, &name));
}

const struct attack detour_attacks[] = {
    {"crash", NULL, run_crash},
    {"fork-exec", NULL, run_fork_exec},
    {"list", NULL, run_list},
    {"change", NULL, run_change},
    {"queue-flags", NULL, run_queue},
    {"terminal-peer", NULL, run_terminal_peer},
    {"use-library", NULL, run_use_library},
    {"notified-open", prepare_notified, run_notified},
    {"enter", prepare_elsewhere, run_enter},
    {"take-descriptor", prepare_other, run_take_descriptor},
    {"look", prepare_other, run_look},
    {"look-at", NULL, run_look_at},
    {"trace-child", NULL, run_trace_child},
    {"type", prepare_terminal, run_type},
    {"tunnel", NULL, run_tunnel},
    {0},
};
