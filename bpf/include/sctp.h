/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Lists of SCTP's addresses: each is decided. A list is walked by calls of a global function, which the verifier looks
 * at once: it gives 0 where there is more, 1 at the end, and -EPERM for an address that is refused.
 */
#ifndef KILN_SCTP_H
#define KILN_SCTP_H

#define KILN_SCTP_ADDRESSES 64 /* what a list has beyond is unknown */

/* Of a chunk INIT (RFC 9260, 3.3.2). */
#define SCTP_CID_INIT 1
#define SCTP_PARAM_IPV4_ADDRESS 5
#define SCTP_PARAM_IPV6_ADDRESS 6

/* Who asks, and where the walk is. */
struct kiln_sctp {
	struct kiln_ids id;
	u64 at, end; /* of the list, or its head */
	u32 what;    /* the verb */
	u32 own;     /* the own port */
	u32 pid;     /* as of struct kiln_about */
	u8 net[20];
};

/* Decides the key; `ok`: the address is known. */
__noinline int kiln_sctp_decide(struct kiln_sctp *w, u32 ok)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};

	if (!w)
		return -EPERM;
	about.pid = w->pid;
	__builtin_memcpy(about.net, w->net, sizeof(about.net));
	about.net[0] = IPPROTO_SCTP;
	if (w->what == KILN_ACCEPT || (w->what == KILN_BIND && !about.net[17] && !about.net[18]))
		kiln_key_port(about.net, w->own);
	return kiln_decide_again(&w->id, &about, w->what | (ok ? 0 : KILN_UNCLEAR)) ? -EPERM : 0;
}

static __always_inline int kiln_sctp_unclear(struct kiln_sctp *w)
{
	return kiln_sctp_decide(w, 0);
}

/* The key of a socket address; its length, or 0 where it is none, or ends behind `left` bytes. */
static __always_inline u32 kiln_sctp_key(struct kiln_sctp *w, u64 at, u64 left)
{
	u8 raw[24] = {};
	u16 family;

	if (left < 16 || bpf_probe_read_kernel(raw, 16, (void *)at))
		return 0;
	family = raw[0] | (u16)raw[1] << 8;
	w->net[17] = raw[2];
	w->net[18] = raw[3];
	if (family == AF_INET) {
		kiln_key_v4(w->net, raw[4] | raw[5] << 8 | raw[6] << 16 | (u32)raw[7] << 24);
		return 16;
	}
	if (family != AF_INET6 || left < 28 || bpf_probe_read_kernel(raw, 24, (void *)at))
		return 0;
	__builtin_memcpy(w->net + 1, raw + 8, 16);
	return 28;
}

/* Of a list from a task. */
__noinline int kiln_sctp_next(struct kiln_sctp *w)
{
	bool any, six;
	u32 len;

	if (!w)
		return -EPERM;
	if (w->at >= w->end)
		return 1;
	len = kiln_sctp_key(w, w->at, w->end - w->at);
	six = kiln_all_zero(w->net + 1, 16);
	any = kiln_all_zero(w->net + 1, 10) && kiln_all_zero(w->net + 13, 4) && w->net[11] == w->net[12];
	/* As a destination it is not known what it leads to. */
	if (kiln_sctp_decide(w, len && (w->what == KILN_BIND || !any)))
		return -EPERM;
	if (w->what == KILN_BIND && six && len) {
		kiln_key_v4(w->net, 0);
		if (kiln_sctp_decide(w, 1))
			return -EPERM;
	}
	w->at += len;
	return len ? 0 : 1;
}

/* Of the addresses that the kernel has of an association's peer. */
__noinline int kiln_sctp_transport(struct kiln_sctp *w)
{
	struct sctp_transport *t;
	u32 len;

	if (!w)
		return -EPERM;
	if (w->at == w->end || !w->at)
		return 1;
	t = (void *)w->at - bpf_core_field_offset(struct sctp_transport, transports);
	len = kiln_sctp_key(w, (u64)&t->ipaddr, 28);
	if (kiln_sctp_decide(w, len))
		return -EPERM;
	w->at = (u64)BPF_CORE_READ(t, transports.next);
	return 0;
}

static __noinline int kiln_sctp_peers(struct kiln_ids *id, u32 pid, struct sctp_association *asoc, u32 what, u32 own)
{
	struct kiln_sctp w = {.what = what, .own = own, .pid = pid};

	if (!id || !asoc)
		return -EPERM;
	w.id = *id;
	w.end = (u64)asoc + bpf_core_field_offset(struct sctp_association, peer.transport_addr_list);
	w.at = (u64)BPF_CORE_READ(asoc, peer.transport_addr_list.next);
	for (int i = 0; i < KILN_SCTP_ADDRESSES; i++) {
		int step = kiln_sctp_transport(&w);

		if (step)
			return step > 0 ? 0 : -EPERM;
	}
	return kiln_sctp_unclear(&w);
}

/* The peer of a connection that was handed out, with all its addresses. */
static __always_inline int kiln_sctp_first(struct kiln_ids *id, u32 pid, struct sock *sk)
{
	u64 first = (u64)BPF_CORE_READ((struct sctp_sock *)sk, ep, asocs.next);

	if (!first)
		return -EPERM;
	return kiln_sctp_peers(id, pid, (void *)first - bpf_core_field_offset(struct sctp_association, asocs),
			       KILN_ACCEPT, sk->__sk_common.skc_num);
}

/* Whether a packet begins an association: then the list is that of its parameters. */
static __always_inline bool kiln_sctp_init(struct kiln_sctp *w, struct sk_buff *skb)
{
	u64 at = (u64)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, transport_header) + 12;
	u8 chunk[4] = {};

	if (bpf_probe_read_kernel(chunk, sizeof(chunk), (void *)at) || chunk[0] != SCTP_CID_INIT)
		return false;
	w->end = at + ((u32)chunk[2] << 8 | chunk[3]);
	w->at = at + 20;
	return true;
}

/* Of the parameters of a packet. */
__noinline int kiln_sctp_parameter(struct kiln_sctp *w)
{
	u8 param[20] = {};
	u32 type, len;

	if (!w)
		return -EPERM;
	if (w->at + 4 > w->end)
		return 1;
	if (bpf_probe_read_kernel(param, 4, (void *)w->at))
		return -EPERM;
	type = (u32)param[0] << 8 | param[1];
	len = (u32)param[2] << 8 | param[3];
	if (len < 4)
		return 1;
	if (type == SCTP_PARAM_IPV4_ADDRESS) {
		bpf_probe_read_kernel(param, 8, (void *)w->at);
		kiln_key_v4(w->net, param[4] | param[5] << 8 | param[6] << 16 | (u32)param[7] << 24);
	} else if (type == SCTP_PARAM_IPV6_ADDRESS) {
		bpf_probe_read_kernel(param, 20, (void *)w->at);
		__builtin_memcpy(w->net + 1, param + 4, 16);
	}
	if ((type == SCTP_PARAM_IPV4_ADDRESS || type == SCTP_PARAM_IPV6_ADDRESS) && kiln_sctp_decide(w, 1))
		return -EPERM;
	w->at += (len + 3) & ~3u;
	return 0;
}

#endif
