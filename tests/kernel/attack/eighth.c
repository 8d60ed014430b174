/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What one process does to another's memory and fate by counting its events, and to a file by calling its page broken.
 */
#include "attack.h"
#include <dirent.h>
#include <elf.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sys/mman.h>

static long perf_event(struct perf_event_attr *request, pid_t pid, int cpu)
{
	return syscall(SYS_perf_event_open, request, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static int trap(pid_t thread)
{
	struct perf_event_attr request = {
	    .type = PERF_TYPE_SOFTWARE,
	    .size = sizeof(request),
	    .config = PERF_COUNT_SW_TASK_CLOCK,
	    .sample_period = 10000,
	    .sample_type = PERF_SAMPLE_IP,
	    .remove_on_exec = 1,
	    .sigtrap = 1,
	};

	return outcome(perf_event(&request, thread, -1));
}

static pid_t victim;

static void prepare_victim(int argc, char **argv)
{
	char text[32] = "";
	int file = open(argument(argc, argv, 0), O_RDONLY);

	if (file < 0 || read(file, text, sizeof(text) - 1) <= 0)
		unattempted("reading who it is");
	close(file);
	victim = (pid_t)atoi(text);
}

/* trap PIDFILE: SIGTRAP for every thread of the process, as soon as it does anything. */
static int run_trap(int argc, char **argv)
{
	int handle = (int)syscall(SYS_pidfd_open, victim, 0), trapped = 0, refusal = 0;
	struct pollfd wait = {.fd = handle, .events = POLLIN};
	struct dirent *entry;
	char path[64];
	DIR *threads;

	(void)argc;
	(void)argv;
	snprintf(path, sizeof(path), "/proc/%d/task", victim);
	threads = opendir(path);
	if (handle < 0 || !threads)
		unattempted("looking for its threads");
	while ((entry = readdir(threads))) {
		int result = entry->d_name[0] == '.' ? 1 : trap((pid_t)atoi(entry->d_name));

		trapped += !result;
		if (result < 0)
			refusal = result;
	}
	closedir(threads);
	if (!trapped)
		return refusal;
	for (int turn = 0; turn < 10; turn++) {
		/* Something that is refused, so that the agent has work. */
		close(open("/kt/denied", O_RDWR | O_CLOEXEC));
		if (poll(&wait, 1, 1000) == 1)
			return 0;
	}
	return -ETIMEDOUT;
}

/* trap-self: what a process may do to itself. */
static int run_trap_self(int argc, char **argv)
{
	struct perf_event_attr request = {
	    .type = PERF_TYPE_SOFTWARE,
	    .size = sizeof(request),
	    .config = PERF_COUNT_SW_PAGE_FAULTS,
	    .sample_period = 1ull << 40,
	    .remove_on_exec = 1,
	    .sigtrap = 1,
	};

	(void)argc;
	(void)argv;
	return outcome(perf_event(&request, 0, -1));
}

static unsigned int breakpoints;
static unsigned long entry;

/* Where a program begins in its file. */
static void prepare_break(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY),
	    kind = open("/sys/bus/event_source/devices/uprobe/type", O_RDONLY);
	Elf64_Ehdr head;
	Elf64_Phdr part;
	char text[16] = "";

	if (file < 0 || kind < 0 || read(kind, text, sizeof(text) - 1) <= 0 ||
	    pread(file, &head, sizeof(head), 0) != sizeof(head))
		unattempted("reading the program");
	breakpoints = (unsigned int)atoi(text);
	for (int i = 0; i < head.e_phnum; i++) {
		if (pread(file, &part, sizeof(part), (off_t)(head.e_phoff + (unsigned)i * sizeof(part))) !=
		    sizeof(part))
			unattempted("reading the program");
		if (part.p_type == PT_LOAD && head.e_entry >= part.p_vaddr &&
		    head.e_entry < part.p_vaddr + part.p_filesz)
			entry = head.e_entry - part.p_vaddr + part.p_offset;
	}
	close(file);
	close(kind);
}

/* Whether the program, which says what it is in order to end well, ends by a signal instead. */
static int is_broken(const char *program)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		execl(program, program, "--version", NULL);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		unattempted("running %s", program);
	return WIFSIGNALED(status);
}

/* break-program PROGRAM: a breakpoint at its beginning, within some instruction, so that it does not run any more. */
static int run_break_program(int argc, char **argv)
{
	const char *program = argument(argc, argv, 0);
	struct perf_event_attr request = {.type = breakpoints, .size = sizeof(request)};
	int made = 0, refusal = 0;

	request.uprobe_path = (uintptr_t)program;
	for (unsigned long at = 1; at < 48; at++) {
		int event;

		request.probe_offset = entry + at;
		event = (int)perf_event(&request, -1, 0);
		if (event < 0) {
			refusal = -errno;
			if (refusal == -EPERM)
				return refusal;
			continue;
		}
		made++;
		if (is_broken(program))
			return 0;
		/* One at an instruction's beginning would have the kernel execute the whole of it. */
		close(event);
	}
	return made ? -ETIMEDOUT : refusal;
}

/* poison FILE: the page of a file that is only read, by a child, which the kernel may end for it. */
static int run_poison(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY | O_CLOEXEC), status;
	char *at, byte;
	pid_t child;

	if (file < 0)
		unattempted("opening it");
	at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
	if (at == MAP_FAILED || pread(file, &byte, 1, 0) != 1)
		unattempted("mapping and reading it");
	child = fork();
	if (child == 0) {
		byte = *(volatile char *)at;
		child_end(outcome(madvise(at, 4096, MADV_HWPOISON)));
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		unattempted("fork");
	if (WIFEXITED(status) && WEXITSTATUS(status) != RAN)
		return -WEXITSTATUS(status);
	return pread(file, &byte, 1, 0) == 1 ? -ETIMEDOUT : 0;
}

const struct attack eighth_attacks[] = {
    {"trap", prepare_victim, run_trap},
    {"trap-self", NULL, run_trap_self},
    {"break-program", prepare_break, run_break_program},
    {"poison", NULL, run_poison},
    {NULL, NULL, NULL},
};
