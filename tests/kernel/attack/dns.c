/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Names that lead to addresses. Somebody outside the policy is the machine's name server, at 127.0.0.53 as the guest's
 * resolv.conf has it; the confined process asks it, and connects to where the answer leads, or says it does.
 *
 * dns MODE NAME ADDRESS PORT
 */
#include "address.h"
#include "attack.h"
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define SERVER "127.0.0.53"
#define STRANGER "127.0.0.54"
#define UDP_SEGMENT_OPTION 103
/* A group that the asker has joined, and where. */
#define GROUP "239.1.1.1"
#define GROUP_PORT "5300"

static int is(const char *mode, const char *word)
{
	return strcmp(mode, word) == 0;
}

/* Whether the process is its own name server. */
static int answers_itself(const char *mode)
{
	return is(mode, "itself") || is(mode, "segments") || is(mode, "looped");
}

static int of_udp(const char *at_text, const char *port)
{
	struct sockaddr_storage at;
	socklen_t length = place(at_text, port, &at);
	struct timeval wait = {0, 20000};
	int one = socket(at.ss_family, SOCK_DGRAM, 0), on = 1;

	setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (one < 0 || bind(one, (struct sockaddr *)&at, length))
		unattempted("bind to %s port %s", at_text, port);
	return one;
}

/* A message that is being written. */
struct message {
	unsigned char byte[2048];
	size_t at;
};

static void put(struct message *m, unsigned long value, int bytes)
{
	while (bytes--)
		m->byte[m->at++] = value >> 8 * bytes;
}

static void put_name(struct message *m, const char *name)
{
	while (*name) {
		size_t label = strcspn(name, ".");

		put(m, label, 1);
		memcpy(m->byte + m->at, name, label);
		m->at += label;
		name += label + (name[label] == '.');
	}
	put(m, 0, 1);
}

/* The head of a record; its owner is the name at `owner` of the message. */
static void put_record(struct message *m, unsigned owner, unsigned type, unsigned ttl, unsigned length)
{
	put(m, 0xc000 | owner, 2);
	put(m, type, 2);
	put(m, 1, 2);
	put(m, ttl, 4);
	put(m, length, 2);
}

static void put_address(struct message *m, unsigned owner, const char *text, unsigned ttl)
{
	unsigned char bytes[16];
	int four = inet_pton(AF_INET, text, bytes) == 1, length = four ? 4 : 16;

	if (!four && inet_pton(AF_INET6, text, bytes) != 1)
		unattempted("%s is not an address", text);
	put_record(m, owner, four ? 1 : 28, ttl, length);
	memcpy(m->byte + m->at, bytes, length);
	m->at += length;
}

/* An alias of the name at `owner`; returns where its own name stands. */
static unsigned put_alias(struct message *m, unsigned owner, const char *name)
{
	unsigned at;

	put_record(m, owner, 5, 300, strlen(name) + 2);
	at = m->at;
	put_name(m, name);
	return at;
}

/* The answer to a question of `length` bytes. */
static void answer(struct message *m, const unsigned char *question, size_t length, const char *mode,
		   const char *address)
{
	unsigned asked = 12, at, count = is(mode, "many") ? 40 : is(mode, "alias") ? 3 : 1;
	char other[64];

	m->at = 0;
	put(m, question[0] << 8 | question[1], 2);
	put(m,
	    is(mode, "failed")	    ? 0x8183
	    : is(mode, "truncated") ? 0x8380
	    : is(mode, "question")  ? 0x0180
				    : 0x8180,
	    2);
	put(m, 1, 2);
	put(m, count, 2);
	put(m, 0, 4);
	memcpy(m->byte + 12, question + 12, length - 12);
	m->at = length;
	if (is(mode, "alias")) {
		at = put_alias(m, asked, "one.cdn.test");
		at = put_alias(m, at, "two.cdn.test");
		put_address(m, at, address, 300);
	} else if (is(mode, "unrelated")) {
		at = length - 4 - 6; /* `.test` and the end: the last label of the question */
		put_address(m, at, address, 300);
	} else if (is(mode, "circle")) {
		/* Two pointers that lead to each other, and to the name after each. */
		put_record(m, m->at + 12, 1, 300, 4);
		put(m, 0xc000 | (m->at - 12), 2);
	} else if (is(mode, "many")) {
		for (unsigned n = 1; n <= count; n++) {
			snprintf(other, sizeof(other), "10.79.9.%u", n);
			put_address(m, asked, other, 300);
		}
	} else {
		put_address(m, asked, address, is(mode, "expired") ? 1 : 300);
	}
}

/* Answers until this process ends, whose end no signal tells where it becomes another user. */
static void serve(int one, const char *mode, const char *address)
{
	pid_t before = getpid();

	if (fork()) {
		close(one);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		struct sockaddr_storage from;
		socklen_t size = sizeof(from);
		unsigned char question[512];
		struct message m;
		ssize_t got = recvfrom(one, question, sizeof(question), 0, (struct sockaddr *)&from, &size);

		if (getppid() != before)
			_exit(0);
		if (got < 17)
			continue;
		answer(&m, question, got, mode, address);
		if (is(mode, "number"))
			m.byte[1] ^= 1;
		(void)!sendto(one, m.byte, m.at, 0, (struct sockaddr *)&from, size);
	}
}

static void prepare_dns(int argc, char **argv)
{
	const char *mode = argument(argc, argv, 0), *address = argument(argc, argv, 2);
	struct sockaddr_storage at;
	socklen_t length = place(address, argument(argc, argv, 3), &at);
	int on = 1, one;
	char command[200];

	if (is(mode, "namespace")) {
		if (unshare(CLONE_NEWNET))
			unattempted("unshare");
		snprintf(command, sizeof(command), "ip link set lo up; ip addr add %s/32 dev lo", address);
		if (system(command))
			unattempted("give the namespace an address");
	}
	if (!answers_itself(mode))
		serve(of_udp(is(mode, "stranger") ? STRANGER : SERVER, is(mode, "port") ? "5353" : "53"), mode,
		      address);
	one = socket(at.ss_family, SOCK_STREAM, 0);
	setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (one < 0 || bind(one, (struct sockaddr *)&at, length) || listen(one, 16))
		unattempted("listen at %s", address);
}

static void join(int one)
{
	struct ip_mreq group = {.imr_interface.s_addr = htonl(INADDR_LOOPBACK)};

	inet_pton(AF_INET, GROUP, &group.imr_multiaddr);
	if (setsockopt(one, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)))
		unattempted("join a group");
}

/* What goes to the group comes back and goes nowhere else: of a copy that is looped, no socket is known that sent it.
 */
static socklen_t to_group(int own, struct sockaddr_storage *to)
{
	struct in_addr near = {htonl(INADDR_LOOPBACK)};
	int on = 1, none = 0;

	if (setsockopt(own, IPPROTO_IP, IP_MULTICAST_IF, &near, sizeof(near)) ||
	    setsockopt(own, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof(on)) ||
	    setsockopt(own, IPPROTO_IP, IP_MULTICAST_TTL, &none, sizeof(none)))
		unattempted("send to a group");
	return place(GROUP, GROUP_PORT, to);
}

/* Asks for a name; an answer that does not come is none. */
static void ask(const char *mode, const char *name, const char *address)
{
	int own = answers_itself(mode) ? of_udp(SERVER, "53") : -1,
	    one = is(mode, "looped") ? of_udp("0.0.0.0", GROUP_PORT) : socket(AF_INET, SOCK_DGRAM, 0);
	struct timeval wait = {1, 0};
	struct sockaddr_storage at;
	socklen_t length = place(is(mode, "stranger") ? STRANGER : SERVER, is(mode, "port") ? "5353" : "53", &at);
	struct message m = {.at = 0};
	unsigned char got[2048];

	put(&m, 0x1234, 2);
	put(&m, 0x0100, 2);
	put(&m, 1, 2);
	put(&m, 0, 6);
	put_name(&m, name);
	put(&m, is(mode, "six") ? 28 : 1, 2);
	put(&m, 1, 2);
	setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (is(mode, "looped"))
		join(one);
	if (is(mode, "unconnected") || is(mode, "looped")) {
		if (sendto(one, m.byte, m.at, 0, (struct sockaddr *)&at, length) < 0)
			unattempted("sendto");
	} else if (connect(one, (struct sockaddr *)&at, length) || send(one, m.byte, m.at, 0) < 0) {
		unattempted("ask the name server");
	}
	if (own >= 0) {
		struct sockaddr_storage from;
		socklen_t size = sizeof(from);
		struct message told;
		ssize_t asked = recvfrom(own, got, sizeof(got), 0, (struct sockaddr *)&from, &size);

		if (asked < 17)
			unattempted("be asked");
		answer(&told, got, asked, mode, address);
		/* Two messages in one packet, and only the second has the question's number. */
		if (is(mode, "segments")) {
			int half = told.at;

			memcpy(told.byte + half, told.byte, half);
			told.byte[1] ^= 1;
			told.at = 2 * half;
			if (setsockopt(own, IPPROTO_UDP, UDP_SEGMENT_OPTION, &half, sizeof(half)))
				unattempted("UDP_SEGMENT");
		}
		if (is(mode, "looped"))
			size = to_group(own, &from);
		(void)!sendto(own, told.byte, told.at, 0, (struct sockaddr *)&from, size);
	}
	if (recv(one, got, sizeof(got), 0) < 17 && is(mode, "looped"))
		unattempted("hear the group");
	if (is(mode, "segments"))
		(void)!recv(one, got, sizeof(got), 0);
	close(one);
	if (is(mode, "expired"))
		sleep(12);
}

static int run_dns(int argc, char **argv)
{
	const char *mode = argument(argc, argv, 0);
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 2), argument(argc, argv, 3), &at);
	int one;

	if (!is(mode, "unasked"))
		ask(mode, argument(argc, argv, 1), argument(argc, argv, 2));
	one = socket(at.ss_family, SOCK_STREAM, 0);
	if (one < 0)
		unattempted("socket");
	return outcome(connect(one, (struct sockaddr *)&at, length));
}

const struct attack dns_attacks[] = {
    {"dns", prepare_dns, run_dns},
    {NULL, NULL, NULL},
};
