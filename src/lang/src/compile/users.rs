//! Users: which numbers the selectors of a policy match.
//!
//! The kernel knows users by number. A selector is a bit; the tables have for each user that some selector matches the
//! bits of these, and a subject to which they matter is compiled once for each set of them that one user can match.

use std::collections::{BTreeMap, BTreeSet};

use kiln_base::abi::Metadata;
use kiln_base::abi::layout::{USER_SELECTORS, USERS, WINDOWS};
use kiln_base::abi::metadata::UserInfo;

use super::CompileError;
use super::gap::Gap;
use crate::policy::glob::Matcher;
use crate::policy::normal::{Condition, Object, Policy, Selector, SelectorKey};

/// What is known of users beside the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    /// By name.
    names: BTreeMap<String, u32>,
    /// What patterns mean, as tables have it.
    patterns: BTreeMap<String, Vec<u32>>,
}

/// The user that every machine has.
const ROOT: &str = "root";

impl Users {
    /// Those of a passwd(5) file; of a name that stands twice the first, as getpwnam(3) does. Lines that say no user are
    /// left out.
    pub fn of_passwd(text: &str) -> Users {
        let mut names = BTreeMap::new();
        for line in text.lines() {
            let mut fields = line.split(':');
            let (Some(name), Some(_), Some(uid)) = (fields.next(), fields.next(), fields.next()) else { continue };
            if let Ok(uid) = uid.parse()
                && !name.is_empty()
            {
                names.entry(name.to_owned()).or_insert(uid);
            }
        }
        Users { names, patterns: BTreeMap::new() }
    }

    /// Those whom tables name, so that their policy can be compiled again.
    pub fn of_tables(metadata: &Metadata) -> Users {
        let patterns = metadata.users.iter().map(|u| (u.pattern.clone(), u.uids.clone())).collect();
        Users { names: BTreeMap::new(), patterns }
    }

    /// The numbers of the users that a pattern matches, sorted; none where that is not known.
    pub fn uids(&self, pattern: &str) -> Option<Vec<u32>> {
        if let Ok(uid) = pattern.parse::<u32>() {
            return (uid.to_string() == pattern).then(|| vec![uid]);
        }
        if pattern == ROOT {
            return Some(vec![0]);
        }
        if let Some(uids) = self.patterns.get(pattern) {
            return Some(uids.clone());
        }
        let matcher = Matcher::new(pattern).ok()?;
        let uids = self.names.iter().filter(|(name, _)| matcher.matches(name.as_bytes())).map(|(_, uid)| *uid);
        Some(uids.collect::<BTreeSet<u32>>().into_iter().collect()).filter(|uids: &Vec<u32>| !uids.is_empty())
    }

    /// Whether there are names.
    fn known(&self) -> bool {
        !self.names.is_empty() || !self.patterns.is_empty()
    }
}

/// The selectors of users of a policy, by their bits.
#[derive(Debug, Default)]
pub(super) struct Selectors {
    /// Sorted by pattern.
    list: Vec<UserInfo>,
}

/// Matches every user.
pub(super) fn everybody(selector: &Selector) -> bool {
    selector.key == SelectorKey::User && !selector.pattern.0.is_empty() && selector.pattern.0.bytes().all(|b| b == b'*')
}

impl Selectors {
    /// Of patterns that `users` do not know a gap is added.
    ///
    /// # Errors
    /// If there are more than the tables have room for.
    pub(super) fn of(policy: &Policy, users: &Users, gaps: &mut Vec<Gap>) -> Result<Selectors, CompileError> {
        let mut list: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut take = |selectors: &'_ [Selector], gap: &mut dyn FnMut(String, String)| {
            for s in selectors.iter().filter(|s| s.key == SelectorKey::User && !everybody(s)) {
                match users.uids(&s.pattern.0) {
                    Some(uids) => {
                        list.entry(s.pattern.0.clone()).or_insert(uids);
                    }
                    None => {
                        let (why, mend) = unknown(&s.pattern.0, users);
                        gap(why, mend);
                    }
                }
            }
        };
        for block in &policy.blocks {
            for line in &block.subjects {
                take(line, &mut |why, mend| gaps.push(Gap::of_block(block, why, mend)));
            }
            for rule in block.rules.iter().filter(|r| !matches!(r.object, Object::Syscall { .. })) {
                for condition in &rule.conditions {
                    if let Condition::By(selectors) = condition {
                        take(selectors, &mut |why, mend| gaps.push(Gap::of_rule(block, rule, why, mend)));
                    }
                }
            }
        }
        let list: Vec<UserInfo> = list.into_iter().map(|(pattern, uids)| UserInfo { pattern, uids }).collect();
        let all = Selectors { list };
        if all.list.len() > USER_SELECTORS {
            return Err(CompileError::Users { what: "selectors of users", most: USER_SELECTORS });
        }
        if all.table().len() > USERS {
            return Err(CompileError::Users { what: "users whom selectors match", most: USERS });
        }
        Ok(all)
    }

    /// As the metadata has them.
    pub(super) fn describe(&self) -> Vec<UserInfo> {
        self.list.clone()
    }

    /// The users of the tables, with the bits of the selectors that match them.
    pub(super) fn table(&self) -> BTreeMap<u32, u64> {
        let mut table = BTreeMap::new();
        for (bit, info) in self.list.iter().enumerate() {
            info.uids.iter().for_each(|uid| *table.entry(*uid).or_insert(0) |= 1 << bit);
        }
        table
    }

    /// The bits that must all match for a line, or a `by`, to match; nothing else of it is looked at.
    pub(super) fn bits(&self, line: &[Selector]) -> u64 {
        let users = line.iter().filter(|s| s.key == SelectorKey::User && !everybody(s));
        users.fold(0, |all, s| match self.list.iter().position(|u| u.pattern == s.pattern.0) {
            Some(n) => all | 1 << (n & 63),
            None => all,
        })
    }

    /// Which sets of these selectors one user can match.
    pub(super) fn reachable(&self, bits: u64) -> BTreeSet<u64> {
        self.table().values().map(|mask| mask & bits).chain([0]).collect()
    }
}

/// Why a pattern has no numbers.
fn unknown(pattern: &str, users: &Users) -> (String, String) {
    let number = !pattern.is_empty() && pattern.bytes().all(|b| b.is_ascii_digit());
    let why = match (number, users.known()) {
        (true, _) => format!("`user \"{pattern}\"` is not the number of a user as the kernel has it"),
        (_, true) => format!("the image's /etc/passwd has no user for `user \"{pattern}\"`"),
        (_, false) => format!("the kernel knows users by number, and nobody says which one `user \"{pattern}\"` is"),
    };
    let mend = match (number, users.known()) {
        (true, _) => "write it without zeroes in front, from 0 to 4294967295",
        (_, true) => "write a name that is there, or the number that the user has on the machine",
        (_, false) => {
            "give the image whose /etc/passwd has it (`kiln compile --image`), or write the number, as in `user \"33\"`"
        }
    };
    (why, mend.to_owned())
}

/// The bits of selectors where those of windows are not.
pub(super) fn shifted(bits: u64) -> u64 {
    bits << WINDOWS
}
