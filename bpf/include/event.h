/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Reports leave by a ring buffer; a full one is counted and never changes a verdict. */
#ifndef KILN_EVENT_H
#define KILN_EVENT_H

#define KILN_EVENT_HEAD __builtin_offsetof(struct kiln_event, object)

static __always_inline void kiln_count(u32 which)
{
	u64 *counter = bpf_map_lookup_elem(&kiln_counters, &which);

	if (counter)
		(*counter)++;
}

/*
 * By copies, here and wherever it is not asked at each request: for each pointer that a program takes from a task
 * directly the verifier of newer kernels looks through all types of the kernel, by name, up to four times.
 */
static __always_inline void kiln_event_task(struct kiln_event *e)
{
	struct task_struct *task = bpf_get_current_task_btf();

	e->time_ns = bpf_ktime_get_boot_ns();
	e->start_time_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	e->cgroup_id = bpf_get_current_cgroup_id();
	e->pid = task->tgid;
	e->tid = task->pid;
	e->ppid = BPF_CORE_READ(task, real_parent, tgid);
	e->uid = (u32)bpf_get_current_uid_gid();
	bpf_get_current_comm(e->comm, sizeof(e->comm));
}

static __always_inline u64 kiln_serial(u32 generation)
{
	u64 at = generation;

	barrier_var(at);
	return at < KILN_GENERATIONS ? *(volatile u64 *)&kiln_state.serial[at] : 0;
}

/* Sends the event with `len` bytes of object. */
static __always_inline void kiln_send(struct kiln_event *e, u32 len)
{
	if (len > KILN_PATH_MAX)
		len = KILN_PATH_MAX;
	e->object_len = len;
	barrier_var(len);
	if (len > KILN_PATH_MAX)
		return;
	kiln_count(KILN_C_EVENTS);
	/* Others may be denied everything, too, as often as they like. */
	if (e->label == KILN_LABEL_SENTINEL &&
	    kiln_is_the_agent(BPF_CORE_READ(bpf_get_current_task_btf(), real_parent)))
		bpf_ringbuf_output(&kiln_proofs, e, KILN_EVENT_HEAD + len, 0);
	if (bpf_ringbuf_output(&kiln_events, e, KILN_EVENT_HEAD + len, 0))
		kiln_count(KILN_C_DROPPED);
}

#endif
