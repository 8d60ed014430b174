/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Capabilities: one attack for each, by a system call that asks for that one. */
#include "attack.h"
#include <linux/capability.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#define UNUSED(argc, argv) ((void)(argc), (void)(argv))

/* Ctrl-Alt-Del does nothing but tell PID 1, which is what it does anyway. */
static int run_boot(int argc, char **argv)
{
	UNUSED(argc, argv);
	return outcome(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, NULL));
}

static int run_account(int argc, char **argv)
{
	UNUSED(argc, argv);
	return outcome(syscall(SYS_acct, NULL));
}

/* account FILE: the kernel writes there of each process that ends. */
static int run_account_to(int argc, char **argv)
{
	int result = outcome(syscall(SYS_acct, argument(argc, argv, 0)));

	if (result == 0)
		syscall(SYS_acct, NULL);
	return result;
}

static int run_nice(int argc, char **argv)
{
	UNUSED(argc, argv);
	return outcome(setpriority(PRIO_PROCESS, 0, -5));
}

static int run_real_time(int argc, char **argv)
{
	struct sched_param how = {.sched_priority = 1};

	UNUSED(argc, argv);
	return outcome(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &how));
}

static int run_resource(int argc, char **argv)
{
	struct rlimit less = {1 << 10, 1 << 10}, more = {1 << 11, 1 << 11};

	UNUSED(argc, argv);
	if (setrlimit(RLIMIT_MSGQUEUE, &less))
		unattempted("setrlimit");
	return outcome(setrlimit(RLIMIT_MSGQUEUE, &more));
}

static int run_lock(int argc, char **argv)
{
	struct rlimit none = {0, 0};
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	UNUSED(argc, argv);
	if (page == MAP_FAILED || setrlimit(RLIMIT_MEMLOCK, &none))
		unattempted("setrlimit");
	return outcome(mlock(page, 4096));
}

/* power-lease FILE, which is another's. */
static int run_lease(int argc, char **argv)
{
	int file = open(argument(argc, argv, 0), O_RDONLY);

	if (file < 0)
		unattempted("open");
	return outcome(fcntl(file, F_SETLEASE, F_RDLCK));
}

static int run_syslog(int argc, char **argv)
{
	char text[64];

	UNUSED(argc, argv);
	return outcome(klogctl(3, text, sizeof(text)));
}

static int run_wake(int argc, char **argv)
{
	UNUSED(argc, argv);
	return outcome(timerfd_create(9 /* CLOCK_BOOTTIME_ALARM */, 0));
}

static int run_mark(int argc, char **argv)
{
	int one = 1;

	UNUSED(argc, argv);
	return outcome(setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_MARK, &one, sizeof(one)));
}

static int run_interface(int argc, char **argv)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_mtu = 65000};

	UNUSED(argc, argv);
	return outcome(ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFMTU, &request));
}

static int run_setpcap(int argc, char **argv)
{
	UNUSED(argc, argv);
	return outcome(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME));
}

static int run_owner(int argc, char **argv)
{
	return outcome(chmod(argument(argc, argv, 0), 0640));
}

static int run_domain(int argc, char **argv)
{
	UNUSED(argc, argv);
	return outcome(setdomainname("kt", 2));
}

/* set-mm WHICH: says where a part of its memory lies, 5 (PR_SET_MM_START_STACK) or 8 (PR_SET_MM_ARG_START). */
static int run_set_mm(int argc, char **argv)
{
	unsigned long at = (unsigned long)argv[0];

	return outcome(prctl(PR_SET_MM, (unsigned long)atoi(argument(argc, argv, 0)), at, 0, 0));
}

/* A child by a number of one's own choice. */
static int run_number(int argc, char **argv)
{
	pid_t number = 31000 + getpid() % 1000;
	struct clone_args request = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&number, .set_tid_size = 1};
	long child = syscall(SYS_clone3, &request, sizeof(request));

	UNUSED(argc, argv);
	if (child == 0)
		_exit(0);
	return outcome(child);
}

/* A process of nobody's, to which root may send nothing without the capability. */
static pid_t nobodys;

static void prepare_nobodys(int argc, char **argv)
{
	int ready[2];
	char byte;

	UNUSED(argc, argv);
	if (pipe2(ready, O_CLOEXEC))
		unattempted("pipe");
	nobodys = fork();
	if (nobodys == 0) {
		if (setgid(65534) || setuid(65534) || write(ready[1], "r", 1) != 1)
			_exit(1);
		alarm(20);
		pause();
		_exit(0);
	}
	if (read(ready[0], &byte, 1) != 1)
		unattempted("a process of nobody's");
}

static int run_kill(int argc, char **argv)
{
	UNUSED(argc, argv);
	return outcome(kill(nobodys, SIGURG));
}

const struct attack power_attacks[] = {
    {"power-boot", NULL, run_boot},
    {"power-account", NULL, run_account},
    {"account-to", NULL, run_account_to},
    {"power-nice", NULL, run_nice},
    {"power-real-time", NULL, run_real_time},
    {"power-resource", NULL, run_resource},
    {"power-lock", NULL, run_lock},
    {"power-lease", NULL, run_lease},
    {"power-syslog", NULL, run_syslog},
    {"power-wake", NULL, run_wake},
    {"power-mark", NULL, run_mark},
    {"power-interface", NULL, run_interface},
    {"power-setpcap", NULL, run_setpcap},
    {"power-owner", NULL, run_owner},
    {"power-domain", NULL, run_domain},
    {"set-mm", NULL, run_set_mm},
    {"power-number", NULL, run_number},
    {"power-kill", prepare_nobodys, run_kill},
    {0},
};
