/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* System calls by the 32-bit entry of the kernel (int 0x80), with numbers and structures of their own. */
#include "attack.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Numbers of arch/x86/entry/syscalls/syscall_32.tbl. */
enum {
	OLD_OPEN = 5,
	OLD_LINK = 9,
	OLD_UNLINK = 10,
	OLD_EXECVE = 11,
	OLD_CHMOD = 15,
	OLD_MOUNT = 21,
	OLD_PTRACE = 26,
	OLD_RENAME = 38,
	OLD_MKDIR = 39,
	OLD_SOCKETCALL = 102,
};

static long call(long number, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"((long)a), "c"((long)b), "d"((long)c), "S"((long)d), "D"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

static char *low;

/* A copy where an address has 32 bits. */
static uint32_t placed(const void *bytes, size_t length)
{
	static size_t used;
	char *at;

	if (!low)
		low = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (low == MAP_FAILED || used + length + 16 > 8192)
		unattempted("memory");
	at = memcpy(low + used, bytes, length);
	used += (length + 15) / 16 * 16;
	return (uint32_t)(uintptr_t)at;
}

static uint32_t text(int argc, char **argv, int place)
{
	const char *word = argument(argc, argv, place);

	return placed(word, strlen(word) + 1);
}

static int run_open(int argc, char **argv)
{
	long file = call(OLD_OPEN, text(argc, argv, 0), O_RDONLY, 0, 0);

	return file < 0 ? (int)file : 0;
}

static int run_link(int argc, char **argv)
{
	return (int)call(OLD_LINK, text(argc, argv, 0), text(argc, argv, 1), 0, 0);
}

static int run_unlink(int argc, char **argv)
{
	return (int)call(OLD_UNLINK, text(argc, argv, 0), 0, 0, 0);
}

static int run_rename(int argc, char **argv)
{
	return (int)call(OLD_RENAME, text(argc, argv, 0), text(argc, argv, 1), 0, 0);
}

static int run_mkdir(int argc, char **argv)
{
	return (int)call(OLD_MKDIR, text(argc, argv, 0), 0755, 0, 0);
}

static int run_chmod(int argc, char **argv)
{
	return (int)call(OLD_CHMOD, text(argc, argv, 0), 0777, 0, 0);
}

static int run_execve(int argc, char **argv)
{
	uint32_t path = text(argc, argv, 0), list[2] = {path, 0}, none = 0;

	return (int)call(OLD_EXECVE, path, placed(list, sizeof(list)), placed(&none, sizeof(none)), 0);
}

/* old-mount FROM TO: binds. */
static int run_mount(int argc, char **argv)
{
	return (int)call(OLD_MOUNT, text(argc, argv, 0), text(argc, argv, 1), 0, 4096);
}

/* old-tcp ADDRESS PORT: the calls on sockets have one number for all. */
static int run_tcp(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argument(argc, argv, 1)))};
	uint32_t words[3] = {(uint32_t)socket(AF_INET, SOCK_STREAM, 0), 0, sizeof(to)};

	if (inet_pton(AF_INET, argument(argc, argv, 0), &to.sin_addr) != 1)
		unattempted("an address");
	words[1] = placed(&to, sizeof(to));
	return (int)call(OLD_SOCKETCALL, 3, placed(words, sizeof(words)), 0, 0);
}

static void prepare_listener(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argument(argc, argv, 1)))};
	int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(server, (struct sockaddr *)&at, sizeof(at)) || listen(server, 8))
		unattempted("a listener");
}

/* A process of nobody's that waits; PTRACE_SEIZE by the old number. */
static pid_t waiting;

static void prepare_waiting(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	waiting = fork();
	if (waiting == 0) {
		alarm(20);
		pause();
		_exit(0);
	}
}

static int run_ptrace(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return (int)call(OLD_PTRACE, 0x4206, (uint32_t)waiting, 0, 0);
}

const struct attack old_attacks[] = {
    {"old-open", NULL, run_open},
    {"old-link", NULL, run_link},
    {"old-unlink", NULL, run_unlink},
    {"old-rename", NULL, run_rename},
    {"old-mkdir", NULL, run_mkdir},
    {"old-chmod", NULL, run_chmod},
    {"old-exec", NULL, run_execve},
    {"old-mount", NULL, run_mount},
    {"old-tcp", prepare_listener, run_tcp},
    {"old-ptrace", prepare_waiting, run_ptrace},
    {0},
};
