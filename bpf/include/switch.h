/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A change of subject at exec: found for the file that was named, a script's before its interpreter's, and made when
 * the program runs.
 */
#ifndef KILN_SWITCH_H
#define KILN_SWITCH_H

#define LSM_UNSAFE_SHARE 1 /* include/linux/security.h: the folder one is in, and the root, are shared with others */

/* The label of another process; 0: none. */
static __always_inline u32 kiln_label_of_process(struct task_struct *leader)
{
	u64 word = kiln_own_of(leader);

	return word ? (u32)word : kiln_group_label(kiln_home(leader));
}

#define TASK_NEW 0x800u /* include/linux/sched.h: it has not run yet */

/*
 * Whether another process is bound as a label says. One that is starting is not: what it is to become binds it only
 * when its program runs. Nor is one that has not run yet: it may not have its label, and share its parent's memory.
 */
static __always_inline bool kiln_is_bound(struct task_struct *leader, u32 label)
{
	bool new = BPF_CORE_READ(leader, __state) & TASK_NEW;
	u64 word = kiln_own_of(leader);

	if (new)
		return false;
	if (word)
		return (u32)word == label && !(word >> 32 & KILN_T_STARTING);
	return kiln_group_label(kiln_home(leader)) == label;
}

/* From one filter to the one below it, until one has a listener. */
static long kiln_supervised_step(u32 turn, u64 *filter)
{
	struct seccomp_filter *f = (void *)*filter;

	if (!f || BPF_CORE_READ(f, notif))
		return 1;
	*filter = (u64)BPF_CORE_READ(f, prev);
	return 0;
}

/* More system call filters than a task may have (MAX_INSNS_PER_PATH of kernel/seccomp.c, of one instruction each). */
#define KILN_FILTERS (1u << 15)

/* Whether somebody answers system calls of the task (SECCOMP_RET_USER_NOTIF). */
static __always_inline bool kiln_is_supervised(struct task_struct *task)
{
	u64 filter;

	if (!bpf_core_field_exists(struct seccomp, filter))
		return false;
	filter = (u64)BPF_CORE_READ(task, seccomp.filter);
	if (filter)
		bpf_loop(KILN_FILTERS, kiln_supervised_step, &filter, 0);
	return filter;
}

/*
 * Who traces the task would act with the rights that it gets; so would who can change the folder in which the program
 * finds itself, and who answers its system calls. Memory and descriptors are the program's own from then on.
 */
static __always_inline bool kiln_is_held(struct linux_binprm *bprm, struct task_struct *task, u32 from, u32 label)
{
	u32 tracer;

	/* Who has no profile may share with whom it likes. A profile that a user brings is one. */
	if ((from != KILN_LABEL_HOST || kiln_by_user(from)) &&
	    (bprm->unsafe & LSM_UNSAFE_SHARE || kiln_is_supervised(task)))
		return true;
	if (!task->ptrace)
		return false;
	tracer = kiln_label_of_process(task->parent->group_leader);
	return tracer && tracer != label;
}

/* Nothing of an earlier execve(2), which may have failed, is taken for this one's. */
static __always_inline void kiln_forget_switch(struct linux_binprm *bprm, struct task_struct *task)
{
	if (task->bpf_storage && bprm->interp == bprm->filename)
		bpf_task_storage_delete(&kiln_switches, task);
}

/* Finds the subject to which the file at s->path[pos..] leads. 0, or the error that execve(2) ends with. */
static __always_inline int kiln_find_switch(struct kiln_who *who, struct kiln_scratch *s, struct kiln_about *about,
					    struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kiln_switch *kept;
	u32 label = 0, next;

	if (about->pos == PATH_FAIL || bpf_task_storage_get(&kiln_switches, task, 0, 0))
		return 0;
	s->pos = about->pos;
	next = kiln_match(who->t, s, who->s->exec_start, KILN_PATH_MAX);
	if (next)
		label = kiln_label_of(who->t, next);
	if (!label)
		return 0;
	if (label != who->id.label && kiln_is_held(bprm, task, who->id.label, label))
		return kiln_refuse(&who->id, s, about, KILN_EXEC, KILN_R_SELF);
	kept = bpf_task_storage_get(&kiln_switches, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!kept)
		return -ENOMEM;
	kept->label = label;
	return 0;
}

/* What was found for the program that runs now; 0: nothing. */
static __always_inline u32 kiln_take_switch(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kiln_switch *kept;
	u32 label;

	if (!task->bpf_storage)
		return 0;
	kept = bpf_task_storage_get(&kiln_switches, task, 0, 0);
	if (!kept)
		return 0;
	label = kept->label;
	bpf_task_storage_delete(&kiln_switches, task);
	return label;
}

/* To what a name switches who executes it, and what decides whether it may. */
struct kiln_fate {
	u32 pos;   /* of the path in the scratch; PATH_FAIL: it could not be resolved */
	u32 next;  /* subject */
	u32 below; /* the state of what lies below it */
};

static __always_inline void kiln_foretell(struct kiln_fate *fate, struct kiln_who *who, struct kiln_scratch *s,
					  struct vfsmount *mnt, struct dentry *dentry)
{
	const u8 slash[1] = {'/'};
	u32 state;
	u64 below;

	fate->pos = kiln_resolve_any(s, mnt, dentry);
	if (fate->pos == PATH_FAIL)
		return;
	s->pos = fate->pos;
	state = kiln_reach(who->t, s, who->s->exec_start);
	fate->next = kiln_accept(who->t, state);
	below = state;
	KILN_STEP(who->t, below, slash, 0, KILN_PATH_CLASS);
	fate->below = below;
}

/*
 * A new name must switch whoever executes it as the old one does, if it may be executed at all: else who renames or
 * links says which program has which rights. For a folder one state is one answer for all that is below it.
 */
static __always_inline int kiln_check_switching(struct vfsmount *from_mnt, struct dentry *from, struct vfsmount *to_mnt,
						struct dentry *to)
{
	struct kiln_about about = {.kind = KILN_O_PATH, .pos = PATH_FAIL};
	struct kiln_fate old = {}, new = {};
	struct kiln_decision *gets;
	struct kiln_scratch *s;
	struct kiln_who who = {};
	bool folder;
	u32 index;
	int ret = 0;

	/* What cannot be looked up was refused before. */
	if (kiln_enter(&who, 1u << KILN_EXEC) != KILN_DECIDE || !who.s || !who.s->exec_start ||
	    !(who.s->flags & KILN_S_PROFILE))
		return 0;
	s = kiln_scratch_take();
	if (!s)
		return kiln_refuse(&who.id, s, &about, KILN_EXEC, KILN_R_MEMORY);
	kiln_foretell(&new, &who, s, to_mnt, to);
	index = who.s->fail;
	if (new.pos != PATH_FAIL) {
		s->pos = new.pos;
		index = kiln_match(who.t, s, who.s->path_start, KILN_PATH_MAX);
		if (!index)
			index = who.s->path_default;
	}
	gets = kiln_decision_at(who.t, index);
	kiln_foretell(&old, &who, s, from_mnt, from);
	about.pos = old.pos;
	folder = (BPF_CORE_READ(from, d_inode, i_mode) & S_IFMT) == S_IFDIR;
	if (old.pos == PATH_FAIL || new.pos == PATH_FAIL ||
	    (folder ? old.below != new.below : old.next != new.next && (!gets || !(gets->deny & 1u << KILN_EXEC)))) {
		about.reason = KILN_R_PATH;
		ret = kiln_decide(&who, s, &about, who.s->fail, 1u << KILN_EXEC);
	}
	kiln_scratch_give(s);
	return ret;
}

#endif
