/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What was got before a policy was tightened, and is used after it: descriptors, mappings to be made of them, traced
 * processes. Attached while a tightening is in force.
 */

/*
 * A file that was removed after it was opened, or never had a name of its own, has the one that it had when it was
 * opened: by that it was permitted then.
 */
static __always_inline int kiln_check_held(u32 verbs, struct file *file)
{
	return kiln_check_path(verbs, file->f_path.mnt, file->f_path.dentry, KILN_NAMED);
}

/* Descriptors opened before it are decided again at each use. */
SEC("lsm/file_permission")
NEEDS("read modify kernel:exec_memory kernel:ptrace narrowed") /* files, and memory that is opened as one */
int BPF_PROG(kiln_file_permission, struct file *file, int mask)
{
	u32 verbs = 0;
	int ret;

	if (kiln_pathless(file) || kiln_inside(file))
		return 0;
	if (mask & 4) /* MAY_READ */
		verbs |= V(READ);
	if (mask & 2) /* MAY_WRITE: the same bit as FMODE_WRITE */
		verbs |= V(MODIFY);
	ret = kiln_check_memory(file, mask);
	if (!ret)
		ret = kiln_check_others_memory(file);
	return ret ? ret : kiln_check_held(verbs, file);
}

/* What a mapping reads and changes of its file; a private one changes nothing, and memory has no path. */
static __always_inline u32 kiln_mapping_verbs(struct file *file, unsigned long prot, bool shared)
{
	u32 verbs = prot & PROT_READ ? V(READ) : 0;

	if (shared && prot & PROT_WRITE)
		verbs |= V(MODIFY);
	return kiln_pathless(file) || file->f_inode->i_sb->s_flags & SB_NOUSER ? 0 : verbs;
}

/* What may be written or executed may be read: processors know no mapping that may not. */
#define KILN_READS(prot) ((prot) & (PROT_READ | PROT_WRITE | PROT_EXEC) ? PROT_READ : 0)

static __noinline int kiln_map_held(struct file *file, unsigned long prot, unsigned long flags)
{
	struct kiln_me me = kiln_me();
	u32 verbs;

	if (kiln_unbound(&me, V(READ) | V(MODIFY)))
		return 0;
	verbs = kiln_mapping_verbs(file, prot | KILN_READS(prot), flags & MAP_SHARED);
	/* What execve(2) maps is decided as exec and load. */
	return verbs && !kiln_for_exec(file) ? kiln_check_held(verbs, file) : 0;
}

SEC("lsm/mmap_file")
NEEDS("read modify narrowed")
int BPF_PROG(kiln_mmap_held, struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)
{
	return kiln_has_file(ctx, file) ? kiln_map_held(file, prot, flags) : 0;
}

/* A mapping gets a right that it was made without. */
SEC("lsm/file_mprotect")
NEEDS("read modify narrowed")
int BPF_PROG(kiln_mprotect_held, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)
{
	unsigned long flags = vma->vm_flags, more = 0;
	struct file *file = vma->vm_file;

	if (!file)
		return 0;
	if (!(flags & (VM_READ | VM_WRITE | VM_EXEC)))
		more |= KILN_READS(prot);
	if (prot & PROT_WRITE && !(flags & VM_WRITE))
		more |= PROT_WRITE;
	more = more ? kiln_mapping_verbs(file, more, flags & VM_SHARED) : 0;
	return more ? kiln_check_mapped(more, file, KILN_NAMED) : 0;
}

/*
 * A process that is traced stays so, and what its tracer asks has no hook: who may not trace any more is ended at the
 * next request but that to let go.
 */
static __always_inline int kiln_check_request(struct task_struct *child, long request)
{
	if (request != 17 /* PTRACE_DETACH */ && kiln_check_acting_as(child))
		bpf_send_signal(9);
	return 0;
}

SEC("?fentry/arch_ptrace")
NEEDS("kernel:ptrace narrowed")
int BPF_PROG(kiln_arch_ptrace, struct task_struct *child, long request)
{
	return kiln_check_request(child, request);
}

SEC("?fentry/compat_arch_ptrace")
NEEDS("kernel:ptrace narrowed")
int BPF_PROG(kiln_arch_ptrace_compat, struct task_struct *child, int request)
{
	return kiln_check_request(child, request);
}
