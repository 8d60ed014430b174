/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Attributes: mode, owner, times, extended attributes, access lists; of what is Kiln's own whatever a policy says. */

/* ia_valid bits of utimensat(2); mode and owner come by path_chmod and path_chown (include/linux/fs.h). */
#define ATTR_MTIME_SET (1u << 8)
#define ATTR_ATIME_SET (1u << 7)
#define ATTR_TIMES_SET (1u << 16) /* one of both may be UTIME_NOW, the other UTIME_OMIT */
#define ATTR_TOUCH (1u << 17)

SEC("lsm/path_chmod")
NEEDS("setattr")
int BPF_PROG(kiln_path_chmod, const struct path *path, unsigned short mode)
{
	return kiln_check_path(V(SETATTR), path->mnt, path->dentry, KILN_NAMED);
}

SEC("lsm/path_chown")
NEEDS("setattr")
int BPF_PROG(kiln_path_chown, const struct path *path, u64 uid, u64 gid)
{
	return kiln_check_path(V(SETATTR), path->mnt, path->dentry, KILN_NAMED);
}

/* Attached for those that follow: they don't know the mount. */
SEC("fentry/mnt_want_write")
NEEDS("setattr")
int BPF_PROG(kiln_mnt_want_write, struct vfsmount *mnt)
{
	kiln_want(mnt);
	return 0;
}

SEC("fentry/mnt_want_write_file")
NEEDS("setattr")
int BPF_PROG(kiln_mnt_want_write_file, struct file *file)
{
	kiln_want(file->f_path.mnt);
	return 0;
}

/* What comes without a mount. */
static __always_inline int kiln_check_dentry(u32 verbs, struct dentry *dentry)
{
	struct kiln_me me = kiln_me();

	if (kiln_unbound(&me, verbs) || kiln_inner())
		return 0;
	return kiln_check_path_as(&me, verbs, kiln_wanted(dentry), dentry, KILN_ADDRESS);
}

/* Extended attributes and access lists. */
static __always_inline int kiln_check_extended(struct dentry *dentry)
{
	int ret = kiln_check_own(dentry, KILN_OWN_TREE, KILN_SETATTR);

	return ret ? ret : kiln_check_dentry(V(SETATTR), dentry);
}

/* Mode, owner, size and times: who may use a pin is said by its mode alone. */
static __always_inline int kiln_check_own_attributes(struct dentry *dentry)
{
	u32 flags = KILN_OWN_TREE | KILN_OWN_GROUP;

	if (!kiln_confined())
		return 0;
	if (dentry->d_sb->s_magic == BPF_FS_MAGIC)
		flags |= KILN_OWN_WAY;
	return kiln_own_flags(dentry) & flags ? kiln_refuse_self(KILN_SETATTR) : 0;
}

static __always_inline int kiln_setattr(struct dentry *dentry, struct iattr *attr)
{
	int ret = kiln_check_own_attributes(dentry);

	if (ret)
		return ret;
	if (!(attr->ia_valid & (ATTR_MTIME_SET | ATTR_ATIME_SET | ATTR_TIMES_SET | ATTR_TOUCH)))
		return 0;
	return kiln_check_dentry(V(SETATTR), dentry);
}

/* The kernel's BTF says which of the two fits: the hook gained the mount's id mapping after 6.1. */
SEC("?lsm/inode_setattr")
NEEDS("always")
int BPF_PROG(kiln_inode_setattr, struct dentry *dentry, struct iattr *attr)
{
	return kiln_setattr(dentry, attr);
}

SEC("?lsm/inode_setattr")
NEEDS("always")
int BPF_PROG(kiln_inode_setattr_idmap, void *idmap, struct dentry *dentry, struct iattr *attr)
{
	return kiln_setattr(dentry, attr);
}

SEC("lsm/inode_setxattr")
NEEDS("always")
int BPF_PROG(kiln_inode_setxattr, void *idmap, struct dentry *dentry)
{
	return kiln_check_extended(dentry);
}

SEC("lsm/inode_removexattr")
NEEDS("always")
int BPF_PROG(kiln_inode_removexattr, void *idmap, struct dentry *dentry)
{
	return kiln_check_extended(dentry);
}

/* From 6.2 on POSIX access lists, which are extended attributes to setxattr(2), have hooks of their own. */
SEC("?lsm/inode_set_acl")
NEEDS("always")
int BPF_PROG(kiln_inode_set_acl, void *idmap, struct dentry *dentry)
{
	return kiln_check_extended(dentry);
}

SEC("?lsm/inode_remove_acl")
NEEDS("always")
int BPF_PROG(kiln_inode_remove_acl, void *idmap, struct dentry *dentry)
{
	return kiln_check_extended(dentry);
}
