/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * SCTP (RFC 9260): who connects, and the further addresses of both sides. An association is a request for each of
 * them: one that is not permitted refuses all.
 */

/* Options of sctp(7) that bring addresses along, from a task. */
#define SCTP_SET_PEER_PRIMARY_ADDR 5
#define SCTP_PRIMARY_ADDR 6
#define SCTP_SOCKOPT_BINDX_ADD 100
#define SCTP_SOCKOPT_CONNECTX 110
#define SCTP_SENDMSG_CONNECT 126
/* From the peer of an association (RFC 5061), as they are on the wire: 0xc001 and 0xc004. */
#define SCTP_PARAM_ADD_IP 0x01c0
#define SCTP_PARAM_SET_PRIMARY 0x04c0
/* An address of an association's peer that the peer itself adds: whoever it is, it is as the first one was. */
static __noinline int kiln_sctp_added(struct sock *sk, struct sockaddr *address, int addrlen)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	u64 active = kiln_active();
	struct kiln_decision *d;
	struct kiln_who who = {};
	u32 label, entry, refused;
	bool ok;

	if ((u32)active == KILN_INACTIVE)
		return 0;
	label = kiln_listener(sk, active, &about.pid);
	if (!label)
		label = active >> 32 & V(CONNECT) ? KILN_LABEL_HOST : 0;
	if (!label)
		return 0;
	entry = kiln_enter_label(&who, active, label, kiln_user_of(sk), V(ACCEPT) | V(CONNECT));
	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return -EPERM;
	ok = kiln_key_sockaddr(about.net, sk, address, addrlen);
	refused = who.s->verbs & V(CONNECT) ? KILN_CONNECT : KILN_ACCEPT;
	if (who.s->verbs & V(CONNECT)) {
		d = kiln_decision_at(who.t, kiln_net_index(&who, &about, ok));
		if (d && !((d->deny | d->would) & V(CONNECT)))
			return 0;
	}
	if (who.s->verbs & V(ACCEPT)) {
		kiln_key_port(about.net, sk->__sk_common.skc_num);
		refused = KILN_ACCEPT;
	}
	return kiln_decide_net(&who, &about, refused, ok);
}

/*
 * Whether there is anything to decide for a task that gives addresses: enum kiln_entry, or an error. Apart from the
 * loop, for the sake of the stack.
 */
static __noinline int kiln_sctp_enter(struct sock *sk, struct kiln_sctp *w)
{
	struct kiln_me me = kiln_me();
	struct kiln_who who = {};
	u64 word = kiln_word(&me);
	int entry = kiln_enter_as(&who, &me, word, 1u << w->what, 0);

	if (entry == KILN_PASS)
		return KILN_PASS;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, w->what | kiln_broken(entry));
	kiln_remember(sk, word);
	w->id = who.id;
	return KILN_DECIDE;
}

/* A list of addresses, or one, from a task. */
static __noinline int kiln_sctp_listed(struct sock *sk, int option, struct sockaddr *address, int addrlen)
{
	bool binds = option == SCTP_SOCKOPT_BINDX_ADD || option == SCTP_SET_PEER_PRIMARY_ADDR;
	struct kiln_sctp w = {.what = binds ? KILN_BIND : KILN_CONNECT};
	int entry;

	if (!binds && option != SCTP_SOCKOPT_CONNECTX && option != SCTP_SENDMSG_CONNECT && option != SCTP_PRIMARY_ADDR)
		return 0;
	entry = kiln_sctp_enter(sk, &w);
	if (entry != KILN_DECIDE)
		return entry == KILN_PASS ? 0 : -EPERM;
	w.at = (u64)address;
	w.end = w.at + (u32)addrlen;
	w.own = sk->__sk_common.skc_num;
	for (int i = 0; i < KILN_SCTP_ADDRESSES; i++) {
		int step = kiln_sctp_next(&w);

		if (step)
			return step > 0 ? 0 : -EPERM;
	}
	return kiln_sctp_unclear(&w) ? -EPERM : 0;
}

/* Addresses of SCTP that come by setsockopt(2) or with a message. */
SEC("lsm/sctp_bind_connect")
NEEDS("bind connect accept")
int BPF_PROG(kiln_sctp_bind_connect, struct sock *sk, int option, struct sockaddr *address, int addrlen)
{
	if (option == SCTP_PARAM_ADD_IP || option == SCTP_PARAM_SET_PRIMARY)
		return kiln_sctp_added(sk, address, addrlen);
	return kiln_sctp_listed(sk, option, address, addrlen);
}

/* Who wants to associate: its first packet, and the one that brings the cookie back. */
SEC("lsm/sctp_assoc_request")
NEEDS("accept")
int BPF_PROG(kiln_sctp_assoc_request, struct sctp_association *asoc, struct sk_buff *skb)
{
	struct kiln_sctp w = {.what = KILN_ACCEPT};
	struct sock *sk = asoc->base.sk;
	u64 active = kiln_active();
	struct kiln_who who = {};
	u32 label, entry;
	bool ok;

	if (!sk || (u32)active == KILN_INACTIVE)
		return 0;
	label = kiln_listener(sk, active, &w.pid);
	if (!label)
		return 0;
	entry = kiln_enter_label(&who, active, label, kiln_user_of(sk), V(ACCEPT));
	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return -EPERM;
	w.id = who.id;
	w.own = sk->__sk_common.skc_num;
	ok = kiln_key_source(w.net, skb);
	if (kiln_sctp_decide(&w, ok))
		return -EPERM;
	if (!kiln_sctp_init(&w, skb))
		return 0;
	for (int i = 0; i < KILN_SCTP_ADDRESSES; i++) {
		int step = kiln_sctp_parameter(&w);

		if (step)
			return step > 0 ? 0 : -EPERM;
	}
	return kiln_sctp_unclear(&w) ? -EPERM : 0;
}

/* To whom a task has connected: the peer lists further addresses, to which the kernel would send. */
SEC("lsm/sctp_assoc_established")
NEEDS("connect")
int BPF_PROG(kiln_sctp_assoc_established, struct sctp_association *asoc, struct sk_buff *skb)
{
	struct sock *sk = asoc->base.sk;
	u64 active = kiln_active();
	struct kiln_who who = {};
	u32 label, entry, pid;

	if (!sk || (u32)active == KILN_INACTIVE)
		return 0;
	label = kiln_listener(sk, active, &pid);
	if (!label)
		label = active >> 32 & V(CONNECT) ? KILN_LABEL_HOST : 0;
	if (!label)
		return 0;
	entry = kiln_enter_label(&who, active, label, kiln_user_of(sk), V(CONNECT));
	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return -EPERM;
	return kiln_sctp_peers(&who.id, pid, asoc, KILN_CONNECT, 0) ? -EPERM : 0;
}
