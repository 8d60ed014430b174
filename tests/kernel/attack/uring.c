/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* io_uring: system calls without system calls. */
#include "attack.h"
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Submits entries, one or two, to a new ring and gives the result of the last. */
static int submit_all(const struct io_uring_sqe *entry, unsigned int count, unsigned int flags)
{
	struct io_uring_params parameters = {.flags = flags, .sq_thread_idle = 1000};
	struct io_uring_rsrc_register slots = {.nr = 4, .flags = IORING_RSRC_REGISTER_SPARSE};
	int ring = (int)syscall(SYS_io_uring_setup, 2, &parameters);
	char *queue, *results;
	unsigned int tail, head;

	if (ring < 0)
		return -errno;
	queue = mmap(NULL, parameters.sq_off.array + parameters.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED,
		     ring, IORING_OFF_SQ_RING);
	results = mmap(NULL, parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe),
		       PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	struct io_uring_sqe *entries = mmap(NULL, parameters.sq_entries * sizeof(*entries), PROT_READ | PROT_WRITE,
					    MAP_SHARED, ring, IORING_OFF_SQES);

	if (queue == MAP_FAILED || results == MAP_FAILED || entries == MAP_FAILED)
		unattempted("mapping a ring");
	if (entry->opcode == IORING_OP_OPENAT && entry->file_index &&
	    syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES2, &slots, sizeof(slots)))
		unattempted("a table of files");
	tail = *(unsigned int *)(queue + parameters.sq_off.tail);
	for (unsigned int i = 0; i < count; i++) {
		entries[i] = entry[i];
		((unsigned int *)(queue + parameters.sq_off.array))[i] = i;
	}
	__atomic_store_n((unsigned int *)(queue + parameters.sq_off.tail), tail + count, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, count, count,
		    IORING_ENTER_GETEVENTS | (flags & IORING_SETUP_SQPOLL ? IORING_ENTER_SQ_WAKEUP : 0), NULL, 0) < 0)
		unattempted("io_uring_enter");
	head = *(unsigned int *)(results + parameters.cq_off.head) + count - 1;
	return ((struct io_uring_cqe *)(results + parameters.cq_off.cqes))[head & (parameters.cq_entries - 1)].res;
}

static int submit(const struct io_uring_sqe *entry, unsigned int flags)
{
	return submit_all(entry, 1, flags);
}

int ring_request(const struct io_uring_sqe *entry)
{
	int result = submit_all(entry, 1, 0);

	return result < 0 ? result : 0;
}

int ring_requests(const struct io_uring_sqe *entry, unsigned int count)
{
	int result = submit_all(entry, count, 0);

	return result < 0 ? result : 0;
}

static int opened(int argc, char **argv, unsigned int flags)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .open_flags = O_RDONLY};
	int result;

	entry.addr = (uintptr_t)argument(argc, argv, 0);
	result = submit(&entry, flags);
	return result < 0 ? result : 0;
}

static int run_open(int argc, char **argv)
{
	return opened(argc, argv, 0);
}

static int run_open_write(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .open_flags = O_WRONLY};
	int result;

	entry.addr = (uintptr_t)argument(argc, argv, 0);
	result = submit(&entry, 0);
	return result < 0 ? result : 0;
}

/* The kernel's own thread submits. */
static int run_open_polled(int argc, char **argv)
{
	return opened(argc, argv, IORING_SETUP_SQPOLL);
}

/* A kernel worker thread does it. */
static int run_open_async(int argc, char **argv)
{
	struct io_uring_sqe entry = {
	    .opcode = IORING_OP_OPENAT, .flags = IOSQE_ASYNC, .fd = AT_FDCWD, .open_flags = O_RDONLY};
	int result;

	entry.addr = (uintptr_t)argument(argc, argv, 0);
	result = submit(&entry, 0);
	return result < 0 ? result : 0;
}

static int run_unlink(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD};
	int result;

	entry.addr = (uintptr_t)argument(argc, argv, 0);
	result = submit(&entry, 0);
	return result < 0 ? result : 0;
}

static void prepare_listener(int argc, char **argv)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argument(argc, argv, 1)))};
	int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(server, (struct sockaddr *)&any, sizeof(any)) || listen(server, 8))
		unattempted("a listener");
}

static int run_connect(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argument(argc, argv, 1)))};
	struct io_uring_sqe entry = {.opcode = IORING_OP_CONNECT, .fd = socket(AF_INET, SOCK_STREAM, 0)};
	int result;

	if (entry.fd < 0 || inet_pton(AF_INET, argument(argc, argv, 0), &to.sin_addr) != 1)
		unattempted("socket");
	entry.addr = (uintptr_t)&to;
	entry.off = sizeof(to);
	result = submit(&entry, 0);
	return result < 0 ? result : 0;
}

static int run_sendmsg(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argument(argc, argv, 1)))};
	struct iovec vector = {.iov_base = "x", .iov_len = 1};
	struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &vector, .msg_iovlen = 1};
	struct io_uring_sqe entry = {.opcode = IORING_OP_SENDMSG, .fd = socket(AF_INET, SOCK_DGRAM, 0)};
	int result;

	if (entry.fd < 0 || inet_pton(AF_INET, argument(argc, argv, 0), &to.sin_addr) != 1)
		unattempted("socket");
	entry.addr = (uintptr_t)&message;
	result = submit(&entry, 0);
	return result < 0 ? result : 0;
}

/* poison-by-ring FILE: as `poison` does; a child asks, which the kernel may end for it. */
static int run_poison(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY | O_CLOEXEC), status;
	struct io_uring_sqe entry = {
	    .opcode = IORING_OP_MADVISE, .fd = -1, .len = 4096, .fadvise_advice = MADV_HWPOISON};
	pid_t child;
	char byte;

	entry.addr = (uintptr_t)mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
	if (file < 0 || (void *)entry.addr == MAP_FAILED || pread(file, &byte, 1, 0) != 1)
		unattempted("mapping and reading it");
	child = fork();
	if (child == 0)
		child_end(submit(&entry, 0));
	if (child < 0 || waitpid(child, &status, 0) != child)
		unattempted("fork");
	if (WIFEXITED(status) && WEXITSTATUS(status) != RAN)
		return -WEXITSTATUS(status);
	return pread(file, &byte, 1, 0) == 1 ? -ETIMEDOUT : 0;
}

const struct attack uring_attacks[] = {
    {"poison-by-ring", NULL, run_poison},
    {"uring-open", NULL, run_open},
    {"uring-open-write", NULL, run_open_write},
    {"uring-open-polled", NULL, run_open_polled},
    {"uring-open-async", NULL, run_open_async},
    {"uring-unlink", NULL, run_unlink},
    {"uring-connect", prepare_listener, run_connect},
    {"uring-sendmsg", NULL, run_sendmsg},
    {0},
};
