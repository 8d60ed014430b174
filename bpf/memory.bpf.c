/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Ways to put code into memory that neither mmap(2) nor mprotect(2) sees: `kernel exec_memory` is about them, too. */

static __always_inline int kiln_check_exec_memory(void)
{
	return kiln_check_bit(KILN_KERNEL, KILN_K_EXEC_MEMORY, 0);
}

/* /proc/PID/mem: a write there changes pages that the process itself may only read and execute. */
static __always_inline bool kiln_is_memory(struct file *file)
{
	struct dentry *dentry;
	char name[4] = {};

	if (file->f_inode->i_sb->s_magic != PROC_SUPER_MAGIC)
		return false;
	dentry = file->f_path.dentry;
	if (dentry->d_name.len != 3 || bpf_probe_read_kernel(name, 3, dentry->d_name.name))
		return false;
	return name[0] == 'm' && name[1] == 'e' && name[2] == 'm';
}

/* The verdict on a file that is or comes open with `mode`; any but process memory passes. */
static __always_inline int kiln_check_memory(struct file *file, u32 mode)
{
	return (mode & FMODE_WRITE) && kiln_is_memory(file) ? kiln_check_exec_memory() : 0;
}

/*
 * Memory of another process through a descriptor from before `kernel ptrace` was refused. What was opened keeps the
 * address space that it is of.
 */
static __always_inline int kiln_check_others_memory(struct file *file)
{
	if (!kiln_is_memory(file) || (u64)file->private_data == (u64)bpf_get_current_task_btf()->mm)
		return 0;
	return kiln_check_bit(KILN_KERNEL, KILN_K_PTRACE, 0);
}

/* memfd_create(2), System V segments, rings, /dev/zero and removed files: what they hold is memory, not a file's. */
static __always_inline bool kiln_is_nameless(struct file *file)
{
	struct inode *inode = file->f_inode;

	return (inode->i_mode & S_IFMT) != S_IFREG || !inode->i_nlink || inode->i_sb->s_flags & SB_NOUSER;
}

static __always_inline int kiln_made_ring(struct inode *inode);

/*
 * userfaultfd(2) fills pages of a mapping that is not writable, where memory or a tmpfs file is behind it. And an
 * io_uring is made.
 */
SEC("lsm/inode_init_security_anon")
NEEDS("read modify kernel:exec_memory") /* also remembers who makes an io_uring */
int BPF_PROG(kiln_inode_init_security_anon, struct inode *inode, const struct qstr *name)
{
	char head[4] = {};

	if (bpf_probe_read_kernel(head, sizeof(head), name->name) || head[0] != '[')
		return 0;
	if (head[1] == 'i' && head[2] == 'o' && head[3] == '_')
		return kiln_made_ring(inode);
	if (head[1] != 'u' || head[2] != 's' || head[3] != 'e')
		return 0;
	return kiln_check_exec_memory();
}

/* What cannot be refused is ended before it goes on. */
static __noinline int kiln_end_for_memory(void)
{
	if (kiln_check_exec_memory())
		bpf_send_signal(9);
	return 0;
}

/*
 * A program's file asks for an executable stack (PT_GNU_STACK), or does not say that it can do without, and execve(2)
 * makes it past the point where it could be refused. Here it is done. The file's segments may have taken the place of a
 * part of the stack: then what execve(2) made for it may be another's memory by now, and is not a stack of this
 * process.
 */
SEC("tp_btf/sched_process_exec")
NEEDS("kernel:exec_memory") /* what execve(2) makes executable by itself */
int BPF_PROG(kiln_sched_process_exec, struct task_struct *task, int before, struct linux_binprm *bprm)
{
	struct vm_area_struct *stack = bprm->vma;

	if ((stack->vm_flags & (VM_EXEC | VM_GROWSDOWN)) == VM_GROWSDOWN && stack->vm_mm == task->mm)
		return 0;
	return kiln_end_for_memory();
}

/* The end of an executable segment that the file does not fill is memory that is written and executed. */
SEC("?fentry/vm_brk_flags")
NEEDS("kernel:exec_memory")
int BPF_PROG(kiln_vm_brk_flags, unsigned long address, unsigned long length, unsigned long flags)
{
	return flags & VM_EXEC ? kiln_end_for_memory() : 0;
}

#define READ_IMPLIES_EXEC 0x0400000u /* include/uapi/linux/personality.h */

/*
 * With READ_IMPLIES_EXEC brk(2) makes executable memory, and neither it nor
 * personality(2) has a hook. 0xffffffff only asks.
 */
static __always_inline int kiln_check_personality(u32 persona)
{
	return persona != 0xffffffffu && persona & READ_IMPLIES_EXEC ? kiln_end_for_memory() : 0;
}

/* By x86's two entries. */
SEC("?fentry/__x64_sys_personality")
NEEDS("kernel:exec_memory")
int BPF_PROG(kiln_personality, const struct pt_regs *regs)
{
	return kiln_check_personality((u32)regs->di);
}

SEC("?fentry/__ia32_sys_personality")
NEEDS("kernel:exec_memory")
int BPF_PROG(kiln_personality_compat, const struct pt_regs *regs)
{
	return kiln_check_personality((u32)regs->bx);
}
