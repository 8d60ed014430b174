/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Races: arguments that change while the kernel reads them (userfaultfd(2)), and links that change all the time. */
#include "attack.h"
#include <arpa/inet.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/*
 * Two pages: the kernel reads the first, waits for the second, and meanwhile the first is changed. The text goes to the
 * end of the first page, so that its end is in the second; or `gap` bytes before that, so that it is read whole.
 */
static struct stretch {
	int faults;
	char *pages, *text;
	size_t length;
	char after[128];
	char second[64];
} held;

static void *let_go(void *unused)
{
	static char page[4096] __attribute__((aligned(4096)));
	struct pollfd waiting = {.fd = held.faults, .events = POLLIN};
	struct uffd_msg fault;
	struct uffdio_copy copy = {.dst = (uintptr_t)held.pages + 4096, .src = (uintptr_t)page, .len = 4096};

	(void)unused;
	if (poll(&waiting, 1, 5000) != 1 || read(held.faults, &fault, sizeof(fault)) != sizeof(fault))
		unattempted("no fault");
	memcpy(held.text, held.after, held.length);
	memcpy(page, held.second, sizeof(held.second));
	if (ioctl(held.faults, UFFDIO_COPY, &copy))
		unattempted("UFFDIO_COPY");
	return NULL;
}

static void stretch(const void *before, const void *after, size_t length, size_t gap, const char *second)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register watched = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	pthread_t thread;

	held.pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	held.faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (held.pages == MAP_FAILED || held.faults < 0 || ioctl(held.faults, UFFDIO_API, &api))
		unattempted("userfaultfd");
	watched.range.start = (uintptr_t)held.pages + 4096;
	watched.range.len = 4096;
	if (ioctl(held.faults, UFFDIO_REGISTER, &watched))
		unattempted("UFFDIO_REGISTER");
	held.text = held.pages + 4096 - length - gap;
	memcpy(held.text, before, length);
	memcpy(held.after, after, length);
	snprintf(held.second, sizeof(held.second), "%s", second);
	held.length = length;
	if (pthread_create(&thread, NULL, let_go, NULL))
		unattempted("a thread");
}

/* stretched-open FIRST THEN: the path, of which the last byte comes late; both are as long. */
static int run_open(int argc, char **argv)
{
	const char *first = argument(argc, argv, 0), *then = argument(argc, argv, 1);
	size_t length = strlen(first);
	char byte;
	int file;

	if (length != strlen(then) || length >= sizeof(held.after))
		unattempted("paths of different lengths");
	stretch(first, then, length, 0, "");
	file = open(held.text, O_RDONLY);
	if (file < 0)
		return -errno;
	if (read(file, &byte, 1) != 1)
		return -errno;
	return byte == 's' ? 0 : -EAGAIN;
}

/* stretched-exec FIRST THEN: the words of the program come late, when the path is read already. */
static int run_exec(int argc, char **argv)
{
	const char *first = argument(argc, argv, 0), *then = argument(argc, argv, 1);
	size_t length = strlen(first) + 1;
	char *arguments[2];

	if (length != strlen(then) + 1 || length >= sizeof(held.after))
		unattempted("paths of different lengths");
	stretch(first, then, length, 64, "x");
	arguments[0] = held.pages + 4096;
	arguments[1] = NULL;
	execve(held.text, arguments, NULL);
	return -errno;
}

/* stretched-send ADDRESS PORT OTHER: to PORT, which is OTHER when the payload is read. */
static int run_send(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argument(argc, argv, 1)))};
	struct sockaddr_in other = to;
	struct iovec vector = {.iov_len = 1};
	struct msghdr message = {.msg_namelen = sizeof(to), .msg_iov = &vector, .msg_iovlen = 1};

	if (inet_pton(AF_INET, argument(argc, argv, 0), &to.sin_addr) != 1)
		unattempted("an address");
	other.sin_addr = to.sin_addr;
	other.sin_port = htons((uint16_t)atoi(argument(argc, argv, 2)));
	stretch(&to, &other, sizeof(to), 0, "x");
	message.msg_name = held.text;
	vector.iov_base = held.pages + 4096;
	return outcome(sendmsg(socket(AF_INET, SOCK_DGRAM, 0), &message, 0));
}

/* swapped-VERB LINK ONE OTHER: a process outside the policy turns LINK from one to the other all the time. */
static void prepare_turning(int argc, char **argv)
{
	const char *link = argument(argc, argv, 0);
	char next[256];

	snprintf(next, sizeof(next), "%s.next", link);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int turn = 0;; turn++) {
			unlink(next);
			if (symlink(argument(argc, argv, 1 + turn % 2), next) || rename(next, link))
				_exit(1);
		}
	}
	usleep(20000);
}

static int run_swapped_read(int argc, char **argv)
{
	char path[256], byte;
	int refusals = 0;

	snprintf(path, sizeof(path), "%s/f", argument(argc, argv, 0));
	for (int turn = 0; turn < 3000; turn++) {
		int file = open(path, O_RDONLY);

		if (file < 0)
			refusals += errno == EPERM;
		else if (read(file, &byte, 1) == 1 && byte == 's')
			return 0;
		if (file >= 0)
			close(file);
		if (turn % 50 == 49)
			usleep(500);
	}
	return refusals ? -EPERM : -EAGAIN;
}

static int run_swapped_chmod(int argc, char **argv)
{
	char path[256];
	int refusals = 0;

	snprintf(path, sizeof(path), "%s/f", argument(argc, argv, 0));
	for (int turn = 0; turn < 3000; turn++) {
		int file = open(path, O_PATH);
		char name[64], at[64] = "";

		/* What it leads to now is what is changed, or refused, by the descriptor. */
		snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
		(void)!readlink(name, at, sizeof(at) - 1);
		if (file >= 0 && strstr(at, "/secret/")) {
			if (chmod(name, 0666) == 0)
				return 0;
			refusals += errno == EPERM;
		}
		close(file);
		if (turn % 50 == 49)
			usleep(500);
	}
	return refusals ? -EPERM : -EAGAIN;
}

const struct attack stretch_attacks[] = {
    {"stretched-open", NULL, run_open},
    {"stretched-exec", NULL, run_exec},
    {"stretched-send", NULL, run_send},
    {"swapped-read", prepare_turning, run_swapped_read},
    {"swapped-chmod", prepare_turning, run_swapped_chmod},
    {0},
};
