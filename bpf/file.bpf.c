/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Files: opening, receiving, naming, changing. The path_* hooks know the mount, so they are used where they exist. */

#define __O_TMPFILE 020000000u

/* ia_valid bits of utimensat(2); mode and owner come by path_chmod and path_chown (include/linux/fs.h). */
#define ATTR_MTIME_SET (1u << 8)
#define ATTR_ATIME_SET (1u << 7)
#define ATTR_TIMES_SET (1u << 16) /* one of both may be UTIME_NOW, the other UTIME_OMIT */
#define ATTR_TOUCH (1u << 17)

static __always_inline u32 kiln_open_verbs(struct file *file)
{
	u32 mode = file->f_mode, verbs = 0;

	if (mode & FMODE_READ)
		verbs |= V(READ);
	if (mode & FMODE_WRITE)
		verbs |= V(MODIFY);
	return verbs;
}

static __always_inline int kiln_check_file(u32 verbs, struct file *file)
{
	return kiln_check_path(verbs, file->f_path.mnt, file->f_path.dentry, KILN_OPENED);
}

static __noinline int kiln_open(struct file *file)
{
	struct kiln_me me = kiln_me();
	u32 flags, mode, verbs;
	bool nameless;
	int ret;

	flags = file->f_flags;
	mode = file->f_mode;
	if (mode & FMODE_WRITE && kiln_own_file(file))
		return kiln_refuse_self(KILN_MODIFY);
	ret = kiln_check_memory(file, mode);
	if (ret)
		return ret;
	/* The file below an overlay's is decided by the overlay's own path. */
	if (kiln_is_backing(file))
		return 0;
	verbs = kiln_open_verbs(file);
	nameless = flags & __O_TMPFILE;
	if (nameless)
		verbs |= V(CREATE);
	ret =
	    kiln_check_path_as(&me, verbs, file->f_path.mnt, file->f_path.dentry, nameless ? KILN_NAMED : KILN_OPENED);
	return !ret && file->f_inode->i_sb->s_flags & SB_NOUSER ? kiln_check_theirs(file) : ret;
}

SEC("lsm/file_open")
int BPF_PROG(kiln_file_open, struct file *file)
{
	struct kiln_me me = kiln_me();

	if (kiln_unbound(&me, V(READ) | V(MODIFY) | V(CREATE) | V(KERNEL)))
		return 0;
	return kiln_for_exec(file) ? 0 : kiln_open(file);
}

/*
 * Sockets, pipes and anonymous files have no path; what they carry was decided where it was opened. A pipe with a name
 * is a file like others.
 */
static __always_inline bool kiln_pathless(struct file *file)
{
	unsigned short kind = file->f_inode->i_mode & S_IFMT;

	if (kind == S_IFIFO)
		return file->f_inode->i_sb->s_flags & SB_NOUSER;
	return kind == S_IFSOCK || kind == 0;
}

SEC("lsm/file_receive")
int BPF_PROG(kiln_file_receive, struct file *file)
{
	int ret;

	if (kiln_pathless(file))
		return kiln_is_ring(file) ? kiln_check_ring(file) : 0;
	ret = kiln_check_memory(file, file->f_mode);
	return ret ? ret : kiln_check_file(kiln_open_verbs(file), file);
}

SEC("lsm/path_truncate")
int BPF_PROG(kiln_path_truncate, const struct path *path)
{
	return kiln_check_path(V(MODIFY), path->mnt, path->dentry, KILN_NAMED);
}

/* From 6.2 on ftruncate(2) comes here instead. */
SEC("?lsm/file_truncate")
int BPF_PROG(kiln_file_truncate, struct file *file)
{
	return kiln_check_path(V(MODIFY), file->f_path.mnt, file->f_path.dentry, KILN_NAMED);
}

SEC("lsm/path_mknod")
int BPF_PROG(kiln_path_mknod, const struct path *dir, struct dentry *dentry, unsigned int mode, unsigned int dev)
{
	/*
	 * A unix socket's name is made by bind(2). A device's second name is a matter of the capability `mknod`, which
	 * the kernel asked for.
	 */
	return kiln_check_path((mode & S_IFMT) == S_IFSOCK ? V(BIND) : V(CREATE), dir->mnt, dentry, KILN_NAMED);
}

SEC("lsm/path_mkdir")
int BPF_PROG(kiln_path_mkdir, const struct path *dir, struct dentry *dentry, unsigned int mode)
{
	return kiln_check_path(V(CREATE), dir->mnt, dentry, KILN_NAMED);
}

SEC("lsm/path_symlink")
int BPF_PROG(kiln_path_symlink, const struct path *dir, struct dentry *dentry, const char *old_name)
{
	return kiln_check_path(V(CREATE), dir->mnt, dentry, KILN_NAMED);
}

SEC("lsm/path_rmdir")
int BPF_PROG(kiln_path_rmdir, const struct path *dir, struct dentry *dentry)
{
	return kiln_check_path(V(DELETE), dir->mnt, dentry, KILN_NAMED);
}

static __always_inline bool kiln_on_bpffs(struct dentry *dentry)
{
	return dentry->d_sb->s_magic == BPF_FS_MAGIC;
}

SEC("lsm/path_unlink")
int BPF_PROG(kiln_path_unlink, const struct path *dir, struct dentry *dentry)
{
	if (kiln_on_bpffs(dentry) && kiln_confined())
		return kiln_refuse_self(KILN_DELETE);
	return kiln_check_path(V(DELETE), dir->mnt, dentry, KILN_NAMED);
}

#define RENAME_EXCHANGE 2u
#define RENAME_WHITEOUT 4u /* something is made in the old place */

SEC("lsm/path_rename")
int BPF_PROG(kiln_path_rename, const struct path *old_dir, struct dentry *old_dentry, const struct path *new_dir,
	     struct dentry *new_dentry, unsigned int flags)
{
	bool swap = flags & RENAME_EXCHANGE, remakes = flags & (RENAME_EXCHANGE | RENAME_WHITEOUT), replaces;
	int ret;

	if (kiln_on_bpffs(old_dentry) && kiln_confined())
		return kiln_refuse_self(KILN_DELETE);
	ret = kiln_check_path(remakes ? V(DELETE) | V(CREATE) : V(DELETE), old_dir->mnt, old_dentry, KILN_NAMED);
	if (ret)
		return ret;
	/* What has the new name already is removed. */
	replaces = new_dentry->d_inode;
	ret = kiln_check_path(replaces ? V(DELETE) | V(CREATE) : V(CREATE), new_dir->mnt, new_dentry, KILN_NAMED);
	if (!ret)
		ret = kiln_check_renaming(old_dir->mnt, old_dentry, new_dir->mnt, new_dentry);
	if (!ret && swap)
		ret = kiln_check_renaming(new_dir->mnt, new_dentry, old_dir->mnt, old_dentry);
	if (!ret)
		ret = kiln_check_switching(old_dir->mnt, old_dentry, new_dir->mnt, new_dentry);
	if (!ret && swap)
		ret = kiln_check_switching(new_dir->mnt, new_dentry, old_dir->mnt, old_dentry);
	return ret;
}

/* A hard link gives its maker a second name: it needs all that the first name allows to be used for. */
SEC("lsm/path_link")
int BPF_PROG(kiln_path_link, struct dentry *old_dentry, const struct path *new_dir, struct dentry *new_dentry)
{
	int ret = kiln_check_path(V(READ) | V(MODIFY), new_dir->mnt, old_dentry, KILN_NAMED);

	if (!ret)
		ret = kiln_check_path(V(CREATE), new_dir->mnt, new_dentry, KILN_NAMED);
	if (!ret)
		ret = kiln_check_renaming(new_dir->mnt, old_dentry, new_dir->mnt, new_dentry);
	return ret ? ret : kiln_check_switching(new_dir->mnt, old_dentry, new_dir->mnt, new_dentry);
}

SEC("lsm/path_chmod")
int BPF_PROG(kiln_path_chmod, const struct path *path, unsigned short mode)
{
	return kiln_check_path(V(SETATTR), path->mnt, path->dentry, KILN_NAMED);
}

SEC("lsm/path_chown")
int BPF_PROG(kiln_path_chown, const struct path *path, u64 uid, u64 gid)
{
	return kiln_check_path(V(SETATTR), path->mnt, path->dentry, KILN_NAMED);
}

/* Attached for those that follow: they don't know the mount. */
SEC("fentry/mnt_want_write")
int BPF_PROG(kiln_mnt_want_write, struct vfsmount *mnt)
{
	kiln_want(mnt);
	return 0;
}

SEC("fentry/mnt_want_write_file")
int BPF_PROG(kiln_mnt_want_write_file, struct file *file)
{
	kiln_want(file->f_path.mnt);
	return 0;
}

/* Times and extended attributes come without a mount. */
static __always_inline int kiln_check_dentry(u32 verbs, struct dentry *dentry)
{
	if (kiln_inner())
		return 0;
	return kiln_check_path(verbs, kiln_wanted(dentry), dentry, KILN_ADDRESS);
}

static __always_inline int kiln_setattr(struct dentry *dentry, struct iattr *attr)
{
	if (!(attr->ia_valid & (ATTR_MTIME_SET | ATTR_ATIME_SET | ATTR_TIMES_SET | ATTR_TOUCH)))
		return 0;
	return kiln_check_dentry(V(SETATTR), dentry);
}

/* The kernel's BTF says which of the two fits: the hook gained the mount's id mapping after 6.1. */
SEC("?lsm/inode_setattr")
int BPF_PROG(kiln_inode_setattr, struct dentry *dentry, struct iattr *attr)
{
	return kiln_setattr(dentry, attr);
}

SEC("?lsm/inode_setattr")
int BPF_PROG(kiln_inode_setattr_idmap, void *idmap, struct dentry *dentry, struct iattr *attr)
{
	return kiln_setattr(dentry, attr);
}

SEC("lsm/inode_setxattr")
int BPF_PROG(kiln_inode_setxattr, void *idmap, struct dentry *dentry)
{
	return kiln_check_dentry(V(SETATTR), dentry);
}

SEC("lsm/inode_removexattr")
int BPF_PROG(kiln_inode_removexattr, void *idmap, struct dentry *dentry)
{
	return kiln_check_dentry(V(SETATTR), dentry);
}

/* From 6.2 on POSIX access lists, which are extended attributes to setxattr(2), have hooks of their own. */
SEC("?lsm/inode_set_acl")
int BPF_PROG(kiln_inode_set_acl, void *idmap, struct dentry *dentry)
{
	return kiln_check_dentry(V(SETATTR), dentry);
}

SEC("?lsm/inode_remove_acl")
int BPF_PROG(kiln_inode_remove_acl, void *idmap, struct dentry *dentry)
{
	return kiln_check_dentry(V(SETATTR), dentry);
}

/*
 * POSIX message queues have names in their own file system, which mq_open(2) and mq_unlink(2) reach without any path:
 * of the hooks above none sees one made or removed.
 */
static __always_inline bool kiln_on_mqueue(struct dentry *dentry)
{
	return dentry->d_sb->s_magic == MQUEUE_FS_MAGIC;
}

SEC("lsm/inode_create")
int BPF_PROG(kiln_inode_create, struct inode *dir, struct dentry *dentry)
{
	return kiln_on_mqueue(dentry) ? kiln_check_dentry(V(CREATE), dentry) : 0;
}

SEC("lsm/inode_unlink")
int BPF_PROG(kiln_inode_unlink, struct inode *dir, struct dentry *dentry)
{
	return kiln_on_mqueue(dentry) ? kiln_check_dentry(V(DELETE), dentry) : 0;
}
