/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Name by name from a dentry towards the root of its mount tree: into the
 * scratch, from the end of its path to the front.
 */
#ifndef KILN_WALK_H
#define KILN_WALK_H

/* The lower half of a pointer: to the verifier a number, once it is moved, as the pointer never is. */
static __always_inline u32 kiln_low(u64 pointer)
{
	u32 low;

	asm volatile("%[low] = %[pointer]" : [low] "=w"(low) : [pointer] "w"((u32)pointer));
	return low;
}

/* Takes a pointer to a global function, which takes numbers and memory only. */
struct kiln_address {
	u64 at;
};

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

/*
 * What is read of a name in the dentry itself, at most. Its room there (DNAME_INLINE_LEN of dcache.h) is 32 on 6.1 and
 * 40 on 6.12; behind a smaller one are other fields of the dentry.
 */
#define KILN_INLINE_WORDS 5u

/*
 * As kiln_prepend, for a dentry that the verifier knows: a short name is read by plain loads, in words. Only the last
 * word reaches beyond the name, by at most seven bytes, and these are put back. bpf/test/walk.c holds it against a copy
 * byte by byte, for every length.
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
	if (name != (u64)words || len > KILN_INLINE_WORDS * 8)
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
		if (len > 24)
			*(u64 *)(to + 24) = words[3];
		if (len > 32)
			*(u64 *)(to + 32) = words[4];
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

/* From s->dentry on s->mount up to the root of the mount tree, in front of what is at s->path[s->pos]; false: unknown.
 */
static __always_inline bool kiln_climb(struct kiln_scratch *s)
{
	s->found = 0;
	if (!kiln_read_mount(s))
		return false;
	bpf_loop(KILN_DEPTH_MAX, kiln_resolve_step, &s, 0);
	return s->found;
}

/* Where a path that is done begins: that of the root is the slash alone. */
static __always_inline u32 kiln_begin(struct kiln_scratch *s)
{
	if (s->pos == KILN_PATH_MAX) {
		s->path[KILN_PATH_MAX - 1] = '/';
		return KILN_PATH_MAX - 1;
	}
	return s->pos;
}

#endif
