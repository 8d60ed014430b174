/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Files that are not in Kiln's folders and yet are about it: the agent's in procfs, its cgroups', and the settings that
 * switch off what calls the programs, or keep new ones from being loaded.
 */
#ifndef KILN_OWN_H
#define KILN_OWN_H

/*
 * kernel.ftrace_enabled: 0 takes the programs of every LSM hook away, since the kernel calls them by ftrace.
 * /proc/sysrq-trigger: ends or signals every process but the first. Whatever a profile says of /proc.
 */
static __always_inline bool kiln_is_switch(struct dentry *dentry)
{
	u64 name[2] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	/* What is behind the end of a shorter name is not part of it: the helper leaves it as it is. */
	return (name[0] == KILN_NAME8('f', 't', 'r', 'a', 'c', 'e', '_', 'e') &&
		name[1] == KILN_NAME8('n', 'a', 'b', 'l', 'e', 'd', 0, 0)) ||
	       (name[0] == KILN_NAME8('s', 'y', 's', 'r', 'q', '-', 't', 'r') &&
		name[1] == KILN_NAME8('i', 'g', 'g', 'e', 'r', 0, 0, 0));
}

/* securityfs' `lockdown`: once it says `confidentiality` the kernel takes no program any more that reads its memory. */
static __always_inline bool kiln_is_lockdown(struct dentry *dentry)
{
	u64 name[2] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	return name[0] == KILN_NAME8('l', 'o', 'c', 'k', 'd', 'o', 'w', 'n') && !(name[1] & 0xff);
}

/*
 * A file that an overlay opens below itself bears the overlay's own path, before 6.5: its name is that of its inode.
 * NULL: it has none.
 */
static __always_inline struct dentry *kiln_name_below(struct inode *inode)
{
	struct hlist_node *first = BPF_CORE_READ(inode, i_dentry.first);

	return first ? (void *)first - bpf_core_field_offset(struct dentry, d_u.d_alias) : NULL;
}

/* Whether a file, which is opened for writing, is Kiln's or about the agent. Global as kiln_own_flags_at(). */
__noinline u32 kiln_is_own_file(struct kiln_address *address)
{
	struct task_struct *task;
	struct proc_inode *proc;
	struct dentry *dentry;
	struct inode *inode;
	struct file *file;
	struct pid *pid;
	u64 magic;

	if (!address)
		return 1;
	file = (void *)address->at;
	dentry = BPF_CORE_READ(file, f_path.dentry);
	inode = BPF_CORE_READ(file, f_inode);
	magic = BPF_CORE_READ(inode, i_sb, s_magic);
	if (magic == PROC_SUPER_MAGIC) {
		proc = (void *)inode - bpf_core_field_offset(struct proc_inode, vfs_inode);
		pid = BPF_CORE_READ(proc, pid);
		if (!pid)
			return kiln_is_switch(dentry);
		task = kiln_task_of(pid);
		return task && kiln_is_protected(task);
	}
	if (magic == SECURITYFS_MAGIC)
		return kiln_is_lockdown(dentry);
	if (magic == CGROUP2_SUPER_MAGIC) {
		if (BPF_CORE_READ(dentry, d_parent) == dentry)
			return kiln_may_be_own(dentry);
		return kiln_told_inode(BPF_CORE_READ(dentry, d_parent, d_inode)) & KILN_OWN_GROUP ||
		       kiln_own_flags(dentry) & KILN_OWN_TREE;
	}
	if (BPF_CORE_READ(dentry, d_inode) != inode)
		dentry = kiln_name_below(inode);
	return !dentry || kiln_own_flags(dentry) & KILN_OWN_TREE;
}

static __always_inline bool kiln_own_file(struct file *file)
{
	struct kiln_address address = {.at = (u64)file};

	return kiln_confined() && kiln_is_own_file(&address);
}

static __always_inline int kiln_check_own(struct dentry *dentry, u32 flags, u32 verb)
{
	return kiln_confined() && kiln_own_flags(dentry) & flags ? kiln_refuse_self(verb) : 0;
}

#endif
