/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Capabilities: asked only after the kernel itself would grant them. */

#define CAP_OPT_NOAUDIT 2u /* include/linux/security.h */
#define CAP_SYS_ADMIN 21
#define CAP_SYS_TIME 25

/* System calls that make or change a mount and have no hook but this: the same numbers by each of x86's entries. */
#define NR_FSMOUNT 432
#define NR_MOUNT_SETATTR 442
#define X32_BIT 0x40000000ul

static __always_inline bool kiln_mounts(void)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	u64 call = regs->orig_ax & ~X32_BIT;

	return call == NR_FSMOUNT || call == NR_MOUNT_SETATTR;
}

SEC("lsm/capable")
int BPF_PROG(kiln_capable, const struct cred *cred, struct user_namespace *ns, int cap, unsigned int opts)
{
	u32 quiet = opts & CAP_OPT_NOAUDIT;
	int ret = kiln_check_bit(KILN_CAPABILITY, cap & 63, quiet);

	/* adjtimex(2) slews the clock and has no hook of its own. */
	if (!ret && cap == CAP_SYS_TIME)
		ret = kiln_check_bit(KILN_KERNEL, KILN_K_CLOCK, quiet);
	if (!ret && cap == CAP_SYS_ADMIN && kiln_mounts())
		ret = kiln_check_bit(KILN_KERNEL, KILN_K_MOUNT, quiet);
	return ret;
}
