/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * No labelled task touches Kiln's own maps, programs, pins or agent, whatever
 * its profile governs. An unlabelled root may: that is the operator's way out.
 */
#ifndef KILN_SELF_H
#define KILN_SELF_H

/* Whether the current task bears a label of its own, beyond what all of the host has. */
static __always_inline bool kiln_confined(void)
{
	struct kiln_me me = kiln_me();
	u64 word = kiln_word(&me);

	return word && !(word >> 32 & KILN_T_STARTING) && (u32)kiln_active() != KILN_INACTIVE;
}

static __always_inline int kiln_refuse_self(u32 verb)
{
	struct kiln_me me = kiln_me();
	struct kiln_ids id = {.generation = kiln_index(kiln_active()), .label = kiln_word(&me)};

	return kiln_refuse_here(&id, verb == KILN_KERNEL ? KILN_O_KERNEL : KILN_O_PATH, KILN_K_BPF,
				verb | KILN_R_SELF << 8);
}

static __always_inline u32 kiln_agent(void)
{
	return kiln_agent_id(0);
}

/* `kiln_labels`, `kiln_file_open`; `kiln.data.state` for what libbpf makes of the object's sections. */
static __always_inline bool kiln_our_name(const char *name)
{
	return name[0] == 'k' && name[1] == 'i' && name[2] == 'l' && name[3] == 'n' &&
	       (name[4] == '_' || name[4] == '.');
}

#endif
