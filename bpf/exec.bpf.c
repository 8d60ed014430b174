/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Programs: execve, what it makes of the label, and executable mappings (libraries and the loader itself). */

/* systemd's own helper between fork and the service's program, from version 255 on. */
static const char kiln_executor[] = "/usr/lib/systemd/systemd-executor";

static __always_inline bool kiln_is_executor(struct kiln_scratch *s, u32 pos)
{
	char head[sizeof(kiln_executor) - 1];
	char differs = 0;

	if (pos != KILN_PATH_MAX - sizeof(head))
		return false;
	if (bpf_probe_read_kernel(head, sizeof(head), &s->path[KILN_PATH_MAX - sizeof(head)]))
		return false;
		/* One branch at the end: after each the verifier would look at all that follows. */
#pragma unroll
	for (int i = 0; i < sizeof(head); i++)
		differs |= head[i] ^ kiln_executor[i];
	return !differs;
}

/*
 * The service's program runs: the task's own label goes where its cgroup's says the same. Who moves the task meanwhile
 * announces it before looking at that label, and here it is looked for after the label is gone: one of both sees the
 * other.
 */
static __always_inline int kiln_started(const struct kiln_me *me, struct task_struct *leader)
{
	struct kiln_task *own = bpf_task_storage_get(&kiln_labels, leader, 0, 0);
	u32 label;

	if (!own)
		return -ENOMEM;
	own->flags = 0;
	label = own->label;
	if (!kiln_moves_seen() || kiln_mark(me->place)->group != me->group || kiln_mark(me->place)->label != label ||
	    bpf_task_storage_delete(&kiln_labels, leader))
		return 0;
	if ((__sync_fetch_and_add(&kiln_state.moving, 0) & ~KILN_MOVING_LABELLED) != (u64)leader &&
	    kiln_me().group == me->group)
		return 0;
	kiln_stray();
	return kiln_give(leader, label) ? 0 : -ENOMEM;
}

static __noinline int kiln_execute(struct linux_binprm *bprm)
{
	struct kiln_about about = {.kind = KILN_O_PATH, .pos = PATH_FAIL};
	struct task_struct *current = bpf_get_current_task_btf();
	struct dentry *dentry = bprm->file->f_path.dentry;
	struct kiln_me me = kiln_me();
	u64 active = kiln_active(), word = kiln_word(&me);
	bool starting = word >> 32 & KILN_T_STARTING;
	struct kiln_scratch *s;
	struct kiln_who who = {};
	int entry, ret = 0;

	if ((u32)active == KILN_INACTIVE)
		return 0;
	if (word && !kiln_take_along(current, word))
		return -ENOMEM;
	kiln_forget_switch(bprm, current);
	if (!word && !((active >> 32) & (V(EXEC) | KILN_HOST_EXEC)))
		return 0;
	entry = kiln_enter_label(&who, active, word ? (u32)word : KILN_LABEL_HOST, KILN_USER_CURRENT, V(EXEC));
	if (entry == KILN_PASS && !starting && !who.s->exec_start)
		return 0;
	s = kiln_scratch_take();
	if (entry == KILN_BROKEN || !s || !who.s) {
		ret = kiln_refuse(&who.id, s, &about, KILN_EXEC,
				  entry == KILN_BROKEN ? KILN_R_TABLES
				  : !s		       ? KILN_R_MEMORY
						       : KILN_R_LABEL);
	} else {
		if (!kiln_unlinked(bprm->file->f_path.mnt, dentry))
			about.pos = kiln_resolve(s, current, bprm->file->f_path.mnt, dentry);
		if (starting && kiln_is_executor(s, about.pos)) {
			ret = 0;
		} else {
			if (entry != KILN_PASS)
				ret = kiln_decide_file(&who, s, &about, V(EXEC), bprm->file->f_path.mnt, dentry);
			if (starting && !ret)
				ret = kiln_started(&me, current->group_leader);
			/* The thread that executes has a copy of the leader's word (kiln_take_along()). */
			if (starting && !ret && current->group_leader != current && !kiln_give(current, (u32)word))
				ret = -ENOMEM;
			if (!ret && who.s->exec_start)
				ret = kiln_find_switch(&who, s, &about, bprm);
		}
	}
	if (s)
		kiln_scratch_give(s);
	return ret;
}

/* Set only where the interpreter gets a descriptor of the program (AT_EXECFD), as binfmt_misc's `O` asks. */
static __noinline int kiln_check_given(struct linux_binprm *bprm)
{
	return kiln_check_path(V(READ), bprm->executable->f_path.mnt, bprm->executable->f_path.dentry, KILN_OPENED);
}

/*
 * Runs for the script and again for its interpreter: both need exec. A starting
 * task is held to its label here: what systemd runs in the unit is the unit's.
 * With the first program that is permitted and is not systemd's helper it has
 * started.
 */
SEC("lsm/bprm_check_security")
NEEDS("always") /* also a unit's first program; the label of a process whose thread executes */
int BPF_PROG(kiln_bprm_check_security, struct linux_binprm *bprm)
{
	struct kiln_me me = kiln_me();
	int ret;

	if (kiln_unbound(&me, V(EXEC) | V(READ) | KILN_HOST_EXEC))
		return 0;
	ret = kiln_execute(bprm);
	if (ret || !bprm->executable)
		return ret;
	return kiln_check_given(bprm);
}

/* The new program runs: an exec selector may attach a subject. Attached only where some subject has one. */
SEC("lsm/bprm_committed_creds")
NEEDS("exec_changes")
int BPF_PROG(kiln_bprm_committed_creds, struct linux_binprm *bprm)
{
	struct task_struct *current = bpf_get_current_task_btf();
	struct kiln_me me = kiln_me();
	u64 word = kiln_word(&me);
	u32 label = kiln_take_switch();

	/* Still systemd's helper. */
	if (!label || label == (u32)word || word >> 32 & KILN_T_STARTING)
		return 0;
	kiln_stray();
	/* Without a label of its own it must not go on with another one's. */
	if (!kiln_give(current, label))
		bpf_send_signal(9);
	return 0;
}

/*
 * A set-user-id or set-group-id program, or one with capabilities of its own: the change that `kernel setuid` is about,
 * by a file. Where the ids were different before, the kernel's own word says nothing new.
 */
SEC("lsm/bprm_creds_from_file")
NEEDS("kernel:setuid")
int BPF_PROG(kiln_bprm_creds_from_file, struct linux_binprm *bprm)
{
	struct kiln_me me = kiln_me();
	const struct cred *now = me.task->cred, *next = bprm->cred;
	bool apart = now->uid.val != now->euid.val || now->gid.val != now->egid.val;

	if (now->euid.val == next->euid.val && now->egid.val == next->egid.val &&
	    (apart || !BPF_CORE_READ_BITFIELD(bprm, secureexec)))
		return 0;
	return kiln_check_bit(KILN_KERNEL, KILN_K_SETUID, 0);
}

/* The program's own image was decided as exec. */
static __always_inline bool kiln_is_image(struct file *file)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!task->mm || !task->mm->exe_file)
		return false;
	return task->mm->exe_file == file || task->mm->exe_file->f_inode == file->f_inode;
}

/* The verdict on a file that is mapped already; on an overlay that is the one below, from 6.5 on. */
static __always_inline int kiln_check_mapped(u32 verbs, struct file *file, const enum kiln_how how)
{
	struct path at = {};

	if (!kiln_is_backing(file))
		return kiln_check_path(verbs, file->f_path.mnt, file->f_path.dentry, how);
	kiln_user_path(file, &at);
	return kiln_check_path(verbs, at.mnt, at.dentry, KILN_ADDRESS);
}

static __always_inline int kiln_check_mapping(struct file *file)
{
	return kiln_check_path(V(LOAD), file->f_path.mnt, file->f_path.dentry, KILN_OPENED);
}

/*
 * Whether there is a file; anonymous memory has none. The verifier of 6.12 takes a hook's argument for never NULL and
 * removes a test of the pointer itself, so the test is of half its bytes, and where these are 0 of the argument in
 * memory.
 */
static __always_inline bool kiln_has_file(unsigned long long *ctx, struct file *file)
{
	u64 address = 0;

	return kiln_low((u64)file) || (!bpf_probe_read_kernel(&address, sizeof(address), ctx) && address);
}

/* Apart from the program, whose way out would save the registers that are used here: execve(2) comes by each segment.
 */
static __noinline int kiln_map(unsigned long long *ctx)
{
	struct file *file = (void *)ctx[0];
	unsigned long prot = ctx[2];
	struct kiln_me me = kiln_me();
	bool image;
	int ret;

	if (kiln_unbound(&me, V(LOAD) | V(KERNEL)))
		return 0;
	if (!kiln_has_file(ctx, file))
		return kiln_check_exec_memory();
	image = kiln_is_image(file);
	if (((prot & PROT_WRITE) || (!image && kiln_is_nameless(file))) && (ret = kiln_check_exec_memory()))
		return ret;
	return image ? 0 : kiln_check_mapping(file);
}

SEC("lsm/mmap_file")
NEEDS("load kernel:exec_memory")
int BPF_PROG(kiln_mmap_file, struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)
{
	return prot & PROT_EXEC ? kiln_map(ctx) : 0;
}

SEC("lsm/file_mprotect")
NEEDS("load kernel:exec_memory")
int BPF_PROG(kiln_file_mprotect, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)
{
	unsigned long flags = vma->vm_flags;
	struct file *file = vma->vm_file;
	int ret;

	if (!(prot & PROT_EXEC))
		return 0;
	/* Already executable and not becoming writable: nothing new. */
	if ((flags & VM_EXEC) && !(prot & PROT_WRITE))
		return 0;
	/* Anonymous memory, and pages of a private mapping that were or will be written, are no file's. */
	if (!file || (flags & VM_WRITE) || (prot & PROT_WRITE) || vma->anon_vma ||
	    (kiln_is_nameless(file) && !kiln_is_image(file))) {
		ret = kiln_check_exec_memory();
		if (ret || !file)
			return ret;
	}
	return kiln_is_image(file) ? 0 : kiln_check_mapped(V(LOAD), file, KILN_OPENED);
}

#define PR_SET_MM 35 /* include/uapi/linux/prctl.h */
#define PR_SET_MM_ARG_START 8
#define PR_SET_MM_ENV_END 11
#define PR_SET_MM_EXE_FILE 13
#define PR_SET_MM_MAP 14

/*
 * PR_SET_MM_EXE_FILE would make any file the program's own image, which mmap_file lets pass; and where guards of the
 * whole host except the agent, it would make anyone the agent. Where its words and environment lie says no more than
 * what /proc shows: services of systemd (udevd's workers) rename themselves so.
 */
SEC("lsm/task_prctl")
NEEDS("always")
int BPF_PROG(kiln_task_prctl, int option, unsigned long what)
{
	u64 active = kiln_active();
	u32 which = what; /* the kernel, too, looks at the lower half alone */

	if (option != PR_SET_MM || (u32)active == KILN_INACTIVE ||
	    (which >= PR_SET_MM_ARG_START && which <= PR_SET_MM_ENV_END))
		return 0;
	if (kiln_confined())
		return kiln_refuse_self(KILN_EXEC);
	if ((which == PR_SET_MM_EXE_FILE || which == PR_SET_MM_MAP) && (active >> 32) & (V(KERNEL) | V(CAPABILITY)))
		return kiln_refuse_self(KILN_EXEC);
	return 0;
}
