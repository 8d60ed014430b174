/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the kernel does without asking the hook that one would expect, or after asking it only once. */
#include "attack.h"
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/msdos_fs.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static const char trace[] = "/proc/sys/kernel/ftrace_enabled";

static int set_trace(const char *value)
{
	int file = open(trace, O_WRONLY | O_CLOEXEC), error;
	ssize_t put;

	if (file < 0)
		return -errno;
	put = write(file, value, 1);
	error = errno;
	close(file);
	return put == 1 ? 0 : -error;
}

/* trace-off FILE: reads FILE while the kernel calls no traced function's programs; then all is as before. */
static int run_trace_off(int argc, char **argv)
{
	int result = set_trace("0"), file;

	if (result)
		return result;
	file = open(argument(argc, argv, 0), O_RDONLY | O_CLOEXEC);
	result = file < 0 ? -errno : 0;
	if (set_trace("1"))
		unattempted("%s", trace);
	return result;
}

/* hold-open FILE: whoever opens FILE waits for this process's word. */
static int run_hold_open(int argc, char **argv)
{
	int watch = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);

	if (watch < 0)
		return -errno;
	return outcome(fanotify_mark(watch, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, argument(argc, argv, 0)));
}

/* module-remove NAME */
static int run_module_remove(int argc, char **argv)
{
	return outcome(syscall(SYS_delete_module, argument(argc, argv, 0), O_NONBLOCK));
}

/* fat-attributes FILE: makes FILE read-only, as `attrib +r` does. */
static int run_fat_attributes(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY | O_CLOEXEC);
	uint32_t attributes = ATTR_RO | ATTR_ARCH;
	struct stat now;

	if (file < 0)
		unattempted("open");
	if (ioctl(file, FAT_IOCTL_SET_ATTRIBUTES, &attributes))
		return -errno;
	if (fstat(file, &now) || now.st_mode & 0222)
		unattempted("nothing was changed");
	return 0;
}

/* tree-search FOLDER TEXT: finds TEXT, the content of a small file, in the trees of the btrfs that FOLDER is on. */
static int run_tree_search(int argc, char **argv)
{
	int folder = open(argument(argc, argv, 0), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *text = argument(argc, argv, 1);
	struct btrfs_ioctl_search_args search = {0};

	if (folder < 0)
		unattempted("open");
	search.key.tree_id = BTRFS_FS_TREE_OBJECTID;
	search.key.max_objectid = search.key.max_offset = search.key.max_transid = UINT64_MAX;
	search.key.min_type = search.key.max_type = BTRFS_EXTENT_DATA_KEY;
	search.key.nr_items = 64;
	if (ioctl(folder, BTRFS_IOC_TREE_SEARCH, &search))
		return -errno;
	if (!memmem(search.buf, sizeof(search.buf), text, strlen(text)))
		unattempted("%u items without the text", search.key.nr_items);
	return 0;
}

/* snapshot ROOT NAME FILE: a snapshot of the subvolume ROOT beside its own files, and FILE in it. */
static int run_snapshot(int argc, char **argv)
{
	const char *root = argument(argc, argv, 0);
	struct btrfs_ioctl_vol_args_v2 made = {0};
	char file[8192];
	int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0)
		unattempted("open");
	made.fd = folder;
	snprintf(made.name, sizeof(made.name), "%s-%d", argument(argc, argv, 1), (int)getpid());
	if (ioctl(folder, BTRFS_IOC_SNAP_CREATE_V2, &made))
		return -errno;
	snprintf(file, sizeof(file), "%s/%s/%s", root, made.name, argument(argc, argv, 2));
	return outcome(open(file, O_RDONLY | O_CLOEXEC));
}

/* A descriptor of a named pipe, with something in it, that a process outside the policy hands over. */
static int channel[2];

static void prepare_passed_pipe(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDWR | O_CLOEXEC);
	char space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec vector = {.iov_base = (char *)"x", .iov_len = 1};
	struct msghdr message = {
	    .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (file < 0 || write(file, "secret", 6) != 6 || socketpair(AF_UNIX, SOCK_STREAM, 0, channel))
		unattempted("a pipe and a pair of sockets");
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &file, sizeof(file));
	if (sendmsg(channel[0], &message, 0) != 1)
		unattempted("sendmsg");
}

static int run_passed_pipe(int argc, char **argv)
{
	char space[CMSG_SPACE(sizeof(int))], got[8];
	struct iovec vector = {.iov_base = got, .iov_len = 1};
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
		if (message.msg_flags & MSG_CTRUNC)
			refused("MSG_CTRUNC");
		unattempted("no descriptor in the message");
	}
	memcpy(&file, CMSG_DATA(header), sizeof(file));
	return read(file, got, 6) == 6 ? 0 : -errno;
}

const struct attack hook_attacks[] = {
    {"trace-off", NULL, run_trace_off},
    {"hold-open", NULL, run_hold_open},
    {"module-remove", NULL, run_module_remove},
    {"fat-attributes", NULL, run_fat_attributes},
    {"tree-search", NULL, run_tree_search},
    {"snapshot", NULL, run_snapshot},
    {"passed-pipe", prepare_passed_pipe, run_passed_pipe},
    {0},
};
