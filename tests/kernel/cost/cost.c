/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * cost [--unit DIRECTORY] [--profile NAME]: what system calls cost, in guest nanoseconds, which under icount are guest
 * instructions. Each line is `cost OPERATION NANOSECONDS`: the least mean of some rounds, as the timer interrupts that
 * fall into the others are not the operation's.
 *
 * With --unit the process first enters that cgroup; with --profile it changes to that AppArmor profile.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHORT_PATH "/etc/hostname"			 /* 13 bytes */
#define LONG_PATH "/usr/share/nginx/html/css/style.css1" /* 36 bytes */
#define PROGRAM "/usr/sbin/nothing"

static void fail(const char *what)
{
	printf("cost-error %s: %s\n", what, strerror(errno));
	exit(1);
}

static void open_short(void)
{
	int file = open(SHORT_PATH, O_RDONLY);

	if (file < 0)
		fail(SHORT_PATH);
	close(file);
}

static void open_long(void)
{
	int file = open(LONG_PATH, O_RDONLY);

	if (file < 0)
		fail(LONG_PATH);
	close(file);
}

/* The child shares memory and runs on its parent's stack frame below this one until it executes. */
static void execute(void)
{
	static char *const arguments[] = {(char *)PROGRAM, NULL};
	int status;
	pid_t child = vfork();

	if (child == 0) {
		execve(PROGRAM, arguments, NULL);
		_exit(1);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		fail(PROGRAM);
}

static int client;

static void connect_udp(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(client, (struct sockaddr *)&to, sizeof(to)))
		fail("connect");
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void measure(const char *name, void (*operation)(void), int turns, int rounds)
{
	uint64_t least = UINT64_MAX;

	for (int turn = 0; turn < turns; turn++)
		operation();
	for (int round = 0; round < rounds; round++) {
		uint64_t start = now(), spent;

		for (int turn = 0; turn < turns; turn++)
			operation();
		spent = now() - start;
		if (spent < least)
			least = spent;
	}
	printf("cost %s %llu\n", name, (unsigned long long)(least / (uint64_t)turns));
	fflush(stdout);
}

static void put(const char *path, const char *text)
{
	int file = open(path, O_WRONLY);

	if (file < 0 || write(file, text, strlen(text)) < 0)
		fail(path);
	close(file);
}

int main(int argc, char **argv)
{
	char text[512];

	for (int at = 1; at + 1 < argc; at += 2) {
		if (strcmp(argv[at], "--unit") == 0) {
			mkdir(argv[at + 1], 0755);
			snprintf(text, sizeof(text), "%s/cgroup.procs", argv[at + 1]);
			put(text, "0");
		} else if (strcmp(argv[at], "--profile") == 0) {
			snprintf(text, sizeof(text), "changeprofile %s", argv[at + 1]);
			put("/proc/self/attr/apparmor/current", text);
		}
	}
	client = socket(AF_INET, SOCK_DGRAM, 0);
	if (client < 0)
		fail("socket");
	measure("open-13", open_short, 500, 15);
	measure("open-36", open_long, 500, 15);
	measure("connect", connect_udp, 500, 15);
	measure("exec", execute, 40, 15);
	return 0;
}
