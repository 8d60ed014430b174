/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The agent, known by its program: a new one is known before it could say so. */
#ifndef KILN_AGENT_H
#define KILN_AGENT_H

static __always_inline u32 kiln_agent_id(u32 index)
{
	u32 *id = bpf_map_lookup_elem(&kiln_agent_ids, &index);

	return id ? *id : 0;
}

/* Whether the current task runs the agent's program. Asked only where a guard of the whole host would refuse. */
static __always_inline bool kiln_is_agent(void)
{
	struct file *exe = BPF_CORE_READ(bpf_get_current_task_btf(), mm, exe_file);
	u64 number = (u64)kiln_agent_id(2) << 32 | kiln_agent_id(1);

	return exe && number && BPF_CORE_READ(exe, f_inode, i_ino) == number &&
	       BPF_CORE_READ(exe, f_inode, i_sb, s_dev) == kiln_agent_id(3);
}

#endif
