/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What limits hold: how fast packets go, and that nobody gets out of where they hold. */
#include "attack.h"
#include <arpa/inet.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int end(const char *address, int type, struct sockaddr_storage *at, socklen_t *length)
{
	struct sockaddr_in *four = (struct sockaddr_in *)at;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)at;
	int one;

	memset(at, 0, sizeof(*at));
	if (inet_pton(AF_INET, address, &four->sin_addr) == 1)
		four->sin_family = AF_INET;
	else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1)
		six->sin6_family = AF_INET6;
	else
		unattempted("%s is not an address", address);
	*length = at->ss_family == AF_INET ? sizeof(*four) : sizeof(*six);
	one = socket(at->ss_family, type, 0);
	if (one < 0 || bind(one, (struct sockaddr *)at, *length) || getsockname(one, (struct sockaddr *)at, length))
		unattempted("bind");
	return one;
}

static void send_all(int type, struct sockaddr_storage *to, socklen_t length)
{
	static char bytes[8192];
	int out = socket(to->ss_family, type, 0);
	size_t size = type == SOCK_DGRAM ? 1000 : sizeof(bytes);

	signal(SIGPIPE, SIG_DFL);
	if (out < 0 || connect(out, (struct sockaddr *)to, length))
		_exit(3);
	for (;;)
		if (send(out, bytes, size, 0) < 0 && errno != ENOBUFS && errno != EPERM)
			_exit(0);
}

/* rate udp|tcp ADDRESS SECONDS FILE: sends to itself as fast as it can, and writes how many kbit/s came. */
static int run_rate(int argc, char **argv)
{
	int type = strcmp(argument(argc, argv, 0), "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
	double seconds = atof(argument(argc, argv, 2)), begin, gone;
	struct sockaddr_storage at;
	static char bytes[65536];
	long long total = 0;
	socklen_t length;
	pid_t sender;
	FILE *out;
	int in = end(argument(argc, argv, 1), type, &at, &length);

	if (type == SOCK_STREAM && listen(in, 1))
		unattempted("listen");
	sender = fork();
	if (sender == 0)
		send_all(type, &at, length);
	if (type == SOCK_STREAM)
		in = accept(in, NULL, NULL);
	if (in < 0)
		unattempted("accept");
	/* What may go ahead of the rate is no part of it. */
	for (begin = now(); now() - begin < 0.5;)
		recv(in, bytes, sizeof(bytes), MSG_DONTWAIT);
	for (begin = now(); (gone = now() - begin) < seconds;) {
		struct pollfd wait = {.fd = in, .events = POLLIN};
		ssize_t got = poll(&wait, 1, 100) > 0 ? recv(in, bytes, sizeof(bytes), MSG_DONTWAIT) : 0;

		/* A packet has headers of IP and UDP, too. */
		total += got > 0 ? got + (type == SOCK_DGRAM ? (at.ss_family == AF_INET ? 28 : 48) : 0) : 0;
	}
	kill(sender, SIGKILL);
	waitpid(sender, NULL, 0);
	out = fopen(argument(argc, argv, 3), "w");
	if (!out)
		unattempted("writing the rate");
	fprintf(out, "%.0f\n", (double)total * 8 / gone / 1000);
	fclose(out);
	return 0;
}

/* child-in CGROUP: a child that starts there, by clone3(CLONE_INTO_CGROUP). */
static int run_child_in(int argc, char **argv)
{
	struct clone_args request = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
	int group = open(argument(argc, argv, 0), O_PATH | O_DIRECTORY), status;
	pid_t middle = fork();

	if (group < 0)
		unattempted("open");
	/* Who may not is ended. */
	if (middle == 0) {
		long child;

		request.cgroup = (uint64_t)group;
		child = syscall(SYS_clone3, &request, sizeof(request));
		if (child > 0)
			waitpid((pid_t)child, NULL, 0);
		_exit(child < 0 ? 3 : 0);
	}
	waitpid(middle, &status, 0);
	if (WIFSIGNALED(status))
		return -EPERM;
	return WEXITSTATUS(status) ? -EIO : 0;
}

const struct attack limit_attacks[] = {{"rate", NULL, run_rate}, {"child-in", NULL, run_child_in}, {0}};
