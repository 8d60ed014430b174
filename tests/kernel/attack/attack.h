/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The attacks of the kernel tests: one static program, one file per family.
 *
 * An attack is a function that tries one thing in the process it is called in.
 * It returns 0 if the thing worked, and -errno if the kernel refused it. If
 * something before the step in question fails, it calls unattempted(), because
 * then nothing was learned.
 */
#ifndef KILN_ATTACK_H
#define KILN_ATTACK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct attack {
	const char *name;
	/* Runs before the process enters the confined unit, still unconfined; may be NULL. */
	void (*prepare)(int argc, char **argv);
	int (*run)(int argc, char **argv);
};

/* Programs that an attack manages to execute end with this status: the proof that they ran. */
#define RAN 42

/* Families end with a null name. */
extern const struct attack exec_attacks[], loader_attacks[], memory_attacks[], file_attacks[], inode_attacks[],
    mount_attacks[], net_attacks[], unix_attacks[], uring_attacks[], kernel_attacks[], escape_attacks[], self_attacks[],
    story_attacks[], thread_attacks[], route_attacks[], group_attacks[], path_attacks[], box_attacks[],
    detour_attacks[], program_attacks[], held_attacks[], peer_attacks[], reach_attacks[], keep_attacks[],
    hook_attacks[], guard_attacks[], lost_attacks[], second_attacks[], third_attacks[], fourth_attacks[],
    fifth_attacks[], sixth_attacks[], caught_attacks[], eighth_attacks[], protocol_attacks[], datagram_attacks[],
    limit_attacks[], dns_attacks[], user_attacks[], ring_attacks[], old_attacks[], power_attacks[], door_attacks[],
    wire_attacks[], stretch_attacks[];

/* The path of this process in the unified hierarchy of cgroups; other cases mount further ones. */
const char *own_cgroup(void);

/* Ends the process: the attack could not be tried. */
__attribute__((noreturn, format(printf, 1, 2))) void unattempted(const char *format, ...);
/* Ends the process: refused in a way that has no errno, such as a truncated message. */
__attribute__((noreturn)) void refused(const char *token);

/* 0 or -errno of a system call that has just returned. */
static inline int outcome(long result)
{
	return result < 0 ? -errno : 0;
}

/* By its name; NULL: there is none. */
const struct attack *find_attack(const char *name);
/* The attack's argument by place (from 0), or unattempted(). */
const char *argument(int argc, char **argv, int place);
/* Runs `attack` in a child of the same confinement: what it returned, or 0 if it ended with RAN. */
int in_child(int (*attack)(void *), void *context);
/* Waits for a child: 0 if it ended with RAN; its errno if it ended through child_end(). */
int child_result(pid_t child);
/* Sandboxes this process as systemd does a unit's; ends it if that fails. */
void sandbox(void);
/* kt private PROGRAM [ARGUMENT]... */
int private(int argc, char **argv);
/* What the interpreter of a program that was given to it as a descriptor (AT_EXECFD) ends with. */
int read_given(void);
/* Submits one entry, or some, to a new io_uring: 0 or the last one's -errno. */
struct io_uring_sqe;
int ring_request(const struct io_uring_sqe *entry);
int ring_requests(const struct io_uring_sqe *entry, unsigned int count);
/* Ends a child of in_child()'s kind with what it has to say. */
__attribute__((noreturn)) void child_end(int result);

#endif
