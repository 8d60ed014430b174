/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Files: opening, receiving, naming. The path_* hooks know the mount, so they are used where they exist; what is Kiln's
 * own is guarded where they do not help (names.bpf.c, attributes.bpf.c).
 */

#define __O_TMPFILE 020000000u

static __always_inline u32 kiln_open_verbs(struct file *file)
{
	u32 mode = file->f_mode, verbs = 0;

	if (mode & FMODE_READ)
		verbs |= V(READ);
	if (mode & FMODE_WRITE)
		verbs |= V(MODIFY);
	/*
	 * Access mode 3 of open(2), for ioctl(2) only: the kernel asks for both rights and gives neither. What O_PATH
	 * gives is not open.
	 */
	if (!verbs && !(file->f_flags & O_PATH))
		verbs = V(READ) | V(MODIFY);
	return verbs;
}

static __always_inline int kiln_check_file(u32 verbs, struct file *file)
{
	return kiln_check_path(verbs, file->f_path.mnt, file->f_path.dentry, KILN_OPENED);
}

/* Apart from the program, whose quick way out would save the registers that are used here. */
static __noinline int kiln_open(struct file *file)
{
	u32 flags, mode, verbs;
	struct kiln_me me;
	bool nameless;
	int ret;

	if (kiln_for_exec(file))
		return 0;
	me = kiln_me();
	flags = file->f_flags;
	mode = file->f_mode;
	if ((mode & FMODE_WRITE || !(mode & FMODE_READ)) && kiln_own_file(file))
		return kiln_refuse_self(KILN_MODIFY);
	ret = mode & FMODE_WRITE ? kiln_check_leaving(file) : 0;
	if (ret)
		return ret;
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
	return !ret && kiln_is_unnamed(file) ? kiln_check_theirs(file) : ret;
}

SEC("lsm/file_open")
NEEDS("always") /* also who opens /proc/PID/mem; confined tasks do not write to Kiln's files */
int BPF_PROG(kiln_file_open, struct file *file)
{
	struct kiln_me me = kiln_me();

	if (kiln_unbound(&me, V(READ) | V(MODIFY) | V(CREATE) | V(KERNEL)))
		return 0;
	return kiln_open(file);
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
NEEDS("read modify kernel:exec_memory")
int BPF_PROG(kiln_file_receive, struct file *file)
{
	int ret;

	if (kiln_pathless(file))
		return kiln_is_ring(file) ? kiln_check_ring(file) : 0;
	ret = kiln_check_memory(file, file->f_mode);
	return ret ? ret : kiln_check_file(kiln_open_verbs(file), file);
}

SEC("lsm/path_truncate")
NEEDS("modify")
int BPF_PROG(kiln_path_truncate, const struct path *path)
{
	return kiln_check_path(V(MODIFY), path->mnt, path->dentry, KILN_NAMED);
}

/* From 6.2 on ftruncate(2) comes here instead. */
SEC("?lsm/file_truncate")
NEEDS("modify")
int BPF_PROG(kiln_file_truncate, struct file *file)
{
	return kiln_check_path(V(MODIFY), file->f_path.mnt, file->f_path.dentry, KILN_NAMED);
}

SEC("lsm/path_mknod")
NEEDS("create bind")
int BPF_PROG(kiln_path_mknod, const struct path *dir, struct dentry *dentry, unsigned int mode, unsigned int dev)
{
	/*
	 * A unix socket's name is made by bind(2). A device's second name is a matter of the capability `mknod`, which
	 * the kernel asked for.
	 */
	return kiln_check_path((mode & S_IFMT) == S_IFSOCK ? V(BIND) : V(CREATE), dir->mnt, dentry, KILN_NAMED);
}

SEC("lsm/path_mkdir")
NEEDS("create")
int BPF_PROG(kiln_path_mkdir, const struct path *dir, struct dentry *dentry, unsigned int mode)
{
	return kiln_check_path(V(CREATE), dir->mnt, dentry, KILN_NAMED);
}

SEC("lsm/path_symlink")
NEEDS("create")
int BPF_PROG(kiln_path_symlink, const struct path *dir, struct dentry *dentry, const char *old_name)
{
	return kiln_check_path(V(CREATE), dir->mnt, dentry, KILN_NAMED);
}

SEC("lsm/path_rmdir")
NEEDS("delete")
int BPF_PROG(kiln_path_rmdir, const struct path *dir, struct dentry *dentry)
{
	return kiln_check_path(V(DELETE), dir->mnt, dentry, KILN_NAMED);
}

SEC("lsm/path_unlink")
NEEDS("delete")
int BPF_PROG(kiln_path_unlink, const struct path *dir, struct dentry *dentry)
{
	return kiln_check_path(V(DELETE), dir->mnt, dentry, KILN_NAMED);
}

#define RENAME_EXCHANGE 2u
#define RENAME_WHITEOUT 4u /* something is made in the old place */

SEC("lsm/path_rename")
NEEDS("file bind connect accept") /* a second name must give no verb that the first lacks */
int BPF_PROG(kiln_path_rename, const struct path *old_dir, struct dentry *old_dentry, const struct path *new_dir,
	     struct dentry *new_dentry, unsigned int flags)
{
	bool swap = flags & RENAME_EXCHANGE, remakes = flags & (RENAME_EXCHANGE | RENAME_WHITEOUT), replaces;
	int ret;

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
NEEDS("file bind connect accept") /* a second name must give no verb that the first lacks */
int BPF_PROG(kiln_path_link, struct dentry *old_dentry, const struct path *new_dir, struct dentry *new_dentry)
{
	int ret = kiln_check_path(V(READ) | V(MODIFY), new_dir->mnt, old_dentry, KILN_NAMED);

	if (!ret)
		ret = kiln_check_path(V(CREATE), new_dir->mnt, new_dentry, KILN_NAMED);
	if (!ret)
		ret = kiln_check_renaming(new_dir->mnt, old_dentry, new_dir->mnt, new_dentry);
	return ret ? ret : kiln_check_switching(new_dir->mnt, old_dentry, new_dir->mnt, new_dentry);
}
