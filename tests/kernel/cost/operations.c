/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is measured: each turn leaves things as they were. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "operations.h"

#define SHORT_PATH "/etc/hostname"			 /* 13 bytes */
#define LONG_PATH "/usr/share/nginx/html/css/style.css1" /* 36 bytes */
#define PROGRAM "/usr/sbin/nothing"
#define FOLDER "/var/lib/nginx/"

void fail(const char *what)
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

static int client, sender, listener;
static struct sockaddr_in near = {.sin_family = AF_INET};
static char *mapped;

static void connect_udp(void)
{
	near.sin_port = htons(53);
	if (connect(client, (struct sockaddr *)&near, sizeof(near)))
		fail("connect");
}

/* The child does nothing: what is added is at the making of a process and at its end. */
static void fork_child(void)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	if (child < 0 || waitpid(child, &status, 0) != child)
		fail("fork");
}

static void make_and_unlink(void)
{
	int file = open(FOLDER "made", O_WRONLY | O_CREAT | O_EXCL, 0600);

	if (file < 0 || close(file) || unlink(FOLDER "made"))
		fail(FOLDER "made");
}

static void rename_and_back(void)
{
	if (rename(FOLDER "one", FOLDER "other") || rename(FOLDER "other", FOLDER "one"))
		fail(FOLDER "one");
}

static void map_file(void)
{
	int file = open(PROGRAM, O_RDONLY);
	char *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);

	if (file < 0 || at == MAP_FAILED || munmap(at, 4096) || close(file))
		fail("mmap");
}

static void protect(void)
{
	if (mprotect(mapped, 4096, PROT_READ | PROT_WRITE) || mprotect(mapped, 4096, PROT_READ))
		fail("mprotect");
}

static void send_udp(void)
{
	near.sin_port = htons(53);
	if (sendto(sender, "x", 1, 0, (struct sockaddr *)&near, sizeof(near)) != 1)
		fail("sendto");
}

static void bind_tcp(void)
{
	int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	near.sin_port = htons(443);
	if (bound < 0 || bind(bound, (struct sockaddr *)&near, sizeof(near)) || close(bound))
		fail("bind");
}

/* Both ends are this process's; it resets the connection, so that none stays behind. */
static void accept_tcp(void)
{
	struct linger reset = {.l_onoff = 1};
	int caller = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), taken;

	near.sin_port = htons(80);
	if (caller < 0 || connect(caller, (struct sockaddr *)&near, sizeof(near)))
		fail("connect to the listener");
	taken = accept(listener, NULL, NULL);
	if (taken < 0 || setsockopt(caller, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) || close(caller) ||
	    close(taken))
		fail("accept");
}

/* Turns of what has a bar: more, for a least turn that repeats. */
#define BARRED 300
const struct operation operations[OPERATIONS] = {
    {"open-13", open_short, BARRED}, {"open-36", open_long, BARRED}, {"connect", connect_udp, BARRED},
    {"exec", execute, BARRED},	     {"fork", fork_child, 60},	     {"unlink", make_and_unlink, 60},
    {"rename", rename_and_back, 60}, {"mmap", map_file, 60},	     {"mprotect", protect, 60},
    {"sendto", send_udp, 60},	     {"bind", bind_tcp, 60},	     {"accept", accept_tcp, 60},
};

void prepare_operations(void)
{
	int on = 1, made = open(FOLDER "one", O_WRONLY | O_CREAT, 0600);

	near.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	client = socket(AF_INET, SOCK_DGRAM, 0);
	sender = socket(AF_INET, SOCK_DGRAM, 0);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	mapped = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (made < 0 || client < 0 || sender < 0 || listener < 0 || mapped == MAP_FAILED)
		fail("socket");
	close(made);
	near.sin_port = htons(80);
	if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(listener, (struct sockaddr *)&near, sizeof(near)) || listen(listener, 8))
		fail("listen");
}
