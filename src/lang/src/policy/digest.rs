//! A policy's version.

use kiln_base::model::Digest;

use super::normal::Policy;

/// The SHA-256 of the canonical normal form: of its JSON with rules, limits and `never` lines sorted and without
/// the places where they were written. Comments, layout, order of rules and how abstractions are cut do not count.
pub fn digest(policy: &Policy) -> Digest {
    let mut canonical = policy.clone();
    for block in &mut canonical.blocks {
        block.subjects.sort();
        block.rules.iter_mut().for_each(|r| r.origin.clear());
        block.nevers.iter_mut().for_each(|n| n.origin.clear());
        block.limits.iter_mut().for_each(|l| l.origin.clear());
        block.rules.sort_by_cached_key(|r| (r.text.clone(), json(&r.because)));
        block.rules.dedup();
        block.nevers.sort_by_cached_key(json);
        block.nevers.dedup();
        block.limits.sort_by_cached_key(json);
        block.limits.dedup();
    }
    canonical.blocks.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Digest::of(json(&canonical).as_bytes())
}

/// The normal form holds only what JSON can hold, so this cannot fail; an empty text would still be deterministic.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdl::{NoFiles, Source};

    fn of(text: &str) -> Digest {
        digest(&super::super::load(&[Source::new("t.pdl", text)], &NoFiles).unwrap())
    }

    #[test]
    fn only_meaning_counts() {
        let one = "pdl 1; profile p { subject unit \"a\"; allow read \"/a\"; allow exec \"/b\"; }";
        let two = "# c\npdl 1;\nabstraction x { allow exec \"/b\"; }\nprofile p { subject unit \"a\"; use x;\n allow read \"/a\"; }";
        let three = "pdl 1; profile p { subject unit \"a\"; allow read \"/c\"; allow exec \"/b\"; }";
        assert_eq!(of(one), of(two));
        assert_ne!(of(one), of(three));
    }
}
