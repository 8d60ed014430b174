//! A Falco line as the reference's kernel event.

use super::fields::S;
use super::options::Options;
use crate::engine::json::{self, Kind, Token, Value, decode_string, parse_token, write_ascii_escaped};
use crate::engine::python::{
    float_from_text, int_from_text, lower_in_place, strip, write_float, write_int_literal, write_repr, write_repr_text,
    write_str,
};
use crate::engine::{Arena, Span, append};

/// The kernel event. Spans point into the arena.
pub(super) struct Event {
    pub host: Span,
    /// Canonical decimal.
    pub pid: Span,
    pub process_name: Span,
    pub operation: Span,
    pub target: Span,
    pub parent: Span,
    pub signer_trusted: bool,
    pub sha256: Option<Span>,
    pub geometry: f64,
    /// Whether host, name, operation and target are their own JSON.
    pub plain: bool,
    /// What the content scan reads.
    pub text: Span,
    /// The event as JSON, if it is to be printed.
    pub json: Span,
}

/// The tokens of one line, and how the reference reads them.
struct Line<'a> {
    bytes: &'a [u8],
    slots: &'a [Token],
}

impl Line<'_> {
    fn at(&self, slot: S) -> Token {
        self.slots.get(slot as usize).copied().unwrap_or_default()
    }

    /// The first key that holds something; where none does, the top-level key with whatever it holds.
    fn pick(&self, keys: &[S], top: S) -> Token {
        keys.iter().map(|key| self.at(*key)).find(Token::is_set).unwrap_or_else(|| self.at(top))
    }

    /// `str(value).strip()`, nothing for `None`.
    #[inline(always)]
    fn text(&self, token: Token, lower: bool, arena: &mut Arena) -> Span {
        if token.kind != Kind::Plain {
            return self.other_text(token, lower, arena);
        }
        let mark = arena.mark();
        let (mut start, mut end) = token.inner_range();
        // Printable ASCII: the space is the only white space that it can have.
        while start < end && self.bytes.get(start) == Some(&b' ') {
            start += 1;
        }
        while start < end && self.bytes.get(end - 1) == Some(&b' ') {
            end -= 1;
        }
        append(self.bytes, start, end, &mut arena.bytes);
        if lower && let Some(text) = arena.bytes.get_mut(mark as usize..) {
            text.make_ascii_lowercase();
        }
        arena.since(mark)
    }

    #[inline(never)]
    fn other_text(&self, token: Token, lower: bool, arena: &mut Arena) -> Span {
        let start = arena.bytes.len();
        let out = &mut arena.bytes;
        match token.kind {
            Kind::Missing | Kind::Null => return arena.since(start as u32),
            Kind::Escaped => {
                decode_string(token.inner(self.bytes), out);
                strip_tail(out, start);
            }
            Kind::Int => write_int_literal(token.raw(self.bytes), out),
            _ => {
                write_str(&parse_token(token, self.bytes), out);
                strip_tail(out, start);
            }
        }
        if lower {
            lower_in_place(out, start);
        }
        arena.since(start as u32)
    }
}

/// Whether the token's text needs no escape in JSON.
fn is_plain(token: Token) -> bool {
    matches!(token.kind, Kind::Plain | Kind::Missing | Kind::Null | Kind::Int)
}

/// Strips what was appended since `start`.
fn strip_tail(out: &mut Vec<u8>, start: usize) {
    let tail = strip(&out[start..]);
    let (skip, length) = (tail.as_ptr() as usize - out[start..].as_ptr() as usize, tail.len());
    out.copy_within(start + skip..start + skip + length, start);
    out.truncate(start + length);
}

fn operation(evt_type: &[u8]) -> Option<&'static [u8]> {
    Some(match evt_type {
        b"execve" | b"execveat" => b"exec",
        b"open" | b"openat" | b"openat2" => b"open",
        b"write" | b"writev" | b"pwrite64" => b"write",
        b"unlink" | b"unlinkat" | b"rmdir" => b"delete",
        b"rename" | b"renameat" | b"renameat2" => b"rename",
        b"connect" | b"sendto" | b"accept" | b"accept4" => b"network_connect",
        b"init_module" | b"finit_module" | b"delete_module" => b"module_load",
        b"ptrace" | b"process_vm_writev" => b"process_inject",
        b"" => b"open",
        _ => return None,
    })
}

pub(super) fn map(bytes: &[u8], slots: &[Token], options: &Options, arena: &mut Arena, scratch: &mut Vec<u8>) -> Event {
    let line = Line { bytes, slots };
    let evt_token = line.pick(&[S::EVT_TYPE, S::EVENT_TYPE], S::T_EVT_TYPE);
    let evt_type = line.text(evt_token, true, arena);
    let mut plain = is_plain(evt_token);

    let host_token = line.pick(&[S::HOST_NAME, S::K8S_NODE], S::T_HOSTNAME);
    // The default goes through the same stripping, but is used as it is where that leaves nothing.
    let mut host = match host_token.kind {
        Kind::Missing => arena.keep(strip(options.host_default.as_bytes())),
        _ => line.text(host_token, false, arena),
    };
    plain &= is_plain(host_token);
    if host.is_empty() {
        plain &= json::is_plain(options.host_default.as_bytes());
        host = arena.keep(options.host_default.as_bytes());
    }
    let pid = pid(&line, arena, scratch);
    let sha256 = line.text(line.pick(&[S::FILE_SHA, S::PROC_SHA, S::SCBE_SHA], S::T_SHA), false, arena);
    let signer_trusted =
        flag(&line, line.pick(&[S::SCBE_SIGNER, S::PROC_SIGNED, S::FILE_TRUSTED], S::T_SIGNER), scratch);
    let geometry = number(&line, line.pick(&[S::SCBE_GEOMETRY], S::T_GEOMETRY), scratch);

    // The scanned text: the fields in this order, one newline between each.
    let text = arena.mark();
    let name_token = line.pick(&[S::PROC_NAME, S::PROCESS_NAME, S::ARG_PROCNAME], S::T_PROCESS_NAME);
    plain &= is_plain(name_token);
    let mut process_name = line.text(name_token, true, arena);
    if process_name.is_empty() {
        process_name = arena.keep(b"unknown");
    }
    arena.bytes.push(b'\n');
    let mark = arena.mark();
    match operation(arena.get(evt_type)) {
        Some(name) => arena.bytes.extend_from_slice(name),
        None => arena.again(evt_type),
    }
    let operation = arena.since(mark);
    arena.bytes.push(b'\n');
    let target = if arena.get(operation) == b"network_connect" {
        network_target(&line, arena, &mut plain)
    } else {
        let token = line.pick(&[S::FD_NAME, S::PROC_EXEPATH, S::ARG_FILENAME, S::ARG_PATH], S::T_TARGET);
        plain &= is_plain(token);
        line.text(token, false, arena)
    };
    arena.bytes.push(b'\n');
    let command_keys = [S::PROC_CMDLINE, S::PROCESS_COMMAND_LINE, S::ARG_CMDLINE];
    let command_line = line.text(line.pick(&command_keys, S::T_COMMAND_LINE), false, arena);
    arena.bytes.push(b'\n');
    let parent = line.text(line.pick(&[S::PROC_PNAME, S::PROCESS_PARENT, S::PROC_ANAME1], S::T_PARENT), true, arena);
    arena.bytes.push(b'\n');
    let metadata = Metadata::of(&line);
    metadata.write_repr(&line, evt_type, is_plain(evt_token), arena);
    let text = arena.since(text);

    let sha256 = (!sha256.is_empty()).then_some(sha256);
    let mut event = Event {
        host,
        pid,
        process_name,
        operation,
        target,
        parent,
        signer_trusted,
        sha256,
        geometry,
        plain,
        text,
        json: Span::default(),
    };
    if options.include_kernel_event {
        event.json = write_json(&event, command_line, evt_type, &metadata, &line, arena);
    }
    event
}

fn pid(line: &Line<'_>, arena: &mut Arena, scratch: &mut Vec<u8>) -> Span {
    let token = line.pick(&[S::PROC_PID, S::PROCESS_PID, S::EVT_PID], S::T_PID);
    let mark = arena.mark();
    match token.kind {
        Kind::Int => write_int_literal(token.raw(line.bytes), &mut arena.bytes),
        Kind::Plain | Kind::Escaped => {
            scratch.clear();
            decode_string(token.inner(line.bytes), scratch);
            match int_from_text(scratch) {
                Some(digits) => arena.bytes.extend_from_slice(&digits),
                None => arena.bytes.push(b'0'),
            }
        }
        _ => arena.bytes.push(b'0'),
    }
    arena.since(mark)
}

fn flag(line: &Line<'_>, token: Token, scratch: &mut Vec<u8>) -> bool {
    match token.kind {
        Kind::True => true,
        Kind::Int => token.raw(line.bytes) == b"1",
        Kind::Plain | Kind::Escaped => {
            scratch.clear();
            decode_string(token.inner(line.bytes), scratch);
            strip_tail(scratch, 0);
            lower_in_place(scratch, 0);
            matches!(scratch.as_slice(), b"1" | b"true" | b"t" | b"yes" | b"y")
        }
        _ => false,
    }
}

fn number(line: &Line<'_>, token: Token, scratch: &mut Vec<u8>) -> f64 {
    match token.kind {
        Kind::Int | Kind::Float => {
            std::str::from_utf8(token.raw(line.bytes)).ok().and_then(|text| text.parse().ok()).map_or(
                0.0,
                |number: f64| {
                    // The reference goes through the integer, which has no negative zero.
                    if token.kind == Kind::Int && number == 0.0 { 0.0 } else { number }
                },
            )
        }
        Kind::Nan => f64::NAN,
        Kind::Infinity => f64::INFINITY,
        Kind::NegInfinity => f64::NEG_INFINITY,
        Kind::Plain | Kind::Escaped => {
            scratch.clear();
            decode_string(token.inner(line.bytes), scratch);
            float_from_text(scratch).unwrap_or(0.0)
        }
        _ => 0.0,
    }
}

/// `sip:sport->dip:dport`, less what is missing, and without any `-` and `>` at the ends.
fn network_target(line: &Line<'_>, arena: &mut Arena, plain: &mut bool) -> Span {
    let start = arena.mark();
    let mut side = |ip: [S; 2], port: [S; 2], arena: &mut Arena| {
        let (ip, port) = (line.pick(&ip, S::COUNT), line.pick(&port, S::COUNT));
        *plain &= is_plain(ip) && is_plain(port);
        let has_ip = !line.text(ip, false, arena).is_empty();
        arena.bytes.push(b':');
        if line.text(port, false, arena).is_empty() {
            arena.bytes.pop();
        }
        has_ip
    };
    let source = side([S::FD_SIP, S::ARG_SIP], [S::FD_SPORT, S::ARG_SPORT], arena);
    arena.bytes.extend_from_slice(b"->");
    let destination = side([S::FD_DIP, S::ARG_DIP], [S::FD_DPORT, S::ARG_DPORT], arena);
    let whole = &arena.bytes[start as usize..];
    let edge = |b: &u8| *b != b'-' && *b != b'>';
    let (first, last) = match (source || destination, whole.iter().position(edge), whole.iter().rposition(edge)) {
        (true, Some(first), Some(last)) => (start as usize + first, start as usize + last + 1),
        _ => (start as usize, start as usize),
    };
    arena.bytes.copy_within(first..last, start as usize);
    arena.bytes.truncate(start as usize + last - first);
    arena.since(start)
}

/// What stands before each value in the dictionary's Python text.
const REPR_NAMES: [&str; 7] = [
    "{'rule': ",
    ", 'priority': ",
    ", 'output': ",
    ", 'container_id': ",
    ", 'container_name': ",
    ", 'k8s_pod': ",
    ", 'k8s_ns': ",
];

/// The metadata's values, in order; `evt_type` stands between the third and the fourth.
struct Metadata {
    values: [(&'static str, Token); 7],
}

impl Metadata {
    fn of(line: &Line<'_>) -> Metadata {
        Metadata {
            values: [
                ("rule", line.at(S::T_RULE)),
                ("priority", line.at(S::T_PRIORITY)),
                ("output", line.at(S::T_OUTPUT)),
                ("container_id", line.pick(&[S::CONTAINER_ID, S::CONTAINER_IMAGE_ID], S::COUNT)),
                ("container_name", line.pick(&[S::CONTAINER_NAME], S::COUNT)),
                ("k8s_pod", line.pick(&[S::K8S_POD], S::COUNT)),
                ("k8s_ns", line.pick(&[S::K8S_NS], S::COUNT)),
            ],
        }
    }

    /// The Python text of the dictionary. `plain` says so of `evt_type`.
    fn write_repr(&self, line: &Line<'_>, evt_type: Span, plain: bool, arena: &mut Arena) {
        // Text that is plain and without apostrophes is its own `repr`.
        let apostrophes = memchr::memchr(b'\'', line.bytes).is_some();
        for (i, (_, token)) in self.values.iter().enumerate() {
            if i == 3 {
                arena.bytes.extend_from_slice(b", 'evt_type': ");
                if plain && !apostrophes {
                    arena.bytes.push(b'\'');
                    arena.again(evt_type);
                    arena.bytes.push(b'\'');
                } else {
                    let words = arena.get(evt_type).to_vec();
                    write_repr_text(&words, &mut arena.bytes);
                }
            }
            let out = &mut arena.bytes;
            out.extend_from_slice(REPR_NAMES[i].as_bytes());
            match token.kind {
                Kind::Missing if i >= 3 => out.extend_from_slice(b"''"),
                Kind::Missing | Kind::Null => out.extend_from_slice(b"None"),
                Kind::Plain if !apostrophes => {
                    let (start, end) = token.inner_range();
                    out.push(b'\'');
                    append(line.bytes, start, end, out);
                    out.push(b'\'');
                }
                Kind::Plain => write_repr_text(token.inner(line.bytes), out),
                _ => write_repr(&parse_token(*token, line.bytes), out),
            }
        }
        arena.bytes.push(b'}');
    }
}

fn write_json(
    e: &Event,
    command_line: Span,
    evt_type: Span,
    metadata: &Metadata,
    line: &Line<'_>,
    arena: &mut Arena,
) -> Span {
    let mut out = Vec::with_capacity(512);
    let text = |name: &str, span: Span, out: &mut Vec<u8>| {
        out.extend_from_slice(name.as_bytes());
        write_ascii_escaped(arena.get(span), out);
    };
    text("{\"host\":", e.host, &mut out);
    out.extend_from_slice(b",\"pid\":");
    out.extend_from_slice(arena.get(e.pid));
    text(",\"process_name\":", e.process_name, &mut out);
    text(",\"operation\":", e.operation, &mut out);
    text(",\"target\":", e.target, &mut out);
    text(",\"command_line\":", command_line, &mut out);
    text(",\"parent_process\":", e.parent, &mut out);
    out.extend_from_slice(if e.signer_trusted { b",\"signer_trusted\":true" } else { b",\"signer_trusted\":false" });
    match e.sha256 {
        Some(sha256) => text(",\"hash_sha256\":", sha256, &mut out),
        None => out.extend_from_slice(b",\"hash_sha256\":null"),
    }
    out.extend_from_slice(b",\"geometry_norm\":");
    write_float(e.geometry, ["NaN", "Infinity", "-Infinity"], &mut out);
    out.extend_from_slice(b",\"metadata\":{");
    for (i, (name, token)) in metadata.values.iter().enumerate() {
        if i == 3 {
            text("\"evt_type\":", evt_type, &mut out);
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match token.kind {
            Kind::Missing if i >= 3 => out.extend_from_slice(b"\"\""),
            _ => write_value(&parse_token(*token, line.bytes), &mut out),
        }
        out.extend_from_slice(if i + 1 < metadata.values.len() { b"," } else { b"}}" });
    }
    arena.keep(&out)
}

/// A value as `json.dumps` writes it.
fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(literal) => write_int_literal(literal.as_bytes(), out),
        Value::Float(number) => write_float(*number, ["NaN", "Infinity", "-Infinity"], out),
        Value::Text(text) => write_ascii_escaped(text, out),
        Value::List(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(item, out);
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            out.push(b'{');
            for (i, (key, item)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_ascii_escaped(key, out);
                out.push(b':');
                write_value(item, out);
            }
            out.push(b'}');
        }
    }
}
