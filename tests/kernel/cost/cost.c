/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cost [--unit DIRECTORY] [--leave DIRECTORY] [--profile NAME] [--landlock N] [--first N]: what system calls cost, in
 * guest nanoseconds, which under icount are guest instructions. Each line is `cost OPERATION NANOSECONDS LOW HIGH`: the
 * median, the least and the most of some rounds, each of which counts with its least turn. The timer's interrupts, the
 * allocators' need for a page and what the kernel does now and then fall into turns by chance, and are more than what
 * is measured: the least turn is what an operation does each time.
 *
 * With --programs yes it says instead which BPF programs ran, how often, and for how long.
 * With --unit the process first enters that cgroup; with --leave it then goes into that one; with --profile it changes
 * to that AppArmor profile; with --landlock N it restricts itself by
 * Landlock with N rules more; --first N measures the first operations alone.
 */
#define _GNU_SOURCE
#include <linux/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "operations.h"

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

#define ROUNDS 15

struct measure {
	const struct operation *of;
	uint64_t rounds[ROUNDS]; /* the least turn of each */
};

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void measure(struct measure *m, int round)
{
	uint64_t least = UINT64_MAX, start, spent;

	for (int turn = 0; turn < m->of->turns / 6; turn++)
		m->of->turn();
	for (int turn = 0; turn < m->of->turns; turn++) {
		start = now();
		m->of->turn();
		spent = now() - start;
		if (spent < least)
			least = spent;
	}
	m->rounds[round] = least;
}

static void put(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);

	if (file < 0 || write(file, text, strlen(text)) < 0)
		fail(path);
	close(file);
}

/* What the kernel counted of each BPF program (BPF_ENABLE_STATS): by id, runs and nanoseconds. */
#define PROGRAMS 4096
static struct {
	uint64_t runs, time;
	char name[BPF_OBJ_NAME_LEN];
} programs[PROGRAMS];

static int bpf_call(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* Adds (sign 1) or takes away (sign -1) what is counted now. */
static void count_programs(int sign)
{
	union bpf_attr next = {}, open, ask;
	struct bpf_prog_info info;
	int program;

	while (next.start_id = next.next_id, !bpf_call(BPF_PROG_GET_NEXT_ID, &next)) {
		memset(&open, 0, sizeof(open));
		open.prog_id = next.next_id;
		program = bpf_call(BPF_PROG_GET_FD_BY_ID, &open);
		if (program < 0 || next.next_id >= PROGRAMS)
			fail("program");
		memset(&ask, 0, sizeof(ask));
		memset(&info, 0, sizeof(info));
		ask.info.bpf_fd = (uint32_t)program;
		ask.info.info_len = sizeof(info);
		ask.info.info = (uint64_t)(uintptr_t)&info;
		if (bpf_call(BPF_OBJ_GET_INFO_BY_FD, &ask))
			fail("program info");
		close(program);
		programs[next.next_id].runs += (uint64_t)sign * info.run_cnt;
		programs[next.next_id].time += (uint64_t)sign * info.run_time_ns;
		memcpy(programs[next.next_id].name, info.name, sizeof(info.name));
	}
}

static const char *unit, *later, *profile;
static long landlock = -1;
static int count = OPERATIONS; /* of operations */

/* Into the cgroup and the AppArmor profile that were asked for. */
static void enter(void)
{
	char text[512];
	int leave = -1;

	if (later) {
		snprintf(text, sizeof(text), "%s/cgroup.procs", later);
		leave = open(text, O_WRONLY);
		if (leave < 0)
			fail(text);
	}
	if (unit) {
		mkdir(unit, 0755);
		snprintf(text, sizeof(text), "%s/cgroup.procs", unit);
		put(text, "0");
	}
	if (later && (write(leave, "0", 1) != 1 || close(leave)))
		fail(later);
	if (profile) {
		snprintf(text, sizeof(text), "changeprofile %s", profile);
		put("/proc/self/attr/apparmor/current", text);
	}
	if (landlock >= 0)
		restrict_by_landlock(landlock);
	prepare_operations();
}

static void turn(int *ends)
{
	char byte = 0;

	if (ends[1] >= 0 && write(ends[1], &byte, 1) != 1)
		fail("write");
	if (ends[0] >= 0 && read(ends[0], &byte, 1) != 1)
		fail("read");
}

/*
 * Which programs an operation runs: `cost program OPERATION NAME RUNS NANOSECONDS`, of a hundred turns of a child that
 * enters the unit; this process may look at programs, which the child may not.
 */
static void take_apart(const char *name, void (*operation)(void))
{
	int down[2], up[2];
	pid_t child;

	memset(programs, 0, sizeof(programs));
	if (pipe(down) || pipe(up) || (child = fork()) < 0)
		fail("fork");
	if (!child) {
		enter();
		operation();
		turn((int[]){down[0], up[1]});
		for (int n = 0; n < 100; n++)
			operation();
		turn((int[]){down[0], up[1]});
		_exit(0);
	}
	turn((int[]){up[0], -1});
	count_programs(-1);
	turn((int[]){up[0], down[1]});
	count_programs(1);
	turn((int[]){-1, down[1]});
	if (waitpid(child, NULL, 0) != child)
		fail("wait");
	for (int id = 0; id < PROGRAMS; id++)
		if (programs[id].runs)
			printf("cost program %s %s %llu %llu\n", name, programs[id].name,
			       (unsigned long long)programs[id].runs, (unsigned long long)programs[id].time);
	fflush(stdout);
}

/*
 * Each round in a process of its own, and with one control group more on the machine: what the allocators' state adds
 * to an operation stays the same as long as a process lives, and is as much as what is measured.
 */
static void measure_all(void)
{
	struct measure *measures =
	    mmap(NULL, OPERATIONS * sizeof(*measures), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char more[100];
	pid_t child;

	if (measures == MAP_FAILED)
		fail("mmap");
	for (int at = 0; at < OPERATIONS; at++)
		measures[at].of = &operations[at];
	for (int round = 0; round < ROUNDS; round++) {
		child = fork();
		if (!child) {
			enter();
			for (int at = 0; at < count; at++)
				measure(&measures[at], round);
			exit(0);
		}
		if (child < 0 || waitpid(child, NULL, 0) != child)
			fail("fork");
		snprintf(more, sizeof(more), "/sys/fs/cgroup/system.slice/more%d-%d.service", getpid(), round);
		if (mkdir(more, 0755))
			fail(more);
	}
	for (struct measure *m = measures; m < measures + count; m++) {
		qsort(m->rounds, ROUNDS, sizeof(*m->rounds), by_size);
		printf("cost %s %llu %llu %llu\n", m->of->name, (unsigned long long)m->rounds[ROUNDS / 2],
		       (unsigned long long)m->rounds[0], (unsigned long long)m->rounds[ROUNDS - 1]);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	union bpf_attr stats = {.enable_stats = {.type = BPF_STATS_RUN_TIME}};
	bool apart = false;

	for (int at = 1; at + 1 < argc; at += 2) {
		if (strcmp(argv[at], "--programs") == 0)
			apart = true;
		else if (strcmp(argv[at], "--unit") == 0)
			unit = argv[at + 1];
		else if (strcmp(argv[at], "--leave") == 0)
			later = argv[at + 1];
		else if (strcmp(argv[at], "--profile") == 0)
			profile = argv[at + 1];
		else if (strcmp(argv[at], "--landlock") == 0)
			landlock = atol(argv[at + 1]);
		else if (strcmp(argv[at], "--first") == 0)
			count = atoi(argv[at + 1]);
	}
	if (apart) {
		/* Counting ends with this descriptor. */
		if (bpf_call(BPF_ENABLE_STATS, &stats) < 0)
			fail("BPF_ENABLE_STATS");
		for (int at = 0; at < OPERATIONS; at++)
			take_apart(operations[at].name, operations[at].turn);
		return 0;
	}
	measure_all();
	return 0;
}
