//! Laws of the text: nothing is lost, formatting changes only white space and settles at once, no input panics.

use proptest::prelude::*;

use super::{SyntaxKind, SyntaxNode, format, parse};

const NAMES: &[&str] = &["web", "a1", "read", "kill", "any", "x_y", "profile"];
const STRINGS: &[&str] = &["\"/a/**\"", "\"10.0.0.0/8\"", "\"x\\\"y\"", "\"/{a,b}\"", "\"#no\"", "\"\""];
const NUMBERS: &[&str] = &["0", "80", "65535", "007"];

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(NAMES).prop_map(str::to_owned)
}
fn string() -> impl Strategy<Value = String> {
    prop::sample::select(STRINGS).prop_map(str::to_owned)
}
fn dotted() -> impl Strategy<Value = String> {
    (name(), prop::option::of(name())).prop_map(|(a, b)| b.map_or(a.clone(), |b| format!("{a} . {b}")))
}
fn var() -> impl Strategy<Value = String> {
    dotted().prop_map(|n| format!("$ {n}"))
}
fn range() -> impl Strategy<Value = String> {
    let number = || prop::sample::select(NUMBERS);
    (number(), prop::option::of(number())).prop_map(|(a, b)| b.map_or(a.to_owned(), |b| format!("{a} - {b}")))
}
fn list_of(item: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec(item, 1..4).prop_map(|v| v.join(" , "))
}
fn value() -> impl Strategy<Value = String> {
    prop_oneof![string(), range(), var()].prop_recursive(3, 12, 3, |inner| {
        (prop::collection::vec(inner, 0..4), any::<bool>()).prop_map(|(v, trailing)| {
            let comma = if trailing && !v.is_empty() { " ," } else { "" };
            format!("[ {}{comma} ]", v.join(" , "))
        })
    })
}
fn terms() -> impl Strategy<Value = String> {
    list_of(prop_oneof![string(), var()])
}
fn except() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 1 => terms().prop_map(|t| format!(" except {t}"))]
}
fn selectors() -> impl Strategy<Value = String> {
    let key = prop::sample::select(&["exec", "unit", "image", "user", "host", "label"][..]);
    list_of((key, string()).prop_map(|(k, s)| format!("{k} {s}")))
}
fn because() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(&["manifest", "control", "trace", "ticket"][..]);
    let refs = list_of((kind, string()).prop_map(|(k, s)| format!("{k} {s}")));
    prop_oneof![Just(String::new()), refs.prop_map(|r| format!(" because {r}"))]
}
fn outcome() -> impl Strategy<Value = String> {
    prop::sample::select(&["", " severity high", " then kill", " severity low then alert"][..]).prop_map(str::to_owned)
}
fn object() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        Just(String::new()),
        Just(" to any".to_owned()),
        Just(" from loopback".to_owned()),
        string().prop_map(|s| format!(" to dns {s}")),
        terms().prop_map(|t| format!(" on {t}")),
    ];
    let ports =
        prop_oneof![Just(String::new()), list_of(prop_oneof![range(), var()]).prop_map(|p| format!(" port {p}"))];
    prop_oneof![
        (terms(), except()).prop_map(|(t, x)| format!("read , write {t}{x}")),
        (terms(), except(), name()).prop_map(|(t, x, n)| format!("exec {t}{x} as {n}")),
        (address, ports).prop_map(|(a, p)| format!("connect tcp{a}{p}")),
        (terms(), except()).prop_map(|(t, x)| format!("bind unix {t}{x}")),
        list_of(prop_oneof![name(), var(), Just("@file-system".to_owned())]).prop_map(|n| format!("syscall {n}")),
    ]
}
fn statement() -> impl Strategy<Value = String> {
    let effect = prop::sample::select(&["allow", "deny", "watch"][..]);
    let condition = prop_oneof![
        Just(String::new()),
        dotted().prop_map(|w| format!(" during {w}")),
        selectors().prop_map(|s| format!(" by {s}")),
    ];
    let limit = prop::sample::select(
        &["cpu 50%", "memory 512MiB", "pids 5", "io read 1MiB/s , write 2KB/s", "network out 10Mbit/s"][..],
    );
    prop_oneof![
        selectors().prop_map(|s| format!("subject {s} ;")),
        Just("mode audit ;".to_owned()),
        Just("governs read , connect ;".to_owned()),
        (dotted(), because()).prop_map(|(w, b)| format!("active during {w} else kill{b} ;")),
        outcome().prop_map(|o| format!("on violation of exec{o} ;")),
        (dotted(), list_of(value()), because()).prop_map(|(n, v, b)| format!("use {n} ( {v} ){b} ;")),
        (limit, outcome(), because()).prop_map(|(l, o, b)| format!("limit {l}{o}{b} ;")),
        (effect, object(), condition, outcome(), because()).prop_map(|(e, ob, c, o, b)| format!("{e} {ob}{c}{o}{b} ;")),
        (object(), because()).prop_map(|(o, b)| format!("never allow {o}{b} ;")),
    ]
}
fn item() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(&["profile", "guard"][..]);
    let params = list_of((name(), value()).prop_map(|(n, v)| format!("{n} : path = {v}")));
    let body = || prop::collection::vec(statement(), 0..5).prop_map(|v| v.join(" "));
    prop_oneof![
        string().prop_map(|s| format!("import {s} as lib ;")),
        (name(), value()).prop_map(|(n, v)| format!("let {n} = {v} ;")),
        name().prop_map(|n| format!(
            "window {n} {{ mon - fri , sun 22:00 - 04:00 zone \"UTC\" ; daily 1:00 - 2:00 zone \"UTC\" ; }}"
        )),
        (name(), params, body()).prop_map(|(n, p, b)| format!("abstraction {n} ( {p} ) {{ {b} }}")),
        (kind, name(), body()).prop_map(|(k, n, b)| format!("{k} {n} {{ {b} }}")),
    ]
}
/// A well-formed file with odd white space and comments between its tokens.
fn file() -> impl Strategy<Value = String> {
    let space =
        prop::sample::select(&[" ", " ", " ", "  ", "\n", "\t", "\n\n\n", " # c\n", "\n# d\n", " #\n  #e  \r\n"][..]);
    (prop::collection::vec(item(), 0..6), prop::collection::vec(space, 1..40)).prop_map(|(items, spaces)| {
        let words = format!("pdl 1 ; {}", items.join(" "));
        let mut out = String::new();
        let mut quoted = false;
        let mut n = 0;
        for c in words.chars() {
            quoted ^= c == '"' && !out.ends_with('\\');
            if c == ' ' && !quoted {
                out.push_str(spaces[n % spaces.len()]);
                n += 1;
            } else {
                out.push(c);
            }
        }
        out
    })
}
/// Anything: pieces of the language in any order, and pieces of nothing.
fn soup() -> impl Strategy<Value = String> {
    let words = &[
        "pdl 1;",
        "profile",
        "guard",
        "window",
        "abstraction",
        "let",
        "import",
        "use",
        "allow",
        "never",
        "read",
        "connect",
        "tcp",
        "port",
        "because",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        ";",
        "=",
        "$",
        "-",
        ".",
        "\"",
        "\"/a\"",
        "\\",
        "#",
        "\n",
        "80",
        "22:00",
        "50%",
        "@",
        "é",
        "\u{0}",
        "subject",
        "unit",
        "limit",
        "cpu",
        "as",
        "except",
        "dns",
        "x",
    ][..];
    let piece = prop_oneof![
        8 => prop::sample::select(words).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => statement(),
    ];
    (any::<bool>(), prop::collection::vec(piece, 0..40)).prop_map(|(spaced, v)| v.join(if spaced { " " } else { "" }))
}

/// The tree without its trivia.
fn skeleton(node: &SyntaxNode) -> String {
    let mut out = String::new();
    for event in node.preorder_with_tokens() {
        match event {
            rowan::WalkEvent::Enter(rowan::NodeOrToken::Node(n)) => out.push_str(&format!("({:?} ", n.kind())),
            rowan::WalkEvent::Leave(rowan::NodeOrToken::Node(_)) => out.push(')'),
            rowan::WalkEvent::Enter(rowan::NodeOrToken::Token(t)) if !t.kind().is_trivia() => {
                out.push_str(&format!("{:?}:{} ", t.kind(), t.text()));
            }
            _ => {}
        }
    }
    out
}

fn comments(node: &SyntaxNode) -> Vec<String> {
    let tokens = node.descendants_with_tokens().filter_map(|e| e.into_token());
    tokens.filter(|t| t.kind() == SyntaxKind::Comment).map(|t| t.text().trim_end().to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn formatting_keeps_the_tree_and_settles(text in file()) {
        let before = parse(&text, 0);
        prop_assert!(before.errors.is_empty(), "{text}\n{:?}", before.errors);
        let formatted = format(&text).unwrap();
        let after = parse(&formatted, 0);
        prop_assert_eq!(skeleton(&before.syntax()), skeleton(&after.syntax()));
        prop_assert_eq!(comments(&before.syntax()), comments(&after.syntax()));
        prop_assert_eq!(format(&formatted).unwrap(), formatted);
    }

    #[test]
    fn no_input_panics_or_is_lost(text in soup()) {
        let parsed = parse(&text, 0);
        prop_assert_eq!(parsed.syntax().to_string(), text.clone());
        match format(&text) {
            Ok(formatted) => prop_assert_eq!(format(&formatted).unwrap(), formatted),
            Err(errors) => prop_assert!(!errors.is_empty()),
        }
        for error in &parsed.errors {
            prop_assert!(!error.help.is_empty() && !error.reason.is_empty(), "{error:?}");
            prop_assert!(text.is_char_boundary(error.span.start) && text.is_char_boundary(error.span.end), "{error:?}");
        }
    }
}

#[test]
fn large_and_nested_inputs_are_bounded() {
    let deep = format!("pdl 1; let x = {};", "[".repeat(100_000));
    assert!(!parse(&deep, 0).errors.is_empty());
    let braces = "{".repeat(200_000);
    assert_eq!(parse(&braces, 0).syntax().to_string(), braces);
    let blocks = "profile p {".repeat(20_000);
    assert_eq!(parse(&blocks, 0).syntax().to_string(), blocks);
    let long = "x".repeat(super::MAX_FILE + 1);
    assert_eq!(parse(&long, 0).errors[0].code, super::Code::FileTooLarge);
}
