/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Who may listen, and whose connections come in: refused at the first packet
 * where it is known who listens, else when the kernel has handed them out.
 */

#define TCP_LISTEN 10	     /* include/net/tcp_states.h; also a value of bpf(2)'s interface */
#define SOCK_BINDADDR_LOCK 4 /* include/net/sock.h: the socket keeps the address that it was bound to */
#define SOCK_BINDPORT_LOCK 8 /* the same of its port */
#define IPPROTO_DCCP 33
#define KILN_NOBODY ~0u /* in place of a process's number where none is known */

/* The socket that does the work: of a multipath socket the first within; NULL: there is none yet. */
static __always_inline struct sock *kiln_within(struct sock *sk)
{
	if (sk->sk_protocol == IPPROTO_MPTCP)
		return BPF_CORE_READ((struct mptcp_sock *)sk, first);
	return sk;
}

static __always_inline bool kiln_is_smc(struct sock *sk)
{
	return sk->__sk_common.skc_family == AF_SMC || sk->sk_protocol == IPPROTO_SMC;
}

/* The label of the cgroup in which a socket was made; 0: none. */
static __always_inline u32 kiln_label_of_socket(struct sock *sk)
{
	struct cgroup *group;
	u32 place;
	u64 marked;

	if (!bpf_core_field_exists(sk->sk_cgrp_data))
		return 0;
	group = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	place = kiln_place(group);
	if (!group || !(*(volatile u32 *)kiln_look(place) & KILN_LOOK_LABEL))
		return 0;
	marked = *(volatile u64 *)&kiln_mark(place)->group;
	if (marked == (u64)group)
		return *(volatile u32 *)&kiln_mark(place)->label;
	return marked == KILN_MARK_SHARED ? kiln_group_label(group) : 0;
}

/*
 * Remembers who listens, for requests that arrive in no task's context. False:
 * the socket's memory is used up, and the cgroup in which it was made does not
 * say the same. (Requests of a multipath socket come to the one within, which
 * has that cgroup, too.)
 */
static __always_inline bool kiln_remember(struct sock *sk, u64 word)
{
	u64 create = word ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0;
	struct kiln_listener *l;

	if (kiln_is_quarantined(word))
		return true;
	l = bpf_sk_storage_get(&kiln_listeners, sk, 0, create);
	/* What was refused stays refused, whatever is called with it. */
	if (l && (l->label || !l->pid)) {
		l->label = word ? (u32)word : KILN_LABEL_HOST;
		l->pid = bpf_get_current_task_btf()->tgid;
	}
	return !word || l || kiln_label_of_socket(sk) == (u32)word;
}

/* Who listens on a socket; 0: nobody to whom a policy speaks. */
static __always_inline u32 kiln_listener(struct sock *sk, u64 active, u32 *pid)
{
	struct kiln_listener *l = bpf_sk_storage_get(&kiln_listeners, sk, 0, 0);
	u32 label;

	*pid = KILN_NOBODY;
	if (l && l->label) {
		*pid = l->pid;
		return l->label;
	}
	label = kiln_label_of_socket(sk);
	return !label && active >> 32 & V(ACCEPT) ? KILN_LABEL_HOST : label;
}

/* Listening without bind(2) takes a port of the kernel's choice, and any address where the socket has none. */
static __always_inline int kiln_check_unbound(struct sock *sk)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	struct sock *inner = kiln_within(sk);
	struct kiln_who who = {};
	u32 locks = inner ? BPF_CORE_READ_BITFIELD_PROBED(inner, sk_userlocks) : 0;
	int entry;

	/*
	 * A port that the kernel chose is given back when another thread disconnects the socket, but for one of SCTP,
	 * which has no disconnecting, and no such lock.
	 */
	if (locks & SOCK_BINDPORT_LOCK || sk->__sk_common.skc_state == TCP_LISTEN ||
	    (sk->sk_protocol == IPPROTO_SCTP && sk->__sk_common.skc_num))
		return 0;
	entry = kiln_enter(&who, V(BIND));
	if (entry == KILN_PASS || (who.s && kiln_any_address(&who, kiln_protocol(sk), KILN_BIND)))
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_BIND | kiln_broken(entry));
	about.net[0] = kiln_protocol(sk);
	if (sk->__sk_common.skc_family != AF_INET6)
		kiln_key_v4(about.net,
			    locks & SOCK_BINDADDR_LOCK ? BPF_CORE_READ(inner, __sk_common.skc_rcv_saddr) : 0);
	else if (locks & SOCK_BINDADDR_LOCK)
		bpf_probe_read_kernel(about.net + 1, 16, &inner->__sk_common.skc_v6_rcv_saddr);
	return kiln_decide_bind(&who, &about, sk, !kiln_chooses_port(sk));
}

/* A verb on the socket itself, without anything known of the peer: `ok` says whether the port is enough. */
static __noinline int kiln_check_accept(struct socket *sock, bool ok, bool forgotten)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	struct sock *sk = sock->sk;
	struct kiln_who who = {};
	int entry = kiln_enter(&who, V(ACCEPT));

	if (!sk || entry == KILN_PASS || (who.s && kiln_any_address(&who, kiln_protocol(sk), KILN_ACCEPT)))
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_ACCEPT | kiln_broken(entry));
	if (forgotten)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_ACCEPT | KILN_R_MEMORY << 8);
	about.net[0] = kiln_protocol(sk);
	kiln_key_port(about.net, sk->__sk_common.skc_num);
	return kiln_decide_net(&who, &about, KILN_ACCEPT, ok);
}

SEC("lsm/socket_listen")
NEEDS("bind accept") /* also remembers who listens, for the accept side */
int BPF_PROG(kiln_socket_listen, struct socket *sock, int backlog)
{
	struct sock *sk = sock->sk;
	struct kiln_me me = kiln_me();

	if (!sk || !kiln_has_address(sk->__sk_common.skc_family))
		return 0;
	/* An SMC socket accepts by a kernel thread, from a socket within. */
	if (kiln_is_smc(sk))
		return kiln_check_accept(sock, false, false);
	if (!kiln_is_inet(sk->__sk_common.skc_family))
		return 0;
	if (kiln_check_unbound(sk))
		return -EPERM;
	return kiln_remember(sk, kiln_word(&me)) ? 0 : kiln_check_accept(sock, true, true);
}

/* The key of a connection request: the peer's address and the local port. */
static __always_inline void kiln_key_request(u8 *key, struct request_sock *req)
{
	kiln_key_port(key, BPF_CORE_READ(req, __req_common.skc_num));
	if (BPF_CORE_READ(req, __req_common.skc_family) == AF_INET6)
		bpf_probe_read_kernel(key + 1, 16, &req->__req_common.skc_v6_daddr);
	else
		kiln_key_v4(key, BPF_CORE_READ(req, __req_common.skc_daddr));
}

/* The connection that waits first. */
static __always_inline struct request_sock *kiln_first(struct sock *sk)
{
	u32 protocol = sk->sk_protocol;
	struct sock *inner = kiln_within(sk);

	if (!inner || (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP && protocol != IPPROTO_DCCP))
		return NULL;
	return BPF_CORE_READ((struct inet_connection_sock *)inner, icsk_accept_queue.rskq_accept_head);
}

/*
 * A listener that came from elsewhere (socket activation) may have connections
 * that were never decided. Where who connects matters, each is decided when the
 * kernel has handed it out (sock_graft), which is too late for an error: so a
 * stranger who waits first is refused once here, and handed out the next time,
 * so that it does not keep away who is behind it.
 */
static __noinline int kiln_accept_inet(struct socket *sock)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	struct sock *sk = sock->sk;
	struct kiln_me me = kiln_me();
	struct kiln_who who = {};
	struct kiln_decision *d;
	struct kiln_listener *l;
	struct request_sock *first;
	int entry;

	if (!sk)
		return 0;
	entry = kiln_enter(&who, V(ACCEPT));
	if (entry == KILN_PASS)
		return 0;
	/* From now on its requests are this subject's. */
	kiln_remember(sk, kiln_word(&me));
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_ACCEPT | kiln_broken(entry));
	if (kiln_any_address(&who, kiln_protocol(sk), KILN_ACCEPT))
		return 0;
	about.net[0] = kiln_protocol(sk);
	first = kiln_first(sk);
	if (first)
		kiln_key_request(about.net, first);
	else
		kiln_key_port(about.net, sk->__sk_common.skc_num);
	if (who.t->hdr.required_hooks_lo & KILN_H_PEER) {
		d = kiln_decision_at(who.t, kiln_net_index(&who, &about, true));
		if (!first || (d && !(d->deny & V(ACCEPT))))
			return 0;
		l = bpf_sk_storage_get(&kiln_listeners, sk, 0, 0);
		if (!l || l->refused == (u64)first)
			return 0;
		l->refused = (u64)first;
		/* What a stranger asks for is not the task's doing. */
		about.pid = me.task->tgid;
	}
	return kiln_decide_net(&who, &about, KILN_ACCEPT, true);
}

SEC("lsm/socket_accept")
NEEDS("accept")
int BPF_PROG(kiln_socket_accept, struct socket *sock, struct socket *newsock)
{
	struct kiln_me me = kiln_me();
	struct sock *sk = sock->sk;
	u16 family;

	if (!sk || kiln_unbound(&me, V(ACCEPT)))
		return 0;
	family = sk->__sk_common.skc_family;
	if (family == AF_UNIX)
		return kiln_check_unix(KILN_ACCEPT, sk);
	if (!kiln_has_address(family))
		return 0;
	return kiln_is_smc(sk) ? kiln_check_accept(sock, false, false) : kiln_accept_inet(sock);
}

/* The peer and the local port of a connection. */
static __always_inline void kiln_key_peer(u8 *key, struct sock *sk)
{
	struct sock *inner = kiln_within(sk);

	if (!inner)
		return;
	kiln_key_port(key, BPF_CORE_READ(inner, __sk_common.skc_num));
	if (BPF_CORE_READ(inner, __sk_common.skc_family) == AF_INET6)
		bpf_probe_read_kernel(key + 1, 16, &inner->__sk_common.skc_v6_daddr);
	else
		kiln_key_v4(key, BPF_CORE_READ(inner, __sk_common.skc_daddr));
}

/* Of no use any more, to nobody. */
static __always_inline void kiln_seal(struct sock *sk)
{
	struct kiln_listener *l = bpf_sk_storage_get(&kiln_listeners, sk, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!l) {
		/* Whoever listens has used up the memory that each of its connections is to have. */
		bpf_send_signal(9);
		return;
	}
	l->label = 0;
	l->pid = KILN_NOBODY;
}

/* Who takes it, for one of SCTP. These are several functions for the sake of the stack. */
static __noinline int kiln_graft_enter(struct sock *sk, struct kiln_ids *id)
{
	struct kiln_me me = kiln_me();
	struct kiln_who who = {};
	u64 word = kiln_word(&me);
	int entry = kiln_enter_as(&who, &me, word, V(ACCEPT), 0);

	if (entry == KILN_PASS)
		return KILN_PASS;
	if (entry == KILN_BROKEN || !who.s) {
		kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_ACCEPT | kiln_broken(entry));
		return KILN_BROKEN;
	}
	kiln_remember(sk, word);
	*id = who.id;
	return KILN_DECIDE;
}

/* One of SCTP: each of its addresses. */
static __noinline bool kiln_graft_sctp(struct sock *sk)
{
	struct kiln_ids id = {};
	int entry = kiln_graft_enter(sk, &id);

	if (entry != KILN_DECIDE)
		return entry == KILN_PASS;
	return !kiln_sctp_first(&id, bpf_get_current_task_btf()->tgid, sk);
}

static __noinline bool kiln_graft(struct sock *sk)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	struct kiln_me me = kiln_me();
	struct kiln_who who = {};
	int entry;

	entry = kiln_enter_as(&who, &me, kiln_word(&me), V(ACCEPT), kiln_pass_address(sk, KILN_ACCEPT));
	if (entry == KILN_PASS || (who.s && kiln_any_address(&who, kiln_protocol(sk), KILN_ACCEPT)))
		return true;
	if (entry == KILN_BROKEN || !who.s) {
		kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_ACCEPT | kiln_broken(entry));
		return false;
	}
	about.pid = me.task->tgid;
	about.net[0] = kiln_protocol(sk);
	kiln_key_peer(about.net, sk);
	return !kiln_decide_net(&who, &about, KILN_ACCEPT, true);
}

/* A connection was taken from the queue, whoever was first when accept(2) began. */
SEC("lsm/sock_graft")
NEEDS("peers") /* a connection that was refused after it was handed out stays of no use */
int BPF_PROG(kiln_sock_graft, struct sock *sk, struct socket *parent)
{
	struct kiln_me me = kiln_me();

	if (kiln_unbound(&me, V(ACCEPT)) || !kiln_is_inet(sk->__sk_common.skc_family))
		return 0;
	if (!(sk->sk_protocol == IPPROTO_SCTP ? kiln_graft_sctp(sk) : kiln_graft(sk)))
		kiln_seal(sk);
	return 0;
}

/* Whether a connection was refused when it was handed out already. */
static __always_inline bool kiln_is_refused(struct sock *sk)
{
	struct kiln_listener *l;

	if (!sk->sk_bpf_storage)
		return false;
	l = bpf_sk_storage_get(&kiln_listeners, sk, 0, 0);
	return l && !l->label && l->pid;
}

/* TCP_ZEROCOPY_RECEIVE reads by this call. */
SEC("lsm/socket_getsockopt")
NEEDS("peers")
int BPF_PROG(kiln_socket_getsockopt, struct socket *sock, int level, int option)
{
	struct sock *sk = sock->sk;

	return level == IPPROTO_TCP && sk && kiln_is_refused(sk) ? -EPERM : 0;
}

/* splice(2) from a connection, and sendfile(2) to one, come by no hook that could refuse: their caller is ended. */
static __always_inline int kiln_end_splice(struct socket *sock)
{
	struct sock *sk = sock->sk;

	if (sk && kiln_is_refused(sk))
		bpf_send_signal(9);
	return 0;
}
SEC("?fentry/tcp_splice_read")
NEEDS("peers")
int BPF_PROG(kiln_splice_read, struct socket *sock)
{
	return kiln_end_splice(sock);
}
SEC("?fentry/inet_sendpage")
NEEDS("peers")
int BPF_PROG(kiln_sendpage, struct socket *sock)
{
	return kiln_end_splice(sock);
}

/* A SYN arrived: the only place where a stranger can be turned away before the handshake. */
SEC("lsm/inet_conn_request")
NEEDS("accept")
int BPF_PROG(kiln_inet_conn_request, struct sock *sk, struct sk_buff *skb, struct request_sock *req)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	u64 active = kiln_active();
	struct kiln_who who = {};
	u32 label, entry;

	if ((u32)active == KILN_INACTIVE)
		return 0;
	label = kiln_listener(sk, active, &about.pid);
	if (!label)
		return 0;
	entry = kiln_enter_label(&who, active, label, kiln_user_of(sk), V(ACCEPT));
	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return -EPERM;
	about.net[0] = kiln_protocol(sk);
	kiln_key_request(about.net, req);
	return kiln_decide_net(&who, &about, KILN_ACCEPT, true);
}
