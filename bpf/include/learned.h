/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The addresses that names lead to: looked up at a request, and learned from answers of name servers (dns.bpf.c). */
#ifndef KILN_LEARNED_H
#define KILN_LEARNED_H

_Static_assert(KILN_LEARNED_PLACES == 1 << 10, "the place of an address is ten bits");

/* Where the entries of an address are. */
static __always_inline struct kiln_learned *kiln_learned_of(u64 a, u64 b)
{
	u64 mixed = a ^ b;
	u32 place;

	/* The last bytes of an address are the highest of a word: only folded do they reach all bits of the product. */
	mixed = (mixed ^ mixed >> 32) * 0x9e3779b97f4a7c15ull;
	place = mixed >> 54;

	return bpf_map_lookup_elem(&kiln_names, &place);
}

/* The search for the name by which an address is permitted. */
struct kiln_naming {
	struct kiln_tables *t;
	struct kiln_learned *l;
	u64 a, b, now;
	u32 state; /* behind the key */
	u32 index; /* the decision by it; 0: none yet */
	u32 rank;  /* of that: 0 permits, 1 would refuse, 2 refuses */
};

static long kiln_name_step(u32 turn, struct kiln_naming *n)
{
	struct kiln_decision *d;
	u64 at = turn, until, name, state = n->state;
	u32 index, rank;
	u8 set;

	barrier_var(at);
	if (at >= KILN_LEARNED_WAYS)
		return 1;
	barrier_var(at);
	until = *(volatile u64 *)&n->l->entry[at].until;
	if (until <= n->now || *(volatile u64 *)&n->l->entry[at].address[0] != n->a ||
	    *(volatile u64 *)&n->l->entry[at].address[1] != n->b)
		return 0;
	name = *(volatile u64 *)&n->l->entry[at].name;
	/* Of the patterns of this generation, and not taken for another meanwhile. */
	if ((name & ~0xffull) != n->t->hdr.names_key || *(volatile u64 *)&n->l->entry[at].until != until)
		return 0;
	set = name;
	KILN_STEP(n->t, state, &set, 0, KILN_NET_CLASS);
	index = kiln_accept(n->t, state);
	if (!index)
		return 0;
	d = kiln_decision_at(n->t, index);
	if (!d)
		return 0;
	rank = d->deny & (1u << KILN_CONNECT) ? 2 : d->would & (1u << KILN_CONNECT) ? 1 : 0;
	if (n->index && n->rank <= rank)
		return 0;
	n->index = index;
	n->rank = rank;
	return !rank;
}

/*
 * The decision on connecting to the key's address where `index` is that by the address alone: if it refuses, by the
 * name that the address has now which permits most. What a rule refuses no name permits.
 */
__noinline u32 kiln_named_index(struct kiln_tables *t, struct kiln_about *about, u32 start, u32 index)
{
	struct kiln_naming n = {.t = t};
	struct kiln_decision *d;

	if (!t || !about)
		return index;
	d = kiln_decision_at(t, index);
	if (!d || !((d->deny | d->would) & (1u << KILN_CONNECT)))
		return index;
	__builtin_memcpy(&n.a, about->net + 1, 8);
	__builtin_memcpy(&n.b, about->net + 9, 8);
	n.l = kiln_learned_of(n.a, n.b);
	if (!n.l)
		return index;
	n.now = bpf_ktime_get_boot_ns();
	n.state = kiln_walk_net(t, start, about->net);
	bpf_loop(KILN_LEARNED_WAYS, kiln_name_step, &n, 0);
	return n.index ? n.index : index;
}

#endif
