/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What Kiln rests on: the mounts that its pins and folders are on, its files, its agent's share of the machine, and the
 * room in its maps. Baselines point these at what is not Kiln's.
 */
#include "attack.h"
#include <linux/bpf.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* detach PATH: with all that is mounted below. */
static int run_detach(int argc, char **argv)
{
	return outcome(umount2(argument(argc, argv, 0), MNT_DETACH));
}

/* detach-copy PATH: in a mount namespace of its own, whose mounts are peers of the host's. */
static int run_detach_copy(int argc, char **argv)
{
	if (unshare(CLONE_NEWNS))
		unattempted("unshare");
	return outcome(umount2(argument(argc, argv, 0), MNT_DETACH));
}

/* cover PATH: by a file system of one's own. */
static int run_cover(int argc, char **argv)
{
	return outcome(mount("none", argument(argc, argv, 0), "tmpfs", 0, NULL));
}

/* cover-private PATH: in a mount namespace that nobody sees, as a unit's own is. */
static int run_cover_private(int argc, char **argv)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		unattempted("a namespace");
	return outcome(mount("none", argument(argc, argv, 0), "tmpfs", 0, NULL));
}

/* mount-ordinary FOLDER: what a unit that may mount does all day. */
static int run_mount_ordinary(int argc, char **argv)
{
	const char *folder = argument(argc, argv, 0);
	char one[512], two[512];

	snprintf(one, sizeof(one), "%s/one", folder);
	snprintf(two, sizeof(two), "%s/two", folder);
	if ((mkdir(one, 0755) && errno != EEXIST) || (mkdir(two, 0755) && errno != EEXIST))
		unattempted("mkdir");
	if (mount("none", one, "tmpfs", 0, NULL) || mount(one, two, NULL, MS_BIND, NULL) ||
	    mount(NULL, two, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) || umount2(two, MNT_DETACH) || umount(one) ||
	    mount(folder, two, NULL, MS_BIND, NULL) || umount(two))
		return -errno;
	return 0;
}

/* bind-over FROM TO */
static int run_bind_over(int argc, char **argv)
{
	return outcome(mount(argument(argc, argv, 0), argument(argc, argv, 1), NULL, MS_BIND, NULL));
}

/* freeze-mount PATH: read-only, by this mount or by the whole file system. */
static int run_freeze_mount(int argc, char **argv)
{
	return outcome(mount(NULL, argument(argc, argv, 0), NULL, MS_REMOUNT | MS_RDONLY | MS_BIND, NULL));
}
static int run_freeze_system(int argc, char **argv)
{
	return outcome(mount(NULL, argument(argc, argv, 0), NULL, MS_REMOUNT | MS_RDONLY, NULL));
}

/* move-mount FROM TO */
static int run_move(int argc, char **argv)
{
	return outcome(mount(argument(argc, argv, 0), argument(argc, argv, 1), NULL, MS_MOVE, NULL));
}

/* make-in FOLDER KIND: a folder, file, symlink, node or pin of one's own there. */
static int run_make_in(int argc, char **argv)
{
	const char *kind = argument(argc, argv, 1);
	char path[512];

	snprintf(path, sizeof(path), "%s/kt-litter", argument(argc, argv, 0));
	if (strcmp(kind, "folder") == 0)
		return outcome(mkdir(path, 0755));
	if (strcmp(kind, "symlink") == 0)
		return outcome(symlink("/", path));
	if (strcmp(kind, "node") == 0)
		return outcome(mknod(path, S_IFIFO | 0600, 0));
	return outcome(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

/* alter PATH HOW: its mode, owner, times, size or attributes. */
static int run_alter(int argc, char **argv)
{
	const char *path = argument(argc, argv, 0), *how = argument(argc, argv, 1);

	if (strcmp(how, "mode") == 0)
		return outcome(chmod(path, 0777));
	if (strcmp(how, "owner") == 0)
		return outcome(chown(path, 65534, 65534));
	if (strcmp(how, "times") == 0)
		return outcome(utimensat(AT_FDCWD, path, NULL, 0));
	if (strcmp(how, "size") == 0)
		return outcome(truncate(path, 0));
	return outcome(setxattr(path, "trusted.kt", "x", 1, 0));
}

static int run_overwrite(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_WRONLY | O_CLOEXEC);

	return file < 0 ? -errno : outcome(write(file, "1", 1));
}

static int run_rename_to(int argc, char **argv)
{
	return outcome(rename(argument(argc, argv, 0), argument(argc, argv, 1)));
}

static int run_link_to(int argc, char **argv)
{
	return outcome(link(argument(argc, argv, 0), argument(argc, argv, 1)));
}

/* seize-lock FILE KIND [GO]: a lock of each kind; with GO it is kept until that file is there. */
static int run_seize_lock(int argc, char **argv)
{
	const char *kind = argument(argc, argv, 1);
	int file = open(argument(argc, argv, 0), strcmp(kind, "flock") ? O_RDWR : O_RDONLY), result, mark;
	struct flock whole = {.l_type = F_WRLCK};
	char name[512];

	if (file < 0)
		return -errno;
	if (strcmp(kind, "flock") == 0)
		result = outcome(flock(file, LOCK_EX | LOCK_NB));
	else if (strcmp(kind, "lease") == 0)
		result = outcome(fcntl(file, F_SETLEASE, F_WRLCK));
	else
		result = outcome(fcntl(file, strcmp(kind, "ofd") ? F_SETLK : F_OFD_SETLK, &whole));
	if (argc < 4)
		return result;
	snprintf(name, sizeof(name), "%s.on", argv[3]);
	mark = open(name, O_CREAT | O_WRONLY, 0644);
	close(mark);
	alarm(300);
	while (access(argv[3], F_OK))
		usleep(20000);
	return result;
}

static pid_t other;

static void prepare_other(int argc, char **argv)
{
	char text[32] = "";
	int file = open(argument(argc, argv, 0), O_RDONLY);

	if (file < 0 || read(file, text, sizeof(text) - 1) <= 0)
		unattempted("reading a process's number");
	close(file);
	other = (pid_t)atoi(text);
}

/* starve PIDFILE HOW */
static int run_starve(int argc, char **argv)
{
	const char *how = argument(argc, argv, 1);
	struct sched_param none = {0};
	char path[64];
	cpu_set_t one;
	int file;

	if (strcmp(how, "idle") == 0)
		return outcome(sched_setscheduler(other, SCHED_IDLE, &none));
	if (strcmp(how, "nice") == 0)
		return outcome(setpriority(PRIO_PROCESS, (id_t)other, 19));
	if (strcmp(how, "ioprio") == 0)
		return outcome(syscall(SYS_ioprio_set, 1, other, 3 << 13));
	if (strcmp(how, "affinity") == 0) {
		CPU_ZERO(&one);
		CPU_SET(0, &one);
		return outcome(sched_setaffinity(other, sizeof(one), &one));
	}
	snprintf(path, sizeof(path), "/proc/%d/%s", other, how);
	file = open(path, O_WRONLY);
	return file < 0 ? -errno : outcome(write(file, "1", 1));
}

/*
 * trace-and-end PIDFILE HELPER: a program of one's own on each system call, that signals one who calls. HELPER 0: only
 * loads one that harms nobody.
 */
static int run_trace_and_end(int argc, char **argv)
{
	int helper = atoi(argument(argc, argv, 1)), handle = (int)syscall(SYS_pidfd_open, other, 0);
	struct bpf_insn program[] = {
	    {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_current_pid_tgid},
	    {.code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = 0, .imm = 32},
	    {.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 0, .off = 2, .imm = other},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .imm = SIGKILL},
	    {.code = BPF_JMP | BPF_CALL, .imm = helper ? helper : BPF_FUNC_ktime_get_ns},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr load = {.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT,
			       .insn_cnt = sizeof(program) / sizeof(*program),
			       .insns = (uintptr_t)program,
			       .license = (uintptr_t) "GPL"};
	union bpf_attr attach = {.raw_tracepoint = {.name = (uintptr_t) "sys_enter"}};
	struct pollfd ended = {.fd = handle, .events = POLLIN};
	int loaded, link;

	loaded = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	if (loaded < 0)
		return -errno;
	if (!helper)
		return 0;
	attach.raw_tracepoint.prog_fd = (uint32_t)loaded;
	link = (int)syscall(SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, &attach, sizeof(attach));
	if (link < 0)
		return -errno;
	return poll(&ended, 1, 4000) == 1 ? 0 : -EAGAIN;
}

/* crowd COUNT STOP PATH: so many who open one file over and over that some are always preempted within a hook. */
static int run_crowd(int argc, char **argv)
{
	int count = atoi(argument(argc, argv, 0)), ended = 0;
	const char *stop = argument(argc, argv, 1), *path = argument(argc, argv, 2);
	char name[512];

	alarm(600);
	for (int n = 0; n < count; n++)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (unsigned long turn = 1;; turn++) {
				close(open(path, O_RDONLY));
				if (turn % 256 == 0 && access(stop, F_OK) == 0)
					_exit(0);
			}
		}
	snprintf(name, sizeof(name), "%s.on", stop);
	close(open(name, O_CREAT | O_WRONLY, 0644));
	while (wait(NULL) > 0)
		ended++;
	return ended == count ? 0 : -EIO;
}

/* false-units COUNT NAME: cgroups with a unit's name, each in a slice of its own. */
static int run_false_units(int argc, char **argv)
{
	int count = atoi(argument(argc, argv, 0));

	alarm(600);
	for (int n = 0; n < count; n++) {
		char path[256];

		snprintf(path, sizeof(path), "/sys/fs/cgroup/kt%d.slice", n);
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		snprintf(path, sizeof(path), "/sys/fs/cgroup/kt%d.slice/%s", n, argument(argc, argv, 1));
		if (mkdir(path, 0755))
			return -errno;
	}
	return 0;
}

/* Goes down into folders with long names, which are made. */
static void go_down(const char *from, int steps, int length)
{
	char name[256];

	if (chdir(from))
		unattempted("chdir %s", from);
	memset(name, 'k', sizeof(name));
	name[length] = 0;
	for (int n = 0; n < steps; n++)
		if ((mkdir(name, 0755) && errno != EEXIST) || chdir(name))
			unattempted("folder %d", n);
}

static void stay(const char *go)
{
	char name[512];

	snprintf(name, sizeof(name), "%s.on", go);
	close(open(name, O_CREAT | O_WRONLY, 0644));
	alarm(300);
	while (access(go, F_OK))
		usleep(20000);
}

/* dig-groups FOLDER [GO PATH]: deeper than a path is long; then lives there until GO is there, and opens PATH. */
static int run_dig(int argc, char **argv)
{
	int procs;

	go_down(argument(argc, argv, 0), 20, 250);
	if (argc < 4)
		return 0;
	procs = open("cgroup.procs", O_WRONLY);
	if (procs < 0 || write(procs, "0", 1) != 1)
		unattempted("entering the deepest");
	stay(argv[2]);
	return outcome(open(argv[3], O_RDONLY));
}

/* far-program FOLDER GO: runs a program whose path is longer than readlink(2) can tell. */
static int run_far_program(int argc, char **argv)
{
	static char bytes[1 << 16];
	int from = open("/bin/busybox", O_RDONLY), to;
	ssize_t got;
	pid_t child;

	go_down(argument(argc, argv, 0), 25, 200);
	to = open("sleep", O_CREAT | O_WRONLY, 0755);
	if (from < 0 || to < 0)
		unattempted("a copy");
	while ((got = read(from, bytes, sizeof(bytes))) > 0)
		if (write(to, bytes, (size_t)got) != got)
			unattempted("a copy");
	close(to);
	child = fork();
	if (child == 0) {
		alarm(0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("./sleep", "sleep", "300", NULL);
		_exit(errno);
	}
	stay(argument(argc, argv, 1));
	kill(child, SIGKILL);
	return outcome(waitpid(child, NULL, 0));
}

const struct attack keep_attacks[] = {
    {"detach", NULL, run_detach},
    {"detach-copy", NULL, run_detach_copy},
    {"cover", NULL, run_cover},
    {"cover-private", NULL, run_cover_private},
    {"mount-ordinary", NULL, run_mount_ordinary},
    {"bind-over", NULL, run_bind_over},
    {"freeze-mount", NULL, run_freeze_mount},
    {"freeze-system", NULL, run_freeze_system},
    {"move-away", NULL, run_move},
    {"make-in", NULL, run_make_in},
    {"alter", NULL, run_alter},
    {"overwrite", NULL, run_overwrite},
    {"rename-to", NULL, run_rename_to},
    {"link-to", NULL, run_link_to},
    {"seize-lock", NULL, run_seize_lock},
    {"starve", prepare_other, run_starve},
    {"trace-and-end", prepare_other, run_trace_and_end},
    {"crowd", NULL, run_crowd},
    {"false-units", NULL, run_false_units},
    {"dig-groups", NULL, run_dig},
    {"far-program", NULL, run_far_program},
    {0},
};
