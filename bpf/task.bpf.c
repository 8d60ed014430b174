/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Labels at fork. */

/* Gives a new process, or the process of a new thread, a word of its own. One that it has already stays. */
static __always_inline void kiln_bear(struct task_struct *leader, struct cgroup *group, u64 word)
{
	struct kiln_task *own = bpf_task_storage_get(&kiln_labels, leader, 0, 0);

	if ((own && own->label) || kiln_give(leader, word))
		return;
	/* Nothing can be refused any more: then all in the cgroup where the child is are bound as it would be. */
	kiln_count(KILN_C_FAILED_CLOSED);
	if ((u32)word == kiln_group_label(group))
		return;
	kiln_label_group(BPF_CORE_READ(group, kn, id), word);
	kiln_share_place(kiln_place(group));
}

static __noinline int kiln_born(struct task_struct *child, unsigned long clone_flags)
{
	struct kiln_me me = kiln_me();
	struct task_struct *leader = child->group_leader;
	bool into = clone_flags & CLONE_INTO_CGROUP, thread = clone_flags & CLONE_THREAD;
	struct cgroup *group = BPF_CORE_READ(child, cgroups, dfl_cgrp);
	u64 word = kiln_word_raw(&me);
	u32 label = 0;

	if (!leader || (word >> 32 & KILN_T_EXEMPT && !(me.look & KILN_LOOK_LABEL)))
		word = 0;
	/* A thread has its leader's. What is the cgroup's must be borne where the child is not, or may go unseen. */
	if (word >> 32 & KILN_T_GROUP) {
		if (into || (!thread && !kiln_moves_seen()))
			kiln_bear(leader, group, (u32)word);
	} else if (word && !thread) {
		kiln_bear(leader, group, word);
	}
	if (!into)
		return 0;
	if (word)
		kiln_stray();
	label = kiln_group_label(group);
	/* Where the parent is there by now, what it becomes by that may not be said yet. */
	if (label && ((u64)group != me.group || ((u32)word && (u32)word != label)))
		kiln_attach(child, group, label, !thread, false);
	return 0;
}

/*
 * A new task that is in its cgroup and does not run yet. A child has its parent's cgroup, and by it the label. It bears
 * one itself where the parent does, where clone3(CLONE_INTO_CGROUP) starts it in another cgroup without an attach, and
 * where tasks leave a cgroup unseen. Whoever moves the parent or the child meanwhile gives it its label.
 */
SEC("tp_btf/task_newtask")
NEEDS("always")
int BPF_PROG(kiln_task_newtask, struct task_struct *child, unsigned long clone_flags)
{
	if (!(clone_flags & CLONE_INTO_CGROUP) && !bpf_get_current_task_btf()->group_leader->bpf_storage &&
	    kiln_moves_seen())
		return 0;
	return kiln_born(child, clone_flags);
}
