//! The corpus in tests/corpus/pdl: what is taken and what it means, what is refused and how it is said.

use std::fmt::Write;
use std::path::Path;

use crate::pdl::{Diagnostics, Level, NoFiles, Source, format};

use super::{digest, load_with_warnings, to_pdl};

fn source(path: &Path) -> Source {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    Source::new(&name, &std::fs::read_to_string(path).unwrap())
}

/// Diagnostics without drawing: code, place, marked text, message, reason, mend.
fn listed(found: &Diagnostics) -> String {
    let mut out = String::new();
    for d in found.iter() {
        let (line, column) = found.position(d.file, d.span.start);
        let marked: String = found.sources[d.file].text[d.span.clone()].chars().take(60).collect();
        let _ = writeln!(
            out,
            "{} {:?} {line}:{column} {marked:?}\n  {}\n  why:  {}\n  mend: {}",
            d.code, d.level, d.message, d.reason, d.help
        );
        if let Some((file, span, label)) = &d.related {
            let _ = writeln!(out, "  see:  line {}: {label}", found.position(*file, span.start).0);
        }
    }
    out
}

fn settings(folder: &str) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("../../../../tests/corpus/pdl/snapshots/{folder}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.remove_input_file();
    settings
}

fn each(folder: &str, check: impl Fn(&str, Source)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/pdl").join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    settings(folder).bind(|| {
        for path in &paths {
            check(&path.file_stem().unwrap().to_string_lossy(), source(path));
        }
    });
}

#[test]
fn good_policies_mean_what_they_meant() {
    each("ok", |name, source| {
        let loaded = load_with_warnings(std::slice::from_ref(&source), &NoFiles)
            .unwrap_or_else(|found| panic!("{}", found.render(false)));
        let flat = to_pdl(&loaded.policy);
        let formatted = format(&source.text).unwrap();
        insta::assert_snapshot!(
            name,
            format!("{flat}\n=== warnings\n{}\n=== formatted\n{formatted}", listed(&loaded.warnings))
        );
        assert_eq!(format(&formatted).unwrap(), formatted, "{name}: formatting settles");
        let again = super::load(&[Source::new("flat.pdl", &flat)], &NoFiles).unwrap();
        assert_eq!(digest(&again), digest(&loaded.policy), "{name}: the flat form means the same");
        let reformatted = super::load(&[Source::new(&source.name, &formatted)], &NoFiles).unwrap();
        assert_eq!(digest(&reformatted), digest(&loaded.policy), "{name}: the formatted text means the same");
        let bytes = serde_json::to_vec(&super::json::document(&loaded.policy)).unwrap();
        assert_eq!(digest(&super::json::read(&bytes).unwrap()), digest(&loaded.policy), "{name}: JSON means the same");
    });
}

#[test]
fn bad_policies_are_refused_with_code_place_and_mend() {
    each("bad", |name, source| {
        let found = load_with_warnings(std::slice::from_ref(&source), &NoFiles).expect_err(name);
        let code = name.split('-').next().unwrap();
        assert!(
            found.iter().any(|d| d.code.number() == code && d.level == Level::Error),
            "{name}:\n{}",
            listed(&found)
        );
        for d in found.iter() {
            assert!(!d.message.is_empty() && !d.reason.is_empty() && !d.help.is_empty(), "{name}: {d:?}");
            let source = &found.sources[d.file];
            assert!(source.text.get(d.span.clone()).is_some(), "{name}: {d:?}");
        }
        // Drawing must not fail either.
        assert!(found.render(true).contains(code) && found.render(false).contains(code), "{name}");
        insta::assert_snapshot!(name, listed(&found));
    });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/pdl/bad");
    let cases = std::fs::read_dir(folder).unwrap().count();
    assert!(cases >= 40, "{cases}");
}
