//! What a hooked kernel function does, and what its arguments mean.

/// An argument's number, or that something was read or written: what decides between operations of one function.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// All numbers among the arguments, in order.
    pub all: Vec<i64>,
    /// How many of them stand before the first path or text.
    pub before_path: usize,
}

impl Numbers {
    fn first(&self) -> Option<i64> {
        self.all.first().copied()
    }

    fn second(&self) -> Option<i64> {
        self.all.get(1).copied()
    }

    fn after_path(&self) -> Option<i64> {
        self.all.get(self.before_path).copied()
    }
}

/// What one kernel function goes by: entry points, wrappers and security hooks of the same call.
const PREFIXES: [&[u8]; 15] = [
    b"__x64_",
    b"__arm64_",
    b"__ia32_",
    b"__se_",
    b"__do_",
    b"bpf_lsm_",
    b"sys_enter_",
    b"sys_exit_",
    b"do_sys_",
    b"ksys_",
    b"sys_",
    b"security_",
    b"vfs_",
    b"do_",
    b"__",
];

/// `ptrace` requests that change the other process: POKETEXT, POKEDATA, POKEUSR, SETREGS, SETFPREGS, ATTACH, SETREGSET,
/// SEIZE. Tracing oneself, as debuggers' children do, is none.
const PTRACE_WRITES: [i64; 8] = [4, 5, 6, 13, 15, 16, 0x4205, 0x4206];

/// The function without the prefixes of its many forms.
fn core(mut function: &[u8]) -> &[u8] {
    while let Some(rest) =
        PREFIXES.iter().find_map(|prefix| function.strip_prefix(*prefix)).filter(|rest| !rest.is_empty())
    {
        function = rest;
    }
    function
}

/// The function as an operation; nothing if it is not known.
pub(super) fn operation(function: &[u8], numbers: &Numbers) -> &'static [u8] {
    let core = core(function);
    let has = |word: &[u8]| memchr::memmem::find(core, word).is_some();
    let one_of = |words: &[&[u8]]| words.contains(&core);
    let either = |writes: bool| -> &'static [u8] { if writes { b"write" } else { b"open" } };
    match core {
        b"ptrace" => match numbers.first() {
            Some(request) if !PTRACE_WRITES.contains(&request) => b"ptrace",
            _ => b"process_inject",
        },
        // PTRACE_MODE_ATTACH; reading another's /proc asks for PTRACE_MODE_READ.
        b"ptrace_access_check" => match numbers.first() {
            Some(mode) if mode & 2 == 0 => b"ptrace",
            _ => b"process_inject",
        },
        b"ptrace_traceme" => b"ptrace",
        // MAY_WRITE, MAY_APPEND.
        b"file_permission" | b"inode_permission" => either(numbers.first().is_some_and(|mask| mask & (2 | 8) != 0)),
        // PROT_WRITE of MAP_SHARED: what is written there reaches the file.
        b"mmap_file" => either(
            numbers.first().is_some_and(|prot| prot & 2 != 0) && numbers.second().is_some_and(|flags| flags & 1 != 0),
        ),
        // O_WRONLY, O_RDWR, O_TRUNC.
        b"open" | b"openat" | b"openat2" | b"filp_open" => {
            either(numbers.after_path().is_some_and(|flags| flags & 3 != 0 || flags & 0o1000 != 0))
        }
        // READING_MODULE; READING_KEXEC_IMAGE, READING_KEXEC_INITRAMFS.
        b"kernel_read_file" | b"kernel_load_data" | b"kernel_post_read_file" => match numbers.first() {
            Some(2) => b"module_load",
            Some(3 | 4) => b"kernel",
            _ => b"open",
        },
        // The kernel asks for a module by an alias, for a protocol or a file system: it chooses what is loaded.
        b"kernel_module_request" => b"module_request",
        b"capable" | b"cap_capable" | b"ns_capable" => b"capability",
        b"creat" | b"inode_create" | b"mknod" | b"mknodat" | b"path_mknod" | b"mkdir" | b"mkdirat" | b"path_mkdir"
        | b"inode_mkdir" => b"write",
        b"file_open" | b"fd_install" | b"read" | b"readv" | b"pread64" | b"preadv" | b"kernel_read" => b"open",
        b"write" | b"writev" | b"pwrite64" | b"pwritev" | b"pwritev2" | b"kernel_write" | b"fallocate"
        | b"copy_file_range" => b"write",
        b"inode_setattr" | b"notify_change" => b"chmod",
        b"pivot_root" | b"sb_pivotroot" | b"fsopen" | b"fsconfig" => b"mount",
        b"dup" | b"dup2" | b"dup3" => b"dup",
        b"socket" | b"socket_create" => b"socket",
        b"kexec_load" | b"kexec_file_load" => b"kernel",
        _ if has(b"process_vm_writev") => b"process_inject",
        _ if has(b"module") => b"module_load",
        _ if core.starts_with(b"bpf") => b"bpf",
        _ if has(b"readlink") || has(b"follow_link") => b"open",
        _ if has(b"unlink") || has(b"rmdir") => b"delete",
        _ if has(b"rename") => b"rename",
        _ if has(b"link") && !has(b"netlink") => b"link",
        _ if has(b"mount") => b"mount",
        _ if has(b"truncate") => b"write",
        _ if has(b"chmod") || has(b"chown") => b"chmod",
        _ if has(b"setuid") || has(b"setgid") || has(b"setresuid") || has(b"setreuid") || has(b"capset") => b"setuid",
        _ if one_of(&[b"commit_creds", b"override_creds"]) => b"setuid",
        _ if has(b"setns") || has(b"unshare") || has(b"user_ns") || has(b"userns_create") || has(b"new_namespaces") => {
            b"namespace"
        }
        _ if has(b"execve") || has(b"bprm") || core == b"sched_process_exec" => b"exec",
        _ if has(b"disconnect") => b"",
        _ if [b"connect".as_slice(), b"sendmsg", b"sendto", b"bind", b"accept", b"listen"]
            .iter()
            .any(|word| has(word)) =>
        {
            b"network_connect"
        }
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(function: &str, all: &[i64]) -> String {
        let numbers = Numbers { all: all.to_vec(), before_path: 0 };
        String::from_utf8_lossy(operation(function.as_bytes(), &numbers)).into_owned()
    }

    #[test]
    fn arguments_mean_what_the_function_says() {
        for (function, numbers, wanted) in [
            ("security_file_permission", [4].as_slice(), "open"),
            ("security_file_permission", &[2], "write"),
            ("security_file_permission", &[8], "write"),
            ("security_mmap_file", &[3, 1], "write"),
            ("security_mmap_file", &[3, 2], "open"),
            ("security_mmap_file", &[1, 1], "open"),
            ("security_mmap_file", &[2], "open"),
            ("fd_install", &[2], "open"),
            ("sys_openat", &[0o1101], "write"),
            ("__x64_sys_openat", &[0], "open"),
            ("sys_write", &[2, 16], "write"),
            ("__x64_sys_ptrace", &[0], "ptrace"),
            ("sys_ptrace", &[16], "process_inject"),
            ("security_ptrace_access_check", &[1], "ptrace"),
            ("security_kernel_read_file", &[2], "module_load"),
            ("security_kernel_read_file", &[1], "open"),
            ("security_kernel_module_request", &[], "module_request"),
            ("do_init_module", &[], "module_load"),
            ("security_inode_follow_link", &[], "open"),
            ("sys_enter_readlinkat", &[], "open"),
            ("security_path_unlink", &[], "delete"),
            ("security_inode_symlink", &[], "link"),
            ("tcp_connect", &[], "network_connect"),
            ("tcp_disconnect", &[], ""),
            ("bpf_lsm_bprm_check_security", &[], "exec"),
            ("security_bpf_prog_load", &[], "bpf"),
            ("cap_capable", &[], "capability"),
            ("commit_creds", &[], "setuid"),
            ("__x64_sys_setuid", &[0], "setuid"),
            ("create_user_ns", &[], "namespace"),
            ("sys_pivot_root", &[], "mount"),
            ("SSL_write", &[], ""),
        ] {
            assert_eq!(of(function, numbers), wanted, "{function} {numbers:?}");
        }
    }
}
