//! Kiln's own events: `event::Violation`.

use std::borrow::Cow;

use super::line::Line;
use super::schema::S;
use super::time::parse_time;
use crate::engine::event::{Event, Source, Text};

/// The verbs of the model, and words that a reporter of its own may use for the kernel's facilities.
fn operation<'a>(verb: Text<'a>, object: &[u8]) -> Text<'a> {
    let word: &[u8] = match &*verb {
        b"kernel" => match object {
            b"module" | b"ptrace" | b"mount" | b"userns" | b"setuid" | b"bpf" | b"raw_socket" => object,
            _ => return verb,
        },
        word => word,
    };
    Cow::Borrowed(match word {
        b"read" => b"open",
        b"write" | b"modify" | b"create" => b"write",
        b"setattr" => b"chmod",
        b"connect" | b"bind" | b"accept" => b"network_connect",
        b"module" => b"module_load",
        b"ptrace" => b"process_inject",
        b"mount" => b"mount",
        b"userns" => b"namespace",
        b"setuid" => b"setuid",
        b"bpf" => b"bpf",
        b"raw_socket" => b"socket",
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
        operation: operation(line.text(S::VERB), &line.text(S::OBJECT)),
        target: line.text(S::OBJECT),
        rule: line.text(S::RULE),
        priority: line.text(S::SEVERITY),
        verdict: line.word(S::VERDICT),
        policy_action: line.word(S::ACTION),
        // A subject is confined as a whole, as a container is: it shares the inflammation.
        container: line.text(S::SUBJECT),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_base::model::{KernelOp, Verb};

    #[test]
    fn every_verb_of_the_model_is_known() {
        let of = |verb: &str, object: &str| {
            let operation = operation(Cow::Borrowed(verb.as_bytes()), object.as_bytes());
            String::from_utf8_lossy(&operation).into_owned()
        };
        let words: Vec<String> = Verb::ALL.iter().map(|verb| of(verb.name(), "/x")).collect();
        let wanted = [
            "open",
            "write",
            "write",
            "delete",
            "chmod",
            "exec",
            "load",
            "network_connect",
            "network_connect",
            "network_connect",
            "capability",
            "kernel",
            "syscall",
        ];
        assert_eq!(words, wanted);
        for (facility, word) in [("module", "module_load"), ("ptrace", "process_inject"), ("userns", "namespace")] {
            assert!(facility.parse::<KernelOp>().is_ok(), "{facility}");
            assert_eq!(of("kernel", facility), word);
        }
        assert_eq!(of("kernel", "kexec"), "kernel");
    }
}
