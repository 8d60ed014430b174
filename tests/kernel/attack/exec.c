/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ways to execute a program. */
#include "attack.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

static int execute(const char *path)
{
	/* The name is the path, not kt: the victim then proves that it ran. */
	char *const arguments[] = {(char *)path, NULL};
	char *const environment[] = {NULL};

	execve(path, arguments, environment);
	return -errno;
}

static int run_exec(int argc, char **argv)
{
	return execute(argument(argc, argv, 0));
}

/* exec-relative DIRECTORY NAME: a path that is longer or deeper than its argument. */
static int run_exec_relative(int argc, char **argv)
{
	if (chdir(argument(argc, argv, 0)))
		unattempted("chdir");
	return execute(argument(argc, argv, 1));
}

/* exec-deep DEPTH FILE: walks DEPTH times into a directory named d below /tmp/kt, made by prepare, and runs FILE there.
 */
static void prepare_exec_deep(int argc, char **argv)
{
	int depth = atoi(argument(argc, argv, 0)), width = atoi(argument(argc, argv, 1)), from, to;
	char name[256];
	struct stat size;

	from = open("/kt/denied", O_RDONLY);
	memset(name, 'd', sizeof(name));
	name[width] = 0;
	if (from < 0 || fstat(from, &size) || chdir("/tmp/kt"))
		unattempted("preparing a deep directory");
	for (int level = 0; level < depth; level++)
		if ((mkdir(name, 0755) && errno != EEXIST) || chdir(name))
			unattempted("level %d", level);
	to = open("x", O_CREAT | O_WRONLY | O_TRUNC, 0755);
	if (to < 0 || sendfile(to, from, NULL, size.st_size) != size.st_size)
		unattempted("copying");
	close(to);
	close(from);
}

static int run_exec_deep(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return execute("x");
}

static int run_exec_fd(int argc, char **argv)
{
	char path[64];
	int file = open(argument(argc, argv, 0), O_RDONLY);

	if (file < 0)
		unattempted("open");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return execute(path);
}

static int exec_at(int file)
{
	char *const arguments[] = {(char *)"victim", NULL};
	char *const environment[] = {NULL};

	syscall(SYS_execveat, file, "", arguments, environment, AT_EMPTY_PATH);
	return -errno;
}

static int run_exec_empty(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);

	if (file < 0)
		unattempted("open");
	return exec_at(file);
}

static int run_exec_opath(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_PATH);

	if (file < 0)
		unattempted("open");
	return exec_at(file);
}

static int run_exec_deleted(int argc, char **argv)
{
	const char *path = argument(argc, argv, 0);
	int file = open(path, O_RDONLY);

	if (file < 0 || unlink(path))
		unattempted("open and unlink");
	return exec_at(file);
}

static int memfd_copy(const char *path, const char *name)
{
	struct stat size;
	int from = open(path, O_RDONLY), memory = memfd_create(name, 0);

	if (from < 0 || memory < 0 || fstat(from, &size) || sendfile(memory, from, NULL, size.st_size) != size.st_size)
		unattempted("filling a memfd");
	return memory;
}

static int run_exec_memfd(int argc, char **argv)
{
	return exec_at(memfd_copy(argument(argc, argv, 0), "kt"));
}

/* A memfd's name is its maker's choice: here one that looks like an allowed path. */
static int run_exec_memfd_named(int argc, char **argv)
{
	return exec_at(memfd_copy(argument(argc, argv, 0), argument(argc, argv, 1)));
}

/* exec-tmpfile SOURCE: a file without a name, made with O_TMPFILE. */
static int run_exec_tmpfile(int argc, char **argv)
{
	char link[64];
	struct stat size;
	int from = open(argument(argc, argv, 0), O_RDONLY), to = open("/tmp/kt", O_TMPFILE | O_RDWR, 0755), again;

	if (from < 0 || to < 0 || fstat(from, &size) || sendfile(to, from, NULL, size.st_size) != size.st_size)
		unattempted("filling a nameless file");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", to);
	again = open(link, O_RDONLY);
	close(to);
	if (again < 0)
		unattempted("opening it again");
	return exec_at(again);
}

static int run_exec_rename(int argc, char **argv)
{
	if (rename(argument(argc, argv, 0), argument(argc, argv, 1)))
		unattempted("rename");
	return execute(argument(argc, argv, 1));
}

static int run_exec_copy(int argc, char **argv)
{
	struct stat size;
	int from = open(argument(argc, argv, 0), O_RDONLY);
	int to = open(argument(argc, argv, 1), O_CREAT | O_WRONLY | O_TRUNC, 0755);

	if (from < 0 || to < 0 || fstat(from, &size) || sendfile(to, from, NULL, size.st_size) != size.st_size)
		unattempted("copying");
	close(to);
	return execute(argument(argc, argv, 1));
}

static int spawned(void *path)
{
	return execute(path);
}

static int run_exec_fork(int argc, char **argv)
{
	return in_child(spawned, (void *)argument(argc, argv, 0));
}

static int run_exec_vfork(int argc, char **argv)
{
	const char *path = argument(argc, argv, 0);
	char *const arguments[] = {(char *)path, NULL};
	pid_t child;
	int error = posix_spawn(&child, path, NULL, NULL, arguments, NULL);

	return error ? -error : child_result(child);
}

static int run_exec_clone3(int argc, char **argv)
{
	struct clone_args request = {.exit_signal = 17};
	long child = syscall(SYS_clone3, &request, sizeof(request));

	if (child < 0)
		unattempted("clone3");
	if (child == 0)
		child_end(execute(argument(argc, argv, 0)));
	return child_result(child);
}

/* An orphan whose parents are gone, in a session of its own. */
static int orphan(void *path)
{
	int ends[2], result = 0;
	pid_t child;

	if (pipe(ends))
		return -EIO;
	child = fork();
	if (child == 0) {
		setsid();
		child = fork();
		if (child == 0) {
			result = in_child(spawned, path);
			_exit(write(ends[1], &result, sizeof(result)) != sizeof(result));
		}
		_exit(0);
	}
	waitpid(child, NULL, 0);
	if (read(ends[0], &result, sizeof(result)) != sizeof(result))
		return -EIO;
	return result;
}

static int run_exec_orphan(int argc, char **argv)
{
	return orphan((void *)argument(argc, argv, 0));
}

static void *exec_thread(void *path)
{
	child_end(execute(path));
}

static int from_thread(void *path)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, exec_thread, path))
		return -EAGAIN;
	pthread_join(thread, NULL);
	return -EIO;
}

static int run_exec_thread(int argc, char **argv)
{
	return in_child(from_thread, (void *)argument(argc, argv, 0));
}

/*
 * exec-swap ALLOWED DENIED LINK: a link that changes between the two while it is executed. ALLOWED must end with
 * another status than RAN.
 */
static int run_exec_swap(int argc, char **argv)
{
	const char *allowed = argument(argc, argv, 0), *denied = argument(argc, argv, 1);
	const char *link = argument(argc, argv, 2);
	int last = -ENODATA;
	pid_t swapper = fork();

	if (swapper < 0)
		unattempted("fork");
	if (swapper == 0)
		for (;;) {
			unlink("/tmp/kt/swap.new");
			(void)!symlink(denied, "/tmp/kt/swap.new");
			rename("/tmp/kt/swap.new", link);
			sched_yield();
			(void)!symlink(allowed, "/tmp/kt/swap.new");
			rename("/tmp/kt/swap.new", link);
			sched_yield();
		}
	for (int turn = 0; turn < 150; turn++) {
		int result = in_child(spawned, (void *)link);

		if (result == 0) {
			last = 0;
			break;
		}
		/* Other outcomes: the link is missing for an instant, or the allowed program ran. */
		if (result == -EPERM || result == -EACCES)
			last = result;
	}
	kill(swapper, 9);
	waitpid(swapper, NULL, 0);
	if (last == -ENODATA)
		unattempted("the denied program was never reached");
	return last;
}

/* exec-chroot JAIL PATH: a path that looks allowed from inside a chroot. */
static int run_exec_chroot(int argc, char **argv)
{
	if (chroot(argument(argc, argv, 0)) || chdir("/"))
		unattempted("chroot");
	return execute(argument(argc, argv, 1));
}

const struct attack exec_attacks[] = {
    {"exec", NULL, run_exec},
    {"exec-relative", NULL, run_exec_relative},
    {"exec-deep", prepare_exec_deep, run_exec_deep},
    {"exec-fd", NULL, run_exec_fd},
    {"exec-empty", NULL, run_exec_empty},
    {"exec-opath", NULL, run_exec_opath},
    {"exec-deleted", NULL, run_exec_deleted},
    {"exec-memfd", NULL, run_exec_memfd},
    {"exec-memfd-named", NULL, run_exec_memfd_named},
    {"exec-tmpfile", NULL, run_exec_tmpfile},
    {"exec-rename", NULL, run_exec_rename},
    {"exec-copy", NULL, run_exec_copy},
    {"exec-fork", NULL, run_exec_fork},
    {"exec-vfork", NULL, run_exec_vfork},
    {"exec-clone3", NULL, run_exec_clone3},
    {"exec-orphan", NULL, run_exec_orphan},
    {"exec-thread", NULL, run_exec_thread},
    {"exec-swap", NULL, run_exec_swap},
    {"exec-chroot", NULL, run_exec_chroot},
    {0},
};
