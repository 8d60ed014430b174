/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Makes system calls with arguments that let none of them do anything: calls NAME:NUMBER… A number behind `i` goes by the
 * 32-bit entry, one behind `x` has the bit of x32. Prints for each NAME=passes, refused or killed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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
	volatile long *answer = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (int i = 1; i < argc; i++) {
		char *number = strchr(argv[i], ':') + 1;
		char way = *number == 'i' || *number == 'x' ? *number++ : 'n';
		long nr = atol(number) | (way == 'x' ? 0x40000000 : 0);
		int status = 0;

		*answer = 0;
		if (!fork()) {
			*answer = call(way, nr);
			_exit(0);
		}
		wait(&status);
		printf("%.*s=%s\n", (int)strcspn(argv[i], ":"), argv[i],
		       WIFSIGNALED(status) ? WTERMSIG(status) == SIGSYS ? "killed" : "gone" :
		       *answer == -EPERM   ? "refused" :
					     "passes");
	}
	return 0;
}
