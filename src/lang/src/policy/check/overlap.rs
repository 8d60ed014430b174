//! What two objects have in common that others do not cover.

use std::rc::Rc;

use kiln_base::model::{Cidr, PortRange, Verb, VerbSet, capability_name};

use super::super::glob::{Cut, Matcher, Witness, witness};
use super::super::normal::{Addresses, Glob, Object};
use super::super::syscalls;
use super::patterns::Patterns;

/// An example of what both objects speak of and none of `without` does, or that there may be one.
pub(super) fn common(a: &Object, b: &Object, without: &[&Object], patterns: &mut Patterns) -> Option<String> {
    let of = |verb: Verb| without.iter().copied().filter(move |o| verbs(o).contains(verb)).collect::<Vec<_>>();
    match (a, b) {
        (Object::File { paths: pa, except: xa, .. }, Object::File { paths: pb, except: xb, .. })
        | (Object::Unix { paths: pa, except: xa, .. }, Object::Unix { paths: pb, except: xb, .. }) => {
            let unix = matches!(a, Object::Unix { .. });
            verbs(a).intersection(verbs(b)).iter().find_map(|verb| {
                let alike = of(verb).into_iter().filter(|o| match o {
                    Object::File { .. } => !unix,
                    Object::Unix { .. } => unix,
                    _ => false,
                });
                let mut cut: Vec<(&[Glob], &[Glob])> = alike.map(Object::patterns).collect();
                cut.extend([(xa.as_slice(), [].as_slice()), (xb.as_slice(), [].as_slice())]);
                let example = path(pa, pb, &cut, patterns)?;
                Some(format!("{verb} {}{example}", if unix { "unix " } else { "" }))
            })
        }
        (
            Object::Net { verbs: va, proto, addresses: aa, ports: pa },
            Object::Net { verbs: vb, proto: other, addresses: ab, ports: pb },
        ) if proto == other => va.intersection(*vb).iter().find_map(|verb| {
            let cut: Vec<(&[Cidr], &[PortRange])> = of(verb)
                .into_iter()
                .filter_map(|o| match o {
                    Object::Net { proto: p, addresses: Addresses::Blocks(blocks), ports, .. } if p == proto => {
                        Some((blocks.as_slice(), ports.as_slice()))
                    }
                    _ => None,
                })
                .collect();
            let example = match (aa, ab) {
                (Addresses::Dns(x), Addresses::Dns(y)) => {
                    let (x, y) = (patterns.get(x)?, patterns.get(y)?);
                    let name = witness(&[&x, &y], &[], false, &mut patterns.budget);
                    let ports = pairs(pa, pb).next()?;
                    name.possible().then(|| format!("{}:{}", name.shown().unwrap_or_default(), ports.first))
                }
                // A name can lead to any address, and an address have any name.
                _ => address(blocks(aa), blocks(ab), pa, pb, &cut, patterns),
            }?;
            Some(format!("{verb} {} {example}", proto.name()))
        }),
        (Object::Capability { numbers: x }, Object::Capability { numbers: y }) => {
            let cut =
                |n: u8| without.iter().any(|o| matches!(o, Object::Capability { numbers } if numbers.contains(&n)));
            let number = x.iter().find(|n| y.contains(n) && !cut(**n))?;
            Some(format!("capability {}", capability_name(*number).map_or_else(|| number.to_string(), str::to_owned)))
        }
        (Object::Kernel { ops: x }, Object::Kernel { ops: y }) => {
            let cut = |op| without.iter().any(|o| matches!(o, Object::Kernel { ops } if ops.contains(op)));
            x.iter().find(|op| y.contains(op) && !cut(op)).map(|op| format!("kernel {}", op.name()))
        }
        (Object::Syscall { names: x }, Object::Syscall { names: y }) => {
            let within = |list: &[String], call: &str| list.iter().any(|n| syscalls::names_call(n, call));
            let cut =
                |call: &str| without.iter().any(|o| matches!(o, Object::Syscall { names } if within(names, call)));
            syscalls::calls().find(|c| within(x, c) && within(y, c) && !cut(c)).map(|c| format!("syscall {c}"))
        }
        _ => None,
    }
}

/// An example of what the exceptions of an object leave of its paths.
pub(super) fn left(object: &Object, patterns: &mut Patterns) -> Option<String> {
    let (paths, except) = object.patterns();
    path(paths, paths, &[(except, &[])], patterns)
}

/// Whether an exception takes anything out of the paths.
pub(super) fn taken(paths: &[Glob], except: &Glob, patterns: &mut Patterns) -> bool {
    path(paths, std::slice::from_ref(except), &[], patterns).is_some()
}

/// The verbs of an object.
pub(super) fn verbs(object: &Object) -> VerbSet {
    match object {
        Object::File { verbs, .. } | Object::Net { verbs, .. } | Object::Unix { verbs, .. } => *verbs,
        Object::Capability { .. } => [Verb::Capability].into_iter().collect(),
        Object::Kernel { .. } => [Verb::Kernel].into_iter().collect(),
        Object::Syscall { .. } => [Verb::Syscall].into_iter().collect(),
    }
}

/// A text that a pattern of both lists matches, and that no pair of patterns and exceptions of `cut` takes away.
fn path(a: &[Glob], b: &[Glob], cut: &[(&[Glob], &[Glob])], patterns: &mut Patterns) -> Option<String> {
    for x in a {
        for y in b {
            let (mx, my) = (patterns.get(&x.0)?, patterns.get(&y.0)?);
            let paths = x.0.starts_with(['/', '{']);
            // Only what can meet the pattern matters, and that is seldom much.
            let mut near: Vec<[Vec<Rc<Matcher>>; 2]> = Vec::new();
            for (any, except) in cut {
                let any = meeting(any, [&mx, &my], patterns)?;
                if !any.is_empty() {
                    near.push([any, meeting(except, [&mx, &my], patterns)?]);
                }
            }
            let near: Vec<Cut<'_>> = near
                .iter()
                .map(|[any, except]| Cut {
                    any: any.iter().map(Rc::as_ref).collect(),
                    except: except.iter().map(Rc::as_ref).collect(),
                })
                .collect();
            match witness(&[&mx, &my], &near, paths, &mut patterns.budget) {
                Witness::None => {}
                Witness::Text(text) => return Some(format!("\"{}\"", String::from_utf8_lossy(&text))),
                Witness::Unknown => return Some(format!("\"{}\"", x.0)),
            }
        }
    }
    None
}

/// Those of the patterns that may match a text that both of the others match.
fn meeting(list: &[Glob], both: [&Matcher; 2], patterns: &mut Patterns) -> Option<Vec<Rc<Matcher>>> {
    let mut near = Vec::new();
    for glob in list {
        let other = patterns.get(&glob.0)?;
        if both.iter().all(|m| Matcher::may_meet(m, &other)) {
            near.push(other);
        }
        patterns.budget.spend(4);
    }
    Some(near)
}

fn blocks(addresses: &Addresses) -> &[Cidr] {
    match addresses {
        Addresses::Blocks(blocks) => blocks,
        Addresses::Dns(_) => &[Cidr::ANY],
    }
}

/// The ports in both lists.
fn pairs<'r>(a: &'r [PortRange], b: &'r [PortRange]) -> impl Iterator<Item = PortRange> + 'r {
    a.iter().flat_map(move |x| {
        b.iter().filter_map(move |y| {
            let (first, last) = (x.first.max(y.first), x.last.min(y.last));
            (first <= last).then_some(PortRange { first, last })
        })
    })
}

/// An address and port within both and outside all of `cut`.
fn address(
    a: &[Cidr],
    b: &[Cidr],
    ports_a: &[PortRange],
    ports_b: &[PortRange],
    cut: &[(&[Cidr], &[PortRange])],
    patterns: &mut Patterns,
) -> Option<String> {
    for x in a {
        for y in b {
            if !patterns.budget.spend(4) {
                return None;
            }
            if !x.overlaps(y) {
                continue;
            }
            let block = if x.prefix_len() > y.prefix_len() { x } else { y };
            for range in pairs(ports_a, ports_b) {
                // Coverage changes only where a range of `cut` ends.
                let ends = cut.iter().flat_map(|(_, ports)| ports.iter()).filter_map(|p| p.last.checked_add(1));
                let mut candidates: Vec<u16> = ends.filter(|p| range.contains(*p)).collect();
                candidates.push(range.first);
                candidates.sort_unstable();
                candidates.dedup();
                for port in candidates {
                    patterns.budget.spend(cut.len());
                    let covering = cut.iter().filter(|(_, ports)| ports.iter().any(|p| p.contains(port)));
                    if let Some(free) = gap(block, covering.flat_map(|(blocks, _)| blocks.iter())) {
                        return Some(shown(free, port));
                    }
                }
            }
        }
    }
    None
}

/// The first address of a block that lies in none of the others.
fn gap<'c>(block: &Cidr, others: impl Iterator<Item = &'c Cidr>) -> Option<u128> {
    let range = |c: &Cidr| {
        let first = u128::from_be_bytes(c.addr());
        let rest = u128::MAX.checked_shr(u32::from(c.prefix_len())).unwrap_or(0);
        (first, first | rest)
    };
    let (mut first, last) = range(block);
    let mut taken: Vec<(u128, u128)> = others.map(range).collect();
    taken.sort_unstable();
    for (start, end) in taken {
        if start > first {
            break;
        }
        if end >= first {
            if end >= last {
                return None;
            }
            first = end + 1;
        }
    }
    Some(first)
}

fn shown(address: u128, port: u16) -> String {
    let text = Cidr::new(address.to_be_bytes(), 128).to_string();
    let bare = text.rsplit_once('/').map_or(text.as_str(), |(a, _)| a);
    if bare.contains(':') { format!("[{bare}]:{port}") } else { format!("{bare}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_between_blocks() {
        let c = |t: &str| t.parse::<Cidr>().unwrap();
        let at = |block: &str, others: &[&str]| {
            let others: Vec<Cidr> = others.iter().map(|o| c(o)).collect();
            gap(&c(block), others.iter()).map(|g| shown(g, 1))
        };
        assert_eq!(at("10.0.0.0/8", &[]).as_deref(), Some("10.0.0.0:1"));
        assert_eq!(at("10.0.0.0/8", &["10.0.0.0/9"]).as_deref(), Some("10.128.0.0:1"));
        assert_eq!(at("10.0.0.0/8", &["10.128.0.0/9", "10.0.0.0/9"]), None);
        assert_eq!(at("10.0.0.0/8", &["0.0.0.0/0"]), None);
        assert_eq!(at("::/0", &["0.0.0.0/0"]).as_deref(), Some("[::]:1"));
        assert_eq!(at("10.0.0.0/8", &["11.0.0.0/8"]).as_deref(), Some("10.0.0.0:1"));
    }
}
