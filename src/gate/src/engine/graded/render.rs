//! The output line: the reference's field names, and what explains them.

use kiln_base::model::Word;

use super::item::{FRICTION, Item};
use super::options::Graded;
use super::terms::{Field, Term};
use crate::engine::event::Event;
use crate::engine::json::{write_utf8_escaped, write_utf8_inner};
use crate::engine::python::{write_float, write_round4};
use crate::engine::{Action, Applied, Arena, PlanOptions, Span};

/// Writes JSON members; the first has no comma before it.
pub(super) struct Members<'o> {
    pub out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Members<'o> {
    pub fn open(out: &'o mut Vec<u8>) -> Members<'o> {
        out.push(b'{');
        Members { out, first: true }
    }

    pub fn close(self) {
        self.out.push(b'}');
    }

    pub fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub fn text(&mut self, name: &str, value: &[u8]) {
        write_utf8_escaped(value, self.name(name));
    }

    /// The same, if there is a value.
    pub fn some(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.text(name, value);
        }
    }

    pub fn integer(&mut self, name: &str, value: impl Into<i128>) {
        write_integer(value.into(), self.name(name));
    }

    pub fn share(&mut self, name: &str, value: f32) {
        write_round4(f64::from(value), self.name(name));
    }

    pub fn boolean(&mut self, name: &str, value: bool) {
        self.name(name).extend_from_slice(if value { b"true" } else { b"false" });
    }
}

/// Appends a decimal number.
pub(super) fn write_integer(value: i128, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let (mut digits, mut at, mut rest) = ([0u8; 40], 40, value.unsigned_abs());
    while at > 0 {
        at -= 1;
        // Division of so large numbers is slow, and numbers are mostly small.
        let (next, digit) = match u64::try_from(rest) {
            Ok(small) => (u128::from(small / 10), (small % 10) as u8),
            Err(_) => (rest / 10, (rest % 10) as u8),
        };
        digits[at] = b'0' + digit;
        rest = next;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a JSON array.
pub(super) fn array<T>(out: &mut Vec<u8>, items: impl Iterator<Item = T>, mut write: impl FnMut(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// A term's reason.
pub(super) fn reason<'a>(term: &Term, profile: &'a Graded) -> &'a str {
    match term.field {
        Field::Rarity => "this program is rarely seen to do this",
        Field::Parent => "its parent is inflamed",
        Field::Tissue => "what surrounds it is inflamed",
        Field::Chain => "secrets were gathered here a moment ago",
        _ => profile.weights.reason(term.because),
    }
}

/// The heaviest term in words.
pub(super) fn rationale(item: &Item, profile: &Graded) -> String {
    let heaviest = item.terms.iter().max_by(|a, b| a.weight.total_cmp(&b.weight));
    match (item.outcome.action, heaviest) {
        (Action::Allow, _) => "no enforcement needed for ALLOW".to_owned(),
        (action, Some(term)) if item.outcome.suspicion >= FRICTION => {
            format!("{}: {}", action.as_str(), reason(term, profile))
        }
        (action, _) => format!("{}: its load has not yet decayed", action.as_str()),
    }
}

pub(super) fn render(item: &Item, profile: &Graded, arena: &Arena, out: &mut Vec<u8>) {
    let o = &item.outcome;
    let mut m = Members::open(out);
    m.text("host", arena.get(item.host));
    m.integer("pid", item.pid);
    m.text("process_name", arena.get(item.name));
    m.text("operation", arena.get(item.operation));
    m.text("target", arena.get(item.target));
    m.text("decision", o.decision.as_str().as_bytes());
    m.text("kernel_action", o.action.as_str().as_bytes());
    m.text("cell_state", o.state.as_str().as_bytes());
    m.share("suspicion", o.suspicion);
    m.share("antibody_load_prev", o.before);
    m.share("antibody_load_now", o.now);
    m.share("membrane_stress", o.tissue);
    notes(item, profile, m.name("notes"));
    m.share("signal", o.signal);
    m.text("process_key", arena.get(item.key));
    m.text("identity", item.identity.as_str().as_bytes());
    m.text("source", item.source.as_str().as_bytes());
    m.some("rule", arena.get(item.rule));
    terms(item, profile, m.name("terms"));
    if profile.options.include_kernel_event {
        let event = arena.get(item.event);
        m.name("kernel_event").extend_from_slice(event);
    }
    if let Some(enforcement) = &profile.options.enforcement {
        plan(item, profile, enforcement, arena, m.name("enforcement"));
    }
    m.close();
}

pub(super) fn terms(item: &Item, profile: &Graded, out: &mut Vec<u8>) {
    array(out, item.terms.iter(), |term, out| {
        let mut m = Members::open(out);
        m.text("field", term.field.as_str().as_bytes());
        m.share("weight", term.weight);
        m.text("because", reason(term, profile).as_bytes());
        if term.excused {
            m.boolean("excused", true);
        }
        m.close();
    });
}

fn notes(item: &Item, profile: &Graded, out: &mut Vec<u8>) {
    out.push(b'[');
    let note = |parts: &[&str], out: &mut Vec<u8>| {
        if out.last() != Some(&b'[') {
            out.push(b',');
        }
        out.push(b'"');
        // Reasons come from the weights: TOML strings without quotes or control characters are not a safe promise.
        for part in parts {
            write_utf8_inner(part.as_bytes(), out);
        }
        out.push(b'"');
    };
    // The terms say it field by field; the notes only what a person reads first.
    let o = &item.outcome;
    if let Some(term) = item.terms.iter().max_by(|a, b| a.weight.total_cmp(&b.weight)) {
        note(&[reason(term, profile)], out);
    }
    if let Some(role) = item.terms.role {
        note(&[profile.weights.reason(role)], out);
    }
    if let Some(mark) = item.terms.mark {
        note(&["marked benign: ", profile.marks.because(mark)], out);
    }
    note(&["immune cell state=", o.state.as_str()], out);
    note(
        &[if o.action == Action::Allow { "kernel path clear" } else { "enemy friction elevated at kernel gate" }],
        out,
    );
    out.push(b']');
}

fn texts(out: &mut Vec<u8>, items: &[String]) {
    array(out, items.iter(), |item, out| write_utf8_escaped(item.as_bytes(), out));
}

fn plan(item: &Item, profile: &Graded, plan: &PlanOptions, arena: &Arena, out: &mut Vec<u8>) {
    let o = &item.outcome;
    let acts = o.action != Action::Allow && !o.suppressed;
    let none = Applied::default();
    let applied = item.applied.as_deref().unwrap_or(&none);
    let rationale = if o.suppressed {
        "cooldown active; duplicate enforcement suppressed".to_owned()
    } else {
        rationale(item, profile)
    };
    let mut m = Members::open(out);
    m.text("process_key", arena.get(item.key));
    m.text("kernel_action", o.action.as_str().as_bytes());
    let commands = if acts { commands(item, plan, arena) } else { Vec::new() };
    texts(m.name("commands"), &commands);
    m.text("rationale", rationale.as_bytes());
    m.boolean("dry_run", !plan.apply);
    m.boolean("applied", applied.applied);
    texts(m.name("failures"), &applied.failures);
    m.boolean("cooldown_skipped", o.suppressed);
    texts(m.name("backend_names"), &plan.backends);
    texts(m.name("backend_details"), &applied.details);
    match acts {
        true => {
            let request = crate::engine::Profile::request(profile, item, arena);
            // A request is plain data: writing it to memory does not fail.
            m.name("action").extend_from_slice(&serde_json::to_vec(&request).unwrap_or_else(|_| b"null".to_vec()));
        }
        false => m.name("action").extend_from_slice(b"null"),
    }
    m.close();
}

/// What the backends would do, in words for people. They are not shell commands: nothing executes them.
fn commands(item: &Item, plan: &PlanOptions, arena: &Arena) -> Vec<String> {
    let who = match item.pid {
        0 => format!("(no pid) {}", String::from_utf8_lossy(arena.get(item.key))),
        pid => format!("pid {pid}"),
    };
    let kept = |span: Span| String::from_utf8_lossy(arena.get(span)).into_owned();
    match item.outcome.action {
        Action::Allow => Vec::new(),
        Action::Throttle => vec![format!("throttle the unit of {who}")],
        Action::Kill => vec![format!("kill {who}")],
        Action::Quarantine | Action::Honeypot => vec![
            format!("freeze the unit of {who}"),
            "cut its network".to_owned(),
            format!("copy evidence of {} to {}", kept(item.name), plan.quarantine_dir),
        ],
    }
}

/// The normalised event as JSON.
pub(super) fn event(event: &Event<'_>, item: &Item, arena: &mut Arena) -> Span {
    let mut out = Vec::with_capacity(512);
    let mut m = Members::open(&mut out);
    m.text("host", arena.get(item.host));
    m.integer("pid", item.pid);
    m.text("process_name", arena.get(item.name));
    m.text("operation", &event.operation);
    m.text("target", &event.target);
    m.text("command_line", &event.command_line);
    m.text("parent_process", &event.parent);
    match event.signer_trusted {
        Some(trusted) => m.boolean("signer_trusted", trusted),
        None => m.name("signer_trusted").extend_from_slice(b"null"),
    }
    match event.sha256.is_empty() {
        true => m.name("hash_sha256").extend_from_slice(b"null"),
        false => m.text("hash_sha256", &event.sha256),
    }
    match event.geometry.filter(|norm| norm.is_finite()) {
        Some(norm) => write_float(norm, ["null"; 3], m.name("geometry_norm")),
        None => m.name("geometry_norm").extend_from_slice(b"null"),
    }
    if let Some(time) = event.time {
        m.integer("time_ns", time);
    }
    if let Some(start) = event.start {
        m.integer("start_time_ns", start);
    }
    m.some("executable", &event.exe);
    m.some("destination", &event.destination);
    if event.upper_layer {
        m.boolean("upper_layer", true);
    }
    if !event.ancestors[0].is_empty() {
        let known = event.ancestors.iter().take_while(|name| !name.is_empty());
        array(m.name("ancestry"), known, |name, out| write_utf8_escaped(name, out));
    }
    m.some("user", &event.user);
    if let Some(uid) = event.uid {
        m.integer("uid", uid);
    }
    if let Some(terminal) = event.terminal {
        m.boolean("terminal", terminal);
    }
    m.some("flags", &event.flags);
    m.some("verdict", event.verdict.as_ref().map_or(b"", Word::bytes));
    m.some("policy_action", event.policy_action.as_ref().map_or(b"", Word::bytes));
    let metadata = m.name("metadata");
    let mut inner = Members::open(metadata);
    inner.some("rule", &event.rule);
    inner.some("priority", &event.priority);
    array(inner.name("tags"), event.tags.iter(), |tag, out| write_utf8_escaped(tag, out));
    inner.some("container_id", &event.container);
    inner.some("container_name", &event.container_name);
    inner.some("container_image", &event.image);
    inner.some("k8s_pod", &event.pod);
    inner.some("k8s_ns", &event.namespace);
    inner.close();
    m.close();
    arena.keep(&out)
}
