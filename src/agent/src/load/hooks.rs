//! Which programs a policy needs attached, as the object says. An attached program costs every task, also those that
//! nothing confines, so only what some loaded policy asks for is attached.

use std::sync::OnceLock;

use kiln_base::abi::layout::Header;

use crate::bpf::object;
use crate::error::Result;
use crate::load::need::Need;

/// The program that the agent calls; the others are attached.
pub const MARK_GROUPS: &str = "kiln_mark_groups";

/// A program of the object.
#[derive(Debug)]
struct Program {
    name: String,
    need: Need,
}

/// Every program of the object with its need, sorted by name. They are read when they are first asked for.
fn programs() -> Result<&'static [Program]> {
    static PROGRAMS: OnceLock<Vec<Program>> = OnceLock::new();
    if let Some(programs) = PROGRAMS.get() {
        return Ok(programs);
    }
    let mut programs: Vec<Program> = Vec::new();
    for (name, words) in object::needs()? {
        // One whose words are absent or unknown is always attached, so that none is forgotten. A test finds it.
        let need = words.and_then(|words| Need::read(&words).ok()).unwrap_or(Need::ALWAYS);
        programs.push(Program { name, need });
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(PROGRAMS.get_or_init(|| programs))
}

/// The programs that a policy needs. `narrowed`: tasks may hold what the policy would not permit now.
///
/// # Errors
/// If the object cannot be read.
pub fn needed(header: &Header, narrowed: bool) -> Result<Vec<&'static str>> {
    let asked = programs()?.iter().filter(|program| program.need.asks(header, narrowed));
    Ok(asked.map(|program| program.name.as_str()).collect())
}

/// Whether a policy needs a program. One that this object does not have is needed, until an upgrade removes it.
///
/// # Errors
/// If the object cannot be read.
pub fn needs(name: &str, header: &Header, narrowed: bool) -> Result<bool> {
    let program = programs()?.iter().find(|program| program.name == name);
    Ok(program.is_none_or(|program| program.need.asks(header, narrowed)))
}

/// A header that asks for these hooks.
#[cfg(test)]
pub(crate) fn test_header(lo: u32, hi: u32) -> Header {
    Header {
        magic: 0,
        abi_version: 0,
        words: 0,
        subjects_off: 0,
        n_subjects: 0,
        decisions_off: 0,
        n_decisions: 0,
        outcomes_off: 0,
        n_outcomes: 0,
        outcome_refs_off: 0,
        n_outcome_refs: 0,
        host_verbs: 0,
        required_hooks_lo: lo,
        required_hooks_hi: hi,
        n_variants: 0,
        n_rows: 0,
        path_class: [0; 256],
        net_class: [0; 256],
        names_start: 0,
        n_names: 0,
        names_key: 0,
        users_off: 0,
        n_users: 0,
    }
}

#[cfg(test)]
mod tests {
    use kiln_base::abi::layout::{H_DATAGRAM, H_DNS, H_EXEC, H_PEER, H_RATES, H_THROTTLE, H_UNIT};
    use kiln_base::model::{KernelOp, Verb, VerbSet};

    use super::*;

    const fn v(verb: Verb) -> u32 {
        1 << verb as u8
    }
    const fn k(op: KernelOp) -> u32 {
        1 << op as u8
    }

    #[test]
    fn every_program_says_what_it_needs() {
        let all = object::needs().unwrap();
        for (name, words) in &all {
            let words = words.as_deref().unwrap_or_else(|| panic!("{name} has no NEEDS()"));
            assert!(Need::read(words).is_ok(), "{name}: {:?}", Need::read(words));
        }
        // That the object has them is not taken from the object.
        let mut source = Vec::new();
        for entry in std::fs::read_dir("bpf").unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "c") {
                let text = std::fs::read_to_string(path).unwrap();
                let begun = ["BPF_PROG(", "KILN_METER("].into_iter().flat_map(|word| text.split(word).skip(1));
                let names = begun.filter_map(|rest| rest.split([',', ')']).next());
                source.extend(names.map(str::to_owned));
            }
        }
        source.sort();
        let mut found: Vec<String> = all.into_iter().map(|(name, _)| name).collect();
        found.sort();
        assert_eq!(found, source);
    }

    /// No program is attached by nobody: what it needs, some policy has.
    #[test]
    fn every_program_is_attached_by_some_policy_and_each_class_has_one() {
        let all = test_header(VerbSet::ALL.bits().into(), u32::MAX >> (32 - KernelOp::ALL.len()));
        let marks = H_EXEC | H_UNIT | H_PEER | H_DATAGRAM | H_RATES | H_THROTTLE | H_DNS;
        let some = Header { required_hooks_lo: all.required_hooks_lo | marks, ..all };
        assert_eq!(needed(&some, true).unwrap().len(), programs().unwrap().len());
        let asked =
            |header: &Header| needed(header, false).unwrap().len() > needed(&test_header(0, 0), true).unwrap().len();
        for verb in Verb::ALL {
            let expect = !matches!(verb, Verb::Kernel | Verb::Syscall);
            assert_eq!(asked(&test_header(v(verb), 0)), expect, "{verb}");
        }
        for op in KernelOp::ALL {
            // bpf(2) and ioctl(2) are always watched.
            let always = matches!(op, KernelOp::Bpf | KernelOp::Ioctl);
            assert_eq!(asked(&test_header(0, k(*op))), !always, "{}", op.name());
        }
    }

    #[test]
    fn a_program_of_another_object_is_needed() {
        assert!(needs("kiln_something_new", &test_header(0, 0), false).unwrap());
        assert!(!needs("kiln_file_permission", &test_header(v(Verb::Read), 0), false).unwrap());
    }

    /// Each class of what a policy governs, with the programs that it has attached beside those that always are. What a
    /// class costs the machine's tasks is seen here; `KILN_WRITE=1` renews the file.
    fn attached() -> String {
        let names = |header: &Header, revocation| needed(header, revocation).unwrap();
        let always = names(&test_header(0, 0), true);
        let mut out = String::new();
        let mut class = |name: &str, programs: Vec<&str>| {
            out += &format!("{name}:\n");
            programs.iter().for_each(|program| out += &format!("  {program}\n"));
        };
        class("always", always.clone());
        let beside = |header: Header| {
            let (now, narrowed) = (names(&header, false), names(&header, true));
            let apart = |of: &[&'static str], less: &[&str]| {
                of.iter().copied().filter(|n| !less.contains(n) && !always.contains(n)).collect::<Vec<_>>()
            };
            (apart(&now, &[]), apart(&narrowed, &now))
        };
        let verbs = Verb::ALL.iter().map(|verb| (verb.name().to_owned(), test_header(v(*verb), 0)));
        let changes = [
            ("exec changes", H_EXEC),
            ("unit changes", H_UNIT),
            ("peers", H_PEER),
            ("datagrams", H_DATAGRAM),
            ("rates", H_RATES),
            ("throttles", H_THROTTLE),
            ("names", H_DNS),
        ];
        let changes = changes.iter().map(|(name, bit)| ((*name).to_owned(), test_header(*bit, 0)));
        let ops = KernelOp::ALL.iter().map(|op| (format!("kernel {}", op.name()), test_header(0, k(*op))));
        for (name, header) in verbs.chain(changes).chain(ops) {
            let (now, narrowed) = beside(header);
            class(&name, now);
            if !narrowed.is_empty() {
                class(&format!("{name}, narrowed"), narrowed);
            }
        }
        out
    }

    #[test]
    fn each_class_has_the_programs_attached_that_it_had() {
        let path = "src/load/attached.txt";
        if std::env::var_os("KILN_WRITE").is_some() {
            std::fs::write(path, attached()).unwrap();
        }
        assert_eq!(attached(), std::fs::read_to_string(path).unwrap(), "KILN_WRITE=1 renews {path}");
    }

    /// So that what holds for each class holds for every policy.
    #[test]
    fn a_policy_has_attached_what_its_classes_have() {
        let set = |lo, hi, narrowed| {
            needed(&test_header(lo, hi), narrowed).unwrap().into_iter().collect::<std::collections::BTreeSet<_>>()
        };
        // A walk over combinations of bits that meets each pair.
        let (mut lo, mut hi) = (0u32, 0u32);
        for step in 0u32..4096 {
            lo ^= 1 << ((step.wrapping_mul(2_654_435_761) >> 16) % 23);
            hi ^= 1 << ((step.wrapping_mul(2_246_822_519) >> 17) % 15);
            for narrowed in [false, true] {
                let bits = |mask: u32| (0..32).map(|bit| 1 << bit).filter(move |bit| mask & bit != 0);
                let mut classes = set(0, 0, narrowed);
                classes.extend(bits(lo).flat_map(|bit| set(bit, 0, narrowed)));
                classes.extend(bits(hi).flat_map(|bit| set(0, bit, narrowed)));
                assert_eq!(set(lo, hi, narrowed), classes, "{lo:x} {hi:x} {narrowed}");
            }
        }
    }
}
