/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Files that the kernel opens and reads for itself while a task is in a system call, and that no task ever holds. What
 * tells them from a task's own must not be user space's to set, and must not be a number of one kernel build.
 */
#ifndef KILN_INSIDE_H
#define KILN_INSIDE_H

#define X32_BIT 0x40000000ul

#define TS_COMPAT 2u /* arch/x86/include/asm/thread_info.h: a 32-bit system call */

static __always_inline bool kiln_is_compat(struct task_struct *task)
{
	return bpf_core_field_exists(task->thread_info.status) && BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

/* The system call that the task is in, by whichever of x86's entries; numbers are user space's interface. */
static __always_inline u64 kiln_call(void)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());

	return regs->orig_ax & ~X32_BIT;
}

/* execve(2) and execveat(2): of 64 bits, of 32, and of x32. No call by which a flag comes from user space has these. */
static __always_inline bool kiln_executes(void)
{
	u64 call = kiln_call();

	return call == 59 || call == 322 || call == 11 || call == 358 || call == 520 || call == 545;
}

/*
 * A program's file, its script's and its loader's, within execve(2): decided as exec and load, and never readable by
 * the task. The flag alone also comes from user space, by calls that pass on any flag (XFS's handles, mq_open(2),
 * TIOCGPTPEER) and by uselib(2); that the task is within execve(2) does not. From 6.8 on the kernel opens the first
 * file before it says so of the task.
 */
static __always_inline bool kiln_for_exec(struct file *file)
{
	struct task_struct *task = bpf_get_current_task_btf();

	/* The macro names the task several times. */
	return file->f_flags & FMODE_EXEC && (BPF_CORE_READ_BITFIELD(task, in_execve) || kiln_executes());
}

/* The file below an overlay's, from 6.5 on; before, it bears the overlay's own path. */
static __always_inline bool kiln_is_backing(struct file *file)
{
	u32 bits = *(volatile u64 *)&kiln_state.backing;

	return bits && (file->f_mode & bits) == bits;
}

/* The path by which the task knows the file that it has mapped, where that is one below an overlay's; else none. */
static __always_inline void kiln_user_path(struct file *file, struct path *at)
{
	struct backing_file *backing = (void *)file;

	if (bpf_core_field_exists(backing->user_path))
		bpf_core_read(at, sizeof(*at), &backing->user_path);
}

/* Whether the kernel uses the file for itself. */
static __always_inline bool kiln_inside(struct file *file)
{
	return kiln_for_exec(file) || kiln_is_backing(file);
}

#endif
