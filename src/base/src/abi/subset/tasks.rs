//! Which pairs of subjects one task can have by the two policies, from what the host's become by units and programs.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::abi::Tables;
use crate::abi::layout::{S_PROFILE, S_QUARANTINE};
use crate::abi::metadata::{LimitInfo, Metadata, SubjectInfo, WindowInfo};
use crate::abi::subset::decision::Side;
use crate::abi::subset::moments;
use crate::abi::subset::product::Product;
use crate::abi::subset::request;
use crate::abi::subset::subject::{Found, compare, quarantine};
use crate::abi::subset::wider::Wider;
use crate::model::{Action, KernelOp, Resource};

const HOST: u32 = 1;
const SENTINEL: u32 = 2;
/// What finding the moments of a pair costs, in steps.
const TIMED: usize = 4000;
/// Pairs of subjects.
const MOST: usize = 1 << 14;

/// The pairs that are known, and those that are still to be looked at.
pub(super) struct Tasks<'a> {
    before: &'a Tables,
    after: &'a Tables,
    product: Product<'a>,
    known: BTreeSet<(u32, u32)>,
    open: Vec<(u32, u32)>,
    /// Of subjects between whose tasks the kernel programs do not look: what they are by the first policy.
    one: BTreeMap<u32, u32>,
    /// Of the second policy, the subjects in quarantine that were compared with those outside.
    held: BTreeSet<u32>,
    /// Whether the second policy puts somebody into quarantine whom the first does not.
    spreads: bool,
}

impl<'a> Tasks<'a> {
    pub(super) fn new(before: &'a Tables, after: &'a Tables) -> Tasks<'a> {
        let product = Product::new(&before.kernel, &after.kernel);
        Tasks {
            before,
            after,
            product,
            known: BTreeSet::new(),
            open: Vec::new(),
            one: BTreeMap::new(),
            held: BTreeSet::new(),
            spreads: false,
        }
    }

    /// Looks at all pairs that units, programs and quarantine lead to, and at `more`.
    pub(super) fn prove(&mut self, more: impl IntoIterator<Item = (u32, u32)>) -> Result<(), Wider> {
        self.add((HOST, HOST), || "a task".to_owned())?;
        self.add((SENTINEL, SENTINEL), || "the sentinel".to_owned())?;
        for pair in more {
            self.add(pair, || "a running task".to_owned())?;
        }
        while let Some(pair) = self.open.pop() {
            self.pair(pair)?;
        }
        Ok(())
    }

    /// A task has the same profile by both, and by the second at least the guards that it has by the first.
    fn add(&mut self, (a, b): (u32, u32), how: impl Fn() -> String) -> Result<(), Wider> {
        if self.known.contains(&(a, b)) {
            return Ok(());
        }
        let (Some(old), Some(new)) = (info(self.before, a), info(self.after, b)) else {
            return Err(Wider::Header("the subjects"));
        };
        let SubjectInfo { key: _, index: _, profile, guards, calls } = old;
        let rule = if new.profile != *profile {
            Some("a task keeps its profile")
        } else if !guards.iter().all(|g| new.guards.contains(g)) {
            Some("a task keeps its guards")
        } else if old.quarantined() && !new.quarantined() {
            Some("who is in quarantine stays there")
        } else if new.calls != *calls {
            Some("filters of system calls come from the image alone")
        } else {
            None
        };
        if let Some(rule) = rule {
            return Err(Wider::Attach { how: how(), before: name(old), after: name(new), rule });
        }
        if self.known.len() >= MOST {
            return Err(Wider::TooMuch("too many pairs of subjects"));
        }
        self.known.insert((a, b));
        self.open.push((a, b));
        Ok(())
    }

    fn pair(&mut self, (a, b): (u32, u32)) -> Result<(), Wider> {
        let (before, after) = (self.before, self.after);
        let subject = || info(after, b).map_or_else(String::new, name);
        let quarantines = Cell::new(false);
        let moments = moments::deciding((before, after), (a, b))?;
        self.product.spend(if moments.len() > 1 { TIMED } else { 1 })?;
        for ((x, y), when) in moments {
            let (Some(old), Some(new)) = (before.kernel.subject(x), after.kernel.subject(y)) else {
                return Err(Wider::Header("the subjects"));
            };
            let side = |kernel, subject| Side { kernel, subject, quarantines: &quarantines };
            let (old, new) = (side(&before.kernel, old), side(&after.kernel, new));
            if let Some(found) = compare(&mut self.product, &old, &new)? {
                return Err(found.wider(subject(), when));
            }
            // What binds everything is not touched at all, so that no tightening keeps a machine from running.
            if (a, b) == (HOST, HOST) {
                let mut swapped = self.product.of(&after.kernel, &before.kernel);
                match compare(&mut swapped, &new, &old)? {
                    None => {}
                    Some(Found::Request(_, request)) => return Err(Wider::Host { request, when }),
                    Some(Found::Name(request)) => return Err(Wider::Host { request, when }),
                    Some(Found::Field(what)) => return Err(Wider::Host { request: what.to_owned(), when }),
                }
            }
        }
        if quarantines.get() {
            self.spread()?;
        }
        self.limits(a, b)?;
        self.merged(a, b)?;
        self.transitions(a, b)
    }

    /// Some rule puts into quarantine whom the first policy does not: a unit with all who are in it, whatever they are.
    fn spread(&mut self) -> Result<(), Wider> {
        if std::mem::replace(&mut self.spreads, true) {
            return Ok(());
        }
        for (a, b) in self.known.clone() {
            self.held_by_second(a, b)?;
        }
        Ok(())
    }

    fn held_by_second(&mut self, a: u32, b: u32) -> Result<(), Wider> {
        match self.after.kernel.subject(b).map_or(0, |s| s.quarantine) {
            0 => Ok(()),
            inside => self.add((a, inside), || "quarantine".to_owned()),
        }
    }

    fn limits(&self, a: u32, b: u32) -> Result<(), Wider> {
        let (Some(old), Some(new)) = (info(self.before, a), info(self.after, b)) else { return Ok(()) };
        // What holds at all times; what holds in a window is kept word by word.
        let (least, now) = (self.before.metadata.limits(old, |_| false), self.after.metadata.limits(new, |_| false));
        let action = |info: &LimitInfo| info.outcome.action.unwrap_or(Action::Alert);
        let wider = |(resource, (most, limit)): (&Resource, &(u64, &LimitInfo))| {
            let kept = now.get(resource).is_some_and(|(amount, after)| {
                let response = action(limit) == Action::Alert || action(limit) == action(after);
                amount <= most && response
            });
            (!kept).then_some(*resource)
        };
        let timed = timed(&self.after.metadata, new);
        let lost = timed_lost(&timed, &self.before.metadata, old);
        match least.iter().find_map(wider).or(lost) {
            Some(resource) => Err(Wider::Limit { subject: name(new), resource }),
            None => Ok(()),
        }
    }

    /// Tasks of one label may trace each other where tracing is refused as a detour only: who is two by the first policy is
    /// not one by the second.
    fn merged(&mut self, a: u32, b: u32) -> Result<(), Wider> {
        let Some(s) = self.after.kernel.subject(b) else { return Ok(()) };
        if s.flags & S_QUARANTINE != 0 || s.kernel_detour >> KernelOp::Ptrace as u8 & 1 == 0 {
            return Ok(());
        }
        if *self.one.entry(b).or_insert(a) == a {
            return Ok(());
        }
        let name = |tables, n| info(tables, n).map_or_else(String::new, name);
        Err(Wider::Attach {
            how: format!("a task of {}", name(self.before, a)),
            before: format!("a label other than that of {}", name(self.before, self.one[&b])),
            after: name(self.after, b),
            rule: "tasks that may not trace each other are kept apart",
        })
    }

    /// What units, programs and quarantine make of the pair.
    fn transitions(&mut self, a: u32, b: u32) -> Result<(), Wider> {
        let (Some(old), Some(new)) = (self.before.kernel.subject(a), self.after.kernel.subject(b)) else {
            return Ok(());
        };
        for (program, start) in [(false, (old.unit_start, new.unit_start)), (true, (old.exec_start, new.exec_start))] {
            // Where the first policy switches, the second does not take two programs for one: else a file could be given the
            // name of another under it.
            let switches = program && old.flags & S_PROFILE != 0 && old.exec_start != 0;
            let mut to: HashMap<(u32, u32), Vec<u8>> = HashMap::new();
            let mut merged: HashMap<u32, u32> = HashMap::new();
            let accept = |kernel: &crate::abi::Kernel, state| if state == 0 { 0 } else { kernel.accept(state) };
            let clash = self.product.texts(start, |x, y, text| {
                let pair = (accept(&self.before.kernel, x), accept(&self.after.kernel, y));
                to.entry(pair).or_insert_with(text);
                let clash = switches && *merged.entry(pair.1).or_insert(pair.0) != pair.0;
                (clash || to.len() > MOST).then_some(())
            })?;
            if to.len() > MOST {
                return Err(Wider::TooMuch("too many pairs of subjects"));
            }
            if let Some(((), text)) = clash {
                let subject = info(self.before, a).map_or_else(String::new, name);
                return Err(Wider::Switch { subject, program: request::quoted(&text) });
            }
            let mut to: Vec<((u32, u32), Vec<u8>)> = to.into_iter().collect();
            to.sort_by_key(|(_, text)| text.len());
            for ((next, after), text) in to {
                let next = (if next == 0 { a } else { next }, if after == 0 { b } else { after });
                let how = || {
                    let kind = if program { "program" } else { "unit" };
                    format!(
                        "{kind} {} of {}",
                        request::quoted(&text),
                        info(self.before, a).map_or_else(String::new, name)
                    )
                };
                if (a, b) == (HOST, HOST) && (next.0 == HOST) != (next.1 == HOST) {
                    let of = |tables, n| info(tables, n).map_or_else(String::new, name);
                    return Err(Wider::Attach {
                        how: how(),
                        before: of(self.before, next.0),
                        after: of(self.after, next.1),
                        rule: "what the build's policy does not bind stays unbound",
                    });
                }
                self.add(next, how)?;
            }
        }
        self.inside(b, new.quarantine)?;
        match (old.quarantine, new.quarantine) {
            (0, _) => {}
            // In quarantine already.
            (inside, 0) if new.flags & S_QUARANTINE != 0 => self.add((inside, b), || "quarantine".to_owned())?,
            (_, 0) => {
                let subject = info(self.after, b).map_or_else(String::new, name);
                return Err(Wider::Subject { subject, what: "its quarantine" });
            }
            (x, y) => self.add((x, y), || "quarantine".to_owned())?,
        }
        if self.spreads { self.held_by_second(a, b) } else { Ok(()) }
    }
}

impl Tasks<'_> {
    /// Who comes into quarantine is by the same policy as before, but for what quarantine refuses.
    fn inside(&mut self, outside: u32, inside: u32) -> Result<(), Wider> {
        let after = self.after;
        if inside == 0 || !self.held.insert(inside) {
            return Ok(());
        }
        let unused = Cell::new(false);
        for ((x, y), _) in moments::deciding((after, after), (outside, inside))? {
            let side = |n| {
                let quarantines = &unused;
                Some(Side { kernel: &after.kernel, subject: after.kernel.subject(n)?, quarantines })
            };
            let (Some(x), Some(y)) = (side(x), side(y)) else { return Err(Wider::Header("the subjects")) };
            if !quarantine(&mut self.product.of(&after.kernel, &after.kernel), &x, &y)? {
                let subject = info(after, outside).map_or_else(String::new, name);
                return Err(Wider::Subject { subject, what: "its quarantine" });
            }
        }
        Ok(())
    }
}

/// The limits of a subject that hold in a window, with what the window is.
fn timed<'a>(metadata: &'a Metadata, subject: &SubjectInfo) -> Vec<(&'a LimitInfo, Option<&'a WindowInfo>)> {
    let blocks = metadata.blocks.iter().filter(|block| subject.bound_by(block));
    let window = |limit: &LimitInfo| metadata.windows.iter().find(|w| Some(&w.name) == limit.during.as_ref());
    let limits = blocks.flat_map(|block| &block.limits).filter(|limit| limit.during.is_some());
    limits.map(|limit| (limit, window(limit))).collect()
}

/// A resource that a window's limit of the first policy bounds, and none of the second does with the same words.
fn timed_lost(
    now: &[(&LimitInfo, Option<&WindowInfo>)],
    metadata: &Metadata,
    subject: &SubjectInfo,
) -> Option<Resource> {
    let before = timed(metadata, subject);
    let kept = |(limit, window): &(&LimitInfo, Option<&WindowInfo>)| {
        let same = |(other, of): &(&LimitInfo, Option<&WindowInfo>)| {
            other.amounts == limit.amounts && other.outcome == limit.outcome && of == window
        };
        window.is_some() && now.iter().any(same)
    };
    before.iter().find(|limit| !kept(limit)).and_then(|(limit, _)| limit.amounts.keys().next().copied())
}

impl Found {
    fn wider(self, subject: String, when: String) -> Wider {
        match self {
            Found::Request(loss, request) => Wider::Request { subject, loss, request, when },
            Found::Name(name) => Wider::Name { subject, name },
            Found::Field(what) => Wider::Subject { subject, what },
        }
    }
}

/// A subject's description.
fn info(tables: &Tables, index: u32) -> Option<&SubjectInfo> {
    tables.metadata.subjects.get((index as usize).checked_sub(1)?)
}

/// A subject in words.
fn name(info: &SubjectInfo) -> String {
    let own = info.profile.iter().map(|p| format!("profile {p}"));
    let all: Vec<String> = own.chain(info.guards.iter().map(|g| format!("guard {g}"))).collect();
    let inside = if info.quarantined() { " in quarantine" } else { "" };
    if all.is_empty() { "what nothing binds".to_owned() } else { format!("{}{inside}", all.join(" with ")) }
}
