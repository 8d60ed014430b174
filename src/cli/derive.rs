//! `kiln derive`.

mod coverage;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use self::coverage::{Kind, Uncovered};
use super::out::Fail;
use super::{Exit, Format, Out};
use crate::automata::Pattern;
use crate::bundle::write_aside;
use crate::derive::{Derived, derive, render};
use crate::manifest::dpkg::Database;
use crate::manifest::systemd::{Unit, census};
use crate::manifest::{Note, Origin, Root, service};
use crate::model::Mode;
use crate::pdl::{Code, Diagnostic, Level, NoFiles, Source};

/// Reads units, configuration, packages and programs of an image and writes the policy that they declare.
///
/// Without --unit, every service that the image starts gets a profile, but for those of the system itself. Standard
/// error lists those that get none, each with its reason.
///
/// Example: kiln derive rootfs --unit nginx.service -o nginx.pdl
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image's root directory.
    root: PathBuf,
    /// A service to derive a profile for; can be repeated. A template (`app@.service`) stands for all of its instances.
    #[arg(long = "unit", short = 'u', value_name = "UNIT")]
    units: Vec<String>,
    /// Every service that the image starts, but for those that their own unit shows to be the system's, whatever the
    /// priority of their package.
    #[arg(long, conflicts_with = "units")]
    all: bool,
    /// Leave out the units that this pattern matches; can be repeated.
    #[arg(long, value_name = "PATTERN")]
    except: Vec<String>,
    /// Write nothing and end with 1 if something that the image starts gets no profile.
    #[arg(long)]
    strict: bool,
    /// Where the policy is written; standard output without it.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Whether the profiles refuse or only report.
    #[arg(long, value_name = "MODE", default_value = "enforce", value_parser = mode)]
    mode: Mode,
}

fn mode(text: &str) -> Result<Mode, String> {
    text.parse().map_err(|_| "one of enforce, audit, learn".to_owned())
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    profiles: &'a [Derived],
    uncovered: &'a [Uncovered],
    policy: &'a str,
}

/// Derives, checks and writes the policy.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let root = Root::open(&args.root)?;
    let bar = out.progress("reading the package database");
    let db = Database::read(&root)?;
    db.notes().iter().for_each(|n| out.note(format!("note: {n}")));
    let explicit = !args.units.is_empty();
    if let Some(missing) = db.missing() {
        if !explicit && !args.all {
            let message = format!(
                "{missing}, so packages do not tell the image's own services from the base system's: name services with \
                 --unit, or pass --all for every one that is not the system's by its own unit"
            );
            return Err(Fail { code: 2, message }.into());
        }
        out.note(format!("note: {missing}: rules that follow from packages are not derived"));
    }
    bar.set_message("looking for what the image starts");
    let except = args.except.iter().map(|p| Pattern::parse(p).with_context(|| format!("--except {p}")));
    let except = except.collect::<anyhow::Result<Vec<_>>>()?;
    let named = names(&root, &args.units)?;
    let base = if args.all { None } else { Some(&db) };
    let mut coverage = coverage::judge(&root, base, census::read(&root)?, explicit.then_some(&named), &except);
    let mut profiles = Vec::new();
    for name in if explicit { named } else { std::mem::take(&mut coverage.wanted) } {
        bar.set_message(format!("deriving {name}"));
        let mut notes = Vec::new();
        match service::read(&root, &db, &name, &mut notes) {
            Ok(facts) => profiles.push(derive(&facts, args.mode, notes)),
            Err(error) if explicit => {
                return Err(error).with_context(|| format!("cannot derive a policy for `{name}`"));
            }
            Err(error) => coverage.add(&name, Kind::Failed, error.to_string()),
        }
    }
    bar.finish_and_clear();
    tell_apart(&mut profiles);
    let mut text = checked(&render(&profiles));
    if matches!(text, Err(Unfit::Defect(_))) {
        leave_out_what_does_not_check(&mut profiles);
        text = checked(&render(&profiles));
    }
    coverage.tell(out);
    if profiles.is_empty() {
        anyhow::bail!("no service to derive a policy for; name one with --unit, or enable it in the image");
    }
    for profile in &profiles {
        profile.notes.iter().for_each(|n| out.note(format!("note: {}: {n}", profile.unit)));
    }
    let text = text?;
    let findings = coverage.findings();
    let refused = args.strict && findings > 0;
    match (&args.output, out.format()) {
        _ if refused => {}
        (Some(path), _) => write_aside(path, text.as_bytes(), 0o644)?,
        (None, Format::Text) => out.raw(text.as_bytes())?,
        (None, Format::Json) => {}
    }
    if out.format() == Format::Json {
        out.json(&Report { profiles: &profiles, uncovered: &coverage.uncovered, policy: &text })?;
    } else if let Some(path) = args.output.as_ref().filter(|_| !refused) {
        for p in &profiles {
            out.note(format!("{}: profile `{}` for {}, {} rules", path.display(), p.profile, p.unit, p.rules.len()));
        }
    }
    if refused {
        out.note(format!(
            "strict: {findings} of what the image starts would run without a profile; nothing was written"
        ));
        return Ok(Exit::Finding);
    }
    Ok(Exit::Done)
}

/// The own names of the units that were asked for.
fn names(root: &Root, asked: &[String]) -> anyhow::Result<Vec<String>> {
    let mut out: BTreeSet<String> = BTreeSet::new();
    for name in asked {
        // `nginx` is short for `nginx.service`, as in systemctl(1).
        let name = if name.contains('.') { name.clone() } else { format!("{name}.service") };
        let failed = || format!("cannot derive a policy for `{name}`");
        out.insert(Unit::load(root, &name, &mut Vec::new()).with_context(failed)?.name);
    }
    for name in &out {
        if let Some(template) = coverage::wider(name).filter(|t| out.contains(t)) {
            anyhow::bail!("--unit {template} stands for all of its instances, {name} among them; name one of the two");
        }
    }
    Ok(out.into_iter().collect())
}

/// `a-b.service` and `a_b.service` would both be profile `a_b`.
fn tell_apart(profiles: &mut [Derived]) {
    profiles.sort_by(|a, b| (&a.profile, &a.unit).cmp(&(&b.profile, &b.unit)));
    let mut all: BTreeSet<String> = profiles.iter().flat_map(Derived::names).map(str::to_owned).collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for profile in profiles {
        if profile.names().any(|n| seen.contains(n)) {
            let stem = profile.profile.clone();
            for k in 2u32.. {
                profile.rename(&format!("{stem}_{k}"));
                if !profile.names().any(|n| all.contains(n)) {
                    break;
                }
            }
        }
        let names: Vec<String> = profile.names().map(str::to_owned).collect();
        all.extend(names.iter().cloned());
        seen.extend(names);
    }
}

/// What the front end does not take costs the rule, never the rest.
fn leave_out_what_does_not_check(profiles: &mut [Derived]) {
    for profile in profiles {
        let mut whole = Derived { rules: Vec::new(), notes: Vec::new(), ..profile.clone() };
        for rule in std::mem::take(&mut profile.rules) {
            whole.rules = vec![rule.clone()];
            match crate::policy::load(&[Source::new("rule", &render(std::slice::from_ref(&whole)))], &NoFiles) {
                Ok(_) => profile.rules.push(rule),
                Err(found) => {
                    let why = found.records().first().map_or_else(String::new, |d| d.message.clone());
                    let origin = rule.because.first().cloned().unwrap_or_else(|| Origin::known("kiln", "derive"));
                    profile.notes.push(Note::new(origin, format!("gives no rule: {why}")));
                }
            }
        }
    }
}

/// Why a derived policy is not a policy.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    /// More than a policy may be.
    #[error(
        "the derived policy is too large: {0}; derive fewer units at a time, or declare folders instead of the many \
         paths in them"
    )]
    Bounds(String),
    /// The front end does not take it.
    #[error("the derived policy does not pass `kiln check`; this is a defect of kiln, please report it\n{0}")]
    Defect(String),
}

/// The text in canonical layout, once the front end has taken it.
fn checked(text: &str) -> Result<String, Unfit> {
    let of = |found: &[Diagnostic], shown: String| match found.iter().find(|d| d.level == Level::Error) {
        Some(d) if matches!(d.code, Code::FileTooLarge | Code::TooMany) => {
            Unfit::Bounds(format!("{} ({})", d.message, d.reason))
        }
        _ => Unfit::Defect(shown),
    };
    let text =
        crate::pdl::format(text).map_err(|e| of(&e, e.first().map_or_else(String::new, |d| d.message.clone())))?;
    match crate::policy::load(&[Source::new("derived.pdl", &text)], &NoFiles) {
        Ok(_) => Ok(text),
        Err(found) => {
            let all: Vec<Diagnostic> = found.iter().cloned().collect();
            Err(of(&all, found.render(false)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_is_too_large_is_no_defect() {
        let profile = |rules: &str| format!("pdl 1;\nprofile p {{ subject unit \"a\"; {rules} }}\n");
        assert!(checked(&profile("allow read \"/a\";")).is_ok());
        let long = profile(&format!("# {}\n", "x".repeat(crate::pdl::MAX_FILE)));
        assert!(matches!(checked(&long), Err(Unfit::Bounds(_))));
        assert!(matches!(checked(&profile("allow read \"a\";")), Err(Unfit::Defect(_))));
    }
}
