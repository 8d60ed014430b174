/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the limits of a policy are for a label, and what of them the programs at cgroups read of a packet. */
#ifndef KILN_LIMIT_H
#define KILN_LIMIT_H

/* A packet, as programs at cgroups see it (include/uapi/linux/bpf.h). Its length is all that is read. */
struct __sk_buff {
	__u32 len;
};

#define KILN_METER(name) int name(struct __sk_buff *skb)

static __always_inline struct kiln_limit *kiln_limit_of(u32 label)
{
	return bpf_map_lookup_elem(&kiln_limits, &label);
}

#define RLIMIT_NOFILE 7
#define CAP_SYS_RESOURCE 24

/* Who may raise hard limits (CAP_SYS_RESOURCE) does not raise that of its descriptors beyond the policy's. */
static __always_inline int kiln_check_files(unsigned int resource, struct rlimit *asked)
{
	struct kiln_me me = kiln_me();
	u64 word = kiln_word(&me);
	struct kiln_ids id = {.label = word};
	struct kiln_limit *limit;

	if (resource != RLIMIT_NOFILE || !word || word >> 32 & KILN_T_STARTING)
		return 0;
	limit = kiln_limit_of(word);
	if (!limit || !limit->files || asked->rlim_max <= limit->files)
		return 0;
	id.generation = kiln_index(kiln_active());
	return kiln_refuse_here(&id, KILN_O_CAPABILITY, CAP_SYS_RESOURCE, KILN_CAPABILITY | KILN_R_LIMIT << 8);
}

#endif
