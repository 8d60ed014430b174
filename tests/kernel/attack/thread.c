/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A thread that is older than its process's confinement: prepare makes it, then the process is moved into the unit (or,
 * in a story, the policy comes), and then it is this thread that acts, not the process's first.
 */
#include "attack.h"
#include <linux/sched.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

static sem_t go, done;
static int count;
static char **words;
static int result;
static pthread_t older;

static int execute(const char *path)
{
	char *const arguments[] = {(char *)path, NULL};
	char *const environment[] = {NULL};

	execve(path, arguments, environment);
	return -errno;
}

/* The program that the thread executes goes on and executes PROGRAM: `kt then PROGRAM`. */
static int execute_then(const char *through, const char *path)
{
	char *const arguments[] = {(char *)through, (char *)"then", (char *)path, NULL};
	char *const environment[] = {NULL};

	execve(through, arguments, environment);
	return -errno;
}

static int in_fork(const char *path)
{
	pid_t child = fork();

	if (child < 0)
		unattempted("fork");
	if (child == 0)
		child_end(execute(path));
	return child_result(child);
}

/* The child is the sibling of its maker, so it tells by a pipe: nothing, if it became the program. */
static int in_sibling(const char *path)
{
	struct clone_args request = {.flags = CLONE_PARENT};
	int pipes[2], error = 0;
	long child;

	if (pipe2(pipes, O_CLOEXEC))
		unattempted("pipe2");
	child = syscall(SYS_clone3, &request, sizeof(request));
	if (child < 0)
		unattempted("clone3");
	if (child == 0) {
		error = -execute(path);
		(void)!write(pipes[1], &error, sizeof(error));
		_exit(1);
	}
	close(pipes[1]);
	return read(pipes[0], &error, sizeof(error)) == sizeof(error) ? -error : 0;
}

static int act(void)
{
	const char *how = argument(count, words, 0), *path = argument(count, words, 1);

	if (strcmp(how, "exec") == 0)
		return execute(path);
	if (strcmp(how, "exec-then") == 0)
		return execute_then(argument(count, words, 2), path);
	if (strcmp(how, "fork") == 0)
		return in_fork(path);
	if (strcmp(how, "sibling") == 0)
		return in_sibling(path);
	if (strcmp(how, "open") == 0)
		return outcome(open(path, O_RDONLY));
	unattempted("no way %s", how);
}

static void *wait_and_act(void *unused)
{
	while (sem_wait(&go))
		;
	result = act();
	sem_post(&done);
	/* Where the first thread is gone nobody else tells. */
	if (strcmp(words[0], "orphan-thread") == 0)
		_exit(result == 0 ? RAN : -result);
	return unused;
}

static void prepare(int argc, char **argv)
{
	count = argc;
	words = argv;
	if (sem_init(&go, 0, 0) || sem_init(&done, 0, 0) || pthread_create(&older, NULL, wait_and_act, NULL))
		unattempted("a thread");
}

/* older-thread HOW PROGRAM [THROUGH] */
static int run(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	sem_post(&go);
	while (sem_wait(&done))
		;
	return result;
}

/* orphan-thread HOW PROGRAM [THROUGH]: the first thread ends before. */
static int run_orphan(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	sem_post(&go);
	pthread_exit(NULL);
}

/* wait-older-thread GO HOW PROGRAM [THROUGH]: makes the thread and GO.waiting, waits for GO. */
static int run_wait(int argc, char **argv)
{
	const char *file = argument(argc, argv, 0);
	char name[512];
	int waiting;

	prepare(argc - 1, argv + 1);
	snprintf(name, sizeof(name), "%s.waiting", file);
	waiting = open(name, O_CREAT | O_WRONLY, 0644);
	if (waiting < 0)
		unattempted("making %s", name);
	close(waiting);
	alarm(600);
	while (access(file, F_OK))
		usleep(20000);
	return run(argc, argv);
}

/* Holds a lease on FILE: who opens it waits (it makes GO.waiting then) until there is GO. */
static void hold_lease(const char *file, const char *go, int ready)
{
	char name[512];
	int held = open(file, O_RDONLY), waiting, signal;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (held < 0 || fcntl(held, F_SETLEASE, F_WRLCK))
		unattempted("a lease on %s", file);
	if (write(ready, "", 1) != 1 || sigwait(&set, &signal))
		unattempted("waiting for who opens %s", file);
	snprintf(name, sizeof(name), "%s.waiting", go);
	waiting = open(name, O_CREAT | O_WRONLY, 0644);
	if (waiting < 0)
		unattempted("making %s", name);
	while (access(go, F_OK))
		usleep(20000);
	_exit(fcntl(held, F_SETLEASE, F_UNLCK));
}

static void *execute_word(void *path)
{
	result = execute(path);
	sem_post(&done);
	return NULL;
}

/* thread-exec-held FILE GO PROGRAM: a second thread executes, and waits half-way, where the kernel opens FILE. */
static int run_held(int argc, char **argv)
{
	const char *file = argument(argc, argv, 0), *go = argument(argc, argv, 1);
	char byte;
	int ready[2];
	pid_t child;

	if (pipe2(ready, O_CLOEXEC) || (child = fork()) < 0)
		unattempted("fork");
	if (child == 0)
		hold_lease(file, go, ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		unattempted("no lease");
	if (sem_init(&done, 0, 0) || pthread_create(&older, NULL, execute_word, (void *)argument(argc, argv, 2)))
		unattempted("a thread");
	alarm(600);
	while (sem_wait(&done))
		;
	return result;
}

const struct attack thread_attacks[] = {
    {"older-thread", prepare, run},
    {"orphan-thread", prepare, run_orphan},
    {"wait-older-thread", NULL, run_wait},
    {"thread-exec-held", NULL, run_held},
    {0},
};
