//! What evidence must show before an ACK counts.

use std::collections::BTreeSet;

use kiln_base::event::Evidence;
use kiln_base::model::Digest;
use kiln_base::wire::Code;

use crate::problem::Problem;

/// Most programs or links in evidence.
const MAX_PROGRAMS: usize = 512;

/// Checks evidence against the tables that were assigned and the digest of their kernel part.
///
/// # Errors
/// The first that fails of `evidence-tables`, `evidence-readback`, `evidence-programs`, `evidence-sentinel`.
pub fn check(evidence: &Evidence, tables: Digest, kernel_part: Digest) -> Result<(), Problem> {
    let refuse = |code, detail: String| Err(Problem::new(code, detail));
    if evidence.tables != tables {
        return refuse(Code::EvidenceTables, format!("assigned are {tables}, the evidence is for {}", evidence.tables));
    }
    if evidence.readback != kernel_part {
        let detail = format!("the kernel part of {tables} is {kernel_part}, read back was {}", evidence.readback);
        return refuse(Code::EvidenceReadback, detail);
    }
    if let Some(detail) = programs_fault(evidence) {
        return refuse(Code::EvidencePrograms, detail);
    }
    if evidence.sentinel.pid == 0 || evidence.sentinel.time_ns == 0 {
        return refuse(Code::EvidenceSentinel, "the sentinel has no pid or no time: nothing was denied".into());
    }
    for (name, text) in [("boot_id", &evidence.boot_id), ("kernel", &evidence.kernel)] {
        if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
            return refuse(Code::OutOfRange, format!("`{name}` must have 1 to 128 bytes and no control characters"));
        }
    }
    Ok(())
}

fn programs_fault(evidence: &Evidence) -> Option<String> {
    let (programs, links) = (&evidence.programs, &evidence.links);
    if programs.is_empty() || links.is_empty() {
        return Some("no program, or no link that attaches one".into());
    }
    if programs.len() > MAX_PROGRAMS || links.len() > MAX_PROGRAMS {
        return Some(format!("more than {MAX_PROGRAMS} programs or links"));
    }
    for program in programs {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if program.tag.len() != 16 || !program.tag.bytes().all(hex) || program.id == 0 {
            return Some(format!("program {} has no kernel id or no tag of 16 hex digits", program.id));
        }
    }
    let ids: BTreeSet<u32> = programs.iter().map(|p| p.id).collect();
    let linked: BTreeSet<u32> = links.iter().map(|l| l.program).collect();
    if let Some(stray) = linked.difference(&ids).next() {
        return Some(format!("a link holds program {stray}, which is not listed"));
    }
    // A program that is loaded but attached nowhere enforces nothing.
    ids.difference(&linked).next().map(|idle| format!("program {idle} is attached by no link"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_base::event::{Link, Program, Sentinel};

    fn good() -> Evidence {
        Evidence {
            tables: Digest::of(b"tables"),
            readback: Digest::of(b"kernel part"),
            serial: 2,
            programs: vec![Program { name: "kiln_file_open".into(), id: 41, tag: "a04f5eef06a7f555".into() }],
            links: vec![Link { id: 12, program: 41 }],
            sentinel: Sentinel { pid: 812, time_ns: 7, seq: 1 },
            kernel: "6.1.0".into(),
            boot_id: "b".into(),
        }
    }

    fn code(evidence: &Evidence) -> Option<Code> {
        check(evidence, Digest::of(b"tables"), Digest::of(b"kernel part")).err().map(|p| p.code)
    }

    #[test]
    fn each_part_must_hold() {
        assert_eq!(code(&good()), None);
        type Change = fn(&mut Evidence);
        let cases: &[(Change, Code)] = &[
            (|e| e.tables = Digest::of(b"x"), Code::EvidenceTables),
            (|e| e.readback = Digest::of(b"tables"), Code::EvidenceReadback),
            (|e| e.programs.clear(), Code::EvidencePrograms),
            (|e| e.links.clear(), Code::EvidencePrograms),
            (|e| e.links[0].program = 42, Code::EvidencePrograms),
            (|e| e.programs[0].tag = "A04F5EEF06A7F555".into(), Code::EvidencePrograms),
            (|e| e.programs[0].tag.clear(), Code::EvidencePrograms),
            (|e| e.programs.push(Program { id: 50, ..e.programs[0].clone() }), Code::EvidencePrograms),
            (|e| e.programs = vec![e.programs[0].clone(); 513], Code::EvidencePrograms),
            (|e| e.sentinel.pid = 0, Code::EvidenceSentinel),
            (|e| e.sentinel.time_ns = 0, Code::EvidenceSentinel),
            (|e| e.boot_id.clear(), Code::OutOfRange),
            (|e| e.kernel = "a\nb".into(), Code::OutOfRange),
        ];
        for (n, (change, wanted)) in cases.iter().enumerate() {
            let mut evidence = good();
            change(&mut evidence);
            assert_eq!(code(&evidence), Some(*wanted), "case {n}");
        }
    }
}
