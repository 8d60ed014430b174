/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Learns the addresses of names from the answers that the machine's name servers give (UDP, port 53). An answer counts
 * if it comes from a server that the agent has named, to the socket and port that asked, under the number that the
 * question had, in the machine's own network namespace. It is learned before the socket has it: no request comes first.
 *
 * Two programs at the root of the cgroups read packets, which a program of the LSM cannot do: one notes the number of
 * each question that is sent, the other keeps each answer that comes. A program of the LSM runs next on the same CPU,
 * knows the socket, and learns.
 */
#include "include/answer.h"

#define KILN_DNS_PORT 53
#define KILN_PACKET_HOST 0 /* PACKET_HOST of <linux/if_packet.h> */
/* A question that is older has no answer; more questions of a socket than this are not remembered at a time. */
#define KILN_ASKED_FOR (30 * 1000000000ull)
#define KILN_QUESTIONS 16u
/* How long an address lives that an answer gave for less or more. Who asks needs time to connect. */
#define KILN_LEAST_LIFE 10u
#define KILN_MOST_LIFE 86400u

struct kiln_questions {
	struct {
		u64 server[2];
		u64 time; /* 0: answered */
		u32 id;
		u32 pad;
	} asked[KILN_QUESTIONS];
	u32 next;
	u32 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kiln_questions);
} kiln_asked SEC(".maps");

/*
 * When somebody who is not believed last answered in a server's place, by some bits of the port that asked: an answer
 * to that port teaches nothing for as long as a question is remembered. Nobody can take such a mark away. Not by the
 * question's number, too: one packet that is sent can be cut into several messages later (UDP_SEGMENT).
 */
#define KILN_DOUBTS 4096u
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KILN_DOUBTS);
	__type(key, u32);
	__type(value, u64);
} kiln_doubts SEC(".maps");

static __always_inline u64 *kiln_doubt_of(u32 port)
{
	u32 key = port & (KILN_DOUBTS - 1);

	return bpf_map_lookup_elem(&kiln_doubts, &key);
}

/* One of each CPU; who loads it says how many CPUs there are. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kiln_answer);
} kiln_answers SEC(".maps");

static __always_inline struct kiln_answer *kiln_answer_here(void)
{
	u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&kiln_answers, &cpu);
}

/* Of a UDP packet: its addresses and ports, and where what it carries begins. */
struct kiln_packet {
	u64 from[2], to[2];
	u16 sport, dport;
	u32 data;
};

static __always_inline bool kiln_packet_read(struct __sk_buff *skb, struct kiln_packet *p)
{
	u8 head[40] = {};
	u8 port[4];
	u32 at, fragment;

	if (bpf_skb_load_bytes(skb, 0, head, 20))
		return false;
	if (head[0] >> 4 == 4) {
		fragment = (head[6] & 0x1f) | head[7];
		if (head[9] != IPPROTO_UDP || fragment)
			return false;
		p->from[0] = p->to[0] = 0;
		p->from[1] = 0xffff0000ull | (u64) * (u32 *)(head + 12) << 32;
		p->to[1] = 0xffff0000ull | (u64) * (u32 *)(head + 16) << 32;
		at = (head[0] & 0xf) * 4;
	} else if (head[0] >> 4 == 6) {
		if (head[6] != IPPROTO_UDP || bpf_skb_load_bytes(skb, 0, head, 40))
			return false;
		__builtin_memcpy(p->from, head + 8, 16);
		__builtin_memcpy(p->to, head + 24, 16);
		at = 40;
	} else {
		return false;
	}
	if (bpf_skb_load_bytes(skb, at, port, 4))
		return false;
	p->sport = (u16)port[0] << 8 | port[1];
	p->dport = (u16)port[2] << 8 | port[3];
	p->data = at + 8;
	return true;
}

static __always_inline bool kiln_is_server(u64 a, u64 b)
{
	u32 zero = 0;
	struct kiln_resolvers *r = bpf_map_lookup_elem(&kiln_servers, &zero);

	if (!r)
		return false;
	for (u32 i = 0; i < KILN_SERVERS; i++)
		if (i < r->n && r->server[i][0] == a && r->server[i][1] == b)
			return true;
	return false;
}

/* An answer comes: what it says is kept for the program that sees its socket. */
SEC("cgroup_skb/ingress")
NEEDS("names")
KILN_METER(kiln_dns_ingress)
{
	struct kiln_packet p = {};
	struct kiln_answer *a;
	u64 len;

	a = kiln_answer_here();
	if (!a)
		return 1;
	a->valid = 0;
	/* A copy of a multicast or broadcast that comes back was seen by no egress program, so that nobody doubted it.
	 */
	if (skb->pkt_type != KILN_PACKET_HOST || !kiln_packet_read(skb, &p) || p.sport != KILN_DNS_PORT)
		return 1;
	len = skb->len - p.data;
	if (p.data >= skb->len || len > KILN_ANSWER_MAX || !kiln_is_server(p.from[0], p.from[1]))
		return 1;
	barrier_var(len);
	if (len < KILN_ANSWER_HEAD || len > KILN_ANSWER_MAX)
		return 1;
	barrier_var(len);
	if (bpf_skb_load_bytes(skb, p.data, a->data, len))
		return 1;
	a->len = len;
	a->server[0] = p.from[0];
	a->server[1] = p.from[1];
	a->own = p.dport;
	a->valid = 1;
	return 1;
}

/*
 * Whether a subject is believed as a name server at this address: it has no profile, or one that governs `bind` and
 * permits it.
 */
__noinline int kiln_may_answer(struct kiln_datagram *g, u32 label)
{
	struct kiln_about about = {};
	struct kiln_who who = {};
	struct kiln_decision *d;
	u64 active = kiln_active();

	if (!g || (u32)active == KILN_INACTIVE)
		return 0;
	who.t = kiln_generation(kiln_index(active));
	if (!who.t)
		return 0;
	who.s = kiln_subject_now(who.t, kiln_index(active), label, KILN_USER_NONE);
	if (!who.s)
		return 0;
	if (!(who.s->flags & KILN_S_PROFILE))
		return 1;
	if (!(who.s->verbs & V(BIND)))
		return 0;
	__builtin_memcpy(about.net, g->net, sizeof(about.net));
	d = kiln_decision_at(who.t, kiln_net_index(&who, &about, true));
	return d && !((d->deny | d->would) & V(BIND));
}

/* The label of the unit's cgroup in which a packet's socket was made. */
static __always_inline u32 kiln_label_of_packet(struct __sk_buff *skb)
{
	u32 label = 0, *found;
	u64 id;

	for (u32 level = 1; level <= KILN_UNIT_DEPTH; level++) {
		id = bpf_skb_ancestor_cgroup_id(skb, level);
		if (!id)
			break;
		found = bpf_map_lookup_elem(&kiln_cgroups, &id);
		if (found)
			label = *found;
	}
	return label;
}

/* From a server's own address and port: whether it is from who is one. A subject would answer itself else. */
static __always_inline bool kiln_is_believed(struct __sk_buff *skb, struct bpf_sock *sk, struct kiln_packet *p)
{
	struct kiln_receiver *r = bpf_sk_storage_get(&kiln_receivers, sk, 0, 0);
	struct kiln_datagram g = {};
	u32 label = kiln_label_of_packet(skb);

	g.net[0] = IPPROTO_UDP;
	__builtin_memcpy(g.net + 1, p->from, 16);
	kiln_key_port(g.net, KILN_DNS_PORT);
	if (label && !kiln_may_answer(&g, label))
		return false;
	for (u32 i = 0; r && i < KILN_RECEIVERS; i++)
		if (r->label[i] && !kiln_may_answer(&g, r->label[i]))
			return false;
	return true;
}

/* A question goes to a server: its number is remembered. */
SEC("cgroup_skb/egress")
NEEDS("names")
KILN_METER(kiln_dns_egress)
{
	struct kiln_packet p = {};
	struct kiln_questions *q;
	struct bpf_sock *sk = skb->sk;
	u8 bytes[2];
	u64 at, *doubt;

	if (!sk || !kiln_packet_read(skb, &p) || (p.dport != KILN_DNS_PORT && p.sport != KILN_DNS_PORT))
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	if (p.sport == KILN_DNS_PORT && kiln_is_server(p.from[0], p.from[1]) && !kiln_is_believed(skb, sk, &p)) {
		doubt = kiln_doubt_of(p.dport);
		if (doubt)
			*(volatile u64 *)doubt = bpf_ktime_get_boot_ns();
	}
	if (p.dport != KILN_DNS_PORT || !kiln_is_server(p.to[0], p.to[1]) ||
	    bpf_skb_load_bytes(skb, p.data, bytes, sizeof(bytes)))
		return 1;
	q = bpf_sk_storage_get(&kiln_asked, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!q)
		return 1;
	at = __sync_fetch_and_add(&q->next, 1) & (KILN_QUESTIONS - 1);
	barrier_var(at);
	at &= KILN_QUESTIONS - 1;
	*(volatile u64 *)&q->asked[at].time = 0;
	q->asked[at].server[0] = p.to[0];
	q->asked[at].server[1] = p.to[1];
	q->asked[at].id = (u32)bytes[0] << 8 | bytes[1];
	*(volatile u64 *)&q->asked[at].time = bpf_ktime_get_boot_ns();
	return 1;
}

/* Whether the socket has asked the answer's server under its number. An answer is taken once. */
static __always_inline bool kiln_was_asked(struct kiln_questions *q, struct kiln_answer *a, u64 now)
{
	u32 id = (u32)a->data[0] << 8 | a->data[1];
	u64 time;

	for (u32 i = 0; i < KILN_QUESTIONS; i++) {
		time = *(volatile u64 *)&q->asked[i].time;
		if (!time || now - time > KILN_ASKED_FOR || q->asked[i].id != id ||
		    q->asked[i].server[0] != a->server[0] || q->asked[i].server[1] != a->server[1])
			continue;
		return __sync_val_compare_and_swap(&q->asked[i].time, time, 0) == time;
	}
	return false;
}

static long kiln_answer_turn(u32 turn, struct kiln_answer **a)
{
	return kiln_answer_step(*a) != KILN_GO_ON;
}

/* The number of the set of patterns that match the name; 0: none. */
static __always_inline u32 kiln_name_set(struct kiln_tables *t, struct kiln_answer *a)
{
	u64 state, len = a->asked_len;

	/* Without the last dot. */
	if (len < 2 || len > KILN_DNS_NAME - 1 || !t->hdr.names_start)
		return 0;
	__builtin_memcpy(a->data, a->asked, KILN_DNS_NAME);
	a->pos = 0;
	state = kiln_walk_path(t, t->hdr.names_start, a->data, &a->pos, len - 1);
	return kiln_accept(t, state) & 0xff;
}

/* What is learned, entry by entry. */
struct kiln_learning {
	struct kiln_answer *a;
	u64 name, now;
};

static __always_inline void kiln_learn_address(u64 a, u64 b, u64 name, u64 now, u64 until)
{
	struct kiln_learned *l = kiln_learned_of(a, b);
	u64 was, free = KILN_LEARNED_WAYS, free_was = 0;

	if (!l)
		return;
	for (u32 i = 0; i < KILN_LEARNED_WAYS; i++) {
		was = *(volatile u64 *)&l->entry[i].until;
		if (was <= now) {
			if (free == KILN_LEARNED_WAYS && was != 1) {
				free = i;
				free_was = was;
			}
			continue;
		}
		if (l->entry[i].address[0] != a || l->entry[i].address[1] != b || l->entry[i].name != name)
			continue;
		if (was < until)
			__sync_val_compare_and_swap(&l->entry[i].until, was, until);
		return;
	}
	/* No entry is free: it is not learned. */
	barrier_var(free);
	if (free >= KILN_LEARNED_WAYS)
		return;
	barrier_var(free);
	/* 1: nobody else takes it, and it counts for nobody yet. */
	if (__sync_val_compare_and_swap(&l->entry[free].until, free_was, 1) != free_was)
		return;
	*(volatile u64 *)&l->entry[free].address[0] = a;
	*(volatile u64 *)&l->entry[free].address[1] = b;
	*(volatile u64 *)&l->entry[free].name = name;
	*(volatile u64 *)&l->entry[free].until = until;
}

static long kiln_learn_turn(u32 turn, struct kiln_learning *l)
{
	u64 at = turn, life;

	barrier_var(at);
	if (at >= KILN_ANSWER_ADDRESSES || at >= l->a->found)
		return 1;
	barrier_var(at);
	life = l->a->address[at].ttl;
	if (life < KILN_LEAST_LIFE)
		life = KILN_LEAST_LIFE;
	if (life > KILN_MOST_LIFE)
		life = KILN_MOST_LIFE;
	kiln_learn_address(l->a->address[at].address[0], l->a->address[at].address[1], l->name, l->now,
			   l->now + life * 1000000000ull);
	return 0;
}

/* Reads the answer and learns. A function of its own, so that the verifier looks at it with nothing else in mind. */
__noinline int kiln_learn(u32 generation)
{
	struct kiln_answer *a = kiln_answer_here();
	struct kiln_tables *t = kiln_generation(generation);
	struct kiln_learning l = {};
	u32 set;

	if (!a || !t || !kiln_answer_begin(a))
		return 0;
	bpf_loop(KILN_ANSWER_STEPS, kiln_answer_turn, &a, 0);
	if (!a->read)
		return 0;
	set = kiln_name_set(t, a);
	if (!set)
		return 0;
	l.a = a;
	l.name = t->hdr.names_key | set;
	l.now = bpf_ktime_get_boot_ns();
	bpf_loop(KILN_ANSWER_ADDRESSES, kiln_learn_turn, &l, 0);
	return 0;
}

SEC("lsm/socket_sock_rcv_skb")
NEEDS("names")
int BPF_PROG(kiln_dns_learn, struct sock *sk, struct sk_buff *skb)
{
	u64 active = kiln_active(), from[2], now, *doubt;
	struct kiln_questions *q;
	struct kiln_resolvers *r;
	struct kiln_answer *a;
	u8 key[20] = {}, port[2];
	u32 zero = 0;

	if ((u32)active == KILN_INACTIVE || sk->sk_protocol != IPPROTO_UDP)
		return 0;
	a = kiln_answer_here();
	if (!a || !a->valid)
		return 0;
	a->valid = 0;
	/* It is of this packet, not of one before that another program dropped. */
	if (!sk->sk_bpf_storage || a->own != sk->__sk_common.skc_num || !kiln_key_source(key, skb) ||
	    bpf_probe_read_kernel(port, sizeof(port),
				  (void *)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, transport_header)) ||
	    port[0] || port[1] != KILN_DNS_PORT)
		return 0;
	__builtin_memcpy(from, key + 1, 16);
	if (from[0] != a->server[0] || from[1] != a->server[1])
		return 0;
	r = bpf_map_lookup_elem(&kiln_servers, &zero);
	if (!r || !r->netns || BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) != r->netns)
		return 0;
	now = bpf_ktime_get_boot_ns();
	doubt = kiln_doubt_of(a->own);
	if (!doubt || (*(volatile u64 *)doubt && now - *(volatile u64 *)doubt < KILN_ASKED_FOR))
		return 0;
	q = bpf_sk_storage_get(&kiln_asked, sk, 0, 0);
	if (q && kiln_was_asked(q, a, now))
		kiln_learn(kiln_index(active));
	return 0;
}
