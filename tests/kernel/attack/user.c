/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ways to act as another user: as whom the rules see who opens a file. */
#include "attack.h"
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static int opens(const char *path)
{
	int file = open(path, O_RDONLY);

	return file < 0 ? -errno : close(file);
}

static unsigned int number(int argc, char **argv)
{
	return (unsigned int)strtoul(argument(argc, argv, 0), NULL, 10);
}

/* read-as UID PATH */
static int run_as(int argc, char **argv)
{
	if (setuid(number(argc, argv)))
		unattempted("setuid");
	return opens(argument(argc, argv, 1));
}

/* read-effective UID PATH: the change can be taken back. */
static int run_effective(int argc, char **argv)
{
	if (seteuid(number(argc, argv)))
		unattempted("seteuid");
	return opens(argument(argc, argv, 1));
}

/* read-again UID PATH: what was taken back is as before. */
static int run_again(int argc, char **argv)
{
	if (seteuid(number(argc, argv)) || seteuid(0))
		unattempted("seteuid");
	return opens(argument(argc, argv, 1));
}

/* read-files-as UID PATH: of files only. */
static int run_files_as(int argc, char **argv)
{
	setfsuid(number(argc, argv));
	return opens(argument(argc, argv, 1));
}

struct thread {
	unsigned int uid;
	const char *path;
	int result;
};

static void *in_thread(void *context)
{
	struct thread *t = context;

	/* The system call itself: the C library would change all threads. */
	t->result = syscall(SYS_setresuid, t->uid, t->uid, t->uid) ? -ECANCELED : opens(t->path);
	return NULL;
}

/* read-thread-as UID PATH: one thread alone. */
static int run_thread_as(int argc, char **argv)
{
	struct thread t = {.uid = number(argc, argv), .path = argument(argc, argv, 1)};
	pthread_t thread;

	if (pthread_create(&thread, NULL, in_thread, &t) || pthread_join(thread, NULL) || t.result == -ECANCELED)
		unattempted("a thread");
	return t.result;
}

static void put_map(const char *file, const char *text)
{
	int map = open(file, O_WRONLY);

	if (map < 0 || write(map, text, strlen(text)) < 0)
		unattempted("%s", file);
	close(map);
}

/* read-in-userns UID PATH: this user, who is 0 in a user namespace. */
static int run_in_userns(int argc, char **argv)
{
	unsigned int uid = number(argc, argv);
	char text[32];

	if (uid && setuid(uid))
		unattempted("setuid");
	prctl(PR_SET_DUMPABLE, 1);
	if (unshare(CLONE_NEWUSER))
		unattempted("unshare");
	snprintf(text, sizeof(text), "0 %u 1", uid);
	put_map("/proc/self/uid_map", text);
	if (getuid())
		unattempted("the map");
	return opens(argument(argc, argv, 1));
}

static int executed(void *path)
{
	char *arguments[] = {"kt", "reads", path, NULL};

	execv("/tmp/kt/suid/kt", arguments);
	return -errno;
}

/* read-by-suid UID PATH: this user executes /tmp/kt/suid/kt, a set-user-id program. */
static int run_by_suid(int argc, char **argv)
{
	unsigned int uid = number(argc, argv);

	if (uid && setuid(uid))
		unattempted("setuid");
	return in_child(executed, (void *)argument(argc, argv, 1));
}

/* read-lent UID PATH: the credentials that a ring was lent before the user changed. */
static int run_lent(int argc, char **argv)
{
	struct io_uring_params parameters = {0};
	int ring = (int)syscall(SYS_io_uring_setup, 2, &parameters), lent, result;
	struct io_uring_sqe *entry;
	char *queue, *results;

	if (ring < 0)
		unattempted("io_uring_setup");
	queue = mmap(NULL, parameters.sq_off.array + parameters.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED,
		     ring, IORING_OFF_SQ_RING);
	results = mmap(NULL, parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe),
		       PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	entry = mmap(NULL, parameters.sq_entries * sizeof(*entry), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		     IORING_OFF_SQES);
	lent = (int)syscall(SYS_io_uring_register, ring, IORING_REGISTER_PERSONALITY, NULL, 0);
	if (queue == MAP_FAILED || results == MAP_FAILED || entry == MAP_FAILED || lent < 0)
		unattempted("a ring");
	if (setuid(number(argc, argv)))
		unattempted("setuid");
	*entry = (struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .personality = (uint16_t)lent};
	entry->addr = (uintptr_t)argument(argc, argv, 1);
	*(unsigned int *)(queue + parameters.sq_off.array) = 0;
	__atomic_store_n((unsigned int *)(queue + parameters.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		unattempted("io_uring_enter");
	result = ((struct io_uring_cqe *)(results + parameters.cq_off.cqes))->res;
	return result < 0 ? result : 0;
}

/* read-worker-as UID PATH: by a worker of the kernel's that was there before the user changed. */
static int run_worker_as(int argc, char **argv)
{
	struct io_uring_params parameters = {0};
	int ring = (int)syscall(SYS_io_uring_setup, 2, &parameters), result = 0;
	struct io_uring_sqe *entries;
	char *queue, *results;

	if (ring < 0)
		unattempted("io_uring_setup");
	queue = mmap(NULL, parameters.sq_off.array + parameters.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED,
		     ring, IORING_OFF_SQ_RING);
	results = mmap(NULL, parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe),
		       PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	entries = mmap(NULL, parameters.sq_entries * sizeof(*entries), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		       IORING_OFF_SQES);
	if (queue == MAP_FAILED || results == MAP_FAILED || entries == MAP_FAILED)
		unattempted("a ring");
	for (unsigned int turn = 0; turn < 2; turn++) {
		if (turn && setuid(number(argc, argv)))
			unattempted("setuid");
		entries[turn] = (struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD};
		entries[turn].flags = IOSQE_ASYNC;
		entries[turn].addr = (uintptr_t)argument(argc, argv, 1);
		((unsigned int *)(queue + parameters.sq_off.array))[turn] = turn;
		__atomic_store_n((unsigned int *)(queue + parameters.sq_off.tail), turn + 1, __ATOMIC_RELEASE);
		if (syscall(SYS_io_uring_enter, ring, 1, turn + 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
			unattempted("io_uring_enter");
		result = ((struct io_uring_cqe *)(results + parameters.cq_off.cqes))[turn].res;
		if (!turn && result < 0)
			unattempted("the first open");
	}
	return result < 0 ? result : 0;
}

const struct attack user_attacks[] = {
    {"read-as", NULL, run_as},
    {"read-effective", NULL, run_effective},
    {"read-again", NULL, run_again},
    {"read-files-as", NULL, run_files_as},
    {"read-thread-as", NULL, run_thread_as},
    {"read-in-userns", NULL, run_in_userns},
    {"read-by-suid", NULL, run_by_suid},
    {"read-lent", NULL, run_lent},
    {"read-worker-as", NULL, run_worker_as},
    {0},
};
