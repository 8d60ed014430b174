//! Whether tables are a subset of others: that they permit nothing, to any task at any time, that the others refuse.
//!
//! It is decided on what the kernel programs read, by the automata, and needs no policy text. A task's history is followed in
//! both at once (`tasks`): by each unit, program and quarantine it comes to a pair of subjects, which is compared at each
//! moment of the week (`moments`), request by request (`subject`, `decision`), in the product of both automata (`product`).
//! What is found first is a shortest text. Whatever nothing shows to be stricter is wider. The bounds are in steps and states,
//! never in time.

mod decision;
mod moments;
mod product;
mod request;
mod subject;
mod tasks;
mod wider;

use std::collections::BTreeSet;

use super::layout::{Header, S_DNS, S_USER};
use super::metadata::{BlockInfo, Metadata, WindowInfo};
use super::{Kernel, Tables};
use crate::model::{literal_of_pattern, template_of_pattern};

pub use wider::{Loss, Wider};

/// Proves that `after` permits no more than `before`. `more`: pairs of subjects that running tasks have, by the labels that they
/// bear, beside those that units and programs lead to.
///
/// # Errors
/// [`Wider`], with the shortest witness.
pub fn prove(before: &Tables, after: &Tables, more: impl IntoIterator<Item = (u32, u32)>) -> Result<(), Wider> {
    for tables in [before, after] {
        known(&tables.kernel)?;
        if !tables.others.is_empty() || tables.metadata.hosts.is_some() {
            return Err(Wider::Unfollowed("tables of several hosts"));
        }
    }
    units(&before.metadata, &after.metadata)?;
    tasks::Tasks::new(before, after).prove(more)?;
    header(&before.kernel.header, &after.kernel.header)
}

/// What the proof does not follow, it does not accept.
fn known(kernel: &Kernel) -> Result<(), Wider> {
    let subjects = |flag| (1..kernel.header.n_subjects).filter_map(|n| kernel.subject(n)).any(|s| s.flags & flag != 0);
    if kernel.header.n_names != 0 || subjects(S_DNS) {
        return Err(Wider::Unfollowed("rules by the names of hosts"));
    }
    if kernel.header.n_users != 0 || subjects(S_USER) {
        return Err(Wider::Unfollowed("rules of some users"));
    }
    Ok(())
}

/// Every field has its judgement, as in `subject`.
fn header(before: &Header, after: &Header) -> Result<(), Wider> {
    let Header {
        magic: _, // `check` holds both
        abi_version: _,
        words: _, // where things are, and how many
        subjects_off: _,
        n_subjects: _,
        decisions_off: _,
        n_decisions: _,
        outcomes_off: _,
        n_outcomes: _,
        outcome_refs_off: _,
        n_outcome_refs: _,
        host_verbs, // of subject 1, which is compared
        required_hooks_lo,
        required_hooks_hi,
        n_variants: _,
        n_rows: _,
        path_class: _, // by it the automata are walked
        net_class: _,
        names_start: _, // `known`: there are none
        n_names: _,
        names_key: _,
        users_off: _, // the same
        n_users: _,
    } = before;
    if host_verbs & !after.host_verbs != 0 {
        return Err(Wider::Header("the verbs of the host"));
    }
    let fewer = required_hooks_lo & !after.required_hooks_lo != 0 || required_hooks_hi & !after.required_hooks_hi != 0;
    if fewer { Err(Wider::Header("the programs that are asked for")) } else { Ok(()) }
}

/// Units that the machine cannot be run without begin so, as `kiln_keeps_the_machine` has them (bpf/include/quarantine.h).
const KEEPERS: [&str; 9] = ["kiln-", "systemd-", "init.scope", "session-", "ssh.", "ssh@", "sshd.", "sshd@", "user@"];

/// The units with limits are those of the first policy at least, and every name is one of a unit: the agent makes files of it.
fn units(before: &Metadata, after: &Metadata) -> Result<(), Wider> {
    let Metadata {
        policy: _, // names for people, whose texts `bind` holds
        source: _,
        serial: _,
        kernel: _,   // the agent refuses what its kernel is too old for
        subjects: _, // `tasks`
        blocks: _,   // below; where they attach is the automata's to say
        rules: _,
        units: _,
        users: _, // `known`: there are none
        windows,  // their definitions are compared where they matter
        image,
        hosts: _, // `prove`: there are none
        on: _,    // patterns that the host's name matches, each in one policy or both; the automata have what follows
    } = after;
    // Labels are resolved in the tables, but what is loaded later is compared with this image.
    if *image != before.image {
        return Err(Wider::Unfollowed("tables for another image"));
    }
    for WindowInfo { name: _, window: _ } in windows {}
    let limited = |metadata: &Metadata| -> BTreeSet<String> {
        let blocks = metadata
            .blocks
            .iter()
            .filter(|BlockInfo { kind: _, name: _, mode: _, units: _, exec: _, host: _, limits }| !limits.is_empty());
        let units = blocks.flat_map(|block| &block.units);
        units.filter_map(|pattern| literal_of_pattern(pattern).or_else(|| template_of_pattern(pattern))).collect()
    };
    let now = limited(after);
    // Without these nobody ends the tightening, or sees what it does: the build alone bounds them.
    let keeps =
        |unit: &&String| KEEPERS.iter().any(|keeper| unit.starts_with(keeper)) && !limited(before).contains(*unit);
    let odd = now.iter().find(|unit| unit.contains(['/', '\0'])).or_else(|| now.iter().find(keeps));
    match odd.cloned().or_else(|| limited(before).into_iter().find(|unit| !now.contains(unit))) {
        Some(unit) => Err(Wider::Unit(unit)),
        None => Ok(()),
    }
}
