/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who asks: the task's label, and its subject in the generation that is active now. */
#ifndef KILN_SUBJECT_H
#define KILN_SUBJECT_H

/* What names a request's policy: `generation` is read once, so a flip never mixes two. */
struct kiln_ids {
	u32 label;
	u32 generation; /* index into the outer map */
};
struct kiln_who {
	struct kiln_ids id;
	struct kiln_tables *t;
	struct kiln_subject *s; /* NULL: the label is unknown here, and everything is denied */
};

enum kiln_entry {
	KILN_PASS = 0,	 /* nothing to decide */
	KILN_DECIDE = 1, /* `who` is filled */
	KILN_BROKEN = 2, /* no tables where there must be some: deny */
};

static __always_inline u64 kiln_active(void)
{
	return *(volatile u64 *)&kiln_state.active;
}

/* The process that asks, by its leader. */
static __always_inline struct task_struct *kiln_leader(void)
{
	return bpf_get_current_task_btf()->group_leader;
}

/*
 * The label of a process, label low and flags high; 0: none. The threads of a
 * process share its memory, so they have one label: the leader's. The kernel
 * keeps what was last asked for at the storage itself, and kiln_labels is the
 * first map of its kind on a machine; if not, the helper finds it. Where it is
 * found here, it is found also while a preempted task of the same CPU is inside
 * the helper, which says "none" then (6.1).
 */
static __always_inline u64 kiln_word_in(struct task_struct *leader, struct bpf_local_storage *storage)
{
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

static __always_inline u64 kiln_word_of(struct task_struct *leader)
{
	return kiln_word_in(leader, leader->bpf_storage);
}

/*
 * For an execve(2) that is going to happen. When a thread that is not the leader
 * executes, the kernel ends the others and the thread takes the leader's place,
 * with a storage of its own: the label must be there before.
 */
static __always_inline bool kiln_take_along(struct task_struct *task, u64 word)
{
	struct kiln_task *own;

	if (task->group_leader == task)
		return true;
	own = bpf_task_storage_get(&kiln_labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!own)
		return false;
	*(volatile u64 *)own = word;
	return true;
}

static __always_inline struct kiln_tables *kiln_generation(u32 generation)
{
	u32 zero = 0;
	void *inner = bpf_map_lookup_elem(&kiln_tables_outer, &generation);

	return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

static __always_inline struct kiln_subject *kiln_subject_of(struct kiln_tables *t, u32 label)
{
	u64 at = label;
	u32 index;

	barrier_var(at);
	if (at >= KILN_SLOTS)
		return NULL;
	barrier_var(at);
	index = t->slot[at];
	if (!index || index > t->hdr.n_subjects)
		return NULL;
	return kiln_subject_at(t, index - 1);
}

/* The label of a subject that an automaton named; 0: none. */
static __always_inline u32 kiln_label_of(struct kiln_tables *t, u32 subject)
{
	u64 at = subject;

	barrier_var(at);
	if (!t || at >= KILN_SUBJECTS)
		return 0;
	barrier_var(at);
	return t->label_of[at];
}

static __always_inline int kiln_enter_label(struct kiln_who *who, u64 active, u32 label, u32 verbs)
{
	who->id.generation = (u32)active;
	who->id.label = label;
	who->t = kiln_generation((u32)active);
	if (!who->t)
		return KILN_BROKEN;
	who->s = kiln_subject_of(who->t, label);
	if (!who->s)
		return KILN_DECIDE;
	return who->s->verbs & verbs ? KILN_DECIDE : KILN_PASS;
}

/*
 * The shortest way out, for the process that no policy binds: it has no storage, and the host's subject refuses none of
 * `verbs`. False says nothing.
 */
static __always_inline bool kiln_unbound(struct bpf_local_storage *storage, u32 verbs)
{
	/* Little-endian: the high half of the active word. */
	u32 host = *((volatile u32 *)&kiln_state.active + 1);

	return !storage && !(host & verbs);
}

/* A process with its storage. */
static __always_inline int kiln_enter_as(struct kiln_who *who, struct task_struct *leader,
					 struct bpf_local_storage *storage, u32 verbs)
{
	u64 word = kiln_word_in(leader, storage), active = kiln_active();
	u32 label = KILN_LABEL_HOST;

	if (word && !(word >> 32 & KILN_T_STARTING))
		label = word;
	else if (!((active >> 32) & verbs))
		return KILN_PASS;
	if ((u32)active == KILN_INACTIVE)
		return KILN_PASS;
	return kiln_enter_label(who, active, label, verbs);
}

/* The first step of every hook: who asks, and can the answer to any of `verbs` be other than yes? */
static __always_inline int kiln_enter(struct kiln_who *who, u32 verbs)
{
	struct task_struct *leader = kiln_leader();

	return kiln_enter_as(who, leader, leader->bpf_storage, verbs);
}

#endif
