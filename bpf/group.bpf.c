/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Labels of cgroups: given to a unit's from the moment that systemd makes it, and kept by who leaves it. */

/*
 * A name that is read byte by byte where it lies: no buffer is needed, so nothing that others hold can keep a unit from
 * being recognised.
 */
struct kiln_name {
	struct kiln_tables *t;
	u64 bytes; /* address */
	u64 tail;  /* the last eight bytes */
	u32 state; /* of the automaton; read only where `t` is */
	u32 len;
	u32 ended;
};

/*
 * Zeroes of which the verifier does not know what they are: reading what is not there leaves them. The verifier of 6.1
 * takes a loop's callback for called exactly once, so of what it counts from a number that it knows it knows the end,
 * and removes what is done at any other.
 */
static __always_inline void kiln_clear(void *to, const u32 size)
{
	bpf_probe_read_kernel(to, size, NULL);
}

static long kiln_name_byte(u32 at, struct kiln_name *n)
{
	struct kiln_tables *t = n->t;
	u64 state = n->state;
	u8 bytes[8] = {};
	u8 *here = bytes;

	if (bpf_probe_read_kernel(bytes, 1, (void *)n->bytes + at))
		return 1;
	if (!bytes[0]) {
		n->ended = 1;
		return 1;
	}
	n->tail = n->tail << 8 | bytes[0];
	n->len = at + 1;
	if (t) {
		KILN_STEP(t, state, here, 0, KILN_PATH_CLASS);
		n->state = state;
	}
	return 0;
}

#define KILN_NAME_MAX 256 /* NAME_MAX of include/uapi/linux/limits.h, and the end */
#define KILN_DOT_SLICE 0x2e736c696365ull

static __always_inline u64 kiln_group_name(struct cgroup *group)
{
	return (u64)BPF_CORE_READ(group, kn, name);
}

struct kiln_slices {
	struct cgroup *group;
	u32 level, only;
};

/* Whether the ancestor at a level is a slice. */
static long kiln_slice(u32 at, struct kiln_slices *s)
{
	struct kiln_name name;
	u32 level = at + 1;

	if (level >= s->level)
		return 1;
	kiln_clear(&name, sizeof(name));
	name.t = NULL;
	name.bytes = kiln_group_name(kiln_ancestor_at(s->group, level));
	bpf_loop(KILN_NAME_MAX, kiln_name_byte, &name, 0);
	if (name.ended && name.len > 6 && (name.tail & 0xffffffffffffull) == KILN_DOT_SLICE)
		return 0;
	s->only = 0;
	return 1;
}

/*
 * Whether all above a cgroup are slices. Only the system manager's own places count: a delegated subtree (a user's
 * manager, a container) lies below a component that is not a slice, and may call its cgroups as it likes.
 */
static __noinline bool kiln_below_slices(struct cgroup *group, u32 level)
{
	struct kiln_slices s = {.group = group, .level = level, .only = level <= KILN_UNIT_DEPTH};

	bpf_loop(KILN_UNIT_DEPTH, kiln_slice, &s, 0);
	return s.only;
}

/* The subject that `subject`'s unit automaton names for a name; 0: none. */
static __always_inline u32 kiln_named_subject(struct kiln_who *who, u64 bytes)
{
	struct kiln_name name;

	if (!who->t || !who->s || !who->s->unit_start)
		return 0;
	kiln_clear(&name, sizeof(name));
	name.t = who->t;
	name.bytes = bytes;
	name.state = who->s->unit_start;
	bpf_loop(KILN_NAME_MAX, kiln_name_byte, &name, 0);
	return name.ended && name.len ? kiln_accept(who->t, name.state) : 0;
}

/* The same for a unit's own cgroup. */
static __always_inline u32 kiln_unit_subject(struct kiln_who *who, struct cgroup *group)
{
	if (!group || !kiln_below_slices(group, BPF_CORE_READ(group, level)))
		return 0;
	return kiln_named_subject(who, kiln_group_name(group));
}

/* Ids are unique only within a hierarchy; systemd's units are in the unified one (cgroup v2). */
static __always_inline bool kiln_unified(struct cgroup *cgrp)
{
	return !BPF_CORE_READ(cgrp, root, hierarchy_id);
}

/* A full map leaves the unit's tasks to the agent and is counted; 16384 units is past any manager. */
static __always_inline void kiln_label_group(u64 id, u32 label)
{
	if (bpf_map_update_elem(&kiln_cgroups, &id, &label, BPF_ANY))
		kiln_count(KILN_C_FAILED_CLOSED);
}

/* From now on the tasks of a place ask kiln_cgroups. */
static __always_inline void kiln_share_place(u32 place)
{
	*(volatile u64 *)&kiln_mark(place)->group = KILN_MARK_SHARED;
	__sync_fetch_and_or(kiln_look(place), KILN_LOOK_LABEL);
}

/* Makes what kiln_cgroups has of a cgroup known to its tasks. Under cgroup_mutex. */
static __always_inline void kiln_mark_group(struct cgroup *group, u32 label)
{
	u32 place = kiln_place(group);
	struct kiln_mark *mark = kiln_mark(place);

	u64 was = *(volatile u64 *)&mark->group;

	if (was && was != (u64)group) {
		kiln_share_place(place);
		return;
	}
	*(volatile u32 *)&mark->label = label;
	/* A barrier: who finds the group finds the label. Only kiln_share_place() is done without the mutex. */
	__sync_val_compare_and_swap(&mark->group, was, (u64)group);
	__sync_fetch_and_or(kiln_look(place), KILN_LOOK_LABEL);
	/* Who puts a unit into quarantine changes kiln_cgroups, then the marks that are there: one of both sees the
	 * other.
	 */
	if (*(volatile u64 *)&kiln_state.quarantines)
		*(volatile u32 *)&mark->label = kiln_group_label(group);
}

/*
 * Binds a cgroup in place of a process for whose label there is no memory. One that has another label is denied
 * everything from now on: either label could be wider than the other.
 */
static __always_inline void kiln_bind_group(struct cgroup *group, u32 label)
{
	u32 has = kiln_group_label(group);

	kiln_count(KILN_C_FAILED_CLOSED);
	kiln_label_group(BPF_CORE_READ(group, kn, id), has && has != label ? KILN_LABEL_SENTINEL : label);
}

/*
 * Called by the agent, with every cgroup under cgroup_mutex, after it has labelled some that were there before their
 * policy (src/agent/src/label).
 */
SEC("iter/cgroup")
NEEDS("always")
int BPF_PROG(kiln_mark_groups, void *meta, struct cgroup *group)
{
	u32 label;

	/* Also how the agent learns what it has found a timekeeper by. */
	if (*(volatile u64 *)&kiln_clock.trial)
		*(volatile u64 *)&kiln_clock.seen = kiln_wall_by(*(volatile u64 *)&kiln_clock.trial);
	if (!group)
		return 0;
	label = kiln_group_label(group);
	if (label)
		kiln_mark_group(group, label);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
NEEDS("always")
int BPF_PROG(kiln_cgroup_mkdir, struct cgroup *cgrp, const char *path)
{
	u64 active = kiln_active();
	struct kiln_who who = {};
	u32 label, own;

	if ((u32)active == KILN_INACTIVE || !kiln_unified(cgrp))
		return 0;
	label = kiln_group_label(cgrp);
	/* Also below a slice that has a label: the unit is that slice's, and has what its own name brings. */
	kiln_enter_label(&who, active, label ? label : KILN_LABEL_HOST, KILN_USER_CURRENT, 0);
	own = kiln_label_of(who.t, kiln_unit_subject(&who, cgrp));
	if (own) {
		label = own;
		kiln_label_group(BPF_CORE_READ(cgrp, kn, id), label);
	}
	if (label)
		kiln_mark_group(cgrp, label);
	return 0;
}

static __always_inline void kiln_forget_group(struct cgroup *cgrp)
{
	u64 id = BPF_CORE_READ(cgrp, kn, id);
	struct kiln_quarantine_key key = {.id = id};
	u32 place = kiln_place(cgrp);

	if (!kiln_unified(cgrp))
		return;
	if (kiln_mark(place)->group == (u64)cgrp) {
		__sync_fetch_and_and(kiln_look(place), ~KILN_LOOK_LABEL);
		__sync_val_compare_and_swap(&kiln_mark(place)->group, (u64)cgrp, 0);
	}
	bpf_map_delete_elem(&kiln_cgroups, &id);
	bpf_map_delete_elem(&kiln_quarantined, &key);
	bpf_map_delete_elem(&kiln_traffics, &id);
	bpf_map_delete_elem(&kiln_throttled, &id);
}

/* No task lives in it, and none will. */
SEC("tp_btf/cgroup_rmdir")
NEEDS("always")
int BPF_PROG(kiln_cgroup_rmdir, struct cgroup *cgrp, const char *path)
{
	kiln_forget_group(cgrp);
	return 0;
}

/* Much later, where it still has pages; what the agent labelled between is forgotten here. */
SEC("tp_btf/cgroup_release")
NEEDS("always")
int BPF_PROG(kiln_cgroup_release, struct cgroup *cgrp, const char *path)
{
	kiln_forget_group(cgrp);
	return 0;
}

#define PF_FORKNOEXEC 0x40u /* include/linux/sched.h: forked and not executed anything yet */

/*
 * Whether PID 1's own program still runs in a task that it forked: systemd between fork and exec. Who executed that
 * program and forked, and whose parent ended, looks alike, but for where the kernel put its stack when it executed: of
 * what PID 1 forks that is PID 1's own place.
 */
static __always_inline bool kiln_is_managers(struct task_struct *task)
{
	struct file *mine, *managers;

	if (BPF_CORE_READ(task, real_parent, tgid) != 1 || !(BPF_CORE_READ(task, flags) & PF_FORKNOEXEC))
		return false;
	if (BPF_CORE_READ(task, mm, start_stack) != BPF_CORE_READ(task, real_parent, mm, start_stack))
		return false;
	mine = BPF_CORE_READ(task, mm, exe_file);
	managers = BPF_CORE_READ(task, real_parent, mm, exe_file);
	return mine && managers && BPF_CORE_READ(mine, f_inode) == BPF_CORE_READ(managers, f_inode);
}

/* PID 1 and the agent are what confinement comes from; whoever may write a cgroup's files can pull them in. */
static __always_inline bool kiln_exempt(struct task_struct *process)
{
	return process->pid == 1 || kiln_is_protected(process);
}

/*
 * What a labelled task is where it comes below a labelled cgroup: what it was, with the unit's guards, and with its
 * profile if it has none yet. By the automaton of its own subject, which knows each combination. Where the unit brings
 * a profile by a label that this generation's automaton does not know of, there is no subject for both, and everything
 * is denied. A slice above the unit comes first, if it has a label. 0: it stays what it was.
 */
static __always_inline u32 kiln_joined(struct kiln_who *who, struct cgroup *group, u32 label)
{
	u32 next = kiln_label_of(who->t, kiln_unit_subject(who, kiln_labelled_slice(group))), own;
	struct kiln_subject *given;

	if (next)
		kiln_enter_label(who, kiln_active(), next, KILN_USER_CURRENT, 0);
	if (!who->t || !who->s)
		return KILN_LABEL_SENTINEL;
	own = kiln_label_of(who->t, kiln_unit_subject(who, kiln_labelled_group(group)));
	if (own || who->s->flags & (KILN_S_PROFILE | KILN_S_QUARANTINE))
		return own ? own : next;
	given = kiln_subject_of(who->t, label);
	/* Of a unit in quarantine each process is, too. */
	if (given && given->flags & KILN_S_QUARANTINE)
		return next;
	return given && !(given->flags & KILN_S_PROFILE) ? next : KILN_LABEL_SENTINEL;
}

/*
 * `moved` now lives in a cgroup with a label, and with it its process. A profile, once had, is kept, and so is a guard:
 * moving never loosens. `whole`: all threads live there. `labelled`: it had a label where it comes from.
 */
static __always_inline void kiln_attach(struct task_struct *moved, struct cgroup *group, u32 label, bool whole,
					bool labelled)
{
	struct task_struct *task = moved->group_leader;
	struct kiln_who who = {};
	bool exempt, starting;
	u32 next;
	u64 word;

	if (!task)
		return;
	exempt = !labelled && kiln_exempt(task);
	word = kiln_own_of(task);
	if ((u32)word) {
		if (exempt || (u32)word == label)
			return;
		kiln_enter_label(&who, kiln_active(), word, KILN_USER_CURRENT, 0);
		if (!who.s || who.s->flags & KILN_S_SENTINEL)
			return;
		next = kiln_joined(&who, group, label);
		/* What has a word is given another without an allocation. */
		if (next && !kiln_give(task, word >> 32 << 32 | next))
			kiln_count(KILN_C_FAILED_CLOSED);
		return;
	}
	starting = !exempt && !labelled && kiln_is_managers(task);
	if (!word && !exempt && !starting && whole && kiln_moves_seen())
		return;
	if (!whole)
		kiln_stray();
	/* Without, it has the cgroup's, with which a service does not start. */
	if (!kiln_give(task, exempt ? (u64)KILN_T_EXEMPT << 32 : (u64)(starting ? KILN_T_STARTING : 0) << 32 | label))
		kiln_count(KILN_C_FAILED_CLOSED);
}

/*
 * What systemd has just forked is put into its unit by systemd, too, while it runs (up to systemd 254). It is in the
 * cgroup, and bound by it, before the move is reported: that it has not started yet must be known before.
 */
static __always_inline void kiln_expect(struct cgroup *dst, struct task_struct *process, bool whole)
{
	u32 label = kiln_group_label(dst);

	if (!label)
		return;
	if (kiln_exempt(process)) {
		kiln_give(process, (u64)KILN_T_EXEMPT << 32);
	} else if (kiln_is_managers(process)) {
		if (!whole)
			kiln_stray();
		kiln_give(process, (u64)KILN_T_STARTING << 32 | label);
	}
}

/*
 * A task is about to be moved to another cgroup, whose tasks may run as soon as they are there: what it leaves with, it
 * must have before. Only the mount of cgroup v2 has labels.
 */
SEC("?fentry/cgroup_attach_task")
NEEDS("always")
int BPF_PROG(kiln_cgroup_leave, struct cgroup *dst, struct task_struct *task, bool threadgroup)
{
	struct task_struct *process = task->group_leader;
	struct kiln_task *own;
	u32 label;

	/* With a barrier: see kiln_started(). */
	__sync_lock_test_and_set(&kiln_state.moving, (u64)process);
	if (!process || !kiln_unified(dst))
		return 0;
	own = bpf_task_storage_get(&kiln_labels, process, 0, 0);
	if (own) {
		if (own->label) {
			if (*(volatile u64 *)&kiln_state.quarantines && kiln_is_inside(process, kiln_home(task)))
				own->label = kiln_label_inside(own->label);
			__sync_fetch_and_or(&kiln_state.moving, KILN_MOVING_LABELLED);
			kiln_stray();
		}
		return 0;
	}
	label = kiln_group_label(kiln_home(task));
	if (!label) {
		kiln_expect(dst, process, threadgroup);
		return 0;
	}
	__sync_fetch_and_or(&kiln_state.moving, KILN_MOVING_LABELLED);
	if (label == kiln_group_label(dst))
		return 0;
	kiln_stray();
	if (!kiln_give(process, label)) {
		/* Then the place where it goes is bound as it was. */
		kiln_bind_group(dst, label);
		kiln_share_place(kiln_place(dst));
	}
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
NEEDS("always")
int BPF_PROG(kiln_cgroup_attach_task, struct cgroup *dst, const char *path, struct task_struct *task, bool threadgroup)
{
	u64 moving = *(volatile u64 *)&kiln_state.moving;
	bool seen = (moving & ~KILN_MOVING_LABELLED) == (u64)task->group_leader;
	u32 label;

	/* While nothing is enforced not all programs may be attached. */
	if ((u32)kiln_active() != KILN_INACTIVE) {
		if (!seen) {
			*(volatile u64 *)&kiln_state.moves = KILN_MOVES_MISSED;
			/* It may bear a label where nothing else says so. */
			kiln_stray();
		} else if (*(volatile u64 *)&kiln_state.moves == KILN_MOVES_UNKNOWN) {
			*(volatile u64 *)&kiln_state.moves = KILN_MOVES_SEEN;
		}
	}
	if (!kiln_unified(dst))
		return 0;
	label = kiln_group_label(dst);
	if (label)
		kiln_attach(task, dst, label, threadgroup, seen && moving & KILN_MOVING_LABELLED);
	return 0;
}
