/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What ioctl(2) changes of a file, a device or a file system, and what of that is Kiln's own. */

/* isatty(3) and the descriptor flags are asked of any file and change no device. */
static __always_inline bool kiln_harmless_ioctl(unsigned int cmd)
{
	return cmd == 0x5401 /* TCGETS */ || cmd == 0x5413 /* TIOCGWINSZ */ || cmd == 0x541b /* FIONREAD */ ||
	       cmd == 0x5421 /* FIONBIO */ || cmd == 0x5450 /* FIONCLEX */ || cmd == 0x5451 /* FIOCLEX */ ||
	       cmd == 0x5452 /* FIOASYNC */;
}

/* chattr(1), project ids and fs-verity change a file through any descriptor of it (include/uapi/linux/fs.h). */
static __always_inline bool kiln_attribute_ioctl(unsigned int cmd)
{
	return cmd == 0x40086602 /* FS_IOC_SETFLAGS */ || cmd == 0x40046602 /* FS_IOC32_SETFLAGS */ ||
	       cmd == 0x401c5820 /* FS_IOC_FSSETXATTR */ || cmd == 0x40087602 /* FS_IOC_SETVERSION */ ||
	       cmd == 0x40047602 /* FS_IOC32_SETVERSION */ || cmd == 0x40806685 /* FS_IOC_ENABLE_VERITY */ ||
	       cmd == 0x40047211 /* FAT_IOCTL_SET_ATTRIBUTES */ || cmd == 0x40086604 /* EXT4_IOC_SETVERSION */ ||
	       cmd == 0x40046604 /* EXT4_IOC32_SETVERSION */ || cmd == 0x800c6613 /* FS_IOC_SET_ENCRYPTION_POLICY */ ||
	       cmd == 0x4008941a /* BTRFS_IOC_SUBVOL_SETFLAGS */;
}

/*
 * By one descriptor, what the file system has or does elsewhere, under no name that could be decided: copies of a tree,
 * trees that come and go, what files contain. As a mount does, it makes a file another one's name reach. The number
 * alone tells: the sizes in a command are those of structures that grow.
 */
static __always_inline bool kiln_reaches_trees(unsigned int cmd)
{
	u32 number = cmd & 0xff;

	switch (cmd >> 8 & 0xff) {
	case 0x94: /* include/uapi/linux/btrfs.h: subvolumes and snapshots, the default one, tree search, send; devices
		    that come, go and replace each other, which it opens by their names */
		return number < 64 &&
		       (1ull << 1 | 1ull << 10 | 1ull << 11 | 1ull << 53 | 1ull << 58 | 1ull << 14 | 1ull << 15 |
			1ull << 17 | 1ull << 19 | 1ull << 23 | 1ull << 24 | 1ull << 38 | 1ull << 63) >>
			       number &
			   1;
	case 0xbc: /* fs/bcachefs/bcachefs_ioctl.h: subvolumes and snapshots */
		return number == 16 || number == 17;
	case 'X': /* fs/xfs/libxfs/xfs_fs.h: XFS_IOC_ATTRMULTI_BY_HANDLE */
		return number == 123;
	case 'o': /* fs/ocfs2/ocfs2_ioctl.h: OCFS2_IOC_REFLINK, a copy of one name under another */
		return number == 4;
	}
	return false;
}

/* Types or pastes into a terminal, for whoever reads there (include/uapi/asm-generic/ioctls.h, linux/tiocl.h). */
static __always_inline bool kiln_types(unsigned int cmd)
{
	return cmd == 0x5412 /* TIOCSTI */ || cmd == 0x541c /* TIOCLINUX */;
}

/* Makes a network device whose packets come from a file. */
static __always_inline bool kiln_makes_packets(unsigned int cmd)
{
	return cmd == 0x400454ca /* TUNSETIFF */ || cmd == 0xc004743e /* PPPIOCNEWUNIT */ ||
	       cmd == 0x5423 /* TIOCSETD: SLIP, PPP and others on a terminal */;
}

/* A global function, so that the verifier looks at it once for all that ask. */
__noinline int kiln_check_ioctl_op(u32 bit)
{
	return kiln_check_bit(KILN_KERNEL, bit, 0);
}

static __always_inline int kiln_check_ioctl(struct file *file, unsigned int cmd)
{
	unsigned short kind = file->f_inode->i_mode & S_IFMT;
	u32 verbs = kiln_attribute_ioctl(cmd) ? V(SETATTR) : 0, bit = KILN_K_IOCTL;

	/* EXT4_IOC_SWAP_BOOT: by a descriptor that only reads, it exchanges what the file has. */
	if (cmd == 0x6611)
		verbs = V(MODIFY);
	if (verbs)
		return kiln_check_file(verbs, file);
	if (kind != S_IFCHR && kind != S_IFBLK) {
		if (!kiln_reaches_trees(cmd))
			return 0;
		bit = KILN_K_MOUNT;
	} else if (kiln_harmless_ioctl(cmd)) {
		return 0;
	} else if (kiln_types(cmd)) {
		bit = KILN_K_PTRACE;
	} else if (kiln_makes_packets(cmd)) {
		bit = KILN_K_RAW_SOCKET;
	}
	if (kiln_check_ioctl_op(bit))
		return -EPERM;
	return (bit == KILN_K_PTRACE || bit == KILN_K_RAW_SOCKET) && kiln_check_ioctl_op(KILN_K_IOCTL) ? -EPERM : 0;
}

/*
 * Stops a file system for everybody (include/uapi/linux/fs.h): until it is told to go on, FIFREEZE; for good, the one
 * by which ext4, xfs and f2fs shut down.
 */
static __always_inline bool kiln_stops(unsigned int cmd)
{
	return cmd == 0xc0045877 /* FIFREEZE */ || cmd == 0x8004587d /* EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN */;
}

/*
 * Makes a folder or file of Kiln's one that even the agent cannot change, or stops a file system that the agent writes
 * to: by a descriptor that only reads.
 */
static __noinline int kiln_check_own_ioctl(struct file *file, unsigned int cmd)
{
	bool stops = kiln_stops(cmd);

	if ((!stops && !kiln_attribute_ioctl(cmd)) || !kiln_confined())
		return 0;
	if (stops ? kiln_holds_own(file->f_inode->i_sb)
		  : !!(kiln_own_flags(file->f_path.dentry) & (KILN_OWN_TREE | KILN_OWN_GROUP)))
		return kiln_refuse_self(KILN_SETATTR);
	return 0;
}

SEC("lsm/file_ioctl")
NEEDS("always")
int BPF_PROG(kiln_file_ioctl, struct file *file, unsigned int cmd, unsigned long arg)
{
	int ret = kiln_check_own_ioctl(file, cmd);

	return ret ? ret : kiln_check_ioctl(file, cmd);
}

/* A 32-bit ioctl(2), which any process makes by int 0x80, comes here where the kernel has the hook. */
SEC("?lsm/file_ioctl_compat")
NEEDS("always")
int BPF_PROG(kiln_file_ioctl_compat, struct file *file, unsigned int cmd, unsigned long arg)
{
	int ret = kiln_check_own_ioctl(file, cmd);

	return ret ? ret : kiln_check_ioctl(file, cmd);
}
