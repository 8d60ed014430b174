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
	u32 state;
};

#define KILN_CHUNK 16

/* Follows `n` bytes from `pos` on, without a test for the end at each: the callers cut the length into such pieces. */
static __always_inline u32 kiln_steps(struct kiln_tables *t, u32 state, const u8 *bytes, u64 pos, const u32 n)
{
	barrier_var(pos);
	if (pos >= KILN_PATH_MAX + 256 - KILN_CHUNK)
		return 0;
	barrier_var(pos);
	bytes += pos;
#pragma unroll
	for (u32 i = 0; i < n; i++)
		state = kiln_step(t, state, t->hdr.path_class[bytes[i]]);
	return state;
}

static long kiln_walk_chunk(u32 turn, struct kiln_walk *w)
{
	u64 pos = *(volatile u64 *)w->pos;

	w->state = kiln_steps(w->t, w->state, w->bytes, pos, KILN_CHUNK);
	*(volatile u64 *)w->pos = pos + KILN_CHUNK;
	return !w->state;
}

/* Walks bytes[*pos..end] from `state` by path classes; returns the last state. */
static __always_inline u32 kiln_walk_path(struct kiln_tables *t, u32 state, const u8 *bytes, u64 *pos, u32 end)
{
	u64 at = *(volatile u64 *)pos, len = end - at;

	if (len & 1) {
		state = kiln_steps(t, state, bytes, at, 1);
		at += 1;
	}
	if (len & 2) {
		state = kiln_steps(t, state, bytes, at, 2);
		at += 2;
	}
	if (len & 4) {
		state = kiln_steps(t, state, bytes, at, 4);
		at += 4;
	}
	if (len & 8) {
		state = kiln_steps(t, state, bytes, at, 8);
		at += 8;
	}
	if (len >= KILN_CHUNK && state) {
		struct kiln_walk w = {.t = t, .bytes = bytes, .pos = pos, .state = state};

		if (len > KILN_PATH_MAX)
			return 0;
		*(volatile u64 *)pos = at;
		bpf_loop(len / KILN_CHUNK, kiln_walk_chunk, &w, 0);
		state = w.state;
	}
	return state;
}

/* Walks a network key from byte `from` on; short and of fixed length, so the verifier may unroll it. */
static __always_inline u32 kiln_walk_net_from(struct kiln_tables *t, u32 state, const u8 *key, const u32 from)
{
#pragma unroll
	for (u32 i = from; i < KILN_NET_KEY; i++)
		state = kiln_step(t, state, t->hdr.net_class[key[i]]);
	return state;
}

static __always_inline u32 kiln_walk_net(struct kiln_tables *t, u32 state, const u8 *key)
{
	return kiln_walk_net_from(t, state, key, 0);
}

#endif
