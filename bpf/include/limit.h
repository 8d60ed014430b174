/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the limits of a policy are for a label, and what of them the programs at cgroups read of a packet. */
#ifndef KILN_LIMIT_H
#define KILN_LIMIT_H

/* A packet, as programs at cgroups see it (include/uapi/linux/bpf.h). */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 between[40];
	struct bpf_sock *sk;
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

/*
 * The limits of the current task: those of its label, or of the unit in whose cgroup it is (it may have switched to
 * another profile); NULL: it has none.
 */
static __always_inline struct kiln_limit *kiln_limits_of_task(u64 word)
{
	struct kiln_limit *limit;

	if (!word || word >> 32 & KILN_T_STARTING)
		return NULL;
	limit = kiln_limit_of(word);
	return limit ? limit : kiln_limit_of(kiln_group_label(bpf_get_current_task_btf()->cgroups->dfl_cgrp));
}

/* The current task's word, if it has limits of any kind; else 0. */
static __always_inline u64 kiln_limited(void)
{
	struct kiln_me me = kiln_me();
	u64 word = kiln_word(&me);

	return kiln_limits_of_task(word) ? word : 0;
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
	u64 name[2] = {};

	if (!address)
		return 1;
	file = (void *)address->at;
	dentry = BPF_CORE_READ(file, f_path.dentry);
	node = BPF_CORE_READ(dentry, d_parent, d_inode, i_private);
	group = BPF_CORE_READ(node, priv);
	unit = kiln_labelled_group(bpf_get_current_task_btf()->cgroups->dfl_cgrp);
	if (!kiln_is_unit_of(group, unit))
		return 1;
	if (group != unit)
		return 0;
	/* The last byte stays 0. What is behind the end of a name the helper leaves as it is. */
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	/* memory.pressure and its kin tell who waits on them, and hold nobody. */
	if ((name[0] == KILN_NAME8('m', 'e', 'm', 'o', 'r', 'y', '.', 'p') &&
	     name[1] == KILN_NAME8('r', 'e', 's', 's', 'u', 'r', 'e', 0)) ||
	    (name[0] == KILN_NAME8('c', 'p', 'u', '.', 'p', 'r', 'e', 's') &&
	     name[1] == KILN_NAME8('s', 'u', 'r', 'e', 0, 0, 0, 0)) ||
	    (name[0] == KILN_NAME8('i', 'o', '.', 'p', 'r', 'e', 's', 's') &&
	     name[1] == KILN_NAME8('u', 'r', 'e', 0, 0, 0, 0, 0)))
		return 0;
	return (name[0] & 0x00ff00000000ffffull) != KILN_NAME8('c', 'g', 0, 0, 0, 0, '.', 0);
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
	limit = kiln_limits_of_task(word);
	return limit && limit->files && asked->rlim_max > limit->files ? kiln_refuse_limit(word) : 0;
}

#endif
