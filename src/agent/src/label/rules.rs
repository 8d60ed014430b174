//! What labels mean in a generation, and which label a subject's transition leads to. As the kernel programs have it
//! (`bpf/include/label.h`, `switch.h`).

use kiln_base::abi::Kernel;
use kiln_base::abi::layout::{LABEL_SENTINEL, S_PROFILE, S_QUARANTINE, Subject};

use crate::label::slots::Slots;
use crate::label::tree::Group;

/// The tables of a generation and their labels.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// The tables.
    pub kernel: &'a Kernel,
    /// Their labels.
    pub slots: &'a Slots,
}

impl Rules<'_> {
    /// What a label means.
    pub fn subject_of(&self, label: u32) -> Option<Subject> {
        self.kernel.subject(self.subject(label))
    }

    /// The subject of a label; 0 for one that has none, which is denied everything.
    pub fn subject(&self, label: u32) -> u32 {
        self.slots.slot.get(label as usize).map_or(0, |s| s.saturating_sub(1))
    }

    /// The label of the subject that a transition leads to; `label` where there is none.
    pub fn label_of(&self, subject: u32, label: u32) -> u32 {
        match self.slots.label_of.get(subject as usize) {
            Some(0) | None => label,
            Some(next) => *next,
        }
    }

    /// Whether a label's subject has a profile, which is kept for ever, or is in quarantine.
    pub fn settled(&self, label: u32) -> bool {
        let flags = self.kernel.subject(self.subject(label)).map_or(S_PROFILE, |s| s.flags);
        label == LABEL_SENTINEL || flags & (S_PROFILE | S_QUARANTINE) != 0
    }

    /// What a label becomes in a unit's cgroup.
    pub fn after_unit(&self, label: u32, name: &[u8]) -> u32 {
        if self.settled(label) {
            label
        } else {
            self.label_of(self.kernel.after_unit(self.subject(label), name), label)
        }
    }

    /// What a label becomes in a unit's cgroup, where it may have a profile already: guards come to that.
    pub fn within(&self, label: u32, name: &[u8]) -> u32 {
        self.label_of(self.kernel.after_unit(self.subject(label), name), label)
    }

    /// What a label becomes when a program is executed.
    pub fn after_exec(&self, label: u32, path: &[u8]) -> u32 {
        if self.settled(label) {
            label
        } else {
            self.label_of(self.kernel.after_exec(self.subject(label), path), label)
        }
    }

    /// What a process with a label that has no profile becomes in a labelled cgroup: its own guards, and what the unit
    /// brings. As `kiln_joined` of the kernel programs.
    pub fn joined(&self, label: u32, group: &Group) -> u32 {
        // Each process of a unit in quarantine is, too: the kernel programs see to it.
        let inside = self.subject_of(group.label).is_some_and(|s| s.flags & S_QUARANTINE != 0);
        if group.label == label || inside {
            return label;
        }
        let next = group.unit.as_deref().map_or(label, |unit| self.after_unit(label, unit));
        if next == label && self.settled(group.label) { LABEL_SENTINEL } else { next }
    }
}
