/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is open and can neither be read nor written, memory that is seen without opening it, huge pages, who waits for
 * an answer, and a process whose first thread has ended.
 */
#include "attack.h"
#include <linux/loop.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define O_NEITHER 3 /* open(2): for ioctl(2) only */

/* open-neither PATH [device]: no reading and no writing; of /dev/loop-control a request is made, too. */
static int run_open_neither(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_NEITHER | O_CLOEXEC);

	if (file < 0)
		return -errno;
	return argc > 2 && ioctl(file, LOOP_CTL_GET_FREE) < 0 ? -errno : 0;
}

static int ends[2];

/* Sends a descriptor to `ends[1]`, from a process outside the unit. */
static void hand_over(int (*make)(const char *), const char *what)
{
	char text[CMSG_SPACE(sizeof(int))] = {}, byte = 'x';
	struct iovec one = {&byte, 1};
	struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = text, .msg_controllen = sizeof(text)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int file = make(what);

	if (file < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		unattempted("what is to be handed over");
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &file, sizeof(file));
	if (sendmsg(ends[0], &message, 0) != 1)
		unattempted("sendmsg");
	close(file);
}

static int take_over(void)
{
	char text[CMSG_SPACE(sizeof(int))] = {}, byte;
	struct iovec one = {&byte, 1};
	struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = text, .msg_controllen = sizeof(text)};
	struct cmsghdr *header;
	int file;

	if (recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC) != 1)
		unattempted("recvmsg");
	if (message.msg_flags & MSG_CTRUNC)
		refused("MSG_CTRUNC");
	header = CMSG_FIRSTHDR(&message);
	if (!header)
		unattempted("no descriptor came");
	memcpy(&file, CMSG_DATA(header), sizeof(file));
	return file;
}

static int make_neither(const char *path)
{
	return open(path, O_NEITHER | O_CLOEXEC);
}

/* take-neither PATH: such a descriptor, handed over from outside the unit. */
static void prepare_take_neither(int argc, char **argv)
{
	hand_over(make_neither, argument(argc, argv, 0));
}

static int run_take(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	take_over();
	return 0;
}

#define HUGE (2ul << 20)

static int make_huge(const char *unused)
{
	int file = memfd_create("huge", MFD_HUGETLB | MFD_CLOEXEC);

	(void)unused;
	return file >= 0 && ftruncate(file, HUGE) ? -1 : file;
}

/* take-huge: memory without a name, of huge pages, as /dev/shm's users and QEMU hand it on. */
static void prepare_take_huge(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	hand_over(make_huge, NULL);
}

static int run_take_huge(int argc, char **argv)
{
	int file = take_over();
	char *at = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	(void)argc;
	(void)argv;
	if (at == MAP_FAILED)
		return -errno;
	at[0] = 1;
	return 0;
}

/* map-huge: anonymous memory of huge pages. */
static int run_map_huge(int argc, char **argv)
{
	char *at = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	(void)argc;
	(void)argv;
	if (at == MAP_FAILED)
		return -errno;
	at[0] = 1;
	return 0;
}

/* open-huge: one's own, by its descriptor in /proc. */
static int run_open_huge(int argc, char **argv)
{
	char path[64];
	int file = make_huge(NULL);

	(void)argc;
	(void)argv;
	if (file < 0)
		unattempted("a memfd of huge pages");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return outcome(open(path, O_RDWR | O_CLOEXEC));
}

static pid_t other;
static int theirs;

/* Another process outside the unit: with memory of huge pages, and with something on its stack. */
static void prepare_other(int argc, char **argv)
{
	int ready[2];

	(void)argc;
	(void)argv;
	if (pipe(ready))
		unattempted("pipe");
	other = fork();
	if (other == 0) {
		volatile char secret[64];
		int file = make_huge(NULL);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < 33; i++)
			secret[i] = "a secret on the stack of another"[i];
		(void)!write(ready[1], &file, sizeof(file));
		for (volatile unsigned long turn = 0;; turn++)
			secret[40] = (char)(secret[41] + turn);
	}
	if (read(ready[0], &theirs, sizeof(theirs)) != sizeof(theirs))
		unattempted("the other process");
}

/* open-their-huge: what another process holds, by its descriptors in /proc. */
static int run_open_their_huge(int argc, char **argv)
{
	char path[64];

	(void)argc;
	(void)argv;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", other, theirs);
	return outcome(open(path, O_RDWR | O_CLOEXEC));
}

#define PAGES 64

/* The process, or all on a CPU, is looked at while it runs: its registers and its stack. */
static int sample(pid_t pid, int cpu, unsigned long long kind)
{
	struct perf_event_attr request = {
	    .type = PERF_TYPE_SOFTWARE,
	    .size = sizeof(request),
	    .config = PERF_COUNT_SW_CPU_CLOCK,
	    .sample_period = 1000000,
	    .sample_type = kind,
	    .exclude_kernel = 1,
	    .exclude_hv = 1,
	};
	int event;

	if (kind & PERF_SAMPLE_STACK_USER)
		request.sample_stack_user = 8192;
	if (kind & PERF_SAMPLE_REGS_USER)
		request.sample_regs_user = 0xff;
	event = (int)syscall(SYS_perf_event_open, &request, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return event < 0 ? -errno : event;
}

static int find_secret(int event)
{
	char *at = mmap(NULL, (PAGES + 1) * 4096ul, PROT_READ | PROT_WRITE, MAP_SHARED, event, 0);

	if (at == MAP_FAILED)
		return -errno;
	for (int turn = 0; turn < 100; turn++) {
		usleep(50000);
		if (memmem(at + 4096, PAGES * 4096ul, "a secret on the stack", 21))
			return 0;
	}
	unattempted("nothing was seen");
}

/* look-at-stack process|cpu|registers */
static int run_look_at_stack(int argc, char **argv)
{
	const char *how = argument(argc, argv, 0);
	int event;

	if (strcmp(how, "registers") == 0) {
		event = sample(other, -1, PERF_SAMPLE_REGS_USER | PERF_SAMPLE_TID);
		return event < 0 ? event : 0;
	}
	event = strcmp(how, "cpu") ? sample(other, -1, PERF_SAMPLE_STACK_USER) : sample(-1, 0, PERF_SAMPLE_STACK_USER);
	return event < 0 ? event : find_secret(event);
}

/* count-other: only how long it runs. */
static int run_count_other(int argc, char **argv)
{
	int event = sample(other, -1, PERF_SAMPLE_IP | PERF_SAMPLE_TID);

	(void)argc;
	(void)argv;
	return event < 0 ? event : 0;
}

/*
 * leave-without-first CGROUP FILE: a process whose first thread ended before it came into the unit leaves for CGROUP,
 * and reads FILE.
 */
static struct {
	int go[2], said[2], away;
	const char *file;
} left;

static void *second_thread(void *unused)
{
	char unit[512];
	ssize_t length;
	int file, result;

	(void)unused;
	length = read(left.go[0], unit, sizeof(unit) - 1);
	if (length <= 0)
		_exit(1);
	unit[length] = '\0';
	file = open(unit, O_WRONLY | O_CLOEXEC);
	if (file < 0 || write(file, "0", 1) != 1 || write(left.away, "0", 1) != 1) {
		result = -1000 - errno;
	} else {
		file = open(left.file, O_RDONLY | O_CLOEXEC);
		result = file < 0 ? -errno : 0;
	}
	(void)!write(left.said[1], &result, sizeof(result));
	_exit(0);
}

static void prepare_leave_without(int argc, char **argv)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/cgroup.procs", argument(argc, argv, 0));
	mkdir(argument(argc, argv, 0), 0755);
	left.away = open(path, O_WRONLY | O_CLOEXEC);
	left.file = argument(argc, argv, 1);
	if (left.away < 0 || pipe(left.go) || pipe(left.said))
		unattempted("a cgroup to go to");
	other = fork();
	if (other == 0) {
		pthread_t thread;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(20);
		if (pthread_create(&thread, NULL, second_thread, NULL))
			_exit(1);
		syscall(SYS_exit, 0);
	}
	usleep(200000);
}

static int run_leave_without(int argc, char **argv)
{
	char text[512] = "", unit[600];
	int file = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC), result;
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
	char *at = length > 0 ? strstr(text, "0::") : NULL;

	(void)argc;
	(void)argv;
	if (!at)
		unattempted("its own cgroup");
	at[strcspn(at, "\n")] = '\0';
	snprintf(unit, sizeof(unit), "/sys/fs/cgroup%s/cgroup.procs", at + 3);
	if (write(left.go[1], unit, strlen(unit)) < 0 || read(left.said[0], &result, sizeof(result)) != sizeof(result))
		unattempted("the other process");
	if (result <= -1000) {
		errno = -1000 - result;
		unattempted("moving");
	}
	return result;
}

/* hold-folder FOLDER GO: who opens the folder or what is in it waits for an answer that does not come, until GO. */
static int run_hold_folder(int argc, char **argv)
{
	const char *go = argument(argc, argv, 1);
	char told[512];
	int watch = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY), result;

	if (watch < 0)
		unattempted("fanotify_init");
	result = outcome(fanotify_mark(watch, FAN_MARK_ADD, FAN_OPEN_PERM | FAN_ONDIR | FAN_EVENT_ON_CHILD, AT_FDCWD,
				       argument(argc, argv, 0)));
	snprintf(told, sizeof(told), "%s.held", go);
	close(open(told, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	if (result || strcmp(go, "-") == 0)
		return result;
	alarm(60);
	while (access(go, F_OK))
		usleep(20000);
	return 0;
}

/*
 * keep-odd FILE KIND GO: has FILE open, or a mapping of it without any right, makes GO.KIND, waits for GO, maps it so
 * that it may be written or executed only, and reads.
 */
static int run_keep_odd(int argc, char **argv)
{
	const char *kind = argument(argc, argv, 1), *go = argument(argc, argv, 2);
	int file = open(argument(argc, argv, 0), O_RDWR | O_CLOEXEC), result = 0;
	int shared = strstr(kind, "shared") != NULL, right = strstr(kind, "exec") ? PROT_EXEC : PROT_WRITE;
	volatile char *at = MAP_FAILED;
	char told[512];

	if (file < 0)
		unattempted("open");
	if (strstr(kind, "more")) {
		at = mmap(NULL, 4096, PROT_NONE, shared ? MAP_SHARED : MAP_PRIVATE, file, 0);
		if (at == MAP_FAILED)
			unattempted("a mapping without rights");
	}
	snprintf(told, sizeof(told), "%s.%s", go, kind);
	close(open(told, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	alarm(600);
	while (access(go, F_OK))
		usleep(20000);
	if (at != MAP_FAILED)
		result = outcome(mprotect((void *)at, 4096, right));
	else
		at = mmap(NULL, 4096, right, shared ? MAP_SHARED : MAP_PRIVATE, file, 0);
	if (at == MAP_FAILED || result)
		return result ? result : -errno;
	/* Where the processor knows what may be executed only, reading would end this. */
	return right == PROT_EXEC || at[0] == 'x' ? 0 : -ENODATA;
}

/*
 * make-overlay FOLDER: an overlay of its folders l, u and w, which is mounted nowhere. The kernel empties w/work for
 * it, where `victim` is.
 */
static int run_make_overlay(int argc, char **argv)
{
	const char *folder = argument(argc, argv, 0);
	const char *options[][2] = {{"lowerdir", "l"}, {"upperdir", "u"}, {"workdir", "w"}};
	int context = (int)syscall(SYS_fsopen, "overlay", 0);
	char path[512];

	if (context < 0)
		return errno == EPERM ? -EPERM : (unattempted("fsopen"), 0);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, options[i][1]);
		if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, options[i][0], path, 0))
			unattempted("%s", options[i][0]);
	}
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	snprintf(path, sizeof(path), "%s/w/work/victim", folder);
	if (access(path, F_OK) == 0)
		unattempted("it is still there");
	return 0;
}

const struct attack fourth_attacks[] = {{"open-neither", NULL, run_open_neither},
					{"take-neither", prepare_take_neither, run_take},
					{"take-huge", prepare_take_huge, run_take_huge},
					{"map-huge", NULL, run_map_huge},
					{"open-huge", NULL, run_open_huge},
					{"open-their-huge", prepare_other, run_open_their_huge},
					{"look-at-stack", prepare_other, run_look_at_stack},
					{"count-other", prepare_other, run_count_other},
					{"leave-without-first", prepare_leave_without, run_leave_without},
					{"hold-folder", NULL, run_hold_folder},
					{"keep-odd", NULL, run_keep_odd},
					{"make-overlay", NULL, run_make_overlay},
					{NULL, NULL, NULL}};
