/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * An io_uring has files of its own: who has its descriptor uses them, and gives others to whoever has it, too
 * (IORING_OP_MSG_RING), where no hook sees it. So a ring stays with the label of who made it.
 */

static __always_inline bool kiln_is_ring(struct file *file)
{
	char name[10] = {};

	if (file->f_inode->i_sb->s_magic != ANON_INODE_FS_MAGIC ||
	    bpf_probe_read_kernel(name, sizeof(name), file->f_path.dentry->d_name.name))
		return false;
	return name[0] == '[' && name[1] == 'i' && name[2] == 'o' && name[3] == '_' && name[4] == 'u' &&
	       name[5] == 'r' && name[6] == 'i' && name[7] == 'n' && name[8] == 'g' && name[9] == ']';
}

/* The current task makes one. */
static __always_inline int kiln_made_ring(struct inode *inode)
{
	struct kiln_me me = kiln_me();
	u32 label = kiln_word(&me), *maker;

	if (!label)
		return 0;
	maker = bpf_inode_storage_get(&kiln_rings, inode, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!maker)
		return -ENOMEM;
	*maker = label;
	return 0;
}

/*
 * The current task is about to receive one: by a message, from another process, by a supervisor. Where files are
 * governed it is decided as one that cannot be named.
 */
static __always_inline int kiln_check_ring(struct file *file)
{
	struct kiln_about about = {.kind = KILN_O_PATH, .pos = PATH_FAIL, .reason = KILN_R_PATH};
	u32 *maker = bpf_inode_storage_get(&kiln_rings, file->f_inode, 0, 0), made = maker ? *maker : 0;
	struct kiln_me me = kiln_me();
	u32 label = kiln_word(&me), verbs = V(READ) | V(MODIFY);
	struct kiln_scratch *s;
	struct kiln_who who = {};
	int entry, ret;

	if (label == made && !kiln_by_user(label ? label : KILN_LABEL_HOST))
		return 0;
	/* Whoever of both is bound decides; the receiver first. As which user the maker acts is not known. */
	entry = kiln_enter_label(&who, kiln_active(),
				 label	? label
				 : made ? made
					: KILN_LABEL_HOST,
				 label == made || label ? KILN_USER_CURRENT : KILN_USER_NONE, verbs);
	if ((u32)kiln_active() == KILN_INACTIVE || entry == KILN_PASS)
		return 0;
	s = kiln_scratch_take();
	if (entry == KILN_BROKEN || !who.s || !s)
		ret = kiln_refuse(&who.id, s, &about, KILN_READ, entry == KILN_BROKEN ? KILN_R_TABLES : KILN_R_LABEL);
	else
		ret = kiln_decide(&who, s, &about, who.s->fail, verbs);
	if (s)
		kiln_scratch_give(s);
	return ret;
}
