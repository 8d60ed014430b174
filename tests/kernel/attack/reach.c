/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where a packet goes, and which port a socket has, by other ways than the address of connect(2), sendto(2) or bind(2).
 * A receiver outside the policy proves that it arrived.
 */
#include "address.h"
#include "attack.h"
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#define SCTP_BINDX_ADD 100
#define SCTP_CONNECTX 110

static int made(int family, int type, int protocol)
{
	int one = socket(family, type, protocol);

	if (one < 0)
		unattempted("socket %d %d %d", family, type, protocol);
	return one;
}

/* ADDRESS PORT REAL: a receiver of datagrams or a listener at REAL. */
static int receiver;

static void receive_at(int argc, char **argv, int type)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 2), argument(argc, argv, 1), &at);
	struct timeval wait = {1, 0};
	int on = 1;

	receiver = made(at.ss_family, type, 0);
	setsockopt(receiver, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (bind(receiver, (struct sockaddr *)&at, length) || (type == SOCK_STREAM && listen(receiver, 8)))
		unattempted("receiver");
}

static void prepare_datagrams(int argc, char **argv)
{
	receive_at(argc, argv, SOCK_DGRAM);
}

static void prepare_stream(int argc, char **argv)
{
	receive_at(argc, argv, SOCK_STREAM);
}

static int arrived(long sent)
{
	char byte;

	if (sent < 0)
		return -errno;
	if (recv(receiver, &byte, 1, 0) < 0)
		refused("NOT_RECEIVED");
	return 0;
}

static int connected_to(long result)
{
	struct pollfd wait = {.fd = receiver, .events = POLLIN};

	if (result < 0)
		return -errno;
	if (poll(&wait, 1, 1000) != 1)
		refused("NOT_ARRIVED");
	return 0;
}

/* A message with control data. */
static long send_with(int client, struct sockaddr_storage *to, socklen_t length, int level, int type, void *data,
		      size_t size)
{
	char space[128] = {0};
	struct iovec vector = {.iov_base = "x", .iov_len = 1};
	struct msghdr message = {.msg_name = to,
				 .msg_namelen = length,
				 .msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = space,
				 .msg_controllen = CMSG_SPACE(size)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = level;
	header->cmsg_type = type;
	header->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(header), data, size);
	return sendmsg(client, &message, 0);
}

/* reach-source ADDRESS PORT REAL: the any-address, and REAL as the message's source. */
static int run_source(int argc, char **argv)
{
	struct sockaddr_storage to, real;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	struct in_pktinfo info = {0};

	place(argument(argc, argv, 2), "0", &real);
	info.ipi_spec_dst = ((struct sockaddr_in *)&real)->sin_addr;
	return arrived(
	    send_with(made(to.ss_family, SOCK_DGRAM, 0), &to, length, SOL_IP, IP_PKTINFO, &info, sizeof(info)));
}

/* reach-source6 ::ffff:0.0.0.0 PORT REAL: the same by the options of IPv6. */
static int run_source6(int argc, char **argv)
{
	struct sockaddr_storage to, real;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	struct in6_pktinfo info = {0};

	place(argument(argc, argv, 2), "0", &real);
	info.ipi6_addr.s6_addr[10] = info.ipi6_addr.s6_addr[11] = 0xff;
	memcpy(&info.ipi6_addr.s6_addr[12], &((struct sockaddr_in *)&real)->sin_addr, 4);
	return arrived(
	    send_with(made(AF_INET6, SOCK_DGRAM, 0), &to, length, SOL_IPV6, IPV6_PKTINFO, &info, sizeof(info)));
}

/* reach-index ADDRESS PORT REAL DEVICE: the message names the device. */
static int run_index(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	struct in_pktinfo info = {.ipi_ifindex = (int)if_nametoindex(argument(argc, argv, 3))};

	return arrived(
	    send_with(made(to.ss_family, SOCK_DGRAM, 0), &to, length, SOL_IP, IP_PKTINFO, &info, sizeof(info)));
}

static int on_device(int argc, char **argv, int type)
{
	const char *device = argument(argc, argv, 3);
	int client = made(AF_INET, type, 0);

	if (setsockopt(client, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device) + 1))
		unattempted("SO_BINDTODEVICE");
	return client;
}

/* reach-device, reach-device-tcp ADDRESS PORT REAL DEVICE. */
static int run_device(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);

	return arrived(sendto(on_device(argc, argv, SOCK_DGRAM), "x", 1, 0, (struct sockaddr *)&to, length));
}

static int run_device_tcp(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);

	return connected_to(connect(on_device(argc, argv, SOCK_STREAM), (struct sockaddr *)&to, length));
}

/* reach-unicast ADDRESS PORT REAL DEVICE: IP_UNICAST_IF. */
static int run_unicast(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	int client = made(AF_INET, SOCK_DGRAM, 0);
	uint32_t index = htonl(if_nametoindex(argument(argc, argv, 3)));

	if (setsockopt(client, SOL_IP, IP_UNICAST_IF, &index, sizeof(index)))
		unattempted("IP_UNICAST_IF");
	if (connect(client, (struct sockaddr *)&to, length))
		return -errno;
	return arrived(send(client, "x", 1, 0));
}

/* reach-family ADDRESS PORT REAL FAMILY PROTOCOL: a stream socket of another kind that speaks TCP. */
static int run_family_stream(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	int client = made(atoi(argument(argc, argv, 3)), SOCK_STREAM, atoi(argument(argc, argv, 4)));

	return connected_to(connect(client, (struct sockaddr *)&to, length));
}

/* reach-fastopen ADDRESS PORT REAL FAMILY PROTOCOL: by a message, without connect(2). */
static int run_family_fastopen(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	int client = made(atoi(argument(argc, argv, 3)), SOCK_STREAM, atoi(argument(argc, argv, 4)));

	return connected_to(sendto(client, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, length));
}

/* reach-rds ADDRESS PORT: a family that has the kernel connect by TCP, to a port of its own. */
static int run_rds(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);

	return outcome(connect(made(21 /* AF_RDS */, SOCK_SEQPACKET, 0), (struct sockaddr *)&to, length));
}

/*
 * A process holds what is open here until the guest ends: on 6.1 the last close of such a socket, when it was refused
 * its connection, can hang the kernel. TCP_ULP puts another inode into the file's dentry and leaves the dentry in the
 * list of the old one. When the socket closes, the old inode is handed to RCU, and then the dentry leaves its list: it
 * writes where the inode keeps its place among RCU's callbacks (i_dentry and i_rcu share it). Those behind it are lost,
 * and whoever waits for one waits for ever. Linux 7.0 has this ULP no more (commit df31a6b0a305), nor has
 * Debian's 6.12.
 */
static void never_closed(void)
{
	pid_t holder = fork();

	if (holder < 0)
		unattempted("fork");
	if (holder > 0)
		return;
	close(receiver);
	for (;;)
		pause();
}

/* reach-turned ADDRESS PORT REAL ULP: a TCP socket that becomes another kind after it was made. */
static int run_turned(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	const char *kind = argument(argc, argv, 3);
	int client = made(AF_INET, SOCK_STREAM, 0);

	if (setsockopt(client, IPPROTO_TCP, TCP_ULP, kind, (socklen_t)strlen(kind)))
		unattempted("TCP_ULP");
	never_closed();
	return connected_to(connect(client, (struct sockaddr *)&to, length));
}

/* SCTP by setsockopt(2) and with a message: ADDRESS PORT. */
static void prepare_sctp(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);

	receiver = made(at.ss_family, SOCK_STREAM, IPPROTO_SCTP);
	if (bind(receiver, (struct sockaddr *)&at, length) || listen(receiver, 8))
		unattempted("sctp listener");
}

static int run_connectx(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	int client = made(to.ss_family, SOCK_STREAM, IPPROTO_SCTP);

	return connected_to(setsockopt(client, IPPROTO_SCTP, SCTP_CONNECTX, &to, length));
}

static int run_bindx(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);

	return outcome(
	    setsockopt(made(at.ss_family, SOCK_STREAM, IPPROTO_SCTP), IPPROTO_SCTP, SCTP_BINDX_ADD, &at, length));
}

static int run_sctp_message(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &to);
	int client = made(to.ss_family, SOCK_SEQPACKET, IPPROTO_SCTP);

	return connected_to(sendto(client, "x", 1, 0, (struct sockaddr *)&to, length));
}

/* port-range PORT TYPE: the kernel's choice out of a range of one; TYPE 1 is TCP, 2 is UDP. */
static int run_range(int argc, char **argv)
{
	uint32_t port = (uint32_t)atoi(argument(argc, argv, 0)), range = port << 16 | port;
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t length = sizeof(at);
	int one = made(AF_INET, atoi(argument(argc, argv, 1)), 0);

	if (setsockopt(one, SOL_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)))
		unattempted("IP_LOCAL_PORT_RANGE");
	if (bind(one, (struct sockaddr *)&at, sizeof(at)))
		return -errno;
	if (getsockname(one, (struct sockaddr *)&at, &length) || ntohs(at.sin_port) != port)
		unattempted("another port");
	return 0;
}

/* port-free: a port of the kernel's choice. */
static int run_free(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET};

	return outcome(bind(made(AF_INET, atoi(argument(argc, argv, 0)), 0), (struct sockaddr *)&at, sizeof(at)));
}

/* port-shared PORT OPTION: a message without bind(2) from a socket that shares its port. */
static int run_shared(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place("127.0.0.1", argument(argc, argv, 0), &to);
	int one = made(AF_INET, SOCK_DGRAM, 0), on = 1;

	if (setsockopt(one, SOL_SOCKET, atoi(argument(argc, argv, 1)), &on, sizeof(on)))
		unattempted("the option");
	return outcome(sendto(one, "x", 1, 0, (struct sockaddr *)&to, length));
}

/* port-shared-connect PORT OPTION: the same by connect(2). */
static int run_shared_connect(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t length = place("127.0.0.1", argument(argc, argv, 0), &to);
	int one = made(AF_INET, SOCK_DGRAM, 0), on = 1;

	if (setsockopt(one, SOL_SOCKET, atoi(argument(argc, argv, 1)), &on, sizeof(on)))
		unattempted("the option");
	return outcome(connect(one, (struct sockaddr *)&to, length));
}

/* port-dual ADDRESS PORT ONLY: an IPv6 socket, and whether it is for IPv6 only. */
static int run_dual(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);
	int one = made(AF_INET6, SOCK_STREAM, 0), only = atoi(argument(argc, argv, 2)), on = 1;

	setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (setsockopt(one, SOL_IPV6, IPV6_V6ONLY, &only, sizeof(only)))
		unattempted("IPV6_V6ONLY");
	return outcome(bind(one, (struct sockaddr *)&at, length));
}

/* port-raced: one thread listens, another takes and leaves a port of the kernel's choice. */
static int raced;

static void *toggle(void *stop)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	while (!__atomic_load_n((int *)stop, __ATOMIC_SEQ_CST)) {
		connect(raced, (struct sockaddr *)&to, sizeof(to));
		connect(raced, &none, sizeof(none));
	}
	return NULL;
}

static int run_listen_raced(int argc, char **argv)
{
	int stop = 0, result = -1, error = 0;
	pthread_t thread;

	(void)argc;
	(void)argv;
	raced = made(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (pthread_create(&thread, NULL, toggle, &stop))
		unattempted("a thread");
	for (int turn = 0; turn < 40 && result; turn++) {
		result = listen(raced, 1);
		if (result && errno == EPERM)
			error = EPERM;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	return result == 0 ? 0 : -error;
}

/* mount-connects ADDRESS PORT REAL TYPE KEY=VALUE...: a file system that connects before it is mounted. */
#ifndef FSCONFIG_SET_STRING
#define FSCONFIG_SET_STRING 1
#define FSCONFIG_CMD_CREATE 6
#endif

static int mount_it(void *context)
{
	char **words = context;
	int context_file = (int)syscall(SYS_fsopen, words[0], 0);

	if (context_file < 0)
		unattempted("fsopen %s", words[0]);
	for (words++; *words; words++) {
		char *value = strchr(*words, '=');

		*value = 0;
		if (syscall(SYS_fsconfig, context_file, FSCONFIG_SET_STRING, *words, value + 1, 0))
			return errno == EPERM ? -EPERM : -EIO;
	}
	alarm(4);
	return syscall(SYS_fsconfig, context_file, FSCONFIG_CMD_CREATE, NULL, NULL, 0) && errno == EPERM ? -EPERM
													 : -EIO;
}

static int run_mount(int argc, char **argv)
{
	struct pollfd wait = {.fd = receiver, .events = POLLIN};
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(mount_it(argv + 4) == -EPERM ? EPERM : 0);
	(void)argument(argc, argv, 4);
	if (poll(&wait, 1, 3000) == 1)
		return 0;
	if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == EPERM)
		return -EPERM;
	refused("NOT_ARRIVED");
}

/* unix-removed PATH: a peer whose name is gone. */
static int removed;

static void prepare_removed(int argc, char **argv)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int server = made(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", argument(argc, argv, 0));
	unlink(at.sun_path);
	removed = made(AF_UNIX, SOCK_DGRAM, 0);
	if (bind(server, (struct sockaddr *)&at, sizeof(at)) || connect(removed, (struct sockaddr *)&at, sizeof(at)) ||
	    unlink(at.sun_path))
		unattempted("the peer");
}

static int run_removed(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(send(removed, "x", 1, 0));
}

/* netns: a network namespace has sockets of the kernel's own. */
static int run_namespace(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(syscall(SYS_unshare, 0x40000000 /* CLONE_NEWNET */));
}

const struct attack reach_attacks[] = {
    {"reach-source", prepare_datagrams, run_source},
    {"reach-source6", prepare_datagrams, run_source6},
    {"reach-index", prepare_datagrams, run_index},
    {"reach-device", prepare_datagrams, run_device},
    {"reach-device-tcp", prepare_stream, run_device_tcp},
    {"reach-unicast", prepare_datagrams, run_unicast},
    {"reach-family", prepare_stream, run_family_stream},
    {"reach-fastopen", prepare_stream, run_family_fastopen},
    {"reach-rds", NULL, run_rds},
    {"reach-turned", prepare_stream, run_turned},
    {"sctp-connectx", prepare_sctp, run_connectx},
    {"sctp-bindx", NULL, run_bindx},
    {"sctp-message", prepare_sctp, run_sctp_message},
    {"port-range", NULL, run_range},
    {"port-free", NULL, run_free},
    {"port-shared", NULL, run_shared},
    {"port-shared-connect", NULL, run_shared_connect},
    {"port-dual", NULL, run_dual},
    {"port-raced", NULL, run_listen_raced},
    {"mount-connects", prepare_stream, run_mount},
    {"unix-removed", prepare_removed, run_removed},
    {"netns", NULL, run_namespace},
    {0},
};
