/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Labels at fork. */

static __noinline int kiln_bear(struct task_struct *task, unsigned long clone_flags)
{
	struct task_struct *bearer = task;
	struct kiln_me me = kiln_me();
	u64 word = kiln_word_raw(&me);

	if (!word || (word >> 32 & KILN_T_EXEMPT && !(me.look & KILN_LOOK_LABEL)))
		return 0;
	if (clone_flags & CLONE_THREAD) {
		/* A thread has its leader's. */
		if (!(word >> 32 & KILN_T_GROUP) || !(clone_flags & CLONE_INTO_CGROUP))
			return 0;
		bearer = bpf_get_current_task_btf()->group_leader;
	}
	if (word >> 32 & KILN_T_GROUP) {
		if (kiln_moves_seen() && !(clone_flags & CLONE_INTO_CGROUP))
			return 0;
		word = (u32)word;
	}
	if (clone_flags & CLONE_INTO_CGROUP)
		kiln_stray();
	return kiln_give(bearer, word) ? 0 : -ENOMEM;
}

/*
 * A child has its parent's cgroup, and by it the label. It bears one itself where the parent does, where it is put
 * into another cgroup, and where tasks leave a cgroup unseen. It gets it here, where nobody sees the child yet: what
 * is in the list of processes can be moved and written to before it runs.
 */
SEC("lsm/task_alloc")
NEEDS("always")
int BPF_PROG(kiln_task_alloc, struct task_struct *task, unsigned long clone_flags)
{
	/* What bears nothing has its cgroup's, and so has its child. */
	if (!(clone_flags & CLONE_INTO_CGROUP) && !bpf_get_current_task_btf()->group_leader->bpf_storage &&
	    kiln_moves_seen())
		return 0;
	return kiln_bear(task, clone_flags) ? -ENOMEM : 0;
}

/*
 * A new task that does not run yet. clone3(CLONE_INTO_CGROUP) starts it in another cgroup without an attach. And where
 * its parent was moved since kiln_task_alloc() found that a child need not bear a label, it must bear one now.
 */
static __noinline int kiln_forked(struct task_struct *parent, struct task_struct *child)
{
	struct cgroup *group;
	u32 label;
	u64 word;

	group = BPF_CORE_READ(child, cgroups, dfl_cgrp);
	label = kiln_group_label(group);
	if (label && parent->cgroups != child->cgroups)
		kiln_attach(child, group, label, child->group_leader == child, false);
	word = kiln_own_of(parent->group_leader);
	if (!(u32)word || child->group_leader != child || (u32)word == label)
		return 0;
	if (!(u32)kiln_own_of(child) && !kiln_give(child, word)) {
		kiln_bind_group(group, word);
		kiln_share_place(kiln_place(group));
	}
	return 0;
}

SEC("tp_btf/sched_process_fork")
NEEDS("always")
int BPF_PROG(kiln_sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	if (parent->cgroups == child->cgroups && !*(volatile u64 *)&kiln_state.strays)
		return 0;
	return kiln_forked(parent, child);
}

/*
 * execve(2) by a thread that is not the leader: it takes the leader's place now, while no task can be moved. It was
 * given the label when the program was looked at (kiln_take_along()); the leader may have been moved since.
 */
SEC("?fentry/exchange_tids")
NEEDS("always")
int BPF_PROG(kiln_exchange_tids, struct task_struct *thread, struct task_struct *leader)
{
	u64 word = kiln_own_of(leader);

	/* The thread has storage, so that this allocates nothing; one that started nothing has no flag to keep. */
	if ((u32)word && (u32)word != (u32)kiln_own_of(thread) && !kiln_give(thread, (u32)word))
		kiln_count(KILN_C_FAILED_CLOSED);
	return 0;
}
