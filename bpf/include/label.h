/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The label of the current process: its own, or else its cgroup's. */
#ifndef KILN_LABEL_H
#define KILN_LABEL_H

/*
 * The label of a process's own, label low and flags high; 0: none. The threads of a
 * process share its memory, so they have one label: the leader's. The kernel
 * keeps what was last asked for at the storage itself, and kiln_labels is the
 * first map of its kind on a machine; if not, the helper finds it. Where it is
 * found here, it is found also while a preempted task of the same CPU is inside
 * the helper, which says "none" then (6.1).
 */
static __always_inline u64 kiln_own(struct task_struct *leader)
{
	struct bpf_local_storage *storage = leader->bpf_storage;
	struct bpf_local_storage_data *data;
	struct kiln_task *own;
	u64 word = 0;

	if (!storage)
		return 0;
	data = storage->cache[0];
	if (data && (void *)data->smap == (void *)&kiln_labels) {
		/* Any kernel type with a number in its second word serves to read what follows the map's address. */
		if (bpf_ksym_exists(bpf_rdonly_cast)) {
			struct timespec64 *two = bpf_rdonly_cast(data, bpf_core_type_id_kernel(struct timespec64));

			return two->tv_nsec;
		}
		if (!bpf_probe_read_kernel(&word, sizeof(word), (void *)data + 8))
			return word;
	}
	own = bpf_task_storage_get(&kiln_labels, leader, 0, 0);
	return own ? *(volatile u64 *)own : 0;
}

/* The same of a process that is not the current one, at what is rarer than a request (see kiln_event_task()). */
static __always_inline u64 kiln_own_of(struct task_struct *leader)
{
	struct bpf_local_storage *storage = BPF_CORE_READ(leader, bpf_storage);
	struct bpf_local_storage_data *data;
	struct kiln_task *own;
	u64 word = 0;

	if (!storage)
		return 0;
	data = BPF_CORE_READ(storage, cache[0]);
	if (data && (void *)BPF_CORE_READ(data, smap) == (void *)&kiln_labels &&
	    !bpf_probe_read_kernel(&word, sizeof(word), (void *)data + 8))
		return word;
	own = bpf_task_storage_get(&kiln_labels, leader, 0, 0);
	return own ? *(volatile u64 *)own : 0;
}

/* Gives a task a word of its own; false: there is no memory for it. */
static __always_inline bool kiln_give(struct task_struct *task, u64 word)
{
	struct kiln_task *own = bpf_task_storage_get(&kiln_labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!own)
		return false;
	*(volatile u64 *)own = word;
	/* From now on it is found at the storage (see kiln_own()). */
	bpf_task_storage_get(&kiln_labels, task, 0, 0);
	return true;
}

__noinline u64 kiln_word_inside(u64 word); /* quarantine.h */

/*
 * The current process's word where its cgroup's mark does not answer: a label of its own comes first. It may say
 * KILN_T_EXEMPT. `place`: of its cgroup. A global function, so that the verifier looks at it once a program.
 */
__noinline u64 kiln_word_else(u32 place)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct cgroup *group = task->cgroups->dfl_cgrp;
	u64 word = kiln_own(task->group_leader), marked;
	u32 label = 0;

	if (word)
		return (u32)word && *(volatile u64 *)&kiln_state.quarantines ? kiln_word_inside(word) : word;
	marked = *(volatile u64 *)&kiln_mark(place)->group;
	if (marked == (u64)group)
		label = *(volatile u32 *)&kiln_mark(place)->label;
	else if (marked == KILN_MARK_SHARED)
		label = kiln_group_label(group);
	return label ? (u64)KILN_T_GROUP << 32 | label : 0;
}

static __always_inline u64 kiln_word_raw(const struct kiln_me *me)
{
	if (kiln_plain(me))
		return 0;
	if (kiln_by_mark(me))
		return (u64)KILN_T_GROUP << 32 | *(volatile u32 *)&kiln_mark(me->place)->label;
	return kiln_word_else(me->place);
}

/* The label of the current process, label low and flags high; 0: none. */
static __always_inline u64 kiln_word(const struct kiln_me *me)
{
	u64 word = kiln_word_raw(me);

	return (u32)word ? word : 0;
}

/* Whether each task is seen before it leaves its cgroup: then it need not bear its label itself. */
static __always_inline bool kiln_moves_seen(void)
{
	return *(volatile u64 *)&kiln_state.moves == KILN_MOVES_SEEN;
}

static long kiln_look_at(u32 at, void *nothing)
{
	__sync_fetch_and_or(kiln_look(at << 2), KILN_LOOK_STRAYS);
	return 0;
}

/* From now on every task is looked at: one of them may have a label of its own where nothing else says so. */
static __always_inline void kiln_stray(void)
{
	if (*(volatile u64 *)&kiln_state.strays)
		return;
	bpf_loop(KILN_PLACES, kiln_look_at, NULL, 0);
	*(volatile u64 *)&kiln_state.strays = 1;
}

/*
 * For an execve(2) that is going to happen. When a thread that is not the leader
 * executes, the kernel ends the others and the thread takes the leader's place,
 * with a storage of its own: the label must be there before.
 */
static __always_inline bool kiln_take_along(struct task_struct *task, u64 word)
{
	/* Also where the cgroup has it: before the thread has that place the process may be moved elsewhere. */
	return task->group_leader == task || kiln_give(task, word & ~((u64)KILN_T_GROUP << 32));
}

#endif
