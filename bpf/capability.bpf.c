/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Capabilities: asked only after the kernel itself would grant them. */

#define CAP_OPT_NOAUDIT 2u /* include/linux/security.h */
#define CAP_SYS_TIME 25

SEC("lsm/capable")
int BPF_PROG(kiln_capable, const struct cred *cred, struct user_namespace *ns, int cap, unsigned int opts)
{
	u32 quiet = opts & CAP_OPT_NOAUDIT;
	int ret = kiln_check_bit(KILN_CAPABILITY, cap & 63, quiet);

	/* adjtimex(2) slews the clock and has no hook of its own. */
	if (!ret && cap == CAP_SYS_TIME)
		ret = kiln_check_bit(KILN_KERNEL, KILN_K_CLOCK, quiet);
	return ret;
}
