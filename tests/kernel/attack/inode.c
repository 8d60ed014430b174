/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Changes to names and attributes. */
#include "attack.h"
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>

static int run_unlink(int argc, char **argv)
{
	return outcome(unlink(argument(argc, argv, 0)));
}

static int run_rmdir(int argc, char **argv)
{
	return outcome(rmdir(argument(argc, argv, 0)));
}

static int run_mkdir(int argc, char **argv)
{
	return outcome(mkdir(argument(argc, argv, 0), 0755));
}

static int run_mkfifo(int argc, char **argv)
{
	return outcome(mkfifo(argument(argc, argv, 0), 0644));
}

static int run_mknod(int argc, char **argv)
{
	return outcome(mknod(argument(argc, argv, 0), S_IFCHR | 0666, makedev(1, 3)));
}

static int run_symlink(int argc, char **argv)
{
	return outcome(symlink(argument(argc, argv, 0), argument(argc, argv, 1)));
}

static int run_link(int argc, char **argv)
{
	return outcome(link(argument(argc, argv, 0), argument(argc, argv, 1)));
}

static int run_link_fd(int argc, char **argv)
{
	char path[64];
	int file = open(argument(argc, argv, 0), O_PATH);

	if (file < 0)
		unattempted("open");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return outcome(linkat(AT_FDCWD, path, AT_FDCWD, argument(argc, argv, 1), AT_SYMLINK_FOLLOW));
}

static int run_rename(int argc, char **argv)
{
	return outcome(rename(argument(argc, argv, 0), argument(argc, argv, 1)));
}

static int run_exchange(int argc, char **argv)
{
	return outcome(
	    renameat2(AT_FDCWD, argument(argc, argv, 0), AT_FDCWD, argument(argc, argv, 1), RENAME_EXCHANGE));
}

static int run_chmod(int argc, char **argv)
{
	return outcome(chmod(argument(argc, argv, 0), 0777));
}

static int run_chown(int argc, char **argv)
{
	return outcome(chown(argument(argc, argv, 0), 1, 1));
}

static int run_utimes(int argc, char **argv)
{
	struct timeval times[2] = {{1, 0}, {1, 0}};

	return outcome(utimes(argument(argc, argv, 0), times));
}

static int run_setxattr(int argc, char **argv)
{
	return outcome(setxattr(argument(argc, argv, 0), "trusted.kt", "x", 1, 0));
}

static int run_removexattr(int argc, char **argv)
{
	return outcome(removexattr(argument(argc, argv, 0), "trusted.kt"));
}

/* A descriptor open for reading suffices for fchmod(2). */
static int run_fchmod(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);

	if (file < 0)
		unattempted("open");
	return outcome(fchmod(file, 0777));
}

/* Flags that chattr(1) sets go by ioctl(2) on a descriptor for reading. */
static int run_chattr(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY), flags = FS_NODUMP_FL;

	if (file < 0)
		unattempted("open");
	return outcome(ioctl(file, FS_IOC_SETFLAGS, &flags));
}

/* The same by the 32-bit system call, whose ioctl(2) has another entry into the kernel. */
static int run_chattr_32(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);
	/* A 32-bit pointer: memory below 4 GiB. */
	int *flags = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long result;

	if (file < 0 || flags == MAP_FAILED)
		unattempted("open");
	*flags = FS_NODUMP_FL;
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(54L /* ioctl */), "b"((long)file), "c"((long)FS_IOC32_SETFLAGS), "d"(flags)
			 : "memory", "r8", "r9", "r10", "r11");
	return result < 0 ? (int)result : 0;
}

/* tmpfile-link NAME: a nameless file gets the name by linkat(2). */
static int run_tmpfile_link(int argc, char **argv)
{
	char path[64];
	int file = open("/tmp/kt", O_TMPFILE | O_RDWR, 0644);

	if (file < 0)
		unattempted("O_TMPFILE");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return outcome(linkat(AT_FDCWD, path, AT_FDCWD, argument(argc, argv, 0), AT_SYMLINK_FOLLOW));
}

/* set-acl FILE: an access list that lets user 1 read, as acl(5) has it in xattr(7)'s form. */
static int run_set_acl(int argc, char **argv)
{
	static const struct {
		uint32_t version;
		struct {
			uint16_t tag, permissions;
			uint32_t id;
		} entries[5];
	} list = {2, {{1, 6, ~0u}, {2, 4, 1}, {4, 4, ~0u}, {16, 4, ~0u}, {32, 4, ~0u}}};

	return outcome(setxattr(argument(argc, argv, 0), "system.posix_acl_access", &list, sizeof(list), 0));
}

static int run_remove_acl(int argc, char **argv)
{
	return outcome(removexattr(argument(argc, argv, 0), "system.posix_acl_access"));
}

const struct attack inode_attacks[] = {
    {"unlink", NULL, run_unlink},
    {"rmdir", NULL, run_rmdir},
    {"mkdir", NULL, run_mkdir},
    {"mkfifo", NULL, run_mkfifo},
    {"mknod", NULL, run_mknod},
    {"symlink", NULL, run_symlink},
    {"link", NULL, run_link},
    {"link-fd", NULL, run_link_fd},
    {"rename", NULL, run_rename},
    {"exchange", NULL, run_exchange},
    {"chmod", NULL, run_chmod},
    {"chown", NULL, run_chown},
    {"utimes", NULL, run_utimes},
    {"setxattr", NULL, run_setxattr},
    {"set-acl", NULL, run_set_acl},
    {"remove-acl", NULL, run_remove_acl},
    {"removexattr", NULL, run_removexattr},
    {"fchmod", NULL, run_fchmod},
    {"chattr", NULL, run_chattr},
    {"chattr-32", NULL, run_chattr_32},
    {"tmpfile-link", NULL, run_tmpfile_link},
    {0},
};
