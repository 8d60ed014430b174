/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kiln's own maps, pins and agent. Baselines point these at things that are not Kiln's. */
#include "attack.h"
#include <dirent.h>
#include <linux/bpf.h>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>

static long bpf(int command, union bpf_attr *request)
{
	return syscall(SYS_bpf, command, request, sizeof(*request));
}

/* Some file of a folder, found before the process is confined. */
static char found[512];

static void prepare_one(int argc, char **argv)
{
	const char *folder = argument(argc, argv, 0);
	DIR *open = opendir(folder);
	struct dirent *entry;

	if (!open)
		unattempted("opening %s", folder);
	while ((entry = readdir(open)))
		if (entry->d_name[0] != '.')
			snprintf(found, sizeof(found), "%s/%s", folder, entry->d_name);
	closedir(open);
	if (!found[0])
		unattempted("%s is empty", folder);
}

static int run_unlink_one(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(unlink(found));
}

static int run_rename_one(int argc, char **argv)
{
	char to[600];

	(void)argc;
	(void)argv;
	snprintf(to, sizeof(to), "%s-renamed", found);
	return outcome(rename(found, to));
}

/* bpf-get-one FOLDER: a descriptor of a pinned object. */
static int run_bpf_get_one(int argc, char **argv)
{
	union bpf_attr request = {0};

	(void)argc;
	(void)argv;
	request.pathname = (uintptr_t)found;
	return outcome(bpf(BPF_OBJ_GET, &request));
}

/* bpf-map-by-id PREFIX: a descriptor of any map whose name starts so, found by walking the ids. */
static int run_bpf_map_by_id(int argc, char **argv)
{
	const char *prefix = argument(argc, argv, 0);
	union bpf_attr next = {0};
	int refusal = 0;

	while (bpf(BPF_MAP_GET_NEXT_ID, &next) == 0) {
		union bpf_attr request = {.map_id = next.next_id};
		struct bpf_map_info info = {0};
		int map = (int)bpf(BPF_MAP_GET_FD_BY_ID, &request);

		next.start_id = next.next_id;
		if (map < 0) {
			refusal = -errno;
			continue;
		}
		request = (union bpf_attr){.info.bpf_fd = (uint32_t)map, .info.info_len = sizeof(info)};
		request.info.info = (uintptr_t)&info;
		if (bpf(BPF_OBJ_GET_INFO_BY_FD, &request) == 0 && strncmp(info.name, prefix, strlen(prefix)) == 0)
			return 0;
		close(map);
	}
	/* The walk itself is refused, or each map; without either there was none. */
	if (!refusal && errno == ENOENT)
		unattempted("no map is named %s", prefix);
	return refusal ? refusal : -errno;
}

/* bpf-link-detach: detaches every link it can get by id. */
static int run_bpf_link_detach(int argc, char **argv)
{
	union bpf_attr next = {0};
	int refusal = 0, seen = 0;

	(void)argc;
	(void)argv;
	while (bpf(BPF_LINK_GET_NEXT_ID, &next) == 0) {
		union bpf_attr request = {.link_id = next.next_id};
		int link = (int)bpf(BPF_LINK_GET_FD_BY_ID, &request);

		next.start_id = next.next_id;
		seen = 1;
		if (link < 0) {
			refusal = -errno;
			continue;
		}
		return 0;
	}
	/* The walk itself is refused, or each link. */
	return seen ? refusal : -errno;
}

static pid_t pid_in(const char *path)
{
	char text[32] = "";
	int file = open(path, O_RDONLY);

	if (file < 0 || read(file, text, sizeof(text) - 1) <= 0)
		unattempted("reading %s", path);
	close(file);
	return (pid_t)atoi(text);
}

/* The second argument is a file that holds a pid; read while still unconfined. */
static pid_t agent;

static void prepare_agent(int argc, char **argv)
{
	agent = pid_in(argument(argc, argv, 0));
}

static int run_signal(int argc, char **argv)
{
	return outcome(kill(agent, atoi(argument(argc, argv, 1))));
}

static int run_signal_pidfd(int argc, char **argv)
{
	int handle = (int)syscall(SYS_pidfd_open, agent, 0);

	if (handle < 0)
		unattempted("pidfd_open");
	return outcome(syscall(SYS_pidfd_send_signal, handle, atoi(argument(argc, argv, 1)), NULL, 0));
}

static int run_trace_agent(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return outcome(ptrace(PTRACE_SEIZE, agent, NULL, NULL));
}

static int run_agent_memory(int argc, char **argv)
{
	char path[64];

	(void)argc;
	(void)argv;
	snprintf(path, sizeof(path), "/proc/%d/mem", agent);
	return outcome(open(path, O_RDWR));
}

static int is_alive(int handle)
{
	struct pollfd wait = {.fd = handle, .events = POLLIN};

	return poll(&wait, 1, 2000) == 0;
}

/* signal-by-file PIDFILE SIGNAL: the kernel sends it, because something happened to a file. */
static int run_signal_by_file(int argc, char **argv)
{
	int handle = (int)syscall(SYS_pidfd_open, agent, 0), pair[2];

	if (handle < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		unattempted("pidfd_open and socketpair");
	if (fcntl(pair[0], F_SETOWN, agent) || fcntl(pair[0], F_SETSIG, atoi(argument(argc, argv, 1))) ||
	    fcntl(pair[0], F_SETFL, O_ASYNC))
		unattempted("fcntl");
	if (write(pair[1], "x", 1) != 1)
		unattempted("write");
	return is_alive(handle) ? -EPERM : 0;
}

/* A limit that ends who is over it. */
static int run_limit_agent(int argc, char **argv)
{
	struct rlimit none = {.rlim_cur = 0, .rlim_max = 1};

	(void)argc;
	(void)argv;
	return outcome(prlimit(agent, RLIMIT_CPU, &none, NULL));
}

/* steal-descriptor PIDFILE: any that it has open. */
static int run_steal_descriptor(int argc, char **argv)
{
	int handle = (int)syscall(SYS_pidfd_open, agent, 0);

	(void)argc;
	(void)argv;
	if (handle < 0)
		unattempted("pidfd_open");
	return outcome(syscall(SYS_pidfd_getfd, handle, 0, 0));
}

const struct attack self_attacks[] = {
    {"unlink-one", prepare_one, run_unlink_one},
    {"rename-one", prepare_one, run_rename_one},
    {"bpf-get-one", prepare_one, run_bpf_get_one},
    {"bpf-map-by-id", NULL, run_bpf_map_by_id},
    {"bpf-link-detach", NULL, run_bpf_link_detach},
    {"signal", prepare_agent, run_signal},
    {"signal-pidfd", prepare_agent, run_signal_pidfd},
    {"trace-agent", prepare_agent, run_trace_agent},
    {"agent-memory", prepare_agent, run_agent_memory},
    {"signal-by-file", prepare_agent, run_signal_by_file},
    {"limit-agent", prepare_agent, run_limit_agent},
    {"steal-descriptor", prepare_agent, run_steal_descriptor},
    {0},
};
