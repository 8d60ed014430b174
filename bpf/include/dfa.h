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

#define KILN_PATH_CLASS __builtin_offsetof(struct kiln_tables, hdr.path_class)
#define KILN_NET_CLASS __builtin_offsetof(struct kiln_tables, hdr.net_class)

/* A word of the automaton, by halves. */
struct kiln_edge {
	u32 next;
	u32 check; /* of a row's head: what the state accepts */
};

/*
 * Follows byte `at` of `bytes`. State 0 is dead and stays dead: its words are
 * all zero. In assembly, because this is what enforcement mostly does and the
 * compiler spends half as many instructions again: the byte's class, the row's
 * head, the entry of the class, and the next state by the entry if it is the
 * row's own, else by the head.
 */
#ifndef KILN_STEP
#define KILN_STEP(t, state, bytes, at, classes)                                                                        \
	({                                                                                                             \
		u64 row, edge, check;                                                                                  \
		asm volatile("%[edge] = *(u8 *)(%[from] + %[place])\n"                                                 \
			     "%[row] = %[next]\n"                                                                      \
			     "if %[row] > %[last] goto +10\n"                                                          \
			     "%[edge] += %[tables]\n"                                                                  \
			     "%[edge] = *(u8 *)(%[edge] + %[class])\n"                                                 \
			     "%[row] <<= 3\n"                                                                          \
			     "%[row] += %[tables]\n"                                                                   \
			     "%[edge] <<= 3\n"                                                                         \
			     "%[edge] += %[row]\n"                                                                     \
			     "%[check] = *(u32 *)(%[edge] + %[entry] + 12)\n"                                          \
			     "if %[check] == %[next] goto +4\n"                                                        \
			     "%[next] = *(u32 *)(%[row] + %[entry])\n"                                                 \
			     "goto +3\n"                                                                               \
			     "%[next] = 0\n"                                                                           \
			     "goto +1\n"                                                                               \
			     "%[next] = *(u32 *)(%[edge] + %[entry] + 8)\n"                                            \
			     : [next] "+r"(state), [row] "=&r"(row), [edge] "=&r"(edge), [check] "=&r"(check)          \
			     : [from] "r"(bytes), [place] "i"(at), [tables] "r"(t), [last] "i"(KILN_WORDS - 258),      \
			       [class] "i"(classes), [entry] "i"(__builtin_offsetof(struct kiln_tables, words)));      \
	})
#endif
#define KILN_STEP_2(t, state, bytes, at, classes)                                                                      \
	KILN_STEP(t, state, bytes, at, classes);                                                                       \
	KILN_STEP(t, state, bytes, at + 1, classes)
#define KILN_STEP_4(t, state, bytes, at, classes)                                                                      \
	KILN_STEP_2(t, state, bytes, at, classes);                                                                     \
	KILN_STEP_2(t, state, bytes, at + 2, classes)
#define KILN_STEP_8(t, state, bytes, at, classes)                                                                      \
	KILN_STEP_4(t, state, bytes, at, classes);                                                                     \
	KILN_STEP_4(t, state, bytes, at + 4, classes)

/* What a state accepts; 0: nothing. */
static __always_inline u32 kiln_accept(struct kiln_tables *t, u32 state)
{
	struct kiln_edge *head = kiln_words(t, state, 1);

	return head ? head->check & ~KILN_FINAL : 0;
}

/* Whether no further byte can change what the state accepts. */
static __always_inline bool kiln_is_final(struct kiln_tables *t, u32 state)
{
	struct kiln_edge *head = kiln_words(t, state, 1);

	return !head || !state || head->check & KILN_FINAL;
}

struct kiln_walk {
	struct kiln_tables *t;
	const u8 *bytes; /* KILN_PATH_MAX + 256 of them may be read */
	u64 *pos;	 /* in a map, so that the verifier need not count turns */
	u32 state;
};

#define KILN_CHUNK 16

/* Follows `n` bytes from `pos` on, without a test for the end at each: the callers cut the length into such pieces. */
static __always_inline u64 kiln_steps(struct kiln_tables *t, u64 state, const u8 *bytes, u64 pos, const u32 n)
{
	barrier_var(pos);
	if (pos >= KILN_PATH_MAX + 256 - KILN_CHUNK)
		return 0;
	barrier_var(pos);
	bytes += pos;
	if (n == 1) {
		KILN_STEP(t, state, bytes, 0, KILN_PATH_CLASS);
	} else if (n == 2) {
		KILN_STEP_2(t, state, bytes, 0, KILN_PATH_CLASS);
	} else if (n == 4) {
		KILN_STEP_4(t, state, bytes, 0, KILN_PATH_CLASS);
	} else {
		KILN_STEP_8(t, state, bytes, 0, KILN_PATH_CLASS);
		if (n == 16) {
			KILN_STEP_8(t, state, bytes, 8, KILN_PATH_CLASS);
		}
	}
	return state;
}

static long kiln_walk_chunk(u32 turn, struct kiln_walk *w)
{
	u64 pos = *(volatile u64 *)w->pos;

	w->state = kiln_steps(w->t, w->state, w->bytes, pos, KILN_CHUNK);
	*(volatile u64 *)w->pos = pos + KILN_CHUNK;
	return kiln_is_final(w->t, w->state);
}

/* Walks bytes[*pos..end] from `state` by path classes; returns the last state. */
static __always_inline u32 kiln_walk_path(struct kiln_tables *t, u64 state, const u8 *bytes, u64 *pos, u32 end)
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
	if (len & 8 && !kiln_is_final(t, state))
		state = kiln_steps(t, state, bytes, at, 8);
	at += len & 8;
	/* The first chunk without the loop's cost: few paths are longer than two, or not decided by then. */
	if (len >= KILN_CHUNK && !kiln_is_final(t, state)) {
		state = kiln_steps(t, state, bytes, at, KILN_CHUNK);
		at += KILN_CHUNK;
		len -= KILN_CHUNK;
	}
	if (len >= KILN_CHUNK && !kiln_is_final(t, state)) {
		struct kiln_walk w = {.t = t, .bytes = bytes, .pos = pos, .state = state};

		if (len > KILN_PATH_MAX)
			return 0;
		*(volatile u64 *)pos = at;
		bpf_loop(len / KILN_CHUNK, kiln_walk_chunk, &w, 0);
		state = w.state;
	}
	return state;
}

/* Walks a network key. IPv4 begins where its common prefix ends. */
static __always_inline u32 kiln_walk_net4(struct kiln_tables *t, u64 state, const u8 *key)
{
	KILN_STEP_4(t, state, key, 13, KILN_NET_CLASS);
	KILN_STEP_2(t, state, key, 17, KILN_NET_CLASS);
	return state;
}

static __always_inline u32 kiln_walk_net(struct kiln_tables *t, u64 state, const u8 *key)
{
	KILN_STEP_8(t, state, key, 0, KILN_NET_CLASS);
	KILN_STEP_4(t, state, key, 8, KILN_NET_CLASS);
	KILN_STEP(t, state, key, 12, KILN_NET_CLASS);
	return kiln_walk_net4(t, state, key);
}

#endif
