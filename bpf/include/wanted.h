/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The mount by which a task changes times, attributes or access lists: the hooks that decide it have only the dentry.
 * Before any such change the system call asks whether the mount may be written (mnt_want_write(), or
 * mnt_want_write_file()); what is asked there is remembered for the thread until it asks again.
 */
#ifndef KILN_WANTED_H
#define KILN_WANTED_H

static __always_inline struct kiln_want *kiln_want_of(struct task_struct *task)
{
	u32 key = (u32)task->pid % KILN_WANTS;

	return bpf_map_lookup_elem(&kiln_wants, &key);
}

static __always_inline void kiln_want(struct vfsmount *mnt)
{
	struct mount *mount = kiln_real_mount(mnt);
	struct kiln_me me = kiln_me();
	struct kiln_want *want;

	if (kiln_unbound(&me, 1u << KILN_SETATTR))
		return;
	want = kiln_want_of(me.task);
	if (!want)
		return;
	/* Two threads of one place may write at once: what is not all of one of them does not agree with itself. */
	*(volatile u64 *)&want->task = 0;
	*(volatile u64 *)&want->mnt = (u64)mnt;
	*(volatile u32 *)&want->id = BPF_CORE_READ(mount, mnt_id);
	*(volatile u64 *)&want->task = (u64)me.task;
}

/* The mount by which the current thread changes `dentry`; NULL: not known. It is a mere address. */
static __always_inline struct vfsmount *kiln_wanted(struct dentry *dentry)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kiln_want *want = kiln_want_of(task);
	struct vfsmount *mnt;
	struct mount *mount;
	u32 id;

	if (!want || *(volatile u64 *)&want->task != (u64)task)
		return NULL;
	mnt = (void *)*(volatile u64 *)&want->mnt;
	mount = kiln_real_mount(mnt);
	id = *(volatile u32 *)&want->id;
	if (*(volatile u64 *)&want->task != (u64)task || id != (u32)BPF_CORE_READ(mount, mnt_id) ||
	    BPF_CORE_READ(mnt, mnt_sb) != BPF_CORE_READ(dentry, d_sb))
		return NULL;
	return mnt;
}

#endif
