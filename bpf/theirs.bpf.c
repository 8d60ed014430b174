/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What another process holds and has no name: memory and pipes, which whoever may look at it opens by its descriptors
 * in /proc. That is acting as another, as taking a descriptor by pidfd_getfd(2) is.
 */

struct kiln_search {
	u64 table; /* address of the array of open files */
	u64 inode;
	u32 len, found;
};

#define O_PATH 010000000u /* names what is not open; whoever may look at a process gets it of anything */

static long kiln_search_step(u32 at, struct kiln_search *s)
{
	struct file *file = NULL;

	if (at >= s->len)
		return 1;
	if (bpf_probe_read_kernel(&file, sizeof(file), (void *)s->table + (u64)at * sizeof(file)) || !file)
		return 0;
	s->found = (u64)BPF_CORE_READ(file, f_inode) == s->inode && !(BPF_CORE_READ(file, f_flags) & O_PATH);
	return s->found;
}

#define KILN_FILES (1u << 20) /* the usual fs.nr_open; what is beyond it is not found */

/* Whether a process has a file open; `files` is the address of its struct files_struct. */
static __noinline bool kiln_has_open(u64 files, u64 inode)
{
	struct fdtable *table = BPF_CORE_READ((struct files_struct *)files, fdt);
	struct kiln_search search = {.inode = inode};

	search.table = (u64)BPF_CORE_READ(table, fd);
	search.len = BPF_CORE_READ(table, max_fds);
	bpf_loop(KILN_FILES, kiln_search_step, &search, 0);
	return search.found;
}

#define KILN_LOOKED 1ull /* in kiln_want.task, which is the address of a thread */

/* Noted of the thread: what it opens by a link in /proc is of the process that it looked at last. */
static __always_inline void kiln_note_look(struct task_struct *other)
{
	struct kiln_me me = kiln_me();
	u32 label = kiln_word(&me);
	struct kiln_want *want;

	if (!label)
		return;
	want = kiln_want_of(me.task);
	if (!want)
		return;
	*(volatile u64 *)&want->task = 0;
	if (!kiln_is_bound(other->group_leader, label))
		return;
	/* Nor of another user's process, where it matters which user asks. */
	if (kiln_by_user(label) && BPF_CORE_READ(other, real_cred, euid.val) != me.task->real_cred->euid.val)
		return;
	*(volatile u64 *)&want->mnt = (u64)BPF_CORE_READ(other, files);
	*(volatile u64 *)&want->task = kiln_number(me.task) + KILN_LOOKED;
}

/* Whether a file that is opened lies where no name leads to it. */
static __always_inline bool kiln_is_unnamed(struct file *file)
{
	struct super_block *sb = file->f_inode->i_sb;

	return sb->s_flags & SB_NOUSER || (sb->s_magic == HUGETLBFS_MAGIC && kiln_is_huge(file->f_path.dentry));
}

/* The verdict on opening what has no name. */
static __noinline int kiln_check_theirs(struct file *file)
{
	u64 magic = file->f_inode->i_sb->s_magic, inode = (u64)file->f_inode, files, noted;
	struct task_struct *task = bpf_get_current_task_btf();
	struct kiln_want *want = kiln_want_of(task);

	/* A namespace or a process is entered or acted on by calls that are decided themselves. */
	if (magic == NSFS_MAGIC || magic == PID_FS_MAGIC || (u64)BPF_CORE_READ(task, mm, exe_file, f_inode) == inode ||
	    kiln_has_open((u64)BPF_CORE_READ(task, files), inode))
		return 0;
	noted = kiln_number(task) + KILN_LOOKED;
	if (want && *(volatile u64 *)&want->task == noted) {
		files = *(volatile u64 *)&want->mnt;
		if (*(volatile u64 *)&want->task == noted && kiln_has_open(files, inode))
			return 0;
	}
	return kiln_check_bit(KILN_KERNEL, KILN_K_PTRACE, 0);
}
