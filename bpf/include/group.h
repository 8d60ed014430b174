/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a task finds by its cgroup. A cgroup gets its label when it is made, and all that is in it has it from there; so
 * a process without a label costs a few loads, and a new one nothing.
 */
#ifndef KILN_GROUP_H
#define KILN_GROUP_H

/*
 * The current process, as far as it is found out without looking at itself: its cgroup says whether a policy may bind
 * it.
 */
struct kiln_me {
	struct task_struct *task;
	u64 group; /* address of its cgroup */
	u32 place; /* in bytes of kiln_groups.look */
	u32 look;
};

/* By bits of its address that differ between objects of its size. */
static __always_inline u32 kiln_place(struct cgroup *group)
{
	u32 low = kiln_low((u64)group);

	return low >> 9 & (KILN_PLACES - 1) << 2;
}

static __always_inline u32 *kiln_look(u32 place)
{
	u64 at = place & (KILN_PLACES - 1) << 2;

	return (void *)kiln_groups.look + at;
}

static __always_inline struct kiln_mark *kiln_mark(u32 place)
{
	u64 at = place & (KILN_PLACES - 1) << 2;

	return (void *)kiln_groups.mark + (at << 3);
}
_Static_assert(sizeof(struct kiln_mark) == 4 << 3, "a place's mark is found by its look");

static __always_inline struct kiln_me kiln_me(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct cgroup *group = task->cgroups->dfl_cgrp;
	struct kiln_me me = {.task = task, .group = (u64)group, .place = kiln_place(group)};

	me.look = *(volatile u32 *)kiln_look(me.place);
	return me;
}

#define KILN_LOOK_TASK (KILN_LOOK_LABEL | KILN_LOOK_STRAYS | KILN_LOOK_AGENT)

/*
 * The shortest way out, for the process that no policy binds: it has no label, and the host's subject refuses none of
 * `verbs`. False says nothing.
 */
static __always_inline bool kiln_unbound(const struct kiln_me *me, const u32 verbs)
{
	return !(me->look & (KILN_LOOK_TASK | verbs));
}

/* Whether it can have no label. */
static __always_inline bool kiln_plain(const struct kiln_me *me)
{
	return kiln_unbound(me, 0);
}

/* Whether its label is its cgroup's, and the mark says which. */
static __always_inline bool kiln_by_mark(const struct kiln_me *me)
{
	return *(volatile u64 *)&kiln_mark(me->place)->group == me->group && !me->task->group_leader->bpf_storage;
}

static __always_inline u32 kiln_label_by_id(u64 id)
{
	u32 *label = bpf_map_lookup_elem(&kiln_cgroups, &id);

	return label ? *label : 0;
}

/* Deeper than this no unit's own cgroup is looked for; what a unit makes below its own may be as deep as it likes. */
#define KILN_UNIT_DEPTH 64

/* The cgroup above another, or itself, at a level. */
static __always_inline struct cgroup *kiln_ancestor_at(struct cgroup *group, u32 level)
{
	struct cgroup *ancestor = NULL;

	if (bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
				  (void *)group + bpf_core_field_offset(struct cgroup, ancestors) +
				      level * sizeof(ancestor)))
		return NULL;
	return ancestor;
}

struct kiln_ancestry {
	struct cgroup *group, *found;
	struct cgroup *first; /* the outermost that has a label: a slice, where it is not the unit itself */
	u32 level, label;
};

/* From the root towards the cgroup: of slices and a unit that have labels the last is the unit. */
static long kiln_ancestor(u32 at, struct kiln_ancestry *a)
{
	u32 level = at + 1, label;
	struct cgroup *ancestor;

	if (level >= a->level)
		return 1;
	ancestor = kiln_ancestor_at(a->group, level);
	label = kiln_label_by_id(BPF_CORE_READ(ancestor, kn, id));
	if (label) {
		if (!a->label)
			a->first = ancestor;
		a->found = ancestor;
		a->label = label;
	}
	return 0;
}

/*
 * The label of a cgroup, from kiln_cgroups; 0: none. Only a unit's own cgroup is there, and what is below one has its
 * label: else a unit that may make cgroups could fill the map.
 */
static __always_inline u32 kiln_group_label(struct cgroup *group)
{
	u32 label = kiln_label_by_id(BPF_CORE_READ(group, kn, id));
	struct kiln_ancestry a = {.group = group, .level = BPF_CORE_READ(group, level)};

	if (label)
		return label;
	bpf_loop(KILN_UNIT_DEPTH, kiln_ancestor, &a, 0);
	return a.label;
}

/* The cgroup that a labelled one has its label by: the unit's own. */
static __always_inline struct cgroup *kiln_labelled_group(struct cgroup *group)
{
	struct kiln_ancestry a = {.group = group, .level = BPF_CORE_READ(group, level)};

	if (kiln_label_by_id(BPF_CORE_READ(group, kn, id)))
		return group;
	bpf_loop(KILN_UNIT_DEPTH, kiln_ancestor, &a, 0);
	return a.label ? a.found : NULL;
}

/* The outermost slice with a label above a labelled cgroup; NULL: there is none but the unit. */
static __always_inline struct cgroup *kiln_labelled_slice(struct cgroup *group)
{
	struct kiln_ancestry a = {.group = group, .level = BPF_CORE_READ(group, level)};
	bool itself = kiln_label_by_id(BPF_CORE_READ(group, kn, id));

	bpf_loop(KILN_UNIT_DEPTH, kiln_ancestor, &a, 0);
	return a.label && (itself || a.first != a.found) ? a.first : NULL;
}

struct kiln_threads {
	u64 head, at; /* of the list, and where it is */
	u64 found;    /* a thread that lives */
};

static long kiln_thread_step(u32 turn, struct kiln_threads *t)
{
	struct task_struct *thread;
	u64 next = 0;

	if (bpf_probe_read_kernel(&next, sizeof(next), (void *)t->at) || !next || next == t->head)
		return 1;
	t->at = next;
	thread = (void *)next - bpf_core_field_offset(struct task_struct, thread_node);
	if (BPF_CORE_READ(thread, exit_state))
		return 0;
	t->found = (u64)thread;
	return 1;
}

#define KILN_THREADS (1u << 17) /* most that have ended and are passed over */

/*
 * Where a process lives, by its first thread or any: the first may have ended before the others, and says for ever
 * where it was then. A global function, so that the verifier looks at it once a program.
 */
__noinline u64 kiln_home_at(struct kiln_address *process)
{
	struct kiln_threads t = {};
	struct task_struct *task;

	if (!process)
		return 0;
	task = (void *)process->at;
	if (BPF_CORE_READ(task, exit_state)) {
		t.head = t.at =
		    (u64)BPF_CORE_READ(task, signal) + bpf_core_field_offset(struct signal_struct, thread_head);
		bpf_loop(KILN_THREADS, kiln_thread_step, &t, 0);
		if (t.found)
			task = (void *)t.found;
	}
	return (u64)BPF_CORE_READ(task, cgroups, dfl_cgrp);
}

static __always_inline struct cgroup *kiln_home(struct task_struct *process)
{
	struct kiln_address a = {.at = (u64)process};

	return (void *)kiln_home_at(&a);
}

#endif
