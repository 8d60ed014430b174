//! Two subjects at one moment: whether the second is decided at least as strictly as the first, whatever it asks for.

use std::collections::HashMap;

use crate::abi::layout::{S_QUARANTINE, S_TIMED, Subject};
use crate::abi::subset::decision::{self, Side};
use crate::abi::subset::product::Product;
use crate::abi::subset::request;
use crate::abi::subset::wider::{Loss, Wider};

/// What comparing two subjects costs beside the walks, in steps.
const COMPARING: usize = 100;

/// What the second does otherwise.
pub(super) enum Found {
    /// A request, in words.
    Request(Loss, String),
    /// A name that a file could be given.
    Name(String),
    /// A field of its own.
    Field(&'static str),
}

/// What of the two subjects is looked at here, and what elsewhere.
pub(super) fn compare(product: &mut Product<'_>, before: &Side<'_>, after: &Side<'_>) -> Result<Option<Found>, Wider> {
    let sides = (before, after);
    product.spend(COMPARING)?;
    // Every field has its judgement: one that is added does not compile until it is given one. What nothing is known of must
    // be equal.
    let Subject {
        path_start,
        net_start,
        exec_start: _, // where it leads to: `tasks`
        unit_start: _, // the same
        path_default,
        net_default,
        fail,
        cap_off: _, // with the lists
        kernel_off: _,
        verbs,
        cap_deny: _, // the lists
        cap_would: _,
        cap_watch: _,
        kernel_deny,
        kernel_would: _,
        kernel_watch: _,
        flags,
        net4_tcp: _, // follow from net_start; `check` holds them
        net4_udp: _,
        any_tcp: _,
        any_udp: _,
        kernel_detour,
        fail_net,
        guard_verbs,
        guard_start,
        guard_fail,
        window: _, // `moments`
        row: _,
        quarantine: _, // `tasks`
    } = before.subject;
    let b = &after.subject;
    if verbs & !b.verbs != 0 {
        return Ok(Some(Found::Field("what it governs")));
    }
    if guard_verbs & !b.guard_verbs != 0 {
        return Ok(Some(Found::Field("what its guards govern")));
    }
    // What is timed is compared at each moment; who is in quarantine may be so for the second only.
    let apart = flags ^ b.flags;
    if apart & !(S_TIMED | S_QUARANTINE) != 0 || flags & !b.flags & S_QUARANTINE != 0 {
        return Ok(Some(Found::Field("what kind of subject it is")));
    }
    // Of what is refused as a detour only, what goes round nothing passes.
    if kernel_deny & !kernel_detour & b.kernel_detour != 0 {
        return Ok(Some(Found::Field("the forms in which a kernel operation is refused")));
    }
    let governed = (verbs, b.verbs);
    let guarded = (guard_verbs, b.guard_verbs);
    let paths = Names { start: (path_start, b.path_start), default: (path_default, b.path_default), governed };
    let guards = Names { start: (guard_start, b.guard_start), default: (0, 0), governed: guarded };
    for names in [&paths, &guards] {
        if let Some(found) = names.requests(product, sides)? {
            return Ok(Some(found));
        }
    }
    let found = product.keys((net_start, b.net_start), |x, y| {
        let pair = reached(sides, (x, y), (net_default, b.net_default));
        decision::decisions(sides, pair, governed)
    })?;
    if let Some(((verb, loss), key)) = found {
        return Ok(Some(Found::Request(loss, request::net(verb, &key))));
    }
    for (pair, governed, what) in [
        ((fail, b.fail), governed, "a path"),
        ((fail_net, b.fail_net), governed, "an address"),
        ((guard_fail, b.guard_fail), guarded, "a path"),
    ] {
        if let Some((verb, loss)) = decision::decisions(sides, pair, governed) {
            return Ok(Some(Found::Request(loss, request::unknown(verb, what))));
        }
    }
    if let Some((kernel, bit, loss)) = decision::lists(before, after) {
        return Ok(Some(Found::Request(loss, request::listed(kernel, bit))));
    }
    // Who comes into quarantine is compared with what it was (`quarantine`): it may be refused more of what names carry.
    if apart & S_QUARANTINE != 0 {
        return Ok(None);
    }
    for names in [&paths, &guards] {
        if let Some(found) = names.renames(product, sides)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Whether a subject in quarantine is refused of names and files what it is refused outside, and beyond that only what quarantine
/// is. Both are of one policy; by it its files get no names that they would not get outside.
pub(super) fn quarantine(product: &mut Product<'_>, outside: &Side<'_>, inside: &Side<'_>) -> Result<bool, Wider> {
    let (sides, a, b) = ((outside, inside), &outside.subject, &inside.subject);
    for (start, default, governed) in [
        ((a.path_start, b.path_start), (a.path_default, b.path_default), (a.verbs, b.verbs)),
        ((a.guard_start, b.guard_start), (0, 0), (a.guard_verbs, b.guard_verbs)),
    ] {
        let found = product.texts(start, |x, y, _| {
            decision::kept_apart(sides, reached(sides, (x, y), default), governed).then_some(())
        })?;
        if found.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The decisions of a pair of states.
fn reached((before, after): (&Side<'_>, &Side<'_>), (x, y): (u32, u32), default: (u32, u32)) -> (u32, u32) {
    let of = |side: &Side<'_>, state: u32, default: u32| match if state == 0 { 0 } else { side.kernel.accept(state) } {
        0 => default,
        accept => accept,
    };
    (of(before, x, default.0), of(after, y, default.1))
}

/// Names of files and unix sockets.
struct Names {
    start: (u32, u32),
    default: (u32, u32),
    governed: (u32, u32),
}

/// What is known of what lies below the folders that have one state: nothing, one state of the other tables, or several.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Nothing,
    One(u32),
    Several,
}

impl Below {
    fn add(&mut self, state: u32) {
        *self = match *self {
            Below::Nothing => Below::One(state),
            Below::One(other) if other == state => Below::One(state),
            _ => Below::Several,
        };
    }
}

impl Names {
    /// Each name is decided as strictly.
    fn requests(&self, product: &mut Product<'_>, sides: (&Side<'_>, &Side<'_>)) -> Result<Option<Found>, Wider> {
        let wider = product.texts(self.start, |x, y, _| {
            decision::decisions(sides, reached(sides, (x, y), self.default), self.governed)
        })?;
        Ok(wider.map(|((verb, loss), text)| Found::Request(loss, request::path(verb, &text))))
    }

    /// A name that a file can be given under the second is worth what it is worth under the first, and so is all below it. The
    /// kernel programs permit a rename where the new name gives no verb that the old one lacks, by the policy of the moment:
    /// else a file would be given a name under the one that says more under the other.
    fn renames(&self, product: &mut Product<'_>, sides: (&Side<'_>, &Side<'_>)) -> Result<Option<Found>, Wider> {
        let steps = product.of(sides.0.kernel, sides.1.kernel);
        // By a state below a folder: what it is by the first where the folder's name can be given, and where it can be left.
        let mut folders: HashMap<u32, (Below, Below)> = HashMap::new();
        let name = product.texts(self.start, |x, y, _| {
            let pair = reached(sides, (x, y), self.default);
            let (given, left) = decision::named(sides.1, pair.1, self.governed.1);
            if given && decision::carry_apart(sides, pair, self.governed) {
                return Some(());
            }
            if !given && !left {
                return None;
            }
            let (p, q) = steps.below(x, y);
            let (to, from) = folders.entry(q).or_insert((Below::Nothing, Below::Nothing));
            if given {
                to.add(p);
            }
            if left {
                from.add(p);
            }
            let apart = *to != Below::Nothing && *from != Below::Nothing && (to != from || *to == Below::Several);
            // A folder below which nothing more is said is as the default decides.
            let ends = given && q == 0 && (p != 0 || decision::carry_apart(sides, self.default, self.governed));
            (apart || ends).then_some(())
        })?;
        Ok(name.map(|((), text)| Found::Name(request::quoted(&text))))
    }
}
