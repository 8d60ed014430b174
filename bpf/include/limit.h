/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the limits of a policy are for a label, and what of them the programs at cgroups read of a packet. */
#ifndef KILN_LIMIT_H
#define KILN_LIMIT_H

/* A packet, as programs at cgroups see it (include/uapi/linux/bpf.h). Its length is all that is read. */
struct __sk_buff {
	__u32 len;
};

#define CAP_SYS_RESOURCE 24

#define KILN_METER(name) int name(struct __sk_buff *skb)

static __always_inline struct kiln_limit *kiln_limit_of(u32 label)
{
	return bpf_map_lookup_elem(&kiln_limits, &label);
}

/* Reports a refusal to go beyond a limit, as one of the capability by which who has no limit may. */
static __always_inline int kiln_refuse_limit(u64 word)
{
	struct kiln_ids id = {.generation = kiln_index(kiln_active()), .label = word};

	return kiln_refuse_here(&id, KILN_O_CAPABILITY, CAP_SYS_RESOURCE, KILN_CAPABILITY | KILN_R_LIMIT << 8);
}

/* The current task's word, if its label has limits of any kind; else 0. */
static __always_inline u64 kiln_limited(void)
{
	struct kiln_me me = kiln_me();
	u64 word = kiln_word(&me);

	return word && !(word >> 32 & KILN_T_STARTING) && kiln_limit_of(word) ? word : 0;
}

static __always_inline bool kiln_is_unit_of(struct cgroup *group, struct cgroup *unit)
{
	return group && unit && kiln_labelled_group(group) == unit;
}

/*
 * Whether the file is a cgroup's by which the current task, which has limits, would get out of its unit's cgroup or
 * change what that is held to. What it makes below its own cgroup is its own, and so is how it divides its own. A
 * global function, so that the verifier looks at it once a program.
 */
__noinline int kiln_leaves(struct kiln_address *address)
{
	struct cgroup *unit, *group;
	struct kernfs_node *node;
	struct dentry *dentry;
	struct file *file;
	char name[8] = {};

	if (!address)
		return 1;
	file = (void *)address->at;
	dentry = BPF_CORE_READ(file, f_path.dentry);
	node = BPF_CORE_READ(dentry, d_parent, d_inode, i_private);
	group = BPF_CORE_READ(node, priv);
	unit = kiln_labelled_group(bpf_get_current_task_btf()->cgroups->dfl_cgrp);
	if (!kiln_is_unit_of(group, unit))
		return 1;
	bpf_probe_read_kernel(name, 7, BPF_CORE_READ(dentry, d_name.name));
	return group == unit && !(name[0] == 'c' && name[1] == 'g' && name[6] == '.');
}

static __always_inline int kiln_check_leaving(struct file *file)
{
	struct kiln_address address = {.at = (u64)file};
	u64 word;

	if (file->f_inode->i_sb->s_magic != CGROUP2_SUPER_MAGIC)
		return 0;
	word = kiln_limited();
	return word && kiln_leaves(&address) ? kiln_refuse_limit(word) : 0;
}

#define RLIMIT_NOFILE 7

/* Who may raise hard limits (CAP_SYS_RESOURCE) does not raise that of its descriptors beyond the policy's. */
static __always_inline int kiln_check_files(unsigned int resource, struct rlimit *asked)
{
	u64 word = resource == RLIMIT_NOFILE ? kiln_limited() : 0;
	struct kiln_limit *limit;

	if (!word)
		return 0;
	limit = kiln_limit_of(word);
	return limit && limit->files && asked->rlim_max > limit->files ? kiln_refuse_limit(word) : 0;
}

#endif
