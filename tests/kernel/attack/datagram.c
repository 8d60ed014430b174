/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Datagrams that come in. Somebody outside the policy sends them; the confined process receives in one way or another.
 * NO_PEER: nothing came.
 */
#include "address.h"
#include "attack.h"
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#ifndef IPPROTO_UDPLITE
#define IPPROTO_UDPLITE 136
#endif
#define UDP_GRO_OPTION 104
#define GROUP "239.7.7.7"

/*
 * A child that ends with this process. The signal alone does not end it: where this process becomes another user, it
 * may not send it.
 */
static pid_t before;

static int outside(void)
{
	before = getpid();
	if (fork())
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return 1;
}

static void go_on(void)
{
	if (getppid() != before)
		_exit(0);
	usleep(20000);
}

static int made(int family, int type, int protocol)
{
	struct timeval wait = {0, 700000};
	int one = socket(family, type, protocol), on = 1;

	if (one < 0)
		unattempted("socket %d %d %d", family, type, protocol);
	setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return one;
}

static int bound(const char *at_text, const char *port, int type, int protocol)
{
	struct sockaddr_storage at;
	socklen_t length = place(at_text, port, &at);
	int one = made(at.ss_family, type, protocol);

	if (bind(one, (struct sockaddr *)&at, length)) {
		if (errno == EPERM)
			return -1;
		unattempted("bind to %s", at_text);
	}
	return one;
}

/* Somebody who sends from `from` to a place over and over. */
static void sender(const char *to_text, const char *port, const char *from, int protocol)
{
	struct sockaddr_storage to;
	socklen_t length = place(to_text, port, &to);
	int one;

	if (!outside())
		return;
	one = bound(from, "0", SOCK_DGRAM, protocol);
	if (to.ss_family == AF_INET && (ntohl(((struct sockaddr_in *)&to)->sin_addr.s_addr) >> 28) == 14) {
		struct sockaddr_storage by;

		place(from, "0", &by);
		setsockopt(one, SOL_IP, IP_MULTICAST_IF, &((struct sockaddr_in *)&by)->sin_addr, 4);
	}
	for (;;) {
		(void)!sendto(one, "s", 1, 0, (struct sockaddr *)&to, length);
		go_on();
	}
}

static int is(const char *mode, const char *word)
{
	return strcmp(mode, word) == 0;
}

static int protocol_of(const char *mode)
{
	return is(mode, "udplite") ? IPPROTO_UDPLITE : 0;
}

/* datagram ADDRESS PORT FROM MODE */
static void prepare_datagram(int argc, char **argv)
{
	const char *mode = argument(argc, argv, 3);

	sender(is(mode, "group") ? GROUP : argument(argc, argv, 0), argument(argc, argv, 1), argument(argc, argv, 2),
	       protocol_of(mode));
}

static int came(ssize_t got)
{
	if (got > 0)
		return 0;
	if (got == 0 || errno == EAGAIN)
		refused("NO_PEER");
	return -errno;
}

static void join(int one)
{
	struct ip_mreq group = {.imr_interface.s_addr = htonl(INADDR_LOOPBACK)};

	inet_pton(AF_INET, GROUP, &group.imr_multiaddr);
	if (setsockopt(one, SOL_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)))
		unattempted("IP_ADD_MEMBERSHIP");
}

static int receive(int one, const char *mode)
{
	char byte[4][8];

	if (is(mode, "peek"))
		return came(recv(one, byte[0], 8, MSG_PEEK));
	if (is(mode, "read"))
		return came(read(one, byte[0], 8));
	if (is(mode, "dup"))
		return came(recv(dup(one), byte[0], 8, 0));
	if (is(mode, "many")) {
		struct iovec vector[4];
		struct mmsghdr messages[4] = {0};
		struct timespec wait = {1, 0};

		for (int at = 0; at < 4; at++) {
			vector[at] = (struct iovec){byte[at], 8};
			messages[at].msg_hdr.msg_iov = &vector[at];
			messages[at].msg_hdr.msg_iovlen = 1;
		}
		return came(recvmmsg(one, messages, 4, MSG_WAITFORONE, &wait));
	}
	if (is(mode, "splice")) {
		int ends[2];

		if (pipe(ends))
			unattempted("pipe");
		return came(splice(one, NULL, ends[1], NULL, 8, 0));
	}
	return came(recv(one, byte[0], 8, 0));
}

static int run_datagram(int argc, char **argv)
{
	const char *mode = argument(argc, argv, 3), *at = argument(argc, argv, 0);
	int on = 1, one;

	one = bound(is(mode, "mapped")	? "::"
		    : is(mode, "group") ? "0.0.0.0"
					: at,
		    argument(argc, argv, 1), SOCK_DGRAM, protocol_of(mode));
	if (one < 0)
		return -EPERM;
	if (is(mode, "gro"))
		setsockopt(one, IPPROTO_UDP, UDP_GRO_OPTION, &on, sizeof(on));
	if (is(mode, "group"))
		join(one);
	return receive(one, mode);
}

/* datagram-shared ADDRESS PORT FROM MODE: a group of sockets of one port, whose program chooses the confined one. */
static int shared;

static int of_group(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);
	int one = made(at.ss_family, SOCK_DGRAM, 0), on = 1;

	setsockopt(one, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (bind(one, (struct sockaddr *)&at, length))
		unattempted("bind to the group");
	return one;
}

static void prepare_shared(int argc, char **argv)
{
	struct sock_filter second[] = {{BPF_RET | BPF_K, 0, 0, 1}};
	struct sock_fprog program = {1, second};

	shared = of_group(argc, argv);
	if (setsockopt(shared, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)))
		unattempted("SO_ATTACH_REUSEPORT_CBPF");
	prepare_datagram(argc, argv);
}

static int run_shared(int argc, char **argv)
{
	return receive(of_group(argc, argv), argument(argc, argv, 3));
}

/* datagram-passed ADDRESS PORT FROM MODE: a socket of somebody else's, in which datagrams wait already. */
static void prepare_passed(int argc, char **argv)
{
	shared = bound(argument(argc, argv, 0), argument(argc, argv, 1), SOCK_DGRAM, 0);
	prepare_datagram(argc, argv);
	usleep(100000);
}

static int run_passed(int argc, char **argv)
{
	return receive(shared, argument(argc, argv, 3));
}

/* datagram-answer ADDRESS PORT OTHER MODE: a server outside answers from its port, or from OTHER if that is not 0. */
static void prepare_answer(int argc, char **argv)
{
	const char *other = argument(argc, argv, 2);
	int server = bound(argument(argc, argv, 0), argument(argc, argv, 1), SOCK_DGRAM, 0), by = server;

	if (!is(other, "0"))
		by = bound(argument(argc, argv, 0), other, SOCK_DGRAM, 0);
	if (!outside()) {
		close(server);
		return;
	}
	for (;;) {
		struct sockaddr_storage from;
		socklen_t length = sizeof(from);
		char byte;

		if (recvfrom(server, &byte, 1, 0, (struct sockaddr *)&from, &length) == 1)
			(void)!sendto(by, "a", 1, 0, (struct sockaddr *)&from, length);
		else
			go_on();
	}
}

static int run_answer(int argc, char **argv)
{
	const char *mode = argument(argc, argv, 3);
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	int one = made(to.ss_family, SOCK_DGRAM, 0);
	long sent;

	if (is(mode, "connected")) {
		if (connect(one, (struct sockaddr *)&to, length))
			return -errno;
		sent = send(one, "q", 1, 0);
	} else {
		sent = sendto(one, "q", 1, 0, (struct sockaddr *)&to, length);
	}
	return sent == 1 ? receive(one, "plain") : -errno;
}

/* datagram-inside ADDRESS PORT FROM MODE: the process sends to itself, in a network namespace of its own. */
static int run_inside(int argc, char **argv)
{
	struct ifreq device = {.ifr_flags = IFF_UP | IFF_RUNNING};
	int one;

	if (unshare(CLONE_NEWNET))
		unattempted("unshare");
	one = made(AF_INET, SOCK_DGRAM, 0);
	strcpy(device.ifr_name, "lo");
	if (ioctl(one, SIOCSIFFLAGS, &device))
		unattempted("lo");
	sender(argument(argc, argv, 0), argument(argc, argv, 1), argument(argc, argv, 2), 0);
	return run_datagram(argc, argv);
}

/* icmp-heard FROM: an echo request from there, by a raw socket. */
static void prepare_heard(int argc, char **argv)
{
	struct sockaddr_storage from, to;
	socklen_t length = place("127.0.0.1", "0", &to);
	struct icmphdr request = {.type = ICMP_ECHO, .un.echo.sequence = htons(9), .checksum = htons(0xf7f6)};
	int one;

	place(argument(argc, argv, 0), "0", &from);
	if (!outside())
		return;
	one = made(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	(void)!bind(one, (struct sockaddr *)&from, length);
	for (;;) {
		(void)!sendto(one, &request, sizeof(request), 0, (struct sockaddr *)&to, length);
		go_on();
	}
}

static int run_heard(int argc, char **argv)
{
	struct sockaddr_storage from;
	unsigned char got[64];
	int one = made(AF_INET, SOCK_RAW, IPPROTO_ICMP);

	place(argument(argc, argv, 0), "0", &from);
	for (int turn = 0; turn < 16; turn++) {
		ssize_t size = recv(one, got, sizeof(got), 0);

		if (size < 0)
			return came(size);
		if (size >= 20 && memcmp(got + 12, &((struct sockaddr_in *)&from)->sin_addr, 4) == 0)
			return 0;
	}
	refused("NO_PEER");
}

const struct attack datagram_attacks[] = {
    {"datagram", prepare_datagram, run_datagram},
    {"datagram-shared", prepare_shared, run_shared},
    {"datagram-passed", prepare_passed, run_passed},
    {"datagram-answer", prepare_answer, run_answer},
    {"datagram-inside", NULL, run_inside},
    {"icmp-heard", prepare_heard, run_heard},
    {0},
};
