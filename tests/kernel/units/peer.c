/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Who the service talks to, and what it talks with. */
#include "service.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/time.h>

socklen_t address_of(const char *name, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address->sun_path, sizeof(address->sun_path), "%s", name);
	if (name[0] != '@')
		return sizeof(*address);
	address->sun_path[0] = 0;
	return offsetof(struct sockaddr_un, sun_path) + strlen(name);
}

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(8 * sizeof(int))];
};

static void attach(struct msghdr *message, union control *control, const int *fds, int number)
{
	memset(control, 0, sizeof(*control));
	message->msg_control = control;
	message->msg_controllen = CMSG_SPACE(number * sizeof(int));
	control->header.cmsg_level = SOL_SOCKET;
	control->header.cmsg_type = SCM_RIGHTS;
	control->header.cmsg_len = CMSG_LEN(number * sizeof(int));
	memcpy(CMSG_DATA(&control->header), fds, number * sizeof(int));
}

int send_to(const char *name, const char *text, int fd)
{
	struct sockaddr_un address;
	union control control;
	struct iovec part = {(char *)text, strlen(text)};
	struct msghdr message = {
	    .msg_name = &address, .msg_namelen = address_of(name, &address), .msg_iov = &part, .msg_iovlen = 1};
	int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;

	if (socket_fd < 0)
		return -errno;
	if (fd >= 0)
		attach(&message, &control, &fd, 1);
	result = outcome(sendmsg(socket_fd, &message, MSG_NOSIGNAL));
	close(socket_fd);
	return result;
}

int notify(const char *text, int fd)
{
	const char *name = getenv("NOTIFY_SOCKET");

	return name ? send_to(name, text, fd) : -ENOTCONN;
}

int send_descriptors(int socket, const int *fds, int number)
{
	union control control;
	struct iovec part = {"d", 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	attach(&message, &control, fds, number);
	return outcome(sendmsg(socket, &message, MSG_NOSIGNAL));
}

int receive_descriptors(int socket, int *fds, int number)
{
	char byte;
	union control control;
	struct iovec part = {&byte, 1};
	struct msghdr message = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *header;
	int got = 0;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return 0;
	while (got < number && header->cmsg_len >= CMSG_LEN((got + 1) * sizeof(int)))
		got++;
	memcpy(fds, CMSG_DATA(header), got * sizeof(int));
	return got;
}

static void must(int condition, const char *what)
{
	if (condition)
		return;
	perror(what);
	exit(1);
}

static int bound(int type, const char *name)
{
	struct sockaddr_un address;
	socklen_t length = address_of(name, &address);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	unlink(name);
	must(!bind(fd, (struct sockaddr *)&address, length), name);
	if (name[0] != '@')
		must(!chmod(name, 0777), name);
	must(type == SOCK_DGRAM || !listen(fd, 512), name);
	return fd;
}

static int listening(unsigned short port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	must(!bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, 512), "a port");
	return fd;
}

/* One pipe for each taker, with a byte in it. */
static void give(int peer)
{
	int pipes[2], fds[3];

	must(!pipe2(pipes, O_CLOEXEC) && write(pipes[1], "p", 1) == 1, "a pipe");
	fds[0] = pipes[0];
	fds[1] = open("/srv/ku/open/f", O_RDONLY | O_CLOEXEC);
	fds[2] = open("/srv/ku/secret/f", O_RDONLY | O_CLOEXEC);
	must(fds[1] >= 0 && fds[2] >= 0, "a file");
	send_descriptors(peer, fds, 3);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(pipes[1]);
}

/* Takes whoever comes, gives descriptors at open.sock, and writes what comes to ticks.sock to the standard output. */
int serve(void)
{
	char text[256];
	struct pollfd polls[] = {
	    {.fd = bound(SOCK_STREAM, "/run/ku/open.sock")},
	    {.fd = bound(SOCK_STREAM, "/run/ku/narrow.sock")},
	    {.fd = bound(SOCK_STREAM, "/run/ku/secret.sock")},
	    {.fd = bound(SOCK_STREAM, "@ku-open")},
	    {.fd = bound(SOCK_STREAM, "@ku-secret")},
	    {.fd = listening(7001)},
	    {.fd = listening(7002)},
	    {.fd = listening(7003)},
	    {.fd = bound(SOCK_DGRAM, "/run/ku/ticks.sock")},
	};
	const int number = sizeof(polls) / sizeof(*polls);

	for (int i = 0; i < number; i++)
		polls[i].events = POLLIN;
	while (poll(polls, number, -1) > 0) {
		for (int i = 0; i < number; i++) {
			int peer, fd;
			ssize_t got;

			if (!(polls[i].revents & POLLIN))
				continue;
			if (i == number - 1) {
				got = recv(polls[i].fd, text, sizeof(text), 0);
				if (got > 0 && text[got - 1] == '\n')
					(void)!write(STDOUT_FILENO, text, got);
				continue;
			}
			peer = accept4(polls[i].fd, NULL, NULL, SOCK_CLOEXEC);
			fd = peer;
			if (peer >= 0 && i == 0)
				give(peer);
			close(fd);
		}
	}
	return 1;
}

/* unix:/path, unix:@name or tcp:PORT; all are asked before the first has to answer. */
static int asked(const char *address)
{
	struct timeval patience = {.tv_sec = 600};
	struct sockaddr_in port = {.sin_family = AF_INET};
	struct sockaddr_un name;
	int fd, result;

	if (strncmp(address, "tcp:", 4) == 0) {
		port.sin_port = htons(atoi(address + 4));
		port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		result = connect(fd, (struct sockaddr *)&port, sizeof(port));
	} else {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		result = connect(fd, (struct sockaddr *)&name, address_of(address + 5, &name));
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (!result)
		return fd;
	printf("ku-poke %s %s\n", address, strerrorname_np(errno));
	close(fd);
	return -1;
}

int poke(char **addresses)
{
	char answer[16];
	int fds[256], number = 0;

	for (; addresses[number] && number < 256; number++)
		fds[number] = asked(addresses[number]);
	for (int i = 0; i < number; i++) {
		ssize_t got = fds[i] < 0 ? -1 : read(fds[i], answer, sizeof(answer));

		if (fds[i] >= 0)
			printf("ku-poke %s %s\n", addresses[i],
			       got == 7	 ? "served"
			       : got < 0 ? strerrorname_np(errno)
					 : "nothing");
	}
	return 0;
}
