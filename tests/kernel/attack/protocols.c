/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ICMP by ping sockets and raw ones, and SCTP with several addresses on each side. */
#include "address.h"
#include "attack.h"
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define SCTP_BINDX_ADD 100
#define SCTP_GET_PEER_ADDRS 108
#define SCTP_CONNECTX 110
#define SCTP_DSTADDRV4 7

static int made(int family, int type, int protocol)
{
	struct timeval wait = {1, 0};
	int one = socket(family, type, protocol), on = 1;

	if (one < 0)
		unattempted("socket %d %d %d", family, type, protocol);
	setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return one;
}

/* Sends an echo request on `one`, to `to` unless it is connected, and waits for the reply. */
static int echo(int one, struct sockaddr_storage *to, socklen_t length, int connected)
{
	struct icmphdr four = {.type = ICMP_ECHO, .un.echo.sequence = htons(7)};
	struct icmp6_hdr six = {.icmp6_type = ICMP6_ECHO_REQUEST};
	unsigned char got[256];
	ssize_t size;

	/* A raw socket's sum is its own to make: that of type 8 and sequence 7, all else zero. */
	four.checksum = htons((uint16_t) ~(0x0800 + 7));
	size = sendto(one, to->ss_family == AF_INET ? (void *)&four : (void *)&six, 8, 0,
		      connected ? NULL : (struct sockaddr *)to, connected ? 0 : length);
	if (size < 0)
		return -errno;
	for (int turn = 0; turn < 8; turn++) {
		int type;

		size = recv(one, got, sizeof(got), 0);
		if (size < 0)
			refused("NO_REPLY");
		type = size >= 28 && got[0] >> 4 == 4 ? got[(got[0] & 15) * 4] : got[0];
		if (type == ICMP_ECHOREPLY || type == ICMP6_ECHO_REPLY)
			return 0;
	}
	refused("NO_REPLY");
}

static int protocol_of(const struct sockaddr_storage *to)
{
	return to->ss_family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
}

/* ping ADDRESS, ping-raw ADDRESS, ping-connect ADDRESS */
static int ping_by(int type, int connects, int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), "0", &to);
	int one = socket(to.ss_family, type, protocol_of(&to));
	struct timeval wait = {1, 0};

	if (one < 0)
		return -errno;
	setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (connects && connect(one, (struct sockaddr *)&to, length))
		return -errno;
	return echo(one, &to, length, connects);
}

static int run_ping(int argc, char **argv)
{
	return ping_by(SOCK_DGRAM, 0, argc, argv);
}

static int run_ping_connect(int argc, char **argv)
{
	return ping_by(SOCK_DGRAM, 1, argc, argv);
}

static int run_ping_raw(int argc, char **argv)
{
	return ping_by(SOCK_RAW, 0, argc, argv);
}

/* ping-bind ADDRESS: its own address. */
static int run_ping_bind(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 0), "0", &at);

	return outcome(bind(made(at.ss_family, SOCK_DGRAM, protocol_of(&at)), (struct sockaddr *)&at, length));
}

/* ping-header ADDRESS: the header that the task writes says where it goes. */
static int run_ping_header(int argc, char **argv)
{
	int one = made(AF_INET, SOCK_RAW, IPPROTO_ICMP), on = 1;

	(void)argc;
	(void)argv;
	return outcome(setsockopt(one, SOL_IP, IP_HDRINCL, &on, sizeof(on)));
}

/* Addresses from argument `first` on, with the port that is argument 1, side by side as sctp(7) wants them. */
static socklen_t several(int argc, char **argv, int first, unsigned char *out)
{
	socklen_t size = 0;

	for (int at = first; at + 1 < argc; at++) {
		struct sockaddr_storage one;
		socklen_t length = place(argument(argc, argv, at), argument(argc, argv, 1), &one);

		memcpy(out + size, &one, length);
		size += length;
	}
	return size;
}

static int server;

static void serve_at(int argc, char **argv, int first)
{
	unsigned char own[256];
	struct sockaddr_storage any;
	socklen_t size = several(argc, argv, first, own);

	place("0.0.0.0", argument(argc, argv, 1), &any);
	server = made(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
	if (size ? setsockopt(server, IPPROTO_SCTP, SCTP_BINDX_ADD, own, size)
		 : bind(server, (struct sockaddr *)&any, sizeof(struct sockaddr_in)))
		unattempted("sctp bind");
	if (listen(server, 8))
		unattempted("sctp listen");
}

static int came(long result)
{
	struct pollfd wait = {.fd = server, .events = POLLIN};

	if (result < 0)
		return -errno;
	if (poll(&wait, 1, 1000) != 1)
		refused("NOT_ARRIVED");
	return 0;
}

static void prepare_server(int argc, char **argv)
{
	(void)argc;
	serve_at(3, argv, 2);
}

/* sctp-connect ADDRESS PORT: one address, by connect(2). */
static int run_connect(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);

	return came(connect(made(to.ss_family, SOCK_STREAM, IPPROTO_SCTP), (struct sockaddr *)&to, length));
}

/* sctp-connect-all ADDRESS PORT MORE...: at once, the first one as well. */
static int run_connect_all(int argc, char **argv)
{
	unsigned char all[256];
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);

	memcpy(all, &to, length);
	length += several(argc, argv, 2, all + length);
	return came(setsockopt(made(AF_INET, SOCK_STREAM, IPPROTO_SCTP), IPPROTO_SCTP, SCTP_CONNECTX, all, length));
}

/* sctp-bind-all ADDRESS PORT MORE... */
static int run_bind_all(int argc, char **argv)
{
	unsigned char all[256];
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);

	memcpy(all, &at, length);
	length += several(argc, argv, 2, all + length);
	return outcome(setsockopt(made(AF_INET, SOCK_STREAM, IPPROTO_SCTP), IPPROTO_SCTP, SCTP_BINDX_ADD, all, length));
}

/* sctp-destination ADDRESS PORT MORE: a first message whose control data has one more address. */
static int run_destination(int argc, char **argv)
{
	struct sockaddr_storage to, more;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	char space[64] = {0};
	struct iovec vector = {.iov_base = "x", .iov_len = 1};
	struct msghdr message = {.msg_name = &to,
				 .msg_namelen = length,
				 .msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = space,
				 .msg_controllen = CMSG_SPACE(4)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	place(argument(argc, argv, 2), "0", &more);
	header->cmsg_level = IPPROTO_SCTP;
	header->cmsg_type = SCTP_DSTADDRV4;
	header->cmsg_len = CMSG_LEN(4);
	memcpy(CMSG_DATA(header), &((struct sockaddr_in *)&more)->sin_addr, 4);
	return came(sendmsg(made(AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP), &message, 0));
}

/* sctp-answered ADDRESS PORT MORE...: the listener outside has further addresses, which its answer lists. */
static void prepare_answered(int argc, char **argv)
{
	unsigned char own[256];
	struct sockaddr_storage at;
	socklen_t size = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);

	memcpy(own, &at, size);
	size += several(argc, argv, 2, own + size);
	server = made(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
	if (setsockopt(server, IPPROTO_SCTP, SCTP_BINDX_ADD, own, size) || listen(server, 8))
		unattempted("sctp listener");
}

static int run_answered(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	int client = made(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_SCTP);
	struct pollfd wait = {.fd = client, .events = POLLOUT};

	if (connect(client, (struct sockaddr *)&to, length) && errno != EINPROGRESS)
		return -errno;
	if (poll(&wait, 1, 1500) != 1)
		refused("NO_PEER");
	return outcome(send(client, "x", 1, MSG_NOSIGNAL));
}

/*
 * sctp-listed ADDRESS PORT FROM...: somebody outside who has all the addresses FROM associates with a one-to-many
 * socket of the confined process.
 */
static void prepare_listed(int argc, char **argv)
{
	unsigned char own[256];
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to), size = 0;

	for (int at = 2; at + 1 < argc; at++) {
		struct sockaddr_storage one;
		socklen_t one_length = place(argument(argc, argv, at), "0", &one);

		memcpy(own + size, &one, one_length);
		size += one_length;
	}
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int client = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);

		/* Further addresses have the port that the first one got. */
		if (bind(client, (struct sockaddr *)own, sizeof(struct sockaddr_in)) == 0) {
			struct sockaddr_in got;
			socklen_t got_length = sizeof(got);

			getsockname(client, (struct sockaddr *)&got, &got_length);
			for (size_t at = sizeof(struct sockaddr_in); at < size; at += sizeof(struct sockaddr_in)) {
				((struct sockaddr_in *)(own + at))->sin_port = got.sin_port;
				setsockopt(client, IPPROTO_SCTP, SCTP_BINDX_ADD, own + at, sizeof(struct sockaddr_in));
			}
			if (connect(client, (struct sockaddr *)&to, length) == 0 &&
			    send(client, "x", 1, MSG_NOSIGNAL) == 1)
				sleep(30);
		}
		close(client);
		usleep(50000);
	}
}

static int run_listed(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);
	int many = made(AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP);
	char byte;

	if (bind(many, (struct sockaddr *)&at, length))
		unattempted("bind");
	if (listen(many, 8))
		unattempted("listen");
	if (recv(many, &byte, 1, 0) == 1)
		return 0;
	if (errno == EAGAIN)
		refused("NO_PEER");
	return -errno;
}

/*
 * sctp-added ADDRESS PORT FROM MORE: who has connected from FROM adds an address of its own (ASCONF). 0 if the kernel
 * took it.
 */
static void prepare_added(int argc, char **argv)
{
	struct sockaddr_storage to, from, more;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);

	place(argument(argc, argv, 2), "0", &from);
	place(argument(argc, argv, 3), "0", &more);
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int client = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);

		if (bind(client, (struct sockaddr *)&from, sizeof(struct sockaddr_in)) == 0 &&
		    connect(client, (struct sockaddr *)&to, length) == 0) {
			struct sockaddr_in got;
			socklen_t got_length = sizeof(got);

			getsockname(client, (struct sockaddr *)&got, &got_length);
			((struct sockaddr_in *)&more)->sin_port = got.sin_port;
			usleep(100000);
			setsockopt(client, IPPROTO_SCTP, SCTP_BINDX_ADD, &more, sizeof(struct sockaddr_in));
			sleep(30);
		}
		close(client);
		usleep(50000);
	}
}

static int run_added(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);
	struct {
		int32_t association;
		uint32_t count;
		unsigned char addresses[256];
	} peer = {0};
	socklen_t size = sizeof(peer);
	int one = made(AF_INET, SOCK_STREAM, IPPROTO_SCTP), client;

	if (bind(one, (struct sockaddr *)&at, length) || listen(one, 8))
		unattempted("sctp listener");
	client = accept(one, NULL, NULL);
	if (client < 0)
		unattempted("accept");
	usleep(700000);
	if (getsockopt(client, IPPROTO_SCTP, SCTP_GET_PEER_ADDRS, &peer, &size))
		unattempted("SCTP_GET_PEER_ADDRS");
	if (peer.count != 2)
		refused("NOT_ADDED");
	return 0;
}

const struct attack protocol_attacks[] = {
    {"ping", NULL, run_ping},
    {"ping-connect", NULL, run_ping_connect},
    {"ping-raw", NULL, run_ping_raw},
    {"ping-bind", NULL, run_ping_bind},
    {"ping-header", NULL, run_ping_header},
    {"sctp-connect", prepare_server, run_connect},
    {"sctp-connect-all", prepare_server, run_connect_all},
    {"sctp-bind-all", NULL, run_bind_all},
    {"sctp-destination", prepare_server, run_destination},
    {"sctp-answered", prepare_answered, run_answered},
    {"sctp-listed", prepare_listed, run_listed},
    {"sctp-added", prepare_added, run_added},
    {0},
};
