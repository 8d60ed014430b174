/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The path of a dentry on a mount, up to the root of the task's mount
 * namespace, whatever chroot(2) the task is in (bpf_d_path stops at the
 * chroot, and only some hooks may call it). Where the mount lies in another
 * namespace, or only a dentry is known, elsewhere.h finds the task's own mount
 * for it. Every doubt is a failure, and a failure is a denial: a name too long,
 * a tree too deep, a detached mount, an anonymous file.
 */
#ifndef KILN_PATH_H
#define KILN_PATH_H

#include "walk.h"
#include "elsewhere.h"
#include "host.h"

/*
 * Goes on from s->dentry on s->mount with what is already at s->path[s->pos],
 * and returns where the path begins; it ends at KILN_PATH_MAX. PATH_FAIL:
 * unknown. s->asked on s->asked_mount is where the way began. A global function,
 * so that the verifier looks at it once a program; it takes its arguments by
 * memory, where they are numbers.
 */
__noinline u32 kiln_resolve_rest(struct kiln_scratch *s)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 own = (u64)task->nsproxy->mnt_ns;
	struct mount *mount;

	/* A task that ends has no namespace any more, as a mount that was detached has none: that makes them no pair.
	 */
	if (!s || !own)
		return PATH_FAIL;
	s->best = 0;
	if (s->asked_mount && kiln_climb(s)) {
		mount = (void *)s->mount;
		if ((u64)BPF_CORE_READ(mount, mnt_ns) == own)
			return kiln_begin(s);
	}
	return kiln_resolve_here(s);
}

/* For a mount and dentry that are mere addresses. `mnt` NULL: only the dentry is known. */
static __always_inline u32 kiln_resolve_any(struct kiln_scratch *s, struct vfsmount *mnt, struct dentry *dentry)
{
	u64 mount = mnt ? (u64)kiln_real_mount(mnt) : 0;

	*(volatile u64 *)&s->pos = KILN_PATH_MAX;
	*(volatile u64 *)&s->mount = mount;
	*(volatile u64 *)&s->dentry = (u64)dentry;
	*(volatile u64 *)&s->asked_mount = mount;
	*(volatile u64 *)&s->asked = (u64)dentry;
	return kiln_resolve_rest(s);
}

#define KILN_QUICK_DEPTH 24

/*
 * For a mount and dentry that the verifier knows: fields are read by plain
 * loads, without a helper's call, up to the root of the file's own mount. Where
 * that mount is the namespace's root, as it was the last time on this CPU, the
 * path is done. That holds as long as nothing was mounted, moved or unmounted in
 * the namespace: each of these gives it a number of `event` that no namespace
 * had before. 0 is that of every namespace in which nothing was yet, so it is
 * never remembered.
 */
static __always_inline u32 kiln_resolve(struct kiln_scratch *s, struct task_struct *task, struct vfsmount *mnt,
					struct dentry *dentry)
{
	struct dentry *root = mnt->mnt_root, *asked = dentry;
	struct mnt_namespace *own = task->nsproxy->mnt_ns;
	u64 ns = (u64)own, event = own->event;
	u32 pos, reached;

	*(volatile u64 *)&s->pos = KILN_PATH_MAX;
	for (int i = 0; i < KILN_QUICK_DEPTH; i++) {
		struct dentry *parent;

		if (dentry == root)
			break;
		parent = dentry->d_parent;
		if (parent == dentry || !kiln_prepend_dentry(s, dentry))
			return PATH_FAIL;
		dentry = parent;
	}
	reached = *(volatile u64 *)&s->pos;
	if (dentry == root && s->top_mnt == (u64)mnt && s->top_event == event && s->top_ns == ns &&
	    reached != KILN_PATH_MAX)
		return reached;
	*(volatile u64 *)&s->mount = (u64)kiln_real_mount(mnt);
	*(volatile u64 *)&s->dentry = (u64)dentry;
	*(volatile u64 *)&s->asked_mount = (u64)kiln_real_mount(mnt);
	*(volatile u64 *)&s->asked = (u64)asked;
	pos = kiln_resolve_rest(s);
	/* Nothing came in front, and no other mount was looked for: the file's mount is at the namespace's root. */
	if (pos == reached && dentry == root && event && !s->best) {
		s->top_mnt = (u64)mnt;
		s->top_event = event;
		s->top_ns = ns;
	}
	return pos;
}

/*
 * Whether the name was removed: the path that it had says nothing any more (d_unlinked() of dcache.h). What is mounted
 * by itself has its name by the place where it is mounted, whatever becomes of the other.
 */
static __always_inline bool kiln_unlinked(struct vfsmount *mnt, struct dentry *dentry)
{
	return !dentry->d_hash.pprev && dentry->d_parent != dentry && mnt->mnt_root != dentry;
}

/* A scratch that nobody holds; NULL is a denial. */
static __always_inline struct kiln_scratch *kiln_scratch_take(void)
{
	u32 first = bpf_get_smp_processor_id() * KILN_SCRATCHES;
	struct kiln_scratch *s;

	for (u32 i = 0; i < KILN_SCRATCHES; i++) {
		u32 key = first + i;

		s = bpf_map_lookup_elem(&kiln_scratches, &key);
		if (s && !__sync_val_compare_and_swap(&s->busy, 0, 1))
			return s;
	}
#ifndef KILN_NO_SPARES
	/*
	 * Preempted tasks hold all of this CPU, as many tasks of one unit can (preempt=full): then the task gets one
	 * of its own. Where there is no memory for that, it alone is refused.
	 */
	s = bpf_task_storage_get(&kiln_spares, bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (s && !__sync_val_compare_and_swap(&s->busy, 0, 1))
		return s;
#endif
	return NULL;
}

static __always_inline void kiln_scratch_give(struct kiln_scratch *s)
{
	*(volatile u32 *)&s->busy = 0;
}

#endif
