/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Kiln itself, and what it rests on, against confined tasks: whatever their policy governs and permits. What the
 * agent's folders, mounts and processes are, it tells by kiln_belongings and kiln_agent_ids.
 */

/* bpf(2): by profile where it governs the kernel class; what is Kiln's own, never. */
SEC("lsm/bpf")
NEEDS("always")
int BPF_PROG(kiln_bpf, int cmd, void *attr, unsigned int size)
{
	/* Commands on links carry no map or program for the hooks below: BPF_LINK_*, BPF_OBJ_GET. */
	if ((cmd == 7 || (cmd >= 28 && cmd <= 31) || cmd == 34) && kiln_confined())
		return kiln_refuse_self(KILN_KERNEL);
	return KERNEL_OP(BPF);
}
SEC("lsm/bpf_map")
NEEDS("always")
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
NEEDS("always")
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
NEEDS("always")
int BPF_PROG(kiln_task_kill, struct task_struct *p, void *info, int sig)
{
	return sig ? kiln_check_victim(p) : 0;
}

/*
 * F_SETOWN and F_SETSIG make the kernel send any signal, whenever something
 * happens to a file, in whatever context it happens. The agent asks for none.
 */
SEC("lsm/file_send_sigiotask")
NEEDS("always")
int BPF_PROG(kiln_file_send_sigiotask, struct task_struct *task)
{
	return kiln_is_protected(task) ? kiln_refuse_self(KILN_KERNEL) : 0;
}

/* A limit of processor time or file size kills, too. */
SEC("lsm/task_setrlimit")
NEEDS("always")
int BPF_PROG(kiln_task_setrlimit, struct task_struct *task, unsigned int resource, struct rlimit *asked)
{
	int refused = kiln_check_victim(task);

	return refused ? refused : kiln_check_files(resource, asked);
}

/* The rest starves it. */
SEC("lsm/task_setnice")
NEEDS("always")
int BPF_PROG(kiln_task_setnice, struct task_struct *p)
{
	return kiln_check_victim(p);
}
SEC("lsm/task_setioprio")
NEEDS("always")
int BPF_PROG(kiln_task_setioprio, struct task_struct *p)
{
	return kiln_check_victim(p);
}
/* Also affinity and utilization clamping. */
SEC("lsm/task_setscheduler")
NEEDS("always")
int BPF_PROG(kiln_task_setscheduler, struct task_struct *p)
{
	return kiln_check_victim(p);
}
SEC("lsm/task_movememory")
NEEDS("always")
int BPF_PROG(kiln_task_movememory, struct task_struct *p)
{
	return kiln_check_victim(p);
}
SEC("lsm/task_setpgid")
NEEDS("always")
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
NEEDS("always")
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

/* Events that wait for whoever watches to say yes (include/uapi/linux/fanotify.h). */
#define FAN_WAITS (0x10000ull | 0x20000ull | 0x40000ull | 0x100000ull)

/* File systems of which the agent opens what is others': cgroups, whosever, and what the kernel says of itself. */
static __always_inline bool kiln_agent_opens(struct dentry *dentry)
{
	u64 magic = BPF_CORE_READ(dentry, d_sb, s_magic);

	return magic == CGROUP2_SUPER_MAGIC || magic == SYSFS_MAGIC || magic == SECURITYFS_MAGIC ||
	       magic == BPF_FS_MAGIC || magic == PROC_SUPER_MAGIC;
}

/*
 * A mark with such events holds up everybody who opens the file, the agent too. On a whole mount or file system it
 * would hold up the machine.
 */
SEC("lsm/path_notify")
NEEDS("always")
int BPF_PROG(kiln_path_notify, const struct path *path, u64 mask, unsigned int kind)
{
	if (!(mask & FAN_WAITS) || !kiln_confined())
		return 0;
	if (kind != bpf_core_enum_value(enum fsnotify_obj_type, FSNOTIFY_OBJ_TYPE_INODE) ||
	    kiln_agent_opens(path->dentry) || kiln_own_flags(path->dentry))
		return kiln_refuse_self(KILN_READ);
	return 0;
}
