/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every map. The agent pins them under /sys/fs/bpf/kiln by these names. */
#ifndef KILN_MAPS_H
#define KILN_MAPS_H

/* Room for one path, forwards at `path[pos]`, and one event. */
struct kiln_scratch {
	u32 busy;
	u32 pad;
	u64 pos;
	/* The walk towards the root, as kernel addresses: where it is, and what it knows of the mount it is on. */
	u64 dentry, mount, parent, mountpoint, root, found;
	/* The mount that was last seen to be a namespace's root, and the namespace's `event` then: most paths end
	 * there.
	 */
	u64 top_ns, top_mnt, top_event;
	/* What is asked for, and the search for the task's own mount of it (elsewhere.h). */
	u64 asked, asked_mount, sb, top, at, up, seek, goal, best, rank;
	u64 space, left; /* the namespace that is searched, and for how many steps yet */
	/* The machine's own namespace, and that mount of it which was last seen to be its file system's first (host.h).
	 */
	u64 host_ns, host_mnt, host_event, instance;
	u8 before[8]; /* path[-1] may be written */
	/* Components are written from the end; the slack lets the verifier see that a 255-byte name always fits. */
	u8 path[KILN_PATH_MAX + 256];
	struct kiln_event event;
};

/*
 * By which mount a task changes something, where the hook that decides it knows only the dentry (wanted.h). Or, where
 * the lowest bit of `task` is set, the open files of the process that it last looked at, if that is bound as it is
 * (theirs.bpf.c).
 */
struct kiln_want {
	u64 task, mnt;
	u32 id; /* of the mount */
	u32 pad;
};
#define KILN_WANTS 4096u

struct kiln_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct kiln_tables)); /* clang 14 leaves the type of an inner map out of BTF */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, KILN_GENERATIONS);
	__type(key, u32);
	__array(values, struct kiln_inner);
} kiln_tables_outer SEC(".maps");

/*
 * Mapped by the agent: bpf(2) copies a value as it likes, a store to the mapping is one aligned word. As a variable it
 * is read without a look-up; libbpf makes a map of its section, which is pinned as kiln_state.
 */
struct kiln_state kiln_state SEC(".data.state") = {.active = KILN_INACTIVE};

/* Pinned as kiln_groups, mapped by the agent. Marks are written under the kernel's cgroup_mutex. */
struct kiln_groups kiln_groups SEC(".bss.groups");

/* Pinned as kiln_clock, mapped by the agent. */
struct kiln_clock kiln_clock SEC(".bss.clock");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kiln_task);
} kiln_labels SEC(".maps");

/* Of an io_uring's inode: the label of who made it. */
struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u32);
} kiln_rings SEC(".maps");

/* Of a task within execve(2): the label to which what it executes switches. */
struct kiln_switch {
	u32 label;
	u32 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kiln_switch);
} kiln_switches SEC(".maps");

/* Id of a unit's cgroup -> label. An entry is made with the cgroup and goes with it. Preallocated: adding one can't
 * lack memory. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, u32);
} kiln_cgroups SEC(".maps");

/* By label; the agent's. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KILN_SLOTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct kiln_limit);
} kiln_limits SEC(".maps");

/* By the id of a unit's cgroup, as kiln_cgroups. An entry is made with its first packet and goes with the cgroup. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct kiln_traffic);
} kiln_traffics SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KILN_QUARANTINES);
	__type(key, struct kiln_quarantine_key);
	__type(value, struct kiln_quarantine);
} kiln_quarantined SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KILN_THROTTLES);
	__type(key, u64);
	__type(value, struct kiln_throttle);
} kiln_throttled SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kiln_listener);
} kiln_listeners SEC(".maps");

/* Who receives datagrams by a socket, and to whom it has sent (datagram.bpf.c). */
#define KILN_RECEIVERS 4
#define KILN_SENT 32u
struct kiln_receiver {
	u32 label[KILN_RECEIVERS]; /* from the first on; none: that of the cgroup in which the socket was made */
	u32 pid;		   /* of who received or bound last */
	u32 next;		   /* place in `sent` */
	u64 since;		   /* when a label was added last */
	u64 told;		   /* when something was reported last */
	u32 dirty;		   /* what waits may have come before that */
	u32 pad;
	struct {
		u64 address[2];
		u32 port; /* with a bit above it, so that none is 0 */
		u32 pad;
	} sent[KILN_SENT];
};
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kiln_receiver);
} kiln_receivers SEC(".maps");

/* Whom the machine asks for addresses; the agent's. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kiln_resolvers);
} kiln_servers SEC(".maps");

/* What name servers have answered. The programs' alone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KILN_LEARNED_PLACES);
	__type(key, u32);
	__type(value, struct kiln_learned);
} kiln_names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} kiln_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KILN_C_COUNTERS);
	__type(key, u32);
	__type(value, u64);
} kiln_counters SEC(".maps");

/* By enum kiln_agent_word: who the agent is. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KILN_A_WORDS);
	__type(key, u32);
	__type(value, u32);
} kiln_agent_ids SEC(".maps");

/* By the thread's number: a thread that another one overwrites loses the mount, not the decision. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KILN_WANTS);
	__type(key, u32);
	__type(value, struct kiln_want);
} kiln_wants SEC(".maps");

/* What is Kiln's own, and what it rests on. The agent tells it at each load and update. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KILN_OWN_MAX);
	__type(key, struct kiln_own_key);
	__type(value, u32);
} kiln_belongings SEC(".maps");

/* Reports on the sentinel, which must arrive whoever floods kiln_events. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 14);
} kiln_proofs SEC(".maps");

/* Where the kernel's helpers are that a confined task's programs may not call (src/agent/helpers.rs); 0: not known. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KILN_HELPERS);
	__type(key, u32);
	__type(value, s32);
} kiln_helpers SEC(".maps");

/*
 * A scratch of a task's own, for when preempted tasks hold all of its CPU's. Made when it is first needed, and kept
 * until the task ends.
 */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kiln_scratch);
} kiln_spares SEC(".maps");

/*
 * KILN_SCRATCHES of each CPU; who loads it says how many CPUs there are. Not a per-CPU array: that would fill the
 * kernel's first chunk of per-CPU memory, and each new process would pay for it (mm_init() takes some).
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KILN_SCRATCHES);
	__type(key, u32);
	__type(value, struct kiln_scratch);
} kiln_scratches SEC(".maps");

#endif
