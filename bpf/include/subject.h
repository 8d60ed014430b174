/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who asks: the subject of a label in the generation that is active now. */
#ifndef KILN_SUBJECT_H
#define KILN_SUBJECT_H

/* What names a request's policy: `generation` is read once, so a flip never mixes two. */
struct kiln_ids {
	u32 label;
	u16 generation; /* index into the outer map */
	u16 subject;	/* the index of the one that decides; 0: none. All of it two words, for the stack */
};
_Static_assert(KILN_WORDS / (sizeof(struct kiln_subject) / 8) < 1 << 16, "an index of a subject has 16 bits");
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

/* Index into the outer map of a word that is not inactive. */
static __always_inline u32 kiln_index(u64 active)
{
	return active & ((1u << KILN_TURN_SHIFT) - 1);
}

static __always_inline struct kiln_tables *kiln_generation(u32 generation)
{
	u32 zero = 0;
	void *inner = bpf_map_lookup_elem(&kiln_tables_outer, &generation);

	return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

#include "user.h"
#include "clock.h"

/* The index of a label's subject; 0: none, which no subject has. */
static __always_inline u32 kiln_subject_index(struct kiln_tables *t, u32 label)
{
	u64 at = label;
	u32 index;

	barrier_var(at);
	if (at >= KILN_SLOTS)
		return 0;
	barrier_var(at);
	index = t->slot[at];
	if (!index || index > t->hdr.n_subjects)
		return 0;
	return index - 1;
}

/* A label's subject, whatever the time is: of use where nothing is permitted by it. */
static __always_inline struct kiln_subject *kiln_subject_of(struct kiln_tables *t, u32 label)
{
	u32 index = kiln_subject_index(t, label);

	return index ? kiln_subject_at(t, index) : NULL;
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

/* Whether it matters to a label's subject which user asks: then one label does not say that two are alike. */
static __always_inline bool kiln_by_user(u32 label)
{
	struct kiln_tables *t = kiln_generation(kiln_index(kiln_active()));
	struct kiln_subject *s = t ? kiln_subject_of(t, label) : NULL;

	return s && s->flags & KILN_S_USER;
}

/* The index of the one that decides for `s`. One call behind the other, for the sake of the stack. */
static __always_inline u32 kiln_varied(struct kiln_subject *s, u32 generation, u32 index, u64 user)
{
	u32 matching = s->flags & KILN_S_USER ? kiln_user_matches(generation, user) : 0;

	return kiln_deciding(generation, index, matching);
}

/* The subject of a label that decides now for a user; NULL: none. */
static __always_inline struct kiln_subject *kiln_subject_now(struct kiln_tables *t, u32 generation, u32 label, u64 user)
{
	u32 index = kiln_subject_index(t, label);
	struct kiln_subject *s = index ? kiln_subject_at(t, index) : NULL;

	if (s && s->flags & KILN_S_VARIES)
		s = kiln_subject_at(t, kiln_varied(s, generation, index, user));
	return s;
}

/* `user`: as whom is asked, for the subjects to which that matters (user.h). */
static __always_inline int kiln_enter_label(struct kiln_who *who, u64 active, u32 label, u64 user, u32 verbs)
{
	u32 index;

	who->id.generation = kiln_index(active);
	who->id.label = label;
	who->t = kiln_generation(kiln_index(active));
	if (!who->t)
		return KILN_BROKEN;
	index = kiln_subject_index(who->t, label);
	who->s = index ? kiln_subject_at(who->t, index) : NULL;
	if (!who->s)
		return KILN_DECIDE;
	if (who->s->flags & KILN_S_VARIES) {
		index = kiln_varied(who->s, who->id.generation, index, user);
		who->s = kiln_subject_at(who->t, index);
		if (!who->s)
			return KILN_DECIDE;
	}
	who->id.subject = index;
	return who->s->verbs & verbs ? KILN_DECIDE : KILN_PASS;
}

/* What is valid for a label until the next flip: the bits of kiln_mark.pass above KILN_PASS_BITS. */
static __always_inline u64 kiln_pass_key(u64 active, u32 label)
{
	return (u64)((u32)active >> KILN_TURN_SHIFT) << 12 | label;
}
_Static_assert(KILN_SLOTS <= 1 << 12 && KILN_PASS_BITS + 12 + 24 == 64, "a turn, a label and bits make a word");

/* What a subject may do without a look at the object. */
static __always_inline u64 kiln_pass_of(struct kiln_subject *s)
{
	u32 verbs = (1u << KILN_VERBS) - 1;

	return (~s->verbs & verbs) | (s->any_tcp >> KILN_BIND & 7) << KILN_PASS_TCP |
	       (s->any_udp >> KILN_BIND & 7) << KILN_PASS_UDP;
}

/* Whether it was found before, since the last flip, that one of `bits` of kiln_mark.pass permits. False says nothing.
 */
static __always_inline bool kiln_passes(const struct kiln_me *me, u64 bits)
{
	struct kiln_mark *mark = kiln_mark(me->place);
	u64 pass;

	if (!kiln_by_mark(me))
		return false;
	pass = *(volatile u64 *)&mark->pass;
	return pass & bits && pass >> KILN_PASS_BITS == kiln_pass_key(kiln_active(), *(volatile u32 *)&mark->label);
}

/* A process with its word. `any`: KILN_PASS_* bits that are as good. */
static __always_inline int kiln_enter_as(struct kiln_who *who, const struct kiln_me *me, u64 word, u32 verbs, u32 any)
{
	u64 active = kiln_active(), key = 0, pass = 0;
	u32 label = KILN_LABEL_HOST;
	bool remembers;
	int entry;

	if (word && !(word >> 32 & KILN_T_STARTING))
		label = word;
	else if (!((active >> 32) & verbs))
		return KILN_PASS;
	if ((u32)active == KILN_INACTIVE)
		return KILN_PASS;
	remembers = word >> 32 & KILN_T_GROUP && *(volatile u64 *)&kiln_mark(me->place)->group == me->group;
	if (remembers) {
		key = kiln_pass_key(active, label);
		pass = *(volatile u64 *)&kiln_mark(me->place)->pass;
		if (pass >> KILN_PASS_BITS == key && (pass & any || (pass & verbs) == verbs))
			return KILN_PASS;
	}
	entry = kiln_enter_label(who, active, label, KILN_USER_CURRENT, verbs);
	if (remembers && pass >> KILN_PASS_BITS != key && who->s && !(who->s->flags & KILN_S_VARIES)) {
		pass = key << KILN_PASS_BITS | kiln_pass_of(who->s);
		*(volatile u64 *)&kiln_mark(me->place)->pass = pass;
		if (pass & any)
			return KILN_PASS;
	}
	return entry;
}

/* The first step of every hook: who asks, and can the answer to any of `verbs` be other than yes? */
static __always_inline int kiln_enter(struct kiln_who *who, u32 verbs)
{
	struct kiln_me me = kiln_me();

	return kiln_enter_as(who, &me, kiln_word(&me), verbs, 0);
}

#endif
