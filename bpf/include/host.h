/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The name that the machine itself has for a file, whatever mounts a task made: by the oldest mount of its file system
 * in the first namespace, which is PID 1's, that shows it. Guards are held against it, too; docs/pdl.md has the rule.
 * A file of a procfs or sysfs has the name that it would have in the machine's own, whichever it is of.
 */
#ifndef KILN_HOST_H
#define KILN_HOST_H

/* The machine has no name for it, or the one that was decided already. */
#define PATH_NONE ((u32)~1u)

/* From a process towards the first of all, which is its own parent. */
static long kiln_parent_step(u32 turn, struct kiln_scratch **ctx)
{
	struct kiln_scratch *s = *ctx;
	struct task_struct *task = (void *)s->seek;
	u64 parent = (u64)BPF_CORE_READ(task, real_parent);

	if (!parent || !kiln_step_left(s))
		return 1;
	if (parent == s->seek) {
		s->host_ns = (u64)BPF_CORE_READ(task, nsproxy, mnt_ns);
		return 1;
	}
	s->seek = parent;
	return 0;
}

/* More names than a path of KILN_PATH_MAX has: a folder may lie deeper still, and is unknown then. */
#define KILN_ABOVE 4096u

/*
 * The next mount of the file system s->sb, from the oldest on; NULL: there is none (s->found), or it is not known.
 * Without a lock: an entry that is gone ends it.
 */
static __always_inline struct mount *kiln_next_instance(struct kiln_scratch *s)
{
	struct mount *mount;
	u64 next;

	if (!kiln_step_left(s) || bpf_probe_read_kernel(&next, sizeof(next), (void *)s->instance) || !next)
		return NULL;
	s->instance = next;
	if (next == s->top) {
		s->found = 1;
		return NULL;
	}
	mount = (void *)next - bpf_core_field_offset(struct mount, mnt_instance);
	/* What was taken out leads into another list. */
	return (u64)BPF_CORE_READ(mount, mnt.mnt_sb) == s->sb ? mount : NULL;
}

/* One step through the mounts of a file system. */
static long kiln_instance_step(u32 turn, struct kiln_scratch **ctx)
{
	struct kiln_scratch *s = *ctx;
	struct mount *mount = kiln_next_instance(s);

	if (!mount)
		return 1;
	s->at = (u64)mount;
	if ((u64)BPF_CORE_READ(mount, mnt_ns) != s->host_ns)
		return 0;
	if (!s->mount)
		s->mount = s->at;
	s->goal = (u64)BPF_CORE_READ(mount, mnt.mnt_root);
	s->seek = s->asked;
	bpf_loop(KILN_ABOVE, kiln_seek, &s, 0);
	if (s->best) {
		s->found = 1;
		return 1;
	}
	/* Not at the root, or not asked there: whether this mount shows the file is not known. */
	return s->seek != s->root || s->seek == s->goal;
}

/* Whether a file system shows the machine itself: each mount that a task makes of one is another file system. */
static __always_inline bool kiln_shows_machine(struct super_block *sb)
{
	u64 magic = BPF_CORE_READ(sb, s_magic);

	return magic == PROC_SUPER_MAGIC || magic == SYSFS_MAGIC;
}

/* One step through the mounts of s->sb, from the oldest on: the first of the machine's by its root. */
static long kiln_rooted_step(u32 turn, struct kiln_scratch **ctx)
{
	struct kiln_scratch *s = *ctx;
	struct mount *mount = kiln_next_instance(s);

	if (!mount)
		return 1;
	if ((u64)BPF_CORE_READ(mount, mnt_ns) != s->host_ns || (u64)BPF_CORE_READ(mount, mnt.mnt_root) != s->root)
		return 0;
	s->best = (u64)mount;
	s->found = 1;
	return 1;
}

/* Whether a file system is in the list of its kind: what was taken out leads nowhere, as the last one does. */
static __always_inline bool kiln_is_listed(struct super_block *sb)
{
	u64 entry = (u64)sb + bpf_core_field_offset(struct super_block, s_instances), before = 0;
	void *at = BPF_CORE_READ(sb, s_instances.pprev);

	return at && !bpf_probe_read_kernel(&before, sizeof(before), at) && before == entry;
}

/* One step through the file systems of a kind, whose list begins with the newest. */
static long kiln_kind_step(u32 turn, struct kiln_scratch **ctx)
{
	struct kiln_scratch *s = *ctx;
	struct super_block *sb = (void *)s->sb;
	u64 next;

	s->up = 0;
	s->found = 0;
	if (!kiln_step_left(s) || (u64)BPF_CORE_READ(sb, s_type) != s->goal)
		return 1;
	s->root = (u64)BPF_CORE_READ(sb, s_root);
	s->top = s->instance = s->sb + bpf_core_field_offset(struct super_block, s_mounts);
	bpf_loop(KILN_SEARCH_STEPS, kiln_rooted_step, &s, 0);
	if (!s->found)
		return 1;
	next = (u64)BPF_CORE_READ(sb, s_instances.next);
	if (!next) {
		s->up = kiln_is_listed(sb);
		return 1;
	}
	s->sb = next - bpf_core_field_offset(struct super_block, s_instances);
	return 0;
}

/*
 * The machine's mount of the oldest file system of a kind, in s->best; 0: there is none. False: it could not be found
 * out.
 */
static __always_inline bool kiln_find_kind(struct kiln_scratch *s, struct super_block *sb)
{
	struct file_system_type *kind = BPF_CORE_READ(sb, s_type);
	u64 first = (u64)BPF_CORE_READ(kind, fs_supers.first);

	if (!first)
		return false;
	for (u32 i = 0; i < 4; i++) {
		s->best = 0;
		s->goal = (u64)kind;
		s->sb = first - bpf_core_field_offset(struct super_block, s_instances);
		bpf_loop(KILN_SEARCH_STEPS, kiln_kind_step, &s, 0);
		if (s->up)
			return true;
	}
	return false;
}

/*
 * The name that the file would have in the machine's own file system of its kind: below the root of its own, and in
 * front of it the name of the machine's mount. A global function, so that the verifier looks at it once a program.
 */
__noinline u32 kiln_name_by_kind(struct kiln_scratch *s)
{
	struct super_block *sb;
	struct dentry *asked;
	struct mount *mount;
	u64 found;

	if (!s)
		return PATH_FAIL;
	asked = (void *)s->asked;
	sb = BPF_CORE_READ(asked, d_sb);
	if (!kiln_find_kind(s, sb))
		return PATH_FAIL;
	found = s->best;
	if (!found)
		return PATH_NONE;
	s->pos = KILN_PATH_MAX;
	s->dentry = s->asked;
	s->root = (u64)BPF_CORE_READ(sb, s_root);
	/* A mount that is its own parent: the way ends at its root. */
	s->mount = s->parent = found;
	s->found = 0;
	bpf_loop(KILN_DEPTH_MAX, kiln_resolve_step, &s, 0);
	if (!s->found)
		return PATH_FAIL;
	mount = (void *)found;
	s->dentry = (u64)BPF_CORE_READ(mount, mnt.mnt_root);
	if (!kiln_climb(s))
		return PATH_FAIL;
	mount = (void *)s->mount;
	return (u64)BPF_CORE_READ(mount, mnt_ns) == s->host_ns ? kiln_begin(s) : PATH_FAIL;
}

/*
 * Where the machine's path of s->asked begins in the scratch. PATH_NONE: s->asked_mount, by which it was reached, gives
 * that name itself, or no mount of the first namespace shows the file.
 */
__noinline u32 kiln_resolve_host(struct kiln_scratch *s)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mnt_namespace *own = task->nsproxy->mnt_ns;
	struct super_block *sb;
	struct dentry *asked;
	struct mount *mount;
	bool machine;
	u64 event;

	if (!s || !own)
		return PATH_FAIL;
	event = own->event;
	/* As of the last time on this CPU; each change of mounts gives the namespace another number (see path.h). */
	if (s->asked_mount && s->host_mnt == s->asked_mount && s->host_ns == (u64)own && s->host_event == event)
		return PATH_NONE;
	s->left = KILN_SEARCH_STEPS;
	if (!s->host_ns) {
		s->seek = (u64)task;
		bpf_loop(KILN_SEARCH_STEPS, kiln_parent_step, &s, 0);
	}
	if (!s->host_ns || !bpf_core_field_exists(struct mount, mnt_instance))
		return PATH_FAIL;
	asked = (void *)s->asked;
	sb = BPF_CORE_READ(asked, d_sb);
	machine = kiln_shows_machine(sb);
	/* The last of the list is the oldest. */
	if (machine && BPF_CORE_READ(sb, s_instances.next))
		return kiln_name_by_kind(s);
	s->sb = (u64)sb;
	s->root = (u64)BPF_CORE_READ(sb, s_root);
	s->top = (u64)sb + bpf_core_field_offset(struct super_block, s_mounts);
	for (u32 i = 0; i < 4; i++) {
		s->instance = s->top;
		s->best = s->found = s->mount = 0;
		bpf_loop(KILN_SEARCH_STEPS, kiln_instance_step, &s, 0);
		if (s->found)
			break;
	}
	if (!s->found)
		return PATH_FAIL;
	if (!s->best)
		return machine ? kiln_name_by_kind(s) : PATH_NONE;
	/* By a mount of another namespace than the task's own nothing was decided yet. */
	if (s->best == s->asked_mount && s->host_ns == (u64)own) {
		/* Of the first that may show it no other file has an older one. */
		if (s->best == s->mount && event) {
			s->host_mnt = s->best;
			s->host_event = event;
		}
		return PATH_NONE;
	}
	s->pos = KILN_PATH_MAX;
	s->mount = s->best;
	s->dentry = (u64)asked;
	if (!kiln_climb(s))
		return PATH_FAIL;
	mount = (void *)s->mount;
	return (u64)BPF_CORE_READ(mount, mnt_ns) == s->host_ns ? kiln_begin(s) : PATH_FAIL;
}

#endif
