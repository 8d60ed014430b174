//! What the `subject` lines of a policy come to on a machine: which units and programs they name once it is known from
//! which image the machine runs, which labels its units have, and which patterns of host names match.

use std::collections::BTreeSet;

use kiln_base::abi::metadata::ImageInfo;
use kiln_base::model::{pattern_in_quotes, quote_pattern};

use super::gap::Gap;
use super::users::{Selectors, everybody};
use crate::policy::glob::{Budget, Cut, Matcher, witness};
use crate::policy::normal::{Block, BlockKind, Effect, Object, Policy, Selector, SelectorKey};

/// What does not change while the machine runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine<'a> {
    /// The image from which it runs; none where nobody said which.
    pub(super) image: Option<&'a ImageInfo>,
    /// The patterns of host names, other than `*`, that match its own.
    pub(super) hosts: &'a BTreeSet<String>,
}

/// Where a line attaches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    /// To nothing on this machine.
    Nowhere,
    /// A switch is the way in.
    Switched,
    /// To every task.
    Everywhere,
    /// To units, by patterns.
    Units(Vec<String>),
    /// To programs, by a pattern.
    Exec(String),
    /// The kernel programs cannot do it.
    Joined,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its most specific key; less is more specific.
    pub(super) rank: SelectorKey,
    pub(super) at: At,
    /// The selectors of users that must all match, too.
    pub(super) users: u64,
    /// Whether it is of some users only.
    pub(super) of_some: bool,
}

/// The lines of each block.
pub(super) fn of(policy: &Policy, selectors: &Selectors, machine: Machine<'_>, gaps: &mut Vec<Gap>) -> Vec<Vec<Line>> {
    let mut of_block = |block: &Block| -> Vec<Line> {
        let whole = |line: &Vec<Selector>| {
            let (rank, at) = (rank(line)?, at(policy, block, line, machine, gaps));
            let of_some = line.iter().any(|s| s.key == SelectorKey::User && !everybody(s));
            Some(Line { rank, at, users: selectors.bits(line), of_some })
        };
        block.subjects.iter().filter_map(whole).collect()
    };
    policy.blocks.iter().map(&mut of_block).collect()
}

/// The lines that mean something on the machine.
pub(super) fn held(lines: &[Line]) -> impl Iterator<Item = &Line> {
    lines.iter().filter(|line| line.at != At::Nowhere)
}

/// The sets of selectors one of which must match for a block with these lines to bind; none where it binds whoever asks.
pub(super) fn clauses(lines: &[Line]) -> Vec<u64> {
    let clauses: BTreeSet<u64> = held(lines).map(|line| line.users).collect();
    if clauses.contains(&0) { Vec::new() } else { clauses.into_iter().collect() }
}

fn rank(line: &[Selector]) -> Option<SelectorKey> {
    line.iter().map(|s| s.key).min()
}

fn at(policy: &Policy, block: &Block, line: &[Selector], machine: Machine<'_>, gaps: &mut Vec<Gap>) -> At {
    let of = |key: SelectorKey| line.iter().filter(move |s| s.key == key);
    if !of(SelectorKey::Host).all(|s| s.pattern.0 == "*" || machine.hosts.contains(&s.pattern.0)) {
        return At::Nowhere;
    }
    for selector in of(SelectorKey::Image).chain(of(SelectorKey::Label)) {
        if machine.image.is_none() {
            gaps.push(unknown(block, selector));
            return At::Nowhere;
        }
    }
    let image = machine.image;
    let named = |s: &Selector| image.and_then(|i| i.name.as_ref()).is_some_and(|name| matches(&s.pattern.0, name));
    if !of(SelectorKey::Image).all(named) {
        return At::Nowhere;
    }
    let labels: Vec<&Selector> = of(SelectorKey::Label).collect();
    let rest: Vec<&Selector> = line.iter().filter(|s| matches!(s.key, SelectorKey::Exec | SelectorKey::Unit)).collect();
    match (&rest[..], image.filter(|_| !labels.is_empty())) {
        ([], None) => At::Everywhere,
        ([Selector { key: SelectorKey::Unit, pattern }], None) => At::Units(vec![pattern.0.clone()]),
        ([Selector { key: SelectorKey::Exec, pattern }], None) => At::Exec(pattern.0.clone()),
        ([], Some(image)) => units(image, &labels, None),
        ([Selector { key: SelectorKey::Unit, pattern }], Some(image)) => units(image, &labels, Some(&pattern.0)),
        // The switch of the unit's own profile is the way in.
        (_, None) if switched(policy, block, line) => At::Switched,
        _ => At::Joined,
    }
}

/// Whether the line names one program of a unit, and every profile of that unit switches to this one at that program: the
/// line then says nothing that the switches do not do.
fn switched(policy: &Policy, block: &Block, line: &[Selector]) -> bool {
    let of = |key: SelectorKey| line.iter().filter(|s| s.key == key).map(|s| &s.pattern).collect::<Vec<_>>();
    let ([unit], [exec], 2) = (&of(SelectorKey::Unit)[..], &of(SelectorKey::Exec)[..], line.len()) else {
        return false;
    };
    let switches = |owner: &Block| {
        owner.rules.iter().any(|r| match &r.object {
            Object::File { paths, except, switch: Some(target), .. } => {
                let whole = r.effect == Effect::Allow && r.conditions.is_empty() && except.is_empty();
                whole && *target == block.name && paths.contains(exec)
            }
            _ => false,
        })
    };
    // Only the profile with exactly that unit is known to be what such a task has.
    let owns = |b: &&Block| {
        b.kind == BlockKind::Profile
            && b.subjects.iter().any(|l| matches!(&l[..], [s] if s.key == SelectorKey::Unit && s.pattern == **unit))
    };
    let mut owners = policy.blocks.iter().filter(owns).peekable();
    block.kind == BlockKind::Profile && owners.peek().is_some() && owners.all(switches)
}

/// The units of the image that have all the labels, and that the pattern matches.
fn units(image: &ImageInfo, labels: &[&Selector], pattern: Option<&str>) -> At {
    let mut out = Vec::new();
    for (unit, own) in &image.labels {
        if !labels.iter().all(|s| own.iter().any(|label| matches(&s.pattern.0, label))) {
            continue;
        }
        let names = instances(unit);
        match pattern.map(|pattern| (pattern, both(&names, pattern))) {
            None | Some((_, Both::First)) => out.push(names),
            Some((pattern, Both::Second)) => out.push(pattern.to_owned()),
            Some((_, Both::None)) => {}
            Some((_, Both::Neither)) => return At::Joined,
        }
    }
    if out.is_empty() { At::Nowhere } else { At::Units(out) }
}

/// The pattern of a unit's names: a template stands for its instances.
pub(super) fn instances(unit: &str) -> String {
    match unit.split_once("@.") {
        Some((stem, suffix)) => format!("{}@*.{}", quote_pattern(stem), quote_pattern(suffix)),
        None => quote_pattern(unit),
    }
}

/// What two patterns match together.
enum Both {
    /// Nothing.
    None,
    /// All that the first matches.
    First,
    /// All that the second matches.
    Second,
    /// Less than either.
    Neither,
}

fn both(first: &str, second: &str) -> Both {
    let (Ok(a), Ok(b)) = (Matcher::new(first), Matcher::new(second)) else { return Both::Neither };
    let mut budget = Budget::default();
    let cut = |any| [Cut { any: vec![any], except: Vec::new() }];
    if !witness(&[&a, &b], &[], false, &mut budget).possible() {
        return Both::None;
    }
    match () {
        () if !witness(&[&a], &cut(&b), false, &mut budget).possible() => Both::First,
        () if !witness(&[&b], &cut(&a), false, &mut budget).possible() => Both::Second,
        () => Both::Neither,
    }
}

/// The selectors `label` and `image` by which a line binds nothing in an image, each as it is written; what is known of why
/// stands behind it in parentheses.
pub fn absent(policy: &Policy, image: &ImageInfo) -> Vec<String> {
    let mut out = BTreeSet::new();
    for line in policy.blocks.iter().flat_map(|b| &b.subjects) {
        let of = |key: SelectorKey| line.iter().filter(move |s| s.key == key);
        let shown = |s: &Selector| format!("{} {}", s.key.name(), pattern_in_quotes(&s.pattern.0));
        for selector in of(SelectorKey::Image) {
            match &image.name {
                Some(name) if matches(&selector.pattern.0, name) => {}
                Some(name) => drop(out.insert(format!("{} (its name is {name})", shown(selector)))),
                None => drop(out.insert(format!("{} (its os-release has no IMAGE_ID)", shown(selector)))),
            }
        }
        let labels: Vec<&Selector> = of(SelectorKey::Label).collect();
        let mut units = of(SelectorKey::Unit);
        let unit = units.next().filter(|_| units.next().is_none()).map(|s| s.pattern.0.as_str());
        let alone = |s: &&&Selector| self::units(image, &[s], None) == At::Nowhere;
        match labels.iter().find(alone) {
            Some(selector) => drop(out.insert(shown(selector))),
            None if labels.is_empty() || self::units(image, &labels, unit) != At::Nowhere => {}
            None => drop(out.insert(format!("{} (no unit is all that its line says)", shown(labels[0])))),
        }
    }
    out.into_iter().collect()
}

/// Whether a pattern matches; one that cannot be read was refused by the check of the policy.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    Matcher::new(pattern).is_ok_and(|m| m.matches(text.as_bytes()))
}

fn unknown(block: &Block, Selector { key, pattern }: &Selector) -> Gap {
    let what = match key {
        SelectorKey::Label => "an image says which of its units have a label",
        _ => "an image says which name it has",
    };
    Gap::of_block(
        block,
        format!("{what}, and none is given: `{} \"{}\"`", key.name(), pattern.0),
        "compile for the image, by `kiln compile --image disk.raw` or `kiln bake`".to_owned(),
    )
}

/// A profile for every task is none that could be enforced.
pub(super) fn everywhere(block: &Block, gaps: &mut Vec<Gap>) -> bool {
    if block.kind == BlockKind::Profile {
        gaps.push(Gap::of_block(
            block,
            "a profile for every task of the host would bind the programs that start all others".to_owned(),
            "attach the profile by `subject unit \"…\";` or `subject exec \"…\";`, and write a guard for what no program \
             may do"
                .to_owned(),
        ));
    }
    block.kind == BlockKind::Guard
}

/// What users bring gives way to what units and programs have, and a line with `image` does not.
pub(super) fn outranks(block: &Block) -> Gap {
    Gap::of_block(
        block,
        "a profile that users bring gives way to those of units, and `image` in its line asks for the contrary"
            .to_owned(),
        "leave `image` out of the line, or name a unit in it, too".to_owned(),
    )
}

/// A line that joins what the kernel programs cannot.
pub(super) fn joined(block: &Block) -> Gap {
    Gap::of_block(
        block,
        "the kernel programs attach by one selector at a time, and this line joins several".to_owned(),
        "give one selector in a line; to bind one program of a unit, attach a profile to the unit and switch with \
         `allow exec … as …`"
            .to_owned(),
    )
}
