/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is about Kiln and has no name to open: the agent's cgroup by the calls that put a task into it. And what comes
 * once more after it was refused: of a connection, of a tracer.
 */
#include "address.h"
#include "attack.h"
#include <linux/sched.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>

static int lives_in(pid_t process, const char *cgroup)
{
	char path[64], line[512] = "";
	const char *name = strrchr(cgroup, '/');
	int file;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", process);
	file = open(path, O_RDONLY);
	if (file < 0 || read(file, line, sizeof(line) - 1) <= 0)
		unattempted("%s", path);
	close(file);
	return strstr(line, name) != NULL;
}

/* born-in CGROUP: a child that lives there from the first. */
static int run_born_in(int argc, char **argv)
{
	struct clone_args request = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
	const char *cgroup = argument(argc, argv, 0);
	int folder = open(cgroup, O_PATH | O_DIRECTORY), there;
	long child;

	if (folder < 0)
		unattempted("open %s", cgroup);
	request.cgroup = (uint64_t)folder;
	child = syscall(SYS_clone3, &request, sizeof(request));
	if (child < 0)
		return -errno;
	if (child == 0) {
		sleep(30);
		_exit(0);
	}
	there = lives_in((pid_t)child, cgroup);
	kill((pid_t)child, SIGKILL);
	waitpid((pid_t)child, NULL, 0);
	if (!there)
		unattempted("born elsewhere");
	return 0;
}

/* grow CGROUP: makes one below it. */
static int run_grow(int argc, char **argv)
{
	const char *cgroup = argument(argc, argv, 0);
	char path[512];

	snprintf(path, sizeof(path), "%s/grown", cgroup);
	if (mkdir(path, 0755))
		return -errno;
	rmdir(path);
	return 0;
}

/* enter-below CGROUP: lives in one below it that somebody else has made. */
static int run_enter_below(int argc, char **argv)
{
	char path[512];
	int procs;

	snprintf(path, sizeof(path), "%s/cgroup.procs", argument(argc, argv, 0));
	procs = open(path, O_WRONLY);
	return procs < 0 ? -errno : outcome(write(procs, "0", 1));
}

static int encrypt(int peer, int direction)
{
	struct tls12_crypto_info_aes_gcm_128 keys = {
	    .info = {.version = TLS_1_2_VERSION, .cipher_type = TLS_CIPHER_AES_GCM_128}};

	if (setsockopt(peer, IPPROTO_TCP, TCP_ULP, "tls", 4))
		return -errno;
	return outcome(setsockopt(peer, 282 /* SOL_TLS */, direction, &keys, sizeof(keys)));
}

static int waiting;

/* sealed-tls ADDRESS PORT FROM: somebody waits on a listener from before, and says one letter by the kernel's TLS. */
static void prepare_sealed(int argc, char **argv)
{
	struct sockaddr_storage at, from;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);
	int on = 1, client = socket(at.ss_family, SOCK_STREAM, 0);

	place(argument(argc, argv, 2), "0", &from);
	waiting = socket(at.ss_family, SOCK_STREAM, 0);
	setsockopt(waiting, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(waiting, (struct sockaddr *)&at, length) || listen(waiting, 8) ||
	    bind(client, (struct sockaddr *)&from, length) || connect(client, (struct sockaddr *)&at, length))
		unattempted("a client");
	if (encrypt(client, TLS_TX))
		unattempted("the kernel's TLS");
	if (send(client, "s", 1, MSG_NOSIGNAL) != 1)
		unattempted("send");
}

static int run_sealed(int argc, char **argv)
{
	int ends[2], peer = -1, result;

	(void)argc;
	(void)argv;
	if (pipe(ends))
		unattempted("pipe");
	for (int turn = 0; turn < 4 && peer < 0; turn++)
		peer = accept(waiting, NULL, NULL);
	if (peer < 0)
		return -errno;
	result = encrypt(peer, TLS_RX);
	if (result)
		return result;
	return splice(peer, NULL, ends[1], NULL, 1, 0) == 1 ? 0 : -errno;
}

/* Two messages to one address by one call; the control data of `type` comes with those from `first` on. */
static int send_two(struct sockaddr_in *to, int type, const void *data, size_t size, int first)
{
	unsigned char space[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0};
	struct iovec vector = {.iov_base = (char *)"x", .iov_len = 1};
	int client = socket(AF_INET, SOCK_DGRAM, 0);
	struct mmsghdr messages[2] = {0};
	struct cmsghdr *header;

	for (int i = 0; i < 2; i++) {
		messages[i].msg_hdr.msg_name = to;
		messages[i].msg_hdr.msg_namelen = sizeof(*to);
		messages[i].msg_hdr.msg_iov = &vector;
		messages[i].msg_hdr.msg_iovlen = 1;
		if (i < first)
			continue;
		messages[i].msg_hdr.msg_control = space;
		messages[i].msg_hdr.msg_controllen = CMSG_SPACE(size);
	}
	header = CMSG_FIRSTHDR(&messages[1].msg_hdr);
	header->cmsg_level = SOL_IP;
	header->cmsg_type = type;
	header->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(header), data, size);
	switch (sendmmsg(client, messages, 2, 0)) {
	case 2:
		return 0;
	case 1:
		return sendmsg(client, &messages[1].msg_hdr, 0) == 1 ? 0 : -errno;
	default:
		return -errno;
	}
}

static int receiver;

/* many-own ADDRESS PORT: the second message to the any-address says by its source which of the machine's that is. */
static void prepare_many_own(int argc, char **argv)
{
	struct sockaddr_storage at;
	socklen_t length = place(argument(argc, argv, 0), argument(argc, argv, 1), &at);
	struct timeval wait = {2, 0};

	receiver = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (bind(receiver, (struct sockaddr *)&at, length))
		unattempted("bind");
}

static int run_many_own(int argc, char **argv)
{
	struct sockaddr_storage at;
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct in_pktinfo source = {0};
	char letter;
	int result;

	place(argument(argc, argv, 0), argument(argc, argv, 1), &at);
	to.sin_port = ((struct sockaddr_in *)&at)->sin_port;
	source.ipi_spec_dst = ((struct sockaddr_in *)&at)->sin_addr;
	result = send_two(&to, IP_PKTINFO, &source, sizeof(source), 1);
	return result ? result : recv(receiver, &letter, 1, 0) == 1 ? 0 : -errno;
}

/* many-marked ADDRESS PORT: two messages with control data that leads nowhere else. */
static int run_many_marked(int argc, char **argv)
{
	struct sockaddr_storage at;
	int service = 0x10;

	place(argument(argc, argv, 0), argument(argc, argv, 1), &at);
	return send_two((struct sockaddr_in *)&at, IP_TOS, &service, sizeof(service), 0);
}

/* last-word GO: a tracer from before GO sets the registers of whom it traces; 0 if that one does as it was told. */
static int run_last_word(int argc, char **argv)
{
	const char *go = argument(argc, argv, 0);
	char ready[512];
	int status;
	pid_t other = fork(), tracer;

	if (other == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	tracer = fork();
	if (tracer == 0) {
		struct user_regs_struct registers;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (ptrace(PTRACE_ATTACH, other, NULL, NULL) || waitpid(other, &status, __WALL) != other ||
		    ptrace(PTRACE_GETREGS, other, NULL, &registers))
			_exit(3);
		snprintf(ready, sizeof(ready), "%s.ready", go);
		close(open(ready, O_CREAT | O_WRONLY, 0644));
		while (access(go, F_OK))
			usleep(20000);
		/* It was stopped within a call: there it calls once more. */
		registers.rip -= 2;
		registers.rax = SYS_exit_group;
		registers.rdi = RAN;
		registers.orig_rax = ~0ul;
		ptrace(PTRACE_SETREGS, other, NULL, &registers);
		_exit(0);
	}
	if (waitpid(tracer, &status, 0) != tracer || (WIFEXITED(status) && WEXITSTATUS(status) == 3))
		unattempted("tracing");
	for (int turn = 0; turn < 20; turn++) {
		if (waitpid(other, &status, WNOHANG) == other)
			return WIFEXITED(status) && WEXITSTATUS(status) == RAN ? 0 : -ECHILD;
		usleep(100000);
	}
	kill(other, SIGKILL);
	return -EPERM;
}

const struct attack fifth_attacks[] = {
    {"born-in", NULL, run_born_in},
    {"grow-below", NULL, run_grow},
    {"enter-below", NULL, run_enter_below},
    {"sealed-tls", prepare_sealed, run_sealed},
    {"many-own", prepare_many_own, run_many_own},
    {"many-marked", NULL, run_many_marked},
    {"last-word", NULL, run_last_word},
    {0},
};
