/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is measured. */
#ifndef KILN_COST_OPERATIONS_H
#define KILN_COST_OPERATIONS_H

struct operation {
	const char *name;
	void (*turn)(void);
	int turns; /* of a round */
};

#define OPERATIONS 12
extern const struct operation operations[OPERATIONS];

/* Says what failed, and ends the process. */
void fail(const char *what) __attribute__((noreturn));

/* Makes the sockets and files that the operations use; by the process that measures, after it is confined. */
void prepare_operations(void);

/* The rules of policy.pdl, as far as Landlock has them, for this process; and so many more, for files of /srv/app. */
void restrict_by_landlock(long more);

#endif
