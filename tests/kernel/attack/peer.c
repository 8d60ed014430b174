/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Who connects to a service. A peer is taken only where what it sent was read: a connection that the kernel hands out
 * and nobody can use is none.
 */
#include "address.h"
#include "attack.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int protocol_of(const char *name)
{
	if (strcmp(name, "mptcp") == 0)
		return IPPROTO_MPTCP;
	if (strcmp(name, "sctp") == 0)
		return IPPROTO_SCTP;
	if (strcmp(name, "dccp") == 0)
		return 33;
	return 0;
}

static int stream(int family, int protocol)
{
	int one = socket(family, protocol == 33 ? 6 /* SOCK_DCCP */ : SOCK_STREAM, protocol), on = 1;

	if (one < 0)
		unattempted("socket of protocol %d", protocol);
	setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return one;
}

/* Somebody outside the policy who connects from `source` over and over, and says one letter each time. */
static void caller(const char *to_text, const char *port, int protocol, char letter)
{
	struct sockaddr_storage to;
	socklen_t length = place(to_text, port, &to);

	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int client = stream(to.ss_family, protocol);

		if (connect(client, (struct sockaddr *)&to, length) == 0 && send(client, &letter, 1, MSG_NOSIGNAL) == 1)
			sleep(30);
		close(client);
		usleep(50000);
	}
}

static void patient(int socket, int seconds)
{
	struct timeval wait = {seconds, 0};

	setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
}

/* What the connection's peer has said: a letter, or -errno. */
static int said(int peer)
{
	char letter;
	ssize_t got;

	patient(peer, 1);
	got = recv(peer, &letter, 1, 0);
	return got == 1 ? letter : got == 0 ? -ENODATA : -errno;
}

/* The next who waits; EAGAIN where nobody does. A multipath socket's accept(2) knows no timeout. */
static int next(int server, int seconds)
{
	struct pollfd wait = {.fd = server, .events = POLLIN};

	if (poll(&wait, 1, seconds * 1000) != 1) {
		errno = EAGAIN;
		return -1;
	}
	return accept(server, NULL, NULL);
}

/* taken ADDRESS PORT LISTENS CALLS: a listener of one protocol, a caller of another. */
static void prepare_taken(int argc, char **argv)
{
	caller(argument(argc, argv, 0), argument(argc, argv, 1), protocol_of(argument(argc, argv, 3)), 's');
}

static int serve(int server, int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);
	int peer;

	if (bind(server, (struct sockaddr *)&at, length))
		unattempted("bind");
	if (listen(server, 8))
		unattempted("listen");
	peer = next(server, 1);
	if (peer < 0 && errno == EAGAIN)
		refused("NO_PEER");
	if (peer < 0)
		return -errno;
	peer = said(peer);
	return peer < 0 ? peer : 0;
}

static int run_taken(int argc, char **argv)
{
	struct sockaddr_storage at;

	place(argument(argc, argv, 0), "0", &at);
	return serve(stream(at.ss_family, protocol_of(argument(argc, argv, 2))), argc, argv);
}

/* taken-full ADDRESS PORT - CALLS: the same, with no memory left for the listener's options. */
static int run_taken_full(int argc, char **argv)
{
	int server = stream(AF_INET, 0), keys;

	for (keys = 0; keys < 100000; keys++) {
		struct tcp_md5sig key = {.tcpm_keylen = 1};
		struct sockaddr_in *peer = (struct sockaddr_in *)&key.tcpm_addr;

		peer->sin_family = AF_INET;
		peer->sin_addr.s_addr = htonl(0xf0000000u + (unsigned)keys);
		if (setsockopt(server, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)))
			break;
	}
	if (errno != ENOMEM)
		unattempted("%d keys", keys);
	return serve(server, argc, argv);
}

/*
 * activated ADDRESS PORT WHO...: a listener from before the policy, on which each WHO (an address, `s` for a stranger
 * or `f` for a friend before it) waits in that order. 0 if a stranger is served; EPERM if not, and every friend is.
 */
static int activated, deferred;

static void activate(int argc, char **argv, int protocol, int seconds)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);

	activated = stream(at.ss_family, protocol);
	if (seconds && setsockopt(activated, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)))
		unattempted("TCP_DEFER_ACCEPT");
	if (bind(activated, (struct sockaddr *)&at, length) || listen(activated, 64))
		unattempted("bind and listen");
	patient(activated, 1);
}

static void wait_there(const char *who, int argc, char **argv, int protocol, int later)
{
	struct sockaddr_storage to, from;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	int client = stream(to.ss_family, protocol);

	place(who + 1, "0", &from);
	if (bind(client, (struct sockaddr *)&from, length) || connect(client, (struct sockaddr *)&to, length))
		unattempted("client %s", who);
	if (!later && send(client, who, 1, MSG_NOSIGNAL) != 1)
		unattempted("send");
	if (later && fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(activated);
		usleep(700000);
		(void)!send(client, who, 1, MSG_NOSIGNAL);
		sleep(30);
		_exit(0);
	}
}

static void prepare_activated(int argc, char **argv)
{
	activate(argc, argv, 0, 0);
	for (int at = 2; at + 1 < argc; at++)
		wait_there(argument(argc, argv, at), argc, argv, 0, 0);
	usleep(100000);
}

static void prepare_activated_mptcp(int argc, char **argv)
{
	activate(argc, argv, IPPROTO_MPTCP, 0);
	for (int at = 2; at + 1 < argc; at++)
		wait_there(argument(argc, argv, at), argc, argv, at % 2 ? IPPROTO_MPTCP : 0, 0);
	usleep(100000);
}

static void prepare_activated_sctp(int argc, char **argv)
{
	activate(argc, argv, IPPROTO_SCTP, 0);
	for (int at = 2; at + 1 < argc; at++)
		wait_there(argument(argc, argv, at), argc, argv, IPPROTO_SCTP, 0);
	usleep(100000);
}

/* Requests only, until they say something: after the service waits for them. */
static void prepare_deferred(int argc, char **argv)
{
	deferred = 1;
	activate(argc, argv, 0, 5);
	for (int at = 2; at + 1 < argc; at++)
		wait_there(argument(argc, argv, at), argc, argv, 0, 1);
	usleep(100000);
}

static int friends(int argc, char **argv)
{
	int count = 0;

	for (int at = 2; at + 1 < argc; at++)
		count += argument(argc, argv, at)[0] == 'f';
	return count;
}

static int run_activated(int argc, char **argv)
{
	int served = 0, error = 0;

	for (int turn = 0; turn < 12; turn++) {
		/* Some are to come in while accept(2) waits. */
		int peer = deferred ? accept(activated, NULL, NULL) : next(activated, 1), letter;

		if (peer < 0 && errno == EAGAIN) {
			if (turn > 1)
				break;
			continue;
		}
		if (peer < 0) {
			error = -errno;
			continue;
		}
		letter = said(peer);
		if (letter == 's')
			return 0;
		if (letter == 'f')
			served++;
		else
			error = letter;
		close(peer);
	}
	if (served != friends(argc, argv))
		refused("STARVED");
	return error ? error : -ENODATA;
}

/* activated-served: 0 if every friend is served. */
static int run_served(int argc, char **argv)
{
	for (int served = 0; served < friends(argc, argv); served++) {
		int peer = accept(activated, NULL, NULL);

		if (peer < 0)
			return -errno;
		if (said(peer) != 'f')
			return -ENODATA;
	}
	return 0;
}

/* activated-splice: what the stranger says goes into a pipe. */
static int run_splice(int argc, char **argv)
{
	int ends[2];

	(void)argc;
	(void)argv;
	if (pipe(ends))
		unattempted("pipe");
	for (int turn = 0; turn < 4; turn++) {
		int peer = accept(activated, NULL, NULL);

		if (peer >= 0)
			return splice(peer, NULL, ends[1], NULL, 1, 0) == 1 ? 0 : -errno;
	}
	return -errno;
}

/* activated-raced: threads that all find a friend at the head. */
static int heard;

static void *race(void *nothing)
{
	for (int turn = 0; turn < 8; turn++) {
		int peer = accept(activated, NULL, NULL), letter;

		if (peer < 0)
			continue;
		letter = said(peer);
		close(peer);
		if (letter == 's')
			__atomic_store_n(&heard, 1, __ATOMIC_SEQ_CST);
	}
	return nothing;
}

static int run_raced(int argc, char **argv)
{
	pthread_t threads[4];

	(void)argc;
	(void)argv;
	for (int at = 0; at < 4; at++)
		if (pthread_create(&threads[at], NULL, race, NULL))
			unattempted("a thread");
	for (int at = 0; at < 4; at++)
		pthread_join(threads[at], NULL);
	return heard ? 0 : -EPERM;
}

/* listen-family FAMILY PROTOCOL ADDRESS PORT: listens by a socket that has another one within. */
static int run_listen_family(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 2), argument(argc, argv, 3), &at);
	int server = socket(atoi(argument(argc, argv, 0)), SOCK_STREAM, atoi(argument(argc, argv, 1)));

	if (server < 0)
		unattempted("socket");
	if (bind(server, (struct sockaddr *)&at, length))
		unattempted("bind");
	return outcome(listen(server, 1));
}

const struct attack peer_attacks[] = {
    {"taken", prepare_taken, run_taken},
    {"taken-full", prepare_taken, run_taken_full},
    {"activated", prepare_activated, run_activated},
    {"activated-mptcp", prepare_activated_mptcp, run_activated},
    {"activated-sctp", prepare_activated_sctp, run_activated},
    {"activated-deferred", prepare_deferred, run_activated},
    {"activated-served", prepare_activated, run_served},
    {"activated-splice", prepare_activated, run_splice},
    {"activated-raced", prepare_activated, run_raced},
    {"listen-family", NULL, run_listen_family},
    {0},
};
