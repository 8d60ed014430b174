/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Processes that break a rule with a response, and then go on. BAIT is the file whose reading the rule refuses; what is
 * tried after it the profile permits, so that only the response can refuse it.
 */
#include "attack.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int execute(const char *path)
{
	char *const arguments[] = {(char *)path, NULL};
	char *const environment[] = {NULL};

	execve(path, arguments, environment);
	return -errno;
}

/* Without policy it is read. */
static void take(const char *bait)
{
	int file = open(bait, O_RDONLY | O_CLOEXEC);

	if (file >= 0)
		close(file);
	else if (errno != EPERM)
		unattempted("open %s", bait);
}

/* caught-exec BAIT PROGRAM: the very next request. */
static int run_exec(int argc, char **argv)
{
	take(argument(argc, argv, 0));
	return execute(argument(argc, argv, 1));
}

/* caught-fork BAIT PROGRAM: a child that is made after it. */
static int run_fork(int argc, char **argv)
{
	pid_t child;

	take(argument(argc, argv, 0));
	child = fork();
	if (child < 0)
		unattempted("fork");
	if (child == 0)
		child_end(execute(argument(argc, argv, 1)));
	return child_result(child);
}

/* caught-parent BAIT PROGRAM: a child that was there before it, and acts after it. */
static int run_parent(int argc, char **argv)
{
	char byte = 0;
	int go[2];
	pid_t child;

	if (pipe2(go, O_CLOEXEC) || (child = fork()) < 0)
		unattempted("fork");
	if (child == 0) {
		if (read(go[0], &byte, 1) != 1)
			_exit(1);
		child_end(execute(argument(argc, argv, 1)));
	}
	take(argument(argc, argv, 0));
	if (write(go[1], &byte, 1) != 1)
		unattempted("a pipe");
	return child_result(child);
}

/* caught-child BAIT PROGRAM: its child does it, and the parent acts. */
static int run_child(int argc, char **argv)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		unattempted("fork");
	if (child == 0) {
		take(argument(argc, argv, 0));
		_exit(0);
	}
	waitpid(child, &status, 0);
	return execute(argument(argc, argv, 1));
}

static const char *bait, *program;

static void *take_it(void *unused)
{
	take(bait);
	return unused;
}

/* caught-thread BAIT PROGRAM: a thread does it, and another executes. */
static int run_thread(int argc, char **argv)
{
	pthread_t thread;

	bait = argument(argc, argv, 0);
	program = argument(argc, argv, 1);
	if (pthread_create(&thread, NULL, take_it, NULL) || pthread_join(thread, NULL))
		unattempted("a thread");
	return execute(program);
}

static void put(const char *cgroup, const char *name, const char *text)
{
	char path[1024];
	int file;

	snprintf(path, sizeof(path), "%s/%s", cgroup, name);
	file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0 || write(file, text, strlen(text)) < 0)
		unattempted("writing %s to %s", text, path);
	close(file);
}

static void make(const char *cgroup)
{
	if (mkdir(cgroup, 0755) && errno != EEXIST)
		unattempted("mkdir %s", cgroup);
}

/* caught-leaves BAIT PROGRAM CGROUP: it leaves its unit's cgroup after it. */
static int run_leaves(int argc, char **argv)
{
	const char *cgroup = argument(argc, argv, 2);

	make(cgroup);
	take(argument(argc, argv, 0));
	put(cgroup, "cgroup.procs", "0");
	return execute(argument(argc, argv, 1));
}

/* caught-below BAIT PROGRAM CGROUP: it is in a cgroup below its unit's, where its child was, too. */
static int run_below(int argc, char **argv)
{
	const char *cgroup = argument(argc, argv, 2);
	char byte = 0;
	int go[2];
	pid_t child;

	make(cgroup);
	if (pipe2(go, O_CLOEXEC) || (child = fork()) < 0)
		unattempted("fork");
	if (child == 0) {
		put(cgroup, "cgroup.procs", "0");
		if (read(go[0], &byte, 1) != 1)
			_exit(1);
		child_end(execute(argument(argc, argv, 1)));
	}
	take(argument(argc, argv, 0));
	if (write(go[1], &byte, 1) != 1)
		unattempted("a pipe");
	return child_result(child);
}

/* caught-left BAIT PROGRAM CGROUP: it has left its unit before, and bears the label itself; its child acts. */
static int run_left(int argc, char **argv)
{
	const char *cgroup = argument(argc, argv, 2);

	make(cgroup);
	put(cgroup, "cgroup.procs", "0");
	return run_fork(argc, argv);
}

/* caught-left-thread BAIT PROGRAM CGROUP: as that; a thread that is not the first executes, and takes its place. */
static void *execute_it(void *unused)
{
	static int result;

	(void)unused;
	take(bait);
	result = execute(program);
	return &result;
}

static int run_left_thread(int argc, char **argv)
{
	const char *cgroup = argument(argc, argv, 2);
	pthread_t thread;
	void *result;

	bait = argument(argc, argv, 0);
	program = argument(argc, argv, 1);
	make(cgroup);
	put(cgroup, "cgroup.procs", "0");
	if (pthread_create(&thread, NULL, execute_it, NULL) || pthread_join(thread, &result))
		unattempted("a thread");
	return *(int *)result;
}

/* caught-waits BAIT PROGRAM CGROUP GO: as that; makes GO.caught, and executes when there is GO. */
static int run_waits(int argc, char **argv)
{
	const char *cgroup = argument(argc, argv, 2), *go = argument(argc, argv, 3);
	char name[512];

	make(cgroup);
	put(cgroup, "cgroup.procs", "0");
	take(argument(argc, argv, 0));
	snprintf(name, sizeof(name), "%s.caught", go);
	close(open(name, O_CREAT | O_WRONLY, 0644));
	alarm(600);
	while (access(go, F_OK))
		usleep(20000);
	return execute(argument(argc, argv, 1));
}

static volatile int raced;

static void *race(void *unused)
{
	while (!raced)
		sched_yield();
	take(bait);
	return unused;
}

/* caught-race BAIT PROGRAM: many threads at once, and then one. */
static int run_race(int argc, char **argv)
{
	pthread_t threads[16];

	bait = argument(argc, argv, 0);
	for (int n = 0; n < 16; n++)
		if (pthread_create(&threads[n], NULL, race, NULL))
			unattempted("a thread");
	raced = 1;
	for (int n = 0; n < 16; n++)
		pthread_join(threads[n], NULL);
	return execute(argument(argc, argv, 1));
}

static struct sockaddr_in local = {.sin_family = AF_INET};

/* Listeners that a connected socket has been connected to before the process is confined. */
static int peer[2];
/* The one of datagrams. */
static int heard;

static void prepare_sockets(int argc, char **argv)
{
	socklen_t length = sizeof(local);
	int server[2] = {socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_DGRAM, 0)};

	(void)argc, (void)argv;
	for (int n = 0; n < 2; n++) {
		local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		local.sin_port = 0;
		peer[n] = socket(AF_INET, n ? SOCK_DGRAM : SOCK_STREAM, 0);
		if (bind(server[n], (struct sockaddr *)&local, sizeof(local)) || (!n && listen(server[n], 1)) ||
		    getsockname(server[n], (struct sockaddr *)&local, &length) ||
		    connect(peer[n], (struct sockaddr *)&local, sizeof(local)))
			unattempted("a connected socket");
	}
	heard = server[1];
}

/* caught-stream BAIT: writes to a connection that was there. */
static int run_stream(int argc, char **argv)
{
	take(argument(argc, argv, 0));
	return outcome(write(peer[0], "x", 1));
}

/* caught-datagram BAIT */
static int run_datagram(int argc, char **argv)
{
	take(argument(argc, argv, 0));
	return outcome(write(peer[1], "x", 1));
}

/* caught-receive BAIT: takes what waits in a socket that was bound before. */
static int run_receive(int argc, char **argv)
{
	char byte;

	if (write(peer[1], "x", 1) != 1)
		unattempted("a datagram");
	take(argument(argc, argv, 0));
	return outcome(recv(heard, &byte, 1, MSG_DONTWAIT));
}

/* caught-connect BAIT: a new connection, to whom it had one. */
static int run_connect(int argc, char **argv)
{
	int one = socket(AF_INET, SOCK_DGRAM, 0);

	take(argument(argc, argv, 0));
	return outcome(connect(one, (struct sockaddr *)&local, sizeof(local)));
}

/* caught-bind BAIT */
static int run_bind(int argc, char **argv)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(4711)};
	int one = socket(AF_INET, SOCK_STREAM, 0);

	take(argument(argc, argv, 0));
	return outcome(bind(one, (struct sockaddr *)&any, sizeof(any)));
}

/* caught-reads BAIT FILE: files go on, those that are open and others. */
static int run_reads(int argc, char **argv)
{
	const char *path = argument(argc, argv, 1);
	int file = open(path, O_RDONLY);
	char byte;

	if (file < 0)
		unattempted("open %s", path);
	take(argument(argc, argv, 0));
	if (read(file, &byte, 1) < 0)
		return -errno;
	return outcome(open(path, O_RDONLY));
}

const struct attack caught_attacks[] = {
    {"caught-exec", NULL, run_exec},
    {"caught-fork", NULL, run_fork},
    {"caught-parent", NULL, run_parent},
    {"caught-child", NULL, run_child},
    {"caught-thread", NULL, run_thread},
    {"caught-leaves", NULL, run_leaves},
    {"caught-below", NULL, run_below},
    {"caught-left", NULL, run_left},
    {"caught-left-thread", NULL, run_left_thread},
    {"caught-waits", NULL, run_waits},
    {"caught-race", NULL, run_race},
    {"caught-stream", prepare_sockets, run_stream},
    {"caught-datagram", prepare_sockets, run_datagram},
    {"caught-receive", prepare_sockets, run_receive},
    {"caught-connect", prepare_sockets, run_connect},
    {"caught-bind", NULL, run_bind},
    {"caught-reads", NULL, run_reads},
    {0},
};
