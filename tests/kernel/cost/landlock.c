/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The rules of policy.pdl, as far as Landlock has them: files by the folder above, ports from its fourth version on. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "operations.h"

/* Debian 12's header is of the second version. */
#define BIND_TCP (1ull << 0)
#define CONNECT_TCP (1ull << 1)
#define RULE_PORT 2
struct ruleset {
	uint64_t files, ports;
};
struct port_rule {
	uint64_t access, port;
};

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ALL ((1ull << 14) - 1)

static void permit_below(int rules, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access,
						  .parent_fd = open(path, O_PATH | O_CLOEXEC)};

	if (rule.parent_fd < 0 || syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		fail(path);
	close(rule.parent_fd);
}

static void permit_port(int rules, uint64_t access, uint64_t port)
{
	struct port_rule rule = {access, port};

	if (syscall(SYS_landlock_add_rule, rules, RULE_PORT, &rule, 0))
		fail("a port's rule");
}

/* A file that a further rule is for: Landlock's rules are of files that there are. */
static const char *made(long at)
{
	static char path[100];
	int file;

	snprintf(path, sizeof(path), "/srv/app/%ld", at / 100);
	mkdir("/srv", 0755);
	mkdir("/srv/app", 0755);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "/srv/app/%ld/page-%ld.html", at / 100, at);
	file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (file < 0)
		fail(path);
	close(file);
	return path;
}

void restrict_by_landlock(long more)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int ports = version >= 4, rules;
	struct ruleset handled = {ALL, ports ? BIND_TCP | CONNECT_TCP : 0};
	static const char *const read[] = {"/etc", "/usr/share/nginx", "/proc", "/sys"};

	rules = (int)syscall(SYS_landlock_create_ruleset, &handled, ports ? 16 : 8, 0);
	if (version < 2 || rules < 0)
		fail("landlock");
	permit_below(rules, "/usr/sbin/nothing", LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE);
	for (unsigned at = 0; at < sizeof(read) / sizeof(*read); at++)
		permit_below(rules, read[at], READ);
	permit_below(rules, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
	permit_below(rules, "/var/lib/nginx", ALL & ~LANDLOCK_ACCESS_FS_EXECUTE);
	for (long at = 0; at < more; at++)
		permit_below(rules, made(at), LANDLOCK_ACCESS_FS_READ_FILE);
	if (ports) {
		permit_port(rules, BIND_TCP | CONNECT_TCP, 80);
		permit_port(rules, BIND_TCP, 443);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_landlock_restrict_self, rules, 0))
		fail("landlock_restrict_self");
	close(rules);
}
