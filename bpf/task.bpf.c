/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Labels: inherited at fork, given by the cgroup of a unit from the moment that systemd makes it. */

SEC("lsm/task_alloc")
int BPF_PROG(kiln_task_alloc, struct task_struct *task, unsigned long clone_flags)
{
	u64 mine = kiln_word_of(kiln_leader());
	struct kiln_task *child;

	/* A thread has its leader's. */
	if (!mine || clone_flags & CLONE_THREAD)
		return 0;
	child = bpf_task_storage_get(&kiln_labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!child)
		return -ENOMEM;
	*(volatile u64 *)child = mine;
	return 0;
}

struct kiln_unit {
	const u8 *bytes;
	u32 len;
	u32 start;  /* of the component that is being read */
	u32 slices; /* every finished component ends in ".slice" */
};

/* Looks at one byte of a cgroup's path; at each '/' it judges the component before it. */
static long kiln_unit_byte(u32 at, struct kiln_unit *u)
{
	const u8 *b = u->bytes;
	u64 here = at, suffix = (u64)at - 6;

	if (at >= u->len)
		return 1;
	barrier_var(here);
	if (here >= KILN_PATH_MAX)
		return 1;
	barrier_var(here);
	if (b[here] != '/')
		return 0;
	if (at > u->start) {
		barrier_var(suffix);
		if (suffix >= KILN_PATH_MAX - 6 || at - u->start < 7)
			goto other;
		barrier_var(suffix);
		b += suffix;
		if (b[0] != '.' || b[1] != 's' || b[2] != 'l' || b[3] != 'i' || b[4] != 'c' || b[5] != 'e')
			goto other;
	}
	u->start = at + 1;
	return 0;
other:
	u->slices = 0;
	return 1;
}

/*
 * The subject that `subject`'s unit automaton names for a cgroup path; 0: none.
 * Only the system manager's own places count: a delegated subtree (a user's
 * manager, a container) lies below a component that is no slice, and may call
 * its cgroups as it likes.
 */
static __always_inline u32 kiln_unit_subject(struct kiln_who *who, const char *path)
{
	struct kiln_scratch *s;
	struct kiln_unit u = {};
	u32 found = 0, start;
	long len;

	if (!who || !who->t || !who->s || !who->s->unit_start)
		return 0;
	s = kiln_scratch_take();
	if (!s)
		return 0;
	len = bpf_probe_read_kernel_str(s->path, KILN_PATH_MAX, path);
	if (len > 1) {
		u.bytes = s->path;
		u.len = len - 1;
		u.slices = 1;
		bpf_loop(KILN_PATH_MAX, kiln_unit_byte, &u, 0);
		start = u.start;
		s->pos = start;
		if (u.slices)
			found = kiln_match(who->t, s, who->s->unit_start, u.len);
	}
	kiln_scratch_give(s);
	return found;
}

/* Ids are unique only within a hierarchy; systemd's units are in the unified one (cgroup v2). */
static __always_inline bool kiln_unified(struct cgroup *cgrp)
{
	return !BPF_CORE_READ(cgrp, root, hierarchy_id);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(kiln_cgroup_mkdir, struct cgroup *cgrp, const char *path)
{
	u64 active = kiln_active(), id = BPF_CORE_READ(cgrp, kn, id);
	u64 parent = BPF_CORE_READ(cgrp, self.parent, cgroup, kn, id);
	struct kiln_who who = {};
	u32 *inherited, label;

	if ((u32)active == KILN_INACTIVE || !kiln_unified(cgrp))
		return 0;
	inherited = bpf_map_lookup_elem(&kiln_cgroups, &parent);
	if (inherited) {
		label = *inherited;
	} else {
		kiln_enter_label(&who, active, KILN_LABEL_HOST, 0);
		label = kiln_label_of(who.t, kiln_unit_subject(&who, path));
	}
	/* A full map leaves the unit's tasks to the agent and is counted; 16384 units is past any manager. */
	if (label && bpf_map_update_elem(&kiln_cgroups, &id, &label, BPF_ANY))
		kiln_count(KILN_C_FAILED_CLOSED);
	return 0;
}

SEC("tp_btf/cgroup_release")
int BPF_PROG(kiln_cgroup_release, struct cgroup *cgrp, const char *path)
{
	u64 id = BPF_CORE_READ(cgrp, kn, id);

	if (kiln_unified(cgrp))
		bpf_map_delete_elem(&kiln_cgroups, &id);
	return 0;
}

/* Whether PID 1's own program still runs in a task that it forked: systemd between fork and exec. */
static __always_inline bool kiln_is_managers(struct task_struct *task)
{
	struct file *mine, *managers;

	if (BPF_CORE_READ(task, real_parent, tgid) != 1)
		return false;
	mine = BPF_CORE_READ(task, mm, exe_file);
	managers = BPF_CORE_READ(task, real_parent, mm, exe_file);
	return mine && managers && BPF_CORE_READ(mine, f_inode) == BPF_CORE_READ(managers, f_inode);
}

/*
 * `moved` now lives in a cgroup with a label, and with it its process. A profile, once had, is kept: moving never
 * loosens. PID 1 and the agent are what confinement comes from; whoever may write a cgroup's files can pull them in,
 * and that must not end what they do.
 */
static __always_inline void kiln_attach(struct task_struct *moved, u32 label, const char *path)
{
	struct task_struct *task = moved->group_leader;
	struct kiln_subject *given;
	struct kiln_task *own;
	struct kiln_who who = {};
	u32 next;

	if (!task || task->pid == 1 || (u32)task->pid == kiln_agent())
		return;
	own = bpf_task_storage_get(&kiln_labels, task, 0, 0);
	if (own) {
		kiln_enter_label(&who, kiln_active(), own->label, 0);
		if (!who.s || who.s->flags & (KILN_S_PROFILE | KILN_S_SENTINEL))
			return;
		next = path ? kiln_label_of(who.t, kiln_unit_subject(&who, path)) : 0;
		/* No unit's own cgroup, or its name is not at hand: the cgroup's profile comes before the task's
		 * guards. */
		if (!next && (given = kiln_subject_of(who.t, label)) && given->flags & KILN_S_PROFILE)
			next = label;
		if (next)
			own->label = next;
		return;
	}
	own = bpf_task_storage_get(&kiln_labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!own) {
		/* Unlabelled it must not run. The task is the current one wherever a service is started. */
		kiln_count(KILN_C_FAILED_CLOSED);
		bpf_send_signal(9);
		return;
	}
	own->label = label;
	own->flags = kiln_is_managers(task) ? KILN_T_STARTING : 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(kiln_cgroup_attach_task, struct cgroup *dst, const char *path, struct task_struct *task, bool threadgroup)
{
	u64 id = BPF_CORE_READ(dst, kn, id);
	u32 *label = bpf_map_lookup_elem(&kiln_cgroups, &id);

	if (label && kiln_unified(dst))
		kiln_attach(task, *label, path);
	return 0;
}

/* clone3(CLONE_INTO_CGROUP) starts a task in another cgroup without an attach; it does not run yet here. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(kiln_sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 *label;
	u64 id;

	if (parent->cgroups == child->cgroups)
		return 0;
	id = BPF_CORE_READ(child, cgroups, dfl_cgrp, kn, id);
	label = bpf_map_lookup_elem(&kiln_cgroups, &id);
	if (label)
		kiln_attach(child, *label, NULL);
	return 0;
}
