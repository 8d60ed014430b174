/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What lies in no mount of the task's own namespace: a file of another
 * namespace has the name that the task's own gives it; a file of the kernel's
 * own has none; one on a detached mount stays unknown. docs/pdl.md has the rule.
 */
#ifndef KILN_ELSEWHERE_H
#define KILN_ELSEWHERE_H

/*
 * What mount namespaces are, by the pointer that a mount has to its own: none (its namespace has ended, or it was
 * unmounted lazily), an error number (MNT_NS_INTERNAL of fs/mount.h: the kernel's own mounts and an overlay's private
 * ones), or a namespace.
 */
static __always_inline bool kiln_internal(u64 ns)
{
	return ns >= (u64)-4095;
}

/* Of a mount that hangs nowhere (open_tree(2), fsmount(2)); is_anon_ns() of fs/mount.h. Unknown kernels: all are. */
static __always_inline bool kiln_anonymous(u64 ns)
{
	struct mnt_namespace *space = (void *)ns;

	return !bpf_core_field_exists(struct mnt_namespace, seq) || !BPF_CORE_READ(space, seq);
}

/*
 * What one search for a name may take, mounts and folders together: five times the most mounts that a namespace may
 * have (fs.mount-max, 100,000), for the ways down and up and what is looked at of each. Lists are read without a lock,
 * and one that changes may lead round in a circle. Beyond it a file is unknown.
 */
#define KILN_SEARCH_STEPS (1u << 20)

/* Takes one step of those that are left; false: none is. */
static __always_inline bool kiln_step_left(struct kiln_scratch *s)
{
	u64 left = s->left;

	if (!left)
		return false;
	s->left = left - 1;
	return true;
}

/*
 * Towards the root of the file system: is s->goal at or above what is asked for? Where it is not, s->seek ends at the
 * root, unless the way is not known or there were too few turns.
 */
static long kiln_seek(u32 turn, struct kiln_scratch **ctx)
{
	struct kiln_scratch *s = *ctx;
	struct dentry *dentry = (void *)s->seek;
	u64 parent;

	if (!kiln_step_left(s))
		return 1;
	if (s->seek == s->goal) {
		s->best = s->at;
		s->rank = turn;
		return 1;
	}
	parent = (u64)BPF_CORE_READ(dentry, d_parent);
	if (!parent || parent == (u64)dentry)
		return 1;
	s->seek = parent;
	return 0;
}

/*
 * One step through the mounts of a namespace, as next_mnt() of fs/namespace.c goes: down to the first that is mounted
 * on this one, else to the next beside it, else up again. A lock is not held: what does not fit together ends the
 * search.
 */
static long kiln_next_mount(u32 turn, struct kiln_scratch **ctx)
{
	struct kiln_scratch *s = *ctx;
	struct mount *mount = (void *)s->at, *parent;
	u64 next;

	/* What was taken out leads to itself, or into another tree. */
	if (!kiln_step_left(s) || (u64)BPF_CORE_READ(mount, mnt_ns) != s->space)
		return 1;
	if (!s->up) {
		if ((u64)BPF_CORE_READ(mount, mnt.mnt_sb) == s->sb) {
			s->goal = (u64)BPF_CORE_READ(mount, mnt.mnt_root);
			s->seek = s->asked;
			/* What is farther than the nearest so far does not matter. */
			bpf_loop((u32)s->rank + 1, kiln_seek, &s, 0);
		}
		next = (u64)BPF_CORE_READ(mount, mnt_mounts.next);
		if (!next)
			return 1;
		if (next != (u64)mount + bpf_core_field_offset(struct mount, mnt_mounts)) {
			s->at = next - bpf_core_field_offset(struct mount, mnt_child);
			return 0;
		}
	}
	if (s->at == s->top) {
		s->found = 1;
		return 1;
	}
	parent = BPF_CORE_READ(mount, mnt_parent);
	next = (u64)BPF_CORE_READ(mount, mnt_child.next);
	if (!parent || !next)
		return 1;
	s->up = next == (u64)parent + bpf_core_field_offset(struct mount, mnt_mounts);
	s->at = s->up ? (u64)parent : next - bpf_core_field_offset(struct mount, mnt_child);
	return 0;
}

/*
 * The path of s->asked by the task's own namespace: through that of its mounts of the same file system whose root is
 * the nearest at or above it; of several, the one that comes last in the tree, which lies on top of the others or was
 * mounted after them. s->asked_mount is the mount by which it was reached; 0: that is not known.
 */
__noinline u32 kiln_resolve_here(struct kiln_scratch *s)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mnt_namespace *own = BPF_CORE_READ(task, nsproxy, mnt_ns);
	struct super_block *sb;
	struct dentry *asked;
	struct mount *mount;
	u64 ns;

	if (!s)
		return PATH_FAIL;
	asked = (void *)s->asked;
	mount = (void *)s->asked_mount;
	sb = BPF_CORE_READ(asked, d_sb);
	if (mount) {
		ns = (u64)BPF_CORE_READ(mount, mnt_ns);
		/* What is in the own namespace was looked up there already. */
		if (ns == (u64)own || kiln_internal(ns))
			return PATH_FAIL;
		/*
		 * In no namespace is also what was opened in one that has ended (a service's, over its restart), and a
		 * message queue. It has the name that a descriptor from another namespace would have.
		 */
		if (ns && kiln_anonymous(ns))
			return PATH_FAIL;
	}
	s->sb = (u64)sb;
	s->space = (u64)own;
	s->top = s->at = (u64)BPF_CORE_READ(own, root);
	s->rank = KILN_DEPTH_MAX;
	s->best = s->up = s->found = 0;
	s->left = KILN_SEARCH_STEPS;
	bpf_loop(KILN_SEARCH_STEPS, kiln_next_mount, &s, 0);
	if (!s->found || !s->best)
		return PATH_FAIL;
	s->pos = KILN_PATH_MAX;
	s->mount = s->best;
	s->dentry = (u64)asked;
	if (!kiln_climb(s))
		return PATH_FAIL;
	mount = (void *)s->mount;
	return (u64)BPF_CORE_READ(mount, mnt_ns) == (u64)own ? kiln_begin(s) : PATH_FAIL;
}

/* Of a thread that the kernel runs for a ring (include/linux/sched.h). */
#define PF_IO_WORKER 0x10u
#define NR_IO_URING_ENTER 426

/* Whether the task acts with other credentials than its own: an overlay on its layers does, and a ring's request. */
static __always_inline bool kiln_lent(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return (u64)task->cred != (u64)task->real_cred;
}

/*
 * Whether the kernel acts for itself, with credentials that are not the task's: an overlay on its layers. What the task
 * asked for was decided at the overlay's own path. A ring with registered credentials is the only other to do so, and
 * is the task's doing.
 */
static __always_inline bool kiln_inner(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs;

	if (!kiln_lent() || task->flags & PF_IO_WORKER)
		return false;
	regs = (void *)bpf_task_pt_regs(task);
	return (u32)regs->orig_ax != NR_IO_URING_ENTER;
}

/*
 * Memory of huge pages without a name. The kernel mounts the file systems of its own where that lies neither as its
 * own nor as what nobody mounts; no file on them has a name or a handle. On one that somebody mounted all have a name.
 */
static __always_inline bool kiln_is_huge(struct dentry *dentry)
{
	struct super_block *sb = BPF_CORE_READ(dentry, d_sb);

	return BPF_CORE_READ(sb, s_magic) == HUGETLBFS_MAGIC && BPF_CORE_READ(dentry, d_parent) == dentry &&
	       BPF_CORE_READ(sb, s_root) != dentry;
}

/*
 * Whether a file lies where no name leads to it and what it holds is no file's: memory, a pipe, a namespace; or an
 * overlay opens what it is made of. `mnt` is a mere address.
 */
static __always_inline bool kiln_kernels_own(struct vfsmount *mnt, struct dentry *dentry)
{
	struct mount *mount = kiln_real_mount(mnt);

	if (!kiln_internal((u64)BPF_CORE_READ(mount, mnt_ns)))
		return kiln_is_huge(dentry);
	if (BPF_CORE_READ(mnt, mnt_sb, s_flags) & SB_NOUSER)
		return true;
	if (BPF_CORE_READ(dentry, d_parent) == dentry && BPF_CORE_READ(mnt, mnt_root) != dentry)
		return true;
	/* A private mount of an overlay's, which nobody reaches but by the overlay. */
	return kiln_lent();
}

#endif
