//! Kiln's own events: `event::Violation`.

use std::borrow::Cow;

use super::{Line, S, parse_time};
use crate::gate::engine::event::{Event, Source, Text};

fn operation<'a>(verb: Text<'a>) -> Text<'a> {
    Cow::Borrowed(match &*verb {
        b"read" => b"open",
        b"create" | b"append" | b"truncate" => b"write",
        b"connect" | b"bind" | b"listen" | b"accept" | b"sendto" => b"network_connect",
        b"resolve" => b"dns_query",
        b"remove" => b"delete",
        b"module" => b"module_load",
        b"ptrace" => b"process_inject",
        _ => return verb,
    })
}

pub(super) fn event<'a>(line: &Line<'a>) -> Event<'a> {
    Event {
        source: Source::Kiln,
        time: parse_time(&line.text(S::TIME)),
        host: line.text(S::HOSTNAME),
        pid: line.number(S::PID_TOP).and_then(|n| u32::try_from(n).ok()).filter(|pid| *pid > 0),
        start: line.number(S::START_TIME).filter(|n| *n > 0),
        name: line.text(S::COMM),
        uid: line.number(S::UID_TOP).and_then(|n| u32::try_from(n).ok()),
        operation: operation(line.text(S::VERB)),
        target: line.text(S::OBJECT),
        rule: line.text(S::RULE),
        priority: line.text(S::SEVERITY),
        verdict: line.text(S::VERDICT),
        policy_action: line.text(S::ACTION),
        // A subject is confined as a whole, as a container is: it shares the inflammation.
        container: line.text(S::SUBJECT),
        ..Event::default()
    }
}
