/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Attacks that go on while something else happens: a file's coming tells them when. */
#include "attack.h"
#include <linux/sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

static int execute(void *path)
{
	char *const arguments[] = {path, NULL};
	char *const environment[] = {NULL};

	execve(path, arguments, environment);
	return -errno;
}

static void touch(const char *path, const char *suffix)
{
	char name[512];
	int file;

	snprintf(name, sizeof(name), "%s.%s", path, suffix);
	file = open(name, O_CREAT | O_WRONLY, 0644);
	if (file < 0)
		unattempted("making %s", name);
	close(file);
}

static void wait_for(const char *path)
{
	alarm(600);
	while (access(path, F_OK))
		usleep(20000);
}

/* wait-then-exec GO PROGRAM: makes GO.waiting, waits for GO, executes. */
static int run_wait_then_exec(int argc, char **argv)
{
	touch(argument(argc, argv, 0), "waiting");
	wait_for(argument(argc, argv, 0));
	return execute((void *)argument(argc, argv, 1));
}

/* hold FILE KIND GO: opens FILE, makes GO.KIND, waits for GO, then uses the descriptor. */
static int run_hold(int argc, char **argv)
{
	const char *kind = argument(argc, argv, 1), *go = argument(argc, argv, 2);
	int file = open(argument(argc, argv, 0), O_RDWR);
	char byte;

	if (file < 0)
		unattempted("open");
	touch(go, kind);
	wait_for(go);
	if (strcmp(kind, "read") == 0)
		return read(file, &byte, 1) < 0 ? -errno : 0;
	if (strcmp(kind, "write") == 0)
		return write(file, "x", 1) < 0 ? -errno : 0;
	if (strcmp(kind, "truncate") == 0)
		return outcome(ftruncate(file, 0));
	if (strcmp(kind, "map") == 0)
		return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) == MAP_FAILED ? -errno : 0;
	unattempted("no kind %s", kind);
}

static int by_spawn(const char *path)
{
	char *const arguments[] = {(char *)path, NULL};
	pid_t child;
	int error = posix_spawn(&child, path, NULL, NULL, arguments, NULL);

	return error ? -error : child_result(child);
}

static int by_clone3(const char *path)
{
	struct clone_args request = {.exit_signal = 17};
	long child = syscall(SYS_clone3, &request, sizeof(request));

	if (child < 0)
		unattempted("clone3");
	if (child == 0)
		child_end(execute((void *)path));
	return child_result((pid_t)child);
}

/*
 * storm STOP DENIED ALLOWED: makes STOP.raging, then by every kind of fork executes both until STOP is there. It
 * worked if DENIED ever ran. That ALLOWED was ever refused is told as ALLOWED_REFUSED.
 */
static int run_storm(int argc, char **argv)
{
	const char *stop = argument(argc, argv, 0), *denied = argument(argc, argv, 1),
		   *allowed = argument(argc, argv, 2);
	long turns = 0;

	alarm(900);
	touch(stop, "raging");
	while (access(stop, F_OK)) {
		if (in_child(execute, (void *)denied) == 0 || by_spawn(denied) == 0 || by_clone3(denied) == 0)
			return 0;
		if (in_child(execute, (void *)allowed) != 0 || by_spawn(allowed) != 0 || by_clone3(allowed) != 0)
			refused("ALLOWED_REFUSED");
		turns++;
	}
	if (turns < 20)
		unattempted("the storm had only %ld turns", turns);
	return -EPERM;
}

/* open-storm STOP DENIED ALLOWED [PAUSE]: the same with open(2), by PAUSE microseconds apart. */
static int run_open_storm(int argc, char **argv)
{
	const char *stop = argument(argc, argv, 0), *denied = argument(argc, argv, 1),
		   *allowed = argument(argc, argv, 2);
	useconds_t pause = argc > 4 ? (useconds_t)atoi(argv[4]) : 0;
	long turns = 0;
	int file;

	alarm(900);
	touch(stop, "opening");
	while (access(stop, F_OK)) {
		if (open(denied, O_RDONLY) >= 0)
			return 0;
		file = open(allowed, O_RDONLY);
		if (file < 0)
			refused("ALLOWED_REFUSED");
		close(file);
		if (pause)
			usleep(pause);
		turns++;
	}
	if (turns < 20)
		unattempted("the storm had only %ld turns", turns);
	return -EPERM;
}

/* flood TIMES PATH: opens it so often; it worked if that ever did. */
static int run_flood(int argc, char **argv)
{
	long times = atol(argument(argc, argv, 0));
	const char *path = argument(argc, argv, 1);
	int result = 0;

	alarm(900);
	for (long turn = 0; turn < times; turn++) {
		if (open(path, O_RDONLY) >= 0)
			return 0;
		result = -errno;
		if (result != -EPERM)
			return result;
	}
	return result;
}

/* command PROGRAM [ARGUMENT]...: worked if it ends with 0. */
static int run_command(int argc, char **argv)
{
	int status;
	pid_t child = fork();

	alarm(120);
	if (child == 0) {
		execv(argument(argc, argv, 0), argv + 1);
		_exit(127);
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		unattempted("the command did not end by itself");
	if (WEXITSTATUS(status) == 127)
		unattempted("the command did not run");
	return WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

/* unix-existing PATH: connects to a socket that is there already. */
static int run_unix_existing(int argc, char **argv)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", argument(argc, argv, 0));
	return outcome(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof(to)));
}

const struct attack story_attacks[] = {
    {"wait-then-exec", NULL, run_wait_then_exec},
    {"hold", NULL, run_hold},
    {"storm", NULL, run_storm},
    {"open-storm", NULL, run_open_storm},
    {"flood", NULL, run_flood},
    {"command", NULL, run_command},
    {"unix-existing", NULL, run_unix_existing},
    {0},
};
