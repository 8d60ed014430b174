//! Kiln's own events: `event::Violation`.

use std::borrow::Cow;

use kiln_base::model::{KernelOp, Verb, Word};

use super::line::Line;
use super::schema::S;
use super::time::parse_time;
use crate::engine::event::{Event, Source, Text};

/// The operation of a verb. A reporter of its own can use the name of a kernel facility in its place.
fn operation<'a>(verb: Text<'a>, object: &[u8]) -> Text<'a> {
    let word = match Word::<Verb, _>::of(verb) {
        Word::Known(Verb::Read) => "open",
        Word::Known(Verb::Modify | Verb::Create) => "write",
        Word::Known(Verb::Setattr) => "chmod",
        Word::Known(Verb::Connect | Verb::Bind | Verb::Accept) => "network_connect",
        Word::Known(verb @ Verb::Kernel) => facility(object).unwrap_or(verb.name()),
        Word::Known(verb) => verb.name(),
        Word::Other(text) => match facility(&text) {
            Some(word) => word,
            None => return text,
        },
    };
    Cow::Borrowed(word.as_bytes())
}

/// What using a facility of the kernel is called, where the gate tells it apart.
fn facility(name: &[u8]) -> Option<&'static str> {
    Some(match Word::<KernelOp, _>::of(name).known()? {
        KernelOp::Module => "module_load",
        KernelOp::Ptrace => "process_inject",
        KernelOp::Mount => "mount",
        KernelOp::Userns => "namespace",
        KernelOp::Setuid => "setuid",
        KernelOp::Bpf => "bpf",
        KernelOp::RawSocket => "socket",
        _ => return None,
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
        // Of other reporters: a facility for a verb, a word of the gate's own, a word of nobody's.
        assert_eq!((of("ptrace", "").as_str(), of("write", "/x").as_str()), ("process_inject", "write"));
        assert_eq!(of("kexec", ""), "kexec");
    }
}
