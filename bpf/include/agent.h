/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The agent, known by its program: a new one is known before it could say so. */
#ifndef KILN_AGENT_H
#define KILN_AGENT_H

static __always_inline u32 kiln_agent_id(u32 index)
{
	u32 *id = bpf_map_lookup_elem(&kiln_agent_ids, &index);

	return id ? *id : 0;
}

/* Whether a process is the one that was told: the number alone may be another's by now. */
static __always_inline bool kiln_is_told(struct task_struct *task, u32 pid_word, u32 start_word)
{
	u32 pid = kiln_agent_id(pid_word);

	return pid && (u32)BPF_CORE_READ(task, tgid) == pid &&
	       (u32)(BPF_CORE_READ(task, group_leader, start_boottime) / KILN_TICK) == kiln_agent_id(start_word);
}

static __always_inline bool kiln_is_the_agent(struct task_struct *task)
{
	return kiln_is_told(task, KILN_A_PID, KILN_A_START);
}

/* Whether no confined task may do anything to a process: the agent, and who keeps the pins. */
static __always_inline bool kiln_is_protected(struct task_struct *task)
{
	return kiln_is_the_agent(task) || kiln_is_told(task, KILN_A_KEEPER_PID, KILN_A_KEEPER_START);
}

/* The process of a struct pid; NULL: it has ended. */
static __always_inline struct task_struct *kiln_task_of(struct pid *pid)
{
	struct hlist_node *first = BPF_CORE_READ(pid, tasks[0].first);

	return first ? (void *)first - bpf_core_field_offset(struct task_struct, pid_links) : NULL;
}

/* Whether a file is the agent's program. */
static __always_inline bool kiln_is_agents_program(struct inode *inode)
{
	u64 number = (u64)kiln_agent_id(KILN_A_INODE + 1) << 32 | kiln_agent_id(KILN_A_INODE);

	return number && BPF_CORE_READ(inode, i_ino) == number &&
	       BPF_CORE_READ(inode, i_sb, s_dev) == kiln_agent_id(KILN_A_DEVICE);
}

/*
 * Whether the current task runs the agent's program, as root. Asked only where a guard of the whole host would refuse.
 * Anybody may run the program, trace it and have it do what he likes.
 */
static __always_inline bool kiln_is_agent(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *exe = BPF_CORE_READ(task, mm, exe_file);

	return exe && !BPF_CORE_READ(task, real_cred, euid.val) && kiln_is_agents_program(BPF_CORE_READ(exe, f_inode));
}

#endif
