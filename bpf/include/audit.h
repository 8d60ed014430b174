/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * One unit in audit mode for a time, by an operator's word: what its profile refuses is reported and permitted, what
 * its guards refuse stays refused. Asked only where something is refused, so that nobody else pays for it; it ends here
 * by the clock, whether an agent lives or not.
 */
#ifndef KILN_AUDIT_H
#define KILN_AUDIT_H

#define KILN_SPARED 0x80000000u /* of `verbs`, and of `quiet` of a bit: reported, not refused */

__noinline u32 kiln_match(struct kiln_tables *t, struct kiln_scratch *s, u32 state, u32 end); /* verdict.h */
__noinline u32 kiln_match_net(struct kiln_tables *t, u32 state, struct kiln_about *about);    /* net.h */

/* Whether any unit is in audit mode, or was since the agent looked. */
static __always_inline bool kiln_audits(void)
{
	return *(volatile u64 *)&kiln_state.audit_until;
}

/* Whether a cgroup has the name that the agent told: in pieces, for the stack. */
static __always_inline bool kiln_is_audits(struct cgroup *unit)
{
	u64 name = (u64)BPF_CORE_READ(unit, kn, name);

	for (int i = 0; i < KILN_AUDIT_PIECES; i++) {
		volatile u64 *told = (volatile u64 *)&kiln_state.audit_unit[2 * i];
		u64 piece[2] = {};
		long len = bpf_probe_read_kernel_str(piece, sizeof(piece), (void *)name + i * KILN_AUDIT_PIECE);

		if (len < 0 || piece[0] != told[0] || piece[1] != told[1])
			return false;
		if (len < (long)sizeof(piece))
			return true;
	}
	return false;
}

/*
 * The label of the guards alone, if the current task's unit is in audit mode and a request is decided by the unit's
 * label; 0: all stays refused. A task of the unit that has another profile is not meant.
 */
__noinline u32 kiln_audited(u32 generation, u32 label)
{
	u64 until = *(volatile u64 *)&kiln_state.audit_until, labels = *(volatile u64 *)&kiln_state.audit_labels;
	struct task_struct *task = bpf_get_current_task_btf();
	struct cgroup *unit;

	if (bpf_ktime_get_boot_ns() >= until || (u32)labels != label ||
	    *(volatile u64 *)&kiln_state.audit_serial != kiln_serial(generation))
		return 0;
	unit = kiln_labelled_group(task->cgroups->dfl_cgrp);
	return unit && kiln_is_audits(unit) ? labels >> 32 : 0;
}

/* The guards alone, as one label's subject; NULL: nothing is spared. What they say is the same at any time and for all.
 */
static __always_inline struct kiln_subject *kiln_guards_of(struct kiln_tables *t, u32 floor)
{
	struct kiln_subject *guards = t ? kiln_subject_of(t, floor) : NULL;

	return guards && !(guards->flags & (KILN_S_VARIES | KILN_S_SENTINEL)) ? guards : NULL;
}

/* Whether the guards alone refuse none of `verbs` at a path or unix socket; what they cannot be asked, they refuse. */
__noinline u32 kiln_spared_by(u32 floor, struct kiln_ids *id, struct kiln_scratch *s, struct kiln_about *about,
			      u32 verbs)
{
	struct kiln_subject *guards;
	struct kiln_decision *d;
	struct kiln_tables *t;
	u32 index;

	if (!id || !about)
		return 0;
	t = kiln_generation(id->generation);
	guards = kiln_guards_of(t, floor);
	if (!guards)
		return 0;
	index = guards->fail;
	if (about->pos != PATH_FAIL && about->reason != KILN_R_PATH && s) {
		s->pos = about->pos;
		index = kiln_match(t, s, guards->path_start, KILN_PATH_MAX);
		if (!index)
			index = guards->path_default;
	}
	d = kiln_decision_at(t, index);
	return d && !(d->deny & verbs);
}

/* The same of a network address. */
__noinline u32 kiln_spared_net_by(u32 floor, struct kiln_ids *id, struct kiln_about *about, u32 verbs)
{
	struct kiln_subject *guards;
	struct kiln_decision *d;
	struct kiln_tables *t;
	u32 index;

	if (!id || !about)
		return 0;
	t = kiln_generation(id->generation);
	guards = kiln_guards_of(t, floor);
	if (!guards)
		return 0;
	index = guards->fail_net;
	if (about->reason != KILN_R_ADDRESS) {
		index = kiln_match_net(t, guards->net_start, about);
		if (!index)
			index = guards->net_default;
	}
	d = kiln_decision_at(t, index);
	return d && !(d->deny & verbs);
}

/*
 * One call after the other, not within: for the stack. `net`: the object is a network address, which the caller knows
 * when it is compiled. A request that arrives at a socket is not the current task's.
 */
static __always_inline bool kiln_spared(struct kiln_ids *id, struct kiln_scratch *s, struct kiln_about *about,
					u32 verbs, const bool net)
{
	u32 floor = about->pid || about->firm ? 0 : kiln_audited(id->generation, id->label);

	if (!floor || (about->kind == KILN_O_NET) != net)
		return false;
	return net ? kiln_spared_net_by(floor, id, about, verbs) : kiln_spared_by(floor, id, s, about, verbs);
}

/* The same of a capability or kernel operation. */
__noinline u32 kiln_spared_bit_by(u32 floor, struct kiln_ids *id, u32 verb, u32 bit)
{
	struct kiln_tables *t = id ? kiln_generation(id->generation) : NULL;
	struct kiln_subject *guards = kiln_guards_of(t, floor);

	if (!guards)
		return 0;
	return !((verb == KILN_CAPABILITY ? guards->cap_deny : guards->kernel_deny) >> (bit & 63) & 1);
}

static __always_inline bool kiln_spared_bit(struct kiln_ids *id, u32 verb, u32 bit)
{
	u32 floor = kiln_audited(id->generation, id->label);

	return floor && kiln_spared_bit_by(floor, id, verb, bit);
}

#endif
