/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Sockets: bind, listen, connect, send with an address, accept; over IPv4, IPv6 and unix. */

SEC("lsm/socket_create")
int BPF_PROG(kiln_socket_create, int family, int type, int protocol, int kern)
{
	type &= 0xf;
	if (kern || family == AF_UNIX || family == AF_NETLINK)
		return 0;
	if (kiln_is_inet(family) && type != SOCK_RAW && type != SOCK_PACKET)
		return 0;
	return kiln_check_bit(KILN_KERNEL, KILN_K_RAW_SOCKET, 0);
}

SEC("lsm/socket_bind")
int BPF_PROG(kiln_socket_bind, struct socket *sock, struct sockaddr *address, int addrlen)
{
	struct kiln_about about = {.kind = KILN_O_UNIX, .pos = PATH_FAIL};
	struct sock *sk = sock->sk;
	struct kiln_scratch *s;
	struct kiln_who who = {};
	int entry, ret;
	u16 family;

	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	if (kiln_is_inet(family))
		return kiln_check_address(KILN_BIND, sock, address, addrlen);
	/* A path is decided where its node is made (path_mknod); an empty address asks for a random abstract name. */
	if (family != AF_UNIX || addrlen < 3)
		return 0;
	u8 first = 1;
	if (bpf_probe_read_kernel(&first, 1, (void *)address + 2) || first)
		return 0;
	entry = kiln_enter(&who, V(BIND));
	if (entry == KILN_PASS)
		return 0;
	s = kiln_scratch_take();
	if (entry == KILN_BROKEN || !s || !who.s) {
		ret = kiln_refuse(&who.id, s, &about, KILN_BIND, KILN_R_LABEL);
	} else {
		about.pos = kiln_abstract(s, (void *)address + 2, addrlen - 2);
		ret = kiln_decide_path(&who, s, &about, V(BIND));
	}
	if (s)
		kiln_scratch_give(s);
	return ret;
}

/* Remembers who listens, for requests that arrive in no task's context. */
static __always_inline void kiln_remember(struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kiln_me me = kiln_me();
	u64 word = kiln_word(&me);
	struct kiln_listener *l;

	l = bpf_sk_storage_get(&kiln_listeners, sk, 0, word ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	if (!l)
		return;
	l->label = word ? (u32)word : KILN_LABEL_HOST;
	l->pid = task->tgid;
}

SEC("lsm/socket_listen")
int BPF_PROG(kiln_socket_listen, struct socket *sock, int backlog)
{
	struct sock *sk = sock->sk;
	u16 family;
	int ret = 0;

	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	if (!kiln_is_inet(family))
		return 0;
	/* Listening without bind(2) takes any address and a port of the kernel's choice. */
	if (!sk->__sk_common.skc_num) {
		struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
		struct kiln_who who = {};
		int entry = kiln_enter(&who, V(BIND));

		about.net[0] = kiln_protocol(sk);
		if (family == AF_INET)
			kiln_key_v4(about.net, 0);
		if (entry != KILN_PASS)
			ret = entry == KILN_BROKEN || !who.s
				  ? kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_BIND | kiln_broken(entry))
				  : kiln_decide_net(&who, &about, KILN_BIND, true);
	}
	if (!ret)
		kiln_remember(sk);
	return ret;
}

static __noinline int kiln_connect(struct socket *sock, struct sockaddr *address, int addrlen)
{
	struct kiln_me me = kiln_me();
	u32 family;

	/* AF_UNSPEC dissolves an association. Unix sockets are decided by the peer that the kernel found. */
	family = address->sa_family;
	if (family == AF_UNSPEC || family == AF_UNIX)
		return 0;
	return kiln_check_address_as(&me, KILN_CONNECT, sock, address, addrlen);
}

SEC("lsm/socket_connect")
int BPF_PROG(kiln_socket_connect, struct socket *sock, struct sockaddr *address, int addrlen)
{
	struct kiln_me me = kiln_me();
	struct sock *sk;

	if (kiln_unbound(&me, V(CONNECT)))
		return 0;
	sk = sock->sk;
	if (sk && kiln_passes(&me, kiln_pass_address(sk, KILN_CONNECT)))
		return 0;
	return kiln_connect(sock, address, addrlen);
}

/*
 * A source route sends a packet to another address than the one that is
 * connected to: a destination that cannot be understood.
 */
static __always_inline int kiln_check_route(struct sock *sk)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	struct kiln_who who = {};
	int entry = kiln_enter(&who, V(CONNECT));

	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_CONNECT | kiln_broken(entry));
	about.net[0] = kiln_protocol(sk);
	return kiln_decide_net(&who, &about, KILN_CONNECT, false);
}

/* Options of ip(7) and ipv6(7); of those that set a route, what is asked back and what is sent with a message. */
#define IP_OPTIONS 4
#define IP_RETOPTS 7
#define IPV6_2292RTHDR 5
#define IPV6_2292PKTOPTIONS 6
#define IPV6_FLOWLABEL_MGR 32
#define IPV6_RTHDR 57

SEC("lsm/socket_setsockopt")
int BPF_PROG(kiln_socket_setsockopt, struct socket *sock, int level, int option)
{
	struct sock *sk;

	if (!(level == SOL_IP && option == IP_OPTIONS) &&
	    !(level == SOL_IPV6 &&
	      (option == IPV6_RTHDR || option == IPV6_2292PKTOPTIONS || option == IPV6_FLOWLABEL_MGR)))
		return 0;
	sk = sock->sk;
	return sk && kiln_is_inet(sk->__sk_common.skc_family) ? kiln_check_route(sk) : 0;
}

#define KILN_CONTROLS 16

/* Whether a message's control data sets a route; true also where there is more than is looked at. */
static __always_inline bool kiln_routes(struct msghdr *msg)
{
	u64 at = (u64)msg->msg_control, left = msg->msg_controllen;

	for (int i = 0; i < KILN_CONTROLS; i++) {
		struct cmsghdr c = {};
		u64 step;

		if (left < sizeof(c))
			return false;
		if (bpf_probe_read_kernel(&c, sizeof(c), (void *)at))
			return true;
		if ((c.cmsg_level == SOL_IP && c.cmsg_type == IP_RETOPTS) ||
		    (c.cmsg_level == SOL_IPV6 && (c.cmsg_type == IPV6_RTHDR || c.cmsg_type == IPV6_2292RTHDR)))
			return true;
		step = (c.cmsg_len + 7) & ~7ull;
		if (c.cmsg_len < sizeof(c) || step >= left)
			return false;
		at += step;
		left -= step;
	}
	return true;
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(kiln_socket_sendmsg, struct socket *sock, struct msghdr *msg, int size)
{
	void *name = msg->msg_name;
	struct sock *sk = sock->sk;
	struct kiln_me me = kiln_me();
	int ret;

	if (msg->msg_controllen && sk && kiln_is_inet(sk->__sk_common.skc_family) && !kiln_unbound(&me, V(CONNECT)) &&
	    kiln_routes(msg)) {
		ret = kiln_check_route(sk);
		if (ret)
			return ret;
	}
	return name ? kiln_check_address(KILN_CONNECT, sock, name, msg->msg_namelen) : 0;
}

/* The agent takes orders on a socket: not from a confined task, whatever its profile governs. */
static __always_inline bool kiln_is_agents(struct sock *other)
{
	u32 agent = kiln_agent();
	struct pid *listener;

	if (!agent)
		return false;
	listener = BPF_CORE_READ(other, sk_peer_pid);
	return listener && (u32)BPF_CORE_READ(listener, numbers[0].nr) == agent;
}

SEC("lsm/unix_stream_connect")
int BPF_PROG(kiln_unix_stream_connect, struct sock *sock, struct sock *other)
{
	if (kiln_confined() && kiln_is_agents(other))
		return kiln_refuse_self(KILN_CONNECT);
	return kiln_check_unix(KILN_CONNECT, other);
}

SEC("lsm/unix_may_send")
int BPF_PROG(kiln_unix_may_send, struct socket *sock, struct socket *other)
{
	return kiln_check_unix(KILN_CONNECT, BPF_CORE_READ(other, sk));
}

/* The key of a connection request: the peer's address and the local port. */
static __always_inline void kiln_key_request(u8 *key, struct request_sock *req)
{
	key[0] = IPPROTO_TCP;
	kiln_key_port(key, BPF_CORE_READ(req, __req_common.skc_num));
	if (BPF_CORE_READ(req, __req_common.skc_family) == AF_INET6)
		bpf_probe_read_kernel(key + 1, 16, &req->__req_common.skc_v6_daddr);
	else
		kiln_key_v4(key, BPF_CORE_READ(req, __req_common.skc_daddr));
}

SEC("lsm/socket_accept")
int BPF_PROG(kiln_socket_accept, struct socket *sock, struct socket *newsock)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	struct sock *sk = sock->sk;
	struct request_sock *req;
	struct kiln_who who = {};
	int entry;

	if (!sk)
		return 0;
	if (sk->__sk_common.skc_family == AF_UNIX)
		return kiln_check_unix(KILN_ACCEPT, sk);
	if (!kiln_is_inet(sk->__sk_common.skc_family))
		return 0;
	entry = kiln_enter(&who, V(ACCEPT));
	if (entry == KILN_PASS)
		return 0;
	/* A listener that came from elsewhere (socket activation): from now on its requests are this subject's. */
	kiln_remember(sk);
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_ACCEPT | kiln_broken(entry));
	/* And what waits already is decided here. */
	req = BPF_CORE_READ((struct inet_connection_sock *)sk, icsk_accept_queue.rskq_accept_head);
	if (!req)
		return 0;
	kiln_key_request(about.net, req);
	return kiln_decide_net(&who, &about, KILN_ACCEPT, true);
}

/* A SYN arrived: the only place where a stranger can be turned away before the handshake. */
SEC("lsm/inet_conn_request")
int BPF_PROG(kiln_inet_conn_request, struct sock *sk, struct sk_buff *skb, struct request_sock *req)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	struct kiln_listener *l = bpf_sk_storage_get(&kiln_listeners, sk, 0, 0);
	u64 active = kiln_active();
	struct kiln_who who = {};
	int entry;

	if (!l || (u32)active == KILN_INACTIVE)
		return 0;
	entry = kiln_enter_label(&who, active, l->label, V(ACCEPT));
	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return -EPERM;
	about.pid = l->pid;
	kiln_key_request(about.net, req);
	return kiln_decide_net(&who, &about, KILN_ACCEPT, true);
}
