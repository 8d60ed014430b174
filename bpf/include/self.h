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

/* What the agent told of something; 0: nothing, it is not Kiln's. */
static __always_inline u32 kiln_told(u64 number, u32 device)
{
	struct kiln_own_key key = {.number = number, .device = device};
	u32 *value = bpf_map_lookup_elem(&kiln_belongings, &key);

	return value ? *value & ((1u << KILN_OWN_BITS) - 1) : 0;
}

static __always_inline u32 kiln_told_inode(struct inode *inode)
{
	return inode ? kiln_told(BPF_CORE_READ(inode, i_ino), BPF_CORE_READ(inode, i_sb, s_dev)) : 0;
}

/* Deepest that Kiln's folders go: /var/lib/kiln/spool/NAME, /sys/fs/bpf/kiln/maps/NAME. No confined task makes more. */
#define KILN_OWN_DEPTH 4

struct kiln_way {
	u64 dentry; /* address */
	u32 flags;
	u32 alone; /* it has no name */
};

/* One folder up. Only of the first it matters that it is on the way. */
static long kiln_way_up(u32 turn, struct kiln_way *w)
{
	struct dentry *dentry = (void *)w->dentry;
	u64 parent = (u64)BPF_CORE_READ(dentry, d_parent);
	u32 told = kiln_told_inode(BPF_CORE_READ(dentry, d_inode));

	w->flags |= turn ? told & KILN_OWN_TREE : told;
	if (!turn && parent == w->dentry)
		w->alone = 1;
	if (w->flags & KILN_OWN_TREE || parent == w->dentry)
		return 1;
	w->dentry = parent;
	return 0;
}

struct kiln_device {
	u32 number;
	u32 told;
};

static long kiln_told_device(struct bpf_map *map, struct kiln_own_key *key, u32 *value, struct kiln_device *d)
{
	if (key->device != d->number)
		return 0;
	d->told = 1;
	return 1;
}

/* Whether something of Kiln's, or on the way there, is on a file system. */
static __always_inline bool kiln_holds_own(struct super_block *sb)
{
	struct kiln_device d = {.number = BPF_CORE_READ(sb, s_dev)};

	bpf_for_each_map_elem(&kiln_belongings, kiln_told_device, &d, 0);
	return d.told;
}

/*
 * Of a dentry that is its own parent: whether it is a file that was opened by its handle and whose name the kernel does
 * not know, of a file system where something is Kiln's: it may be that.
 */
static __always_inline bool kiln_may_be_own(struct dentry *dentry)
{
	struct super_block *sb = BPF_CORE_READ(dentry, d_sb);

	return BPF_CORE_READ(sb, s_root) != dentry && !(BPF_CORE_READ(sb, s_flags) & SB_NOUSER) && kiln_holds_own(sb);
}

/* A pointer as a mere number. */
static __always_inline u64 kiln_number(const void *pointer)
{
	u64 kept = (u64)pointer, number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &kept);
	return number;
}

/* As kiln_own_flags(). A global function, so that the verifier looks at it once a program. */
__noinline u32 kiln_own_flags_at(struct kiln_address *dentry)
{
	struct kiln_way w = {};

	if (!dentry)
		return KILN_OWN_TREE;
	w.dentry = dentry->at;
	bpf_loop(KILN_OWN_DEPTH + 1, kiln_way_up, &w, 0);
	if (w.alone && kiln_may_be_own((void *)dentry->at))
		return KILN_OWN_TREE;
	return w.flags;
}

/* What a file is to Kiln: part of it, or on the way to it. */
static __always_inline u32 kiln_own_flags(struct dentry *dentry)
{
	struct kiln_address a = {.at = (u64)dentry};

	return kiln_own_flags_at(&a);
}

/* `kiln_labels`, `kiln_file_open`; `kiln.data.state` for what libbpf makes of the object's sections. */
static __always_inline bool kiln_our_name(const char *name)
{
	return name[0] == 'k' && name[1] == 'i' && name[2] == 'l' && name[3] == 'n' &&
	       (name[4] == '_' || name[4] == '.');
}

#endif
