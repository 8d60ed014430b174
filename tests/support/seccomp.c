/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Installs a filter of system calls and tries calls below it: seccomp FILTER < requests. A request is a line of a way and a
 * number: `n 1` natively, `i 1` by the 32-bit entry, `x 1` with the bit of x32. The answer says `passes`, `refused`, `killed`
 * or `gone` (the machine has no such way). No call is made: a filter below this one answers for what it lets pass.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASSES 77

static struct sock_filter own[4096];

static void install(struct sock_filter *filter, unsigned short len)
{
	struct sock_fprog program = { .len = len, .filter = filter };

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("the kernel refuses the filter");
		_exit(2);
	}
}

static long call(char way, long nr)
{
	long ret = nr;

	if (way == 'i')
		asm volatile("int $0x80" : "+a"(ret) : "b"(-1L), "c"(-1L), "d"(-1L) : "r8", "r9", "r10", "r11", "memory");
	else
		asm volatile("syscall" : "+a"(ret) : "D"(-1L), "S"(-1L), "d"(-1L) : "rcx", "r11", "memory");
	return ret;
}

int main(int argc, char **argv)
{
	/* All but what installs the next filter. */
	struct sock_filter below[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_prctl, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | PASSES),
	};
	volatile int *answer = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	FILE *file = argc == 2 ? fopen(argv[1], "r") : 0;
	size_t len = file ? fread(own, sizeof(own[0]), 4096, file) : 0;
	char way;
	long nr;

	if (!len || answer == MAP_FAILED)
		return 2;
	while (scanf(" %c %ld", &way, &nr) == 2) {
		int status = 0;
		pid_t child;

		*answer = 0;
		child = fork();
		if (!child) {
			prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
			install(below, 4);
			install(own, len);
			*answer = (int)call(way, way == 'x' ? nr | 0x40000000 : nr);
			for (;;)
				;
		}
		while (!*answer && !waitpid(child, &status, WNOHANG))
			usleep(20);
		if (*answer) {
			kill(child, SIGKILL);
			waitpid(child, 0, 0);
		}
		if (!*answer && WIFEXITED(status))
			return 2;
		/* It is made, and fails by itself. */
		if (*answer == -EINVAL && nr == __NR_prctl)
			*answer = -PASSES;
		printf("%c %ld %s\n", way, nr,
		       *answer == -PASSES			    ? "passes" :
		       *answer == -EPERM			    ? "refused" :
		       !*answer && WTERMSIG(status) == SIGSYS	    ? "killed" :
		       !*answer && WTERMSIG(status) == SIGSEGV	    ? "gone" :
								      "odd");
	}
	return 0;
}
