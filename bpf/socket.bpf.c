/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Sockets that are made, by a task or by the kernel on its behalf, and that no
 * address rule would see. A subject that governs the network refuses them as its
 * detours, unless a rule permits them by name (docs/pdl.md, Detours).
 */

static __always_inline int kiln_decide_unseen(struct kiln_who *who, int entry, u32 op)
{
	if (entry == KILN_BROKEN || !who->s)
		return kiln_refuse_here(&who->id, KILN_O_KERNEL, op, KILN_KERNEL | kiln_broken(entry));
	return kiln_decide_bit(who, KILN_KERNEL, op, 0);
}

/* System calls that a task's own sockets are used by, x86-64 and 32-bit. */
static __always_inline bool kiln_socket_call(u64 call, bool compat)
{
	if (call == 426) /* io_uring_enter */
		return true;
	if (compat)
		return call == 102 /* socketcall */ || (call >= 359 && call <= 373) /* socket .. shutdown */ ||
		       call == 345 /* sendmmsg */;
	return (call >= 41 && call <= 46) /* socket .. sendmsg */ || call == 49 /* bind */ || call == 50 /* listen */ ||
	       call == 54 /* setsockopt */ || call == 55 /* getsockopt */ || call == 288 /* accept4 */ ||
	       call == 307 /* sendmmsg */;
}

/* Those that make a network namespace, or load a module, which have control sockets of their own. */
static __always_inline bool kiln_namespace_call(u64 call, bool compat)
{
	if (call == 435) /* clone3 */
		return true;
	if (compat)
		return call == 120 /* clone */ || call == 310 /* unshare */ || call == 128 /* init_module */ ||
		       call == 350 /* finit_module */;
	return call == 56 /* clone */ || call == 272 /* unshare */ || call == 175 /* init_module */ ||
	       call == 313 /* finit_module */;
}

static __always_inline bool kiln_mount_call(u64 call, bool compat)
{
	return call == 431 /* fsconfig */ || call == (compat ? 21 : 165) /* mount */;
}

/*
 * A socket that the kernel makes in a task's context connects where no hook
 * shows it: a network file system, a tunnel, a block device. The sockets within
 * a multipath or SMC socket are decided as that.
 */
static __noinline int kiln_kernel_socket(int type)
{
	struct task_struct *task = bpf_get_current_task_btf();
	bool compat = kiln_is_compat(task);
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	u64 call = regs->orig_ax & ~X32_BIT;
	struct kiln_who who = {};
	u32 op = KILN_K_RAW_SOCKET;
	int entry = kiln_enter(&who, V(KERNEL));

	if (entry == KILN_PASS || kiln_namespace_call(call, compat) ||
	    (type == SOCK_STREAM && kiln_socket_call(call, compat)))
		return 0;
	if (kiln_mount_call(call, compat))
		op = KILN_K_MOUNT;
	return kiln_decide_unseen(&who, entry, op);
}

SEC("lsm/socket_create")
NEEDS("kernel:raw_socket kernel:mount")
int BPF_PROG(kiln_socket_create, int family, int type, int protocol, int kern)
{
	struct kiln_who who = {};
	int entry;

	type &= 0xf;
	if (kern)
		return kiln_is_inet(family) ? kiln_kernel_socket(type) : 0;
	if (family == AF_UNIX || family == AF_NETLINK)
		return 0;
	if (kiln_is_inet(family) && type != SOCK_RAW && type != SOCK_PACKET)
		return 0;
	entry = kiln_enter(&who, V(KERNEL));
	return entry == KILN_PASS ? 0 : kiln_decide_unseen(&who, entry, KILN_K_RAW_SOCKET);
}

/* File systems whose connections are made by a kernel thread, so that socket_create does not see on whose behalf. */
static __always_inline bool kiln_remote(u64 name)
{
	return name == KILN_NAME8('n', 'f', 's', 0, 0, 0, 0, 0) || name == KILN_NAME8('n', 'f', 's', '4', 0, 0, 0, 0) ||
	       name == KILN_NAME8('c', 'i', 'f', 's', 0, 0, 0, 0) ||
	       name == KILN_NAME8('s', 'm', 'b', '3', 0, 0, 0, 0) ||
	       name == KILN_NAME8('c', 'e', 'p', 'h', 0, 0, 0, 0) || name == KILN_NAME8('9', 'p', 0, 0, 0, 0, 0, 0) ||
	       name == KILN_NAME8('a', 'f', 's', 0, 0, 0, 0, 0) || name == KILN_NAME8('c', 'o', 'd', 'a', 0, 0, 0, 0) ||
	       name == KILN_NAME8('o', 'r', 'a', 'n', 'g', 'e', 'f', 's') ||
	       name == KILN_NAME8('g', 'f', 's', '2', 0, 0, 0, 0) ||
	       name == KILN_NAME8('o', 'c', 'f', 's', '2', 0, 0, 0) ||
	       name == KILN_NAME8('l', 'u', 's', 't', 'r', 'e', 0, 0);
}

/* Each option of a file system that is going to be mounted: such a one has some, before it connects. */
SEC("lsm/fs_context_parse_param")
NEEDS("kernel:mount") /* mounting a network file system connects */
int BPF_PROG(kiln_fs_context_parse_param, struct fs_context *fc)
{
	struct kiln_who who = {};
	char text[16] = {};
	u64 name;
	int entry;

	/* What is behind the name's end is not part of it. */
	bpf_probe_read_kernel_str(text, sizeof(text), BPF_CORE_READ(fc, fs_type, name));
	__builtin_memcpy(&name, text, sizeof(name));
	if (!kiln_remote(name))
		return -ENOPARAM;
	entry = kiln_enter(&who, V(KERNEL));
	return entry != KILN_PASS && kiln_decide_unseen(&who, entry, KILN_K_MOUNT) ? -EPERM : -ENOPARAM;
}
