//! Whether one generation refuses a file that another permits: then descriptors can be open that it would not open.

use std::collections::HashSet;

use super::kernel::Kernel;
use super::layout::{Decision, S_SENTINEL, S_VARIES};
use crate::model::KernelOp;

/// Kernel operations of which something can be had before they are refused, and used after.
const MEMORY_OPS: u32 = 1 << KernelOp::ExecMemory as u32 | 1 << KernelOp::Ptrace as u32;

/// Pairs of states that are looked at before the answer is "yes" without looking further.
const MOST: usize = 1 << 19;

/// Compares two generations, subject by subject; what was seen for one pair of subjects is not looked at again for
/// another.
pub struct Narrowing<'a> {
    before: &'a Kernel,
    after: &'a Kernel,
    /// A byte for each pair of classes that some byte has in the two.
    bytes: Vec<(u8, u8)>,
    /// States of both, and the decisions where these accept nothing.
    seen: HashSet<[u32; 4]>,
}

impl<'a> Narrowing<'a> {
    /// From the generation that is in force to the one that comes.
    pub fn new(before: &'a Kernel, after: &'a Kernel) -> Narrowing<'a> {
        let mut bytes: Vec<(u8, u8)> =
            before.header.path_class.iter().copied().zip(after.header.path_class.iter().copied()).collect();
        bytes.sort_unstable();
        bytes.dedup();
        Narrowing { before, after, bytes, seen: HashSet::new() }
    }

    /// Whether there is a path on which the subject `old` of the one was permitted one of `verbs` (a mask) that `new` of
    /// the other is refused. Also true where that would take too long to find out, where it hangs on the time or the user, or where a
    /// subject does not exist.
    pub fn narrows(&mut self, old: u32, new: u32, verbs: u16) -> bool {
        let (Some(a), Some(b)) = (self.before.subject(old), self.after.subject(new)) else { return true };
        // What one window let be opened is not permitted when it is closed, nor to another user.
        if (a.flags | b.flags) & S_VARIES != 0 {
            return true;
        }
        let gone = |a: Option<Decision>, b: Option<Decision>| match (a, b) {
            (Some(a), Some(b)) => !a.deny & b.deny & verbs != 0,
            _ => true,
        };
        if gone(self.before.decision(a.fail), self.after.decision(b.fail)) {
            return true;
        }
        // Descriptors of memory, and traced processes.
        if !a.kernel_deny & b.kernel_deny & MEMORY_OPS != 0 {
            return true;
        }
        let mut open = vec![[a.path_start, b.path_start, a.path_default, b.path_default]];
        // A guard that refuses what the profile refused already refuses more by the machine's names. The sentinel has
        // nothing open.
        if a.flags & S_SENTINEL == 0 {
            if gone(self.before.decision(a.guard_fail), self.after.decision(b.guard_fail)) {
                return true;
            }
            open.push([a.guard_start, b.guard_start, 0, 0]);
        }
        while let Some(pair) = open.pop() {
            if !self.seen.insert(pair) {
                continue;
            }
            if self.seen.len() > MOST {
                return true;
            }
            let [x, y, before_default, after_default] = pair;
            let of = |kernel: &Kernel, state: u32, default: u32| match kernel.accept(state) {
                0 => kernel.decision(default),
                found => kernel.decision(found),
            };
            if gone(of(self.before, x, before_default), of(self.after, y, after_default)) {
                return true;
            }
            for (p, q) in &self.bytes {
                // State 0 is dead and stays dead.
                let x = if x == 0 { 0 } else { self.before.step(x, *p) };
                let y = if y == 0 { 0 } else { self.after.step(y, *q) };
                open.push([x, y, before_default, after_default]);
            }
        }
        false
    }
}
