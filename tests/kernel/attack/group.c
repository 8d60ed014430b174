/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Processes that have their label by their cgroup only, and leave it: each then executes, or opens, what the policy
 * denies.
 */
#include "attack.h"
#include <pthread.h>
#include <sys/stat.h>

static int execute(const char *path)
{
	char *const arguments[] = {(char *)path, NULL};
	char *const environment[] = {NULL};

	execve(path, arguments, environment);
	return -errno;
}

static void put(const char *cgroup, const char *name, const char *text)
{
	char path[1024];
	int file;

	snprintf(path, sizeof(path), "%s/%s", cgroup, name);
	file = open(path, O_WRONLY);
	if (file < 0 || write(file, text, strlen(text)) < 0)
		unattempted("writing %s to %s", text, path);
	close(file);
}

static void make(const char *cgroup)
{
	if (mkdir(cgroup, 0755) && errno != EEXIST)
		unattempted("mkdir %s", cgroup);
}

/* child-leaves CGROUP PROGRAM: born in the unit, and gone before it acts. */
static int run_child(int argc, char **argv)
{
	const char *cgroup = argument(argc, argv, 0), *path = argument(argc, argv, 1);
	pid_t child;

	make(cgroup);
	child = fork();
	if (child < 0)
		unattempted("fork");
	if (child == 0) {
		put(cgroup, "cgroup.procs", "0");
		child_end(execute(path));
	}
	return child_result(child);
}

/* grandchild-leaves CGROUP PROGRAM: moved by its parent, which stays; then it is its child that acts. */
static int run_grandchild(int argc, char **argv)
{
	const char *cgroup = argument(argc, argv, 0), *path = argument(argc, argv, 1);
	char text[32], byte = 0;
	int go[2], result;
	pid_t child;

	make(cgroup);
	if (pipe2(go, O_CLOEXEC) || (child = fork()) < 0)
		unattempted("fork");
	if (child == 0) {
		pid_t grandchild;

		close(go[1]);
		if (read(go[0], &byte, 1) != 1 || (grandchild = fork()) < 0)
			unattempted("a grandchild");
		if (grandchild == 0)
			child_end(execute(path));
		result = child_result(grandchild);
		if (result)
			child_end(result);
		_exit(RAN);
	}
	snprintf(text, sizeof(text), "%d", child);
	put(cgroup, "cgroup.procs", text);
	if (write(go[1], &byte, 1) != 1)
		unattempted("a pipe");
	return child_result(child);
}

/*
 * moved-while-forking CGROUP PROGRAM: a process is moved while it makes children. Whichever comes first, each child
 * bears the label.
 */
static int run_forking(int argc, char **argv)
{
	const char *cgroup = argument(argc, argv, 0), *path = argument(argc, argv, 1);
	char text[32];
	int result = 0;

	make(cgroup);
	for (int turn = 0; turn < 40; turn++) {
		pid_t parent = fork();

		if (parent < 0)
			unattempted("fork");
		if (parent == 0) {
			for (int n = 0; n < 6; n++) {
				pid_t child = fork();

				if (child < 0)
					unattempted("fork");
				if (child == 0)
					child_end(execute(path));
				result = child_result(child);
				if (!result)
					_exit(RAN);
			}
			child_end(result);
		}
		for (volatile int wait = 0; wait < turn * 3000; wait++)
			;
		snprintf(text, sizeof(text), "%d", parent);
		put(cgroup, "cgroup.procs", text);
		result = child_result(parent);
		if (!result)
			return 0;
	}
	return result;
}

static const char *to, *denied;
static int opened;

static void *leave_and_open(void *unused)
{
	put(to, "cgroup.threads", "0");
	opened = outcome(open(denied, O_RDONLY));
	return unused;
}

/* thread-leaves FILE: a thread goes into a threaded cgroup below the unit's, and opens FILE. */
static int run_thread(int argc, char **argv)
{
	char path[1024];
	pthread_t thread;

	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/threaded", own_cgroup());
	make(path);
	put(path, "cgroup.type", "threaded");
	to = path;
	denied = argument(argc, argv, 0);
	if (pthread_create(&thread, NULL, leave_and_open, NULL) || pthread_join(thread, NULL))
		unattempted("a thread");
	return opened;
}

const struct attack group_attacks[] = {
    {"child-leaves", NULL, run_child},
    {"grandchild-leaves", NULL, run_grandchild},
    {"moved-while-forking", NULL, run_forking},
    {"thread-leaves", NULL, run_thread},
    {0},
};
