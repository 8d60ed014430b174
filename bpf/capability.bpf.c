/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Capabilities: asked only after the kernel itself would grant them. */

#define CAP_OPT_NOAUDIT 2u /* include/linux/security.h */
#define CAP_SETPCAP 8
#define CAP_SYS_MODULE 16
#define CAP_SYS_CHROOT 18
#define CAP_SYS_ADMIN 21
#define CAP_SYS_TIME 25

/*
 * System calls that make or change a mount and have no hook but this: the same numbers by each of x86's entries. A file
 * system that is made and mounted nowhere acts, too: on its device, or on the folders that an overlay is made of.
 */
#define NR_FSCONFIG 431
#define NR_FSMOUNT 432
#define NR_MOUNT_SETATTR 442

static __always_inline bool kiln_mounts(void)
{
	u64 call = kiln_call();

	return call == NR_FSCONFIG || call == NR_FSMOUNT || call == NR_MOUNT_SETATTR;
}

/*
 * setns(2) into another mount namespace, where files have other names: of what it enters only that asks for chroot(2)'s
 * capability. By 64 bits and by 32.
 */
static __always_inline bool kiln_enters(void)
{
	u64 call = kiln_call();

	return call == 308 || call == 346;
}

/* delete_module(2), of 64 bits and of 32: the calls that load one have hooks of their own. */
static __always_inline bool kiln_removes_module(void)
{
	u64 call = kiln_call();

	return call == 176 || call == 129;
}

/*
 * madvise(2), of 64 bits and of 32, and by a ring: MADV_HWPOISON takes the page away from the file that is mapped,
 * which the caller may only read. madvise(2) asks for the capability for nothing else. For a ring a thread of its does
 * it; with other credentials than its own that thread is within an overlay, or has credentials that were registered.
 */
static __always_inline bool kiln_poisons(void)
{
	u64 call = kiln_call();

	return call == 28 || call == 219 || (bpf_get_current_task_btf()->flags & PF_IO_WORKER && !kiln_lent());
}

/* What changes a file that the hook does not know. */
static __always_inline int kiln_check_unknown(u32 verb, u32 quiet)
{
	struct kiln_about about = {.kind = KILN_O_PATH, .pos = PATH_FAIL, .reason = KILN_R_PATH, .quiet = quiet};
	struct kiln_scratch *s;
	struct kiln_who who = {};
	int entry = kiln_enter(&who, 1u << verb), ret;

	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_PATH, 0, verb | kiln_broken(entry));
	s = kiln_scratch_take();
	ret = kiln_decide(&who, s, &about, who.s->fail, 1u << verb);
	if (s)
		kiln_scratch_give(s);
	return ret;
}

/*
 * An overlay acts on its layers with the rights of who mounted it, whatever the task has: what the task asked for was
 * decided at the overlay. A task with rings may have lent itself credentials, in any system call.
 */
static __always_inline bool kiln_overlays(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return kiln_inner() && bpf_core_field_exists(task->io_uring) && !BPF_CORE_READ(task, io_uring);
}

SEC("lsm/capable")
NEEDS("capability modify kernel:clock kernel:mount kernel:module") /* what has no hook but this */
int BPF_PROG(kiln_capable, const struct cred *cred, struct user_namespace *ns, int cap, unsigned int opts)
{
	u32 quiet = opts & CAP_OPT_NOAUDIT;
	struct kiln_me me = kiln_me();
	int ret;

	if (kiln_unbound(&me, V(CAPABILITY) | V(KERNEL) | V(MODIFY)) || kiln_overlays())
		return 0;
	ret = kiln_check_bit(KILN_CAPABILITY, cap & 63, quiet);
	/* adjtimex(2) slews the clock and has no hook of its own. */
	if (!ret && cap == CAP_SYS_TIME)
		ret = kiln_check_bit(KILN_KERNEL, KILN_K_CLOCK, quiet);
	if (!ret && ((cap == CAP_SYS_ADMIN && kiln_mounts()) || (cap == CAP_SYS_CHROOT && kiln_enters())))
		ret = kiln_check_bit(KILN_KERNEL, KILN_K_MOUNT, quiet);
	if (!ret && cap == CAP_SYS_ADMIN && kiln_poisons())
		ret = kiln_check_unknown(KILN_MODIFY, quiet);
	if (!ret && cap == CAP_SYS_MODULE && kiln_removes_module())
		ret = kiln_check_bit(KILN_KERNEL, KILN_K_MODULE, quiet);
	return ret;
}

#define PR_SET_SECUREBITS 28 /* include/uapi/linux/prctl.h */

/*
 * The kernel looks for setpcap itself, asks nobody, and has set the bits when it comes here: who is refused the
 * capability is ended before it can use them.
 */
SEC("lsm/task_prctl")
NEEDS("capability")
int BPF_PROG(kiln_prctl_capability, int option)
{
	if (option != PR_SET_SECUREBITS || !kiln_check_bit(KILN_CAPABILITY, CAP_SETPCAP, 0))
		return 0;
	bpf_send_signal(9);
	return -EPERM;
}

/* What a process may inherit beyond what it has or inherits already (cap_inh_is_capped() of security/commoncap.c). */
SEC("lsm/capset")
NEEDS("capability")
int BPF_PROG(kiln_capset, struct cred *new, const struct cred *old, const void *effective, const u64 *inheritable)
{
	u64 asked = 0, has = 0, inherits = 0;

	bpf_probe_read_kernel(&asked, sizeof(asked), inheritable);
	bpf_probe_read_kernel(&has, sizeof(has), &old->cap_permitted);
	bpf_probe_read_kernel(&inherits, sizeof(inherits), &old->cap_inheritable);
	return asked & ~(has | inherits) ? kiln_check_bit(KILN_CAPABILITY, CAP_SETPCAP, 0) : 0;
}
