/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sockets of other families, and options by which an address means something else. */
#include "attack.h"
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct sockaddr_in at_port(const char *address, const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	if (inet_pton(AF_INET, address, &at.sin_addr) != 1)
		unattempted("an address");
	return at;
}

/* wire-kind FAMILY TYPE PROTOCOL */
static int run_kind(int argc, char **argv)
{
	return outcome(
	    socket(atoi(argument(argc, argv, 0)), atoi(argument(argc, argv, 1)), atoi(argument(argc, argv, 2))));
}

static void prepare_server(int argc, char **argv)
{
	struct sockaddr_in at = at_port(argument(argc, argv, 0), argument(argc, argv, 1));
	int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(server, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(server, (struct sockaddr *)&at, sizeof(at)) || listen(server, 8))
		unattempted("a server");
}

/* repaired ADDRESS PORT: TCP_REPAIR connects without a packet. */
static int run_repaired(int argc, char **argv)
{
	struct sockaddr_in to = at_port(argument(argc, argv, 0), argument(argc, argv, 1));
	int client = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (setsockopt(client, IPPROTO_TCP, TCP_REPAIR, &one, sizeof(one)))
		unattempted("TCP_REPAIR");
	return outcome(connect(client, (struct sockaddr *)&to, sizeof(to)));
}

/* tcp-again ADDRESS PORT OTHER: connected to OTHER first, let go, and connected anew with the same socket. */
static int run_again(int argc, char **argv)
{
	struct sockaddr_in to = at_port(argument(argc, argv, 0), argument(argc, argv, 1));
	struct sockaddr_in first = at_port(argument(argc, argv, 0), argument(argc, argv, 2));
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	int client = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(client, (struct sockaddr *)&first, sizeof(first)) && errno != ECONNREFUSED)
		unattempted("the first");
	if (connect(client, &none, sizeof(none)))
		unattempted("letting go");
	return outcome(connect(client, (struct sockaddr *)&to, sizeof(to)));
}

/* sendto-connected ADDRESS PORT OTHER: connected to OTHER, sent to PORT. */
static int run_sendto_connected(int argc, char **argv)
{
	struct sockaddr_in to = at_port(argument(argc, argv, 0), argument(argc, argv, 1));
	struct sockaddr_in first = at_port(argument(argc, argv, 0), argument(argc, argv, 2));
	int client = socket(AF_INET, SOCK_DGRAM, 0);

	if (connect(client, (struct sockaddr *)&first, sizeof(first)))
		unattempted("connect");
	return outcome(sendto(client, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
}

/* bind-beside ADDRESS PORT: a port at which another process listens, shared by SO_REUSEPORT. */
static int run_bind_beside(int argc, char **argv)
{
	struct sockaddr_in at = at_port(argument(argc, argv, 0), argument(argc, argv, 1));
	int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (setsockopt(server, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)))
		unattempted("SO_REUSEPORT");
	return outcome(bind(server, (struct sockaddr *)&at, sizeof(at)));
}

/* bind-foreign ADDRESS PORT OPTION: an address that is not the machine's, by IP_FREEBIND (15) or IP_TRANSPARENT (19).
 */
static int run_bind_foreign(int argc, char **argv)
{
	struct sockaddr_in at = at_port(argument(argc, argv, 0), argument(argc, argv, 1));
	int server = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (setsockopt(server, IPPROTO_IP, atoi(argument(argc, argv, 2)), &one, sizeof(one)))
		unattempted("the option");
	return outcome(bind(server, (struct sockaddr *)&at, sizeof(at)));
}

/* unix-through SOCKET NAME: a server at SOCKET, reached by another name of it. */
static void prepare_unix(int argc, char **argv)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int server = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", argument(argc, argv, 0));
	unlink(at.sun_path);
	if (server < 0 || bind(server, (struct sockaddr *)&at, sizeof(at)) || listen(server, 8) ||
	    chmod(at.sun_path, 0777))
		unattempted("a server");
}

static int run_unix_through(int argc, char **argv)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", argument(argc, argv, 1));
	return outcome(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof(to)));
}

/* unix-at FOLDER/NAME FOLDER NAME: by a descriptor of the folder. */
static int run_unix_at(int argc, char **argv)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int folder = open(argument(argc, argv, 1), O_PATH | O_DIRECTORY);

	if (folder < 0)
		unattempted("open");
	snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d/%s", folder, argument(argc, argv, 2));
	return outcome(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof(to)));
}

/* tcp-shell ADDRESS PORT PROGRAM: a program whose input and output is a connection. */
static int run_shell(int argc, char **argv)
{
	struct sockaddr_in to = at_port(argument(argc, argv, 0), argument(argc, argv, 1));
	int client = socket(AF_INET, SOCK_STREAM, 0);
	char *const arguments[] = {(char *)argument(argc, argv, 2), NULL};

	if (connect(client, (struct sockaddr *)&to, sizeof(to)) || dup2(client, 0) < 0 || dup2(client, 1) < 0)
		unattempted("a connection");
	execve(argument(argc, argv, 2), arguments, NULL);
	return -errno;
}

const struct attack wire_attacks[] = {
    {"wire-kind", NULL, run_kind},
    {"repaired", prepare_server, run_repaired},
    {"tcp-again", prepare_server, run_again},
    {"sendto-connected", NULL, run_sendto_connected},
    {"bind-beside", prepare_server, run_bind_beside},
    {"bind-foreign", NULL, run_bind_foreign},
    {"unix-through", prepare_unix, run_unix_through},
    {"unix-at", prepare_unix, run_unix_at},
    {"tcp-shell", prepare_server, run_shell},
    {0},
};
