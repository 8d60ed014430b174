//! What goes round a class of a policy by another: a profile that governs the class governs its detours with it, unless
//! a rule permits them by name. `docs/pdl.md` has the rule, in the section Detours.

use kiln_base::model::{KernelOp, Verb, VerbSet, capability_name, capability_number};

use super::normal::{Block, BlockKind, Effect, Object, Rule};

/// Round every class: they change the kernel, the programs in it, or act in the place of a process that is bound less.
const OF_ALL: [KernelOp; 5] = [KernelOp::Bpf, KernelOp::Kexec, KernelOp::Module, KernelOp::Ptrace, KernelOp::Lockdown];

/// Everything a profile can govern but system calls, which are refused when it is compiled.
const GOVERNABLE: VerbSet = VerbSet::from_bits(VerbSet::ALL.bits() & !(1 << Verb::Syscall as u16));

/// Whether a kernel operation goes round what is governed. Where the class `kernel` is governed it is that, too.
pub fn goes_round(governs: VerbSet, op: KernelOp) -> bool {
    let any = |set: VerbSet| !governs.intersection(set).is_empty();
    match op {
        _ if OF_ALL.contains(&op) => any(GOVERNABLE),
        // Files and unix sockets get other names.
        KernelOp::Mount => any(VerbSet::FILE.union(VerbSet::NETWORK)),
        // Packets are made by hand.
        KernelOp::RawSocket => any(VerbSet::NETWORK),
        _ => false,
    }
}

/// Whether a capability goes round what is governed: a device's second name is one of all that is on it.
pub fn capability_goes_round(governs: VerbSet, number: u8) -> bool {
    Some(number) == capability_number("mknod") && (governs.contains(Verb::Read) || governs.contains(Verb::Modify))
}

/// Whether a profile refuses the operation unless a rule permits it.
pub fn governs_op(governs: VerbSet, op: KernelOp) -> bool {
    governs.contains(Verb::Kernel) || goes_round(governs, op)
}

/// Whether a profile refuses the capability unless a rule permits it.
pub fn governs_capability(governs: VerbSet, number: u8) -> bool {
    governs.contains(Verb::Capability) || capability_goes_round(governs, number)
}

/// The classes of which some object is governed: those that are named, and those of the detours.
pub fn closure(governs: VerbSet) -> VerbSet {
    let mut all = governs;
    if KernelOp::ALL.iter().any(|op| governs_op(governs, *op)) {
        all.insert(Verb::Kernel);
    }
    if (0..64).any(|n| governs_capability(governs, n)) {
        all.insert(Verb::Capability);
    }
    all
}

/// The detours that a rule of a profile opens round the profile's other classes, by name.
pub fn opened(block: &Block, rule: &Rule) -> Vec<&'static str> {
    if block.kind != BlockKind::Profile || rule.effect != Effect::Allow {
        return Vec::new();
    }
    let others = block.governs.intersection(VerbSet::FILE.union(VerbSet::NETWORK));
    match &rule.object {
        Object::Kernel { ops } => ops.iter().filter(|op| goes_round(others, **op)).map(|op| op.name()).collect(),
        Object::Capability { numbers } => {
            let names = numbers.iter().filter(|n| capability_goes_round(others, **n));
            names.filter_map(|n| capability_name(*n)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(governs: VerbSet) -> Vec<&'static str> {
        KernelOp::ALL.iter().filter(|op| goes_round(governs, **op)).map(|op| op.name()).collect()
    }

    #[test]
    fn what_is_governed_has_its_detours() {
        let one = |verb: Verb| VerbSet::from_iter([verb]);
        let all = ["bpf", "kexec", "module", "ptrace", "lockdown"];
        for verb in Verb::ALL {
            let names = round(one(verb));
            assert_eq!(all.iter().all(|n| names.contains(n)), verb != Verb::Syscall, "{verb}");
            assert_eq!(names.contains(&"mount"), verb.is_file() || verb.is_network(), "{verb}");
            assert_eq!(names.contains(&"raw_socket"), verb.is_network(), "{verb}");
        }
        assert!(round(VerbSet::EMPTY).is_empty() && closure(VerbSet::EMPTY).is_empty());
        let read = closure(one(Verb::Read));
        assert!(read.contains(Verb::Kernel) && read.contains(Verb::Capability));
        assert!(!closure(one(Verb::Connect)).contains(Verb::Capability));
    }
}
