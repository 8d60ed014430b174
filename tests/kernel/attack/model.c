/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * kt model SEED STEPS [UPDATE...]: random processes, for the model of labels (tests/kernel/model.rs).
 *
 * A controller, bound by nothing, has workers: processes that fork, execute, enter cgroups and namespaces as it says.
 * After each step a worker tells which files of /probe it may not read, which is its label to whoever looks from
 * outside. Each step and each answer is a line; the same seed gives the same steps. UPDATE is a command that the
 * controller runs in the middle.
 */
#include "attack.h"
#include "model.h"
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define WORKERS 12
#define FIRST_FD 64

enum { FORK, CLONE, EXEC, MOVE, UNSHARE, PROBE, WATCHED_MOVE, END };

struct command {
	int what, other, thread;
	char path[160];
};
struct answer {
	int result; /* 0, -errno, or a child's number */
	unsigned refused, ever, always;
};

static const char probes[] = "abcghe";
static int self;

static int in(int worker)
{
	return FIRST_FD + worker * 4;
}

static int out(int worker)
{
	return FIRST_FD + worker * 4 + 3;
}

/* Bits of the probes that are refused. */
static unsigned probe(void)
{
	unsigned refused = 0;

	for (int at = 0; probes[at]; at++) {
		char path[16];
		int file;

		snprintf(path, sizeof(path), "/probe/%c", probes[at]);
		file = open(path, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			refused |= 1u << at;
		else
			close(file);
	}
	return refused;
}

static int move(const char *cgroup)
{
	char path[200];
	int file, result;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0)
		return -errno;
	result = write(file, "0", 1) < 0 ? -errno : 0;
	close(file);
	return result;
}

static volatile int watching, watches;
static unsigned ever, always;

static void *watch(void *nothing)
{
	(void)nothing;
	ever = 0;
	always = ~0u;
	while (watching || watches < 2) {
		unsigned refused = probe();

		ever |= refused;
		always &= refused;
		watches++;
	}
	return NULL;
}

/* Moves while another thread of the process looks all the time at what it may. */
static void watched_move(const char *cgroup, struct answer *answer)
{
	pthread_t thread;

	watches = 0;
	watching = 1;
	if (pthread_create(&thread, NULL, watch, NULL)) {
		answer->result = -EAGAIN;
		return;
	}
	while (watches < 1)
		sched_yield();
	answer->result = move(cgroup);
	watching = 0;
	pthread_join(thread, NULL);
	answer->ever = ever;
	answer->always = always;
}

static pid_t clone_into(const char *cgroup)
{
	struct clone_args arguments = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
	int group = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long child;

	if (group < 0)
		return -1;
	arguments.cgroup = (unsigned long long)group;
	child = syscall(SYS_clone3, &arguments, sizeof(arguments));
	close(group);
	return (pid_t)child;
}

static void act(const struct command *command, struct answer *answer)
{
	char number[8];
	pid_t child;

	switch (command->what) {
	case FORK:
	case CLONE:
		child = command->what == FORK ? fork() : clone_into(command->path);
		if (child == 0) {
			self = command->other;
			work();
		}
		answer->result = child < 0 ? -errno : child;
		break;
	case EXEC:
		snprintf(number, sizeof(number), "%d", self);
		execl(command->path, command->path, "model-worker", number, "again", NULL);
		answer->result = -errno;
		break;
	case MOVE:
		answer->result = move(command->path);
		break;
	case WATCHED_MOVE:
		watched_move(command->path, answer);
		break;
	case UNSHARE:
		answer->result = outcome(unshare(CLONE_NEWNS));
		break;
	case END:
		_exit(0);
	}
	answer->refused = probe();
}

struct task {
	struct command command;
	struct answer answer;
};

static void *act_in_thread(void *argument)
{
	struct task *task = argument;

	act(&task->command, &task->answer);
	return NULL;
}

/* A worker's life. */
void work(void)
{
	for (;;) {
		struct task task = {0};
		pthread_t thread;

		if (read(in(self), &task.command, sizeof(task.command)) != sizeof(task.command))
			_exit(0);
		if (task.command.thread && !pthread_create(&thread, NULL, act_in_thread, &task))
			pthread_join(thread, NULL);
		else
			act(&task.command, &task.answer);
		if (write(out(self), &task.answer, sizeof(task.answer)) != sizeof(task.answer))
			_exit(0);
	}
}

int model_worker(int argc, char **argv)
{
	struct answer answer = {0};

	self = argc > 2 ? atoi(argv[2]) : 0;
	answer.refused = probe();
	if (write(out(self), &answer, sizeof(answer)) != sizeof(answer))
		return 2;
	work();
	return 0;
}

/* Numerical Recipes' generator: the same on every machine. */
static unsigned seed;

static unsigned chance(unsigned below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

static const char *const groups[] = {"a", "a/sub", "b", "b/sub", "g", "g/sub", "h1", "h1/sub", "n", "n/sub"};
static const char *const programs[] = {"/kt/kt", "/kt/c", "/kt/e"};

static const char *cgroup(const char *name, char *path, size_t size)
{
	const char *below = strchr(name, '/');
	int unit = below ? (int)(below - name) : (int)strlen(name);

	snprintf(path, size, "/sys/fs/cgroup/system.slice/%.*s.service%s", unit, name, below ? below : "");
	return path;
}

static pid_t workers[WORKERS];

static int tell(int worker, const struct command *command, struct answer *answer)
{
	struct pollfd wait = {.fd = out(worker) - 1, .events = POLLIN};

	if (write(in(worker) + 1, command, sizeof(*command)) != sizeof(*command))
		return -1;
	if (command->what == END)
		return 0;
	/* Its pipe stays open when it is gone. */
	if (poll(&wait, 1, 60000) != 1)
		return -1;
	return read(wait.fd, answer, sizeof(*answer)) == sizeof(*answer) ? 0 : -1;
}

static int spawn(int worker)
{
	pid_t child = fork();

	if (child == 0) {
		self = worker;
		work();
	}
	workers[worker] = child;
	return child < 0 ? -1 : 0;
}

/* The controller moves a worker from outside. */
static int pull(int worker, const char *path)
{
	char procs[200], number[16];
	int file, result;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	file = open(procs, O_WRONLY | O_CLOEXEC);
	if (file < 0)
		return -errno;
	snprintf(number, sizeof(number), "%d", workers[worker]);
	result = write(file, number, strlen(number)) < 0 ? -errno : 0;
	close(file);
	return result;
}

static void step(int at)
{
	static const char *const names[] = {"fork", "clone", "exec", "move", "unshare", "probe", "watched"};
	const char *group = groups[chance(sizeof(groups) / sizeof(*groups))];
	const char *program = programs[chance(sizeof(programs) / sizeof(*programs))];
	unsigned dice = chance(16), thread = chance(3) == 0;
	int worker = (int)chance(WORKERS), other = (int)chance(WORKERS), result;
	struct command command = {.what = PROBE, .other = other, .thread = (int)thread};
	struct answer answer = {0};
	const char *argument = "-";
	char path[160];

	if (!workers[worker]) {
		printf("model %d spawn %d -\n", at, worker);
		if (spawn(worker))
			return;
	} else if (dice == 0) {
		printf("model %d end %d -\n", at, worker);
		command.what = END;
		tell(worker, &command, &answer);
		waitpid(workers[worker], NULL, 0);
		workers[worker] = 0;
		return;
	} else if (dice < 4 && other != worker && !workers[other]) {
		command.what = dice == 1 ? CLONE : FORK;
		if (dice == 1)
			argument = group;
	} else if (dice < 6) {
		command.what = EXEC;
		argument = program;
	} else if (dice < 9) {
		command.what = MOVE;
		argument = group;
	} else if (dice < 11) {
		command.what = WATCHED_MOVE;
		command.thread = 0;
		argument = group;
	} else if (dice < 13) {
		result = pull(worker, cgroup(group, path, sizeof(path)));
		printf("model %d pull %d %s = %d\n", at, worker, group, result);
	} else if (dice == 13) {
		command.what = UNSHARE;
		command.thread = 0;
	}
	if (command.what == EXEC)
		snprintf(command.path, sizeof(command.path), "%s", program);
	else
		cgroup(group, command.path, sizeof(command.path));
	if (tell(worker, &command, &answer)) {
		printf("model %d lost %d -\n", at, worker);
		workers[worker] = 0;
		return;
	}
	printf("model %d %s %d %s%s = %d refused %x ever %x always %x\n", at, names[command.what], worker, argument,
	       command.what == FORK || command.what == CLONE ? (snprintf(path, sizeof(path), ">%d", other), path) : "",
	       answer.result < 0 ? answer.result : 0, answer.refused, answer.ever, answer.always);
	if ((command.what == FORK || command.what == CLONE) && answer.result > 0) {
		workers[other] = answer.result;
		command.what = PROBE;
		command.thread = 0;
		if (tell(other, &command, &answer))
			printf("model %d lost %d -\n", at, other);
		else
			printf("model %d probe %d - = 0 refused %x ever 0 always 0\n", at, other, answer.refused);
	}
}

int model(int argc, char **argv)
{
	int steps = argc > 3 ? atoi(argv[3]) : 100;

	seed = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int worker = 0; worker < WORKERS; worker++)
		for (int way = 0; way < 2; way++) {
			int ends[2];

			if (pipe(ends) || dup2(ends[0], FIRST_FD + worker * 4 + way * 2) < 0 ||
			    dup2(ends[1], FIRST_FD + worker * 4 + way * 2 + 1) < 0)
				return 2;
			close(ends[0]);
			close(ends[1]);
		}
	for (int at = 0; at < steps; at++) {
		if (argc > 4 && at && at % 100 == 0) {
			int status = system(argv[4 + at / 100 % (argc - 4)]);

			printf("model %d update 0 - = %d\n", at, status);
		}
		step(at);
	}
	for (int worker = 0; worker < WORKERS; worker++)
		if (workers[worker])
			kill(workers[worker], SIGKILL);
	printf("model end\n");
	return 0;
}
