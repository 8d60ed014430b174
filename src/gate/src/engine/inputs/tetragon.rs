//! Tetragon's JSON export: tetragon.io/docs/reference/grpc-api, one `GetEventsResponse` a line.

use std::borrow::Cow;

use kiln_base::model::Verdict;

use super::functions::{self, Numbers};
use super::line::{Line, base_name, base_text};
use super::schema::S;
use super::time::parse_time;
use crate::engine::event::{Event, Source, Text};
use crate::engine::json::{Value, parse_token};

/// What Tetragon says of itself: events were dropped, a control group is throttled.
pub(super) fn notice(line: &Line<'_>) -> Option<&'static str> {
    (!line.has(S::BODY)).then_some("Tetragon reports its own state, not a process")
}

/// What a probe's arguments say.
#[derive(Debug, Default)]
struct Arguments {
    /// Paths, texts and addresses, in order.
    targets: Vec<Vec<u8>>,
    numbers: Numbers,
}

impl Arguments {
    fn of(list: &Value) -> Arguments {
        let mut found = Arguments::default();
        let Value::List(items) = list else { return found };
        for item in items {
            let Value::Map(entries) = item else { continue };
            for (kind, value) in entries.iter().filter(|(kind, _)| kind != b"label") {
                found.take(kind, value);
            }
        }
        found
    }

    fn take(&mut self, kind: &[u8], value: &Value) {
        let target = match (kind, value) {
            (b"file_arg" | b"path_arg" | b"linux_binprm_arg" | b"sockaddrun_arg", map) => text(map, b"path"),
            (b"module_arg" | b"kernel_module_arg" | b"capability_arg" | b"net_dev_arg", map) => text(map, b"name"),
            (b"sock_arg" | b"skb_arg" | b"sockaddr_arg", map) => {
                // A socket that has no peer yet is where it listens.
                let own = matches!(text(map, b"dport").as_deref(), None | Some(b"0")) && text(map, b"sport").is_some();
                let (address, port) = match own {
                    true => (text(map, b"saddr"), text(map, b"sport")),
                    false => (text(map, b"daddr").or(text(map, b"addr")), text(map, b"dport").or(text(map, b"port"))),
                };
                address.map(|address| match port {
                    Some(port) => [address, b":".to_vec(), port].concat(),
                    None => address,
                })
            }
            (b"bpf_attr_arg" | b"bpf_prog_arg", map) => text(map, b"ProgName").or(text(map, b"ProgType")),
            (b"bpf_map_arg", map) => text(map, b"MapName").or(text(map, b"MapType")),
            (b"perf_event_arg", map) => text(map, b"KprobeFunc").or(text(map, b"Type")),
            (b"string_arg" | b"bpf_cmd_arg", Value::Text(text)) => Some(text.clone()),
            // 64-bit numbers are written as text.
            (b"int_arg" | b"uint_arg" | b"long_arg" | b"size_arg", Value::Int(digits)) => return self.number(digits),
            (b"long_arg" | b"size_arg", Value::Text(digits)) => return self.number(&String::from_utf8_lossy(digits)),
            _ => None,
        };
        self.targets.extend(target.filter(|target| !target.is_empty()));
    }

    fn number(&mut self, digits: &str) {
        let Ok(number) = digits.parse() else { return };
        self.numbers.all.push(number);
        self.numbers.before_path += usize::from(self.targets.is_empty());
    }

    /// Where it leads, of what has two ends.
    fn destination(&mut self, operation: &[u8]) -> Vec<u8> {
        match operation {
            b"rename" | b"link" if self.targets.len() > 1 => self.targets.pop().unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// What the operation is done to.
    fn target(mut self, operation: &[u8]) -> Vec<u8> {
        match (operation, self.targets.len()) {
            // A mount's second path is where it appears, and a setuid's number whom the process becomes.
            (b"mount", 2..) => self.targets.swap_remove(1),
            (b"setuid", 0) => self.numbers.all.first().map(|id| id.to_string().into_bytes()).unwrap_or_default(),
            (_, 0) => Vec::new(),
            _ => self.targets.swap_remove(0),
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

/// What a probe in user space sits in: a file, and the function, or the provider's name for the place.
fn probe<'a>(line: &Line<'a>) -> Text<'a> {
    let path = line.text(S::T_PATH);
    let parts = [line.text(S::T_PROVIDER), line.first(&[S::T_SYMBOL, S::T_NAME])];
    let place: Vec<&[u8]> =
        std::iter::once(&*path).chain(parts.iter().map(|part| &**part)).filter(|part| !part.is_empty()).collect();
    if place.len() < 2 { path } else { Cow::Owned(place.join(b":".as_slice())) }
}

/// Names of the grandparent and up; the list begins with the parent's parent.
fn ancestors<'a>(list: &Value) -> [Text<'a>; 3] {
    let Value::List(items) = list else { return Default::default() };
    let mut names =
        items.iter().filter_map(|item| text(item, b"binary")).map(|path| Cow::Owned(base_name(&path).to_vec()));
    std::array::from_fn(|_| names.next().unwrap_or_default())
}

pub(super) fn event<'a>(line: &Line<'a>) -> Event<'a> {
    let exe = line.text(S::P_BINARY);
    let arguments = line.text(S::P_ARGUMENTS);
    let function = line.first(&[S::T_FUNCTION, S::T_EVENT]);
    let mut args = match line.has(S::T_ARGS) {
        true => Arguments::of(&parse_token(line.at(S::T_ARGS), line.bytes)),
        false => Arguments::default(),
    };
    let word = |word: &'static [u8]| Text::Borrowed(word);
    // A library's function may have a system call's name without being one: probes in user space say where they are.
    let operation: Text<'a> = if line.has(S::BODY_EXEC) {
        word(b"exec")
    } else if line.has(S::BODY_EXIT) {
        word(b"exit")
    } else if line.has(S::BODY_LOADER) {
        word(b"load")
    } else if line.has(S::BODY_UPROBE) {
        word(b"uprobe")
    } else if line.has(S::BODY_USDT) {
        word(b"usdt")
    } else {
        match functions::operation(&function, &args.numbers) {
            b"" => function,
            known => word(known),
        }
    };
    let destination = args.destination(&operation);
    let target = if *operation == *b"exec" && args.targets.is_empty() {
        exe.clone()
    } else if matches!(&*operation, b"load" | b"uprobe" | b"usdt") {
        probe(line)
    } else {
        Cow::Owned(args.target(&operation))
    };
    let ancestors = match line.has(S::T_ANCESTORS) {
        true => ancestors(&parse_token(line.at(S::T_ANCESTORS), line.bytes)),
        false => Default::default(),
    };
    let acted = matches!(
        &*line.text(S::T_ACTION),
        b"KPROBE_ACTION_SIGKILL"
            | b"KPROBE_ACTION_OVERRIDE"
            | b"KPROBE_ACTION_SIGNAL"
            | b"KPROBE_ACTION_NOTIFYENFORCER"
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
        ancestors,
        user: line.text(S::P_USER),
        uid: line.number(S::P_UID).and_then(|n| u32::try_from(n).ok()),
        container: line.first(&[S::P_CONTAINER_ID, S::P_DOCKER]),
        container_name: line.text(S::P_CONTAINER_NAME),
        image: line.text(S::P_IMAGE),
        pod: line.text(S::P_POD),
        namespace: line.text(S::P_NS),
        operation,
        target,
        destination: Cow::Owned(destination),
        rule: line.text(S::T_POLICY),
        tags: line.list(S::T_TAGS),
        verdict: acted.then_some(Verdict::Denied.into()),
        // Tetragon reports how many names the executable's inode has: none means memory or a deleted file.
        unlinked: line.number(S::P_LINKS) == Some(0),
        exe,
        ..Event::default()
    }
}
