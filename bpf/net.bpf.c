/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Sockets: bind, connect and send with an address; over IPv4, IPv6 and unix. */

static __noinline int kiln_check_bind(struct socket *sock, struct sockaddr *address, int addrlen)
{
	struct kiln_me me = kiln_me();

	return kiln_check_address_as(&me, KILN_BIND, sock, address, addrlen, false);
}

/*
 * A datagram socket that has no port gets one at its first message. That is no
 * bind(2), as long as it is a port that nobody has.
 */
static __noinline int kiln_check_port(struct socket *sock)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	struct kiln_who who = {};
	struct sock *sk = sock->sk;
	int entry;

	if (!sk || !kiln_chooses_port(sk))
		return 0;
	entry = kiln_enter(&who, V(BIND));
	if (entry == KILN_PASS || (who.s && kiln_any_address(&who, kiln_protocol(sk), KILN_BIND)))
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_BIND | kiln_broken(entry));
	about.net[0] = kiln_protocol(sk);
	if (sk->__sk_common.skc_family == AF_INET)
		kiln_key_v4(about.net, 0);
	return kiln_decide_bind(&who, &about, sk, false);
}

/* Whether it is such a socket. A ping socket takes an identifier, which is no port. */
static __always_inline bool kiln_portless(struct sock *sk)
{
	return sk->sk_type == SOCK_DGRAM && kiln_protocol(sk) != IPPROTO_ICMP && !sk->__sk_common.skc_num &&
	       kiln_is_inet(sk->__sk_common.skc_family);
}

/* Who binds a socket receives by it. */
static __noinline int kiln_check_owner(struct sock *sk)
{
	struct kiln_me me = kiln_me();
	struct kiln_who who = {};

	if (kiln_enter_datagram(&who, &me, sk) != KILN_DECIDE || kiln_receives(sk, kiln_word(&me), false))
		return 0;
	return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_ACCEPT | KILN_R_MEMORY << 8);
}

#define KILN_SERVER_PORT 53

/*
 * Who binds a socket where a name server answers is remembered with it, also where its cgroup says the same: that may
 * be gone when it answers. Who is none to the policy is not.
 */
static __noinline int kiln_check_server(struct sock *sk, struct sockaddr *address, int addrlen)
{
	struct kiln_tables *t = kiln_generation(kiln_index(kiln_active()));
	struct kiln_me me = kiln_me();
	u64 word = kiln_word(&me);
	u32 before = kiln_label_of_socket(sk);
	struct kiln_receiver *r;
	u16 port = 0;

	if (!t || !t->hdr.n_names || !(u32)word || sk->sk_protocol != IPPROTO_UDP || addrlen < 4 ||
	    bpf_probe_read_kernel(&port, sizeof(port), (void *)address + 2) ||
	    __builtin_bswap16(port) != KILN_SERVER_PORT)
		return 0;
	if (word >> 32 & (KILN_T_STARTING | KILN_T_EXEMPT) || kiln_is_quarantined(word))
		return 0;
	r = kiln_receiver(sk, BPF_LOCAL_STORAGE_GET_F_CREATE);
	/* Whose cgroup it is receives by it, too. */
	if (r && !r->label[0] && before)
		r->label[0] = before;
	for (int i = 0; r && i < KILN_RECEIVERS; i++) {
		if (r->label[i] == (u32)word)
			return 0;
		if (!r->label[i]) {
			r->label[i] = word;
			return 0;
		}
	}
	return kiln_refuse_self(KILN_BIND);
}

SEC("lsm/socket_bind")
NEEDS("bind datagrams")
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
	if (kiln_is_datagram(sk) && (kiln_check_owner(sk) || kiln_check_server(sk, address, addrlen)))
		return -EPERM;
	if (kiln_has_address(family))
		return kiln_check_bind(sock, address, addrlen);
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

static __noinline int kiln_connect(struct socket *sock, struct sockaddr *address, int addrlen)
{
	struct kiln_me me = kiln_me();
	u32 family;

	/* AF_UNSPEC dissolves an association. Unix sockets are decided by the peer that the kernel found. */
	family = address->sa_family;
	if (family == AF_UNSPEC || family == AF_UNIX)
		return 0;
	return kiln_check_address_as(&me, KILN_CONNECT, sock, address, addrlen, false);
}

SEC("lsm/socket_connect")
NEEDS("bind connect") /* also a port that is taken without bind(2) */
int BPF_PROG(kiln_socket_connect, struct socket *sock, struct sockaddr *address, int addrlen)
{
	struct kiln_me me = kiln_me();
	struct sock *sk;

	if (kiln_unbound(&me, V(CONNECT) | V(BIND)))
		return 0;
	sk = sock->sk;
	if (sk && kiln_portless(sk) && kiln_check_port(sock))
		return -EPERM;
	if (sk && sk->sk_protocol == IPPROTO_SCTP)
		kiln_remember(sk, kiln_word(&me));
	if (sk && kiln_passes(&me, kiln_pass_address(sk, KILN_CONNECT)))
		return 0;
	return kiln_connect(sock, address, addrlen);
}

/* Options of ip(7) and ipv6(7): of those that set a route, what is asked back. */
#define IP_HDRINCL 3
#define IP_OPTIONS 4
#define IPV6_2292PKTOPTIONS 6
#define IPV6_FLOWLABEL_MGR 32
#define IPV6_HDRINCL 36

SEC("lsm/socket_setsockopt")
NEEDS("connect peers") /* a source route goes round the addresses */
int BPF_PROG(kiln_socket_setsockopt, struct socket *sock, int level, int option)
{
	struct sock *sk = sock->sk;

	if (sk && kiln_is_refused(sk))
		return -EPERM;
	/* Of a raw socket: packets whose header says where they go, whatever was decided. */
	if (!(level == SOL_IP && (option == IP_OPTIONS || option == IP_HDRINCL)) &&
	    !(level == SOL_IPV6 && (option == IPV6_RTHDR || option == IPV6_2292PKTOPTIONS ||
				    option == IPV6_FLOWLABEL_MGR || option == IPV6_HDRINCL)))
		return 0;
	return sk && kiln_is_inet(sk->__sk_common.skc_family) ? kiln_check_route(sk, 0) : 0;
}

static __noinline int kiln_send_to(struct socket *sock, struct msghdr *msg)
{
	struct kiln_me me = kiln_me();

	return kiln_check_address_as(&me, KILN_CONNECT, sock, msg->msg_name, msg->msg_namelen, msg->msg_controllen);
}

/*
 * Sending on a socket that was connected before the quarantine. Nobody has an address to look up: what is refused of
 * each is refused.
 */
static __noinline int kiln_check_sending(struct sock *sk)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL};
	struct kiln_who who = {};
	int entry = kiln_enter(&who, V(CONNECT));

	if (entry == KILN_PASS || (who.s && !(who.s->flags & KILN_S_QUARANTINE)))
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_CONNECT | kiln_broken(entry));
	about.net[0] = kiln_protocol(sk);
	return kiln_decide_net(&who, &about, KILN_CONNECT, true);
}

SEC("lsm/socket_sendmsg")
NEEDS("bind connect peers datagrams") /* also remembers to whom datagrams go */
int BPF_PROG(kiln_socket_sendmsg, struct socket *sock, struct msghdr *msg, int size)
{
	struct sock *sk = sock->sk;
	struct kiln_me me;
	int ret;

	if (!sk)
		return 0;
	if (kiln_is_refused(sk))
		return -EPERM;
	me = kiln_me();
	if (kiln_unbound(&me, V(CONNECT) | V(BIND) | V(ACCEPT)))
		return 0;
	if (*(volatile u64 *)&kiln_state.quarantines && kiln_has_address(sk->__sk_common.skc_family) &&
	    kiln_check_sending(sk))
		return -EPERM;
	if (kiln_is_inet(sk->__sk_common.skc_family) &&
	    ((msg->msg_controllen && kiln_routes(msg)) || (msg->msg_name && kiln_routes_later(sk, msg)))) {
		ret = kiln_check_route(sk, 0);
		if (ret)
			return ret;
	}
	if (kiln_portless(sk) && kiln_check_port(sock))
		return -EPERM;
	if (!msg->msg_name)
		return 0;
	ret = kiln_send_to(sock, msg);
	if (!ret && kiln_is_datagram(sk))
		kiln_remember_sent(sk, msg);
	return ret ? -EPERM : 0;
}

/* The agent takes orders on a socket: not from a confined task, whatever its profile governs. */
static __always_inline bool kiln_is_agents(struct sock *other)
{
	struct pid *listener = BPF_CORE_READ(other, sk_peer_pid);
	struct task_struct *task;

	if (!listener)
		return false;
	task = kiln_task_of(listener);
	return task && kiln_is_protected(task);
}

SEC("lsm/unix_stream_connect")
NEEDS("always") /* guards the agent's own socket, too */
int BPF_PROG(kiln_unix_stream_connect, struct sock *sock, struct sock *other)
{
	if (kiln_confined() && kiln_is_agents(other))
		return kiln_refuse_self(KILN_CONNECT);
	return kiln_check_unix(KILN_CONNECT, other);
}

SEC("lsm/unix_may_send")
NEEDS("connect")
int BPF_PROG(kiln_unix_may_send, struct socket *sock, struct socket *other)
{
	return kiln_check_unix(KILN_CONNECT, BPF_CORE_READ(other, sk));
}
