//! What this build knows of the kernel, held against what the running kernel has: a hook, a system call or an operation of
//! io_uring that came later may reach an object by a way that no program sees. docs/coverage.md is the whole table.

use std::collections::BTreeSet;

use libbpf_rs::btf::types::Enum;
use libbpf_rs::btf::{Btf, BtfKind, BtfType};

use crate::error::{Lack, Result};
use crate::unknown::Unknown;

/// `hook NAME`, `call NAME` and `ring NAME`, sorted; written by a test from `tests/coverage`.
const NAMES: &str = include_str!("names.txt");

/// Functions of the kernel whose names begin as the hooks' do.
const NOT_HOOKS: [&str; 7] =
    ["find_cgroup_shim", "func_proto", "get_retval_range", "init", "is_sleepable_hook", "is_trusted", "verify_prog"];

/// How system calls' functions begin.
const CALLS: [&str; 3] = ["__x64_sys_", "__ia32_compat_sys_", "__ia32_sys_"];

/// Looks at the running kernel.
///
/// # Errors
/// If it has no type information.
pub fn unknown() -> Result<Unknown> {
    let kernel = Btf::from_vmlinux().map_err(Lack::Types)?;
    let mut names = Vec::new();
    for kind in kernel.type_by_kind::<BtfType<'_>>() {
        let Some(name) = kind.name().and_then(|n| n.to_str()) else { continue };
        match kind.kind() {
            BtfKind::Func => names.extend(function(name)),
            BtfKind::Enum if name == "io_uring_op" => {
                let operations = Enum::try_from(kind).ok();
                let variants = operations.iter().flat_map(|e| e.iter().collect::<Vec<_>>());
                names.extend(variants.filter_map(|v| operation(v.name?.to_str()?)));
            }
            _ => {}
        }
    }
    Ok(beyond(NAMES, names))
}

/// The kernel that tables were compiled for must be here: an older one would silently enforce less.
///
/// # Errors
/// If it is older.
pub fn at_least(needed: &str) -> Result<()> {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let version = |text: &str| {
        let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|p| p.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    if version(&release) >= version(needed) {
        return Ok(());
    }
    Err(Lack::Older { release: release.into_owned(), needed: needed.to_owned() }.into())
}

/// The entry of a function of the kernel; none if it is neither a hook nor a system call.
fn function(name: &str) -> Option<String> {
    if let Some(hook) = name.strip_prefix("bpf_lsm_") {
        return (!NOT_HOOKS.contains(&hook)).then(|| format!("hook {hook}"));
    }
    CALLS.iter().find_map(|prefix| name.strip_prefix(prefix)).map(|call| format!("call {call}"))
}

/// The entry of a value of `enum io_uring_op`; none for its end.
fn operation(name: &str) -> Option<String> {
    name.strip_prefix("IORING_OP_").filter(|name| *name != "LAST").map(|name| format!("ring {name}"))
}

/// Of a kernel's entries those that the list lacks.
fn beyond(list: &str, entries: impl IntoIterator<Item = String>) -> Unknown {
    let known: BTreeSet<&str> = list.lines().collect();
    let mut unknown = Unknown::default();
    for entry in entries {
        if known.contains(entry.as_str()) {
            continue;
        }
        let (kind, name) = entry.split_once(' ').unwrap_or(("", &entry));
        let names = match kind {
            "hook" => &mut unknown.hooks,
            "call" => &mut unknown.calls,
            _ => &mut unknown.operations,
        };
        names.insert(name.to_owned());
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_has_all_three_kinds() {
        assert!(NAMES.lines().is_sorted());
        for entry in ["hook file_open", "call openat2", "ring OPENAT"] {
            assert!(NAMES.lines().any(|line| line == entry), "{entry}");
        }
    }

    #[test]
    fn what_the_kernel_calls_a_thing_becomes_its_entry() {
        assert_eq!(function("bpf_lsm_file_open").as_deref(), Some("hook file_open"));
        assert_eq!(function("bpf_lsm_func_proto"), None);
        assert_eq!(function("__x64_sys_openat").as_deref(), Some("call openat"));
        assert_eq!(function("__ia32_compat_sys_openat").as_deref(), Some("call openat"));
        assert_eq!(function("vfs_open"), None);
        assert_eq!(operation("IORING_OP_NOP").as_deref(), Some("ring NOP"));
        assert_eq!(operation("IORING_OP_LAST"), None);
    }

    #[test]
    fn a_kernel_that_has_more_is_told_from_one_that_has_less() {
        let list = "call openat\nhook file_open\nring NOP";
        assert!(beyond(list, ["call openat".into(), "hook file_open".into()]).is_empty());
        let unknown = beyond(list, ["call openat3".into(), "hook file_look".into(), "ring OPEN_ALL".into()]);
        assert_eq!(unknown.to_string(), "hooks file_look; system calls openat3; io_uring operations OPEN_ALL");
    }
}
