//! What evidence must show before an ACK counts.

use std::collections::BTreeSet;

use kiln_base::event::Evidence;
use kiln_base::model::Digest;

use crate::check::{self, OutOfRange};

/// Most programs or links in evidence.
const MAX_PROGRAMS: usize = 512;

/// What evidence does not show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// It is for other tables.
    #[error("assigned are {assigned}, the evidence is for {found}")]
    Tables {
        /// The assigned ones.
        assigned: Digest,
        /// The evidence's.
        found: Digest,
    },
    /// The kernel has other words than the tables.
    #[error("the kernel part of {tables} is {kernel_part}, read back was {found}")]
    Readback {
        /// The assigned tables.
        tables: Digest,
        /// Digest of their kernel part.
        kernel_part: Digest,
        /// The evidence's.
        found: Digest,
    },
    /// The programs.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// Nothing was denied to prove that denials work.
    #[error("the sentinel has no pid or no time: nothing was denied")]
    Sentinel,
    /// A text.
    #[error(transparent)]
    Text(#[from] OutOfRange),
}

/// Programs that do not enforce.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramsError {
    /// None is listed.
    #[error("no program, or no link that attaches one")]
    None,
    /// Too many are.
    #[error("more than {MAX_PROGRAMS} programs or links")]
    TooMany,
    /// One is not named as the kernel names it.
    #[error("program {0} has no kernel id or no tag of 16 hex digits")]
    Unnamed(u32),
    /// A link is of one that is not listed.
    #[error("a link holds program {0}, which is not listed")]
    Stray(u32),
    /// A program that is loaded but attached nowhere enforces nothing.
    #[error("program {0} is attached by no link")]
    Idle(u32),
}

/// Checks evidence against the tables that were assigned and the digest of their kernel part.
///
/// # Errors
/// The first that fails.
pub fn check(evidence: &Evidence, tables: Digest, kernel_part: Digest) -> Result<(), EvidenceError> {
    if evidence.tables != tables {
        return Err(EvidenceError::Tables { assigned: tables, found: evidence.tables });
    }
    if evidence.readback != kernel_part {
        return Err(EvidenceError::Readback { tables, kernel_part, found: evidence.readback });
    }
    check_programs(evidence)?;
    if evidence.sentinel.pid == 0 || evidence.sentinel.time_ns == 0 {
        return Err(EvidenceError::Sentinel);
    }
    check::text("boot_id", &evidence.boot_id, 128)?;
    check::text("kernel", &evidence.kernel, 128)?;
    Ok(())
}

fn check_programs(evidence: &Evidence) -> Result<(), ProgramsError> {
    let (programs, links) = (&evidence.programs, &evidence.links);
    if programs.is_empty() || links.is_empty() {
        return Err(ProgramsError::None);
    }
    if programs.len() > MAX_PROGRAMS || links.len() > MAX_PROGRAMS {
        return Err(ProgramsError::TooMany);
    }
    for program in programs {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if program.tag.len() != 16 || !program.tag.bytes().all(hex) || program.id == 0 {
            return Err(ProgramsError::Unnamed(program.id));
        }
    }
    let ids: BTreeSet<u32> = programs.iter().map(|p| p.id).collect();
    let linked: BTreeSet<u32> = links.iter().map(|l| l.program).collect();
    if let Some(stray) = linked.difference(&ids).next() {
        return Err(ProgramsError::Stray(*stray));
    }
    match ids.difference(&linked).next() {
        Some(idle) => Err(ProgramsError::Idle(*idle)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;
    use kiln_base::event::{Link, Program, Sentinel};
    use kiln_base::wire::Code;

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
        check(evidence, Digest::of(b"tables"), Digest::of(b"kernel part")).err().map(|e| Problem::from(e).code)
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
