//! Rules as PDL.

use std::fmt::Write;

use kiln_base::model::{Because, Mode, VerbSet, pattern_in_quotes};

use super::derived::Derived;
use super::rule::{Rule, Section, What};

/// The classes that a derived profile governs: every one that can be enforced. System calls are not among them.
const GOVERNS: &str = "read, modify, create, delete, setattr, exec, load, bind, connect, accept, capability, kernel";

/// The policy text of some profiles.
pub fn render(profiles: &[Derived]) -> String {
    let mut out = String::from(
        "# Derived by `kiln derive` from what the image declares. Every rule names the line, package or program that it\n\
         # follows from. Review it, and keep it beside the image's sources.\npdl 1;\n",
    );
    for profile in profiles {
        out.push('\n');
        for note in &profile.notes {
            let _ = writeln!(out, "# Note: {}", single_line(&note.to_string()));
        }
        let subject = format!("unit {}", pattern_in_quotes(&profile.subject));
        block(&mut out, &profile.profile, &subject, profile.mode, &profile.rules);
        for helper in &profile.helpers {
            let subject = format!("{subject}, exec {}", pattern_in_quotes(&helper.program));
            out.push('\n');
            block(&mut out, &helper.profile, &subject, profile.mode, &helper.rules);
        }
    }
    out
}

/// One profile.
fn block(out: &mut String, name: &str, subject: &str, mode: Mode, rules: &[Rule]) {
    let _ = writeln!(out, "profile {name} {{");
    let _ = writeln!(out, "  subject {subject};");
    let _ = writeln!(out, "  mode {mode};");
    let _ = writeln!(out, "  governs {GOVERNS};");
    out.push_str("  on violation severity medium;\n  on violation of exec, load severity high;\n");
    let mut section = None;
    for rule in rules {
        if section != Some(rule.section) {
            let _ = writeln!(out, "\n  # {}", heading(rule.section));
            section = Some(rule.section);
        }
        let _ = writeln!(out, "  {};", allow(rule));
    }
    out.push_str("}\n");
}

fn heading(section: Section) -> &'static str {
    match section {
        Section::Exec => "Programs",
        Section::Load => "Libraries and modules",
        Section::Read => "Files that are read",
        Section::Write => "Files that are written",
        Section::Network => "Sockets",
        Section::Kernel => "Capabilities and kernel facilities",
    }
}

/// `allow … because …` without its semicolon.
fn allow(rule: &Rule) -> String {
    let list = |items: &[String]| items.iter().map(|p| pattern_in_quotes(p)).collect::<Vec<_>>().join(", ");
    let object = match &rule.what {
        What::File { verbs, paths } => format!("{} {}", verb_list(*verbs), list(paths)),
        What::Switch { paths, profile } => format!("exec {} as {profile}", list(paths)),
        What::Net { verb, proto, address, ports } => {
            let word = verb.preposition().unwrap_or("to");
            let address = if matches!(address.as_str(), "any" | "loopback") {
                address.clone()
            } else {
                pattern_in_quotes(address)
            };
            let mut text = format!("{verb} {} {word} {address}", proto.name());
            if !ports.is_empty() {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                let _ = write!(text, " port {}", ports.join(", "));
            }
            text
        }
        What::Unix { verb, paths } => format!("{verb} unix {}", list(paths)),
        What::Capability { names } => format!("capability {}", names.join(", ")),
        What::Kernel { ops } => format!("kernel {}", ops.iter().map(|o| o.name()).collect::<Vec<_>>().join(", ")),
    };
    let because: Vec<String> = rule.because.iter().map(|o| reference(&o.because())).collect();
    format!("allow {object} because {}", because.join(", "))
}

fn verb_list(verbs: VerbSet) -> String {
    verbs.words().join(", ")
}

fn reference(because: &Because) -> String {
    let mut text = String::new();
    for c in single_line(&because.text).chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    format!("{} \"{text}\"", because.kind.name())
}

/// File names may hold line ends; a comment or reference must not.
fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{profile_name, subject};
    use kiln_base::model::{Verb, quote_pattern};
    use proptest::prelude::*;

    #[test]
    fn names_and_quotes() {
        assert_eq!(profile_name("nginx.service"), "nginx");
        assert_eq!(profile_name("postgresql@15-main.service"), "postgresql_15_main");
        assert_eq!(profile_name("389-ds.service"), "unit_389_ds");
        assert_eq!(pattern_in_quotes("/a\\[b\"c"), "\"/a\\[b\\\"c\"");
        assert_eq!(single_line("a\nb"), "a\u{fffd}b");
    }

    #[test]
    fn a_subject_is_its_units_name_and_no_other() {
        assert_eq!(subject("nginx.service"), "nginx.service");
        assert_eq!(subject("o-esc@dev-my\\x2ddisk.service"), "o-esc@dev-my\\\\x2ddisk.service");
        assert_eq!(subject("app@.service"), "app@*.service");
        assert_eq!(subject("a\\x2db@.service"), "a\\\\x2db@*.service");
    }

    proptest! {
        /// Any text that a policy can hold, quoted, through the whole front end: that text and nothing else.
        #[test]
        fn quoted_text_means_itself(name in "/[\\PC*?{}\\[\\],\\\\\"!-]{1,40}") {
            prop_assume!(!name.ends_with('/') && !name.contains("//"));
            prop_assume!(name.split('/').skip(1).all(|part| !matches!(part, "." | "..")));
            let quoted = quote_pattern(&name);
            let text = format!("pdl 1;\nprofile p {{\n  subject unit {0};\n  allow read {0};\n}}\n", pattern_in_quotes(&quoted));
            let loaded = kiln_lang::policy::load(&[kiln_lang::pdl::Source::new("t", &text)], &kiln_lang::pdl::NoFiles);
            let policy = loaded.map_err(|e| TestCaseError::fail(e.render(false)))?;
            let unit = &policy.blocks[0].subjects[0][0].pattern.0;
            let matcher = kiln_lang::policy::glob::Matcher::new(unit).unwrap();
            prop_assert_eq!(matcher.literal().map(|b| b.to_vec()), Some(name.clone().into_bytes()));
            prop_assert!(matcher.matches(name.as_bytes()));
        }
    }

    #[test]
    fn write_is_four_verbs() {
        assert_eq!(verb_list(VerbSet::WRITE), "write");
        assert_eq!(verb_list([Verb::Read].into_iter().collect::<VerbSet>().union(VerbSet::WRITE)), "read, write");
        assert_eq!(verb_list([Verb::Modify, Verb::Create].into_iter().collect()), "modify, create");
    }
}
