/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The automaton's walk and the tables' arrays: shared by the LSM programs and the native test program. */
#ifndef KILN_DFA_H
#define KILN_DFA_H

/*
 * `n` words from index `idx`, or NULL. The second barrier keeps the compiler
 * from forming the address before the compare, where the verifier knows no bound.
 */
static __always_inline void *kiln_words(struct kiln_tables *t, u32 idx, const u32 n)
{
	u64 at = idx;

	barrier_var(at);
	if (at >= KILN_WORDS - n)
		return NULL;
	barrier_var(at);
	return &t->words[at];
}

static __always_inline struct kiln_subject *kiln_subject_at(struct kiln_tables *t, u32 index)
{
	return kiln_words(t, t->hdr.subjects_off + index * (sizeof(struct kiln_subject) / 8),
			  sizeof(struct kiln_subject) / 8);
}

static __always_inline struct kiln_decision *kiln_decision_at(struct kiln_tables *t, u32 index)
{
	return kiln_words(t, t->hdr.decisions_off + index * (sizeof(struct kiln_decision) / 8),
			  sizeof(struct kiln_decision) / 8);
}

static __always_inline struct kiln_outcome *kiln_outcome_at(struct kiln_tables *t, u32 index)
{
	return kiln_words(t, t->hdr.outcomes_off + index, 1);
}

/* Follows one byte. State 0 is dead and stays dead: its words are all zero. */
static __always_inline u32 kiln_step(struct kiln_tables *t, u32 state, u32 class)
{
	u64 at = state;
	u64 edge;

	barrier_var(at);
	if (at >= KILN_WORDS - 257)
		return 0;
	barrier_var(at);
	edge = t->words[at + 1 + (class & 0xff)];
	if ((edge >> 32) == state)
		return (u32)edge;
	return (u32)t->words[at];
}

/* What a state accepts; 0: nothing. */
static __always_inline u32 kiln_accept(struct kiln_tables *t, u32 state)
{
	u64 *word = kiln_words(t, state, 1);

	return word ? *word >> 32 : 0;
}

struct kiln_walk {
	struct kiln_tables *t;
	const u8 *bytes; /* KILN_PATH_MAX + 256 of them may be read */
	u64 *pos;	 /* in a map, so that the verifier need not count turns */
	u32 end;
	u32 state;
};

#define KILN_CHUNK 16

/* One turn of the loop follows up to KILN_CHUNK bytes, so that the call per turn weighs little. */
static long kiln_walk_chunk(u32 turn, struct kiln_walk *w)
{
	struct kiln_tables *t = w->t;
	const u8 *bytes = w->bytes;
	u32 end = w->end, state = w->state;
	u64 pos = *(volatile u64 *)w->pos;

#pragma unroll
	for (int i = 0; i < KILN_CHUNK; i++) {
		u64 at = pos;

		if (pos >= end || !state)
			goto out;
		barrier_var(at);
		if (at >= KILN_PATH_MAX + 256)
			goto out;
		barrier_var(at);
		state = kiln_step(t, state, t->hdr.path_class[bytes[at]]);
		pos++;
	}
	*(volatile u64 *)w->pos = pos;
	w->state = state;
	return 0;
out:
	w->state = state;
	return 1;
}

/* Walks bytes[*pos..end] from `state` by path classes; returns the last state. */
static __always_inline u32 kiln_walk_path(struct kiln_tables *t, u32 state, const u8 *bytes, u64 *pos, u32 end)
{
	struct kiln_walk w = {.t = t, .bytes = bytes, .pos = pos, .end = end, .state = state};

	bpf_loop(KILN_PATH_MAX / KILN_CHUNK + 1, kiln_walk_chunk, &w, 0);
	return w.state;
}

/* Walks a network key; short and of fixed length, so the verifier may unroll it. */
static __always_inline u32 kiln_walk_net(struct kiln_tables *t, u32 state, const u8 *key)
{
#pragma unroll
	for (int i = 0; i < KILN_NET_KEY; i++)
		state = kiln_step(t, state, t->hdr.net_class[key[i]]);
	return state;
}

#endif
