/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Leaving the subject: each tries to shed the label, then executes what the policy denies. */
#include "attack.h"
#include <linux/sched.h>
#include <sched.h>
#include <sys/stat.h>

static int execute(void *path)
{
	char *const arguments[] = {path, NULL};
	char *const environment[] = {NULL};

	execve(path, arguments, environment);
	return -errno;
}

static void move_to(const char *cgroup)
{
	char path[512];
	int procs;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	procs = open(path, O_WRONLY);
	if (procs < 0 || write(procs, "0", 1) != 1)
		unattempted("moving to %s", cgroup);
	close(procs);
}

/* leave-cgroup CGROUP PROGRAM: into a cgroup that no rule names, or one of a looser profile. */
static int run_leave(int argc, char **argv)
{
	const char *cgroup = argument(argc, argv, 0);

	if (mkdir(cgroup, 0755) && errno != EEXIST)
		unattempted("mkdir");
	move_to(cgroup);
	return execute((void *)argument(argc, argv, 1));
}

/* The same after a fork: the child must have been born labelled. */
static int run_leave_fork(int argc, char **argv)
{
	const char *cgroup = argument(argc, argv, 0);

	if (mkdir(cgroup, 0755) && errno != EEXIST)
		unattempted("mkdir");
	move_to(cgroup);
	return in_child(execute, (void *)argument(argc, argv, 1));
}

/* clone-into-cgroup CGROUP PROGRAM: a child that is born elsewhere. */
static int run_clone_into(int argc, char **argv)
{
	struct clone_args request = {.flags = CLONE_INTO_CGROUP, .exit_signal = 17};
	const char *cgroup = argument(argc, argv, 0);
	long child;

	if (mkdir(cgroup, 0755) && errno != EEXIST)
		unattempted("mkdir");
	request.cgroup = (uint64_t)open(cgroup, O_RDONLY | O_DIRECTORY);
	child = syscall(SYS_clone3, &request, sizeof(request));
	if (child < 0)
		unattempted("clone3");
	if (child == 0)
		child_end(execute((void *)argument(argc, argv, 1)));
	return child_result((pid_t)child);
}

const char *own_cgroup(void)
{
	static char text[4096];
	int file = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
	char *at = length > 0 ? strstr(text, "0::") : NULL;

	if (!at)
		unattempted("reading the cgroup");
	close(file);
	at[strcspn(at, "\n")] = '\0';
	return at + 3;
}

/* child-cgroup PROGRAM: a cgroup below its own, whose name no rule has. */
static int run_child_cgroup(int argc, char **argv)
{
	char path[1024];

	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/below", own_cgroup());
	if (mkdir(path, 0755) && errno != EEXIST)
		unattempted("mkdir %s", path);
	move_to(path);
	return execute((void *)argument(argc, argv, 0));
}

/* rename of the unit is not in cgroup v2; a namespace makes the own cgroup look like the root. */
static int run_cgroup_namespace(int argc, char **argv)
{
	if (unshare(CLONE_NEWCGROUP))
		unattempted("unshare");
	return execute((void *)argument(argc, argv, 0));
}

/* Executing what is allowed first must not shed the label. */
static int run_through_allowed(int argc, char **argv)
{
	const char *through = argument(argc, argv, 0);
	char *const arguments[] = {(char *)through, (char *)"sh", (char *)"-c", (char *)argument(argc, argv, 1), NULL};
	char *const environment[] = {NULL};
	int status;
	pid_t child = fork();

	if (child == 0) {
		execve(through, arguments, environment);
		_exit(3);
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) == 3)
		unattempted("running %s", through);
	/* A shell that may not execute a program ends with 126. */
	return WEXITSTATUS(status) == RAN ? 0 : WEXITSTATUS(status) == 126 ? -EPERM : -EIO;
}

/* pull-in PID: another process comes into the own cgroup. */
static int run_pull_in(int argc, char **argv)
{
	char path[1024];
	const char *pid = argument(argc, argv, 0);
	int file;

	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cgroup.procs", own_cgroup());
	file = open(path, O_WRONLY);
	if (file < 0)
		return -errno;
	return write(file, pid, strlen(pid)) < 0 ? -errno : 0;
}

const struct attack escape_attacks[] = {
    {"leave-cgroup", NULL, run_leave},
    {"leave-cgroup-fork", NULL, run_leave_fork},
    {"clone-into-cgroup", NULL, run_clone_into},
    {"child-cgroup", NULL, run_child_cgroup},
    {"cgroup-namespace", NULL, run_cgroup_namespace},
    {"pull-in", NULL, run_pull_in},
    {"through-allowed", NULL, run_through_allowed},
    {0},
};
