/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Capabilities, and the kernel's own doors. */
#include "attack.h"
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/kexec.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <time.h>

static int run_module(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);

	if (file < 0)
		unattempted("open");
	return outcome(syscall(SYS_finit_module, file, "", 0));
}

static int run_module_memory(int argc, char **argv)
{
	static char image[1 << 20];
	int file = open(argument(argc, argv, 0), O_RDONLY);
	ssize_t length = file < 0 ? -1 : read(file, image, sizeof(image));

	if (length <= 0)
		unattempted("reading the module");
	return outcome(syscall(SYS_init_module, image, length, ""));
}

static int run_kexec(int argc, char **argv)
{
	int image = open(argument(argc, argv, 0), O_RDONLY);

	if (image < 0)
		unattempted("open");
	return outcome(syscall(SYS_kexec_file_load, image, -1, 1, "", KEXEC_FILE_NO_INITRAMFS));
}

/* Unloading the image that was or was not loaded passes the same door. */
static int run_kexec_load(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}

static int run_bpf_map(int argc, char **argv)
{
	union bpf_attr request = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

	(void)argc;
	(void)argv;
	return outcome(syscall(SYS_bpf, BPF_MAP_CREATE, &request, sizeof(request)));
}

static int run_bpf_program(int argc, char **argv)
{
	const struct bpf_insn code[] = {{.code = 0xb7}, {.code = 0x95}};
	union bpf_attr request = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2};

	(void)argc;
	(void)argv;
	request.insns = (uintptr_t)code;
	request.license = (uintptr_t) "GPL";
	return outcome(syscall(SYS_bpf, BPF_PROG_LOAD, &request, sizeof(request)));
}

static int run_perf(int argc, char **argv)
{
	struct perf_event_attr request = {
	    .type = PERF_TYPE_SOFTWARE, .size = sizeof(request), .config = PERF_COUNT_SW_CPU_CLOCK};

	(void)argc;
	(void)argv;
	return outcome(syscall(SYS_perf_event_open, &request, -1, 0, -1, 0));
}

/* Something to attack that is outside the policy. */
static pid_t victim;
static char target[64] = "before";

static void prepare_victim(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	victim = fork();
	if (victim == 0) {
		if (setgid(65534) || setuid(65534))
			_exit(1);
		/* Changing the user clears both of these. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_DUMPABLE, 1);
		for (;;)
			pause();
	}
	usleep(100000);
}

static int run_ptrace(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(ptrace(PTRACE_ATTACH, victim, NULL, NULL));
}

static int run_ptrace_seize(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(ptrace(PTRACE_SEIZE, victim, NULL, NULL));
}

static int run_other_memory(int argc, char **argv)
{
	char path[64];
	int memory;

	(void)argc;
	(void)argv;
	snprintf(path, sizeof(path), "/proc/%d/mem", victim);
	memory = open(path, O_RDWR);
	if (memory < 0)
		return -errno;
	return pwrite(memory, "after", 5, (off_t)(uintptr_t)target) == 5 ? 0 : -errno;
}

static int run_process_vm(int argc, char **argv)
{
	struct iovec from = {.iov_base = "after", .iov_len = 5}, to = {.iov_base = target, .iov_len = 5};

	(void)argc;
	(void)argv;
	return outcome(process_vm_writev(victim, &from, 1, &to, 1, 0));
}

/* A traced child's parent decides what the child does. */
static int run_traceme(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int run_clock(int argc, char **argv)
{
	struct timespec now;

	(void)argc;
	(void)argv;
	if (clock_gettime(CLOCK_REALTIME, &now))
		unattempted("clock_gettime");
	return outcome(clock_settime(CLOCK_REALTIME, &now));
}

static int run_clock_adjust(int argc, char **argv)
{
	struct timex change = {.modes = ADJ_OFFSET | ADJ_STATUS, .status = STA_PLL};

	(void)argc;
	(void)argv;
	return outcome(adjtimex(&change));
}

static int run_setuid(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(setuid(65534));
}

static int run_setgid(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(setgid(65534));
}

static int run_hostname(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(sethostname("kt", 2));
}

static int run_setns(int argc, char **argv)
{
	int space = open("/proc/1/ns/uts", O_RDONLY);

	(void)argc;
	(void)argv;
	if (space < 0)
		unattempted("open");
	return outcome(setns(space, CLONE_NEWUTS));
}

/* Kernel lockdown's doors. */
static int run_dev_mem(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(open("/dev/mem", O_RDONLY));
}

static int run_ports(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(syscall(SYS_iopl, 3));
}

/* block-ioctl DEVICE: asks a driver for something. */
static int run_block_ioctl(int argc, char **argv)
{
	int device = open(argument(argc, argv, 0), O_RDONLY | O_NONBLOCK);

	if (device < 0)
		unattempted("open");
	return outcome(ioctl(device, BLKFLSBUF, 0));
}

/* A socket of a protocol that is a module makes the kernel run modprobe. */
static int run_module_request(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(socket(AF_INET, SOCK_STREAM, 132));
}

/* tai SECONDS: says by how much TAI is ahead, as an NTP daemon does. */
static int run_tai(int argc, char **argv)
{
	struct timex set = {.modes = ADJ_TAI, .constant = atoi(argument(argc, argv, 0))};

	return outcome(adjtimex(&set) < 0 ? -1 : 0);
}

const struct attack kernel_attacks[] = {
    {"module", NULL, run_module},
    {"module-memory", NULL, run_module_memory},
    {"module-request", NULL, run_module_request},
    {"kexec", NULL, run_kexec},
    {"kexec-load", NULL, run_kexec_load},
    {"bpf-map", NULL, run_bpf_map},
    {"bpf-program", NULL, run_bpf_program},
    {"perf", NULL, run_perf},
    {"ptrace", prepare_victim, run_ptrace},
    {"ptrace-seize", prepare_victim, run_ptrace_seize},
    {"other-memory", prepare_victim, run_other_memory},
    {"process-vm", prepare_victim, run_process_vm},
    {"traceme", NULL, run_traceme},
    {"clock", NULL, run_clock},
    {"clock-adjust", NULL, run_clock_adjust},
    {"tai", NULL, run_tai},
    {"setuid", NULL, run_setuid},
    {"setgid", NULL, run_setgid},
    {"hostname", NULL, run_hostname},
    {"setns", NULL, run_setns},
    {"dev-mem", NULL, run_dev_mem},
    {"io-ports", NULL, run_ports},
    {"block-ioctl", NULL, run_block_ioctl},
    {0},
};
