//! Tetragon's JSON export: tetragon.io/docs/reference/grpc-api, one `GetEventsResponse` a line.

use std::borrow::Cow;

use super::{Line, S, base_text, parse_time};
use crate::gate::engine::event::{Event, Source, Text};
use crate::gate::engine::json::{Value, parse_token};

/// A kernel function as an operation.
fn operation(function: &[u8], arguments: &Arguments) -> &'static [u8] {
    let has = |word: &[u8]| memchr::memmem::find(function, word).is_some();
    if has(b"ptrace") || has(b"process_vm_writev") {
        b"process_inject"
    } else if has(b"module") {
        b"module_load"
    } else if has(b"connect") || has(b"sendmsg") || has(b"bind") || has(b"accept") {
        b"network_connect"
    } else if has(b"unlink") || has(b"rmdir") {
        b"delete"
    } else if has(b"rename") {
        b"rename"
    } else if has(b"link") {
        b"link"
    } else if has(b"mount") {
        b"mount"
    } else if has(b"setuid") || has(b"commit_creds") || has(b"capset") {
        b"setuid"
    } else if has(b"chmod") || has(b"chown") {
        b"chmod"
    } else if has(b"setns") || has(b"unshare") {
        b"namespace"
    } else if has(b"exec") || has(b"bprm") {
        b"exec"
    } else if has(b"truncate") || has(b"write") || arguments.writes {
        b"write"
    } else if has(b"open") || has(b"read") || has(b"file_permission") || has(b"fd_install") || has(b"mmap_file") {
        b"open"
    } else {
        b""
    }
}

/// What a probe's arguments say.
#[derive(Default)]
struct Arguments {
    target: Vec<u8>,
    writes: bool,
}

impl Arguments {
    fn of(list: &Value) -> Arguments {
        let mut found = Arguments::default();
        let Value::List(items) = list else { return found };
        for item in items {
            let Value::Map(entries) = item else { continue };
            for (kind, value) in entries {
                found.take(kind, value);
            }
        }
        found
    }

    fn take(&mut self, kind: &[u8], value: &Value) {
        let target = match (kind, value) {
            (b"file_arg" | b"path_arg" | b"linux_binprm_arg", map) => text(map, b"path"),
            (b"module_arg" | b"kernel_module_arg", map) => text(map, b"name"),
            (b"sock_arg" | b"skb_arg" | b"sockaddr_arg", map) => {
                let (address, port) =
                    (text(map, b"daddr").or(text(map, b"addr")), text(map, b"dport").or(text(map, b"port")));
                address.map(|address| match port {
                    Some(port) => [address, b":".to_vec(), port].concat(),
                    None => address,
                })
            }
            (b"string_arg", Value::Text(text)) => Some(text.clone()),
            // MAY_WRITE of security_file_permission and security_mmap_file.
            (b"int_arg", Value::Int(mask)) => {
                self.writes |= mask == "2";
                None
            }
            _ => None,
        };
        if self.target.is_empty() {
            self.target = target.unwrap_or_default();
        }
    }
}

fn text(map: &Value, name: &[u8]) -> Option<Vec<u8>> {
    let Value::Map(entries) = map else { return None };
    entries.iter().find(|(key, _)| key == name).and_then(|(_, value)| match value {
        Value::Text(text) => Some(text.clone()),
        Value::Int(digits) => Some(digits.clone().into_bytes()),
        _ => None,
    })
}

pub(super) fn event<'a>(line: &Line<'a>) -> Event<'a> {
    let exe = line.text(S::P_BINARY);
    let arguments = line.text(S::P_ARGUMENTS);
    let function = line.first(&[S::T_FUNCTION, S::T_EVENT]);
    let args = match line.has(S::T_ARGS) {
        true => Arguments::of(&parse_token(line.at(S::T_ARGS), line.bytes)),
        false => Arguments::default(),
    };
    let operation: Text<'a> = if line.has(S::BODY_EXEC) {
        Cow::Borrowed(b"exec")
    } else if line.has(S::BODY_EXIT) {
        Cow::Borrowed(b"exit")
    } else {
        match operation(&function, &args) {
            b"" => function,
            known => Cow::Borrowed(known),
        }
    };
    let target = if *operation == *b"exec" && args.target.is_empty() { exe.clone() } else { Cow::Owned(args.target) };
    let acted = matches!(
        &*line.text(S::T_ACTION),
        b"KPROBE_ACTION_SIGKILL" | b"KPROBE_ACTION_OVERRIDE" | b"KPROBE_ACTION_SIGNAL"
    );
    Event {
        source: Source::Tetragon,
        time: parse_time(&line.text(S::TIME)),
        host: line.text(S::NODE_NAME),
        pid: line.number(S::P_PID).and_then(|n| u32::try_from(n).ok()).filter(|pid| *pid > 0),
        start: parse_time(&line.text(S::P_START)).and_then(|ns| u64::try_from(ns).ok()),
        exec_id: line.text(S::P_EXEC_ID),
        parent_exec_id: line.first(&[S::P_PARENT_EXEC_ID, S::R_EXEC_ID]),
        name: base_text(&exe),
        command_line: match (exe.is_empty(), arguments.is_empty()) {
            (_, true) => exe.clone(),
            (true, false) => arguments,
            (false, false) => Cow::Owned([&*exe, b" ", &*arguments].concat()),
        },
        parent: base_text(&line.text(S::R_BINARY)),
        uid: line.number(S::P_UID).and_then(|n| u32::try_from(n).ok()),
        container: line.first(&[S::P_CONTAINER_ID, S::P_DOCKER]),
        container_name: line.text(S::P_CONTAINER_NAME),
        image: line.text(S::P_IMAGE),
        pod: line.text(S::P_POD),
        namespace: line.text(S::P_NS),
        operation,
        target,
        rule: line.text(S::T_POLICY),
        tags: line.list(S::T_TAGS),
        verdict: Cow::Borrowed(if acted { b"denied" } else { b"" }),
        // Tetragon reports how many names the executable's inode has: none means memory or a deleted file.
        unlinked: line.number(S::P_LINKS) == Some(0),
        exe,
        ..Event::default()
    }
}
