/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Messages whose control data leads them elsewhere than to the address that they name, and of which sendmmsg(2) asks
 * nobody: after one that was sent, the next ones to the same address (____sys_sendmsg() of net/socket.c).
 */

#define IP_RETOPTS 7
#define IPV6_2292RTHDR 5
#define IPV6_RTHDR 57

/* Further addresses of the peer: sctp_sendv(3). */
#define SCTP_DSTADDRV4 7
#define SCTP_DSTADDRV6 8

#define KILN_CONTROLS 16
#define KILN_MESSAGES 1024u /* UIO_MAXIOV of include/uapi/linux/uio.h: a vector has no more */

static __always_inline bool kiln_sets_route(int level, int type)
{
	return (level == SOL_IP && type == IP_RETOPTS) ||
	       (level == IPPROTO_SCTP && (type == SCTP_DSTADDRV4 || type == SCTP_DSTADDRV6)) ||
	       (level == SOL_IPV6 && (type == IPV6_RTHDR || type == IPV6_2292RTHDR));
}

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
		if (kiln_sets_route(c.cmsg_level, c.cmsg_type))
			return true;
		step = (c.cmsg_len + 7) & ~7ull;
		if (c.cmsg_len < sizeof(c) || step >= left)
			return false;
		at += step;
		left -= step;
	}
	return true;
}

/* Whether a message goes to the any-address, of which its control data says what that is. */
static __always_inline bool kiln_to_any(struct sock *sk, struct msghdr *msg)
{
	u8 key[20] = {};

	if (!msg->msg_name || !kiln_key_sockaddr(key, sk, msg->msg_name, msg->msg_namelen) ||
	    !kiln_all_zero(key + 13, 4) || !kiln_all_zero(key + 1, 10))
		return false;
	return key[11] == key[12] && (key[11] == 0xff || !key[11]);
}

/* A vector of messages as the task has it. Another thread may change it; who then sends by a route is ended (below). */
struct kiln_vector {
	u64 at;	    /* address of the next message */
	u32 narrow; /* as 32-bit programs have it */
	u32 any;    /* whatever control data matters */
	u32 found;
};

static long kiln_message_step(u32 turn, struct kiln_vector *v)
{
	u32 narrow = v->narrow, head = narrow ? 12 : 16;
	u64 at, left;

	if (narrow) {
		u32 part[2] = {};

		if (bpf_probe_read_user(part, sizeof(part), (void *)v->at + 16))
			goto found;
		at = part[0];
		left = part[1];
		v->at += 32;
	} else {
		u64 part[2] = {};

		if (bpf_probe_read_user(part, sizeof(part), (void *)v->at + 32))
			goto found;
		at = part[0];
		left = part[1];
		v->at += 64;
	}
	if (left && v->any)
		goto found;
	for (int i = 0; i < KILN_CONTROLS; i++) {
		u32 c[4] = {};
		u64 len, step;

		if (left < head)
			return 0;
		if (bpf_probe_read_user(c, sizeof(c), (void *)at - (narrow ? 4 : 0)))
			goto found;
		/* Of 32 bits the length is the word before level and type, too. */
		len = narrow ? c[1] : c[0] | (u64)c[1] << 32;
		if (kiln_sets_route(c[2], c[3]))
			goto found;
		step = narrow ? (len + 3) & ~3ull : (len + 7) & ~7ull;
		if (len < head || step >= left)
			return 0;
		at += step;
		left -= step;
	}
found:
	v->found = 1;
	return 1;
}

#define SYS_SENDMMSG 20 /* of socketcall(2), include/uapi/linux/net.h */

/* Whether the task is within sendmmsg(2), and some message of it is led elsewhere. */
static __noinline bool kiln_routes_later(struct sock *sk, struct msghdr *msg)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	u64 call = regs->orig_ax & ~X32_BIT;
	struct kiln_vector v = {};
	u32 args[3] = {}, many;

	if (kiln_is_compat(task)) {
		v.narrow = 1;
		if (call == 345) {
			v.at = (u32)regs->cx;
			many = regs->dx;
		} else if (call == 102 && (u32)regs->bx == SYS_SENDMMSG) {
			if (bpf_probe_read_user(args, sizeof(args), (void *)(u64)(u32)regs->cx))
				return true;
			v.at = args[1];
			many = args[2];
		} else {
			return false;
		}
	} else if (call == 307 || call == 538) {
		v.narrow = call == 538;
		v.at = regs->si;
		many = regs->dx;
	} else {
		return false;
	}
	/* A ring's thread was made within any call. */
	if (many < 2 || task->flags & PF_IO_WORKER)
		return false;
	v.any = kiln_to_any(sk, msg);
	bpf_loop(many < KILN_MESSAGES ? many : KILN_MESSAGES, kiln_message_step, &v, 0);
	return v.found;
}

/*
 * A source route sends a packet to another address than the one that is
 * connected to: a destination that cannot be understood.
 */
static __always_inline int kiln_check_route(struct sock *sk, const u32 quiet)
{
	struct kiln_about about = {.kind = KILN_O_NET, .pos = PATH_FAIL, .quiet = quiet};
	struct kiln_who who = {};
	int entry = kiln_enter(&who, V(CONNECT));

	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_NET, 0, KILN_CONNECT | kiln_broken(entry));
	about.net[0] = kiln_protocol(sk);
	return kiln_decide_net(&who, &about, KILN_CONNECT, false);
}

/* A message that was refused does not come here. One that nobody was asked about does: its sender is ended. */
static __always_inline int kiln_check_sent(struct sock *sk, struct msghdr *msg)
{
	struct kiln_me me = kiln_me();

	if (kiln_unbound(&me, V(CONNECT)) || !msg->msg_controllen || !(kiln_routes(msg) || kiln_to_any(sk, msg)))
		return 0;
	if (kiln_check_route(sk, 1)) {
		kiln_check_route(sk, 0);
		bpf_send_signal(9);
	}
	return 0;
}

SEC("?fentry/ip_cmsg_send")
NEEDS("connect") /* messages that sendmmsg(2) asks nobody about */
int BPF_PROG(kiln_ip_cmsg_send, struct sock *sk, struct msghdr *msg)
{
	return kiln_check_sent(sk, msg);
}

SEC("?fentry/ip6_datagram_send_ctl")
NEEDS("connect") /* messages that sendmmsg(2) asks nobody about */
int BPF_PROG(kiln_ip6_datagram_send_ctl, void *net, struct sock *sk, struct msghdr *msg)
{
	return kiln_check_sent(sk, msg);
}
