//! Two decisions, or two lists of them: whether the second is at least as strict as the first.

use std::cell::Cell;

use crate::abi::kernel::Kernel;
use crate::abi::layout::{Decision, OBJECT_VERBS, Outcome, Subject};
use crate::abi::subset::wider::Loss;
use crate::model::{Action, VerbSet};

/// The verbs that a file keeps under another name (`KILN_CARRIED` of `bpf/include/rename.h`).
const CARRIED: u16 = 0b11_1111_0011 & !0b100;
/// The verb of a new name.
const CREATE: u16 = 1 << 2;
/// The verb of a name that a file loses.
const DELETE: u16 = 1 << 3;

/// Tables with one of their subjects.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) subject: Subject,
    /// Set by what compares, if the second side puts somebody into quarantine whom the first does not.
    pub(super) quarantines: &'a Cell<bool>,
}

/// What is decided of one verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Allow,
    Watch,
    Would,
    Deny(Outcome),
}

impl Side<'_> {
    fn said(&self, [deny, would, watch]: [bool; 3], outcome: Option<u32>) -> Said {
        match (deny, would, watch) {
            // An outcome that is not there is none that follows.
            (true, ..) => Said::Deny(outcome.and_then(|o| self.kernel.outcome(o)).unwrap_or_default()),
            (_, true, _) => Said::Would,
            (_, _, true) => Said::Watch,
            _ => Said::Allow,
        }
    }

    fn note(&self, before: Said, after: Said) {
        let quarantines = |said| matches!(said, Said::Deny(o) if o.action == Action::Quarantine as u8);
        if quarantines(after) && !quarantines(before) {
            self.quarantines.set(true);
        }
    }

    fn of(&self, index: u32, governed: u32) -> (Decision, u16) {
        let none = Decision { deny: u16::MAX, ..Decision::default() };
        (self.kernel.decision(index).unwrap_or(none), governed as u16)
    }

    fn verb(&self, (d, governed): &(Decision, u16), verb: usize) -> Said {
        let Decision { deny, would, watch, pad: _, outcome } = d;
        let masks = [deny, would, watch].map(|m| m & governed & 1 << verb != 0);
        self.said(masks, outcome.get(verb).copied())
    }
}

/// What is lost, and of which verb. `governed`: the verbs that each side looks at at all.
pub(super) fn decisions(
    (before, after): (&Side<'_>, &Side<'_>),
    (a, b): (u32, u32),
    governed: (u32, u32),
) -> Option<(usize, Loss)> {
    let (a, b) = (before.of(a, governed.0), after.of(b, governed.1));
    let inside = after.subject.flags & crate::abi::layout::S_QUARANTINE != 0;
    (0..OBJECT_VERBS).find_map(|verb| {
        let (a, b) = (before.verb(&a, verb), after.verb(&b, verb));
        after.note(a, b);
        Some((verb, lost(a, b, inside)?))
    })
}

/// Whether a file could be given the name, and whether it could lose it.
pub(super) fn named(side: &Side<'_>, index: u32, governed: u32) -> (bool, bool) {
    let (d, governed) = side.of(index, governed);
    let refused = d.deny & governed;
    (refused & CREATE == 0, refused & DELETE == 0)
}

/// Whether one of two decisions, outside of quarantine and in it, refuses of a file or its name what the other does not.
pub(super) fn kept_apart((before, after): (&Side<'_>, &Side<'_>), (a, b): (u32, u32), governed: (u32, u32)) -> bool {
    let refused = |(d, governed): (Decision, u16)| d.deny & governed;
    let kept = (CARRIED | CREATE | DELETE) & !VerbSet::QUARANTINE.bits();
    (refused(before.of(a, governed.0)) ^ refused(after.of(b, governed.1))) & kept != 0
}

/// Whether two names say something else of what may be done with a file.
pub(super) fn carry_apart((before, after): (&Side<'_>, &Side<'_>), (a, b): (u32, u32), governed: (u32, u32)) -> bool {
    let refused = |(d, governed): (Decision, u16)| d.deny & governed;
    (refused(before.of(a, governed.0)) ^ refused(after.of(b, governed.1))) & CARRIED != 0
}

/// What is lost of the lists of capabilities and kernel operations, with whether it is of the latter, and the bit.
pub(super) fn lists(before: &Side<'_>, after: &Side<'_>) -> Option<(bool, u32, Loss)> {
    use crate::model::Verb;
    let governs = |side: &Side<'_>, verb: Verb| side.subject.verbs >> verb as u8 & 1 != 0;
    let inside = after.subject.flags & crate::abi::layout::S_QUARANTINE != 0;
    let said = |side: &Side<'_>, ops: bool, bit: u32| {
        let s = &side.subject;
        let (masks, offset, verb) = if ops {
            ([s.kernel_deny, s.kernel_would, s.kernel_watch].map(u64::from), s.kernel_off, Verb::Kernel)
        } else {
            ([s.cap_deny, s.cap_would, s.cap_watch], s.cap_off, Verb::Capability)
        };
        let governed = governs(side, verb);
        let outcome = offset.checked_add(bit).and_then(|at| side.kernel.outcome_ref(at));
        side.said(masks.map(|m| governed && m >> bit & 1 != 0), outcome)
    };
    let all = (0..64).map(|bit| (false, bit)).chain((0..32).map(|bit| (true, bit)));
    all.into_iter().find_map(|(ops, bit)| {
        let (a, b) = (said(before, ops, bit), said(after, ops, bit));
        after.note(a, b);
        Some((ops, bit, lost(a, b, inside)?))
    })
}

fn lost(before: Said, after: Said, inside: bool) -> Option<Loss> {
    match (before, after) {
        (Said::Allow, _) | (Said::Watch | Said::Would, Said::Would | Said::Deny(_)) | (Said::Watch, Said::Watch) => {
            None
        }
        (Said::Watch, Said::Allow) => Some(Loss::Unwatched),
        (Said::Would, Said::Allow | Said::Watch) => Some(Loss::Unaudited),
        (Said::Deny(_), Said::Allow | Said::Watch) => Some(Loss::Permitted),
        (Said::Deny(_), Said::Would) => Some(Loss::Audited),
        (Said::Deny(a), Said::Deny(b)) => outcomes(a, b, inside),
    }
}

/// `inside`: the second is in quarantine already.
fn outcomes(a: Outcome, b: Outcome, inside: bool) -> Option<Loss> {
    // The number of a rule is a name for people.
    let Outcome { rule: _, severity, action, mode, reason } = a;
    let moot = inside && action == Action::Quarantine as u8;
    if action != Action::Alert as u8 && action != b.action && !moot {
        return Some(Loss::Response);
    }
    // In quarantine no rule says how bad it is.
    if !inside && (b.severity < severity || b.mode != mode || b.reason != reason) {
        return Some(Loss::Severity);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Verb;

    #[test]
    fn the_carried_verbs_are_those_of_the_kernel_programs() {
        let carried =
            [Verb::Read, Verb::Modify, Verb::Setattr, Verb::Exec, Verb::Load, Verb::Bind, Verb::Connect, Verb::Accept];
        assert_eq!(CARRIED, carried.iter().fold(0, |all, verb| all | 1 << *verb as u8));
        assert_eq!((CREATE, DELETE), (1 << Verb::Create as u8, 1 << Verb::Delete as u8));
    }

    #[test]
    fn a_response_stays_or_comes_instead_of_an_alert() {
        let of = |action: Action| Outcome { action: action as u8, ..Outcome::default() };
        for before in Action::ALL {
            for after in Action::ALL {
                let fine = before == after || *before == Action::Alert;
                assert_eq!(outcomes(of(*before), of(*after), false).is_none(), fine, "{before} {after}");
            }
        }
        assert!(outcomes(of(Action::Quarantine), of(Action::Alert), true).is_none());
        assert!(outcomes(of(Action::Kill), of(Action::Alert), true).is_some());
        let severe = Outcome { severity: 2, ..of(Action::Alert) };
        assert!(outcomes(severe, of(Action::Alert), false).is_some());
        assert!(outcomes(of(Action::Alert), severe, false).is_none());
    }
}
