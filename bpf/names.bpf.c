/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Names that are made and removed, where no path is needed: Kiln's own, units' cgroups, message queues. */

/* Pins, of whomever. */
static __always_inline bool kiln_on_bpffs(struct dentry *dentry)
{
	return dentry->d_sb->s_magic == BPF_FS_MAGIC;
}

/*
 * POSIX message queues have names in their own file system, which mq_open(2) and mq_unlink(2) reach without any path:
 * no path_* hook sees one made or removed.
 */
static __always_inline bool kiln_on_mqueue(struct dentry *dentry)
{
	return dentry->d_sb->s_magic == MQUEUE_FS_MAGIC;
}

SEC("lsm/inode_create")
NEEDS("always")
int BPF_PROG(kiln_inode_create, struct inode *dir, struct dentry *dentry)
{
	return kiln_on_mqueue(dentry) ? kiln_check_dentry(V(CREATE), dentry)
				      : kiln_check_own(dentry, KILN_OWN_TREE, KILN_CREATE);
}
SEC("lsm/inode_symlink")
NEEDS("always")
int BPF_PROG(kiln_inode_symlink, struct inode *dir, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE, KILN_CREATE);
}
SEC("lsm/inode_mknod")
NEEDS("always")
int BPF_PROG(kiln_inode_mknod, struct inode *dir, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE, KILN_CREATE);
}

/*
 * Whether a confined task makes a cgroup that would pass for a unit of the system manager's: it could fill kiln_cgroups
 * with them, or be there before the unit is.
 */
static __noinline bool kiln_is_false_unit(struct inode *dir, struct dentry *dentry)
{
	struct kernfs_node *node = BPF_CORE_READ(dir, i_private);
	struct cgroup *group = BPF_CORE_READ(node, priv);
	struct kiln_who who = {};
	u32 level, label;

	if (!group || !kiln_unified(group))
		return false;
	level = BPF_CORE_READ(group, level) + 1;
	/* Below a slice that has a label a unit's name brings more, too. */
	label = kiln_group_label(group);
	kiln_enter_label(&who, kiln_active(), label ? label : KILN_LABEL_HOST, KILN_USER_CURRENT, 0);
	/* Of the folder itself, too, which would be one of those above. */
	if (level > 1 && !kiln_below_slices(group, level))
		return false;
	return kiln_named_subject(&who, (u64)BPF_CORE_READ(dentry, d_name.name)) != 0;
}

SEC("lsm/inode_mkdir")
NEEDS("always")
int BPF_PROG(kiln_inode_mkdir, struct inode *dir, struct dentry *dentry)
{
	if (!kiln_confined())
		return 0;
	if (BPF_CORE_READ(dir, i_sb, s_magic) == CGROUP2_SUPER_MAGIC)
		return kiln_own_flags(dentry) & KILN_OWN_TREE || kiln_is_false_unit(dir, dentry)
			   ? kiln_refuse_self(KILN_CREATE)
			   : 0;
	return kiln_own_flags(dentry) & KILN_OWN_TREE ? kiln_refuse_self(KILN_CREATE) : 0;
}

static __always_inline struct kernfs_node *kiln_node_above(struct kernfs_node *node)
{
	struct kernfs_node___rcu *later = (void *)node;

	return bpf_core_field_exists(node->parent) ? BPF_CORE_READ(node, parent) : BPF_CORE_READ(later, __parent);
}

/* Deeper than this below the agent's cgroup nobody makes one: no confined task may make any there. */
#define KILN_GROUP_DEPTH 4

#define NR_CLONE3 435

/*
 * clone3(CLONE_INTO_CGROUP) starts a child in a cgroup by a descriptor that is not opened for anything, which no hook
 * sees. Whether its files may be written the kernel asks of this one's inode, and goes on to look whether the caller is
 * to be ended before there is a child (copy_process()). So in the agent's cgroup there is none. It asks of what is
 * above both, too, which may be above the agent's.
 */
SEC("?fentry/kernfs_get_inode")
NEEDS("always")
int BPF_PROG(kiln_born_there, struct super_block *sb, struct kernfs_node *node)
{
	u32 device, flags = 0;
	struct cgroup *unit;
	u64 limited;

	if (kiln_call() != NR_CLONE3 || sb->s_magic != CGROUP2_SUPER_MAGIC || !kiln_confined())
		return 0;
	device = sb->s_dev;
	limited = kiln_limited();
	unit = kiln_labelled_group(bpf_get_current_task_btf()->cgroups->dfl_cgrp);
	/* It asks of where the child comes from, too, which is the unit's, and of what is above both. */
	if (limited && !kiln_is_unit_of(BPF_CORE_READ(kiln_node_above(node), priv), unit)) {
		kiln_refuse_limit(limited);
		bpf_send_signal(9);
		return 0;
	}
	for (int i = 0; i <= KILN_GROUP_DEPTH; i++) {
		node = kiln_node_above(node);
		if (!node)
			break;
		flags |= kiln_told(BPF_CORE_READ(node, id), device) & KILN_OWN_TREE;
	}
	if (flags) {
		kiln_refuse_self(KILN_CREATE);
		bpf_send_signal(9);
	}
	return 0;
}

SEC("lsm/inode_unlink")
NEEDS("always")
int BPF_PROG(kiln_inode_unlink, struct inode *dir, struct dentry *dentry)
{
	if (kiln_on_mqueue(dentry))
		return kiln_check_dentry(V(DELETE), dentry);
	if (kiln_on_bpffs(dentry))
		return kiln_confined() ? kiln_refuse_self(KILN_DELETE) : 0;
	return kiln_check_own(dentry, KILN_OWN_TREE, KILN_DELETE);
}
SEC("lsm/inode_rmdir")
NEEDS("always")
int BPF_PROG(kiln_inode_rmdir, struct inode *dir, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE | KILN_OWN_WAY | KILN_OWN_GROUP, KILN_DELETE);
}
SEC("lsm/inode_rename")
NEEDS("always")
int BPF_PROG(kiln_inode_rename, struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir,
	     struct dentry *new_dentry)
{
	if (!kiln_confined())
		return 0;
	return kiln_on_bpffs(old_dentry) ||
		       (kiln_own_flags(old_dentry) | kiln_own_flags(new_dentry)) & (KILN_OWN_TREE | KILN_OWN_WAY)
		   ? kiln_refuse_self(KILN_DELETE)
		   : 0;
}
SEC("lsm/inode_link")
NEEDS("always")
int BPF_PROG(kiln_inode_link, struct dentry *old_dentry, struct inode *dir, struct dentry *new_dentry)
{
	if (!kiln_confined())
		return 0;
	return (kiln_own_flags(old_dentry) | kiln_own_flags(new_dentry)) & KILN_OWN_TREE ? kiln_refuse_self(KILN_CREATE)
											 : 0;
}
