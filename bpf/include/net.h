/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Network objects: the key of abi.h from socket addresses, and its decision. */
#ifndef KILN_NET_H
#define KILN_NET_H

static __always_inline bool kiln_all_zero(const u8 *bytes, const u32 n)
{
	u8 any = 0;

#pragma unroll
	for (u32 i = 0; i < n; i++)
		any |= bytes[i];
	return !any;
}

/* protocol, then ::ffff:a.b.c.d; `addr` in network order as the kernel keeps it. */
static __always_inline void kiln_key_v4(u8 *key, u32 addr)
{
	__builtin_memset(key + 1, 0, 10);
	key[11] = key[12] = 0xff;
	key[13] = addr & 0xff;
	key[14] = addr >> 8 & 0xff;
	key[15] = addr >> 16 & 0xff;
	key[16] = addr >> 24;
}

static __always_inline void kiln_key_port(u8 *key, u16 port)
{
	key[17] = port >> 8;
	key[18] = port & 0xff;
}

static __always_inline bool kiln_is_inet(u16 family)
{
	return family == AF_INET || family == AF_INET6;
}

/*
 * Families whose sockets have an IP address. Those of SMC and RDS reach it by TCP sockets of the kernel's own, which
 * no hook shows.
 */
static __always_inline bool kiln_has_address(u16 family)
{
	return kiln_is_inet(family) || family == AF_SMC || family == AF_RDS;
}

/*
 * What is spoken on the wire. A multipath socket speaks TCP on each path (RFC 8684), SMC until its peer knows it, too.
 * ICMP is one protocol to a rule, whatever the family.
 */
static __always_inline u32 kiln_protocol(struct sock *sk)
{
	u32 protocol = sk->sk_protocol;

	if (protocol == IPPROTO_MPTCP || protocol == IPPROTO_SMC || !kiln_is_inet(sk->__sk_common.skc_family))
		return IPPROTO_TCP;
	if (protocol == IPPROTO_ICMPV6)
		return IPPROTO_ICMP;
	return protocol > 254 ? 255 : protocol;
}

/*
 * The key of a socket address; false where it is malformed or of another
 * family. The address is already in kernel memory (move_addr_to_kernel), so
 * what is decided is what will be used.
 */
static __always_inline bool kiln_key_sockaddr(u8 *key, struct sock *sk, void *address, int len)
{
	u8 raw[28] = {};
	u16 family;

	if (len < 8)
		return false;
	if (len >= 24) {
		if (bpf_probe_read_kernel(raw, 24, address))
			return false;
	} else if (bpf_probe_read_kernel(raw, 8, address)) {
		return false;
	}
	family = raw[0] | (u16)raw[1] << 8;
	key[0] = kiln_protocol(sk);
	/* ICMP has no ports: what stands there is an identifier, or nothing. */
	if (key[0] != IPPROTO_ICMP) {
		key[17] = raw[2];
		key[18] = raw[3];
	}
	if (family == AF_INET || family == AF_UNSPEC) {
		__builtin_memset(key + 1, 0, 10);
		key[11] = key[12] = 0xff;
		__builtin_memcpy(key + 13, raw + 4, 4);
		return true;
	}
	if (family == AF_INET6 && len >= 24) {
		__builtin_memcpy(key + 1, raw + 8, 16);
		return true;
	}
	return false;
}

/*
 * The any-address as a destination means this machine: the address that an IPv4
 * socket is bound to, else that of the device that it is bound to, else the
 * loopback (ip_route_output_key_hash_rcu(), tcp_v6_connect()). The key is of
 * where the packets go; false where that is more than can be told: a device's
 * address, one that a message brings along (`controls`), one that a socket
 * within this one has, the several that SCTP has.
 */
static __always_inline bool kiln_key_destination(u8 *key, struct sock *sk, bool controls)
{
	u32 source = 0;

	if (!kiln_all_zero(key + 13, 4) || !kiln_all_zero(key + 1, 10))
		return true;
	if (!kiln_is_inet(sk->__sk_common.skc_family) || sk->sk_protocol == IPPROTO_SMC ||
	    sk->sk_protocol == IPPROTO_SCTP)
		return false;
	if (key[11] == 0xff && key[12] == 0xff) {
		source = BPF_CORE_READ((struct inet_sock *)sk, inet_saddr);
		if (controls)
			return false;
		if (!source && (BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if) ||
				BPF_CORE_READ((struct inet_sock *)sk, uc_index)))
			return false;
	} else if (kiln_all_zero(key + 11, 2)) {
		u8 bound[16] = {};

		/* An IPv6 socket that is bound to an IPv4-mapped address stays with IPv4. */
		bpf_probe_read_kernel(bound, sizeof(bound), &sk->__sk_common.skc_v6_rcv_saddr);
		if (!kiln_all_zero(bound, 10) || bound[10] != 0xff || bound[11] != 0xff) {
			key[16] = 1;
			return true;
		}
	} else {
		return true;
	}
	if (source) {
		kiln_key_v4(key, source);
		return true;
	}
	key[11] = key[12] = 0xff;
	key[13] = 127;
	key[16] = 1;
	return true;
}

/*
 * Whether the kernel's choice of a port is not free: it keeps clear of what
 * others have, except of a datagram socket of the same user where both asked to
 * share (SO_REUSEPORT, udp_lib_lport_inuse()), and chooses from a range of the
 * task's (IP_LOCAL_PORT_RANGE).
 */
static __always_inline bool kiln_chooses_port(struct sock *sk)
{
	struct inet_sock___word *word = (void *)sk;
	struct inet_sock___pair *pair = (void *)sk;
	bool datagram = sk->sk_protocol != IPPROTO_TCP && sk->sk_protocol != IPPROTO_MPTCP;
	u32 range = 0;

	if (bpf_core_field_exists(word->local_port_range))
		range = BPF_CORE_READ(word, local_port_range);
	else if (bpf_core_field_exists(pair->local_port_range.lo))
		range = BPF_CORE_READ(pair, local_port_range.lo) | BPF_CORE_READ(pair, local_port_range.hi);
	return range || (datagram && BPF_CORE_READ_BITFIELD_PROBED(&sk->__sk_common, skc_reuseport));
}

__noinline u32 kiln_match_net(struct kiln_tables *t, u32 state, struct kiln_about *about)
{
	if (!t || !about)
		return 0;
	return kiln_accept(t, kiln_walk_net(t, state, about->net));
}

/* The decision on a key; `ok` false: the address could not be understood. */
static __always_inline u32 kiln_net_index(struct kiln_who *who, struct kiln_about *about, bool ok)
{
	const u8 *key = about->net;
	bool four = key[11] == 0xff && key[12] == 0xff && kiln_all_zero(key + 1, 10);
	u32 index;

	if (!ok) {
		about->reason = KILN_R_ADDRESS;
		return who->s->fail_net;
	}
	/* IPv4 begins where its common prefix ends. */
	if (four && key[0] == IPPROTO_TCP)
		index = kiln_accept(who->t, kiln_walk_net4(who->t, who->s->net4_tcp, key));
	else if (four && key[0] == IPPROTO_UDP)
		index = kiln_accept(who->t, kiln_walk_net4(who->t, who->s->net4_udp, key));
	else
		index = kiln_match_net(who->t, who->s->net_start, about);
	return index ? index : who->s->net_default;
}

#include "learned.h"

/* The decision on a key to which the subject connects, where the address alone does not permit it. */
static __always_inline u32 kiln_connect_index(struct kiln_who *who, struct kiln_about *about, u32 index)
{
	return who->s->flags & KILN_S_DNS ? kiln_named_index(who->t, about, who->s->net_start, index) : index;
}

/* Decides a key for `who`. */
static __always_inline int kiln_decide_net(struct kiln_who *who, struct kiln_about *about, u32 verb, bool ok)
{
	u32 index = kiln_net_index(who, about, ok);
	struct kiln_decision *d;
	struct kiln_scratch *s;
	int ret;

	if (ok && verb == KILN_CONNECT)
		index = kiln_connect_index(who, about, index);
	d = kiln_decision_at(who->t, index);
	if (d && !((d->deny | d->would | d->watch) & (1u << verb)))
		return 0;
	s = kiln_scratch_take();
	ret = kiln_apply_here(who, s, about, index, 1u << verb, true);
	if (s)
		kiln_scratch_give(s);
	return ret;
}

/* The same for a label, whose tables are looked up again: for a loop. `what`: the verb, and KILN_UNCLEAR. */
#define KILN_UNCLEAR 0x100u
__noinline int kiln_decide_again(struct kiln_ids *id, struct kiln_about *about, u32 what)
{
	struct kiln_who who = {};
	u32 verb = what & 0xf;

	if (!id || !about)
		return -EPERM;
	who.id = *id;
	who.t = kiln_generation(id->generation);
	if (!who.t)
		return -EPERM;
	/* Of the same moment as when the label was entered. */
	who.s = id->subject ? kiln_subject_at(who.t, id->subject) : NULL;
	if (!who.s)
		return -EPERM;
	return kiln_decide_net(&who, about, verb, !(what & KILN_UNCLEAR)) ? -EPERM : 0;
}

/* The address that a packet comes from; false where there is none. What is in a queue has its header still. */
static __always_inline bool kiln_key_source(u8 *key, struct sk_buff *skb)
{
	void *ip = (void *)BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
	u8 version = 0;
	u32 four;

	if (bpf_probe_read_kernel(&version, 1, ip))
		return false;
	if (version >> 4 == 6)
		return !bpf_probe_read_kernel(key + 1, 16, ip + 8);
	if (version >> 4 != 4 || bpf_probe_read_kernel(&four, 4, ip + 12))
		return false;
	kiln_key_v4(key, four);
	return true;
}

/* Whether the subject may do `verb` with every address and port of the socket's protocol, and nobody watches. */
static __always_inline bool kiln_any_address(struct kiln_who *who, u32 protocol, u32 verb)
{
	u32 any = protocol == IPPROTO_TCP ? who->s->any_tcp : protocol == IPPROTO_UDP ? who->s->any_udp : 0;

	return any >> verb & 1;
}

/* The same as a bit of kiln_mark.pass; 0: none. */
static __always_inline u32 kiln_pass_address(struct sock *sk, const u32 verb)
{
	u32 protocol = sk->sk_protocol;

	if (protocol == IPPROTO_TCP)
		return 1u << (KILN_PASS_TCP + verb - KILN_BIND);
	if (protocol == IPPROTO_UDP)
		return 1u << (KILN_PASS_UDP + verb - KILN_BIND);
	return 0;
}

/*
 * Decides BIND of the key's address and port. An IPv6 socket at the any-address
 * has the port of IPv4, too, unless it was told not to.
 */
static __always_inline int kiln_decide_bind(struct kiln_who *who, struct kiln_about *about, struct sock *sk, bool ok)
{
	int ret = kiln_decide_net(who, about, KILN_BIND, ok);

	if (ret || !ok || !kiln_all_zero(about->net + 1, 16) || sk->__sk_common.skc_family == AF_INET ||
	    sk->sk_protocol == IPPROTO_ICMPV6 || BPF_CORE_READ_BITFIELD_PROBED(&sk->__sk_common, skc_ipv6only))
		return ret;
	kiln_key_v4(about->net, 0);
	return kiln_decide_net(who, about, KILN_BIND, true);
}

/* A socket call of the current task with an address; for a family that has none there is nothing to say. */
static __always_inline int kiln_check_address_as(const struct kiln_me *me, const u32 verb, struct socket *sock,
						 void *address, int len, bool controls)
{
	struct kiln_about about;
	struct kiln_who who = {};
	struct sock *sk = sock->sk;
	int entry;
	u16 family;
	bool ok;

	if (!sk)
		return 0;
	entry = kiln_enter_as(&who, me, kiln_word(me), 1u << verb, kiln_pass_address(sk, verb));
	if (entry == KILN_PASS)
		return 0;
	family = sk->__sk_common.skc_family;
	if (!kiln_has_address(family) || (family == AF_RDS && verb != KILN_CONNECT))
		return 0;
	/* An address that makes no sense the kernel itself refuses. */
	if (who.s && kiln_any_address(&who, kiln_protocol(sk), verb))
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, verb | kiln_broken(entry));
	__builtin_memset(&about, 0, sizeof(about));
	about.kind = KILN_O_NET;
	about.pos = PATH_FAIL;
	ok = kiln_key_sockaddr(about.net, sk, address, len);
	if (family == AF_RDS)
		kiln_key_port(about.net, RDS_TCP_PORT);
	if (ok && verb == KILN_CONNECT)
		ok = kiln_key_destination(about.net, sk, controls);
	if (verb != KILN_BIND)
		return kiln_decide_net(&who, &about, verb, ok);
	if (ok && !about.net[17] && !about.net[18] && kiln_is_inet(family) && about.net[0] != IPPROTO_ICMP &&
	    kiln_chooses_port(sk))
		ok = false;
	return kiln_decide_bind(&who, &about, sk, ok);
}

/* '@' and an abstract name (whose first byte is NUL), at the end of the scratch. */
static __always_inline u32 kiln_abstract(struct kiln_scratch *s, const void *name, int len)
{
	u32 n = len, pos;

	barrier_var(n);
	if (n < 1 || n > 108)
		return PATH_FAIL;
	pos = KILN_PATH_MAX - n;
	if (bpf_probe_read_kernel(&s->path[pos], n, name))
		return PATH_FAIL;
	if (s->path[pos])
		return PATH_FAIL;
	s->path[pos] = '@';
	return pos;
}

/* The name of a bound unix socket: its path, or '@' and the abstract name. */
static __always_inline int kiln_check_unix(u32 verb, struct sock *sk)
{
	struct unix_sock *u = (void *)sk;
	struct kiln_about about = {.kind = KILN_O_UNIX, .pos = PATH_FAIL};
	struct kiln_scratch *s;
	struct kiln_who who = {};
	int entry = kiln_enter(&who, 1u << verb), ret;
	struct unix_address *addr;
	struct vfsmount *mnt = NULL;
	struct dentry *dentry;
	int len;

	if (entry == KILN_PASS)
		return 0;
	s = kiln_scratch_take();
	if (entry == KILN_BROKEN || !s || !who.s) {
		ret = kiln_refuse(&who.id, s, &about, verb,
				  entry == KILN_BROKEN ? KILN_R_TABLES
				  : !s		       ? KILN_R_MEMORY
						       : KILN_R_LABEL);
		goto out;
	}
	dentry = BPF_CORE_READ(u, path.dentry);
	if (dentry) {
		mnt = BPF_CORE_READ(u, path.mnt);
		about.pos = kiln_resolve_any(s, mnt, dentry);
	} else {
		addr = BPF_CORE_READ(u, addr);
		if (!addr) {
			/* socketpair(2), or an unnamed peer that was reached through a descriptor. */
			ret = 0;
			goto out;
		}
		len = BPF_CORE_READ(addr, len);
		about.pos = kiln_abstract(s, (void *)addr + bpf_core_type_size(struct unix_address) + 2, len - 2);
	}
	ret = dentry ? kiln_decide_file(&who, s, &about, 1u << verb, mnt, dentry)
		     : kiln_decide_path(&who, s, &about, 1u << verb);
out:
	if (s)
		kiln_scratch_give(s);
	return ret;
}

#endif
