/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The path of a dentry on a mount, up to the root of the task's mount
 * namespace, whatever chroot(2) the task is in (bpf_d_path stops at the
 * chroot, and only some hooks may call it). Every doubt is a failure, and a
 * failure is a denial: a name too long, a tree too deep, a detached mount, an
 * anonymous file, another namespace's mount.
 */
#ifndef KILN_PATH_H
#define KILN_PATH_H

static __always_inline struct mount *kiln_real_mount(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

/* One step towards the root: a name, or from a mount's root to the place where it is mounted. */
static long kiln_resolve_step(u32 turn, struct kiln_scratch **ctx)
{
	struct kiln_scratch *s = *ctx;
	struct dentry *dentry = (void *)s->dentry;
	u64 pos, len;
	struct {
		struct dentry *parent;
		struct qstr name;
	} d;

	if (s->dentry == s->root) {
		struct mount *mount = (void *)s->mount, *parent = BPF_CORE_READ(mount, mnt_parent);

		if (parent == mount) {
			s->found = 1;
			return 1;
		}
		s->dentry = (u64)BPF_CORE_READ(mount, mnt_mountpoint);
		s->mount = (u64)parent;
		s->root = (u64)BPF_CORE_READ(parent, mnt.mnt_root);
		return 0;
	}
	/* d_name follows d_parent in every kernel since 2.6.38; the test folds away where that holds. */
	if (bpf_core_field_offset(struct dentry, d_name) ==
	    bpf_core_field_offset(struct dentry, d_parent) + sizeof(void *)) {
		if (bpf_probe_read_kernel(&d, sizeof(d), &dentry->d_parent))
			return 1;
	} else {
		d.parent = BPF_CORE_READ(dentry, d_parent);
		if (bpf_probe_read_kernel(&d.name, sizeof(d.name), &dentry->d_name))
			return 1;
	}
	len = d.name.len;
	if (d.parent == dentry || !len)
		return 1;
	pos = s->pos - len;
	barrier_var(pos);
	barrier_var(len);
	/* One byte in front of the name is for its slash. */
	if (len > 255 || pos >= KILN_PATH_MAX || !pos)
		return 1;
	barrier_var(pos);
	barrier_var(len);
	if (bpf_probe_read_kernel(&s->path[pos], len, d.name.name))
		return 1;
	pos--;
	barrier_var(pos);
	if (pos >= KILN_PATH_MAX)
		return 1;
	barrier_var(pos);
	s->path[pos] = '/';
	s->pos = pos;
	s->dentry = (u64)d.parent;
	return 0;
}

/*
 * The path of s->dentry on s->mount: fills s->path up to KILN_PATH_MAX and
 * returns where it begins. PATH_FAIL: unknown. A global function, so that the
 * verifier looks at it once a program; it takes its arguments by memory,
 * where they are numbers.
 */
__noinline u32 kiln_resolve_scratch(struct kiln_scratch *s)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mount *mount;

	if (!s)
		return PATH_FAIL;
	s->pos = KILN_PATH_MAX;
	s->found = 0;
	mount = (void *)s->mount;
	s->root = (u64)BPF_CORE_READ(mount, mnt.mnt_root);
	bpf_loop(KILN_DEPTH_MAX, kiln_resolve_step, &s, 0);
	mount = (void *)s->mount;
	if (!s->found || BPF_CORE_READ(mount, mnt_ns) != task->nsproxy->mnt_ns)
		return PATH_FAIL;
	if (s->pos == KILN_PATH_MAX) {
		s->path[KILN_PATH_MAX - 1] = '/';
		return KILN_PATH_MAX - 1;
	}
	return s->pos;
}

static __always_inline u32 kiln_resolve(struct kiln_scratch *s, struct vfsmount *mnt, struct dentry *dentry)
{
	*(volatile u64 *)&s->mount = (u64)kiln_real_mount(mnt);
	*(volatile u64 *)&s->dentry = (u64)dentry;
	return kiln_resolve_scratch(s);
}

/* Whether the name was removed: the path that it had says nothing any more (d_unlinked() of dcache.h). */
static __always_inline bool kiln_unlinked(struct dentry *dentry)
{
	return !BPF_CORE_READ(dentry, d_hash.pprev) && BPF_CORE_READ(dentry, d_parent) != dentry;
}

/* A scratch of this CPU that no preempted hook holds; NULL is a denial. */
static __always_inline struct kiln_scratch *kiln_scratch_take(void)
{
	for (u32 i = 0; i < KILN_SCRATCHES; i++) {
		u32 key = i;
		struct kiln_scratch *s = bpf_map_lookup_elem(&kiln_scratches, &key);

		if (s && !__sync_val_compare_and_swap(&s->busy, 0, 1))
			return s;
	}
	return NULL;
}

static __always_inline void kiln_scratch_give(struct kiln_scratch *s)
{
	*(volatile u32 *)&s->busy = 0;
}

#endif
