/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Source routes: a datagram to an address that is permitted, by way of one that is not. `TO PORT VIA` are the
 * arguments; that the packet really goes to VIA is seen by a packet socket, which prepare opens before the process is
 * confined.
 */
#include "attack.h"
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/in6.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

#ifndef SOL_IPV6
#define SOL_IPV6 41
#endif
#define SEGMENT_ROUTING 4

static int watcher;

static void prepare(int argc, char **argv)
{
	int six = strchr(argument(argc, argv, 2), ':') != NULL;
	struct sockaddr_ll here = {.sll_family = AF_PACKET, .sll_protocol = htons(six ? 0x86dd : 0x0800)};

	here.sll_ifindex = (int)if_nametoindex("lo");
	watcher = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (watcher < 0 || bind(watcher, (struct sockaddr *)&here, sizeof(here)))
		unattempted("a packet socket");
}

/* 0 if a packet to `via` was sent. */
static int seen(const void *via, size_t at, size_t length)
{
	unsigned char packet[2048];
	struct pollfd wait = {.fd = watcher, .events = POLLIN};

	while (poll(&wait, 1, 2000) > 0) {
		ssize_t size = recv(watcher, packet, sizeof(packet), 0);

		if (size >= (ssize_t)(at + length) && memcmp(packet + at, via, length) == 0)
			return 0;
	}
	unattempted("it was sent, but not that way");
}

static void four(int argc, char **argv, struct sockaddr_in *to, unsigned char *option)
{
	memset(to, 0, sizeof(*to));
	to->sin_family = AF_INET;
	to->sin_port = htons((uint16_t)atoi(argument(argc, argv, 1)));
	/* Loose source route (RFC 791), padded. */
	option[0] = 131;
	option[1] = 7;
	option[2] = 4;
	if (inet_pton(AF_INET, argument(argc, argv, 0), &to->sin_addr) != 1 ||
	    inet_pton(AF_INET, argument(argc, argv, 2), option + 3) != 1)
		unattempted("addresses");
	option[7] = 1;
}

static int run_option(int argc, char **argv)
{
	int client = socket(AF_INET, SOCK_DGRAM, 0);
	unsigned char option[8];
	struct sockaddr_in to;

	four(argc, argv, &to, option);
	if (setsockopt(client, SOL_IP, IP_OPTIONS, option, sizeof(option)))
		return -errno;
	if (sendto(client, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) != 1)
		return -errno;
	return seen(option + 3, offsetof(struct iphdr, daddr), 4);
}

/* With the message instead of the socket. */
static int run_control(int argc, char **argv)
{
	int client = socket(AF_INET, SOCK_DGRAM, 0);
	unsigned char option[8], space[CMSG_SPACE(sizeof(option))] = {0};
	struct sockaddr_in to;
	struct iovec vector = {.iov_base = (char *)"x", .iov_len = 1};
	struct msghdr message = {.msg_name = &to,
				 .msg_namelen = sizeof(to),
				 .msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = space,
				 .msg_controllen = sizeof(space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	four(argc, argv, &to, option);
	header->cmsg_level = SOL_IP;
	header->cmsg_type = IP_RETOPTS;
	header->cmsg_len = CMSG_LEN(sizeof(option));
	memcpy(CMSG_DATA(header), option, sizeof(option));
	if (sendmsg(client, &message, 0) != 1)
		return -errno;
	return seen(option + 3, offsetof(struct iphdr, daddr), 4);
}

/*
 * With the second of two messages to the same address: sendmmsg(2) asks the security modules about the first alone.
 */
static int run_second(int argc, char **argv)
{
	int client = socket(AF_INET, SOCK_DGRAM, 0);
	unsigned char option[8], space[CMSG_SPACE(sizeof(option))] = {0};
	struct sockaddr_in to;
	struct iovec vector = {.iov_base = (char *)"x", .iov_len = 1};
	struct mmsghdr messages[2] = {0};
	struct cmsghdr *header;

	four(argc, argv, &to, option);
	for (int i = 0; i < 2; i++) {
		messages[i].msg_hdr.msg_name = &to;
		messages[i].msg_hdr.msg_namelen = sizeof(to);
		messages[i].msg_hdr.msg_iov = &vector;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	messages[1].msg_hdr.msg_control = space;
	messages[1].msg_hdr.msg_controllen = sizeof(space);
	header = CMSG_FIRSTHDR(&messages[1].msg_hdr);
	header->cmsg_level = SOL_IP;
	header->cmsg_type = IP_RETOPTS;
	header->cmsg_len = CMSG_LEN(sizeof(option));
	memcpy(CMSG_DATA(header), option, sizeof(option));
	switch (sendmmsg(client, messages, 2, 0)) {
	case 2:
		return seen(option + 3, offsetof(struct iphdr, daddr), 4);
	case 1:
		/* Of the message that fails the kernel tells by the next call. */
		return sendmsg(client, &messages[1].msg_hdr, 0) == 1 ? 0 : -errno;
	default:
		return -errno;
	}
}

/* A segment routing header (RFC 8754) with two segments; the last comes first. */
struct route {
	unsigned char next, length, type, left, last, flags, tag[2];
	struct in6_addr segments[2];
};

static void six(int argc, char **argv, struct sockaddr_in6 *to, struct route *route)
{
	memset(to, 0, sizeof(*to));
	memset(route, 0, sizeof(*route));
	to->sin6_family = AF_INET6;
	to->sin6_port = htons((uint16_t)atoi(argument(argc, argv, 1)));
	route->length = 4;
	route->type = SEGMENT_ROUTING;
	route->left = route->last = 1;
	if (inet_pton(AF_INET6, argument(argc, argv, 0), &to->sin6_addr) != 1 ||
	    inet_pton(AF_INET6, argument(argc, argv, 2), &route->segments[1]) != 1)
		unattempted("addresses");
}

static int run_header(int argc, char **argv)
{
	int client = socket(AF_INET6, SOCK_DGRAM, 0);
	struct sockaddr_in6 to;
	struct route route;

	six(argc, argv, &to, &route);
	if (setsockopt(client, SOL_IPV6, IPV6_RTHDR, &route, sizeof(route)))
		return -errno;
	if (sendto(client, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) != 1)
		return -errno;
	return seen(&route.segments[1], offsetof(struct ip6_hdr, ip6_dst), 16);
}

/* A flow label that carries a mobility header (RFC 6275, type 2), set for the socket's peer. */
static int run_label(int argc, char **argv)
{
	int client = socket(AF_INET6, SOCK_DGRAM, 0), on = 1;
	struct mobile {
		unsigned char next, length, type, left, reserved[4];
		struct in6_addr via;
	} mobile = {.length = 2, .type = 2, .left = 1};
	struct {
		struct in6_flowlabel_req request;
		unsigned char control[CMSG_SPACE(sizeof(struct mobile))];
	} ask = {0};
	struct sockaddr_in6 to;
	struct route route;
	struct cmsghdr *header = (struct cmsghdr *)ask.control;

	six(argc, argv, &to, &route);
	mobile.via = route.segments[1];
	memcpy(&ask.request.flr_dst, &to.sin6_addr, 16);
	ask.request.flr_action = IPV6_FL_A_GET;
	ask.request.flr_share = IPV6_FL_S_EXCL;
	ask.request.flr_flags = IPV6_FL_F_CREATE;
	header->cmsg_level = SOL_IPV6;
	header->cmsg_type = IPV6_RTHDR;
	header->cmsg_len = CMSG_LEN(sizeof(mobile));
	memcpy(CMSG_DATA(header), &mobile, sizeof(mobile));
	if (setsockopt(client, SOL_IPV6, IPV6_FLOWLABEL_MGR, &ask, sizeof(ask)))
		return -errno;
	if (setsockopt(client, SOL_IPV6, IPV6_FLOWINFO_SEND, &on, sizeof(on)))
		unattempted("IPV6_FLOWINFO_SEND");
	to.sin6_flowinfo = ask.request.flr_label;
	if (sendto(client, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) != 1)
		return -errno;
	return seen(&route.segments[1], offsetof(struct ip6_hdr, ip6_dst), 16);
}

/* plain-datagram TO PORT TTL: what has control data but no route. */
static int run_plain(int argc, char **argv)
{
	int client = socket(AF_INET, SOCK_DGRAM, 0), ttl = atoi(argument(argc, argv, 2));
	unsigned char space[CMSG_SPACE(sizeof(ttl))] = {0};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argument(argc, argv, 1)))};
	struct iovec vector = {.iov_base = (char *)"x", .iov_len = 1};
	struct msghdr message = {.msg_name = &to,
				 .msg_namelen = sizeof(to),
				 .msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = space,
				 .msg_controllen = sizeof(space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (inet_pton(AF_INET, argument(argc, argv, 0), &to.sin_addr) != 1)
		unattempted("address");
	header->cmsg_level = SOL_IP;
	header->cmsg_type = IP_TTL;
	header->cmsg_len = CMSG_LEN(sizeof(ttl));
	memcpy(CMSG_DATA(header), &ttl, sizeof(ttl));
	return sendmsg(client, &message, 0) == 1 ? 0 : -errno;
}

const struct attack route_attacks[] = {
    {"route-option", prepare, run_option},
    {"route-control", prepare, run_control},
    {"route-header", prepare, run_header},
    {"route-label", prepare, run_label},
    {"route-second", prepare, run_second},
    {"plain-datagram", NULL, run_plain},
    {0},
};
