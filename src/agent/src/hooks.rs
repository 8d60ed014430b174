//! Which programs a policy needs attached. An attached program costs every task, also those that nothing confines, so
//! only what some loaded policy asks for is attached.

use kiln_base::abi::layout::Header;
use kiln_base::model::{KernelOp, Verb};

/// When a program must be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// In each generation: labels and self-protection; a program that does more besides stands alone at its hook, as each
    /// one more costs all tasks.
    always: bool,
    /// Any of these bits of `required_hooks_lo`: verbs, and the transitions below.
    verbs: u32,
    /// Any of these bits of `required_hooks_hi`: kernel operations.
    ops: u32,
    /// Only where descriptors may be open that the policy would not open now.
    revocation: bool,
}

/// The program that the agent calls; the others are attached.
pub const MARK_GROUPS: &str = "kiln_mark_groups";
/// Bit of `required_hooks_lo`: some subject changes at exec.
pub const EXEC_TRANSITIONS: u32 = 1 << 16;
/// Bit of `required_hooks_lo`: some subject attaches to units.
pub const UNIT_TRANSITIONS: u32 = 1 << 17;

const fn v(verb: Verb) -> u32 {
    1 << verb as u8
}
const fn k(op: KernelOp) -> u32 {
    1 << op as u8
}
const ALWAYS: Need = Need { always: true, verbs: 0, ops: 0, revocation: false };
const fn verbs(verbs: u32) -> Need {
    Need { always: false, verbs, ops: 0, revocation: false }
}
const fn op(op: KernelOp) -> Need {
    Need { always: false, verbs: 0, ops: k(op), revocation: false }
}
/// Some rule on accept names addresses.
const PEERS: Need = verbs(1 << 18);
const fn either(verbs: u32, op: KernelOp) -> Need {
    Need { always: false, verbs, ops: k(op), revocation: false }
}

const R: u32 = v(Verb::Read);
const M: u32 = v(Verb::Modify);
const C: u32 = v(Verb::Create);
const D: u32 = v(Verb::Delete);
const S: u32 = v(Verb::Setattr);
const FILES: u32 = 0x7f;
/// A second name must give no verb that the first lacks.
const NAMES: Need = verbs(FILES | v(Verb::Bind) | v(Verb::Connect) | v(Verb::Accept));
/// Files, and memory that is opened as one.
const HELD: Need =
    Need { always: false, verbs: R | M, ops: k(KernelOp::ExecMemory) | k(KernelOp::Ptrace), revocation: true };

/// Every program of the object, with its need.
const PROGRAMS: &[(&str, Need)] = &[
    // Learns by which bits this kernel tells the files below an overlay's.
    ("kiln_arch_ptrace", Need { always: false, verbs: 0, ops: k(KernelOp::Ptrace), revocation: true }),
    ("kiln_arch_ptrace_compat", Need { always: false, verbs: 0, ops: k(KernelOp::Ptrace), revocation: true }),
    ("kiln_backing", either(FILES, KernelOp::ExecMemory)),
    ("kiln_born_there", ALWAYS),
    ("kiln_bpf", ALWAYS),
    ("kiln_bpf_map", ALWAYS),
    ("kiln_bpf_prog", ALWAYS),
    // Also sees a unit's first program start, and keeps the label of a process whose thread executes.
    ("kiln_bprm_check_security", ALWAYS),
    ("kiln_bprm_committed_creds", verbs(EXEC_TRANSITIONS)),
    ("kiln_bprm_creds_from_file", op(KernelOp::Setuid)),
    // adjtimex(2), mount_setattr(2) and fsmount(2) are seen only as their capability.
    (
        "kiln_capable",
        Need {
            always: false,
            verbs: v(Verb::Capability),
            ops: k(KernelOp::Clock) | k(KernelOp::Mount) | k(KernelOp::Module),
            revocation: false,
        },
    ),
    // setpcap, of which the kernel asks no security module.
    ("kiln_capset", verbs(v(Verb::Capability))),
    ("kiln_cgroup_attach_task", ALWAYS),
    ("kiln_cgroup_leave", ALWAYS),
    ("kiln_cgroup_mkdir", ALWAYS),
    ("kiln_cgroup_release", ALWAYS),
    ("kiln_cgroup_rmdir", ALWAYS),
    ("kiln_file_ioctl", ALWAYS),
    ("kiln_file_ioctl_compat", ALWAYS),
    ("kiln_file_lock", ALWAYS),
    ("kiln_file_mprotect", either(v(Verb::Load), KernelOp::ExecMemory)),
    // Also sees who opens /proc/PID/mem, and keeps confined tasks from writing to what is Kiln's.
    ("kiln_file_open", ALWAYS),
    ("kiln_file_permission", HELD),
    ("kiln_file_receive", either(R | M, KernelOp::ExecMemory)),
    ("kiln_file_send_sigiotask", ALWAYS),
    ("kiln_file_truncate", verbs(M)),
    // Mounting a network file system connects.
    ("kiln_fs_context_parse_param", op(KernelOp::Mount)),
    ("kiln_inet_conn_request", verbs(v(Verb::Accept))),
    ("kiln_inode_create", ALWAYS),
    // Also remembers who makes an io_uring.
    ("kiln_inode_init_security_anon", either(R | M, KernelOp::ExecMemory)),
    ("kiln_inode_link", ALWAYS),
    ("kiln_inode_mkdir", ALWAYS),
    ("kiln_inode_mknod", ALWAYS),
    ("kiln_inode_remove_acl", ALWAYS),
    ("kiln_inode_removexattr", ALWAYS),
    ("kiln_inode_rename", ALWAYS),
    ("kiln_inode_rmdir", ALWAYS),
    ("kiln_inode_set_acl", ALWAYS),
    ("kiln_inode_setattr", ALWAYS),
    ("kiln_inode_setattr_idmap", ALWAYS),
    ("kiln_inode_setxattr", ALWAYS),
    ("kiln_inode_symlink", ALWAYS),
    ("kiln_inode_unlink", ALWAYS),
    // Messages that sendmmsg(2) asks nobody about.
    ("kiln_ip6_datagram_send_ctl", verbs(v(Verb::Connect))),
    ("kiln_ip_cmsg_send", verbs(v(Verb::Connect))),
    (
        "kiln_kernel_load_data",
        Need { always: false, verbs: 0, ops: k(KernelOp::Module) | k(KernelOp::Kexec), revocation: false },
    ),
    ("kiln_kernel_module_request", op(KernelOp::Module)),
    (
        "kiln_kernel_read_file",
        Need { always: false, verbs: 0, ops: k(KernelOp::Module) | k(KernelOp::Kexec), revocation: false },
    ),
    ("kiln_locked_down", op(KernelOp::Lockdown)),
    (MARK_GROUPS, ALWAYS),
    ("kiln_mmap_file", either(v(Verb::Load), KernelOp::ExecMemory)),
    ("kiln_mmap_held", Need { always: false, verbs: R | M, ops: 0, revocation: true }),
    ("kiln_mnt_want_write", verbs(S)),
    ("kiln_mnt_want_write_file", verbs(S)),
    ("kiln_move_mount", ALWAYS),
    ("kiln_mprotect_held", Need { always: false, verbs: R | M, ops: 0, revocation: true }),
    ("kiln_path_chmod", verbs(S)),
    ("kiln_path_chown", verbs(S)),
    ("kiln_path_chroot", op(KernelOp::Chroot)),
    ("kiln_path_link", NAMES),
    ("kiln_path_mkdir", verbs(C)),
    ("kiln_path_mknod", verbs(C | v(Verb::Bind))),
    ("kiln_path_notify", ALWAYS),
    ("kiln_path_rename", NAMES),
    ("kiln_path_rmdir", verbs(D)),
    ("kiln_path_symlink", verbs(C)),
    ("kiln_path_truncate", verbs(M)),
    ("kiln_path_unlink", verbs(D)),
    ("kiln_perf_event_alloc", op(KernelOp::Ptrace)),
    ("kiln_perf_event_open", op(KernelOp::Perf)),
    ("kiln_personality", op(KernelOp::ExecMemory)),
    ("kiln_personality_compat", op(KernelOp::ExecMemory)),
    ("kiln_prctl_capability", verbs(v(Verb::Capability))),
    ("kiln_ptrace_access_check", ALWAYS),
    ("kiln_ptrace_traceme", op(KernelOp::Ptrace)),
    ("kiln_sb_mount", ALWAYS),
    ("kiln_sb_pivotroot", ALWAYS),
    ("kiln_sb_remount", ALWAYS),
    ("kiln_sb_umount", ALWAYS),
    // What execve(2) makes executable by itself.
    ("kiln_sched_process_exec", op(KernelOp::ExecMemory)),
    ("kiln_sched_process_fork", ALWAYS),
    ("kiln_sctp_assoc_request", verbs(v(Verb::Accept))),
    ("kiln_sctp_bind_connect", verbs(v(Verb::Bind) | v(Verb::Connect))),
    ("kiln_sendpage", PEERS),
    ("kiln_settime", op(KernelOp::Clock)),
    // A connection that was refused when it was handed out already stays of no use.
    ("kiln_sock_graft", PEERS),
    ("kiln_socket_accept", verbs(v(Verb::Accept))),
    ("kiln_socket_bind", verbs(v(Verb::Bind))),
    // Also a port that is taken without bind(2).
    ("kiln_socket_connect", verbs(v(Verb::Bind) | v(Verb::Connect))),
    (
        "kiln_socket_create",
        Need { always: false, verbs: 0, ops: k(KernelOp::RawSocket) | k(KernelOp::Mount), revocation: false },
    ),
    ("kiln_socket_getsockopt", PEERS),
    // Also remembers who listens, for the accept side.
    ("kiln_socket_listen", verbs(v(Verb::Bind) | v(Verb::Accept))),
    ("kiln_socket_recvmsg", PEERS),
    (
        "kiln_socket_sendmsg",
        Need { always: false, verbs: v(Verb::Bind) | v(Verb::Connect) | 1 << 18, ops: 0, revocation: false },
    ),
    // A source route goes round the addresses. And a connection that was refused gets no other way to be read.
    ("kiln_socket_setsockopt", verbs(v(Verb::Connect) | 1 << 18)),
    ("kiln_splice_read", PEERS),
    ("kiln_task_alloc", ALWAYS),
    ("kiln_task_fix_setgid", op(KernelOp::Setuid)),
    ("kiln_task_fix_setgroups", op(KernelOp::Setuid)),
    ("kiln_task_fix_setuid", op(KernelOp::Setuid)),
    ("kiln_task_kill", ALWAYS),
    ("kiln_task_movememory", ALWAYS),
    ("kiln_task_prctl", ALWAYS),
    ("kiln_task_setioprio", ALWAYS),
    ("kiln_task_setnice", ALWAYS),
    ("kiln_task_setpgid", ALWAYS),
    ("kiln_task_setrlimit", ALWAYS),
    ("kiln_task_setscheduler", ALWAYS),
    ("kiln_unix_may_send", verbs(v(Verb::Connect))),
    // Guards the agent's own socket, too.
    ("kiln_unix_stream_connect", ALWAYS),
    ("kiln_uring_cmd", op(KernelOp::IoUring)),
    ("kiln_uring_override_creds", op(KernelOp::IoUring)),
    ("kiln_uring_sqpoll", op(KernelOp::IoUring)),
    ("kiln_userns_create", op(KernelOp::Userns)),
    ("kiln_vm_brk_flags", op(KernelOp::ExecMemory)),
];

/// The programs that a policy needs.
pub fn needed(header: &Header, revocation: bool) -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().filter(move |(_, need)| need.asks(header, revocation)).map(|(name, _)| *name)
}

impl Need {
    /// The need of a program; one that is not listed here is always needed, so that a new program is never forgotten.
    pub fn of(program: &str) -> Need {
        PROGRAMS.binary_search_by(|(name, _)| (*name).cmp(program)).map_or(ALWAYS, |at| PROGRAMS[at].1)
    }

    /// Whether a policy needs the program. `revocation`: descriptors may be open that were opened under weaker rules.
    pub fn asks(&self, header: &Header, revocation: bool) -> bool {
        self.always
            || ((!self.revocation || revocation)
                && (self.verbs & header.required_hooks_lo != 0 || self.ops & header.required_hooks_hi != 0))
    }
}

/// A header that asks for these hooks.
#[cfg(test)]
pub(super) fn test_header(lo: u32, hi: u32) -> Header {
    Header {
        magic: 0,
        abi_version: 0,
        words: 0,
        subjects_off: 0,
        n_subjects: 0,
        decisions_off: 0,
        n_decisions: 0,
        outcomes_off: 0,
        n_outcomes: 0,
        outcome_refs_off: 0,
        n_outcome_refs: 0,
        host_verbs: 0,
        required_hooks_lo: lo,
        required_hooks_hi: hi,
        reserved: [0; 2],
        path_class: [0; 256],
        net_class: [0; 256],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_each_verb_and_operation_has_a_program() {
        assert!(PROGRAMS.is_sorted_by(|a, b| a.0 < b.0));
        let asked = |h: &Header| PROGRAMS.iter().filter(|(_, n)| !n.always && n.asks(h, false)).count();
        for verb in Verb::ALL {
            let expect = !matches!(verb, Verb::Kernel | Verb::Syscall);
            assert_eq!(asked(&test_header(v(verb), 0)) > 0, expect, "{verb}");
        }
        for op in KernelOp::ALL {
            // bpf(2) and ioctl(2) are always watched.
            let always = matches!(op, KernelOp::Bpf | KernelOp::Ioctl);
            assert_eq!(asked(&test_header(0, k(*op))) > 0, !always, "{}", op.name());
        }
        assert_eq!(asked(&test_header(0, 0)), 0);
    }

    #[test]
    fn every_program_of_the_source_is_listed() {
        let mut source = Vec::new();
        for entry in std::fs::read_dir("bpf").unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "c") {
                let text = std::fs::read_to_string(path).unwrap();
                let names = text.split("BPF_PROG(").skip(1).filter_map(|rest| rest.split([',', ')']).next());
                source.extend(names.map(str::to_owned));
            }
        }
        source.sort();
        let listed: Vec<String> = PROGRAMS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed, source);
    }

    #[test]
    fn revocation_is_asked_for_apart() {
        let need = Need::of("kiln_file_permission");
        assert!(!need.asks(&test_header(R, 0), false) && need.asks(&test_header(R, 0), true));
        assert!(!need.asks(&test_header(v(Verb::Bind), 0), true));
        assert!(Need::of("kiln_something_new").asks(&test_header(0, 0), false));
    }
}
