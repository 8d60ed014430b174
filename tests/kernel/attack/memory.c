/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Executable memory that no unmodified file backs. */
#include "attack.h"
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>

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
    {0},
};
