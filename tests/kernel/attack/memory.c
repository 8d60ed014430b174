/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Executable memory that no unmodified file backs. */
#include "attack.h"
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>
#include <sys/socket.h>

/* mov $42, %eax; ret */
static const unsigned char code[] = {0xb8, RAN, 0, 0, 0, 0xc3};

static int call(void *at)
{
	return ((int (*)(void))at)() == RAN ? 0 : -EIO;
}

static int run_map_wx(int argc, char **argv)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)argc;
	(void)argv;
	if (at == MAP_FAILED)
		return -errno;
	memcpy(at, code, sizeof(code));
	return call(at);
}

/* Executable and not writable: nothing can be put there by this process, but by others or by a later mprotect(2). */
static int run_map_x(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -errno : 0;
}

static int run_write_then_protect(int argc, char **argv)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)argc;
	(void)argv;
	if (at == MAP_FAILED)
		unattempted("mmap");
	memcpy(at, code, sizeof(code));
	if (mprotect(at, 4096, PROT_READ | PROT_EXEC))
		return -errno;
	return call(at);
}

static int run_heap_exec(int argc, char **argv)
{
	void *old = sbrk(0), *at = (void *)(((uintptr_t)old + 4095) & ~4095ul);

	(void)argc;
	(void)argv;
	if (brk((char *)at + 4096))
		unattempted("brk");
	memcpy(at, code, sizeof(code));
	if (mprotect(at, 4096, PROT_READ | PROT_WRITE | PROT_EXEC))
		return -errno;
	return call(at);
}

static int run_stack_exec(int argc, char **argv)
{
	unsigned char buffer[8192];
	void *at = (void *)(((uintptr_t)buffer + 4095) & ~4095ul);

	(void)argc;
	(void)argv;
	memcpy(at, code, sizeof(code));
	if (mprotect(at, 4096, PROT_READ | PROT_WRITE | PROT_EXEC))
		return -errno;
	return call(at);
}

/* modified-file PATH: a private mapping of an allowed file, changed, then made executable. */
static int run_modified_file(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);

	if (file < 0 || at == MAP_FAILED)
		unattempted("open and map");
	memcpy(at, code, sizeof(code));
	if (mprotect(at, 4096, PROT_READ | PROT_EXEC))
		return -errno;
	return call(at);
}

/* wx-file PATH: a private mapping of an allowed file, writable and executable at once. */
static int run_wx_file(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);
	void *at;

	if (file < 0)
		unattempted("open");
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, file, 0);
	if (at == MAP_FAILED)
		return -errno;
	memcpy(at, code, sizeof(code));
	return call(at);
}

static int run_memfd_exec_map(int argc, char **argv)
{
	int memory = memfd_create("kt", 0);
	void *at;

	(void)argc;
	(void)argv;
	if (memory < 0 || write(memory, code, sizeof(code)) != sizeof(code))
		unattempted("memfd");
	at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, memory, 0);
	if (at == MAP_FAILED)
		return -errno;
	return call(at);
}

static int run_shm_exec(int argc, char **argv)
{
	int segment = shmget(IPC_PRIVATE, 4096, 0700);
	void *at;

	(void)argc;
	(void)argv;
	if (segment < 0)
		unattempted("shmget");
	at = shmat(segment, NULL, SHM_EXEC);
	shmctl(segment, IPC_RMID, NULL);
	if (at == (void *)-1)
		return -errno;
	memcpy(at, code, sizeof(code));
	return call(at);
}

/* After this, the kernel makes every readable mapping executable. */
static int run_personality(int argc, char **argv)
{
	void *at;

	(void)argc;
	(void)argv;
	if (personality(READ_IMPLIES_EXEC) < 0)
		return -errno;
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	memcpy(at, code, sizeof(code));
	return call(at);
}

__attribute__((noinline)) static int overwritten(void)
{
	__asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop");
	return 0;
}

/* /proc/self/mem writes through page protection: it changes program text without mprotect. */
static int run_self_mem(int argc, char **argv)
{
	int memory = open("/proc/self/mem", O_RDWR);

	(void)argc;
	(void)argv;
	if (memory < 0)
		return -errno;
	if (pwrite(memory, code, sizeof(code), (off_t)(uintptr_t)overwritten) != sizeof(code))
		return -errno;
	return call((void *)overwritten);
}

/* child-mem: another process's memory file, which the kernel lets its parent open. */
static int run_child_mem(int argc, char **argv)
{
	char path[64];
	int memory;
	pid_t child = fork();

	(void)argc;
	(void)argv;
	if (child < 0)
		unattempted("fork");
	if (child == 0) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/task/%d/mem", child, child);
	memory = open(path, O_RDWR);
	if (memory < 0)
		return -errno;
	return pwrite(memory, code, sizeof(code), (off_t)(uintptr_t)overwritten) == sizeof(code) ? 0 : -errno;
}

/* passed-mem: the descriptor comes from a process that is not confined. */
static int passed[2];

static void prepare_passed_mem(int argc, char **argv)
{
	int memory = open("/proc/self/mem", O_RDWR);
	char space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec vector = {.iov_base = (char *)"x", .iov_len = 1};
	struct msghdr message = {
	    .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	(void)argc;
	(void)argv;
	if (memory < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, passed))
		unattempted("open and socketpair");
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &memory, sizeof(memory));
	if (sendmsg(passed[0], &message, 0) != 1)
		unattempted("sendmsg");
	close(memory);
}

static int run_passed_mem(int argc, char **argv)
{
	char space[CMSG_SPACE(sizeof(int))], byte;
	struct iovec vector = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
	    .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *header;
	int memory;

	(void)argc;
	(void)argv;
	if (recvmsg(passed[1], &message, 0) != 1)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_len < CMSG_LEN(sizeof(int))) {
		if (message.msg_flags & MSG_CTRUNC)
			refused("MSG_CTRUNC");
		unattempted("no descriptor in the message");
	}
	memcpy(&memory, CMSG_DATA(header), sizeof(memory));
	if (pwrite(memory, code, sizeof(code), (off_t)(uintptr_t)overwritten) != sizeof(code))
		return -errno;
	return call((void *)overwritten);
}

/* twice-mapped FILE (or memfd): one mapping to write, one to execute. */
static int twice_mapped(int file)
{
	void *in, *out;

	if (file < 0 || ftruncate(file, 4096))
		unattempted("a file");
	in = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (in == MAP_FAILED)
		unattempted("mmap");
	memcpy(in, code, sizeof(code));
	out = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
	return out == MAP_FAILED ? -errno : call(out);
}

static int run_twice_mapped(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return twice_mapped(memfd_create("kt", 0));
}

static int run_removed_file(int argc, char **argv)
{
	const char *path = argument(argc, argv, 0);
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0700);

	if (file < 0 || unlink(path))
		unattempted("a removed file");
	return twice_mapped(file);
}

/* The entries of a ring are memory that the process writes, in a file of the kernel's own. */
static int run_ring_exec(int argc, char **argv)
{
	struct io_uring_params parameters = {0};
	int ring = (int)syscall(SYS_io_uring_setup, 64, &parameters);
	void *in, *out;

	(void)argc;
	(void)argv;
	if (ring < 0)
		unattempted("io_uring_setup");
	in = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	if (in == MAP_FAILED)
		unattempted("mapping the ring");
	memcpy(in, code, sizeof(code));
	out = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, ring, IORING_OFF_SQES);
	return out == MAP_FAILED ? -errno : call(out);
}

/* With READ_IMPLIES_EXEC the heap grows executable, and brk(2) asks nobody. */
static int run_personality_heap(int argc, char **argv)
{
	char *old = sbrk(0), *at = (char *)(((uintptr_t)old + 4095) & ~4095ul);

	(void)argc;
	(void)argv;
	if (personality(READ_IMPLIES_EXEC) < 0)
		return -errno;
	if (brk(at + 4096))
		unattempted("brk");
	memcpy(at, code, sizeof(code));
	return call(at);
}

/* The same by the 32-bit system call. */
static int run_personality_heap_32(int argc, char **argv)
{
	char *old = sbrk(0), *at = (char *)(((uintptr_t)old + 4095) & ~4095ul);
	long result;

	(void)argc;
	(void)argv;
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(136L /* personality */), "b"((long)READ_IMPLIES_EXEC)
			 : "memory", "r8", "r9", "r10", "r11");
	if (result < 0)
		return (int)result;
	if (brk(at + 4096))
		unattempted("brk");
	memcpy(at, code, sizeof(code));
	return call(at);
}

/* userfaultfd FILE: a page of a mapping that may only be executed, put there by the kernel. */
static int run_userfault(int argc, char **argv)
{
	static unsigned char page[4096] __attribute__((aligned(4096)));
	int fault = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	int file = open(argument(argc, argv, 0), O_RDONLY);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register request = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdio_copy copy = {0};
	void *at;

	if (fault < 0)
		return -errno;
	/* Beyond the file's end nothing is there yet. */
	at = file < 0 ? MAP_FAILED : mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 1 << 21);
	if (at == MAP_FAILED || ioctl(fault, UFFDIO_API, &api))
		unattempted("mmap and UFFDIO_API");
	request.range.start = (uintptr_t)at;
	request.range.len = 8192;
	if (ioctl(fault, UFFDIO_REGISTER, &request))
		unattempted("UFFDIO_REGISTER");
	memcpy(page, code, sizeof(code));
	copy.dst = (uintptr_t)at;
	copy.src = (uintptr_t)page;
	copy.len = 4096;
	if (ioctl(fault, UFFDIO_COPY, &copy))
		unattempted("UFFDIO_COPY");
	return call(at);
}

const struct attack memory_attacks[] = {
    {"map-wx", NULL, run_map_wx},
    {"map-x", NULL, run_map_x},
    {"write-then-protect", NULL, run_write_then_protect},
    {"heap-exec", NULL, run_heap_exec},
    {"stack-exec", NULL, run_stack_exec},
    {"modified-file", NULL, run_modified_file},
    {"wx-file", NULL, run_wx_file},
    {"memfd-exec-map", NULL, run_memfd_exec_map},
    {"shm-exec", NULL, run_shm_exec},
    {"personality", NULL, run_personality},
    {"self-mem", NULL, run_self_mem},
    {"child-mem", NULL, run_child_mem},
    {"passed-mem", prepare_passed_mem, run_passed_mem},
    {"twice-mapped", NULL, run_twice_mapped},
    {"removed-file", NULL, run_removed_file},
    {"ring-exec", NULL, run_ring_exec},
    {"personality-heap", NULL, run_personality_heap},
    {"personality-heap-32", NULL, run_personality_heap_32},
    {"userfault", NULL, run_userfault},
    {0},
};
