/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Mounts: by `kernel mount`; what Kiln rests on, whatever a policy permits. */

#define MS_REMOUNT 32ul
#define MS_MOVE 8192ul
/* Not a new mount, but another way of one: MS_REMOUNT, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED. */
#define MS_SAME (MS_REMOUNT | 1ul << 17 | 1ul << 18 | 1ul << 19 | 1ul << 20)

/* Whether what happens on a mount happens to the host. */
static __always_inline bool kiln_is_hosts(struct mount *mount)
{
	int peers = BPF_CORE_READ(mount, mnt_group_id);

	return kiln_told(BPF_CORE_READ(mount, mnt_ns, ns.inum), KILN_AT_NAMESPACE) ||
	       (peers && kiln_told(peers, KILN_AT_PEERS));
}

static __always_inline bool kiln_in_hosts_namespace(void)
{
	return kiln_told(BPF_CORE_READ(bpf_get_current_task_btf(), nsproxy, mnt_ns, ns.inum), KILN_AT_NAMESPACE);
}

/* Whether a mount there would cover Kiln's folders, or what is in them, on the host. */
static __always_inline bool kiln_covers_own(const struct path *to)
{
	u32 flags = kiln_own_flags(to->dentry);

	return flags & KILN_OWN_TREE || (flags & KILN_OWN_WAY && kiln_is_hosts(kiln_real_mount(to->mnt)));
}

static __always_inline bool kiln_mount_touches_own(const struct path *path, unsigned long flags)
{
	if (flags & MS_SAME)
		return kiln_own_flags(path->dentry) & KILN_OWN_TREE ||
		       BPF_CORE_READ(path, dentry, d_sb, s_magic) == BPF_FS_MAGIC;
	/* What is moved away is named by a string only. */
	return (flags & MS_MOVE && kiln_in_hosts_namespace()) || kiln_covers_own(path);
}

SEC("lsm/sb_mount")
NEEDS("always")
int BPF_PROG(kiln_sb_mount, const char *name, const struct path *path, const char *type, unsigned long flags)
{
	if (kiln_confined() && kiln_mount_touches_own(path, flags))
		return kiln_refuse_self(KILN_KERNEL);
	return KERNEL_OP(MOUNT);
}

/* Whether a mount is one that the way to Kiln leads over, or one whose going takes such a one along. */
static __always_inline bool kiln_is_support(struct mount *mount)
{
	int peers = BPF_CORE_READ(mount, mnt_group_id), above = BPF_CORE_READ(mount, mnt_parent, mnt_group_id);

	if (kiln_told(BPF_CORE_READ(mount, mnt_id), KILN_AT_MOUNT))
		return true;
	return kiln_told_inode(BPF_CORE_READ(mount, mnt.mnt_root, d_inode)) &&
	       ((peers && kiln_told(peers, KILN_AT_PEERS)) || (above && kiln_told(above, KILN_AT_PEERS)));
}

/* No unmounting of a bpffs: with its last mount go the pins on it. */
SEC("lsm/sb_umount")
NEEDS("always")
int BPF_PROG(kiln_sb_umount, struct vfsmount *mnt, int flags)
{
	if (kiln_confined() &&
	    (BPF_CORE_READ(mnt, mnt_sb, s_magic) == BPF_FS_MAGIC || kiln_is_support(kiln_real_mount(mnt))))
		return kiln_refuse_self(KILN_KERNEL);
	return KERNEL_OP(MOUNT);
}

SEC("lsm/move_mount")
NEEDS("always")
int BPF_PROG(kiln_move_mount, const struct path *from, const struct path *to)
{
	if (kiln_confined() && (kiln_covers_own(to) || kiln_is_support(kiln_real_mount(from->mnt))))
		return kiln_refuse_self(KILN_KERNEL);
	return KERNEL_OP(MOUNT);
}

/* The root of the host's namespace is the agent's, too: it would read its keys from another place. */
SEC("lsm/sb_pivotroot")
NEEDS("always")
int BPF_PROG(kiln_sb_pivotroot)
{
	if (kiln_confined() && kiln_in_hosts_namespace())
		return kiln_refuse_self(KILN_KERNEL);
	return KERNEL_OP(MOUNT);
}

SEC("lsm/sb_remount")
NEEDS("always")
int BPF_PROG(kiln_sb_remount, struct super_block *sb)
{
	if (kiln_confined() && BPF_CORE_READ(sb, s_magic) == BPF_FS_MAGIC &&
	    kiln_told_inode(BPF_CORE_READ(sb, s_root, d_inode)))
		return kiln_refuse_self(KILN_KERNEL);
	return KERNEL_OP(MOUNT);
}
