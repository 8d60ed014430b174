//! Falco's JSON output, and the flat form of the same words.
//!
//! Field names: falco.org/docs/reference/rules/supported-fields. `fd.sip` is the server's address, `fd.cip` the
//! client's, `fd.rip` the remote one.

use std::borrow::Cow;

use super::line::{Line, base_text};
use super::schema::S;
use super::time::parse_time;
use crate::engine::event::{Event, Source, Text};
use crate::engine::json::Kind;

/// A system call as an operation; other words stay as they are.
fn operation<'a>(call: Text<'a>) -> Text<'a> {
    Cow::Borrowed(match &*call {
        b"execve" | b"execveat" | b"clone" | b"clone3" | b"fork" | b"vfork" => b"exec",
        b"open" | b"openat" | b"openat2" | b"creat" | b"open_by_handle_at" => b"open",
        b"write" | b"writev" | b"pwrite" | b"pwrite64" | b"pwritev" => b"write",
        b"unlink" | b"unlinkat" | b"rmdir" => b"delete",
        b"rename" | b"renameat" | b"renameat2" => b"rename",
        b"connect" | b"sendto" | b"sendmsg" | b"accept" | b"accept4" | b"bind" | b"listen" => b"network_connect",
        b"init_module" | b"finit_module" | b"delete_module" => b"module_load",
        b"ptrace" | b"process_vm_writev" => b"process_inject",
        b"symlink" | b"symlinkat" | b"link" | b"linkat" => b"link",
        b"mount" | b"umount" | b"umount2" | b"move_mount" => b"mount",
        b"chmod" | b"fchmod" | b"fchmodat" | b"chown" | b"fchown" | b"fchownat" => b"chmod",
        b"setuid" | b"setresuid" | b"setgid" | b"setresgid" | b"capset" => b"setuid",
        b"dup" | b"dup2" | b"dup3" => b"dup",
        b"setns" | b"unshare" => b"namespace",
        b"procexit" => b"exit",
        _ => return call,
    })
}

/// Falco's alerts of its own state: it has lost system calls, or its outputs are blocked.
pub(super) fn notice(line: &Line<'_>) -> Option<&'static str> {
    let own = line.text(S::RULE).starts_with(b"Falco internal:") || *line.text(S::SOURCE_TOP) == *b"internal";
    let process = [S::PROC_NAME, S::PROC_PID, S::PROC_EXEPATH, S::PROC_CMDLINE, S::PROCESS_NAME_TOP];
    (own && process.iter().all(|slot| line.text(*slot).is_empty()))
        .then_some("Falco reports its own state, not a process")
}

/// Whether a call that opens a file opens it for writing.
fn opens_for_writing(flags: &[u8]) -> bool {
    ["O_WRONLY", "O_RDWR", "O_TRUNC"].iter().any(|flag| memchr::memmem::find(flags, flag.as_bytes()).is_some())
}

pub(super) fn event<'a>(line: &Line<'a>) -> Event<'a> {
    let flags = line.text(S::ARG_FLAGS);
    let operation = match operation(line.first(&[S::EVT_TYPE, S::EVT_TYPE_TOP])) {
        open if *open == *b"open" && opens_for_writing(&flags) => Cow::Borrowed(b"write".as_slice()),
        other => other,
    };
    let network = *operation == *b"network_connect";
    let exe = line.text(S::PROC_EXEPATH);
    let mut name = line.first(&[S::PROC_NAME, S::PROCESS_NAME_TOP]);
    if name.is_empty() {
        name = base_text(&exe);
    }
    let target = if network {
        endpoint(line)
    } else if *operation == *b"module_load" {
        line.first(&[S::FD_NAME, S::ARG_NAME, S::PROC_ARGS, S::TARGET_TOP])
    } else {
        line.first(&[
            S::FD_NAME,
            S::ARG_TARGET,
            S::ARG_OLDPATH,
            S::ARG_PATH,
            S::ARG_FILENAME,
            S::TARGET_TOP,
            S::PROC_EXEPATH,
        ])
    };
    let container = match line.text(S::CONTAINER_ID) {
        id if *id == *b"host" => Text::default(),
        id => id,
    };
    let geometry = [S::GEOMETRY, S::GEOMETRY_TOP].into_iter().find_map(|slot| match line.at(slot).kind {
        Kind::Int | Kind::Float | Kind::Plain => std::str::from_utf8(&line.text(slot)).ok()?.parse().ok(),
        _ => None,
    });
    Event {
        source: Source::Falco,
        time: parse_time(&line.text(S::TIME)).or_else(|| line.number(S::EVT_TIME).and_then(|n| i64::try_from(n).ok())),
        host: line.first(&[S::HOST_NAME, S::K8S_NODE, S::HOSTNAME]),
        pid: line
            .number(S::PROC_PID)
            .or_else(|| line.number(S::PID_TOP))
            .and_then(|n| u32::try_from(n).ok())
            .filter(|p| *p > 0),
        start: line.number(S::PROC_START).filter(|n| *n > 0),
        name,
        exe,
        parent: line.first(&[S::PROC_PNAME, S::PARENT_TOP]),
        ancestors: [line.text(S::PROC_ANAME2), line.text(S::PROC_ANAME3), line.text(S::PROC_ANAME4)],
        command_line: line.first(&[S::PROC_CMDLINE, S::COMMAND_TOP]),
        user: line.text(S::USER_NAME),
        uid: line.number(S::USER_UID).and_then(|n| u32::try_from(n).ok()),
        terminal: line.number(S::PROC_TTY).map(|tty| tty != 0),
        container,
        container_name: line.text(S::CONTAINER_NAME),
        image: line.text(S::CONTAINER_IMAGE),
        pod: line.text(S::POD),
        namespace: line.text(S::NS),
        operation,
        target,
        destination: line.first(&[S::ARG_NEWPATH, S::ARG_LINKPATH]),
        flags,
        upper_layer: line.flag(S::EXE_UPPER) == Some(true),
        rule: line.text(S::RULE),
        priority: line.text(S::PRIORITY),
        tags: line.list(S::TAGS),
        signer_trusted: line.flag(S::SIGNER).or_else(|| line.flag(S::SIGNER_TOP)),
        sha256: line.first(&[S::SHA, S::SHA_TOP]),
        unlinked: line.flag(S::EXE_MEMFD) == Some(true),
        geometry,
        ..Event::default()
    }
}

/// The far end of a connection: `fd.name` is `client->server`, otherwise the remote or the server's address.
fn endpoint<'a>(line: &Line<'a>) -> Text<'a> {
    let name = line.text(S::FD_NAME);
    if !name.is_empty() {
        return name;
    }
    let address = line.first(&[S::FD_RIP, S::FD_SIP]);
    let port = line.first(&[S::FD_RPORT, S::FD_SPORT]);
    match (address.is_empty(), port.is_empty()) {
        (true, _) => line.text(S::TARGET_TOP),
        (false, true) => address,
        (false, false) => Cow::Owned([&*address, b":", &*port].concat()),
    }
}
