/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The service of the units' test, and who it talks to.
 *
 *   service run UNIT NUMBER   a daemon: probes at its start and at each SIGHUP, and says what it found in one line
 *   service reload PID        what ExecReload= runs
 *   service note              what ExecStartPre= and ExecStop= run
 *   service serve             the peers, outside of any unit under policy
 *   service poke ADDRESS...   connects to each and waits for the answer
 *
 * Under any other name it is a program that proves it ran.
 *
 *   ku PHASE HOW UNIT NUMBER PROBE=RESULT...
 */
#include "service.h"
#include <libgen.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>

#define MOST_LISTENERS 8

struct self self = {.old_open = -1, .old_narrow = -1, .stored = -1, .own_log = -1, .state = ""};

static int listeners[MOST_LISTENERS], count;

const char *name_of(int result)
{
	return result ? strerrorname_np(-result) ?: "EUNKNOWN" : "ok";
}

/* Descriptors that systemd passed: sockets, and the one that this unit left with it before. */
static void take_descriptors(void)
{
	const char *number = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	char *list = strdup(names ?: ""), *name, *rest = list;

	for (int fd = 3; number && fd < 3 + atoi(number); fd++) {
		name = strsep(&rest, ":");
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (name && strcmp(name, "kept") == 0)
			self.stored = fd;
		else if (count < MOST_LISTENERS)
			listeners[count++] = fd;
	}
	free(list);
}

static void prepare(void)
{
	char path[300];
	const char *state = getenv("STATE_DIRECTORY");

	take_descriptors();
	snprintf(self.state, sizeof(self.state), "%s", state ?: "/nonexistent");
	self.old_open = open("/srv/ku/open/f", O_RDONLY | O_CLOEXEC);
	self.old_narrow = open("/srv/ku/narrow/f", O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/own.log", self.state);
	self.own_log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
}

/* One line, one write: it stays whole in a log that others write to. */
static void tell(const char *how)
{
	static char line[8192];
	char phase[32] = "?", tick[128];
	int fd = open("/srv/ku/open/phase", O_RDONLY | O_CLOEXEC);
	size_t length;
	ssize_t got = fd < 0 ? -1 : read(fd, phase, sizeof(phase) - 1);

	if (fd >= 0)
		close(fd);
	phase[got > 0 ? got : 1] = 0;
	phase[strcspn(phase, "\n")] = 0;
	length = snprintf(line, sizeof(line), "ku %s %s %s %s", phase, how, self.unit, self.number);
	for (const struct probe *probe = probes; probe->name && length < sizeof(line) - 64; probe++)
		length += snprintf(line + length, sizeof(line) - length, " %s=%s", probe->name, name_of(probe->run()));
	line[length++] = '\n';
	(void)!write(STDOUT_FILENO, line, length);
	snprintf(tick, sizeof(tick), "%s %s %s\n", phase, how, self.number);
	send_to("/run/ku/ticks.sock", tick, -1);
}

static void answer(int listener)
{
	int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (peer < 0) {
		printf("ku-accept %s %s\n", self.unit, strerrorname_np(errno));
		fflush(stdout);
		return;
	}
	(void)!write(peer, "served\n", 7);
	close(peer);
}

static int run(void)
{
	char name[32], text[128];
	struct pollfd polls[MOST_LISTENERS + 1];
	struct signalfd_siginfo got;
	struct timespec now;
	sigset_t signals;

	umask(0);
	snprintf(name, sizeof(name), "ku%s", self.number);
	prctl(PR_SET_NAME, name);
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	prepare();
	polls[0] = (struct pollfd){.fd = signalfd(-1, &signals, SFD_CLOEXEC), .events = POLLIN};
	for (int i = 0; i < count; i++)
		polls[i + 1] = (struct pollfd){.fd = listeners[i], .events = POLLIN};
	if (self.stored < 0)
		notify("FDSTORE=1\nFDNAME=kept", self.old_open);
	tell("start");
	notify("READY=1\nSTATUS=probed", -1);
	while (poll(polls, count + 1, -1) > 0) {
		for (int i = 0; i < count; i++)
			if (polls[i + 1].revents)
				answer(listeners[i]);
		if (!polls[0].revents || read(polls[0].fd, &got, sizeof(got)) != sizeof(got))
			continue;
		if (got.ssi_signo == SIGTERM) {
			notify("STOPPING=1", -1);
			return 0;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
			 now.tv_sec * 1000000LL + now.tv_nsec / 1000);
		notify(text, -1);
		tell("reload");
		notify("READY=1", -1);
	}
	return 1;
}

/* An instance of a socket with Accept=yes: its connection is its standard input. */
static int once(void)
{
	char name[32];

	snprintf(name, sizeof(name), "ku%s", self.number);
	prctl(PR_SET_NAME, name);
	prepare();
	tell("start");
	return write(STDIN_FILENO, "served\n", 7) != 7;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (strcmp(basename(argv[0]), "service"))
		return RAN;
	if ((strcmp(verb, "run") == 0 || strcmp(verb, "once") == 0) && argc == 4) {
		self.unit = argv[2];
		self.number = argv[3];
		return verb[0] == 'r' ? run() : once();
	}
	if (strcmp(verb, "reload") == 0 && argc == 3)
		return kill(atoi(argv[2]), SIGHUP) != 0;
	if (strcmp(verb, "note") == 0)
		return 0;
	if (strcmp(verb, "serve") == 0)
		return serve();
	if (strcmp(verb, "poke") == 0)
		return poke(argv + 2);
	return 2;
}
