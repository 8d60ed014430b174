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

/* The lower half of a pointer: to the verifier a number, once it is moved, as the pointer never is. */
static __always_inline u32 kiln_low(u64 pointer)
{
	u32 low;

	asm volatile("%[low] = %[pointer]" : [low] "=w"(low) : [pointer] "w"((u32)pointer));
	return low;
}

static __always_inline struct mount *kiln_real_mount(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

/* Puts `len` bytes of a name and a slash before them in front of s->path[s->pos]. */
static __always_inline bool kiln_prepend(struct kiln_scratch *s, const void *name, u32 length)
{
	/* The position is read back from the map: it is any number to the verifier, so every turn of a loop looks
	 * alike. */
	u64 len = length, pos = *(volatile u64 *)&s->pos - len;

	barrier_var(pos);
	barrier_var(len);
	if (!len || len > 255 || pos >= KILN_PATH_MAX || !pos)
		return false;
	barrier_var(pos);
	barrier_var(len);
	if (bpf_probe_read_kernel(&s->path[pos], len, name))
		return false;
	pos--;
	barrier_var(pos);
	if (pos >= KILN_PATH_MAX)
		return false;
	barrier_var(pos);
	s->path[pos] = '/';
	*(volatile u64 *)&s->pos = pos;
	return true;
}

/* Names of up to this many bytes lie in the dentry itself: DNAME_INLINE_LEN of dcache.h is 32 or more. */
#define KILN_INLINE_NAME 32u

/*
 * As kiln_prepend, for a dentry that the verifier knows: a short name is read by plain loads, in words. What the last
 * word writes beyond the name is put back.
 */
static __always_inline bool kiln_prepend_dentry(struct kiln_scratch *s, struct dentry *dentry)
{
	u64 len = dentry->d_name.len, name = (u64)dentry->d_name.name, pos, after;
	u32 at = bpf_core_field_exists(struct dentry, d_iname)
		     ? bpf_core_field_offset(struct dentry, d_iname)
		     : bpf_core_field_offset(struct dentry___shortname, d_shortname);
	u64 *words = (void *)dentry + at;
	u8 *to;

	barrier_var(words);
	barrier_var(name);
	barrier_var(len);
	if (name != (u64)words || len > KILN_INLINE_NAME)
		return kiln_prepend(s, (void *)name, len);
	barrier_var(len);
	pos = *(volatile u64 *)&s->pos - len;
	barrier_var(pos);
	if (!len || !pos || pos >= KILN_PATH_MAX)
		return false;
	barrier_var(pos);
	to = &s->path[pos];
	after = *(u64 *)(to + len);
	*(u64 *)to = words[0];
	if (len > 8)
		*(u64 *)(to + 8) = words[1];
	if (len > 16) {
		*(u64 *)(to + 16) = words[2];
		*(u64 *)(to + 24) = words[3];
	}
	*(u64 *)(to + len) = after;
	to[-1] = '/';
	*(volatile u64 *)&s->pos = pos - 1;
	return true;
}

/* mnt_parent, mnt_mountpoint and mnt.mnt_root follow each other in every kernel; if not, three reads. */
static __always_inline bool kiln_read_mount(struct kiln_scratch *s)
{
	struct mount *mount = (void *)s->mount;

	if (bpf_core_field_offset(struct mount, mnt_mountpoint) ==
		bpf_core_field_offset(struct mount, mnt_parent) + 8 &&
	    bpf_core_field_offset(struct mount, mnt.mnt_root) == bpf_core_field_offset(struct mount, mnt_parent) + 16)
		return !bpf_probe_read_kernel(&s->parent, 24, &mount->mnt_parent);
	s->parent = (u64)BPF_CORE_READ(mount, mnt_parent);
	s->mountpoint = (u64)BPF_CORE_READ(mount, mnt_mountpoint);
	s->root = (u64)BPF_CORE_READ(mount, mnt.mnt_root);
	return true;
}

/* One step towards the root: a name, or from a mount's root to the place where it is mounted. */
static long kiln_resolve_step(u32 turn, struct kiln_scratch **ctx)
{
	struct kiln_scratch *s = *ctx;
	struct dentry *dentry = (void *)s->dentry;
	struct {
		struct dentry *parent;
		struct qstr name;
	} d;

	if (s->dentry == s->root) {
		if (s->parent == s->mount) {
			s->found = 1;
			return 1;
		}
		s->dentry = s->mountpoint;
		s->mount = s->parent;
		return kiln_read_mount(s) ? 0 : 1;
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
	if (d.parent == dentry || !kiln_prepend(s, d.name.name, d.name.len))
		return 1;
	s->dentry = (u64)d.parent;
	return 0;
}

/*
 * Goes on from s->dentry on s->mount with what is already at s->path[s->pos],
 * and returns where the path begins; it ends at KILN_PATH_MAX. PATH_FAIL:
 * unknown. A global function, so that the verifier looks at it once a program;
 * it takes its arguments by memory, where they are numbers.
 */
__noinline u32 kiln_resolve_rest(struct kiln_scratch *s)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mount *mount;

	if (!s)
		return PATH_FAIL;
	s->found = 0;
	if (!kiln_read_mount(s))
		return PATH_FAIL;
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

/* For a mount and dentry that are mere addresses. */
static __always_inline u32 kiln_resolve_any(struct kiln_scratch *s, struct vfsmount *mnt, struct dentry *dentry)
{
	*(volatile u64 *)&s->pos = KILN_PATH_MAX;
	*(volatile u64 *)&s->mount = (u64)kiln_real_mount(mnt);
	*(volatile u64 *)&s->dentry = (u64)dentry;
	return kiln_resolve_rest(s);
}

#define KILN_QUICK_DEPTH 24

/*
 * For a mount and dentry that the verifier knows: fields are read by plain
 * loads, without a helper's call, up to the root of the file's own mount. Where
 * that mount is the namespace's root, as it was the last time on this CPU, the
 * path is done. The root dentry is compared, too, so that a mount that came to
 * lie at the same address is not taken for the one that was.
 */
static __always_inline u32 kiln_resolve(struct kiln_scratch *s, struct vfsmount *mnt, struct dentry *dentry)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct dentry *root = mnt->mnt_root;
	u64 ns = (u64)task->nsproxy->mnt_ns;
	u32 pos, own;

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
	own = *(volatile u64 *)&s->pos;
	if (dentry == root && s->top_mnt == (u64)mnt && s->top_root == (u64)root && s->top_ns == ns &&
	    own != KILN_PATH_MAX)
		return own;
	*(volatile u64 *)&s->mount = (u64)kiln_real_mount(mnt);
	*(volatile u64 *)&s->dentry = (u64)dentry;
	pos = kiln_resolve_rest(s);
	/* Nothing came in front: the file's mount is at the namespace's root. */
	if (pos == own && dentry == root) {
		s->top_mnt = (u64)mnt;
		s->top_root = (u64)root;
		s->top_ns = ns;
	}
	return pos;
}

/* Whether the name was removed: the path that it had says nothing any more (d_unlinked() of dcache.h). */
static __always_inline bool kiln_unlinked(struct dentry *dentry)
{
	return !dentry->d_hash.pprev && dentry->d_parent != dentry;
}

/* A scratch of this CPU that no preempted hook holds; NULL is a denial. */
static __always_inline struct kiln_scratch *kiln_scratch_take(void)
{
	u32 first = bpf_get_smp_processor_id() * KILN_SCRATCHES;

	for (u32 i = 0; i < KILN_SCRATCHES; i++) {
		u32 key = first + i;
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
