/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Kiln itself, and what it rests on, against confined tasks: whatever their policy governs and permits. What the
 * agent's folders, mounts and processes are, it tells by kiln_belongings and kiln_agent_ids.
 */

/* bpf(2): by profile where it governs the kernel class; what is Kiln's own, never. */
SEC("lsm/bpf")
int BPF_PROG(kiln_bpf, int cmd, void *attr, unsigned int size)
{
	/* Commands on links carry no map or program for the hooks below: BPF_LINK_*, BPF_OBJ_GET. */
	if ((cmd == 7 || (cmd >= 28 && cmd <= 31) || cmd == 34) && kiln_confined())
		return kiln_refuse_self(KILN_KERNEL);
	return KERNEL_OP(BPF);
}
SEC("lsm/bpf_map")
int BPF_PROG(kiln_bpf_map, struct bpf_map *map, unsigned int fmode)
{
	char name[8] = {};

	bpf_probe_read_kernel(name, 6, map->name);
	return kiln_our_name(name) && kiln_confined() ? kiln_refuse_self(KILN_KERNEL) : 0;
}

/* enum bpf_prog_type and bpf_attach_type of include/uapi/linux/bpf.h */
#define BPF_PROG_TYPE_KPROBE 2
#define BPF_PROG_TYPE_TRACEPOINT 5
#define BPF_PROG_TYPE_PERF_EVENT 7
#define BPF_PROG_TYPE_RAW_TRACEPOINT 17
#define BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE 24
#define BPF_PROG_TYPE_TRACING 26
#define BPF_PROG_TYPE_STRUCT_OPS 27
#define BPF_PROG_TYPE_EXT 28
#define BPF_PROG_TYPE_LSM 29
#define BPF_MODIFY_RETURN 26

#define BPF_CALL 0x85
#define KILN_INSTRUCTIONS (1u << 20) /* BPF_COMPLEXITY_LIMIT_INSNS: no program is longer */

struct kiln_calls {
	u64 instructions;
	u32 len;
	s32 helpers[KILN_HELPERS];
	u32 found;
};

/* Whether an instruction of a verified program calls a helper that is told: where it is stands in the instruction. */
static long kiln_scan_call(u32 at, struct kiln_calls *c)
{
	struct {
		u8 code, registers;
		short offset;
		s32 imm;
	} insn = {};

	if (at >= c->len)
		return 1;
	if (bpf_probe_read_kernel(&insn, sizeof(insn), (void *)c->instructions + (u64)at * sizeof(insn))) {
		c->found = 1;
		return 1;
	}
	/* A call of another part of the same program has 1 as its source register. */
	if (insn.code != BPF_CALL || insn.registers >> 4 == 1)
		return 0;
#pragma unroll
	for (int i = 0; i < KILN_HELPERS; i++)
		if (c->helpers[i] && insn.imm == c->helpers[i])
			c->found = 1;
	return c->found;
}

/* Whether a program could be used against Kiln: by its kind, or by a helper that it calls. */
static __noinline bool kiln_is_weapon(struct bpf_prog *prog)
{
	int type = BPF_CORE_READ(prog, type), attach = BPF_CORE_READ(prog, expected_attach_type);
	struct kiln_calls calls = {.len = BPF_CORE_READ(prog, len)};
	bool tracing = type == BPF_PROG_TYPE_KPROBE || type == BPF_PROG_TYPE_TRACEPOINT ||
		       type == BPF_PROG_TYPE_PERF_EVENT || type == BPF_PROG_TYPE_RAW_TRACEPOINT ||
		       type == BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE || type == BPF_PROG_TYPE_TRACING;

	/* They change what the kernel's functions or other programs answer, Kiln's among them, and who gets a CPU. */
	if (type == BPF_PROG_TYPE_LSM || type == BPF_PROG_TYPE_EXT || type == BPF_PROG_TYPE_STRUCT_OPS ||
	    (type == BPF_PROG_TYPE_TRACING && attach == BPF_MODIFY_RETURN))
		return true;
	if (!tracing)
		return false;
	for (u32 i = 0; i < KILN_HELPERS; i++) {
		u32 key = i;
		s32 *helper = bpf_map_lookup_elem(&kiln_helpers, &key);

		calls.helpers[i] = helper ? *helper : 0;
	}
	/* Not known where they are (kernel.kptr_restrict=2): then nothing that may call them is harmless. */
	if (!calls.helpers[0])
		return true;
	calls.instructions = kiln_number(prog) + bpf_core_field_offset(struct bpf_prog, insnsi);
	bpf_loop(KILN_INSTRUCTIONS, kiln_scan_call, &calls, 0);
	return calls.found;
}

/* Comes with each descriptor of a program, the first included, which is made after the program was verified. */
SEC("lsm/bpf_prog")
int BPF_PROG(kiln_bpf_prog, struct bpf_prog *prog)
{
	char name[8] = {};

	if (!kiln_confined())
		return 0;
	bpf_probe_read_kernel(name, 6, prog->aux->name);
	return kiln_our_name(name) || kiln_is_weapon(prog) ? kiln_refuse_self(KILN_KERNEL) : 0;
}

/* The agent, and who keeps the pins: what one process can do to another. */
static __always_inline int kiln_check_victim(struct task_struct *task)
{
	return kiln_is_protected(task) && kiln_confined() ? kiln_refuse_self(KILN_KERNEL) : 0;
}

SEC("lsm/task_kill")
int BPF_PROG(kiln_task_kill, struct task_struct *p, void *info, int sig)
{
	return sig ? kiln_check_victim(p) : 0;
}

/*
 * F_SETOWN and F_SETSIG make the kernel send any signal, whenever something
 * happens to a file, in whatever context it happens. The agent asks for none.
 */
SEC("lsm/file_send_sigiotask")
int BPF_PROG(kiln_file_send_sigiotask, struct task_struct *task)
{
	return kiln_is_protected(task) ? kiln_refuse_self(KILN_KERNEL) : 0;
}

/* A limit of processor time or file size kills, too. */
SEC("lsm/task_setrlimit")
int BPF_PROG(kiln_task_setrlimit, struct task_struct *task)
{
	return kiln_check_victim(task);
}

/* The rest starves it. */
SEC("lsm/task_setnice")
int BPF_PROG(kiln_task_setnice, struct task_struct *p)
{
	return kiln_check_victim(p);
}
SEC("lsm/task_setioprio")
int BPF_PROG(kiln_task_setioprio, struct task_struct *p)
{
	return kiln_check_victim(p);
}
/* Also affinity and utilization clamping. */
SEC("lsm/task_setscheduler")
int BPF_PROG(kiln_task_setscheduler, struct task_struct *p)
{
	return kiln_check_victim(p);
}
SEC("lsm/task_movememory")
int BPF_PROG(kiln_task_movememory, struct task_struct *p)
{
	return kiln_check_victim(p);
}
SEC("lsm/task_setpgid")
int BPF_PROG(kiln_task_setpgid, struct task_struct *p)
{
	return kiln_check_victim(p);
}

/* Mounts on top of each other on the way to a folder of Kiln's. */
#define KILN_COVERS 8

/*
 * The folders below a mount that is told are on the way, too: who removes or renames one, where a namespace shows it,
 * takes the mount away everywhere (detach_mounts() of fs/namespace.c).
 */
static __noinline void kiln_tell_covered(struct file *file, u32 telling)
{
	u32 covered = (telling & ~((1u << KILN_OWN_BITS) - 1)) | KILN_OWN_WAY, *known;
	struct mount *mount = kiln_real_mount(file->f_path.mnt), *below;
	struct dentry *dentry = file->f_path.dentry;
	struct kiln_own_key key = {};
	struct inode *inode;

	for (u32 i = 0; i < KILN_COVERS; i++) {
		below = BPF_CORE_READ(mount, mnt_parent);
		if (BPF_CORE_READ(mount, mnt.mnt_root) != dentry || below == mount)
			return;
		dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		mount = below;
		inode = BPF_CORE_READ(dentry, d_inode);
		key.number = BPF_CORE_READ(inode, i_ino);
		key.device = BPF_CORE_READ(inode, i_sb, s_dev);
		/* What was told of it in this turn says as much, or more. */
		known = bpf_map_lookup_elem(&kiln_belongings, &key);
		if (!known || *known >> KILN_OWN_BITS != telling >> KILN_OWN_BITS)
			bpf_map_update_elem(&kiln_belongings, &key, &covered, BPF_ANY);
	}
}

/*
 * A lock or lease on a file of Kiln's would keep the agent and the operator waiting. The agent's own lock on a folder
 * while it tells is how it says which folder it means: so inode and device are the kernel's own, whatever stat(2) shows
 * of them on this file system.
 */
SEC("lsm/file_lock")
int BPF_PROG(kiln_file_lock, struct file *file)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct kiln_own_key key = {};
	u32 telling = kiln_agent_id(KILN_A_TELLING);

	if (telling && kiln_is_the_agent(task)) {
		key.number = file->f_inode->i_ino;
		key.device = file->f_inode->i_sb->s_dev;
		bpf_map_update_elem(&kiln_belongings, &key, &telling, BPF_ANY);
		kiln_tell_covered(file, telling);
		return 0;
	}
	return kiln_confined() && kiln_own_flags(file->f_path.dentry) & KILN_OWN_TREE ? kiln_refuse_self(KILN_MODIFY)
										      : 0;
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
int BPF_PROG(kiln_own_ioctl, struct file *file, unsigned int cmd)
{
	return kiln_check_own_ioctl(file, cmd);
}
SEC("?lsm/file_ioctl_compat")
int BPF_PROG(kiln_own_ioctl_compat, struct file *file, unsigned int cmd)
{
	return kiln_check_own_ioctl(file, cmd);
}

static __always_inline int kiln_check_own(struct dentry *dentry, u32 flags, u32 verb)
{
	return kiln_confined() && kiln_own_flags(dentry) & flags ? kiln_refuse_self(verb) : 0;
}

SEC("lsm/inode_create")
int BPF_PROG(kiln_own_create, struct inode *dir, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE, KILN_CREATE);
}
SEC("lsm/inode_symlink")
int BPF_PROG(kiln_own_symlink, struct inode *dir, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE, KILN_CREATE);
}
SEC("lsm/inode_mknod")
int BPF_PROG(kiln_own_mknod, struct inode *dir, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE, KILN_CREATE);
}

/*
 * Whether a confined task makes a cgroup that would pass for a unit of the system manager's: it could fill kiln_cgroups
 * with them, or be there before the unit is.
 */
static __noinline bool kiln_is_false_unit(struct inode *dir, struct dentry *dentry)
{
	struct kernfs_node *node = BPF_CORE_READ(dir, i_private);
	struct cgroup *group = BPF_CORE_READ(node, priv);
	struct kiln_who who = {};
	u32 level;

	if (!group || !kiln_unified(group) || kiln_group_label(group))
		return false;
	level = BPF_CORE_READ(group, level) + 1;
	kiln_enter_label(&who, kiln_active(), KILN_LABEL_HOST, 0);
	/* Of the folder itself, too, which would be one of those above. */
	if (level > 1 && !kiln_below_slices(group, level))
		return false;
	return kiln_named_subject(&who, (u64)BPF_CORE_READ(dentry, d_name.name)) != 0;
}

SEC("lsm/inode_mkdir")
int BPF_PROG(kiln_own_mkdir, struct inode *dir, struct dentry *dentry)
{
	if (!kiln_confined())
		return 0;
	if (BPF_CORE_READ(dir, i_sb, s_magic) == CGROUP2_SUPER_MAGIC)
		return kiln_is_false_unit(dir, dentry) ? kiln_refuse_self(KILN_CREATE) : 0;
	return kiln_own_flags(dentry) & KILN_OWN_TREE ? kiln_refuse_self(KILN_CREATE) : 0;
}

SEC("lsm/inode_unlink")
int BPF_PROG(kiln_own_unlink, struct inode *dir, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE, KILN_DELETE);
}
SEC("lsm/inode_rmdir")
int BPF_PROG(kiln_own_rmdir, struct inode *dir, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE | KILN_OWN_WAY | KILN_OWN_GROUP, KILN_DELETE);
}
SEC("lsm/inode_rename")
int BPF_PROG(kiln_own_rename, struct inode *old_dir, struct dentry *old_dentry, struct inode *new_dir,
	     struct dentry *new_dentry)
{
	if (!kiln_confined())
		return 0;
	return (kiln_own_flags(old_dentry) | kiln_own_flags(new_dentry)) & (KILN_OWN_TREE | KILN_OWN_WAY)
		   ? kiln_refuse_self(KILN_DELETE)
		   : 0;
}
SEC("lsm/inode_link")
int BPF_PROG(kiln_own_link, struct dentry *old_dentry, struct inode *dir, struct dentry *new_dentry)
{
	if (!kiln_confined())
		return 0;
	return (kiln_own_flags(old_dentry) | kiln_own_flags(new_dentry)) & KILN_OWN_TREE ? kiln_refuse_self(KILN_CREATE)
											 : 0;
}

static __always_inline int kiln_check_own_attributes(struct dentry *dentry)
{
	u32 flags = KILN_OWN_TREE | KILN_OWN_GROUP;

	if (!kiln_confined())
		return 0;
	if (BPF_CORE_READ(dentry, d_sb, s_magic) == BPF_FS_MAGIC)
		flags |= KILN_OWN_WAY;
	return kiln_own_flags(dentry) & flags ? kiln_refuse_self(KILN_SETATTR) : 0;
}

/* Mode, owner, size and times: who may use a pin is said by its mode alone. The hook has two forms (file.bpf.c). */
SEC("?lsm/inode_setattr")
int BPF_PROG(kiln_own_setattr, struct dentry *dentry)
{
	return kiln_check_own_attributes(dentry);
}
SEC("?lsm/inode_setattr")
int BPF_PROG(kiln_own_setattr_idmap, void *idmap, struct dentry *dentry)
{
	return kiln_check_own_attributes(dentry);
}
SEC("lsm/inode_setxattr")
int BPF_PROG(kiln_own_setxattr, void *idmap, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE, KILN_SETATTR);
}
SEC("lsm/inode_removexattr")
int BPF_PROG(kiln_own_removexattr, void *idmap, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE, KILN_SETATTR);
}
SEC("?lsm/inode_set_acl")
int BPF_PROG(kiln_own_set_acl, void *idmap, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE, KILN_SETATTR);
}
SEC("?lsm/inode_remove_acl")
int BPF_PROG(kiln_own_remove_acl, void *idmap, struct dentry *dentry)
{
	return kiln_check_own(dentry, KILN_OWN_TREE, KILN_SETATTR);
}

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

SEC("lsm/sb_mount")
int BPF_PROG(kiln_own_mount, const char *name, const struct path *path, const char *type, unsigned long flags)
{
	if (!kiln_confined())
		return 0;
	if (flags & MS_SAME)
		return kiln_own_flags(path->dentry) & KILN_OWN_TREE ||
			       BPF_CORE_READ(path, dentry, d_sb, s_magic) == BPF_FS_MAGIC
			   ? kiln_refuse_self(KILN_KERNEL)
			   : 0;
	/* What is moved away is named by a string only. */
	return (flags & MS_MOVE && kiln_in_hosts_namespace()) || kiln_covers_own(path) ? kiln_refuse_self(KILN_KERNEL)
										       : 0;
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

SEC("lsm/sb_umount")
int BPF_PROG(kiln_own_umount, struct vfsmount *mnt, int flags)
{
	return kiln_confined() && kiln_is_support(kiln_real_mount(mnt)) ? kiln_refuse_self(KILN_KERNEL) : 0;
}
SEC("lsm/move_mount")
int BPF_PROG(kiln_own_move_mount, const struct path *from, const struct path *to)
{
	if (!kiln_confined())
		return 0;
	return kiln_covers_own(to) || kiln_is_support(kiln_real_mount(from->mnt)) ? kiln_refuse_self(KILN_KERNEL) : 0;
}
/* The root of the host's namespace is the agent's, too: it would read its keys from another place. */
SEC("lsm/sb_pivotroot")
int BPF_PROG(kiln_own_pivotroot)
{
	return kiln_confined() && kiln_in_hosts_namespace() ? kiln_refuse_self(KILN_KERNEL) : 0;
}
SEC("lsm/sb_remount")
int BPF_PROG(kiln_own_remount, struct super_block *sb)
{
	return kiln_confined() && BPF_CORE_READ(sb, s_magic) == BPF_FS_MAGIC &&
		       kiln_told_inode(BPF_CORE_READ(sb, s_root, d_inode))
		   ? kiln_refuse_self(KILN_KERNEL)
		   : 0;
}

/* Events that wait for whoever watches to say yes (include/uapi/linux/fanotify.h). */
#define FAN_WAITS (0x10000ull | 0x20000ull | 0x40000ull | 0x100000ull)

/*
 * A mark with such events holds up everybody who opens the file, the agent too. On a whole mount or file system it
 * would hold up the machine.
 */
SEC("lsm/path_notify")
int BPF_PROG(kiln_path_notify, const struct path *path, u64 mask, unsigned int kind)
{
	if (!(mask & FAN_WAITS) || !kiln_confined())
		return 0;
	if (kind != bpf_core_enum_value(enum fsnotify_obj_type, FSNOTIFY_OBJ_TYPE_INODE) ||
	    kiln_own_flags(path->dentry))
		return kiln_refuse_self(KILN_READ);
	return 0;
}
