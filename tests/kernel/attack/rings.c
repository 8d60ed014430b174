/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* io_uring: one attack for each of its requests that names something. */
#include "attack.h"
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Of kernels newer than the headers. */
#define OP_BIND 56
#define OP_LISTEN 57

#define PLACE(number) ((uintptr_t)argument(argc, argv, number))

static int run_openat2(int argc, char **argv)
{
	struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_NO_MAGICLINKS};
	struct io_uring_sqe entry = {.opcode = IORING_OP_OPENAT2, .fd = AT_FDCWD, .len = sizeof(how)};

	entry.addr = PLACE(0);
	entry.addr2 = (uintptr_t)&how;
	return ring_request(&entry);
}

/* Into the ring's own table: the process has no descriptor of it. */
static int run_open_direct(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .file_index = 1};

	entry.addr = PLACE(0);
	return ring_request(&entry);
}

/* The second of a chain, begun by the kernel when the first is done. */
static int run_open_linked(int argc, char **argv)
{
	struct io_uring_sqe entries[2] = {{.opcode = IORING_OP_NOP, .flags = IOSQE_IO_LINK},
					  {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD}};

	entries[1].addr = PLACE(0);
	return ring_requests(entries, 2);
}

static int run_rename(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_RENAMEAT, .fd = AT_FDCWD, .len = (uint32_t)AT_FDCWD};

	entry.addr = PLACE(0);
	entry.addr2 = PLACE(1);
	return ring_request(&entry);
}

static int run_link(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_LINKAT, .fd = AT_FDCWD, .len = (uint32_t)AT_FDCWD};

	entry.addr = PLACE(0);
	entry.addr2 = PLACE(1);
	return ring_request(&entry);
}

static int run_symlink(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_SYMLINKAT, .fd = AT_FDCWD};

	entry.addr = PLACE(0);
	entry.addr2 = PLACE(1);
	return ring_request(&entry);
}

static int run_mkdir(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_MKDIRAT, .fd = AT_FDCWD, .len = 0755};

	entry.addr = PLACE(0);
	return ring_request(&entry);
}

static int run_rmdir(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, .unlink_flags = AT_REMOVEDIR};

	entry.addr = PLACE(0);
	return ring_request(&entry);
}

/* An access list, for which the kernel asks for no capability of the owner. */
static int run_set_acl(int argc, char **argv)
{
	static const struct {
		uint32_t version;
		struct {
			uint16_t tag, permissions;
			uint32_t id;
		} entries[5];
	} list = {2, {{1, 6, ~0u}, {2, 4, 1}, {4, 4, ~0u}, {16, 4, ~0u}, {32, 4, ~0u}}};
	struct io_uring_sqe entry = {.opcode = IORING_OP_SETXATTR, .len = sizeof(list)};

	entry.addr = (uintptr_t) "system.posix_acl_access";
	entry.addr2 = (uintptr_t)&list;
	entry.addr3 = PLACE(0);
	return ring_request(&entry);
}

/* uring-socket FAMILY TYPE PROTOCOL */
static int run_socket(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_SOCKET, .fd = atoi(argument(argc, argv, 0))};

	entry.off = (uint64_t)atoi(argument(argc, argv, 1));
	entry.len = (uint32_t)atoi(argument(argc, argv, 2));
	return ring_request(&entry);
}

static void to_address(int argc, char **argv, struct sockaddr_in *to)
{
	*to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argument(argc, argv, 1)))};
	if (inet_pton(AF_INET, argument(argc, argv, 0), &to->sin_addr) != 1)
		unattempted("an address");
}

/* Without a copy: another way through the kernel than sendmsg's. */
static int run_send_zc(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = IORING_OP_SEND_ZC, .len = 1, .addr_len = sizeof(struct sockaddr_in)};
	struct sockaddr_in to;

	to_address(argc, argv, &to);
	entry.fd = socket(AF_INET, SOCK_DGRAM, 0);
	entry.addr = (uintptr_t) "x";
	entry.addr2 = (uintptr_t)&to;
	return ring_request(&entry);
}

static int run_bind(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = OP_BIND};
	struct sockaddr_in at;

	to_address(argc, argv, &at);
	entry.fd = socket(AF_INET, SOCK_STREAM, 0);
	entry.addr = (uintptr_t)&at;
	entry.addr2 = sizeof(at);
	return ring_request(&entry);
}

static int run_listen(int argc, char **argv)
{
	struct io_uring_sqe entry = {.opcode = OP_LISTEN, .len = 1};

	(void)argc;
	(void)argv;
	entry.fd = socket(AF_INET, SOCK_STREAM, 0);
	return ring_request(&entry);
}

/* uring-as FILE: registers its rights, gives them up, and has the ring open with them. */
static int run_as(int argc, char **argv)
{
	struct io_uring_params parameters = {0};
	int ring = (int)syscall(SYS_io_uring_setup, 2, &parameters), number;

	if (ring < 0)
		unattempted("io_uring_setup");
	number = (int)syscall(SYS_io_uring_register, ring, IORING_REGISTER_PERSONALITY, NULL, 0);
	if (number < 0)
		unattempted("registering");
	struct io_uring_sqe *entries = mmap(NULL, parameters.sq_entries * sizeof(*entries), PROT_READ | PROT_WRITE,
					    MAP_SHARED, ring, IORING_OFF_SQES);
	char *queue = mmap(NULL, parameters.sq_off.array + parameters.sq_entries * 4, PROT_READ | PROT_WRITE,
			   MAP_SHARED, ring, IORING_OFF_SQ_RING);
	char *results = mmap(NULL, parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe),
			     PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);

	if (entries == MAP_FAILED || queue == MAP_FAILED || results == MAP_FAILED)
		unattempted("mapping a ring");
	entries[0] = (struct io_uring_sqe){
	    .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .personality = (uint16_t)number, .addr = PLACE(0)};
	__atomic_store_n((unsigned int *)(queue + parameters.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		unattempted("io_uring_enter");
	number = ((struct io_uring_cqe *)(results + parameters.cq_off.cqes))->res;
	return number < 0 ? number : 0;
}

const struct attack ring_attacks[] = {
    {"uring-openat2", NULL, run_openat2},
    {"uring-open-direct", NULL, run_open_direct},
    {"uring-open-linked", NULL, run_open_linked},
    {"uring-rename", NULL, run_rename},
    {"uring-link", NULL, run_link},
    {"uring-symlink", NULL, run_symlink},
    {"uring-mkdir", NULL, run_mkdir},
    {"uring-rmdir", NULL, run_rmdir},
    {"uring-set-acl", NULL, run_set_acl},
    {"uring-socket", NULL, run_socket},
    {"uring-send-zc", NULL, run_send_zc},
    {"uring-bind", NULL, run_bind},
    {"uring-listen", NULL, run_listen},
    {"uring-as", NULL, run_as},
    {0},
};
