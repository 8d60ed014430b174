/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Facilities of the kernel that a confined service hardly ever needs, and that undo confinement. */

#define KERNEL_OP(op) kiln_check_bit(KILN_KERNEL, KILN_K_##op, 0)

SEC("lsm/path_chroot")
NEEDS("kernel:chroot")
int BPF_PROG(kiln_path_chroot)
{
	return KERNEL_OP(CHROOT);
}
SEC("lsm/userns_create")
NEEDS("kernel:userns")
int BPF_PROG(kiln_userns_create)
{
	return KERNEL_OP(USERNS);
}
SEC("lsm/kernel_module_request")
NEEDS("kernel:module")
int BPF_PROG(kiln_kernel_module_request)
{
	/* The host's own modprobe(8) loads one of the host's own modules. */
	return kiln_check_harmless(KILN_K_MODULE, 0);
}

/*
 * The kernel's own numbers, read when the object is loaded; the two lists name the same things. What a later kernel
 * adds counts as a module, of which it may be another form (a compressed one).
 */
#define KILN_IS(list, id, name) ((id) == bpf_core_enum_value(enum list, name))
SEC("lsm/kernel_read_file")
NEEDS("kernel:module kernel:kexec")
int BPF_PROG(kiln_kernel_read_file, struct file *file, int id, bool contents)
{
	if (!id || KILN_IS(kernel_read_file_id, id, READING_FIRMWARE) ||
	    KILN_IS(kernel_read_file_id, id, READING_POLICY) ||
	    KILN_IS(kernel_read_file_id, id, READING_X509_CERTIFICATE))
		return 0;
	if (KILN_IS(kernel_read_file_id, id, READING_KEXEC_IMAGE) ||
	    KILN_IS(kernel_read_file_id, id, READING_KEXEC_INITRAMFS))
		return KERNEL_OP(KEXEC);
	return KERNEL_OP(MODULE);
}
SEC("lsm/kernel_load_data")
NEEDS("kernel:module kernel:kexec")
int BPF_PROG(kiln_kernel_load_data, int id, bool contents)
{
	if (!id || KILN_IS(kernel_load_data_id, id, LOADING_FIRMWARE) ||
	    KILN_IS(kernel_load_data_id, id, LOADING_POLICY) ||
	    KILN_IS(kernel_load_data_id, id, LOADING_X509_CERTIFICATE))
		return 0;
	if (KILN_IS(kernel_load_data_id, id, LOADING_KEXEC_IMAGE) ||
	    KILN_IS(kernel_load_data_id, id, LOADING_KEXEC_INITRAMFS))
		return KERNEL_OP(KEXEC);
	return KERNEL_OP(MODULE);
}

/* include/linux/ptrace.h; a mode without the bit of a look is taken for the more. */
#define PTRACE_MODE_READ 1u
#define PTRACE_MODE_ATTACH 2u
#define PTRACE_MODE_NOAUDIT 4u

/*
 * Acting as another process: ptrace(2), /proc/PID/mem, process_vm_writev(2), pidfd_getfd(2), input to its terminal.
 * Where it is refused only because it goes round what is governed, a process of the same label is not a way round; but
 * one that is starting is, which the host's subject binds.
 */
static __always_inline int kiln_check_acting_as(struct task_struct *other)
{
	struct kiln_who who = {};
	int entry = kiln_enter(&who, V(KERNEL));

	if (entry == KILN_PASS)
		return 0;
	if (entry == KILN_BROKEN || !who.s)
		return kiln_refuse_here(&who.id, KILN_O_KERNEL, KILN_K_PTRACE, KILN_KERNEL | kiln_broken(entry));
	/* Nor another user's, where it matters which one asks. */
	if (who.s->flags & KILN_S_USER &&
	    BPF_CORE_READ(other, real_cred, euid.val) != bpf_get_current_task_btf()->real_cred->euid.val)
		return kiln_decide_bit(&who, KILN_KERNEL, KILN_K_PTRACE, 0);
	if (who.s->kernel_detour >> KILN_K_PTRACE & 1 && kiln_is_bound(other->group_leader, who.id.label))
		return 0;
	return kiln_decide_bit(&who, KILN_KERNEL, KILN_K_PTRACE, 0);
}

SEC("lsm/ptrace_access_check")
NEEDS("always")
int BPF_PROG(kiln_ptrace_access_check, struct task_struct *child, unsigned int mode)
{
	bool looks = mode & PTRACE_MODE_READ && !(mode & PTRACE_MODE_ATTACH);
	u32 quiet = mode & PTRACE_MODE_NOAUDIT;

	if (kiln_is_protected(child) && kiln_confined())
		/* ps(1) asks so of every process, and leaves fields empty. */
		return quiet ? -EPERM : kiln_refuse_self(KILN_KERNEL);
	if (looks)
		kiln_note_look(child);
	/* What is seen of another process is read in /proc: the path decides. */
	return looks ? kiln_check_harmless(KILN_K_PTRACE, quiet) : kiln_check_acting_as(child);
}
SEC("lsm/ptrace_traceme")
NEEDS("kernel:ptrace")
int BPF_PROG(kiln_ptrace_traceme, struct task_struct *parent)
{
	return kiln_check_acting_as(parent);
}
SEC("lsm/perf_event_open")
NEEDS("kernel:perf")
int BPF_PROG(kiln_perf_event_open)
{
	return KERNEL_OP(PERF);
}

/* include/uapi/linux/perf_event.h: the registers of what is interrupted, and what lies on its stack. */
#define PERF_SAMPLE_REGS_USER (1ull << 12)
#define PERF_SAMPLE_STACK_USER (1ull << 13)
#define PERF_SAMPLE_REGS_INTR (1ull << 18)

/*
 * An event that sends SIGTRAP where it happens acts on its process, which a signal that has no handler ends; the first
 * process of all and the agent, too. Who has two capabilities the kernel does not ask whether he may trace it.
 */
static __always_inline int kiln_check_trap(struct perf_event *event)
{
	struct task_struct *target = event->hw.target;

	if (kiln_is_protected(target) && kiln_confined())
		return kiln_refuse_self(KILN_KERNEL);
	return target->group_leader == bpf_get_current_task_btf()->group_leader ? 0 : kiln_check_acting_as(target);
}

/*
 * An event shows what it samples to whoever has its descriptor, of one process or of all, and goes on through an
 * execve(2) that switches: reading another's memory. One that a child has from its parent was decided.
 */
SEC("lsm/perf_event_alloc")
NEEDS("always") /* the agent is trapped by nobody */
int BPF_PROG(kiln_perf_event_alloc, struct perf_event *event)
{
	u64 memory = PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER | PERF_SAMPLE_REGS_INTR;
	int ret = 0;

	if (event->parent)
		return 0;
	if (BPF_CORE_READ_BITFIELD_PROBED(event, attr.sigtrap))
		ret = kiln_check_trap(event);
	return !ret && event->attr.sample_type & memory ? KERNEL_OP(PTRACE) : ret;
}

/*
 * A breakpoint in a program's file (perf_event_open(2), tracefs' uprobe_events) changes the memory of all that run it;
 * within an instruction, what they do. No hook refuses it. Who is ended here makes none: the kernel looks for a signal
 * that ends the caller before it changes a page.
 */
static __always_inline int kiln_check_breakpoint(struct inode *inode)
{
	if (kiln_is_agents_program(inode) && kiln_confined()) {
		kiln_refuse_self(KILN_KERNEL);
		bpf_send_signal(9);
	} else if (KERNEL_OP(PTRACE)) {
		bpf_send_signal(9);
	}
	return 0;
}

SEC("?fentry/uprobe_register")
NEEDS("always")
int BPF_PROG(kiln_uprobe, struct inode *inode)
{
	return kiln_check_breakpoint(inode);
}

/* With a counter, before 6.12. */
SEC("?fentry/uprobe_register_refctr")
NEEDS("always")
int BPF_PROG(kiln_uprobe_counted, struct inode *inode)
{
	return kiln_check_breakpoint(inode);
}

SEC("lsm/uring_override_creds")
NEEDS("kernel:io_uring")
int BPF_PROG(kiln_uring_override_creds)
{
	return KERNEL_OP(IO_URING);
}
SEC("lsm/uring_sqpoll")
NEEDS("kernel:io_uring")
int BPF_PROG(kiln_uring_sqpoll)
{
	return KERNEL_OP(IO_URING);
}
SEC("lsm/uring_cmd")
NEEDS("kernel:io_uring")
int BPF_PROG(kiln_uring_cmd)
{
	return KERNEL_OP(IO_URING);
}
SEC("lsm/settime")
NEEDS("kernel:clock")
int BPF_PROG(kiln_settime)
{
	return KERNEL_OP(CLOCK);
}
SEC("lsm/task_fix_setuid")
NEEDS("kernel:setuid")
int BPF_PROG(kiln_task_fix_setuid)
{
	return KERNEL_OP(SETUID);
}
SEC("lsm/task_fix_setgid")
NEEDS("kernel:setuid")
int BPF_PROG(kiln_task_fix_setgid)
{
	return KERNEL_OP(SETUID);
}
SEC("lsm/task_fix_setgroups")
NEEDS("kernel:setuid")
int BPF_PROG(kiln_task_fix_setgroups)
{
	return KERNEL_OP(SETUID);
}
SEC("lsm/locked_down")
NEEDS("kernel:lockdown")
int BPF_PROG(kiln_locked_down)
{
	return KERNEL_OP(LOCKDOWN);
}
