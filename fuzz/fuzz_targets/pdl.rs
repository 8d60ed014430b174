//! No text panics, none is lost, formatting settles, and what is taken has a flat form of the same meaning.
#![no_main]

use kiln_lang::pdl::{NoFiles, Source, format, parse};
use kiln_lang::policy::eval::{Atom, Evaluator, Operation, Target, Task};
use kiln_lang::policy::{digest, load, to_pdl};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = parse(text, 0);
    assert_eq!(parsed.syntax().to_string(), text);
    if let Ok(formatted) = format(text) {
        assert_eq!(format(&formatted).expect("formatted text parses"), formatted);
    }
    match load(&[Source::new("fuzz.pdl", text)], &NoFiles) {
        Ok(policy) => {
            let flat = load(&[Source::new("flat.pdl", &to_pdl(&policy))], &NoFiles).expect("the flat form loads");
            assert_eq!(digest(&flat), digest(&policy));
            let evaluator = Evaluator::new(&policy).expect("a checked policy evaluates");
            let task = Task { unit: Some("a.service".to_owned()), ..Task::default() };
            let atom = Atom { verb: kiln_base::model::Verb::Read, target: Target::Path(b"/etc/passwd".to_vec()) };
            evaluator.evaluate(&task, &Operation::Atom(atom), jiff::Timestamp::UNIX_EPOCH);
        }
        Err(found) => {
            found.render(false);
            assert!(found.records().iter().all(|r| !r.help.is_empty() && !r.reason.is_empty()));
        }
    }
});
