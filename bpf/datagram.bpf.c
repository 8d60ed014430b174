/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Datagrams that come in: UDP, and ICMP to ping sockets and raw ones. Each is decided when it arrives, in no task's
 * context, for the subject that receives by the socket: the one of the cgroup in which the socket was made, or those
 * that bind it and receive from it. What waits already when a subject first receives by a socket of somebody else's
 * is decided then.
 *
 * The hook sees every socket of the machine, whoever made it and when, and what it refuses is not queued. A program of
 * a cgroup would see neither sockets that were made elsewhere nor subjects that an exec selector attached.
 */

#define TCP_ESTABLISHED 1 /* also a value of TCP_INFO: a datagram socket that is connected */
#define KILN_QUEUE 4096u  /* datagrams of a queue that are looked at; where there are more, it is unknown */
/* A packet that was on its way when a subject was added is in the queue by then. */
#define KILN_SETTLED 1000000000ull
#define KILN_TOLD 100000000ull /* so long is no further refusal by a socket reported: a stranger may send many */

/* A datagram, and for whom it is decided. */
struct kiln_datagram {
	struct kiln_ids id;
	u32 pid;
	u32 user;     /* whose socket it is */
	u16 own, its; /* ports */
	u8 quiet;
	u8 answer; /* the socket has sent to where it comes from */
	u8 denies;
	u8 net[20];
};

static __always_inline bool kiln_is_datagram(struct sock *sk)
{
	u16 protocol = sk->sk_protocol;

	return kiln_is_inet(sk->__sk_common.skc_family) &&
	       (sk->sk_type == SOCK_DGRAM ||
		(sk->sk_type == SOCK_RAW && (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)));
}

static __always_inline struct kiln_receiver *kiln_receiver(struct sock *sk, u64 flags)
{
	return flags || sk->sk_bpf_storage ? bpf_sk_storage_get(&kiln_receivers, sk, 0, flags) : NULL;
}

#define KILN_UNKNOWN_SUBJECT ~0u

/* The decision on a datagram; 0: nothing is to be said. Sets `denies`. */
__noinline u32 kiln_judge_datagram(struct kiln_datagram *g, u32 label)
{
	struct kiln_about about = {};
	struct kiln_who who = {};
	struct kiln_decision *d;
	u32 index;

	if (!g)
		return KILN_UNKNOWN_SUBJECT;
	g->denies = 1;
	who.t = kiln_generation(g->id.generation);
	if (!who.t)
		return KILN_UNKNOWN_SUBJECT;
	who.s = kiln_subject_now(who.t, g->id.generation, label, g->user);
	if (!who.s)
		return KILN_UNKNOWN_SUBJECT;
	g->denies = 0;
	if (!(who.s->verbs & V(ACCEPT)) || kiln_any_address(&who, g->net[0], KILN_ACCEPT))
		return 0;
	__builtin_memcpy(about.net, g->net, sizeof(about.net));
	if (g->answer) {
		kiln_key_port(about.net, g->its);
		index = kiln_net_index(&who, &about, true);
		d = kiln_decision_at(who.t, kiln_connect_index(&who, &about, index));
		if (d && !(d->deny & V(CONNECT)))
			return 0;
	}
	kiln_key_port(about.net, g->own);
	index = kiln_net_index(&who, &about, true);
	d = kiln_decision_at(who.t, index);
	if (d && !((d->deny | d->would | d->watch) & V(ACCEPT)))
		return 0;
	g->denies = !d || d->deny & V(ACCEPT);
	return index;
}

/* Reports it. -EPERM: it is refused. */
__noinline int kiln_tell_datagram(struct kiln_datagram *g, u32 label, u32 index)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	struct kiln_scratch *s;
	int ret;

	if (!g || index == KILN_UNKNOWN_SUBJECT)
		return -EPERM;
	g->id.label = label;
	about.pid = g->pid;
	about.quiet = g->quiet;
	__builtin_memcpy(about.net, g->net, sizeof(about.net));
	kiln_key_port(about.net, g->own);
	s = kiln_scratch_take();
	ret = kiln_apply(&g->id, s, &about, index, V(ACCEPT)) ? -EPERM : 0;
	if (s)
		kiln_scratch_give(s);
	return ret;
}

/* Where a packet comes from, and its ports; false where it has no address. */
static __always_inline bool kiln_read_datagram(struct kiln_datagram *g, struct sock *sk, struct sk_buff *skb)
{
	u8 port[2] = {};

	g->net[0] = kiln_protocol(sk);
	g->user = kiln_user_of(sk);
	if (!kiln_key_source(g->net, skb))
		return false;
	if (g->net[0] == IPPROTO_ICMP)
		return true;
	g->own = BPF_CORE_READ(sk, __sk_common.skc_num);
	bpf_probe_read_kernel(port, sizeof(port),
			      (void *)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, transport_header));
	g->its = (u16)port[0] << 8 | port[1];
	return true;
}

/* Whether it comes from the peer that the socket is connected to. */
static __always_inline bool kiln_from_peer(struct kiln_datagram *g, struct sock *sk)
{
	u16 port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	u8 peer[20] = {};
	u64 a[2], b[2];

	if (BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_ESTABLISHED)
		return false;
	if (g->net[0] != IPPROTO_ICMP && (u16)(port << 8 | port >> 8) != g->its)
		return false;
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6)
		bpf_probe_read_kernel(peer + 1, 16, &sk->__sk_common.skc_v6_daddr);
	else
		kiln_key_v4(peer, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	__builtin_memcpy(a, peer + 1, 16);
	__builtin_memcpy(b, g->net + 1, 16);
	return a[0] == b[0] && a[1] == b[1];
}

/* The place among those that the socket has sent to; KILN_SENT: none. */
__noinline u32 kiln_sent_at(struct kiln_receiver *r, struct kiln_datagram *g)
{
	u64 a, b;

	if (!r || !g)
		return KILN_SENT;
	__builtin_memcpy(&a, g->net + 1, 8);
	__builtin_memcpy(&b, g->net + 9, 8);
	for (u32 i = 0; i < KILN_SENT; i++)
		if (r->sent[i].address[0] == a && r->sent[i].address[1] == b && r->sent[i].port == (g->its | 0x10000u))
			return i;
	return KILN_SENT;
}

/* A datagram arrives. */
SEC("lsm/socket_sock_rcv_skb")
NEEDS("datagrams")
int BPF_PROG(kiln_socket_sock_rcv_skb, struct sock *sk, struct sk_buff *skb)
{
	u64 active = kiln_active(), now;
	struct kiln_datagram g = {.pid = KILN_NOBODY};
	struct kiln_receiver *r;
	u32 label, index, said = 0;
	int ret = 0;

	if ((u32)active == KILN_INACTIVE || !kiln_is_datagram(sk))
		return 0;
	r = kiln_receiver(sk, 0);
	label = r && r->label[0] ? r->label[0] : kiln_label_of_socket(sk);
	if (!label)
		label = active >> 32 & V(ACCEPT) ? KILN_LABEL_HOST : 0;
	if (!label)
		return 0;
	g.id.generation = kiln_index(active);
	if (!kiln_read_datagram(&g, sk, skb))
		return -EPERM;
	g.answer = kiln_from_peer(&g, sk) || (r && kiln_sent_at(r, &g) < KILN_SENT);
	now = bpf_ktime_get_ns();
	if (r) {
		g.pid = r->pid ? r->pid : KILN_NOBODY;
		g.quiet = r->told && now - r->told < KILN_TOLD;
	}
	for (int i = 0; i < KILN_RECEIVERS; i++) {
		if (i)
			label = r ? r->label[i] : 0;
		if (!label)
			break;
		index = kiln_judge_datagram(&g, label);
		if (!index)
			continue;
		said = 1;
		ret = kiln_tell_datagram(&g, label, index);
		if (ret)
			break;
	}
	if (said && !g.quiet) {
		if (!r)
			r = kiln_receiver(sk, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (r)
			r->told = now;
	}
	return ret ? -EPERM : 0;
}

/*
 * A subject makes a socket (`fresh`), binds it or receives by it. False: it could not be remembered, or more subjects
 * share the socket than there is room for.
 */
static __always_inline bool kiln_receives(struct sock *sk, u64 word, bool fresh)
{
	u32 label = word, before = kiln_label_of_socket(sk);
	struct kiln_receiver *r = kiln_receiver(sk, 0);

	if (!label || word >> 32 & (KILN_T_STARTING | KILN_T_EXEMPT) || kiln_is_quarantined(word))
		return true;
	if (!(r && r->label[0]) && before == label)
		return true;
	r = kiln_receiver(sk, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!r)
		return false;
	r->pid = bpf_get_current_task_btf()->tgid;
	/* Who made it may be receiving already. */
	if (!r->label[0] && before && !fresh)
		r->label[0] = before;
	for (int i = 0; i < KILN_RECEIVERS; i++) {
		if (r->label[i] == label)
			return true;
		if (r->label[i])
			continue;
		if (!fresh) {
			r->since = bpf_ktime_get_ns();
			r->dirty = 1;
		}
		r->label[i] = label;
		return true;
	}
	return false;
}

/* Where the walk over a queue is. */
struct kiln_queue {
	struct kiln_datagram g;
	u64 sk, at, head;
	u32 label, icmp;
	u32 index; /* of the decision that refuses, or else of the last one that is to be reported */
	u32 over;
};

/* 0: there is more. */
__noinline int kiln_queued(struct kiln_queue *q)
{
	struct sk_buff *skb;
	u8 port[2] = {};
	u32 index;

	if (!q)
		return 1;
	if (q->at == q->head) {
		q->over = 1;
		return 1;
	}
	/* Somebody took it from the queue: once more. */
	if (!q->at) {
		struct sk_buff_head *head = (void *)q->head;

		q->at = (u64)BPF_CORE_READ(head, next);
		return 0;
	}
	skb = (void *)q->at;
	if (kiln_key_source(q->g.net, skb)) {
		if (!q->icmp) {
			bpf_probe_read_kernel(port, sizeof(port),
					      (void *)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, transport_header));
			q->g.its = (u16)port[0] << 8 | port[1];
		}
		q->g.answer = kiln_from_peer(&q->g, (void *)q->sk);
		index = kiln_judge_datagram(&q->g, q->label);
		if (index)
			q->index = index;
		if (q->g.denies)
			return 1;
	}
	q->at = (u64)BPF_CORE_READ(skb, next);
	return 0;
}

static long kiln_queue_step(u32 turn, struct kiln_queue *q)
{
	return kiln_queued(q) ? 1 : 0;
}

static __always_inline int kiln_check_queue(struct kiln_queue *q, void *head)
{
	q->head = (u64)head;
	q->at = (u64)BPF_CORE_READ((struct sk_buff_head *)head, next);
	q->over = q->index = 0;
	q->g.user = kiln_user_of((struct sock *)q->sk);
	bpf_loop(KILN_QUEUE, kiln_queue_step, q, 0);
	if (q->index && kiln_tell_datagram(&q->g, q->label, q->index))
		return -EPERM;
	return q->over ? 0 : -EPERM;
}

/* What waits in a socket that had another subject when it came. */
static __noinline int kiln_check_waiting(struct sock *sk, u32 label, u32 generation)
{
	struct kiln_queue q = {.g = {.pid = bpf_get_current_task_btf()->tgid}, .label = label};

	q.g.id.generation = generation;
	q.g.net[0] = kiln_protocol(sk);
	q.icmp = q.g.net[0] == IPPROTO_ICMP;
	q.g.own = q.icmp ? 0 : sk->__sk_common.skc_num;
	q.sk = (u64)sk;
	if ((sk->sk_protocol == IPPROTO_UDP || sk->sk_protocol == IPPROTO_UDPLITE) &&
	    kiln_check_queue(&q, &((struct udp_sock *)sk)->reader_queue))
		return -EPERM;
	return kiln_check_queue(&q, &sk->sk_receive_queue);
}

/* Whether a subject decides what a socket may receive: not where all of it is permitted. */
static __always_inline int kiln_enter_datagram(struct kiln_who *who, const struct kiln_me *me, struct sock *sk)
{
	int entry = kiln_enter_as(who, me, kiln_word(me), V(ACCEPT), kiln_pass_address(sk, KILN_ACCEPT));

	if (entry == KILN_DECIDE && who->s && kiln_any_address(who, kiln_protocol(sk), KILN_ACCEPT))
		return KILN_PASS;
	return entry;
}

/* KILN_RECEIVE_WAITS: what waits is still to be looked at, for the subject in `id`. */
#define KILN_RECEIVE_WAITS 1

static __noinline int kiln_check_receive(struct sock *sk, struct kiln_ids *id)
{
	struct kiln_me me = kiln_me();
	struct kiln_receiver *r;
	struct kiln_who who = {};
	int entry = kiln_enter_datagram(&who, &me, sk);

	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_ACCEPT | kiln_broken(entry));
	/* Also what waits, and what comes by a socket of another's: it bears no label in quarantine. */
	if (who.s->flags & KILN_S_QUARANTINE)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_ACCEPT | KILN_R_QUARANTINE << 8);
	if (!kiln_receives(sk, kiln_word(&me), false))
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_ACCEPT | KILN_R_MEMORY << 8);
	r = kiln_receiver(sk, 0);
	if (!r || !r->dirty)
		return 0;
	*id = who.id;
	return KILN_RECEIVE_WAITS;
}

/* Not below kiln_check_receive(), whose frame with this one's would be more stack than there is. */
static __always_inline int kiln_check_waits(struct sock *sk, struct kiln_ids *id)
{
	struct kiln_receiver *r;

	if (kiln_check_waiting(sk, id->label, id->generation))
		return -EPERM;
	r = kiln_receiver(sk, 0);
	if (r && bpf_ktime_get_ns() - r->since > KILN_SETTLED)
		r->dirty = 0;
	return 0;
}

SEC("lsm/socket_recvmsg")
NEEDS("peers datagrams")
int BPF_PROG(kiln_socket_recvmsg, struct socket *sock)
{
	struct sock *sk = sock->sk;
	struct kiln_ids id = {};
	struct kiln_me me;
	int ret;

	if (!sk)
		return 0;
	if (kiln_is_refused(sk))
		return -EPERM;
	if (!kiln_is_datagram(sk))
		return 0;
	me = kiln_me();
	if (kiln_unbound(&me, V(ACCEPT)))
		return 0;
	ret = kiln_check_receive(sk, &id);
	return ret == KILN_RECEIVE_WAITS ? kiln_check_waits(sk, &id) : ret;
}

/* A socket whose maker has another label than its cgroup: from the first datagram on. */
SEC("lsm/socket_post_create")
NEEDS("datagrams")
int BPF_PROG(kiln_socket_post_create, struct socket *sock, int family, int type, int protocol, int kern)
{
	struct sock *sk = sock->sk;
	struct kiln_me me = kiln_me();

	if (kern || !sk || kiln_unbound(&me, V(ACCEPT)) || !kiln_is_datagram(sk))
		return 0;
	return kiln_receives(sk, kiln_word(&me), true) ? 0 : -ENOMEM;
}

/* A message goes to an address: what comes from there is its answer. */
static __noinline void kiln_remember_sent(struct sock *sk, struct msghdr *msg)
{
	struct kiln_datagram g = {};
	struct kiln_me me = kiln_me();
	struct kiln_receiver *r;
	struct kiln_who who = {};
	u32 at;

	if (kiln_enter_datagram(&who, &me, sk) == KILN_PASS ||
	    !kiln_key_sockaddr(g.net, sk, msg->msg_name, msg->msg_namelen) || !kiln_key_destination(g.net, sk, false))
		return;
	r = kiln_receiver(sk, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!r)
		return;
	g.its = (u16)g.net[17] << 8 | g.net[18];
	if (kiln_sent_at(r, &g) < KILN_SENT)
		return;
	at = r->next++ & (KILN_SENT - 1);
	r->sent[at].port = 0;
	__builtin_memcpy(&r->sent[at].address[0], g.net + 1, 8);
	__builtin_memcpy(&r->sent[at].address[1], g.net + 9, 8);
	r->sent[at].port = g.its | 0x10000u;
}
