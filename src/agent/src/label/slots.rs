//! Labels: small numbers that mean the same subject key in every generation of one boot.
//!
//! A task keeps its label while policies change under it. Each generation says by `slot` which of its own subjects a
//! label means, and by `label_of` which label each of its subjects has.

use std::collections::BTreeMap;

use kiln_base::abi::layout::{LABEL_HOST, LABEL_SENTINEL, SLOTS, SUBJECTS};
use kiln_base::abi::metadata::{HOST_KEY, QUARANTINE, SENTINEL_KEY, SubjectInfo};

use crate::error::{AgentError, Lack, Result};

/// First label that is not fixed by the layout.
const FIRST_FREE: u32 = 3;
/// Longest key that the map of the table of labels holds, in bytes.
pub const MAX_KEY: usize = 4094;

/// The keys that have a label in this boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelTable {
    by_key: BTreeMap<String, u32>,
}

/// What the agent puts in front of a generation's kernel part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// Label to subject index + 1; 0: unknown, denied.
    pub slot: Vec<u32>,
    /// Subject index to label.
    pub label_of: Vec<u32>,
    /// Keys of earlier generations that now are denied everything: their profile is there, but no subject of it has
    /// all the guards that remain.
    pub stranded: Vec<String>,
}

impl LabelTable {
    /// A table with entries read back from their map.
    ///
    /// # Errors
    /// If an entry is none that this type makes.
    pub fn from_entries(entries: impl IntoIterator<Item = (u32, String)>) -> Result<LabelTable> {
        let mut by_key = BTreeMap::new();
        for (label, key) in entries {
            if !(FIRST_FREE..SLOTS as u32).contains(&label) || key.is_empty() || by_key.insert(key, label).is_some() {
                return Err(Lack::Labels.into());
            }
        }
        Ok(LabelTable { by_key })
    }

    /// Keys that have a label, the fixed ones aside.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no key has a label yet.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Labels and keys, by key.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &str)> {
        self.by_key.iter().map(|(key, label)| (*label, key.as_str()))
    }

    /// The key of a label.
    pub fn key(&self, label: u32) -> Option<&str> {
        match label {
            LABEL_HOST => Some(HOST_KEY),
            LABEL_SENTINEL => Some(SENTINEL_KEY),
            _ => self.by_key.iter().find(|(_, l)| **l == label).map(|(key, _)| key.as_str()),
        }
    }

    /// The label of a key.
    pub fn label(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// Gives a label to each subject that has none.
    ///
    /// # Errors
    /// If the labels of this boot are used up, or a key is too long; nothing is changed then.
    pub fn admit(&mut self, subjects: &[SubjectInfo]) -> Result<()> {
        let mut next = self.by_key.values().max().map_or(FIRST_FREE, |l| l + 1);
        let mut new = Vec::new();
        for subject in subjects {
            let key = subject.key.as_str();
            if key == HOST_KEY || key == SENTINEL_KEY || self.by_key.contains_key(key) {
                continue;
            }
            if key.len() > MAX_KEY {
                return Err(Lack::LongKey(key.len()).into());
            }
            if next as usize >= SLOTS {
                return Err(AgentError::Labels { used: next as usize, most: SLOTS });
            }
            new.push((key.to_owned(), next));
            next += 1;
        }
        self.by_key.extend(new);
        Ok(())
    }

    /// What the labels mean in a generation. All its subjects must be admitted.
    pub fn slots(&self, subjects: &[SubjectInfo]) -> Slots {
        let mut out = Slots { slot: vec![0; SLOTS], label_of: vec![0; SUBJECTS], stranded: Vec::new() };
        let mut host = 0;
        for subject in subjects {
            let label = match subject.key.as_str() {
                HOST_KEY => LABEL_HOST,
                SENTINEL_KEY => LABEL_SENTINEL,
                key => self.by_key.get(key).copied().unwrap_or(0),
            };
            if label == LABEL_HOST {
                host = subject.index + 1;
            }
            if let Some(at) = out.label_of.get_mut(subject.index as usize) {
                *at = label;
            }
            if let Some(at) = out.slot.get_mut(label as usize).filter(|_| label != 0) {
                *at = subject.index + 1;
            }
        }
        for (label, key) in self.entries() {
            let at = label as usize;
            if out.slot.get(at).is_none_or(|s| *s != 0) {
                continue;
            }
            match successor(key, subjects) {
                Successor::Subject(index) => out.slot[at] = index + 1,
                Successor::Host => out.slot[at] = host,
                Successor::None => out.stranded.push(key.to_owned()),
            }
        }
        out
    }
}

enum Successor {
    Subject(u32),
    Host,
    None,
}

/// Profile and guards of a key. Guards of every host are in no key.
fn parts(key: &str) -> (&str, Vec<&str>) {
    let key = key.strip_suffix(QUARANTINE).unwrap_or(key);
    let (profile, guards) = key.split_once('|').unwrap_or((key, ""));
    (profile, guards.split(',').filter(|g| !g.is_empty()).collect())
}

/// The subject that stands for a key that a generation lacks. Nothing that still exists is dropped: not the profile,
/// and no guard. Of several subjects the one with fewest further guards is taken, then the first by key. What is in
/// quarantine stays there: where a generation has no such subject, it is denied everything.
fn successor(key: &str, subjects: &[SubjectInfo]) -> Successor {
    let (profile, guards) = parts(key);
    let quarantined = key.ends_with(QUARANTINE);
    let exists = |name: &str| subjects.iter().any(|s| s.guards.iter().any(|g| g == name));
    let remaining: Vec<&str> = guards.into_iter().filter(|g| exists(g)).collect();
    let guards_only = profile.is_empty();
    let profile_exists = !guards_only && subjects.iter().any(|s| s.profile.as_deref() == Some(profile));
    let profile = profile_exists.then_some(profile);
    if profile.is_none() && remaining.is_empty() {
        return if quarantined { Successor::None } else { Successor::Host };
    }
    let guarded = || {
        subjects
            .iter()
            .filter(|s| s.key != SENTINEL_KEY && s.quarantined() == quarantined)
            .filter(|s| remaining.iter().all(|g| s.guards.iter().any(|have| have == g)))
    };
    // Where the guards alone make no subject any more, whoever they bind has a profile now; known is which, if it is one.
    let profile = profile.or_else(|| {
        if !guards_only {
            return None;
        }
        let first = guarded().next()?.profile.as_deref();
        guarded().all(|s| s.profile.as_deref() == first).then_some(first).flatten()
    });
    guarded()
        .filter(|s| s.profile.as_deref() == profile)
        .min_by_key(|s| (s.guards.len(), s.key.as_str()))
        .map_or(Successor::None, |s| Successor::Subject(s.index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The host, the sentinel, and a subject for each (profile, guards).
    fn subjects(of: &[(&str, &[&str])]) -> Vec<SubjectInfo> {
        let info = |key: String, index: u32, profile: &str, guards: &[&str]| SubjectInfo {
            key,
            index,
            profile: (!profile.is_empty()).then(|| profile.to_owned()),
            guards: guards.iter().map(|g| (*g).to_owned()).collect(),
            calls: None,
        };
        let mut out = vec![info(HOST_KEY.into(), 1, "", &[]), info(SENTINEL_KEY.into(), 2, "", &[])];
        for (n, (profile, guards)) in of.iter().enumerate() {
            out.push(info(format!("{profile}|{}", guards.join(",")), n as u32 + 3, profile, guards));
        }
        out
    }

    #[test]
    fn guards_that_came_under_a_profile_take_it() {
        let mut labels = LabelTable::default();
        let (first, second) = (subjects(&[("", &["g"])]), subjects(&[("nginx", &["g"])]));
        labels.admit(&first).unwrap();
        labels.admit(&second).unwrap();
        let slots = labels.slots(&second);
        assert_eq!((slots.slot[3], slots.stranded.len()), (4, 0));
        // Of two profiles it is not known which.
        let both = subjects(&[("nginx", &["g"]), ("redis", &["g"])]);
        labels.admit(&both).unwrap();
        assert_eq!(labels.slots(&both).slot[3], 0);
    }

    #[test]
    fn labels_outlive_generations() {
        let first = subjects(&[("nginx", &[]), ("redis", &["g"])]);
        let second = subjects(&[("redis", &["g"]), ("nginx", &[])]);
        let mut labels = LabelTable::default();
        labels.admit(&first).unwrap();
        let before = labels.clone();
        labels.admit(&second).unwrap();
        assert_eq!(labels, before);
        let (a, b) = (labels.slots(&first), labels.slots(&second));
        assert_eq!((a.slot[1], a.slot[2], a.slot[3], a.slot[4]), (2, 3, 4, 5));
        assert_eq!((b.slot[1], b.slot[2], b.slot[3], b.slot[4]), (2, 3, 5, 4));
        assert_eq!(b.label_of[..5], [0, 1, 2, 4, 3]);
        assert_eq!(labels.key(4), Some("redis|g"));
        assert_eq!(labels.key(1), Some("|"));
        assert_eq!(labels.key(99), None);
    }

    #[test]
    fn what_is_gone_falls_to_what_remains() {
        let mut labels = LabelTable::default();
        labels.admit(&subjects(&[("nginx", &["g", "h"]), ("gone", &["g"]), ("gone", &[])])).unwrap();
        let now = subjects(&[("nginx", &["g"]), ("nginx", &["g", "i"]), ("", &["g"])]);
        labels.admit(&now).unwrap();
        let slots = labels.slots(&now);
        let means = |key: &str| slots.slot[*labels.by_key.get(key).unwrap() as usize];
        assert_eq!(means("nginx|g,h"), 4, "the guard h is gone, g remains");
        assert_eq!(means("gone|g"), 6, "the profile is gone, its guard remains");
        assert_eq!(means("gone|"), 2, "nothing remains: the host");
        assert!(slots.stranded.is_empty());
    }

    #[test]
    fn quarantine_is_not_left_by_a_policy_without_it() {
        let mut labels = LabelTable::default();
        let with = |of: &[(&str, &[&str])]| {
            let mut all = subjects(of);
            let inside: Vec<SubjectInfo> = all[2..].to_vec();
            let next = all.len() as u32;
            all.extend(inside.into_iter().zip(next + 1..).map(|(s, index)| SubjectInfo {
                key: format!("{}{QUARANTINE}", s.key),
                index,
                ..s
            }));
            all
        };
        labels.admit(&with(&[("nginx", &["g"]), ("gone", &[])])).unwrap();
        let label = |labels: &LabelTable, key: &str| *labels.by_key.get(key).unwrap() as usize;
        let inside = label(&labels, "nginx|g|quarantine");
        // Not to the subject outside.
        let without = subjects(&[("nginx", &["g"])]);
        let slots = labels.slots(&without);
        assert_eq!(slots.slot[inside], 0);
        assert!(slots.stranded.contains(&"nginx|g|quarantine".to_owned()));
        // The guard is gone: to the one inside that remains. The profile is gone: to nothing, not to the host.
        let other = with(&[("nginx", &[])]);
        labels.admit(&other).unwrap();
        let slots = labels.slots(&other);
        assert_eq!(slots.slot[inside], other[3].index + 1);
        assert_eq!(slots.slot[label(&labels, "gone||quarantine")], 0);
        assert_eq!(slots.slot[label(&labels, "gone|")], 2);
    }

    #[test]
    fn a_guard_that_exists_is_never_dropped() {
        let mut labels = LabelTable::default();
        labels.admit(&subjects(&[("nginx", &["g"])])).unwrap();
        let now = subjects(&[("nginx", &[]), ("other", &["g"])]);
        labels.admit(&now).unwrap();
        let slots = labels.slots(&now);
        assert_eq!(slots.stranded, ["nginx|g"]);
        assert_eq!(slots.slot[3], 0);
    }

    #[test]
    fn the_end_of_labels_is_an_error_and_changes_nothing() {
        let many: Vec<String> = (0..SLOTS).map(|n| format!("p{n}")).collect();
        let pairs: Vec<(&str, &[&str])> = many.iter().map(|p| (p.as_str(), &[][..])).collect();
        let mut labels = LabelTable::default();
        assert!(matches!(labels.admit(&subjects(&pairs)), Err(AgentError::Labels { .. })));
        assert_eq!(labels, LabelTable::default());
        labels.admit(&subjects(&pairs[..SLOTS - 3])).unwrap();
        let long = "x".repeat(MAX_KEY);
        assert!(labels.admit(&subjects(&[(&long, &[])])).is_err());
    }

    #[test]
    fn a_damaged_table_is_refused() {
        for bad in
            [vec![(0, "a|")], vec![(1, "a|")], vec![(SLOTS as u32, "a|")], vec![(3, "")], vec![(3, "a|"), (4, "a|")]]
        {
            assert!(LabelTable::from_entries(bad.into_iter().map(|(l, k)| (l, k.to_owned()))).is_err());
        }
    }

    /// A policy of at most 3 profiles and 3 guards: the combinations that it has subjects for.
    fn policy() -> impl Strategy<Value = Vec<SubjectInfo>> {
        let profile = prop::sample::select(vec!["", "p", "q", "r"]);
        let guards = prop::sample::subsequence(vec!["g", "h", "i"], 0..=3);
        prop::collection::btree_set((profile, guards), 0..8).prop_map(|set| {
            let pairs: Vec<(&str, Vec<&str>)> =
                set.into_iter().filter(|(p, g)| !p.is_empty() || !g.is_empty()).collect();
            let pairs: Vec<(&str, &[&str])> = pairs.iter().map(|(p, g)| (*p, g.as_slice())).collect();
            subjects(&pairs)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn migration_never_loosens(history in prop::collection::vec(policy(), 1..5)) {
            let mut labels = LabelTable::default();
            for now in &history {
                let before = labels.clone();
                labels.admit(now).unwrap();
                let slots = labels.slots(now);
                for (label, key) in before.entries() {
                    // A label never changes its key.
                    prop_assert_eq!(labels.key(label), Some(key));
                }
                for (label, key) in labels.entries() {
                    let (profile, guards) = parts(key);
                    let index = slots.slot[label as usize];
                    let Some(subject) = now.iter().find(|s| s.index + 1 == index) else {
                        prop_assert_eq!(index, 0);
                        prop_assert!(slots.stranded.iter().any(|s| s == key));
                        continue;
                    };
                    let exact = now.iter().find(|s| s.key == key);
                    prop_assert!(exact.is_none_or(|e| e.index == subject.index), "the key itself comes first");
                    let known = |name: &&str| now.iter().any(|s| s.guards.iter().any(|g| g == name));
                    for guard in guards.iter().filter(|g| known(g)) {
                        prop_assert!(subject.guards.iter().any(|g| g == guard), "{} lost {}", key, guard);
                    }
                    if now.iter().any(|s| s.profile.as_deref() == Some(profile)) {
                        prop_assert_eq!(subject.profile.as_deref(), Some(profile));
                    } else if subject.profile.is_some() {
                        // Only where its guards bind nobody without this profile.
                        prop_assert!(profile.is_empty());
                        let bound = now.iter().filter(|s| s.key != SENTINEL_KEY);
                        let bound = bound.filter(|s| subject.guards.iter().all(|g| s.guards.contains(g) || !guards.contains(&g.as_str())));
                        for other in bound {
                            prop_assert_eq!(&other.profile, &subject.profile);
                        }
                    }
                }
                for subject in now {
                    let label = slots.label_of[subject.index as usize];
                    prop_assert_eq!(slots.slot[label as usize], subject.index + 1, "the way there and back");
                }
            }
        }
    }
}
