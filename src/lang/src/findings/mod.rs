//! What the compiler refuses, as diagnostics at the places where it was written: `kiln check` and `kiln compile` find the same.

use kiln_base::abi::Tables;
use kiln_base::model::pattern_in_quotes;

use crate::compile::{CompileError, Gap, Image, Options, compile_for};
use crate::pdl::{Code, Diagnostic, Diagnostics};
use crate::policy::Loaded;
use crate::policy::normal::{Block, Selector};
use crate::policy::resolve::{BlockPlaces, Place};

/// Compiles a policy: what is wrong with it, the warnings of its check included, and the tables where nothing is.
///
/// # Errors
/// Only for a defect of Kiln itself.
pub fn findings(
    loaded: &Loaded,
    options: &Options,
    image: Image<'_>,
) -> Result<(Diagnostics, Option<Tables>), CompileError> {
    let mut found = loaded.warnings.clone();
    match compile_for(&loaded.policy, options, image) {
        Ok(tables) => return Ok((found, Some(tables))),
        Err(error @ CompileError::Internal(_)) => return Err(error),
        Err(CompileError::Gaps(gaps)) => found.extend(gaps.iter().map(|gap| unenforced(loaded, gap))),
        Err(error) => {
            let place = loaded.places.first().map(|places| places.name.clone());
            let why = "the kernel's part of a policy has bounds, so that each decision takes a bounded time";
            let help = "split the policy, or write fewer or simpler patterns";
            found.push(at(Code::Uncompiled, place, error.to_string()).because(why).mend(help));
        }
    }
    found.sort();
    Ok((found, None))
}

/// What a policy names and the image has not. Each text begins with a selector's pattern, or with a selector.
pub fn absent(loaded: &Loaded, missing: &[String]) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    for text in missing {
        let (pattern, more) = text.split_once(" (").map_or((&**text, ""), |(p, more)| (p, more.trim_end_matches(')')));
        let keyed = |s: &Selector| format!("{} {}", s.key.name(), pattern_in_quotes(&s.pattern.0)) == pattern;
        let names = |s: &Selector| s.pattern.0 == pattern || keyed(s);
        for (block, places) in loaded.policy.blocks.iter().zip(&loaded.places) {
            let lines = block.subjects.iter().zip(&places.subjects).filter(|(line, _)| line.iter().any(names));
            let one = |place: &Place| {
                let help = match more {
                    "" if pattern.starts_with("label \"") => "give a unit this label, by `X-Kiln-Labels=`",
                    "" => "name a unit or program that the image has",
                    more => more,
                };
                at(Code::NotInImage, Some(place.clone()), format!("the image has no `{pattern}`"))
                    .because(format!("{} {} would bind nothing by this line", block.kind, block.name))
                    .mend(help)
            };
            out.extend(lines.map(|(_, place)| one(place)));
        }
    }
    out
}

fn unenforced(loaded: &Loaded, gap: &Gap) -> Diagnostic {
    let named = |(block, _): &(&Block, &BlockPlaces)| format!("{} {}", block.kind, block.name) == gap.block;
    let place = loaded.policy.blocks.iter().zip(&loaded.places).find(named).map(|(b, p)| place(b, p, gap));
    let message = match &gap.rule {
        Some(rule) => format!("the kernel cannot enforce `{rule}`"),
        None => format!("the kernel cannot enforce {}", gap.block),
    };
    at(Code::Unenforced, place, message).because(gap.reason.clone()).mend(gap.mend.clone())
}

/// The rule or limit, the selector that the reason names, or else the block.
fn place(block: &Block, places: &BlockPlaces, gap: &Gap) -> Place {
    let rule = block
        .rules
        .iter()
        .zip(&places.rules)
        .find(|(rule, _)| gap.rule.as_ref() == Some(&rule.text) && gap.origin.as_ref() == Some(&rule.origin));
    let limit = block.limits.iter().zip(&places.limits).find(|(limit, _)| gap.origin.as_ref() == Some(&limit.origin));
    let told = |s: &Selector| gap.reason.contains(&format!("`{} \"{}\"`", s.key.name(), s.pattern.0));
    let subject = block.subjects.iter().zip(&places.subjects).find(|(line, _)| line.iter().any(told));
    let found = rule.map(|(_, p)| p).or(limit.map(|(_, p)| p)).or(subject.map(|(_, p)| p));
    found.unwrap_or(&places.name).clone()
}

fn at(code: Code, place: Option<Place>, message: String) -> Diagnostic {
    let place = place.unwrap_or(Place { file: 0, span: 0..0 });
    Diagnostic::error(code, place.file, place.span, message)
}
