//! The two implementations of globs agree.

use proptest::prelude::*;

use super::{Budget, Cut, Matcher, Witness, witness};
use crate::automata::Pattern;

/// Patterns over few characters, well-formed or not, so that they meet the texts.
fn pattern() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(
        &["a", "b", "/", "*", "**", "?", "[ab]", "[!a]", "{a,b/}", "{,*}", "\\*", ".", "[a-", "}", "]", "]]", "ä"][..],
    );
    prop::collection::vec(piece, 0..8).prop_map(|v| format!("/{}", v.concat()))
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"ab/*.\xc3\xa4"[..]), 0..8).prop_map(|mut v| {
        v.insert(0, b'/');
        v
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn matcher_and_automaton_agree(glob in pattern(), texts in prop::collection::vec(text(), 8)) {
        let (ours, theirs) = (Matcher::new(&glob), Pattern::parse(&glob));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{} {:?} {:?}", glob, ours.err(), theirs.err());
        if let (Ok(ours), Ok(theirs)) = (Matcher::new(&glob), Pattern::parse(&glob)) {
            for text in texts.iter().map(Vec::as_slice).chain([&b"/"[..], b"/a", b"/a/"]) {
                prop_assert_eq!(ours.matches(text), theirs.matches(text), "{} on {:?}", glob, String::from_utf8_lossy(text));
            }
        }
    }

    #[test]
    fn a_witness_is_one(
        a in pattern(), b in pattern(), cut in pattern(), back in pattern(), other in pattern(),
        texts in prop::collection::vec(text(), 8),
    ) {
        let all: Result<Vec<Matcher>, _> = [a, b, cut, back, other].iter().map(|p| Matcher::new(p)).collect();
        if let Ok([a, b, cut, back, other]) = all.as_deref() {
            let taken = |text: &[u8]| cut.matches(text) && !back.matches(text) || other.matches(text);
            let fits = |text: &[u8]| a.matches(text) && b.matches(text) && !taken(text);
            let cuts = [
                Cut { any: vec![cut], except: vec![back] },
                Cut { any: vec![other], except: Vec::new() },
            ];
            match witness(&[a, b], &cuts, false, &mut Budget::default()) {
                Witness::Text(text) => prop_assert!(fits(&text)),
                Witness::None => prop_assert!(!texts.iter().any(|t| fits(t))),
                Witness::Unknown => {}
            }
        }
    }
}
