/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Capabilities: asked only after the kernel itself would grant them. */

#define CAP_OPT_NOAUDIT 2u /* include/linux/security.h */

SEC("lsm/capable")
int BPF_PROG(kiln_capable, const struct cred *cred, struct user_namespace *ns, int cap, unsigned int opts)
{
	return kiln_check_bit(KILN_CAPABILITY, cap & 63, opts & CAP_OPT_NOAUDIT);
}
