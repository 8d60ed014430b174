/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What names a file has: where it lies on a detached mount, in another namespace, nowhere, or where names end. */
#include "attack.h"
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

/* A clone of the tree at `folder` that is mounted nowhere; who is not root becomes it in a namespace of his own. */
static int detached(const char *folder)
{
	char map[64];
	int tree;

	if (getuid() != 0) {
		unsigned int uid = getuid();
		int file;

		if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
			unattempted("unshare");
		file = open("/proc/self/uid_map", O_WRONLY);
		if (write(file, map, (size_t)snprintf(map, sizeof(map), "0 %u 1", uid)) < 0)
			unattempted("uid_map");
		close(file);
	}
	tree = (int)syscall(SYS_open_tree, AT_FDCWD, folder, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		unattempted("open_tree");
	return tree;
}

/* rename-detached FOLDER FROM TO: both names below the clone. */
static int run_rename_detached(int argc, char **argv)
{
	int tree = detached(argument(argc, argv, 0));

	return outcome(renameat(tree, argument(argc, argv, 1), tree, argument(argc, argv, 2)));
}

static int run_exchange_detached(int argc, char **argv)
{
	int tree = detached(argument(argc, argv, 0));

	return outcome(
	    renameat2(tree, argument(argc, argv, 1), tree, argument(argc, argv, 2), 2 /* RENAME_EXCHANGE */));
}

static int run_link_detached(int argc, char **argv)
{
	int tree = detached(argument(argc, argv, 0));

	return outcome(linkat(tree, argument(argc, argv, 1), tree, argument(argc, argv, 2), 0));
}

/* utimes-detached FOLDER NAME */
static int run_utimes_detached(int argc, char **argv)
{
	int tree = detached(argument(argc, argv, 0));

	return outcome(utimensat(tree, argument(argc, argv, 1), NULL, 0));
}

/* utimes-one FILE: one time is now, the other stays. */
static int run_utimes_one(int argc, char **argv)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};

	return outcome(utimensat(AT_FDCWD, argument(argc, argv, 0), times, 0));
}

/* utimes-open FILE: by a descriptor that was opened before, on the host. */
static int opened = -1;

static void prepare_opened(int argc, char **argv)
{
	opened = open(argument(argc, argv, 0), O_RDWR);
	if (opened < 0)
		unattempted("open");
}

static int run_utimes_open(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(futimens(opened, NULL));
}

/* pass-nameless memory|pipe|socket: what has no name is received, used and opened again. */
static int channel[2];

static int nameless(const char *kind)
{
	int ends[2];

	if (!strcmp(kind, "memory"))
		return memfd_create("kt", MFD_CLOEXEC);
	if (!strcmp(kind, "pipe"))
		return pipe(ends) ? -1 : ends[1];
	if (!strcmp(kind, "socket"))
		return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) ? -1 : ends[1];
	unattempted("nothing is called %s", kind);
}

static void prepare_nameless(int argc, char **argv)
{
	char space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec vector = {.iov_base = "x", .iov_len = 1};
	struct msghdr message = {
	    .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int file = nameless(argument(argc, argv, 0));

	if (file < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, channel))
		unattempted("%s", argv[1]);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &file, sizeof(file));
	if (sendmsg(channel[0], &message, 0) != 1)
		unattempted("sendmsg");
}

static int run_nameless(int argc, char **argv)
{
	char space[CMSG_SPACE(sizeof(int))], byte, path[64];
	struct iovec vector = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
	    .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *header;
	int file;

	if (recvmsg(channel[1], &message, 0) != 1)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header)
		refused("MSG_CTRUNC");
	memcpy(&file, CMSG_DATA(header), sizeof(file));
	if (write(file, "x", 1) != 1)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (!strcmp(argument(argc, argv, 0), "memory")) {
		if (ftruncate(file, 4096) || fchmod(file, 0600) || futimens(file, NULL))
			return -errno;
		if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED)
			return -errno;
	}
	return strcmp(argument(argc, argv, 0), "socket") ? outcome(open(path, O_WRONLY)) : 0;
}

/* held FILE|memory|pipe GO NAME: it is open before; writes, makes GO.NAME, waits for GO, and writes again. */
static void prepare_held(int argc, char **argv)
{
	const char *what = argument(argc, argv, 0);

	opened = what[0] == '/' ? open(what, O_WRONLY | O_APPEND) : nameless(what);
	if (opened < 0)
		unattempted("open");
}

static int run_held(int argc, char **argv)
{
	const char *go = argument(argc, argv, 1);
	char name[512];

	if (write(opened, "1", 1) != 1)
		unattempted("the first write");
	snprintf(name, sizeof(name), "%s.%s", go, argument(argc, argv, 2));
	if (close(open(name, O_CREAT | O_WRONLY, 0644)))
		unattempted("making %s", name);
	alarm(600);
	while (access(go, F_OK))
		usleep(20000);
	return write(opened, "2", 1) == 1 ? 0 : -errno;
}

/* read-namespace KIND: the process's own file of it. */
static int run_read_namespace(int argc, char **argv)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", argument(argc, argv, 0));
	return outcome(open(path, O_RDONLY));
}

/* queue /NAME: a POSIX message queue, made and opened. The system call takes the name without the slash. */
static int run_queue(int argc, char **argv)
{
	return outcome(syscall(SYS_mq_open, argument(argc, argv, 0) + 1, O_RDWR | O_CREAT, 0666, NULL));
}

static void prepare_queue(int argc, char **argv)
{
	int queue = (int)syscall(SYS_mq_open, argument(argc, argv, 0) + 1, O_RDWR | O_CREAT, 0666, NULL);

	if (queue < 0 || fchmod(queue, 0666))
		unattempted("mq_open");
	close(queue);
}

static int run_queue_remove(int argc, char **argv)
{
	return outcome(syscall(SYS_mq_unlink, argument(argc, argv, 0) + 1));
}

/*
 * abstract-lengths bind|connect|send LETTER any|all|longer: a name of the letter in every length that the kernel takes;
 * worked if any did, if all did, or if any did that has a letter.
 */
#define LONGEST 108

static socklen_t abstract(struct sockaddr_un *at, int length, char letter)
{
	memset(at, 0, sizeof(*at));
	at->sun_family = AF_UNIX;
	memset(at->sun_path + 1, letter, (size_t)length - 1);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length);
}

static void prepare_abstract(int argc, char **argv)
{
	const char *how = argument(argc, argv, 0);

	for (int length = 1; strcmp(how, "bind") && length <= LONGEST; length++) {
		int server = socket(AF_UNIX, strcmp(how, "send") ? SOCK_STREAM : SOCK_DGRAM, 0);
		struct sockaddr_un at;
		socklen_t size = abstract(&at, length, argument(argc, argv, 1)[0]);

		if (bind(server, (struct sockaddr *)&at, size) || (strcmp(how, "send") && listen(server, 8)))
			unattempted("a server of %d bytes", length);
	}
}

static int run_abstract(int argc, char **argv)
{
	const char *how = argument(argc, argv, 0);
	const char *wanted = argument(argc, argv, 2);
	int any = strcmp(wanted, "all"), result = 0;

	for (int length = strcmp(wanted, "longer") ? 1 : 2; length <= LONGEST; length++) {
		int own = socket(AF_UNIX, strcmp(how, "send") ? SOCK_STREAM : SOCK_DGRAM, 0);
		struct sockaddr_un at;
		socklen_t size = abstract(&at, length, argument(argc, argv, 1)[0]);

		if (!strcmp(how, "bind"))
			result = outcome(bind(own, (struct sockaddr *)&at, size));
		else if (!strcmp(how, "connect"))
			result = outcome(connect(own, (struct sockaddr *)&at, size));
		else
			result = outcome(sendto(own, "x", 1, 0, (struct sockaddr *)&at, size));
		close(own);
		if (any ? !result : result)
			return result;
	}
	return result;
}

/*
 * mount-reused FOLDER OTHER: FOLDER, which has `f`, lies on top of the root, where its name is /f; then it is taken
 * away and bound at OTHER instead, where its name is OTHER/f. The kernel likes to give the second mount the first one's
 * address. Opens OTHER/f; worked if it ever could.
 */
static int steps[2], done[2], passed[2];

static void pass_folder(void)
{
	char space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec vector = {.iov_base = "x", .iov_len = 1};
	struct msghdr message = {
	    .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int root = open("/proc/self/fd/250", O_RDONLY | O_DIRECTORY);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &root, sizeof(root));
	if (root < 0 || sendmsg(passed[0], &message, 0) != 1)
		_exit(1);
	close(root);
}

static void mount_and_unmount(const char *folder, const char *other)
{
	char byte;

	for (;;) {
		int tree = (int)syscall(SYS_open_tree, AT_FDCWD, folder, OPEN_TREE_CLONE);

		if (tree < 0 || syscall(SYS_move_mount, tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH))
			_exit(1);
		dup2(tree, 250);
		close(tree);
		pass_folder();
		if (read(steps[0], &byte, 1) != 1)
			_exit(0);
		if (fchdir(250) || umount2(".", MNT_DETACH) || chdir("/"))
			_exit(1);
		close(250);
		/* The kernel frees it only after a while. */
		usleep(30000);
		if (mount(folder, other, NULL, MS_BIND, NULL))
			_exit(1);
		if (write(done[1], "d", 1) != 1 || read(steps[0], &byte, 1) != 1)
			_exit(0);
		if (umount2(other, MNT_DETACH))
			_exit(1);
		usleep(30000);
		if (write(done[1], "d", 1) != 1)
			_exit(0);
	}
}

static void prepare_reused(int argc, char **argv)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || pipe(steps) || pipe(done) ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, passed))
		unattempted("a mount namespace");
	switch (fork()) {
	case -1:
		unattempted("fork");
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		mount_and_unmount(argument(argc, argv, 0), argument(argc, argv, 1));
	}
	close(done[1]);
	close(passed[0]);
}

static int run_reused(int argc, char **argv)
{
	char path[512], byte;
	int result = -ENOENT;
	/* On a busy machine fewer turns have to do: the launcher ends an attack after half a minute. */
	time_t end = time(NULL) + 15;

	snprintf(path, sizeof(path), "%s/f", argument(argc, argv, 1));
	for (int turn = 0; turn < 200 && (turn < 40 || time(NULL) < end); turn++) {
		char space[CMSG_SPACE(sizeof(int))];
		struct iovec vector = {.iov_base = &byte, .iov_len = 1};
		struct msghdr message = {
		    .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
		int folder, file;

		if (recvmsg(passed[1], &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
			unattempted("the folder on top, turn %d", turn);
		memcpy(&folder, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(folder));
		file = openat(folder, "f", O_RDONLY);
		if (file < 0)
			unattempted("what is permitted");
		close(file);
		close(folder);
		if (write(steps[1], "s", 1) != 1 || read(done[0], &byte, 1) != 1)
			unattempted("a mount");
		file = open(path, O_RDONLY);
		result = file < 0 ? -errno : 0;
		if (!result)
			return 0;
		if (write(steps[1], "s", 1) != 1 || read(done[0], &byte, 1) != 1)
			unattempted("a mount");
	}
	return result;
}

/* open-listed LIST: each path of the file, which is read before; worked if one could be opened. */
static char *listed;

static void prepare_listed(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);
	struct stat about;

	if (file < 0 || fstat(file, &about))
		unattempted("the list");
	listed = calloc(1, (size_t)about.st_size + 1);
	if (!listed || read(file, listed, (size_t)about.st_size) != about.st_size)
		unattempted("the list");
}

static int run_listed(int argc, char **argv)
{
	int result = -ENOENT;

	(void)argc;
	(void)argv;
	for (char *path = strtok(listed, "\n"); path; path = strtok(NULL, "\n")) {
		result = outcome(open(path, O_RDONLY));
		if (result != -EPERM)
			return result;
	}
	return result;
}

const struct attack path_attacks[] = {
    {"rename-detached", NULL, run_rename_detached},
    {"exchange-detached", NULL, run_exchange_detached},
    {"link-detached", NULL, run_link_detached},
    {"utimes-detached", NULL, run_utimes_detached},
    {"utimes-one", NULL, run_utimes_one},
    {"utimes-open", prepare_opened, run_utimes_open},
    {"pass-nameless", prepare_nameless, run_nameless},
    {"held", prepare_held, run_held},
    {"read-namespace", NULL, run_read_namespace},
    {"queue", NULL, run_queue},
    {"queue-open", prepare_queue, run_queue},
    {"queue-remove", prepare_queue, run_queue_remove},
    {"abstract-lengths", prepare_abstract, run_abstract},
    {"mount-reused", prepare_reused, run_reused},
    {"open-listed", prepare_listed, run_listed},
    {0},
};
