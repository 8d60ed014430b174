//! Events explained by the metadata of the tables that decided.

use kiln_base::abi::metadata::Metadata;
use kiln_base::event::{KernelEvent, RuleText, Violation};
use kiln_base::model::BlockKind;

/// Where lines go beside the journal.
pub trait Spool: Send {
    /// Keeps one violation for the POS.
    fn keep(&mut self, violation: &Violation);
}

/// Explains events.
#[derive(Debug, Default)]
pub struct Explainer {
    /// Newest last; a few, since events of the generation before may still come.
    generations: Vec<Known>,
    boot_unix_ns: i64,
}

#[derive(Debug)]
struct Known {
    /// By which the kernel programs name it.
    number: u64,
    serial: u64,
    blocks: Vec<(String, BlockKind)>,
    rules: Vec<(u32, String, Vec<String>)>,
}

impl Explainer {
    /// For a machine that booted at this time of the wall clock.
    pub fn new(boot_unix_ns: i64) -> Explainer {
        Explainer { generations: Vec::new(), boot_unix_ns }
    }

    /// Takes in a generation's rules. `number`: by which the kernel programs name it.
    pub fn learn(&mut self, number: u64, metadata: Metadata) {
        self.generations.retain(|g| g.number != number);
        if self.generations.len() > 2 {
            self.generations.remove(0);
        }
        let because =
            |rule: &kiln_base::abi::metadata::RuleInfo| rule.because.iter().map(ToString::to_string).collect();
        self.generations.push(Known {
            number,
            serial: metadata.serial,
            rules: metadata.rules.iter().map(|r| (r.block, r.text.clone(), because(r))).collect(),
            blocks: metadata.blocks.into_iter().map(|b| (b.name, b.kind)).collect(),
        });
    }

    /// The violation of an event.
    pub fn explain(&self, seq: u64, event: &KernelEvent, subject: &str) -> Violation {
        let rule = event.rule.and_then(|r| self.rule(event.generation, r));
        let violation = event.describe(seq, self.boot_unix_ns, subject, rule);
        Violation { generation: self.serial(event.generation), ..violation }
    }

    /// The serial of a generation by its number.
    pub fn serial(&self, number: u64) -> u64 {
        self.generations.iter().rev().find(|g| g.number == number).map_or(number, |g| g.serial)
    }

    /// A rule of a generation, by its number.
    pub fn rule(&self, number: u64, rule: u32) -> Option<RuleText<'_>> {
        let known = self.generations.iter().rev().find(|g| g.number == number)?;
        let (block, text, because) = known.rules.get(rule as usize)?;
        let (name, kind) = known.blocks.get(*block as usize)?;
        Some(RuleText { block: name, block_kind: *kind, text, because })
    }
}
