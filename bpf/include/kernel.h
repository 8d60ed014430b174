/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The few kernel types that the programs read, with only the fields they read.
 * preserve_access_index lets libbpf find the true offsets when the object is
 * loaded (CO-RE), so one object serves every kernel from 6.1 on.
 */
#ifndef KILN_KERNEL_H
#define KILN_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

enum bpf_map_type_kiln {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_INODE_STORAGE = 28,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
#define BPF_F_NO_PREALLOC 1u
#define BPF_F_MMAPABLE (1u << 10)
#define BPF_ANY 0
#define BPF_NOEXIST 1
#define BPF_LOCAL_STORAGE_GET_F_CREATE 1ull

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

struct rlimit {
	__u64 rlim_cur, rlim_max;
};
enum fsnotify_obj_type { FSNOTIFY_OBJ_TYPE_INODE };
struct cred;
struct list_head {
	struct list_head *next, *prev;
};
struct hlist_node {
	struct hlist_node *next, **pprev;
};
struct hlist_head {
	struct hlist_node *first;
};
struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
	u64 id;
	void *priv; /* of a folder of cgroup2: its struct cgroup */
};
/* From 6.15 on the parent is a pointer of this name. */
struct kernfs_node___rcu {
	struct kernfs_node *__parent;
};
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};
struct cgroup_root {
	int hierarchy_id;
};
struct cgroup {
	struct cgroup_subsys_state self;
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
	struct cgroup *ancestors[]; /* by level, itself included */
};
struct css_set {
	struct cgroup *dfl_cgrp;
};
struct file_system_type;
struct super_block {
	u32 s_dev;
	unsigned long s_flags;
	unsigned long s_magic;
	struct dentry *s_root;
	struct list_head s_mounts; /* by mnt_instance, the oldest first */
	struct file_system_type *s_type;
	struct hlist_node s_instances;
};
struct inode {
	void *i_private;
	unsigned short i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
	unsigned int i_nlink;
	struct hlist_head i_dentry; /* its names, by their d_alias */
};
struct qstr {
	union {
		struct {
			u32 hash;
			u32 len;
		};
		u64 hash_len;
	};
	const unsigned char *name;
};
struct hlist_bl_node {
	struct hlist_bl_node *next, **pprev;
};
struct dentry {
	unsigned int d_flags;
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	unsigned char d_iname[40]; /* or 32 */
	struct super_block *d_sb;
	union {
		struct hlist_node d_alias;
	} d_u;
};
/* From 6.14 on d_iname is a union of this name. */
struct dentry___shortname {
	unsigned char d_shortname[40];
};
struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};
struct ns_common {
	unsigned int inum;
};
struct mnt_namespace {
	struct ns_common ns;
	struct mount *root;
	u64 seq;   /* 0: of a detached mount */
	u64 event; /* of all namespaces one number for each change of mounts */
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct list_head mnt_mounts; /* by the children's mnt_child */
	struct list_head mnt_child;
	struct list_head mnt_instance;
	struct mnt_namespace *mnt_ns;
	int mnt_id, mnt_group_id;
};
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_flags;
	unsigned int f_mode;
	void *private_data;
};
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};
struct notification;
struct seccomp_filter {
	struct seccomp_filter *prev;
	struct notification *notif; /* who answers its system calls */
};
struct signal_struct {
	struct list_head thread_head; /* by the threads' thread_node */
};
struct seccomp {
	struct seccomp_filter *filter;
};
struct perf_event_attr {
	u64 sample_type;
	u64 sigtrap : 1;
};
struct hw_perf_event {
	struct task_struct *target;
};
struct perf_event {
	struct perf_event_attr attr;
	struct hw_perf_event hw;
	struct perf_event *parent;
};
struct fs_struct {
	struct path root;
};
struct nsproxy {
	struct mnt_namespace *mnt_ns;
};
struct mm_struct {
	struct file *exe_file;
	unsigned long start_stack;
};
struct bpf_local_storage_map;
struct bpf_local_storage_data {
	struct bpf_local_storage_map *smap;
};
struct bpf_local_storage {
	struct bpf_local_storage_data *cache[16];
};
struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};
struct timekeeper {
	s64 offs_real; /* from the monotonic clock to the wall clock */
};
struct thread_info {
	u32 status;
};
struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	unsigned int flags;
	int pid;
	int tgid;
	u64 start_boottime;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct css_set *cgroups;
	const struct cred *real_cred;
	const struct cred *cred;
	struct nsproxy *nsproxy;
	struct fs_struct *fs;
	struct files_struct *files;
	void *io_uring; /* what a thread has of rings; NULL: none */
	struct seccomp seccomp;
	struct signal_struct *signal;
	struct list_head thread_node;
	int exit_state; /* 0: it has not ended */
	struct bpf_local_storage *bpf_storage;
	struct task_struct *parent; /* the tracer, if it is traced */
	unsigned int ptrace;
	char comm[16];
	unsigned in_execve : 1;
	struct hlist_node pid_links[4];
};
struct linux_binprm {
	struct file *file;
	struct file *executable;
	struct vm_area_struct *vma; /* of the stack to come */
	struct cred *cred;	    /* to come */
	const char *filename, *interp;
	int unsafe;
	unsigned have_execfd : 1;
	unsigned secureexec : 1;
};
typedef struct {
	u32 val;
} kuid_t;
typedef struct {
	u32 val;
} kgid_t;
/* 64 bits, in each kernel by other names. */
typedef struct kernel_cap_struct {
	u32 cap[2];
} kernel_cap_t;
struct cred {
	kuid_t uid, euid, fsuid;
	kgid_t gid, egid;
	kernel_cap_t cap_inheritable, cap_permitted;
};
/* From 6.5 on, of this form from 6.8: the file below an overlay's, and the overlay's own path. */
struct backing_file {
	struct file file;
	struct path user_path;
};
struct vm_area_struct {
	struct mm_struct *vm_mm;
	unsigned long vm_flags;
	struct file *vm_file;
	void *anon_vma;
};
struct iattr {
	unsigned int ia_valid;
};
struct pt_regs {
	unsigned long bx, cx, dx, si, di, orig_ax;
};
enum kernel_read_file_id {
	READING_FIRMWARE = 1,
	READING_KEXEC_IMAGE = 3,
	READING_KEXEC_INITRAMFS = 4,
	READING_POLICY = 5,
	READING_X509_CERTIFICATE = 6,
};
enum kernel_load_data_id {
	LOADING_FIRMWARE = 1,
	LOADING_KEXEC_IMAGE = 3,
	LOADING_KEXEC_INITRAMFS = 4,
	LOADING_POLICY = 5,
	LOADING_X509_CERTIFICATE = 6,
};
struct user_namespace;
struct kernel_siginfo;

struct in6_addr {
	union {
		u8 u6_addr8[16];
	} in6_u;
};
struct sk_buff;
struct sk_buff_head {
	struct sk_buff *next;
};
struct net {
	struct ns_common ns;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct sock_common {
	possible_net_t skc_net;
	__be16 skc_dport;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_reuse : 4;
	unsigned char skc_reuseport : 1;
	unsigned char skc_ipv6only : 1;
	int skc_bound_dev_if;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};
struct upid {
	int nr;
};
struct pid {
	struct hlist_head tasks[4]; /* the task itself first (PIDTYPE_PID) */
	struct upid numbers[1];
};
struct sock_cgroup_data {
	struct cgroup *cgroup;
};
/* of fs/proc/internal.h */
struct proc_inode {
	struct pid *pid;
	struct inode vfs_inode;
};
struct sock {
	struct pid *sk_peer_pid;
	struct sock_common __sk_common;
	u16 sk_type;
	u16 sk_protocol;
	u8 sk_userlocks : 4; /* a whole byte in later kernels */
	struct sock_cgroup_data sk_cgrp_data;
	struct sk_buff_head sk_receive_queue;
	kuid_t sk_uid;
	struct bpf_local_storage *sk_bpf_storage;
};
struct udp_sock {
	struct sk_buff_head reader_queue;
};
struct inet_sock {
	__be32 inet_saddr;
	int uc_index;
};
/* IP_LOCAL_PORT_RANGE, in the two forms that kernels keep it in. */
struct inet_sock___pair {
	struct {
		u16 lo, hi;
	} local_port_range;
};
struct inet_sock___word {
	u32 local_port_range;
};
struct mptcp_sock {
	struct sock *first;
};
struct sctp_ep_common {
	struct sock *sk;
};
union sctp_addr {
	unsigned char raw[28]; /* a struct sockaddr_in or sockaddr_in6 */
};
struct sctp_transport {
	struct list_head transports;
	union sctp_addr ipaddr;
};
struct sctp_endpoint {
	struct list_head asocs; /* by the associations' asocs */
};
struct sctp_sock {
	struct sctp_endpoint *ep;
};
struct sctp_association {
	struct sctp_ep_common base;
	struct list_head asocs;
	struct {
		struct list_head transport_addr_list; /* by their transports */
	} peer;
};
struct file_system_type {
	const char *name;
	struct hlist_head fs_supers; /* by s_instances, the newest first */
};
struct fs_context {
	struct file_system_type *fs_type;
};
struct socket {
	short type;
	struct sock *sk;
};
struct request_sock {
	struct sock_common __req_common;
	struct request_sock *dl_next;
};
struct request_sock_queue {
	struct request_sock *rskq_accept_head;
};
struct inet_connection_sock {
	struct request_sock_queue icsk_accept_queue;
};
struct sk_buff {
	struct sk_buff *next;
	unsigned char *head;
	u16 transport_header, network_header;
};
struct msghdr {
	void *msg_name;
	int msg_namelen;
	void *msg_control;
	unsigned long msg_controllen;
};
struct cmsghdr {
	unsigned long cmsg_len;
	int cmsg_level;
	int cmsg_type;
};
struct sockaddr {
	unsigned short sa_family;
};
struct unix_address {
	int len;
};
struct unix_sock {
	struct unix_address *addr;
	struct path path;
};
struct bpf_map {
	char name[16];
};
struct bpf_prog_aux {
	char name[16];
};
struct bpf_insn {
	u8 code;
};
/* A field's kind must be the kernel's; the values stand where they are used. */
enum bpf_prog_type { KILN_SOME_PROG_TYPE };
enum bpf_attach_type { KILN_SOME_ATTACH_TYPE };
struct bpf_prog {
	enum bpf_prog_type type;
	enum bpf_attach_type expected_attach_type;
	u32 len;
	struct bpf_prog_aux *aux;
	struct bpf_insn insnsi[];
};

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#define EPERM 1
#define ENOPARAM 519 /* include/linux/errno.h: an LSM hook has nothing to say of a mount option */
#define ENOMEM 12
#define PATH_FAIL ((u32)~0u)

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFDIR 0040000
#define S_IFBLK 0060000
#define S_IFCHR 0020000
#define S_IFIFO 0010000

#define FMODE_READ 1u
#define FMODE_WRITE 2u
#define FMODE_EXEC 0x20u /* __FMODE_EXEC of f_flags: include/uapi/asm-generic/fcntl.h keeps the bit free */
#define PROT_READ 1ul
#define PROT_WRITE 2ul
#define PROT_EXEC 4ul
#define MAP_SHARED 1ul
#define VM_READ 1ul
#define VM_WRITE 2ul
#define VM_EXEC 4ul
#define VM_SHARED 8ul
#define VM_GROWSDOWN 0x100ul

#define CLONE_THREAD 0x10000ul
#define CLONE_INTO_CGROUP 0x200000000ul

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_RDS 21
#define AF_SMC 43
#define SOL_IP 0
#define SOL_IPV6 41
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_PACKET 10
#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ICMPV6 58
#define IPPROTO_SCTP 132
#define IPPROTO_UDPLITE 136
#define IPPROTO_SMC 256
#define IPPROTO_MPTCP 262
#define RDS_TCP_PORT 16385 /* net/rds/tcp.h: the port of each RDS peer over TCP */

#define SB_NOUSER (1ul << 31) /* a file system of the kernel's own */
#define PROC_SUPER_MAGIC 0x9fa0ul
#define ANON_INODE_FS_MAGIC 0x09041934ul
#define BPF_FS_MAGIC 0xcafe4a11ul
#define MQUEUE_FS_MAGIC 0x19800202ul
#define CGROUP2_SUPER_MAGIC 0x63677270ul
#define SECURITYFS_MAGIC 0x73636673ul
#define HUGETLBFS_MAGIC 0x958458f6ul
#define SYSFS_MAGIC 0x62656572ul
#define NSFS_MAGIC 0x6e736673ul
#define PID_FS_MAGIC 0x50494446ul

#endif
