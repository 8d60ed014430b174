//! The checks on a kernel part: after them no word can lead the kernel programs out of bounds or astray.

use super::error::{TablesError, ensure};
use super::kernel::{DEAD_WORDS, DECISION_WORDS, Kernel, SUBJECT_WORDS};
use super::layout::{self, Decision, Subject};
use super::metadata::{HOST_KEY, Metadata, NO_RULE, QUARANTINE, SENTINEL_KEY};
use crate::model::VerbSet;

/// Bits that a decision may have.
const OBJECT_MASK: u16 = (1 << layout::OBJECT_VERBS) - 1;
/// `mode` of a watch rule's outcome.
const MODE_WATCH: u8 = 3;

pub(super) fn check(kernel: &Kernel, metadata: &Metadata) -> Result<(), TablesError> {
    let automaton = header(kernel, metadata)?;
    outcomes(kernel, metadata)?;
    decisions(kernel)?;
    subjects(kernel, metadata)?;
    states(kernel, automaton)?;
    describe(kernel, metadata)?;
    super::bind::bind(kernel, metadata)
}

/// Checks the header and the order of the parts. Returns the first word of the automaton.
fn header(kernel: &Kernel, metadata: &Metadata) -> Result<u32, TablesError> {
    let h = &kernel.header;
    ensure(h.magic == layout::ABI_MAGIC, "the magic number", h.magic)?;
    if h.abi_version != layout::ABI_VERSION {
        return Err(TablesError::AbiVersion(h.abi_version));
    }
    ensure(h.words as usize == kernel.words.len(), "the number of words", h.words)?;
    ensure(kernel.words.len() <= layout::USABLE_WORDS, "the number of words", h.words)?;
    // The parts stand one behind the other; the automaton comes last, so that no accept can equal a state.
    let mut at = DEAD_WORDS as u64;
    let parts = [
        (
            "the offset of subjects",
            h.subjects_off,
            (u64::from(h.n_subjects) + u64::from(h.n_variants)) * SUBJECT_WORDS as u64,
        ),
        ("the offset of decisions", h.decisions_off, u64::from(h.n_decisions) * DECISION_WORDS as u64),
        ("the offset of outcomes", h.outcomes_off, h.n_outcomes.into()),
        ("the offset of outcome references", h.outcome_refs_off, u64::from(h.n_outcome_refs).div_ceil(2)),
    ];
    for (what, offset, len) in parts {
        ensure(u64::from(offset) == at, what, offset)?;
        at += len;
    }
    at += u64::from(h.n_rows);
    ensure(at <= h.words.into(), "the end of the rows", at)?;
    names(h)?;
    ensure(u64::from(h.users_off) == at, "the offset of users", h.users_off)?;
    ensure(h.n_users as usize <= layout::USERS, "the number of users", h.n_users)?;
    at += u64::from(h.n_users);
    ensure(at <= h.words.into(), "the end of the users", at)?;
    ensure(h.n_decisions > 0, "the number of decisions", h.n_decisions)?;
    let n = h.n_subjects as usize;
    ensure((3..=layout::SUBJECTS).contains(&n), "the number of subjects", h.n_subjects)?;
    ensure(metadata.subjects.len() == n - 1, "the number of described subjects", metadata.subjects.len() as u64)?;
    let dead = kernel.words.get(..DEAD_WORDS + SUBJECT_WORDS).unwrap_or_default();
    ensure(dead.iter().all(|w| *w == 0), "a word of the dead state or of subject", 0u32)?;
    Ok(at as u32)
}

/// Names are there with all that belongs to them, or not at all.
fn names(h: &layout::Header) -> Result<(), TablesError> {
    let some = h.names_start != 0;
    ensure(h.n_names as usize <= layout::NAME_SETS && (h.n_names != 0) == some, "the number of names", h.n_names)?;
    ensure(h.names_key & 0xff == 0 && (some || h.names_key == 0), "the key of names", h.names_key)?;
    let hooks = layout::H_DNS | if some { layout::H_DATAGRAM } else { 0 };
    let wanted = if some { hooks } else { 0 };
    ensure(h.required_hooks_lo & hooks == wanted, "the hooks of names", h.required_hooks_lo)
}

fn outcomes(kernel: &Kernel, metadata: &Metadata) -> Result<(), TablesError> {
    for n in 0..kernel.header.n_outcomes {
        let o = kernel.outcome(n).ok_or(TablesError::Bounds { what: "outcome", number: n.into() })?;
        let rule = o.rule == NO_RULE || (o.rule as usize) < metadata.rules.len();
        ensure(rule, "the rule of an outcome", o.rule)?;
        let reason = o.reason == 0 || (o.reason == layout::R_QUARANTINE && o.rule == NO_RULE);
        ensure(o.severity <= 3 && o.action <= 3 && o.mode <= MODE_WATCH && reason, "a field of outcome", n)?;
    }
    for n in 0..kernel.header.n_outcome_refs {
        let r = kernel.outcome_ref(n).unwrap_or(u32::MAX);
        ensure(r < kernel.header.n_outcomes, "an outcome reference", r)?;
    }
    Ok(())
}

fn decisions(kernel: &Kernel) -> Result<(), TablesError> {
    for n in 0..kernel.header.n_decisions {
        let d = kernel.decision(n).ok_or(TablesError::Bounds { what: "decision", number: n.into() })?;
        ensure(n > 0 || d == Decision::default(), "a field of decision", n)?;
        let bits = d.deny | d.would | d.watch;
        let apart = d.deny & d.would == 0 && d.deny & d.watch == 0 && d.would & d.watch == 0;
        ensure(bits & !OBJECT_MASK == 0 && apart && d.pad == 0, "the masks of decision", n)?;
        for (verb, outcome) in d.outcome.iter().enumerate() {
            let set = bits >> verb & 1 != 0;
            let good = if set { *outcome < kernel.header.n_outcomes } else { *outcome == 0 };
            ensure(good, "the outcome of a decision", *outcome)?;
        }
    }
    Ok(())
}

fn subjects(kernel: &Kernel, metadata: &Metadata) -> Result<(), TablesError> {
    let h = &kernel.header;
    // How many there are was compared with the number of words.
    for n in 1..h.n_subjects + h.n_variants {
        let s = kernel.subject(n).ok_or(TablesError::Bounds { what: "subject", number: n.into() })?;
        for decision in [s.path_default, s.net_default, s.fail, s.fail_net, s.guard_fail] {
            ensure(decision < h.n_decisions, "the default decision of a subject", decision)?;
        }
        lists(h.n_outcome_refs, &s)?;
        ensure(s.verbs < 1 << crate::model::Verb::ALL.len(), "the verbs of a subject", s.verbs)?;
        if n < h.n_subjects {
            quarantine(kernel, metadata, n, &s)?;
        }
        let refused = s.kernel_deny | s.kernel_would;
        ensure(s.kernel_detour & !refused == 0, "the detours of a subject", s.kernel_detour)?;
        ensure(s.guard_verbs & !s.verbs == 0, "the guards' verbs of subject", s.guard_verbs)?;
        let quick = (kernel.net4_state(s.net_start, 6), kernel.net4_state(s.net_start, 17));
        ensure((s.net4_tcp, s.net4_udp) == quick, "the IPv4 state of subject", n)?;
        let any = (kernel.any_address(&s, 6), kernel.any_address(&s, 17));
        ensure((s.any_tcp, s.any_udp) == any, "the permissions for any address of subject", n)?;
        if n >= h.n_subjects {
            continue;
        }
        let sentinel = if n == 2 { layout::S_SENTINEL } else { 0 };
        let varies = if n == 2 { 0 } else { layout::S_VARIES };
        let named = if n == 2 || h.names_start == 0 { 0 } else { layout::S_DNS };
        let flags = s.flags & !(layout::S_PROFILE | layout::S_QUARANTINE | varies | named);
        ensure(flags == sentinel, "the flags of a subject", s.flags)?;
        if n == 1 {
            let exec = if s.exec_start != 0 { layout::HOST_EXEC } else { 0 };
            ensure(s.verbs | exec == h.host_verbs, "the verbs of the host", h.host_verbs)?;
        }
        let info = &metadata.subjects[n as usize - 1];
        ensure(info.index == n, "the index of a described subject", info.index)?;
        ensure((n == 1) == (info.key == HOST_KEY), "the key of subject", n)?;
        ensure((n == 2) == (info.key == SENTINEL_KEY), "the key of subject", n)?;
        let profile = s.flags & layout::S_PROFILE != 0;
        ensure(profile == info.profile.is_some(), "the profile of subject", n)?;
    }
    super::timed::check(kernel, metadata)
}

/// A subject in quarantine stays one, and is refused what quarantine refuses; what leads to it is the same subject
/// outside.
fn quarantine(kernel: &Kernel, metadata: &Metadata, n: u32, s: &Subject) -> Result<(), TablesError> {
    let info = |n: u32| metadata.subjects.get(n as usize - 1);
    let inside = s.flags & layout::S_QUARANTINE != 0;
    ensure(info(n).is_some_and(|i| i.quarantined() == inside), "the quarantine of subject", n)?;
    if s.quarantine != 0 {
        let to = kernel
            .subject(s.quarantine)
            .ok_or(TablesError::Bounds { what: "the quarantine of subject", number: n.into() })?;
        let same = match (info(n), info(s.quarantine)) {
            (Some(from), Some(to)) => to.key.strip_suffix(QUARANTINE) == Some(&from.key),
            _ => false,
        };
        ensure(n > 2 && !inside && same && to.flags & layout::S_QUARANTINE != 0, "the quarantine of subject", n)?;
    }
    if inside {
        let apart = s.exec_start == 0 && s.unit_start == 0;
        ensure(apart, "a change of a subject in quarantine", n)?;
        let refuses = |decision: u32, verbs: VerbSet| {
            kernel.decision(decision).is_some_and(|d| d.deny & verbs.bits() == verbs.bits())
        };
        let all = [s.path_default, s.fail].iter().all(|d| refuses(*d, VerbSet::QUARANTINE));
        let net = [s.net_default, s.fail_net].iter().all(|d| refuses(*d, VerbSet::NETWORK));
        ensure(all && net, "what a subject in quarantine is refused", n)?;
    }
    Ok(())
}

/// Where a bit is set its outcome must be there: 64 entries for capabilities, 32 for kernel operations.
fn lists(n_refs: u32, s: &Subject) -> Result<(), TablesError> {
    let caps = s.cap_deny | s.cap_would | s.cap_watch;
    let ops = s.kernel_deny | s.kernel_would | s.kernel_watch;
    let within = |offset: u32, len: u32| offset.checked_add(len).is_some_and(|end| end <= n_refs);
    ensure(caps == 0 || within(s.cap_off, 64), "the capability list of a subject", s.cap_off)?;
    ensure(ops == 0 || within(s.kernel_off, 32), "the kernel list of a subject", s.kernel_off)
}

/// Which accepts an automaton may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Path,
    Net,
    Next,
    Name,
}

/// Visits each state that a start leads to. A state belongs to one kind of automaton only.
fn states(kernel: &Kernel, automaton: u32) -> Result<(), TablesError> {
    let h = &kernel.header;
    let mut seen: Vec<Option<Kind>> = vec![None; kernel.words.len()];
    let mut todo = Vec::from_iter(Some((h.names_start, Kind::Name)).filter(|(start, _)| *start != 0));
    for n in 1..h.n_subjects + h.n_variants {
        let Some(s) = kernel.subject(n) else { continue };
        let starts = [
            (s.path_start, Kind::Path),
            (s.guard_start, Kind::Path),
            (s.net_start, Kind::Net),
            (s.exec_start, Kind::Next),
            (s.unit_start, Kind::Next),
        ];
        todo.extend(starts.into_iter().filter(|(start, _)| *start != 0));
        while let Some((state, kind)) = todo.pop() {
            let classes = if kind == Kind::Net { &h.net_class } else { &h.path_class };
            let last = classes.iter().max().copied().unwrap_or(0);
            let end = u64::from(state) + 1 + u64::from(last);
            ensure(state >= automaton && end < h.words.into(), "state", state)?;
            match seen[state as usize].replace(kind) {
                Some(before) if before == kind => continue,
                Some(_) => return Err(TablesError::Bounds { what: "state", number: state.into() }),
                None => {}
            }
            let head = kernel.words[state as usize];
            let accept = (head >> 32) as u32 & !layout::FINAL;
            let is_final = (head >> 32) as u32 & layout::FINAL != 0;
            let most = match kind {
                Kind::Next => h.n_subjects,
                Kind::Name => h.n_names + 1,
                Kind::Path | Kind::Net => h.n_decisions,
            };
            ensure(accept < most && accept < automaton, "the accept of a state", accept)?;
            let row = &kernel.words[state as usize + 1..=end as usize];
            let entries = row.iter().filter(|w| (**w >> 32) as u32 == state).chain([&head]);
            let stays = entries.clone().all(|w| *w as u32 == state);
            ensure(is_final == stays, "the end of a state", state)?;
            todo.extend(entries.map(|w| (*w as u32, kind)).filter(|(next, _)| *next != 0));
        }
    }
    Ok(())
}

fn describe(kernel: &Kernel, metadata: &Metadata) -> Result<(), TablesError> {
    let mut keys: Vec<_> = metadata.subjects.iter().map(|s| s.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    ensure(keys.len() + 1 == kernel.header.n_subjects as usize, "the number of different keys", keys.len() as u64)?;
    for rule in &metadata.rules {
        ensure((rule.block as usize) < metadata.blocks.len(), "the block of a rule", rule.block)?;
    }
    Ok(())
}
