//! Names of system calls and of groups of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Calls and groups; a call has no members.
static TABLE: LazyLock<BTreeMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let lines = include_str!("table.txt").lines().filter(|l| !l.starts_with('#'));
    lines
        .map(|line| match line.split_once(": ") {
            Some((group, members)) => (group, members.split(' ').collect()),
            None => (line, Vec::new()),
        })
        .collect()
});

/// Every call and group.
pub fn all() -> impl Iterator<Item = &'static str> {
    TABLE.keys().copied()
}

/// Every call.
pub fn calls() -> impl Iterator<Item = &'static str> {
    all().filter(|name| !name.starts_with('@'))
}

/// Of a call, on x86-64 and on aarch64.
type Numbers = (Option<u32>, Option<u32>);

/// The numbers of each call.
static NUMBERS: LazyLock<BTreeMap<&'static str, Numbers>> = LazyLock::new(|| {
    let lines = include_str!("numbers.txt").lines().filter(|l| !l.starts_with('#'));
    let numbers = lines.filter_map(|line| {
        let mut words = line.split(' ');
        let name = words.next()?;
        let mut number = || words.next().and_then(|w| w.parse().ok());
        Some((name, (number(), number())))
    });
    numbers.collect()
});

/// A call's number on x86-64, and on aarch64.
pub fn number(call: &str) -> Numbers {
    NUMBERS.get(call).copied().unwrap_or_default()
}

/// The calls of a group; none for anything else.
pub fn members(group: &str) -> &'static [&'static str] {
    TABLE.get(group).map_or(&[], |members| members)
}

/// The name as the normal form has it: groups with `-`, though `_` is taken as well.
pub fn canonical(name: &str) -> Option<String> {
    let name = if name.starts_with('@') { name.replace('_', "-") } else { name.to_owned() };
    TABLE.contains_key(&*name).then_some(name)
}

/// Whether a call is meant by a name, a group or `any`.
pub fn names_call(name: &str, call: &str) -> bool {
    name == "any" || name == call || TABLE.get(name).is_some_and(|members| members.contains(&call))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_groups() {
        assert_eq!(canonical("openat").as_deref(), Some("openat"));
        assert_eq!(canonical("@system_service").as_deref(), Some("@system-service"));
        assert_eq!(canonical("open_at"), None);
        assert!(names_call("@file-system", "openat") && names_call("any", "reboot"));
        assert!(!names_call("@file-system", "reboot"));
        for call in calls() {
            assert!(number(call).0.is_some(), "{call}");
        }
        assert_eq!(NUMBERS.len(), calls().count());
        assert_eq!((number("openat"), number("open")), ((Some(257), Some(56)), (Some(2), None)));
        for (group, members) in TABLE.iter().filter(|(name, _)| name.starts_with('@')) {
            assert!(!members.is_empty() && members.iter().all(|m| TABLE.contains_key(m)), "{group}");
        }
    }
}
