//! The evidence of one event, one term a field.

use kiln_base::model::{Severity, Verdict};

use super::hash::hash;
use super::kinds::{Kind, Kinds};
use super::marks::Marks;
use super::weight::{Classes, LETHAL, Weight};
use super::weights::Weights;
use crate::engine::event::{Event, Source};

/// The field that a term comes from. No field has more than one term, and no term weighs more than the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The detector's rule.
    Rule,
    /// The detector's priority.
    Priority,
    /// The detector's tags.
    Tags,
    /// The operation.
    Operation,
    /// The command line.
    Command,
    /// The executable's path.
    Executable,
    /// The target.
    Target,
    /// Parent and child.
    Lineage,
    /// The user.
    Account,
    /// The policy's verdict.
    Verdict,
    /// The policy's response.
    Response,
    /// The signer.
    Signer,
    /// The digest.
    Digest,
    /// The geometry signal.
    Geometry,
    /// How rarely this program is seen to do this.
    Rarity,
    /// The parent's own load.
    Parent,
    /// The inflammation around the process.
    Tissue,
    /// What was gathered is sent.
    Chain,
}

impl Field {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Field::Rule => "rule",
            Field::Priority => "priority",
            Field::Tags => "tags",
            Field::Operation => "operation",
            Field::Command => "command",
            Field::Executable => "executable",
            Field::Target => "target",
            Field::Lineage => "lineage",
            Field::Account => "account",
            Field::Verdict => "verdict",
            Field::Response => "response",
            Field::Signer => "signer",
            Field::Digest => "digest",
            Field::Geometry => "geometry",
            Field::Rarity => "rarity",
            Field::Parent => "parent",
            Field::Tissue => "tissue",
            Field::Chain => "chain",
        }
    }
}

/// One term.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub field: Field,
    pub weight: f32,
    pub because: u16,
    /// Whether a role has made it lighter.
    pub excused: bool,
    /// What makes it the same evidence when it comes again.
    pub kind: Kind,
}

/// The terms of one event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    list: [Term; 18],
    count: usize,
    /// What kinds of evidence are among them, excused ones not.
    pub classes: Classes,
    /// The role's name, if it excused something.
    pub role: Option<u16>,
    /// Which of the operator's marks says that the event is benign.
    pub mark: Option<u16>,
}

impl Terms {
    fn new() -> Terms {
        let none = Term { field: Field::Rule, weight: 0.0, because: 0, excused: false, kind: Kind::default() };
        Terms { list: [none; 18], count: 0, classes: 0, role: None, mark: None }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Term> {
        self.list.iter().take(self.count)
    }

    fn push(&mut self, term: Term) {
        // One term a field, and as many places as fields.
        if term.weight > 0.0
            && let Some(place) = self.list.get_mut(self.count)
        {
            *place = term;
            self.count += 1;
        }
    }

    /// Adds what the memory knows of the company that the event is in.
    pub fn push_company(&mut self, field: Field, weight: f32) {
        self.push(Term { field, weight, because: 0, excused: false, kind: Kind::default() });
    }

    /// What kinds of evidence there are.
    pub fn kinds(&self) -> Kinds {
        let mut kinds = Kinds::default();
        self.iter().for_each(|term| kinds.insert(term.kind));
        kinds
    }

    /// How much of the evidence is new where these kinds have been seen, from 0 to 1.
    pub fn novelty(&self, seen: Kinds) -> f32 {
        let (mut all, mut new) = (0.0, 0.0);
        for term in self.iter().filter(|term| term.kind.is_evidence()) {
            let bits = -(1.0 - term.weight).ln();
            all += bits;
            new += bits * seen.novelty(term.kind);
        }
        if all > 0.0 { new / all } else { 0.0 }
    }

    /// `1 - Π(1 - w)`: the probability that at least one term is right, were they independent.
    pub fn suspicion(&self) -> f32 {
        1.0 - self.iter().fold(1.0, |innocent, term| innocent * (1.0 - term.weight))
    }

    /// Whether the evidence is of what cannot be undone.
    pub fn lethal(&self) -> bool {
        self.classes & LETHAL != 0
    }
}

/// Weighs one event for itself.
pub(super) fn weigh(event: &Event<'_>, weights: &Weights, marks: &Marks) -> Terms {
    let program = memchr::memrchr(b'/', &event.exe).map_or(&*event.exe, |slash| &event.exe[slash + 1..]);
    let command = weights.commands.find(&event.command_line, program);
    let borne_out =
        command.and_then(|(command, by)| by.then_some(Weight { classes: command.classes, ..weights.borne_out }));
    let mut found: [(Field, Option<Weight>); 14] = [
        (Field::Rule, rule(event, weights)),
        (Field::Priority, priority(event, weights)),
        (Field::Tags, heaviest(event.tags.iter().filter_map(|tag| weights.tag.get(&**tag)))),
        (Field::Operation, weights.operation.get(&*event.operation).copied()),
        (Field::Command, command.map(|(weight, _)| weight)),
        (Field::Executable, executable(event, weights).or(borne_out)),
        (Field::Target, target(event, weights)),
        (Field::Lineage, lineage(event, weights)),
        (Field::Account, weights.account(&event.user, &event.name)),
        (Field::Verdict, verdict(event, weights)),
        (Field::Response, response(event, weights)),
        (Field::Signer, weak(weights, event.signer_trusted == Some(false), weights.weak.untrusted_signer)),
        (Field::Digest, weak(weights, !event.sha256.is_empty() && event.sha256.len() != 64, weights.weak.odd_digest)),
        (
            Field::Geometry,
            event.geometry.and_then(|norm| {
                // Not a number weighs nothing: it is not evidence.
                let norm = if norm > 0.0 { norm.min(1.0) as f32 } else { 0.0 };
                weak(weights, norm > 0.0, weights.weak.geometry * norm)
            }),
        ),
    ];
    let mut terms = Terms::new();
    terms.mark = marks.find(event);
    if found.iter().all(|(_, weight)| weight.is_none()) {
        return terms;
    }
    let mut excuse = weights.roles.excuse(event);
    if let Some((classes, because)) = weights.harmless(&event.target) {
        excuse.classes |= classes;
        excuse.because = because;
    }
    let (mut excused, mut unexcused) = (0u32, 0u32);
    for (_, weight) in &found {
        let Some(weight) = weight.filter(|weight| weight.classes != 0) else { continue };
        if weight.classes & !excuse.classes == 0 { excused += 1 } else { unexcused += 1 }
    }
    let routine = excused > 0 && unexcused == 0;
    correlate(&mut found, weights.correlated);
    if found[0].1.is_some_and(|rule| rule.noisy) {
        for (_, weight) in &mut found[1..3] {
            weight.iter_mut().for_each(|weight| weight.weight *= weights.noisy);
        }
    }
    for (field, weight) in &mut found {
        let Some(weight) = weight else { continue };
        let classed = weight.classes != 0 && weight.classes & !excuse.classes == 0;
        // The priority, and tags without a class, are about the same act: they are excused with all the rest of it.
        let light = classed || routine && matches!(field, Field::Priority | Field::Rule | Field::Tags);
        if light {
            weight.weight *= weights.role_factor;
            terms.role = Some(excuse.because);
        } else {
            terms.classes |= weight.classes;
        }
        let Weight { weight, because, kind, .. } = *weight;
        terms.push(Term { field: *field, weight: weight.min(weights.cap), because, excused: light, kind });
    }
    terms
}

/// A rule, its tags, and the lineage and account that it asks for say one thing in several fields: the heaviest counts in
/// full, the others by a share. What cannot be undone is not made lighter.
fn correlate(found: &mut [(Field, Option<Weight>)], share: f32) {
    let one_thing = |field: Field| matches!(field, Field::Rule | Field::Tags | Field::Lineage | Field::Account);
    let speaks = |entry: &(Field, Option<Weight>)| {
        entry.1.filter(|weight| one_thing(entry.0) && weight.classes & !LETHAL != 0 && !weight.independent)
    };
    let list: [Option<Weight>; 14] = std::array::from_fn(|at| found.get(at).and_then(speaks));
    for (at, (_, weight)) in found.iter_mut().enumerate() {
        let (Some(own), Some(weight)) = (list.get(at).copied().flatten(), weight) else { continue };
        if own.classes & LETHAL != 0 {
            continue;
        }
        let outdone = list.iter().enumerate().any(|(other, than)| {
            than.is_some_and(|than| {
                than.classes & own.classes & !LETHAL != 0
                    && (than.weight > own.weight || than.weight == own.weight && other < at)
            })
        });
        if outdone {
            weight.weight *= share;
        }
    }
}

fn rule(event: &Event<'_>, weights: &Weights) -> Option<Weight> {
    // A rule of Kiln's own is text of the policy; its weight is the verdict's.
    if event.rule.is_empty() || event.source == Source::Kiln {
        return None;
    }
    let unknown = || {
        let kind = weights.unknown_rule.kind.with_word(hash(&[&event.rule]));
        Weight { kind, ..weights.unknown_rule }
    };
    Some(weights.rule.get(&*event.rule).copied().unwrap_or_else(unknown))
}

fn verdict(event: &Event<'_>, weights: &Weights) -> Option<Weight> {
    let weight = weights.verdict.get(event.verdict.as_ref()?.bytes())?;
    // Of one policy each rule that is broken is evidence of its own.
    Some(Weight { kind: weight.kind.with_word(hash(&[&event.rule])), ..*weight })
}

fn target(event: &Event<'_>, weights: &Weights) -> Option<Weight> {
    let old = weights.targets.find(&event.target, &event.operation);
    if event.destination.is_empty() {
        return old;
    }
    // What takes another's name changes what is found there.
    let new = weights.targets.find(&event.destination, b"write");
    match (old, new) {
        (Some(old), Some(new)) if old.weight > new.weight => Some(old),
        (old, new) => new.or(old),
    }
}

fn lineage(event: &Event<'_>, weights: &Weights) -> Option<Weight> {
    let by_parent = weights.lineage(&event.parent, &event.name);
    let stream = *event.operation == *b"dup";
    let connects = stream || *event.operation == *b"network_connect";
    let by_peer = if connects { weights.shell_peer(&event.name, stream, &event.target) } else { None };
    match (by_parent, by_peer) {
        (Some(parent), Some(peer)) if parent.weight > peer.weight => Some(parent),
        (parent, peer) => peer.or(parent),
    }
}

fn priority(event: &Event<'_>, weights: &Weights) -> Option<Weight> {
    // The severity of a rule that only watches, and was given none: nobody has said that what it reports is suspect.
    let unsaid = event.verdict == Some(Verdict::Watched.into()) && *event.priority == *Severity::Low.name().as_bytes();
    if unsaid { None } else { weights.priority.get(&*event.priority).copied() }
}

fn executable(event: &Event<'_>, weights: &Weights) -> Option<Weight> {
    let path = if event.exe.is_empty() && *event.operation == *b"exec" { &event.target } else { &event.exe };
    let flag = |name: &[u8]| memchr::memmem::find(&event.flags, name).is_some();
    let by_flag = if event.unlinked || flag(b"EXE_FROM_MEMFD") {
        weights.executables.find(b"memfd:", b"exec")
    } else if event.upper_layer || flag(b"EXE_UPPER_LAYER") {
        // Built or installed where builds and installations belong, or dropped elsewhere.
        let known =
            [b"/app/".as_slice(), b"/opt/", b"/usr/local/", b"/home/", b"/builds/", b"/workspace/", b"/go/", b"/root/"];
        let place: &[u8] =
            if known.iter().any(|prefix| path.starts_with(prefix)) { b"upper-layer-known:" } else { b"upper-layer:" };
        weights.executables.find(place, b"exec")
    } else {
        None
    };
    heaviest(by_flag.iter().chain(weights.executables.find(path, b"exec").iter()))
}

fn response(event: &Event<'_>, weights: &Weights) -> Option<Weight> {
    // What a policy would do is not evidence where it has found nothing.
    let action = event.policy_action.as_ref().filter(|_| event.is_objected())?;
    weights.response.get(action.bytes()).copied()
}

fn heaviest<'a>(list: impl Iterator<Item = &'a Weight>) -> Option<Weight> {
    list.fold(None, |best: Option<Weight>, weight| match best {
        // The classes of all tags count: the heaviest only decides the number.
        Some(best) if best.weight >= weight.weight => Some(Weight { classes: best.classes | weight.classes, ..best }),
        Some(best) => Some(Weight { classes: best.classes | weight.classes, ..*weight }),
        None => Some(*weight),
    })
}

fn weak(weights: &Weights, holds: bool, weight: f32) -> Option<Weight> {
    holds.then_some(Weight { weight, because: weights.weak_because, ..Weight::default() })
}
