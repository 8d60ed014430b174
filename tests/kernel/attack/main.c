/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * kt run --case NAME --phase PHASE [--unit DIRECTORY] [--user root|nobody] [--sandbox] -- ATTACK [ARGUMENT]...
 *
 * Forks a process, sandboxes it if asked to, prepares the attack in it, changes its user, moves it into the unit's
 * cgroup, lets it attack, and writes one line:
 *
 *   kt-result NAME PHASE USER STATE TOKEN TEXT
 *
 * STATE is worked, refused (TOKEN: the errno's name), unattempted or killed (TOKEN: the signal's number).
 * The verdict travels in shared memory, so that a confined attack needs no permission to report.
 *
 * `kt then PROGRAM` executes PROGRAM, or ends with the errno: an attack's second step, after a first exec.
 *
 * Called by another name than kt, the program is a victim that proves it ran: it ends with status RAN.
 */
#include "attack.h"
#include "model.h"
#include <grp.h>
#include <libgen.h>
#include <stdarg.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum state { UNSET, WORKED, REFUSED, UNATTEMPTED };
static struct report {
	int state;
	int error;
	char token[32];
	char text[200];
} * report;

void unattempted(const char *format, ...)
{
	int error = errno;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(report->text, sizeof(report->text), format, arguments);
	va_end(arguments);
	snprintf(report->text + strlen(report->text), sizeof(report->text) - strlen(report->text), " (errno %s)",
		 strerrorname_np(error) ?: "0");
	report->state = UNATTEMPTED;
	_exit(2);
}

void refused(const char *token)
{
	snprintf(report->token, sizeof(report->token), "%s", token);
	report->state = REFUSED;
	_exit(1);
}

const char *argument(int argc, char **argv, int place)
{
	if (place + 1 >= argc)
		unattempted("argument %d of %s is missing", place, argv[0]);
	return argv[place + 1];
}

void child_end(int result)
{
	_exit(result == 0 ? RAN : -result < 128 && -result != RAN ? -result : 127);
}

int child_result(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) < 0)
		unattempted("waitpid");
	if (WIFSIGNALED(status))
		unattempted("child ended by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) == RAN)
		return 0;
	return -WEXITSTATUS(status);
}

int in_child(int (*attack)(void *), void *context)
{
	pid_t child = fork();

	if (child < 0)
		unattempted("fork");
	if (child == 0)
		child_end(attack(context));
	return child_result(child);
}

const struct attack *find_attack(const char *name)
{
	static const struct attack *const families[] = {
	    exec_attacks,   loader_attacks,  memory_attacks, file_attacks,   inode_attacks,    mount_attacks,
	    net_attacks,    unix_attacks,    uring_attacks,  kernel_attacks, escape_attacks,   self_attacks,
	    story_attacks,  thread_attacks,  route_attacks,  group_attacks,  path_attacks,     box_attacks,
	    detour_attacks, program_attacks, held_attacks,   peer_attacks,   reach_attacks,    keep_attacks,
	    hook_attacks,   guard_attacks,   lost_attacks,   second_attacks, third_attacks,    fourth_attacks,
	    fifth_attacks,  sixth_attacks,   caught_attacks, eighth_attacks, protocol_attacks, datagram_attacks,
	    limit_attacks,  dns_attacks,     user_attacks,   ring_attacks,   old_attacks,      power_attacks,
	    door_attacks,   wire_attacks,    stretch_attacks};

	for (size_t family = 0; family < sizeof(families) / sizeof(*families); family++)
		for (const struct attack *attack = families[family]; attack->name; attack++)
			if (strcmp(attack->name, name) == 0)
				return attack;
	return NULL;
}

static void enter_unit(const char *unit, pid_t child)
{
	char path[4096];
	char number[16];
	int procs;

	snprintf(path, sizeof(path), "%s/cgroup.procs", unit);
	procs = open(path, O_WRONLY | O_CLOEXEC);
	if (procs < 0 || write(procs, number, snprintf(number, sizeof(number), "%d", child)) < 0)
		unattempted("entering %s", unit);
	close(procs);
}

static void become(const char *user)
{
	if (strcmp(user, "root") == 0)
		return;
	if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
		unattempted("setuid");
	/* A process that changed its user may not look into its own /proc files, unlike one that began as that user. */
	prctl(PR_SET_DUMPABLE, 1);
}

static int run(int argc, char **argv)
{
	const char *name = NULL, *phase = NULL, *unit = NULL, *user = "root";
	const struct attack *attack;
	int at = 2, status, ready[2], go[2], sandboxed = 0;
	pid_t child;
	char byte;

	for (; at + 1 < argc && strcmp(argv[at], "--"); at += 2) {
		if (strcmp(argv[at], "--sandbox") == 0) {
			sandboxed = 1;
			at--;
			continue;
		}
		if (strcmp(argv[at], "--case") == 0)
			name = argv[at + 1];
		else if (strcmp(argv[at], "--phase") == 0)
			phase = argv[at + 1];
		else if (strcmp(argv[at], "--unit") == 0)
			unit = argv[at + 1];
		else if (strcmp(argv[at], "--user") == 0)
			user = argv[at + 1];
	}
	if (!name || !phase || at + 1 >= argc) {
		fprintf(stderr, "kt: --case, --phase and an attack are needed\n");
		return 2;
	}
	argv += at + 1;
	argc -= at + 1;
	attack = find_attack(argv[0]);
	report = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!attack || report == MAP_FAILED || pipe2(ready, O_CLOEXEC) || pipe2(go, O_CLOEXEC)) {
		fprintf(stderr, "kt: no attack named %s\n", argv[0]);
		return 2;
	}
	child = fork();
	if (child == 0) {
		int result;

		close(go[1]);
		close(ready[0]);
		/* Nothing here takes long; a hanging attack is one that did not work. */
		alarm(30);
		if (sandboxed)
			sandbox();
		if (attack->prepare)
			attack->prepare(argc, argv);
		become(user);
		if (write(ready[1], "r", 1) != 1 || read(go[0], &byte, 1) != 1)
			unattempted("the launcher went away");
		result = attack->run(argc, argv);
		report->state = result == 0 ? WORKED : REFUSED;
		report->error = -result;
		_exit(result == 0 ? 0 : 1);
	}
	close(ready[1]);
	close(go[0]);
	if (read(ready[0], &byte, 1) == 1) {
		if (unit) {
			if (mkdir(unit, 0755) && errno != EEXIST)
				fprintf(stderr, "kt: mkdir %s: %s\n", unit, strerror(errno));
			enter_unit(unit, child);
		}
		(void)!write(go[1], "g", 1);
	}
	if (waitpid(child, &status, 0) != child)
		return 2;
	if (report->state == REFUSED && !report->token[0])
		snprintf(report->token, sizeof(report->token), "%s", strerrorname_np(report->error) ?: "unknown");
	/* An attack that executed its target left no report, but the target's status; one that went through `kt then`,
	 * the errno by which that was refused. */
	if (report->state == UNSET && WIFEXITED(status) && WEXITSTATUS(status) == RAN)
		report->state = WORKED;
	if (report->state == UNSET && WIFEXITED(status) && WEXITSTATUS(status) > 0 && WEXITSTATUS(status) < 128) {
		report->state = REFUSED;
		snprintf(report->token, sizeof(report->token), "%s", strerrorname_np(WEXITSTATUS(status)) ?: "unknown");
	}
	if (report->state == UNSET && WIFSIGNALED(status))
		printf("kt-result %s %s %s killed %d -\n", name, phase, user, WTERMSIG(status));
	else if (report->state == WORKED)
		printf("kt-result %s %s %s worked - -\n", name, phase, user);
	else if (report->state == REFUSED)
		printf("kt-result %s %s %s refused %s -\n", name, phase, user, report->token);
	else
		printf("kt-result %s %s %s unattempted - %s\n", name, phase, user,
		       report->state == UNSET ? "no report" : report->text);
	return 0;
}

int main(int argc, char **argv)
{
	if (getauxval(AT_EXECFD))
		return read_given();
	if (argc > 1 && strcmp(argv[1], "model-worker") == 0)
		return model_worker(argc, argv);
	if (strcmp(basename(argv[0]), "kt") != 0)
		return RAN;
	if (argc > 1 && strcmp(argv[1], "model") == 0)
		return model(argc, argv);
	if (argc > 1 && strcmp(argv[1], "run") == 0)
		return run(argc, argv);
	if (argc > 2 && strcmp(argv[1], "private") == 0)
		return private(argc - 2, argv + 2);
	if (argc > 2 && strcmp(argv[1], "reads") == 0) {
		int file = open(argv[2], O_RDONLY);

		child_end(file < 0 ? -errno : 0);
	}
	if (argc > 2 && strcmp(argv[1], "then") == 0) {
		execv(argv[2], argv + 2);
		return errno;
	}
	fprintf(stderr, "usage: kt run --case NAME --phase PHASE [--unit DIRECTORY] [--user USER] -- ATTACK...\n");
	return 2;
}
