/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Ways to the contents of a file. */
#include "attack.h"
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int took(int file)
{
	char byte;
	ssize_t got;

	if (file < 0)
		return -errno;
	got = read(file, &byte, 1);
	return got < 0 ? -errno : got == 1 ? 0 : -ENODATA;
}

static int gave(int file)
{
	if (file < 0)
		return -errno;
	return write(file, "x", 1) == 1 ? 0 : -errno;
}

static int run_read(int argc, char **argv)
{
	return took(open(argument(argc, argv, 0), O_RDONLY));
}

static int run_write(int argc, char **argv)
{
	return gave(open(argument(argc, argv, 0), O_WRONLY));
}

static int run_append(int argc, char **argv)
{
	return gave(open(argument(argc, argv, 0), O_WRONLY | O_APPEND));
}

static int run_create(int argc, char **argv)
{
	return gave(open(argument(argc, argv, 0), O_WRONLY | O_CREAT | O_EXCL, 0644));
}

/* read-relative DIRECTORY NAME: from inside it. */
static int run_read_relative(int argc, char **argv)
{
	if (chdir(argument(argc, argv, 0)))
		unattempted("chdir");
	return took(open(argument(argc, argv, 1), O_RDONLY));
}

/* read-at DIRECTORY NAME: through a descriptor of the directory. */
static int run_read_at(int argc, char **argv)
{
	int directory = open(argument(argc, argv, 0), O_PATH | O_DIRECTORY);

	if (directory < 0)
		unattempted("open");
	return took(openat(directory, argument(argc, argv, 1), O_RDONLY));
}

static int run_read_openat2(int argc, char **argv)
{
	struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_NO_MAGICLINKS};

	return took((int)syscall(SYS_openat2, AT_FDCWD, argument(argc, argv, 0), &how, sizeof(how)));
}

/* An O_PATH descriptor needs no permission; opening it again must. */
static int run_read_reopen(int argc, char **argv)
{
	char link[64];
	int file = open(argument(argc, argv, 0), O_PATH);

	if (file < 0)
		unattempted("open");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
	return took(open(link, O_RDONLY));
}

static int run_read_chroot(int argc, char **argv)
{
	if (chroot(argument(argc, argv, 0)) || chdir("/"))
		unattempted("chroot");
	return took(open(argument(argc, argv, 1), O_RDONLY));
}

/* File handles name an inode, not a path. */
static int run_read_handle(int argc, char **argv)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} at = {.handle.handle_bytes = MAX_HANDLE_SZ};
	int mount, root;

	if (name_to_handle_at(AT_FDCWD, argument(argc, argv, 0), &at.handle, &mount, 0))
		unattempted("name_to_handle_at");
	root = open(argument(argc, argv, 1), O_RDONLY | O_DIRECTORY);
	if (root < 0)
		unattempted("open");
	return took(open_by_handle_at(root, &at.handle, O_RDONLY));
}

static int run_truncate(int argc, char **argv)
{
	return outcome(truncate(argument(argc, argv, 0), 0));
}

static int run_open_truncate(int argc, char **argv)
{
	return outcome(open(argument(argc, argv, 0), O_RDONLY | O_TRUNC));
}

static int run_map_write(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDWR);
	char *at;

	if (file < 0)
		return -errno;
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (at == MAP_FAILED)
		return -errno;
	at[0] = 'x';
	return 0;
}

/* A descriptor that was open before the process came under the policy. */
static int kept = -1;

static void prepare_kept(int argc, char **argv)
{
	kept = open(argument(argc, argv, 0), O_RDWR);
	if (kept < 0)
		unattempted("open");
}

static int run_kept_read(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return took(kept);
}

static int run_kept_write(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return gave(kept);
}

static int run_kept_truncate(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(ftruncate(kept, 0));
}

static int run_kept_map(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return mmap(NULL, 4096, PROT_READ, MAP_SHARED, kept, 0) == MAP_FAILED ? -errno : 0;
}

/* A descriptor that a process outside the policy hands over. */
static int channel[2];

static void prepare_passed(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);
	char space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec vector = {.iov_base = "x", .iov_len = 1};
	struct msghdr message = {
	    .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (file < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, channel))
		unattempted("open and socketpair");
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &file, sizeof(file));
	if (sendmsg(channel[0], &message, 0) != 1)
		unattempted("sendmsg");
	close(file);
}

static int run_passed(int argc, char **argv)
{
	char space[CMSG_SPACE(sizeof(int))], byte;
	struct iovec vector = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
	    .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *header;
	int file;

	(void)argc;
	(void)argv;
	if (recvmsg(channel[1], &message, 0) != 1)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_len < CMSG_LEN(sizeof(int))) {
		/* The kernel reports a refused descriptor by this flag alone. */
		if (message.msg_flags & MSG_CTRUNC)
			refused("MSG_CTRUNC");
		unattempted("no descriptor in the message");
	}
	memcpy(&file, CMSG_DATA(header), sizeof(file));
	return took(file);
}

const struct attack file_attacks[] = {
    {"read", NULL, run_read},
    {"write", NULL, run_write},
    {"append", NULL, run_append},
    {"create", NULL, run_create},
    {"read-relative", NULL, run_read_relative},
    {"read-at", NULL, run_read_at},
    {"read-openat2", NULL, run_read_openat2},
    {"read-reopen", NULL, run_read_reopen},
    {"read-chroot", NULL, run_read_chroot},
    {"read-handle", NULL, run_read_handle},
    {"truncate", NULL, run_truncate},
    {"open-truncate", NULL, run_open_truncate},
    {"map-write", NULL, run_map_write},
    {"kept-read", prepare_kept, run_kept_read},
    {"kept-write", prepare_kept, run_kept_write},
    {"kept-truncate", prepare_kept, run_kept_truncate},
    {"kept-map", prepare_kept, run_kept_map},
    {"passed-descriptor", prepare_passed, run_passed},
    {0},
};
