//! A rule with an exception holds for what its pattern matches and the exception does not, in the evaluator and in the
//! tables alike. The input's lines are the pattern, the exception, and a path.
#![no_main]

use kiln_base::abi::walk::{Object, walkable};
use kiln_lang::compile::{KernelVersion, Options, compile};
use kiln_base::model::Verb;
use kiln_lang::pdl::{NoFiles, Source};
use kiln_lang::policy::eval::{Atom, Evaluator, Operation, Target, Task};
use kiln_lang::policy::normal::Policy;
use kiln_lang::policy::{digest, load};
use libfuzzer_sys::fuzz_target;

fn policy(rule: &str) -> Option<Policy> {
    let text = format!("pdl 1; profile a {{ subject unit \"a.service\"; governs read; allow read {rule}; }}");
    load(&[Source::new("fuzz.pdl", &text)], &NoFiles).ok()
}

fn allows(policy: &Policy, path: &[u8]) -> bool {
    let evaluator = Evaluator::new(policy).expect("a checked policy evaluates");
    let task = Task { unit: Some("a.service".to_owned()), ..Task::default() };
    let atom = Atom { verb: Verb::Read, target: Target::Path(path.to_vec()) };
    evaluator.evaluate(&task, &Operation::Atom(atom), jiff::Timestamp::UNIX_EPOCH).allowed()
}

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let (Some(pattern), Some(except), Some(path)) = (lines.next(), lines.next(), lines.next()) else { return };
    let (pattern, except) = (format!("\"/{pattern}\""), format!("\"/{except}\""));
    if pattern.len() > 80 || except.len() > 80 {
        return;
    }
    let (Some(whole), Some(less)) = (policy(&pattern), policy(&except)) else { return };
    let Some(both) = policy(&format!("{pattern} except {except}")) else { return };
    let options = Options { policy: digest(&both), serial: 1, kernel: KernelVersion::BASELINE };
    let tables = compile(&both, &options).ok();
    // The path itself, and the patterns' own texts, which come near what they match.
    for path in [path, pattern.trim_matches(['"', '/']), except.trim_matches(['"', '/'])] {
        let path = format!("/{path}").into_bytes();
        if !walkable(&path) {
            continue;
        }
        let want = allows(&whole, &path) && !allows(&less, &path);
        assert_eq!(allows(&both, &path), want, "{}", String::from_utf8_lossy(&path));
        if let Some(tables) = &tables {
            let subject = tables.kernel.after_unit(0, b"a.service");
            if let Some(verdict) = tables.kernel.verdict(subject, Verb::Read, &Object::Path(&path)) {
                assert_eq!(verdict.permits(), want, "{}", String::from_utf8_lossy(&path));
            }
        }
    }
});
