//! Profile `default`: weighs evidence from independent fields, remembers by wall clock, explains itself.
//!
//! `docs/gate.md` has the formulas, `weights.toml` the weights with their reasons.

mod hash;
mod item;
mod kinds;
mod marks;
mod memory;
mod ocsf;
mod options;
mod peer;
mod render;
mod roles;
mod state;
mod terms;
mod weight;
mod weights;

pub use item::{FRICTION, INFLAMED, Identity, Item, NECROTIC, PRIMED};
pub use marks::{Marks, MarksError};
pub use memory::{Dangerous, Memory};
pub use options::{Graded, Options, Shape};
pub use state::StateError;
pub use terms::Field;
pub use weight::WeightsError;
pub use weights::Weights;

use super::event::Event;
use super::inputs;
use super::profile::Metadata;
use super::{Action, Applied, Arena, Failed, Profile, Request, Span, fail, write_pretty};
use item::Outcome;

impl Profile for Graded {
    type Reader = Box<inputs::Space>;
    type Item = Item;
    type Memory = Memory;

    fn reader(&self) -> Self::Reader {
        Box::default()
    }

    fn read(&self, space: &mut Self::Reader, line: &str, arena: &mut Arena) -> Result<Item, Failed> {
        // A byte order mark says nothing: tools that write files put one before the first line.
        match inputs::parse(line.strip_prefix('\u{feff}').unwrap_or(line), space, self.options.source) {
            Ok(event) => Ok(self.judge(&event, arena)),
            Err(inputs::InputError::Notice(words)) => Err(super::notice(words, line, arena)),
            Err(error) => Err(fail(&error.to_string(), line, arena)),
        }
    }

    fn settle(&self, item: &mut Item, arena: &Arena, memory: &mut Memory, now: i64) {
        memory.settle(item, arena, self, now);
    }

    fn action(&self, item: &Item) -> Action {
        item.outcome.action
    }

    fn acts(&self, item: &Item) -> bool {
        item.outcome.action != Action::Allow && !item.outcome.suppressed
    }

    fn render(&self, item: &Item, arena: &Arena, out: &mut Vec<u8>) {
        let start = out.len();
        match self.options.shape {
            Shape::Gate => render::render(item, self, arena, out),
            Shape::Ocsf => ocsf::render(item, self, arena, out),
        }
        if self.options.pretty {
            let compact = out.split_off(start);
            write_pretty(&compact, out);
        }
    }

    fn request(&self, item: &Item, arena: &Arena) -> Request {
        let text = |span| String::from_utf8_lossy(arena.get(span)).into_owned();
        let outcome = &item.outcome;
        let contain = outcome.action >= Action::Quarantine;
        Request {
            process_key: text(item.key),
            kernel_action: outcome.action,
            host: text(item.host),
            pid: item.pid,
            start_time_ns: item.start,
            process_name: text(item.name),
            operation: text(item.operation),
            target: text(item.target),
            rationale: render::rationale(item, self),
            quarantine_dir: self.options.enforcement.as_ref().map(|e| e.quarantine_dir.clone()).unwrap_or_default(),
            metadata: Metadata {
                decision: outcome.decision,
                cell_state: outcome.state,
                suspicion: super::python::round4(f64::from(outcome.suspicion)),
                block_execution: contain,
                isolate_process: contain,
                quarantine_target: contain && outcome.action != Action::Kill,
            },
        }
    }

    fn applied(&self, item: &mut Item, applied: Applied) {
        item.applied = Some(Box::new(applied));
    }
}

impl Graded {
    fn judge(&self, event: &Event<'_>, arena: &mut Arena) -> Item {
        let host = match event.host.is_empty() {
            true => arena.keep(self.options.host_default.as_bytes()),
            false => arena.keep(&event.host),
        };
        let name = if event.name.is_empty() { arena.keep(b"unknown") } else { arena.keep(&event.name) };
        let (key, identity) = key(event, host, name, arena);
        let hash = hash::hash;
        let parent_hash = (!event.parent_exec_id.is_empty()).then(|| hash(&[b"exec", &event.parent_exec_id]));
        let key_hash = match event.exec_id.is_empty() {
            true => hash(&[b"key", arena.get(key)]),
            false => hash(&[b"exec", &event.exec_id]),
        };
        let habit = hash(&[b"habit", &event.name, &event.parent, &event.operation, &event.rule]) as u16;
        let mut item = Item {
            source: event.source,
            time: event.time,
            host,
            pid: event.pid.unwrap_or(0),
            start: event.start,
            name,
            operation: arena.keep(&event.operation),
            target: arena.keep(&event.target),
            rule: arena.keep(&event.rule),
            priority: arena.keep(&event.priority),
            key,
            key_hash,
            parent_hash,
            tissue_hash: hash(&[b"tissue", arena.get(host), &event.container]),
            habit,
            identity,
            contained: !event.container.is_empty(),
            exited: *event.operation == *b"exit",
            event: Span::default(),
            terms: terms::weigh(event, &self.weights, &self.marks),
            outcome: Outcome::UNSETTLED,
            applied: None,
        };
        if self.options.include_kernel_event {
            item.event = render::event(event, &item, arena);
        }
        item
    }
}

/// How many of at most `most` bytes are whole characters.
fn whole_points(bytes: &[u8], most: usize) -> usize {
    let mut end = most.min(bytes.len());
    while end > 0 && bytes.get(end).is_some_and(|b| (*b as i8) < -0x40) {
        end -= 1;
    }
    end
}

/// Names the process as surely as the event allows. The start time is part of the name, so a reused pid is another
/// process; without a pid, processes of the same name are told apart by where they come from.
fn key(event: &Event<'_>, host: Span, name: Span, arena: &mut Arena) -> (Span, Identity) {
    let mark = arena.mark();
    arena.bytes.extend_from_within(host.start as usize..host.end as usize);
    let identity = match (event.pid, event.start) {
        (Some(pid), Some(start)) => {
            arena.bytes.push(b':');
            render::write_integer(pid.into(), &mut arena.bytes);
            arena.bytes.push(b'@');
            render::write_integer(start.into(), &mut arena.bytes);
            Identity::Exact
        }
        (Some(pid), None) => {
            arena.bytes.push(b':');
            render::write_integer(pid.into(), &mut arena.bytes);
            arena.bytes.push(b':');
            arena.bytes.extend_from_within(name.start as usize..name.end as usize);
            if event.exec_id.is_empty() { Identity::Pid } else { Identity::Exact }
        }
        (None, _) => {
            arena.bytes.extend_from_slice(b":?:");
            arena.bytes.extend_from_within(name.start as usize..name.end as usize);
            let from = [&event.parent, &event.ancestors[0], &event.ancestors[1]];
            for ancestor in from.into_iter().take_while(|name| !name.is_empty()) {
                arena.bytes.push(b'<');
                arena.bytes.extend_from_slice(ancestor);
            }
            arena.bytes.push(b':');
            arena.bytes.extend_from_slice(&event.user);
            Identity::Lineage
        }
    };
    if !event.container.is_empty() {
        arena.bytes.push(b'/');
        arena.bytes.extend_from_slice(&event.container[..whole_points(&event.container, 12)]);
    }
    let length = arena.bytes.len();
    // Keys are compared whole by their hash; what people read need not be longer than a line.
    if length - mark as usize > 512 {
        let digest = hash::hash(&[&arena.bytes[mark as usize..]]);
        let keep = whole_points(&arena.bytes[mark as usize..], 480);
        arena.bytes.truncate(mark as usize + keep);
        arena.bytes.extend_from_slice(format!("~{digest:032x}").as_bytes());
    }
    (arena.since(mark), identity)
}
