/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is got in one policy and used in a later one, and what is got through an io_uring. */
#include "attack.h"
#include <linux/io_uring.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

static void wait_for(const char *go, const char *kind)
{
	char name[512];
	int file;

	snprintf(name, sizeof(name), "%s.%s", go, kind);
	file = open(name, O_CREAT | O_WRONLY, 0644);
	if (file < 0)
		unattempted("making %s", name);
	close(file);
	alarm(600);
	while (access(go, F_OK))
		usleep(20000);
}

static int mapped(void *at)
{
	return at == MAP_FAILED ? -errno : 0;
}

/* keep FILE KIND GO: has FILE open, or a mapping of it, makes GO.KIND, waits for GO, and gets more of it. */
static int run_keep(int argc, char **argv)
{
	const char *kind = argument(argc, argv, 1), *go = argument(argc, argv, 2);
	int file = open(argument(argc, argv, 0), O_RDWR);
	char *before = MAP_FAILED;

	if (file < 0)
		unattempted("open");
	if (strcmp(kind, "more-write") == 0)
		before = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
	if (strcmp(kind, "more-read") == 0)
		before = mmap(NULL, 4096, PROT_NONE, MAP_SHARED, file, 0);
	wait_for(go, kind);
	if (strcmp(kind, "shared-read") == 0)
		return mapped(mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0));
	if (strcmp(kind, "shared-write") == 0)
		return mapped(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, file, 0));
	if (strcmp(kind, "private-read") == 0)
		return mapped(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0));
	if (before == MAP_FAILED)
		unattempted("mapping for %s", kind);
	if (strcmp(kind, "more-write") == 0)
		return outcome(mprotect(before, 4096, PROT_READ | PROT_WRITE));
	return outcome(mprotect(before, 4096, PROT_READ));
}

/* keep-memory GO: writes to a page of code by a descriptor from before. */
static int run_keep_memory(int argc, char **argv)
{
	int file = open("/proc/self/mem", O_RDWR);
	char byte;

	if (file < 0)
		unattempted("/proc/self/mem");
	wait_for(argument(argc, argv, 0), "memory");
	byte = *(char *)(uintptr_t)run_keep_memory;
	return pwrite(file, &byte, 1, (off_t)(uintptr_t)run_keep_memory) == 1 ? 0 : -errno;
}

static pid_t other;

static void prepare_waiting(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	other = fork();
	if (other == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
}

/* keep-other GO: reads another process's memory by a descriptor from before. */
static int run_keep_other(int argc, char **argv)
{
	static char secret = 's';
	char path[64], byte;
	int file;

	snprintf(path, sizeof(path), "/proc/%d/mem", other);
	file = open(path, O_RDONLY);
	if (file < 0)
		unattempted("%s", path);
	wait_for(argument(argc, argv, 0), "other");
	return pread(file, &byte, 1, (off_t)(uintptr_t)&secret) == 1 ? 0 : -errno;
}

/* keep-tracing GO: attached before, asks after. */
static int run_keep_tracing(int argc, char **argv)
{
	static long secret = 's';
	int status;

	if (ptrace(PTRACE_ATTACH, other, NULL, NULL) || waitpid(other, &status, 0) != other)
		unattempted("attach");
	wait_for(argument(argc, argv, 0), "tracing");
	errno = 0;
	return ptrace(PTRACE_PEEKDATA, other, &secret, NULL) == 's' ? 0 : -errno;
}

/* A ring with a file of its own. */
static int make_ring(const char *path)
{
	struct io_uring_params set = {0};
	int ring = (int)syscall(SYS_io_uring_setup, 4, &set), file;

	if (ring < 0)
		unattempted("io_uring_setup");
	if (path) {
		file = open(path, O_RDONLY);
		if (file < 0 || syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &file, 1))
			unattempted("registering a file");
		close(file);
	}
	return ring;
}

/* Takes descriptor `number` of a process, as pidfd_getfd(2) does. */
static int take(pid_t process, int number)
{
	int handle = (int)syscall(SYS_pidfd_open, process, 0);

	if (handle < 0)
		unattempted("pidfd_open");
	return outcome(syscall(SYS_pidfd_getfd, handle, number, 0));
}

/* take-ring FILE: a ring that another process made, with FILE registered in it. */
static int ring, way[2];

static void prepare_take_ring(int argc, char **argv)
{
	ring = make_ring(argument(argc, argv, 0));
	prepare_waiting(argc, argv);
	close(ring);
}

static int run_take_ring(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return take(other, ring);
}

/* give-ring: one's own, to a process outside, which could put files into it. */
static void prepare_give_ring(int argc, char **argv)
{
	pid_t giver = getpid();
	int answer[2];

	(void)argc;
	(void)argv;
	if (pipe(way) || pipe(answer))
		unattempted("pipe");
	if (fork() == 0) {
		int number, got;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (read(way[0], &number, sizeof(number)) != sizeof(number))
			_exit(1);
		got = take(giver, number);
		(void)!write(answer[1], &got, sizeof(got));
		_exit(0);
	}
	way[0] = answer[0];
}

static int run_give_ring(int argc, char **argv)
{
	int got;

	(void)argc;
	(void)argv;
	ring = make_ring(NULL);
	if (write(way[1], &ring, sizeof(ring)) != sizeof(ring) || read(way[0], &got, sizeof(got)) != sizeof(got))
		unattempted("the other process");
	return got;
}

/* keep-ring: made by oneself, and used by a child. */
static int enter_ring(void *nothing)
{
	(void)nothing;
	return outcome(syscall(SYS_io_uring_enter, ring, 0, 0, 0, NULL, 0));
}

static int run_keep_ring(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	ring = make_ring(NULL);
	return in_child(enter_ring, NULL);
}

const struct attack held_attacks[] = {
    {"keep", NULL, run_keep},
    {"keep-memory", NULL, run_keep_memory},
    {"keep-other", prepare_waiting, run_keep_other},
    {"keep-tracing", prepare_waiting, run_keep_tracing},
    {"take-ring", prepare_take_ring, run_take_ring},
    {"give-ring", prepare_give_ring, run_give_ring},
    {"keep-ring", NULL, run_keep_ring},
    {0},
};
