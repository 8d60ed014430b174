/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * IP sockets. `ADDRESS PORT` are the first two arguments everywhere; prepare puts listeners for TCP and UDP on the
 * port before the process is confined, so that what is tried would work.
 */
#include "attack.h"
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef IPPROTO_UDPLITE
#define IPPROTO_UDPLITE 136
#endif

static socklen_t address(int argc, char **argv, struct sockaddr_storage *out)
{
	const char *text = argument(argc, argv, 0);
	uint16_t port = htons((uint16_t)atoi(argument(argc, argv, 1)));
	struct sockaddr_in *four = (struct sockaddr_in *)out;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = port;
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1)
		unattempted("%s is not an address", text);
	six->sin6_family = AF_INET6;
	six->sin6_port = port;
	return sizeof(*six);
}

static void listeners(int argc, char **argv)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6,
				   .sin6_port = htons((uint16_t)atoi(argument(argc, argv, 1)))};
	const struct {
		int type, protocol;
	} kinds[] = {{SOCK_STREAM, 0}, {SOCK_DGRAM, 0}, {SOCK_DGRAM, IPPROTO_UDPLITE}};
	int one = 1;

	for (size_t kind = 0; kind < 3; kind++) {
		int server = socket(AF_INET6, kinds[kind].type, kinds[kind].protocol);

		/* UDP-Lite is not in every kernel; what needs it says so itself. */
		if (server < 0)
			continue;
		setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(server, (struct sockaddr *)&any, sizeof(any)))
			unattempted("bind");
		if (kinds[kind].type == SOCK_STREAM && listen(server, 8))
			unattempted("listen");
	}
}

static int opened(int family, int type, int protocol)
{
	int one = socket(family, type, protocol), on = 1;

	if (one < 0)
		unattempted("socket");
	/* Connections of earlier runs may linger on the port. */
	setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return one;
}

static int connected(int argc, char **argv, int type, int protocol)
{
	struct sockaddr_storage to;
	socklen_t length = address(argc, argv, &to);

	return outcome(connect(opened(to.ss_family, type, protocol), (struct sockaddr *)&to, length));
}

static int run_tcp(int argc, char **argv)
{
	return connected(argc, argv, SOCK_STREAM, 0);
}

/* tcp-bound ADDRESS PORT SOURCE: bound to the source first. */
static int run_tcp_bound(int argc, char **argv)
{
	struct sockaddr_storage to;
	struct sockaddr_in from = {.sin_family = AF_INET};
	socklen_t length = address(argc, argv, &to);
	int client = opened(AF_INET, SOCK_STREAM, 0);

	if (inet_pton(AF_INET, argument(argc, argv, 2), &from.sin_addr) != 1 ||
	    bind(client, (struct sockaddr *)&from, sizeof(from)))
		unattempted("bind");
	return outcome(connect(client, (struct sockaddr *)&to, length));
}

static int run_mptcp(int argc, char **argv)
{
	return connected(argc, argv, SOCK_STREAM, IPPROTO_MPTCP);
}

static int run_udp(int argc, char **argv)
{
	return connected(argc, argv, SOCK_DGRAM, 0);
}

static int run_udplite(int argc, char **argv)
{
	return connected(argc, argv, SOCK_DGRAM, IPPROTO_UDPLITE);
}

static int run_tcp_nonblocking(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = address(argc, argv, &to);

	if (connect(opened(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&to, length) == 0)
		return 0;
	return errno == EINPROGRESS ? 0 : -errno;
}

/* TCP Fast Open connects by sendto(2), with no connect(2). */
static int run_tcp_fastopen(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = address(argc, argv, &to);

	return outcome(
	    sendto(opened(to.ss_family, SOCK_STREAM, 0), "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, length));
}

static int run_tcp_fastopen_connect(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = address(argc, argv, &to);
	int one = 1, client = opened(to.ss_family, SOCK_STREAM, 0);

	if (setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)))
		unattempted("TCP_FASTOPEN_CONNECT");
	if (connect(client, (struct sockaddr *)&to, length))
		return -errno;
	return outcome(send(client, "x", 1, 0));
}

static int run_sendto(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = address(argc, argv, &to);

	return outcome(sendto(opened(to.ss_family, SOCK_DGRAM, 0), "x", 1, 0, (struct sockaddr *)&to, length));
}

/* udp_sendmsg() takes AF_UNSPEC for AF_INET. */
static int run_sendto_unspecified(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = address(argc, argv, &to);
	int client = opened(AF_INET, SOCK_DGRAM, 0);

	to.ss_family = AF_UNSPEC;
	return outcome(sendto(client, "x", 1, 0, (struct sockaddr *)&to, length));
}

/* An IPv4 address given to an IPv6 socket. */
static int run_sendto_four_on_six(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = address(argc, argv, &to);

	return outcome(sendto(opened(AF_INET6, SOCK_DGRAM, 0), "x", 1, 0, (struct sockaddr *)&to, length));
}

static int run_sendmmsg(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = address(argc, argv, &to);
	struct iovec vector = {.iov_base = "x", .iov_len = 1};
	struct mmsghdr messages[2] = {0};

	for (int place = 0; place < 2; place++)
		messages[place].msg_hdr =
		    (struct msghdr){.msg_name = &to, .msg_namelen = length, .msg_iov = &vector, .msg_iovlen = 1};
	return outcome(sendmmsg(opened(to.ss_family, SOCK_DGRAM, 0), messages, 2, 0));
}

/* reconnect ADDRESS PORT: first a permitted peer (the third argument's port), then the denied one, on one socket. */
static int run_udp_reconnect(int argc, char **argv)
{
	struct sockaddr_storage to, first;
	socklen_t length = address(argc, argv, &to);
	int client = opened(to.ss_family, SOCK_DGRAM, 0);

	first = to;
	((struct sockaddr_in *)&first)->sin_port = htons((uint16_t)atoi(argument(argc, argv, 2)));
	if (connect(client, (struct sockaddr *)&first, length))
		unattempted("the first connect");
	return outcome(connect(client, (struct sockaddr *)&to, length));
}

static int run_bind_tcp(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = address(argc, argv, &at);

	return outcome(bind(opened(at.ss_family, SOCK_STREAM, 0), (struct sockaddr *)&at, length));
}

static int run_bind_udp(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = address(argc, argv, &at);

	return outcome(bind(opened(at.ss_family, SOCK_DGRAM, 0), (struct sockaddr *)&at, length));
}

/* bind(2) takes AF_UNSPEC with the any-address for AF_INET. */
static int run_bind_unspecified(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = address(argc, argv, &at);
	int server = opened(AF_INET, SOCK_STREAM, 0);

	at.ss_family = AF_UNSPEC;
	return outcome(bind(server, (struct sockaddr *)&at, length));
}

/* listen(2) without bind(2) takes a port of the kernel's choice. */
static int run_listen_unbound(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(listen(opened(AF_INET, SOCK_STREAM, 0), 1));
}

/* accept ADDRESS PORT: a client outside the policy keeps connecting; the server is confined. */
static pid_t caller;

static void prepare_caller(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = address(argc, argv, &to);

	caller = fork();
	if (caller == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			int client = socket(to.ss_family, SOCK_STREAM, 0);

			if (connect(client, (struct sockaddr *)&to, length) == 0)
				pause();
			close(client);
			usleep(20000);
		}
	}
}

static int run_accept(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = address(argc, argv, &at);
	int one = 1, server = opened(at.ss_family, SOCK_STREAM, 0), peer;
	struct pollfd waiting = {.fd = server, .events = POLLIN};

	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(server, (struct sockaddr *)&at, length) || listen(server, 8))
		unattempted("bind and listen");
	if (poll(&waiting, 1, 2500) != 1)
		refused("NO_PEER");
	peer = accept(server, NULL, NULL);
	return outcome(peer);
}

static int run_raw(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static int run_packet(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(socket(AF_PACKET, SOCK_RAW, htons(3)));
}

/* family NUMBER: a family that no rule can speak of. */
static int run_family(int argc, char **argv)
{
	return outcome(socket(atoi(argument(argc, argv, 0)), atoi(argument(argc, argv, 1)), 0));
}

const struct attack net_attacks[] = {
    {"tcp", listeners, run_tcp},
    {"tcp-bound", listeners, run_tcp_bound},
    {"mptcp", listeners, run_mptcp},
    {"udp", listeners, run_udp},
    {"udplite", listeners, run_udplite},
    {"tcp-nonblocking", listeners, run_tcp_nonblocking},
    {"tcp-fastopen", listeners, run_tcp_fastopen},
    {"tcp-fastopen-connect", listeners, run_tcp_fastopen_connect},
    {"sendto", listeners, run_sendto},
    {"sendto-unspecified", listeners, run_sendto_unspecified},
    {"sendto-four-on-six", listeners, run_sendto_four_on_six},
    {"sendmmsg", listeners, run_sendmmsg},
    {"udp-reconnect", listeners, run_udp_reconnect},
    {"bind-tcp", NULL, run_bind_tcp},
    {"bind-udp", NULL, run_bind_udp},
    {"bind-unspecified", NULL, run_bind_unspecified},
    {"listen-unbound", NULL, run_listen_unbound},
    {"accept", prepare_caller, run_accept},
    {"raw", NULL, run_raw},
    {"packet", NULL, run_packet},
    {"family", NULL, run_family},
    {0},
};
