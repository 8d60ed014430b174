//! The evidence of one event, one term a field.

use super::weights::{Classes, LETHAL, Weight, Weights};
use crate::gate::engine::event::Event;

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
}

/// The terms of one event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    list: [Term; 17],
    count: usize,
    /// What kinds of evidence are among them, excused ones not.
    pub classes: Classes,
    /// The role's name, if it excused something.
    pub role: Option<u16>,
}

impl Terms {
    fn new() -> Terms {
        let none = Term { field: Field::Rule, weight: 0.0, because: 0, excused: false };
        Terms { list: [none; 17], count: 0, classes: 0, role: None }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Term> {
        self.list.iter().take(self.count)
    }

    pub fn push(&mut self, field: Field, weight: f32, because: u16, excused: bool) {
        // One term a field, and as many places as fields.
        if weight > 0.0
            && let Some(place) = self.list.get_mut(self.count)
        {
            *place = Term { field, weight, because, excused };
            self.count += 1;
        }
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
pub(super) fn weigh(event: &Event<'_>, weights: &Weights) -> Terms {
    let mut found: [(Field, Option<Weight>); 14] = [
        (Field::Rule, rule(event, weights)),
        (Field::Priority, priority(event, weights)),
        (Field::Tags, heaviest(event.tags.iter().filter_map(|tag| weights.tag.get(&**tag)))),
        (Field::Operation, weights.operation.get(&*event.operation).copied()),
        (Field::Command, weights.commands.find(&event.command_line)),
        (Field::Executable, executable(event, weights)),
        (Field::Target, weights.targets.find(&event.target, &event.operation)),
        (Field::Lineage, weights.lineage(&event.parent, &event.name)),
        (Field::Account, weights.account(&event.user, &event.name)),
        (Field::Verdict, weights.verdict.get(&*event.verdict).copied()),
        (Field::Response, response(event, weights)),
        (Field::Signer, weak(weights, event.signer_trusted == Some(false), weights.weak.untrusted_signer)),
        (Field::Digest, weak(weights, !event.sha256.is_empty() && event.sha256.len() != 64, weights.weak.odd_digest)),
        (
            Field::Geometry,
            event.geometry.and_then(|norm| {
                // Not a number weighs nothing: it is no evidence.
                let norm = if norm > 0.0 { norm.min(1.0) as f32 } else { 0.0 };
                weak(weights, norm > 0.0, weights.weak.geometry * norm)
            }),
        ),
    ];
    let lineage = std::iter::once(&*event.parent).chain(event.ancestors.iter().map(|name| &**name));
    let excuse = weights.excuse(&event.name, &event.exe, event.terminal == Some(true), lineage);
    let mut terms = Terms::new();
    let (mut excused, mut unexcused) = (0u32, 0u32);
    for (_, weight) in &found {
        let Some(weight) = weight.filter(|weight| weight.classes != 0) else { continue };
        if weight.classes & !excuse.classes == 0 { excused += 1 } else { unexcused += 1 }
    }
    let routine = excused > 0 && unexcused == 0;
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
        terms.push(*field, weight.weight.min(weights.cap), weight.because, light);
    }
    terms
}

fn rule(event: &Event<'_>, weights: &Weights) -> Option<Weight> {
    // A rule of Kiln's own is text of the policy; its weight is the verdict's.
    if event.rule.is_empty() || event.source == crate::gate::engine::event::Source::Kiln {
        return None;
    }
    Some(weights.rule.get(&*event.rule).copied().unwrap_or(weights.unknown_rule))
}

fn priority(event: &Event<'_>, weights: &Weights) -> Option<Weight> {
    // The severity of a rule that only watches, and was given none: nobody has said that what it reports is suspect.
    let unsaid = *event.verdict == *b"watched" && *event.priority == *b"low";
    if unsaid { None } else { weights.priority.get(&*event.priority).copied() }
}

fn executable(event: &Event<'_>, weights: &Weights) -> Option<Weight> {
    let path = if event.exe.is_empty() && *event.operation == *b"exec" { &event.target } else { &event.exe };
    let flag = |name: &[u8]| memchr::memmem::find(&event.flags, name).is_some();
    let by_flag = if event.unlinked || flag(b"EXE_FROM_MEMFD") {
        weights.executables.find(b"memfd:", b"exec")
    } else if flag(b"EXE_UPPER_LAYER") {
        weights.executables.find(b"upper-layer:", b"exec")
    } else {
        None
    };
    heaviest(by_flag.iter().chain(weights.executables.find(path, b"exec").iter()))
}

fn response(event: &Event<'_>, weights: &Weights) -> Option<Weight> {
    // What a policy would do is no evidence where it has found nothing.
    let verdict = matches!(&*event.verdict, b"denied" | b"would_deny");
    verdict.then(|| weights.response.get(&*event.policy_action).copied()).flatten()
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
    holds.then_some(Weight { weight, classes: 0, because: weights.weak_because })
}
