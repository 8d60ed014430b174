/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a service does and what it must not do: each probe is one request, or few that belong together. */
#include "service.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int opened(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0666);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int read_path(const char *path)
{
	char byte;
	int fd = open(path, O_RDONLY | O_CLOEXEC), result;

	if (fd < 0)
		return -errno;
	result = outcome(read(fd, &byte, 1));
	close(fd);
	return result;
}

static int read_held(int fd)
{
	char byte;

	return outcome(pread(fd, &byte, 1, 0));
}

static int read_open(void)
{
	return read_path("/srv/ku/open/f");
}
static int read_narrow(void)
{
	return read_path("/srv/ku/narrow/f");
}
static int read_secret(void)
{
	return read_path("/srv/ku/secret/f");
}
static int read_bound(void)
{
	return read_path("/srv/ku/bound/f");
}
static int read_real(void)
{
	return read_path("/srv/ku/real/f");
}
static int old_open(void)
{
	return read_held(self.old_open);
}
static int old_narrow(void)
{
	/* What could not be opened at the start is refused now, too. */
	return self.old_narrow < 0 ? read_path("/srv/ku/narrow/f") : read_held(self.old_narrow);
}
static int old_log(void)
{
	return outcome(write(self.own_log, "x\n", 2));
}
static int stored(void)
{
	return self.stored < 0 ? 0 : read_held(self.stored);
}
static int write_secret(void)
{
	return opened("/srv/ku/secret/f", O_WRONLY);
}
static int create_open(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/srv/ku/open/new%s", self.number);
	return opened(path, O_WRONLY | O_CREAT);
}

/* What a service does with a state file: a new one is written whole and takes the old one's place. */
static int written(const char *folder)
{
	char from[320], to[320];
	int fd, result;

	snprintf(from, sizeof(from), "%s/ku%s.new", folder, self.number);
	snprintf(to, sizeof(to), "%s/ku%s", folder, self.number);
	fd = open(from, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	result = outcome(write(fd, "state\n", 6)) ?: outcome(fchmod(fd, 0644)) ?: outcome(futimens(fd, NULL)) ?:
		 outcome(ftruncate(fd, 3));
	close(fd);
	return result ?: outcome(rename(from, to)) ?: read_path(to) ?: outcome(unlink(to));
}
static int state(void)
{
	return written(self.state);
}
static int tmp(void)
{
	return written("/tmp");
}
static int scratch(void)
{
	return written("/srv/ku/scratch");
}
static int shared(void)
{
	return written("/dev/shm");
}

/* What the standard output is opened as by a shell's >/dev/stdout; a socket has no such way, for nobody. */
static int reopened(void)
{
	return opened("/proc/self/fd/1", O_WRONLY | O_APPEND);
}

static int executed(const char *path)
{
	char *argv[] = {(char *)path, NULL};
	int status;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child == 0) {
		execv(path, argv);
		_exit(errno);
	}
	if (waitpid(child, &status, 0) < 0)
		return -errno;
	if (WIFSIGNALED(status))
		return -EINTR;
	return WEXITSTATUS(status) == RAN ? 0 : -WEXITSTATUS(status);
}
static int exec_open(void)
{
	return executed("/usr/lib/ku/open");
}
static int exec_narrow(void)
{
	return executed("/usr/lib/ku/narrow");
}
static int exec_secret(void)
{
	return executed("/usr/lib/ku/secret");
}

static int connected(unsigned short port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), result;

	if (fd < 0)
		return -errno;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	result = outcome(connect(fd, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
	return result;
}
static int tcp_open(void)
{
	return connected(7001);
}
static int tcp_narrow(void)
{
	return connected(7002);
}
static int tcp_secret(void)
{
	return connected(7003);
}

static int joined(const char *name)
{
	struct sockaddr_un address;
	socklen_t length = address_of(name, &address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), result;

	if (fd < 0)
		return -errno;
	result = outcome(connect(fd, (struct sockaddr *)&address, length));
	if (!result)
		return fd;
	close(fd);
	return result;
}
static int joins(const char *name)
{
	int fd = joined(name);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}
static int unix_open(void)
{
	return joins("/run/ku/open.sock");
}
static int unix_narrow(void)
{
	return joins("/run/ku/narrow.sock");
}
static int unix_secret(void)
{
	return joins("/run/ku/secret.sock");
}
static int abstract_open(void)
{
	return joins("@ku-open");
}
static int abstract_secret(void)
{
	return joins("@ku-secret");
}

static int journal(void)
{
	return send_to("/run/systemd/journal/socket", "MESSAGE=ku\nPRIORITY=7\n", -1);
}
static int system_log(void)
{
	return send_to("/dev/log", "<15>ku: a line", -1);
}
static int notified(void)
{
	return notify("STATUS=probing", -1);
}
/* The first words on a bus, and its answer. */
static int bus(void)
{
	char answer[4] = "";
	int fd = joined("/run/dbus/system_bus_socket"), result;

	if (fd < 0)
		return fd;
	result = outcome(write(fd, "\0AUTH\r\n", 7));
	if (!result)
		result = outcome(read(fd, answer, sizeof(answer)));
	close(fd);
	return result ?: memcmp(answer, "REJE", 4) ? -EPROTO : 0;
}

/* The peer sends three descriptors: a file that the policy permits, one that it refuses, and a pipe. */
static int received(int place)
{
	int fds[3], fd = joined("/run/ku/open.sock"), got;
	int result;

	if (fd < 0)
		return fd;
	got = receive_descriptors(fd, fds, 3);
	close(fd);
	if (got < 0)
		return got;
	/* A refusal cuts the rest off, so what is permitted is asked for first. */
	result = place < got ? outcome(read(fds[place], (char[1]){0}, 1)) : -EPERM;
	for (int i = 0; i < got; i++)
		close(fds[i]);
	return result;
}
static int passed_pipe(void)
{
	return received(0);
}
static int passed_open(void)
{
	return received(1);
}
static int passed_secret(void)
{
	return received(2);
}
static int passed_on(void)
{
	return send_to("/run/ku/ticks.sock", "passed", self.own_log);
}

static int device(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), result;

	if (fd < 0)
		return -errno;
	result = outcome(write(fd, "x", 1)) ?: read_path("/dev/urandom");
	close(fd);
	return result;
}
static int own_status(void)
{
	return read_path("/proc/self/status");
}
static int memory(void)
{
	int fd = memfd_create("ku", MFD_CLOEXEC), result;
	void *at;

	if (fd < 0)
		return -errno;
	result = outcome(ftruncate(fd, 4096));
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!result && at == MAP_FAILED)
		result = -errno;
	close(fd);
	return result;
}

const struct probe probes[] = {
    {"read_open", read_open},
    {"read_narrow", read_narrow},
    {"read_secret", read_secret},
    {"read_bound", read_bound},
    {"read_real", read_real},
    {"old_open", old_open},
    {"old_narrow", old_narrow},
    {"old_log", old_log},
    {"stored", stored},
    {"write_secret", write_secret},
    {"create_open", create_open},
    {"state", state},
    {"tmp", tmp},
    {"scratch", scratch},
    {"shared", shared},
    {"reopened", reopened},
    {"exec_open", exec_open},
    {"exec_narrow", exec_narrow},
    {"exec_secret", exec_secret},
    {"tcp_open", tcp_open},
    {"tcp_narrow", tcp_narrow},
    {"tcp_secret", tcp_secret},
    {"unix_open", unix_open},
    {"unix_narrow", unix_narrow},
    {"unix_secret", unix_secret},
    {"abstract_open", abstract_open},
    {"abstract_secret", abstract_secret},
    {"journal", journal},
    {"system_log", system_log},
    {"notified", notified},
    {"bus", bus},
    {"passed_pipe", passed_pipe},
    {"passed_open", passed_open},
    {"passed_secret", passed_secret},
    {"passed_on", passed_on},
    {"device", device},
    {"own_status", own_status},
    {"memory", memory},
    {NULL, NULL},
};
