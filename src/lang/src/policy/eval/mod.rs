//! The reference evaluator: the full meaning of a policy, written to be read, not to be fast. What the kernel
//! decides by tables is tested against it.

mod attach;
mod error;
mod limits;
mod matching;
mod request;
mod verdict;

use jiff::Timestamp;
use kiln_base::model::{Action, Outcome, Severity, Verb, VerbSet};
use kiln_base::window::OpenTimes;

use super::detour;
use super::glob::Matcher;
use super::normal::{Addresses, Block, BlockKind, Condition, Effect, Object, Policy, SelectorKey};

pub use attach::Attachment;
pub use error::EvalError;
pub use kiln_base::model::Resource;
pub use request::{Atom, Operation, Target, Task};
pub use verdict::{Answer, Cause, Refusal, RuleRef, Verdict};

use attach::Line;
use request::CARRIED;

/// A policy, ready to be asked.
#[derive(Debug)]
pub struct Evaluator<'p> {
    policy: &'p Policy,
    blocks: Vec<Compiled>,
    windows: OpenTimes,
}

/// The patterns of a block.
#[derive(Debug)]
struct Compiled {
    subjects: Vec<Line>,
    rules: Vec<CompiledRule>,
}

/// The patterns of a rule.
#[derive(Debug)]
struct CompiledRule {
    /// Of paths, sockets or the DNS name.
    patterns: Vec<Matcher>,
    /// Of those of them that the rule leaves out.
    except: Vec<Matcher>,
    /// Of each `by`.
    by: Vec<Line>,
}

impl<'p> Evaluator<'p> {
    /// Compiles the patterns of a policy.
    pub fn new(policy: &'p Policy) -> Result<Evaluator<'p>, EvalError> {
        let blocks = policy.blocks.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Evaluator { policy, blocks, windows: OpenTimes::new(&policy.windows)? })
    }

    /// The policy.
    pub fn policy(&self) -> &'p Policy {
        self.policy
    }

    /// The profile and guards of a task that looks like this and has none yet.
    pub fn attach(&self, task: &Task) -> Attachment {
        let mut attachment = Attachment::default();
        let mut best: Option<SelectorKey> = None;
        for (id, (block, compiled)) in self.policy.blocks.iter().zip(&self.blocks).enumerate() {
            let matching = compiled.subjects.iter().filter(|line| line.matches(task));
            let Some(rank) = matching.filter_map(Line::rank).min() else { continue };
            match block.kind {
                BlockKind::Guard => attachment.guards.push(id),
                // Equal ranks are an error of the policy; should they come here, the first by name wins.
                BlockKind::Profile if best.is_none_or(|b| rank < b) => {
                    best = Some(rank);
                    attachment.profile = Some(id);
                }
                BlockKind::Profile => {}
            }
        }
        attachment
    }

    /// The attachment after an exec that switches to another profile; guards stay.
    pub fn switched(&self, attachment: &Attachment, profile: &str) -> Attachment {
        let blocks = &self.policy.blocks;
        let found = blocks.iter().position(|b| b.kind == BlockKind::Profile && b.name == profile);
        Attachment { profile: found.or(attachment.profile), guards: attachment.guards.clone() }
    }

    /// Whether a task that looks like this may do this now. It is taken to attach now: what it was before is not known.
    pub fn evaluate(&self, task: &Task, operation: &Operation, at: Timestamp) -> Answer {
        let attachment = self.attach(task);
        let decided = |atom: Atom| {
            let verdict = self.decide(&attachment, task, &atom, at);
            (atom, verdict)
        };
        let mut atoms: Vec<(Atom, Verdict)> = operation.atoms().into_iter().map(decided).collect();
        if let Some((old, new)) = operation.renaming() {
            // A new name gives no verb that the old one lacks.
            for verb in CARRIED {
                let on = |path: &[u8]| decided(Atom { verb, target: Target::Path(path.to_vec()) });
                let (lacks, gets) = (on(old), on(new));
                if !lacks.1.allowed() && gets.1.allowed() {
                    atoms.push(lacks);
                }
            }
            // Nor does it change to which profile who executes the file switches.
            let run = |path: &[u8]| decided(Atom { verb: Verb::Exec, target: Target::Path(path.to_vec()) });
            let ((atom, had), (_, gets)) = (run(old), run(new));
            if let Some(id) = attachment.profile.filter(|_| gets.allowed() && had.switch != gets.switch) {
                let block = &self.policy.blocks[id];
                let refused = vec![refusal(block, id, Cause::Default, Outcome::default(), Verb::Exec)];
                let verdict = match block.mode {
                    kiln_base::model::Mode::Enforce => Verdict { refusals: refused, ..Verdict::default() },
                    _ => Verdict { would: refused, ..Verdict::default() },
                };
                atoms.push((atom, verdict));
            }
        }
        Answer { atoms, attachment }
    }

    /// The verdict on one atom of a task that is attached already.
    pub fn decide(&self, attachment: &Attachment, task: &Task, atom: &Atom, at: Timestamp) -> Verdict {
        let mut verdict = Verdict::default();
        for id in attachment.blocks() {
            let block = &self.policy.blocks[id];
            let refusals = self.block(id, task, atom, at, &mut verdict);
            match block.mode {
                kiln_base::model::Mode::Enforce => verdict.refusals.extend(refusals),
                _ => verdict.would.extend(refusals),
            }
        }
        verdict
    }

    /// Why a block refuses the atom, if it does. Notes what permits and what watches it.
    fn block(&self, id: usize, task: &Task, atom: &Atom, at: Timestamp, verdict: &mut Verdict) -> Vec<Refusal> {
        let block = &self.policy.blocks[id];
        let open = block.active.as_ref().is_none_or(|a| self.windows.is_open(&a.window, at));
        if !open && block.kind == BlockKind::Guard {
            return Vec::new();
        }
        let matching: Vec<usize> = (0..block.rules.len()).filter(|n| self.applies(id, *n, task, atom, at)).collect();
        let with = |effect: Effect| matching.iter().copied().filter(move |n| block.rules[*n].effect == effect);
        verdict.watched.extend(with(Effect::Watch).map(|rule| RuleRef { block: id, rule }));
        let governed = block.kind == BlockKind::Profile && governs(block.governs, atom);
        if governed && let Some(active) = block.active.as_ref().filter(|_| !open) {
            let outcome = Outcome { severity: None, action: active.otherwise };
            return vec![refusal(block, id, Cause::Closed, outcome, atom.verb)];
        }
        let denied: Vec<Refusal> =
            with(Effect::Deny).map(|n| refusal(block, id, Cause::Rule(n), block.rules[n].outcome, atom.verb)).collect();
        if !denied.is_empty() || !governed {
            return denied;
        }
        let mut allows = with(Effect::Allow);
        let Some(first) = allows.next() else {
            return vec![refusal(block, id, Cause::Default, Outcome::default(), atom.verb)];
        };
        verdict.permits.push(RuleRef { block: id, rule: first });
        let switch = std::iter::once(first).chain(allows).find_map(|n| match &block.rules[n].object {
            Object::File { switch, .. } => switch.clone(),
            _ => None,
        });
        verdict.switch = verdict.switch.take().or(switch);
        Vec::new()
    }

    /// Whether a rule speaks about the atom, and its conditions hold.
    fn applies(&self, block: usize, rule: usize, task: &Task, atom: &Atom, at: Timestamp) -> bool {
        let compiled = &self.blocks[block].rules[rule];
        let rule = &self.policy.blocks[block].rules[rule];
        let mut by = compiled.by.iter();
        matching::object(&rule.object, (&compiled.patterns, &compiled.except), atom, rule.effect)
            && rule.conditions.iter().all(|condition| match condition {
                Condition::During(window) => self.windows.is_open(window, at),
                Condition::By(_) => by.next().is_some_and(|line| line.matches(task)),
            })
    }
}

/// Whether the atom is of a class that is governed, or a detour round one.
pub fn governs(governs: VerbSet, atom: &Atom) -> bool {
    match &atom.target {
        Target::Kernel(op) => detour::governs_op(governs, *op),
        Target::Capability(number) => detour::governs_capability(governs, *number),
        _ => governs.contains(atom.verb),
    }
}

/// A refusal with its outcome: the rule's own, else that of the class, else that of the block, else medium and alert.
fn refusal(block: &Block, id: usize, cause: Cause, own: Outcome, verb: Verb) -> Refusal {
    let of = block.on_violation_of.get(&verb).copied().unwrap_or_default();
    let all = block.on_violation;
    Refusal {
        block: id,
        cause,
        severity: own.severity.or(of.severity).or(all.severity).unwrap_or(Severity::Medium),
        action: own.action.or(of.action).or(all.action).unwrap_or(Action::Alert),
    }
}

fn compile(block: &Block) -> Result<Compiled, EvalError> {
    let subjects = block.subjects.iter().map(|line| Line::new(line, &block.name)).collect::<Result<_, _>>()?;
    let mut rules = Vec::new();
    for rule in &block.rules {
        let globs: Vec<&str> = match &rule.object {
            Object::Net { addresses: Addresses::Dns(name), .. } => vec![name],
            object => object.patterns().0.iter().map(|g| g.0.as_str()).collect(),
        };
        let error = |source| EvalError::Glob { origin: rule.origin.clone(), source };
        let patterns = globs.into_iter().map(Matcher::new).collect::<Result<_, _>>().map_err(error)?;
        let except = rule.object.patterns().1.iter().map(|g| Matcher::new(&g.0));
        let except = except.collect::<Result<_, _>>().map_err(error)?;
        let mut by = Vec::new();
        for condition in &rule.conditions {
            if let Condition::By(selectors) = condition {
                by.push(Line::new(selectors, &rule.origin)?);
            }
        }
        rules.push(CompiledRule { patterns, except, by });
    }
    Ok(Compiled { subjects, rules })
}

#[cfg(test)]
mod tests;
