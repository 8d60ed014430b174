/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Quarantine: who broke a rule that asks for it gets another label, that of its own subject in quarantine. What that
 * subject is refused is in the tables like all else; so nobody who is not in quarantine pays for it, and nothing that
 * was remembered of the label before is valid. And throttle, which needs no label.
 */
#ifndef KILN_QUARANTINE_H
#define KILN_QUARANTINE_H

/* What a rule asks for in kiln_answer(): its number, and whether it is a throttle. */
#define KILN_RULE_MASK 0x1fffffff
#define KILN_ASKS_THROTTLE 0x20000000

/* The first eight bytes of a name as a number. */
#define KILN_NAME8(a, b, c, d, e, f, g, h)                                                                             \
	((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | (u64)(f) << 40 |                \
	 (u64)(g) << 48 | (u64)(h) << 56)

/* The label that one with this label has in quarantine; where the generation knows none, that is denied everything. */
static __always_inline u32 kiln_label_inside(u32 label)
{
	struct kiln_tables *t = kiln_generation(kiln_index(kiln_active()));
	struct kiln_subject *s = t ? kiln_subject_of(t, label) : NULL;
	u32 inside = 0;

	if (s && s->flags & (KILN_S_QUARANTINE | KILN_S_SENTINEL))
		return label;
	if (s && s->quarantine)
		inside = kiln_label_of(t, s->quarantine);
	return inside ? inside : KILN_LABEL_SENTINEL;
}

/* Whether a process, or the unit in whose cgroup it is, is in quarantine. */
static __always_inline bool kiln_is_inside(struct task_struct *leader, struct cgroup *group)
{
	struct cgroup *unit = kiln_labelled_group(group);
	struct kiln_quarantine_key key = {};

	if (unit) {
		key.id = BPF_CORE_READ(unit, kn, id);
		if (bpf_map_lookup_elem(&kiln_quarantined, &key))
			return true;
	}
	key.id = BPF_CORE_READ(leader, tgid);
	key.start = BPF_CORE_READ(leader, start_boottime);
	return bpf_map_lookup_elem(&kiln_quarantined, &key);
}

/* The current process's word, which is one of its own: it may be older than the quarantine. */
__noinline u64 kiln_word_inside(u64 word)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!kiln_is_inside(task->group_leader, task->cgroups->dfl_cgrp))
		return word;
	return (word & ~0xffffffffull) | kiln_label_inside(word);
}

/*
 * Whether a unit is one that the machine cannot be run without: the manager's own, the journal, the agent, and the
 * operator's way in. What a guard of all units says, these are refused as others are, and no more.
 */
static __always_inline bool kiln_keeps_the_machine(struct cgroup *unit)
{
	u64 name[3] = {}, four, five;

	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(unit, kn, name));
	four = name[0] & 0xffffffffull;
	five = name[0] & 0xffffffffffull;
	if (name[0] == KILN_NAME8('s', 'y', 's', 't', 'e', 'm', 'd', '-'))
		return (name[1] == KILN_NAME8('j', 'o', 'u', 'r', 'n', 'a', 'l', 'd') && (u8)name[2] == '.') ||
		       name[1] == KILN_NAME8('l', 'o', 'g', 'i', 'n', 'd', '.', 's');
	if (name[0] == KILN_NAME8('k', 'i', 'l', 'n', '-', 'a', 'g', 'e'))
		return name[1] == KILN_NAME8('n', 't', '.', 's', 'e', 'r', 'v', 'i');
	if (name[0] == KILN_NAME8('k', 'i', 'l', 'n', '-', 'l', 'o', 'a'))
		return name[1] == KILN_NAME8('d', '.', 's', 'e', 'r', 'v', 'i', 'c');
	return name[0] == KILN_NAME8('i', 'n', 'i', 't', '.', 's', 'c', 'o') ||
	       name[0] == KILN_NAME8('s', 'e', 's', 's', 'i', 'o', 'n', '-') ||
	       four == KILN_NAME8('s', 's', 'h', '.', 0, 0, 0, 0) ||
	       four == KILN_NAME8('s', 's', 'h', '@', 0, 0, 0, 0) ||
	       five == KILN_NAME8('s', 's', 'h', 'd', '.', 0, 0, 0) ||
	       five == KILN_NAME8('s', 's', 'h', 'd', '@', 0, 0, 0) ||
	       five == KILN_NAME8('u', 's', 'e', 'r', '@', 0, 0, 0);
}

/*
 * Whether a label is one in quarantine: what it is refused, the task's own calls are. A socket does not bear it, which
 * may outlast the quarantine, or be another unit's.
 */
static __always_inline bool kiln_is_quarantined(u32 label)
{
	struct kiln_subject *s = NULL;
	struct kiln_tables *t;

	if (!*(volatile u64 *)&kiln_state.quarantines)
		return false;
	t = kiln_generation(kiln_index(kiln_active()));
	if (t)
		s = kiln_subject_of(t, label);
	return s && s->flags & KILN_S_QUARANTINE;
}

struct kiln_entering {
	u64 unit; /* address of its cgroup */
	u32 level, from, to;
};

/* The marks of a unit's cgroup and of those below it. */
static long kiln_enter_mark(u32 at, struct kiln_entering *e)
{
	struct kiln_mark *mark = kiln_mark(at << 2);
	u64 marked = *(volatile u64 *)&mark->group;
	struct cgroup *group = (void *)marked;

	if (!marked || marked == KILN_MARK_SHARED || *(volatile u32 *)&mark->label != e->from)
		return 0;
	if (marked == e->unit ||
	    (BPF_CORE_READ(group, level) > (int)e->level && (u64)kiln_ancestor_at(group, e->level) == e->unit))
		*(volatile u32 *)&mark->label = e->to;
	return 0;
}

/* All that is in a unit's cgroup has another label from now on; who bears one itself has it by kiln_word_inside(). */
static __always_inline bool kiln_enter_unit(struct cgroup *unit, u64 id, u32 from, u32 to)
{
	struct kiln_entering e = {.unit = (u64)unit, .level = BPF_CORE_READ(unit, level), .from = from, .to = to};

	if (bpf_map_update_elem(&kiln_cgroups, &id, &to, BPF_ANY))
		return false;
	bpf_loop(KILN_PLACES, kiln_enter_mark, &e, 0);
	return true;
}

/* Whether this generation has no subject of its own for a label: its tasks are the host's. */
static __always_inline bool kiln_is_the_hosts(u32 label)
{
	struct kiln_tables *t = kiln_generation(kiln_index(kiln_active()));

	return t && kiln_subject_index(t, label) == 1;
}

/* A label that a slice has of an earlier policy: in it are other units. The name is read piece by piece, for the stack.
 */
static __always_inline bool kiln_is_slice(struct cgroup *unit)
{
	u64 name = (u64)BPF_CORE_READ(unit, kn, name), last = 0, end = 0;
	char piece[16];
	long len = 0;

	for (int i = 0; i < 17 && !end; i++) {
		len = bpf_probe_read_kernel_str(piece, sizeof(piece), (void *)name + i * 15);
		if (len < 0)
			return true;
		if (len < (long)sizeof(piece))
			end = i * 15 + len;
	}
	if (end < 7 || bpf_probe_read_kernel(&last, 6, (void *)name + end - 7))
		return !end;
	return last == KILN_NAME8('.', 's', 'l', 'i', 'c', 'e', 0, 0);
}

static const struct kiln_throttle kiln_no_throttle = {};

/*
 * Throttles the unit in which the current task is. Its traffic is held to less from now on (limit.bpf.c), the rest is
 * the agent's to do, by the entry. Nobody is throttled who could not be put into quarantine, and no process outside of
 * a unit. Where the table is full the refusal is all that follows.
 */
__noinline int kiln_throttle(u32 generation, u32 rule)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct cgroup *unit = kiln_labelled_group(task->cgroups->dfl_cgrp);
	u64 id, now = bpf_ktime_get_boot_ns();
	struct kiln_throttle *entry;
	u32 label;

	if (!unit || kiln_keeps_the_machine(unit) || kiln_is_slice(unit))
		return 0;
	id = BPF_CORE_READ(unit, kn, id);
	label = kiln_label_by_id(id);
	if (!label || kiln_is_the_hosts(label))
		return 0;
	__sync_lock_test_and_set(&kiln_state.throttles, 1);
	/* Filled in its place: the stack is used up by who calls this. */
	bpf_map_update_elem(&kiln_throttled, &id, &kiln_no_throttle, BPF_NOEXIST);
	entry = bpf_map_lookup_elem(&kiln_throttled, &id);
	if (!entry)
		return 0;
	if (*(volatile u64 *)&entry->until_ns <= now) {
		entry->time_ns = now;
		entry->serial = kiln_serial(generation);
		entry->label = label;
		entry->rule = rule & KILN_RULE_MASK;
		entry->pid = task->tgid;
	}
	*(volatile u64 *)&entry->until_ns = now + KILN_THROTTLE_NS;
	return 0;
}

static const struct kiln_quarantine kiln_no_quarantine = {};

/*
 * Puts who asks into quarantine: the unit, where the label is its cgroup's, else the process. False: it could not be.
 */
__noinline bool kiln_quarantine(u32 generation, u32 rule)
{
	struct task_struct *task = bpf_get_current_task_btf(), *leader = task->group_leader;
	struct cgroup *unit = kiln_labelled_group(task->cgroups->dfl_cgrp);
	struct kiln_task *own = bpf_task_storage_get(&kiln_labels, leader, 0, 0);
	struct kiln_quarantine_key key = {};
	struct kiln_quarantine *entry;
	u32 of_unit = 0, label, to;

	if (unit) {
		key.id = BPF_CORE_READ(unit, kn, id);
		of_unit = kiln_label_by_id(key.id);
	}
	label = own ? own->label : of_unit;
	/* The host's tasks are refused, and no more; so is who has come to an operator's session, or to a slice. */
	if (!label || kiln_is_the_hosts(label) || (!unit && kiln_keeps_the_machine(task->cgroups->dfl_cgrp)))
		return true;
	to = kiln_label_inside(label);
	if (to == label)
		return true;
	if (of_unit == label && (kiln_keeps_the_machine(unit) || kiln_is_slice(unit)))
		return true;
	if (of_unit != label) {
		key.id = task->tgid;
		key.start = leader->start_boottime;
	}
	__sync_lock_test_and_set(&kiln_state.quarantines, 1);
	/* Filled in its place, for the stack. */
	if (bpf_map_update_elem(&kiln_quarantined, &key, &kiln_no_quarantine, BPF_ANY))
		return false;
	entry = bpf_map_lookup_elem(&kiln_quarantined, &key);
	if (entry) {
		entry->time_ns = bpf_ktime_get_boot_ns();
		entry->serial = kiln_serial(generation);
		entry->rule = rule;
		entry->pid = task->tgid;
		entry->label = label;
	}
	if (of_unit == label)
		return kiln_enter_unit(unit, key.id, label, to);
	if (!own)
		return false;
	*(volatile u32 *)&own->label = to;
	return true;
}

/*
 * What a decision says to the current task. `answer`: 0, -EPERM, or the number of the rule that asks for quarantine,
 * or with KILN_ASKS_THROTTLE for a throttle, and one more: it is done here, where the stack suffices. Who cannot be put
 * into quarantine is ended.
 */
static __always_inline int kiln_answer(const struct kiln_ids *ids, int answer)
{
	/* What systemd's own code does in the unit's name, before the unit's program runs, is the host's. */
	if (answer > 0 && ids->label != KILN_LABEL_HOST) {
		if ((answer - 1) & KILN_ASKS_THROTTLE)
			kiln_throttle(ids->generation, answer - 1);
		else if (!kiln_quarantine(ids->generation, answer - 1))
			bpf_send_signal(9);
	}
	return answer ? -EPERM : 0;
}

#endif
