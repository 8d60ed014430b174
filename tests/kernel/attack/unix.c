/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Unix sockets, by path and by abstract name (written with @ in front). */
#include "attack.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static socklen_t named(const char *text, struct sockaddr_un *out)
{
	size_t length = strlen(text);

	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	if (length >= sizeof(out->sun_path))
		unattempted("%s is too long", text);
	memcpy(out->sun_path, text, length);
	if (text[0] == '@') {
		out->sun_path[0] = 0;
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	}
	return sizeof(*out);
}

static void serve(int argc, char **argv, int type)
{
	struct sockaddr_un at;
	socklen_t length = named(argument(argc, argv, 0), &at);
	int server = socket(AF_UNIX, type, 0);

	if (at.sun_path[0])
		unlink(at.sun_path);
	if (server < 0 || bind(server, (struct sockaddr *)&at, length) || (type != SOCK_DGRAM && listen(server, 8)))
		unattempted("a server");
	if (at.sun_path[0] && chmod(at.sun_path, 0777))
		unattempted("chmod");
}

static void prepare_stream(int argc, char **argv)
{
	serve(argc, argv, SOCK_STREAM);
}

static void prepare_datagram(int argc, char **argv)
{
	serve(argc, argv, SOCK_DGRAM);
}

static void prepare_packets(int argc, char **argv)
{
	serve(argc, argv, SOCK_SEQPACKET);
}

static int joined(int argc, char **argv, int type)
{
	struct sockaddr_un to;
	socklen_t length = named(argument(argc, argv, 0), &to);

	return outcome(connect(socket(AF_UNIX, type, 0), (struct sockaddr *)&to, length));
}

static int run_stream(int argc, char **argv)
{
	return joined(argc, argv, SOCK_STREAM);
}

static int run_datagram(int argc, char **argv)
{
	return joined(argc, argv, SOCK_DGRAM);
}

static int run_packets(int argc, char **argv)
{
	return joined(argc, argv, SOCK_SEQPACKET);
}

static int run_sendto(int argc, char **argv)
{
	struct sockaddr_un to;
	socklen_t length = named(argument(argc, argv, 0), &to);

	return outcome(sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "x", 1, 0, (struct sockaddr *)&to, length));
}

static int run_bind(int argc, char **argv)
{
	struct sockaddr_un at;
	socklen_t length = named(argument(argc, argv, 0), &at);

	return outcome(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&at, length));
}

/* unix-leave PATH: leaves a socket's name behind. */
static int run_leave(int argc, char **argv)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", argument(argc, argv, 0));
	return outcome(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&at, sizeof(at)));
}

const struct attack unix_attacks[] = {
    {"unix-leave", NULL, run_leave},
    {"unix-stream", prepare_stream, run_stream},
    {"unix-datagram", prepare_datagram, run_datagram},
    {"unix-packets", prepare_packets, run_packets},
    {"unix-sendto", prepare_datagram, run_sendto},
    {"unix-bind", NULL, run_bind},
    {0},
};
