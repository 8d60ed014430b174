//! Whether a rule's object covers an atom.

use kiln_base::model::{Cidr, Verb};

use super::super::glob::Matcher;
use super::super::normal::{Addresses, Effect, Object};
use super::super::syscalls;
use super::{Atom, Target};

/// Whether the object covers the atom. The patterns are the object's and its exceptions, compiled.
pub(super) fn object(
    object: &Object,
    (patterns, except): (&[Matcher], &[Matcher]),
    atom: &Atom,
    effect: Effect,
) -> bool {
    let named = |path: &[u8]| patterns.iter().any(|p| p.matches(path)) && !except.iter().any(|p| p.matches(path));
    match (object, &atom.target) {
        (Object::File { verbs, .. }, Target::Path(path)) => verbs.contains(atom.verb) && named(path),
        (Object::Unix { verbs, .. }, Target::Unix(path)) => verbs.contains(atom.verb) && named(path),
        (Object::Net { verbs, proto, addresses, ports }, Target::Ip { proto: asked, address, name, port }) => {
            verbs.contains(atom.verb)
                && proto == asked
                && ports.iter().any(|range| range.contains(*port))
                && covers(addresses, patterns, *address, name.as_deref(), effect)
        }
        (Object::Capability { numbers }, Target::Capability(asked)) => {
            atom.verb == Verb::Capability && numbers.contains(asked)
        }
        (Object::Kernel { ops }, Target::Kernel(asked)) => atom.verb == Verb::Kernel && ops.contains(asked),
        (Object::Syscall { names }, Target::Syscall(asked)) => {
            atom.verb == Verb::Syscall && names.iter().any(|n| syscalls::names_call(n, asked))
        }
        _ => false,
    }
}

/// An address that is not known is allowed only where all are, and denied where any is.
fn covers(
    addresses: &Addresses,
    patterns: &[Matcher],
    address: Option<[u8; 16]>,
    name: Option<&str>,
    effect: Effect,
) -> bool {
    match addresses {
        Addresses::Dns(_) => name.is_some_and(|name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            patterns.iter().any(|p| p.matches(name.as_bytes()))
        }),
        Addresses::Blocks(blocks) => match address {
            Some(address) => blocks.iter().any(|block| block.contains(address)),
            None => effect != Effect::Allow || blocks.contains(&Cidr::ANY),
        },
    }
}
