/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From a request to a verdict: the quick yes first, then the report and the refusal. */
#ifndef KILN_VERDICT_H
#define KILN_VERDICT_H

/* What a report says beside the decision. */
struct kiln_about {
	u32 kind;   /* enum kiln_object */
	u32 reason; /* enum kiln_reason */
	u32 bit;    /* capability or kernel operation */
	u32 pos;    /* where the path begins in the scratch; PATH_FAIL: none */
	u32 quiet;  /* decide, do not report: a probe that the kernel itself does not audit */
	u32 pid;    /* the subject's process where it is not the current task; else 0 */
	u32 firm;   /* by the guards alone: no audit spares it */
	u8 net[20]; /* the network key */
};

#include "audit.h"

/*
 * The functions below that are not inline are global: the verifier looks at
 * them once a program. `what` is the verb, the verdict in the second byte, and KILN_SPARED.
 */
__noinline int kiln_report(struct kiln_ids *id, struct kiln_scratch *s, struct kiln_about *about,
			   struct kiln_outcome *outcome, u32 what)
{
	struct kiln_event *e;
	u32 len = 0;

	if (!s || !about || !id)
		return 0;
	e = &s->event;
	kiln_event_task(e);
	/* Of the task that a packet interrupts nothing is told; the agent looks who the process is. */
	if (about->pid && about->pid != e->pid) {
		e->pid = e->tid = about->pid;
		e->start_time_ns = e->cgroup_id = 0;
		e->ppid = 0;
		e->uid = ~0u;
		__builtin_memset(e->comm, 0, sizeof(e->comm));
	}
	e->generation = kiln_serial(id->generation);
	e->label = id->label;
	e->rule = ~0u;
	e->severity = KILN_HIGH;
	e->action = KILN_ALERT;
	e->mode = KILN_ENFORCE;
	if (outcome) {
		e->rule = outcome->rule;
		e->severity = outcome->severity;
		e->action = outcome->action;
		e->mode = outcome->mode;
		/* The host is never put into quarantine, nor throttled. */
		if (id->label == KILN_LABEL_HOST && (e->action == KILN_QUARANTINE || e->action == KILN_THROTTLE))
			e->action = KILN_ALERT;
	}
	if (what & KILN_SPARED)
		e->mode = KILN_AUDIT;
	e->verb = what & 0xff;
	e->verdict = what >> 8;
	e->reason = outcome && outcome->reason ? outcome->reason : about->reason;
	e->object_kind = about->kind;
	e->bit = about->bit;
	e->protocol = about->net[0];
	e->port = (u16)about->net[17] << 8 | about->net[18];
	__builtin_memcpy(e->address, &about->net[1], 16);
	if (about->pos < KILN_PATH_MAX) {
		u64 pos = about->pos, size = KILN_PATH_MAX - pos;

		barrier_var(pos);
		barrier_var(size);
		if (pos >= KILN_PATH_MAX || size > KILN_PATH_MAX)
			return 0;
		barrier_var(pos);
		barrier_var(size);
		bpf_probe_read_kernel(e->object, size, &s->path[pos]);
		len = size;
	}
	kiln_send(e, len);
	return 0;
}

/* Refused without a rule: fail closed, and say so. */
static __always_inline int kiln_refuse(struct kiln_ids *id, struct kiln_scratch *s, struct kiln_about *about, u32 verb,
				       u32 reason)
{
	kiln_count(KILN_C_FAILED_CLOSED);
	about->reason = reason;
	if (s)
		kiln_report(id, s, about, NULL, verb | KILN_V_DENIED << 8);
	return -EPERM;
}

static __always_inline u32 kiln_lowest(u32 bits)
{
	u32 i = 0;

	if (!(bits & 0xff)) {
		i = 8;
		bits >>= 8;
	}
	if (!(bits & 0xf)) {
		i += 4;
		bits >>= 4;
	}
	if (!(bits & 3)) {
		i += 2;
		bits >>= 2;
	}
	return bits & 1 ? i : i + 1;
}

/* What a refusal of the current task asks for beside it: as kiln_answer() takes it. */
static __always_inline int kiln_respond(struct kiln_outcome *outcome)
{
	if (outcome->action == KILN_KILL)
		bpf_send_signal(9);
	if (outcome->action != KILN_QUARANTINE && outcome->action != KILN_THROTTLE)
		return -EPERM;
	return (int)((outcome->rule & KILN_RULE_MASK) | (outcome->action == KILN_THROTTLE ? KILN_ASKS_THROTTLE : 0)) +
	       1;
}

/* By these it would no longer be the agent that does it. */
#define KILN_RUNS (1u << KILN_EXEC | 1u << KILN_LOAD)

/* A decision that is not a plain yes; its answer is for kiln_answer(). The tables are looked up again: a pointer can't
 * be handed over. */
__noinline int kiln_apply(struct kiln_ids *id, struct kiln_scratch *s, struct kiln_about *about, u32 index, u32 verbs)
{
	struct kiln_outcome *outcome;
	struct kiln_decision *d;
	struct kiln_tables *t;
	u32 verdict, bits, spared = verbs & KILN_SPARED;
	u64 verb;

	if (!id || !about)
		return -EPERM;
	t = kiln_generation(id->generation);
	if (!t)
		return -EPERM;
	d = kiln_decision_at(t, index);
	if (!d)
		return -EPERM;
	if (d->deny & verbs) {
		/*
		 * A guard of the whole host that protects Kiln's files must not keep the agent from them, nor from
		 * seeing who runs.
		 */
		if (id->label == KILN_LABEL_HOST && !(verbs & KILN_RUNS) &&
		    (about->kind == KILN_O_PATH || about->kind == KILN_O_UNIX) && kiln_is_agent())
			return 0;
		bits = d->deny & verbs;
		verdict = spared ? KILN_V_WOULD_DENY : KILN_V_DENIED;
		kiln_count(spared ? KILN_C_WOULD : KILN_C_DENIED);
	} else if (d->would & verbs) {
		bits = d->would & verbs;
		verdict = KILN_V_WOULD_DENY;
		kiln_count(KILN_C_WOULD);
		spared = 0;
	} else {
		bits = d->watch & verbs;
		verdict = KILN_V_WATCHED;
		spared = 0;
	}
	verb = kiln_lowest(bits);
	barrier_var(verb);
	if (verb >= KILN_OBJECT_VERBS)
		return -EPERM;
	barrier_var(verb);
	outcome = kiln_outcome_at(t, d->outcome[verb]);
	if (s && !about->quiet)
		kiln_report(id, s, about, outcome, verb | verdict << 8 | spared);
	if (verdict != KILN_V_DENIED)
		return 0;
	return outcome && !about->pid && !about->quiet ? kiln_respond(outcome) : -EPERM;
}

/* The same for the current task, which may be in audit mode. */
static __always_inline int kiln_apply_here(struct kiln_who *who, struct kiln_scratch *s, struct kiln_about *about,
					   u32 index, u32 verbs, const bool net)
{
	if (kiln_audits() && kiln_spared(&who->id, s, about, verbs, net))
		verbs |= KILN_SPARED;
	return kiln_answer(&who->id, kiln_apply(&who->id, s, about, index, verbs));
}

static __always_inline int kiln_decide(struct kiln_who *who, struct kiln_scratch *s, struct kiln_about *about,
				       u32 index, u32 verbs)
{
	struct kiln_decision *d = kiln_decision_at(who->t, index);

	if (d && !((d->deny | d->would | d->watch) & verbs))
		return 0;
	return kiln_apply_here(who, s, about, index, verbs, false);
}

/* What the state after s->path[s->pos..end] accepts. */
__noinline u32 kiln_match(struct kiln_tables *t, struct kiln_scratch *s, u32 state, u32 end)
{
	if (!t || !s)
		return 0;
	return kiln_accept(t, kiln_walk_path(t, state, s->path, &s->pos, end));
}

/* A path already in the scratch from `about->pos` on (PATH_FAIL: it could not be resolved). */
static __always_inline int kiln_decide_path(struct kiln_who *who, struct kiln_scratch *s, struct kiln_about *about,
					    u32 verbs)
{
	u32 index;

	if (about->pos == PATH_FAIL) {
		about->reason = KILN_R_PATH;
		return kiln_decide(who, s, about, who->s->fail, verbs);
	}
	s->pos = about->pos;
	index = kiln_match(who->t, s, who->s->path_start, KILN_PATH_MAX);
	return kiln_decide(who, s, about, index ? index : who->s->path_default, verbs);
}

/* The guards' decision by the machine's name of s->asked, which the task reached by s->asked_mount. */
__noinline int kiln_apply_host(struct kiln_ids *id, struct kiln_scratch *s, struct kiln_about *about, u32 verbs)
{
	struct kiln_subject *subject;
	struct kiln_decision *d;
	struct kiln_tables *t;
	u32 index;

	if (!id || !s || !about)
		return -EPERM;
	about->pos = kiln_resolve_host(s);
	if (about->pos == PATH_NONE)
		return 0;
	t = kiln_generation(id->generation);
	if (!t)
		return -EPERM;
	/* The one that was found at the request's instant: by the label another could be found now. */
	subject = id->subject ? kiln_subject_at(t, id->subject) : NULL;
	if (!subject)
		return -EPERM;
	if (about->pos == PATH_FAIL) {
		about->reason = KILN_R_PATH;
		index = subject->guard_fail;
	} else {
		s->pos = about->pos;
		index = kiln_match(t, s, subject->guard_start, KILN_PATH_MAX);
	}
	d = kiln_decision_at(t, index);
	if (d && !((d->deny | d->would | d->watch) & verbs))
		return 0;
	return kiln_apply(id, s, about, index, verbs);
}

/*
 * As kiln_decide_path, and by the machine's name where guards name files. The mount and the dentry may be mere
 * addresses, the mount NULL. What is unknown the guards refused already.
 */
static __always_inline int kiln_decide_file(struct kiln_who *who, struct kiln_scratch *s, struct kiln_about *about,
					    u32 verbs, struct vfsmount *mnt, struct dentry *dentry)
{
	int ret = kiln_decide_path(who, s, about, verbs);

	if (ret || !(who->s->guard_verbs & verbs) || about->pos == PATH_FAIL)
		return ret;
	*(volatile u64 *)&s->asked = (u64)dentry;
	*(volatile u64 *)&s->asked_mount = mnt ? (u64)kiln_real_mount(mnt) : 0;
	return kiln_answer(&who->id, kiln_apply_host(&who->id, s, about, verbs));
}

/* What is known of a dentry before it is resolved. */
enum kiln_how {
	KILN_NAMED,   /* a name: there now, or about to be */
	KILN_OPENED,  /* of an open file: removed, it has no path */
	KILN_ADDRESS, /* both are mere addresses; the mount may be NULL */
};

/* Resolves and decides for a process. */
static __always_inline int kiln_check_path_as(const struct kiln_me *me, u32 verbs, struct vfsmount *mnt,
					      struct dentry *dentry, const enum kiln_how how)
{
	struct kiln_about about;
	struct kiln_scratch *s;
	struct kiln_who who = {};
	int entry = kiln_enter_as(&who, me, kiln_word(me), verbs, 0), ret;

	if (entry == KILN_PASS)
		return 0;
	__builtin_memset(&about, 0, sizeof(about));
	about.kind = KILN_O_PATH;
	about.pos = PATH_FAIL;
	s = kiln_scratch_take();
	if (entry == KILN_BROKEN || !s || !who.s) {
		ret = kiln_refuse(&who.id, s, &about, kiln_lowest(verbs),
				  entry == KILN_BROKEN ? KILN_R_TABLES
				  : !s		       ? KILN_R_MEMORY
						       : KILN_R_LABEL);
	} else {
		if (how == KILN_ADDRESS) {
			about.pos = kiln_resolve_any(s, mnt, dentry);
		} else if (how == KILN_NAMED || !kiln_unlinked(mnt, dentry)) {
			about.pos = kiln_resolve(s, me->task, mnt, dentry);
		}
		/* What is executed or mapped to be executed is a matter of names, whatever it is. */
		if (about.pos == PATH_FAIL && mnt && !(verbs & (1u << KILN_EXEC | 1u << KILN_LOAD)) &&
		    kiln_kernels_own(mnt, dentry))
			ret = 0;
		else
			ret = kiln_decide_file(&who, s, &about, verbs, mnt, dentry);
	}
	if (s)
		kiln_scratch_give(s);
	return ret;
}

/* The way of most file hooks. */
static __always_inline int kiln_check_path(u32 verbs, struct vfsmount *mnt, struct dentry *dentry,
					   const enum kiln_how how)
{
	struct kiln_me me = kiln_me();

	return kiln_check_path_as(&me, verbs, mnt, dentry, how);
}

/* A bit that is not a plain yes. */
__noinline int kiln_apply_bit(struct kiln_ids *id, u32 verb, u32 bit, u32 quiet)
{
	bool cap = verb == KILN_CAPABILITY;
	struct kiln_about about = {.kind = cap ? KILN_O_CAPABILITY : KILN_O_KERNEL, .pos = PATH_FAIL, .bit = bit};
	struct kiln_outcome *outcome = NULL;
	struct kiln_subject *subject;
	u64 mask = 1ull << (bit & 63), *refs;
	struct kiln_scratch *s;
	struct kiln_tables *t;
	u32 at, verdict, spared = 0;

	if (!id)
		return -EPERM;
	t = kiln_generation(id->generation);
	if (!t)
		return -EPERM;
	subject = id->subject ? kiln_subject_at(t, id->subject) : NULL;
	if (!subject)
		return -EPERM;
	at = (cap ? subject->cap_off : subject->kernel_off) + bit;
	refs = kiln_words(t, t->hdr.outcome_refs_off + at / 2, 1);
	if (refs)
		outcome = kiln_outcome_at(t, at & 1 ? *refs >> 32 : (u32)*refs);
	if (mask & (cap ? subject->cap_deny : subject->kernel_deny)) {
		/* A guard of the whole host must not keep the agent from bpf(2) and from reading who runs. */
		if (id->label == KILN_LABEL_HOST && kiln_is_agent())
			return 0;
		spared = quiet & KILN_SPARED;
		verdict = spared ? KILN_V_WOULD_DENY : KILN_V_DENIED;
		kiln_count(spared ? KILN_C_WOULD : KILN_C_DENIED);
	} else if (mask & (cap ? subject->cap_would : subject->kernel_would)) {
		verdict = KILN_V_WOULD_DENY;
		kiln_count(KILN_C_WOULD);
	} else {
		verdict = KILN_V_WATCHED;
	}
	quiet &= ~KILN_SPARED;
	if (!quiet) {
		s = kiln_scratch_take();
		if (s) {
			kiln_report(id, s, &about, outcome, verb | verdict << 8 | spared);
			kiln_scratch_give(s);
		}
	}
	if (verdict != KILN_V_DENIED)
		return 0;
	return outcome && !quiet ? kiln_respond(outcome) : -EPERM;
}

/* A capability or kernel operation: one bit of the subject's masks. */
static __always_inline int kiln_decide_bit(struct kiln_who *who, u32 verb, u32 bit, u32 quiet)
{
	struct kiln_subject *s = who->s;
	u64 any = verb == KILN_CAPABILITY ? s->cap_deny | s->cap_would | s->cap_watch
					  : s->kernel_deny | s->kernel_would | s->kernel_watch;

	if (!(any >> (bit & 63) & 1))
		return 0;
	if (kiln_audits() && kiln_spared_bit(&who->id, verb, bit))
		quiet |= KILN_SPARED;
	return kiln_answer(&who->id, kiln_apply_bit(&who->id, verb, bit, quiet));
}

/* Refuses the current task without a path or rule at hand; `what` is the verb, the reason in the second byte. */
__noinline int kiln_refuse_task(struct kiln_ids *id, u32 kind, u32 bit, u32 what)
{
	struct kiln_about about = {.kind = kind, .pos = PATH_FAIL, .bit = bit};
	struct kiln_scratch *s;

	if (!id)
		return -EPERM;
	s = kiln_scratch_take();
	kiln_refuse(id, s, &about, what & 0xff, what >> 8);
	if (s)
		kiln_scratch_give(s);
	return -EPERM;
}

/* From 6.12 on the verifier wants to see that a hook returns an error code, which it can't see in a global function. */
static __always_inline int kiln_refuse_here(struct kiln_ids *id, u32 kind, u32 bit, u32 what)
{
	kiln_refuse_task(id, kind, bit, what);
	return -EPERM;
}

/* Why a request could not even be looked up. */
static __always_inline u32 kiln_broken(int entry)
{
	return (entry == KILN_BROKEN ? KILN_R_TABLES : KILN_R_LABEL) << 8;
}

static __always_inline int kiln_check_bit(u32 verb, u32 bit, u32 quiet)
{
	struct kiln_who who = {};
	int entry = kiln_enter(&who, 1u << verb);

	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, verb == KILN_CAPABILITY ? KILN_O_CAPABILITY : KILN_O_KERNEL, bit,
					verb | kiln_broken(entry));
	return kiln_decide_bit(&who, verb, bit, quiet);
}

/*
 * A kernel operation, in a form that goes round nothing: decided only where it is refused for its own sake, not as a
 * detour.
 */
static __always_inline int kiln_check_harmless(u32 bit, u32 quiet)
{
	struct kiln_who who = {};
	int entry = kiln_enter(&who, 1u << KILN_KERNEL);

	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_KERNEL, bit, KILN_KERNEL | kiln_broken(entry));
	return who.s->kernel_detour >> bit & 1 ? 0 : kiln_decide_bit(&who, KILN_KERNEL, bit, quiet);
}

#endif
