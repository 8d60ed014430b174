/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Files that are not in Kiln's folders and yet are about it: the agent's in procfs, and its cgroups'. */
#ifndef KILN_OWN_H
#define KILN_OWN_H

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
		task = pid ? kiln_task_of(pid) : NULL;
		return task && kiln_is_protected(task);
	}
	if (magic == CGROUP2_SUPER_MAGIC)
		return kiln_told_inode(BPF_CORE_READ(dentry, d_parent, d_inode)) & KILN_OWN_GROUP;
	return kiln_own_flags(dentry) & KILN_OWN_TREE;
}

static __always_inline bool kiln_own_file(struct file *file)
{
	struct kiln_address address = {.at = (u64)file};

	return kiln_confined() && kiln_is_own_file(&address);
}

#endif
