/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the service of the units' test is made of: service.c the daemon, probe.c what it tries, peer.c who it talks to.
 */
#ifndef KILN_UNITS_SERVICE_H
#define KILN_UNITS_SERVICE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Programs end with this status: the proof that they ran. */
#define RAN 42

struct self {
	const char *unit, *number;
	char state[256];
	/* Descriptors from the start, for the time after an update. */
	int old_open, old_narrow, own_log;
	/* What systemd kept over a restart. */
	int stored;
};
extern struct self self;

struct probe {
	const char *name;
	/* 0 or -errno */
	int (*run)(void);
};
/* Ends with a null name. */
extern const struct probe probes[];

static inline int outcome(long result)
{
	return result < 0 ? -errno : 0;
}

/* The address of a path, or of an abstract name that begins with @. */
socklen_t address_of(const char *name, struct sockaddr_un *address);
/* A datagram, with a descriptor unless that is -1. */
int send_to(const char *name, const char *text, int fd);
/* sd_notify(3) */
int notify(const char *text, int fd);
/* Sends or receives one byte on a stream, with so many descriptors. */
int send_descriptors(int socket, const int *fds, int number);
int receive_descriptors(int socket, int *fds, int number);

int serve(void);
int poke(char **addresses);

#endif
