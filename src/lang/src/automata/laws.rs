//! Laws of the automata, on random globs.

use proptest::prelude::*;

use super::*;

/// Globs over a small alphabet, so that they meet.
pub(crate) fn glob() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => "[ab/c]".prop_map(|s| s),
        2 => Just("*".to_owned()),
        1 => Just("**".to_owned()),
        1 => Just("?".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("[!a]".to_owned()),
        1 => Just("\\*".to_owned()),
    ];
    let part = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|v| v.concat()),
            1 => prop::collection::vec(inner, 1..4).prop_map(|v| format!("{{{}}}", v.join(","))),
        ]
    });
    prop::collection::vec(part, 0..5).prop_map(|v| format!("/{}", v.concat()))
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"ab/c*z\xff"[..]), 0..10).prop_map(|mut v| {
        v.insert(0, b'/');
        v
    })
}

/// Whether no two states can be told apart by any input: Moore's construction, the slow and obvious way.
fn is_minimal(dfa: &Dfa) -> bool {
    let n = dfa.len() as u32;
    let mut class: Vec<usize> = (0..n).map(|s| dfa.accept(s) as usize).collect();
    loop {
        let mut seen = std::collections::HashMap::new();
        let next: Vec<usize> = (0..n)
            .map(|s| {
                let row: Vec<usize> = (0..dfa.classes().len()).map(|c| class[dfa.next(s, c as u8) as usize]).collect();
                let fresh = seen.len();
                *seen.entry((class[s as usize], row)).or_insert(fresh)
            })
            .collect();
        if next == class {
            let mut sorted = class.clone();
            sorted.sort_unstable();
            sorted.dedup();
            return sorted.len() == n as usize;
        }
        class = next;
    }
}

/// A backtracking matcher written from the table in `glob`, for short inputs.
fn naive(tokens: &[glob::Token], input: &[u8]) -> bool {
    use glob::Token::*;
    let Some((first, rest)) = tokens.split_first() else { return input.is_empty() };
    match first {
        Byte(b) => input.first() == Some(b) && naive(rest, &input[1..]),
        Set(set) => input.first().is_some_and(|b| set.contains(*b)) && naive(rest, &input[1..]),
        Run(set) => (0..=input.len()).any(|n| input[..n].iter().all(|b| set.contains(*b)) && naive(rest, &input[n..])),
        Alternatives(all) => all.iter().any(|one| naive(&[one.as_slice(), rest].concat(), input)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn dfa_matches_as_globs_do(
        left in prop::collection::vec(glob(), 1..6),
        right in prop::collection::vec(glob(), 1..6),
        inputs in prop::collection::vec(input(), 40),
    ) {
        let parse = |globs: &[String]| globs.iter().map(|g| Pattern::parse(g).unwrap()).collect::<Vec<_>>();
        let (left, right) = (parse(&left), parse(&right));
        let mut nfa = Nfa::new();
        let roots = [nfa.root(), nfa.root()];
        for (root, patterns) in roots.iter().zip([&left, &right]) {
            patterns.iter().enumerate().for_each(|(n, p)| nfa.add(*root, p, n as u32));
        }
        // The accept number is the set of patterns that match, as bits.
        let bits = |ids: &[u32]| ids.iter().fold(0, |acc, id| acc | 1 << id);
        let mut subset = Subset::new(&nfa, nfa.classes(), Limits::default());
        subset.start(&roots[..1], bits).unwrap();
        subset.start(&roots[1..], bits).unwrap();
        let dfa = subset.finish();
        prop_assert!(is_minimal(&dfa));
        for input in &inputs {
            for (start, patterns) in dfa.starts().iter().zip([&left, &right]) {
                let expected = patterns.iter().enumerate().fold(0, |acc, (n, p)| acc | u32::from(p.matches(input)) << n);
                prop_assert_eq!(dfa.run(*start, input), expected);
                for p in patterns {
                    prop_assert_eq!(p.matches(input), naive(&p.tokens, input));
                }
            }
        }
    }

    #[test]
    fn combinations_are_those_of_sets(a in glob(), b in glob(), inputs in prop::collection::vec(input(), 40)) {
        let (a, b) = (Pattern::parse(&a).unwrap(), Pattern::parse(&b).unwrap());
        let (da, db) = (Dfa::of_patterns([&a]).unwrap(), Dfa::of_patterns([&b]).unwrap());
        for how in [Combine::Both, Combine::FirstOnly, Combine::Either] {
            let holds = |x: &[u8]| match how {
                Combine::Both => a.matches(x) && b.matches(x),
                Combine::FirstOnly => a.matches(x) && !b.matches(x),
                Combine::Either => a.matches(x) || b.matches(x),
            };
            let dfa = da.combine(&db, how).unwrap();
            prop_assert!(is_minimal(&dfa));
            for input in &inputs {
                prop_assert_eq!(dfa.run(dfa.first_start(), input) != 0, holds(input));
            }
            match da.witness(&db, how).unwrap() {
                Some(witness) => {
                    prop_assert!(holds(&witness));
                    prop_assert!(inputs.iter().all(|i| i.len() >= witness.len() || !holds(i)));
                }
                None => prop_assert!(inputs.iter().all(|i| !holds(i))),
            }
        }
        // Equal languages have equal minimal automata.
        let again = da.combine(&da, Combine::Both).unwrap();
        prop_assert_eq!(again.len(), da.len());
    }
}

#[test]
fn an_explosion_is_an_error() {
    let pattern = Pattern::parse(&format!("/**a{}", "?".repeat(40))).unwrap();
    let mut nfa = Nfa::new();
    let root = nfa.root();
    nfa.add(root, &pattern, 0);
    let mut subset = Subset::new(&nfa, nfa.classes(), Limits { states: 5000, ..Limits::default() });
    assert!(matches!(subset.start(&[root], |_| 1), Err(TooLarge { states }) if states > 5000));
}

#[test]
fn witnesses_read_well() {
    let parse = |g| Dfa::of_patterns([&Pattern::parse(g).unwrap()]).unwrap();
    let (a, b) = (parse("/srv/**/*.log"), parse("/srv/*/*"));
    assert_eq!(a.witness(&b, Combine::Both).unwrap().unwrap(), b"/srv//.log");
    assert_eq!(parse("/a").witness(&parse("/b"), Combine::Both).unwrap(), None);
}
