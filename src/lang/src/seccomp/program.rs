//! The filter as a program of classic BPF (seccomp(2)): which processor, which number, what follows.

use kiln_base::model::{CallAction, CallFilter};

use super::Arch;
use crate::policy::syscalls;

/// One `struct sock_filter` of linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What is done.
    pub code: u16,
    /// Instructions to skip if so.
    pub jt: u8,
    /// Instructions to skip if not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// BPF_LD | BPF_W | BPF_ABS: a word of `struct seccomp_data`.
const LOAD: u16 = 0x20;
/// BPF_JMP | BPF_JA: always.
const JUMP: u16 = 0x05;
/// BPF_JMP | BPF_JEQ | BPF_K.
const EQUAL: u16 = 0x15;
/// BPF_JMP | BPF_JGE | BPF_K.
const AT_LEAST: u16 = 0x35;
/// BPF_RET | BPF_K.
const RETURN: u16 = 0x06;

/// Where `struct seccomp_data` has the number, and the processor.
const NR: u32 = 0;
const ARCH: u32 = 4;
/// Calls of x32 have this bit (`__X32_SYSCALL_BIT`), and no other number is as high.
const X32: u32 = 0x4000_0000;

/// The program. Calls of another architecture, those with x32 numbers included, are refused as soon as anything is.
pub fn program(filter: &CallFilter, arch: Arch) -> Vec<Instruction> {
    let refuses = !filter.default.permits() || filter.named.keys().any(|a| !a.permits());
    let foreign = if refuses { filter.default.max(CallAction::Refuse) } else { filter.default };
    let audit_arch = match arch {
        Arch::X86_64 => 0xc000_003e,
        Arch::Aarch64 => 0xc000_00b7,
    };
    let mut out = vec![step(LOAD, ARCH), test(EQUAL, audit_arch, 1, 0), back(foreign), step(LOAD, NR)];
    search(&segments(filter, arch, foreign), &mut out);
    out
}

/// As the kernel reads it; both processors are little-endian.
pub fn bytes(program: &[Instruction]) -> Vec<u8> {
    let one = |i: &Instruction| [&i.code.to_le_bytes()[..], &[i.jt, i.jf], &i.k.to_le_bytes()].concat();
    program.iter().flat_map(one).collect()
}

/// What follows from each number on, to the next.
fn segments(filter: &CallFilter, arch: Arch, foreign: CallAction) -> Vec<(u32, CallAction)> {
    let number = |call: &str| match arch {
        Arch::X86_64 => syscalls::number(call).0,
        Arch::Aarch64 => syscalls::number(call).1,
    };
    let mut known: Vec<(u32, CallAction)> =
        syscalls::calls().filter_map(|c| Some((number(c)?, filter.of(c)))).collect();
    known.sort_unstable();
    let mut out: Vec<(u32, CallAction)> = vec![(0, filter.default)];
    for (number, action) in known {
        out.extend([(number, action), (number + 1, filter.default)]);
    }
    out.push((X32, foreign));
    // Of two that begin at one number the later holds; one that says what is said before it says nothing.
    out.reverse();
    out.dedup_by_key(|(from, _)| *from);
    out.reverse();
    out.dedup_by_key(|(_, action)| *action);
    out
}

/// Halves the segments until one is left. A way over many instructions is an unconditional jump, which has 32 bits.
fn search(segments: &[(u32, CallAction)], out: &mut Vec<Instruction>) {
    match segments.split_at(segments.len() / 2) {
        ([], high) => out.extend(high.iter().map(|(_, action)| back(*action))),
        (low, high) => {
            out.push(test(AT_LEAST, high.first().map_or(0, |(from, _)| *from), 0, 1));
            let jump = out.len();
            out.push(step(JUMP, 0));
            search(low, out);
            out[jump].k = (out.len() - jump - 1) as u32;
            search(high, out);
        }
    }
}

fn step(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

fn test(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn back(action: CallAction) -> Instruction {
    step(
        RETURN,
        match action {
            CallAction::Allow => 0x7fff_0000,
            CallAction::Log => 0x7ffc_0000,
            CallAction::Refuse => 0x0005_0001, // EPERM
            CallAction::Kill => 0x8000_0000,   // the process
        },
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What the kernel would run.
    fn run(program: &[Instruction], arch: u32, nr: u32) -> u32 {
        let (mut at, mut a) = (0, 0);
        loop {
            let i = program[at];
            at += 1;
            match i.code {
                LOAD => a = if i.k == NR { nr } else { arch },
                JUMP => at += i.k as usize,
                EQUAL => at += usize::from(if a == i.k { i.jt } else { i.jf }),
                AT_LEAST => at += usize::from(if a >= i.k { i.jt } else { i.jf }),
                RETURN => return i.k,
                code => panic!("{code:#x}"),
            }
        }
    }

    fn filters() -> Vec<CallFilter> {
        use CallAction::{Allow, Kill, Log, Refuse};
        let group = |g: &str| syscalls::members(g).iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        vec![
            CallFilter { default: Refuse, named: BTreeMap::from([(Allow, group("@system-service"))]) },
            CallFilter { default: Kill, named: BTreeMap::from([(Allow, group("@default")), (Log, group("@mount"))]) },
            CallFilter { default: Allow, named: BTreeMap::from([(Refuse, group("@mount")), (Kill, group("@swap"))]) },
            CallFilter { default: Allow, named: BTreeMap::from([(Log, group("@debug"))]) },
            CallFilter { default: Refuse, named: BTreeMap::new() },
        ]
    }

    #[test]
    fn a_program_gives_each_number_what_the_filter_says() {
        for filter in filters() {
            for (arch, token, other) in
                [(Arch::X86_64, 0xc000_003e, 0x4000_0003), (Arch::Aarch64, 0xc000_00b7, 0x4000_0028)]
            {
                let program = program(&filter, arch);
                assert!(program.len() < 1000, "{}", program.len());
                let named: BTreeMap<u32, &str> = syscalls::calls()
                    .filter_map(|c| {
                        let (x86, arm) = syscalls::number(c);
                        Some((if arch == Arch::X86_64 { x86? } else { arm? }, c))
                    })
                    .collect();
                assert!(named.len() > 300);
                for nr in 0..600 {
                    let action = named.get(&nr).map_or(filter.default, |call| filter.of(call));
                    assert_eq!(run(&program, token, nr), back(action).k, "{arch} {nr} {filter:?}");
                }
                let refused = !filter.default.permits() || filter.named.keys().any(|a| !a.permits());
                for foreign in [
                    run(&program, other, 1),
                    run(&program, token, X32 | 1),
                    run(&program, token, X32 + 512),
                    run(&program, token, u32::MAX),
                ] {
                    let passes = foreign == back(CallAction::Allow).k;
                    assert_eq!(!passes, refused, "{arch} {filter:?}");
                }
            }
        }
    }
}
