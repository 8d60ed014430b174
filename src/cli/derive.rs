//! `kiln derive`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use super::{Exit, Format, Out};
use crate::bundle::write_aside;
use crate::derive::{Derived, derive, render};
use crate::manifest::dpkg::Database;
use crate::manifest::systemd::{Unit, UnitError, enabled};
use crate::manifest::{Root, service};
use crate::model::Mode;
use crate::pdl::{NoFiles, Source};

/// Reads units, configuration, packages and programs of an image and writes the policy that they declare.
///
/// Without --unit, every service that the image starts gets a profile, but for those of the base system; what is
/// left out is listed on standard error.
///
/// Example: kiln derive rootfs --unit nginx.service -o nginx.pdl
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image's root directory.
    root: PathBuf,
    /// A service to derive a profile for; may be repeated.
    #[arg(long = "unit", short = 'u', value_name = "UNIT")]
    units: Vec<String>,
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

/// A service without a profile.
#[derive(Debug, Serialize)]
struct Skipped {
    unit: String,
    reason: String,
    /// The package of the base system that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
}

impl Skipped {
    fn new(unit: &str, reason: String) -> Skipped {
        Skipped { unit: unit.to_owned(), reason, base: None }
    }
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    profiles: &'a [Derived],
    skipped: &'a [Skipped],
    policy: &'a str,
}

/// Derives, checks and writes the policy.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let root = Root::open(&args.root)?;
    let bar = out.progress("reading the package database");
    let db = Database::read(&root)?;
    let explicit = !args.units.is_empty();
    let (units, mut skipped) = if explicit { (args.units.clone(), Vec::new()) } else { choose(&root, &db)? };
    let mut profiles = Vec::new();
    for name in &units {
        // `nginx` is short for `nginx.service`, as in systemctl(1).
        let name = if name.contains('.') { name.clone() } else { format!("{name}.service") };
        bar.set_message(format!("deriving {name}"));
        let mut notes = Vec::new();
        match service::read(&root, &db, &name, &mut notes) {
            Ok(facts) => profiles.push(derive(&facts, args.mode, notes)),
            Err(error) if explicit => {
                return Err(error).with_context(|| format!("cannot derive a policy for `{name}`"));
            }
            Err(error) => skipped.push(Skipped::new(&name, error.to_string())),
        }
    }
    bar.finish_and_clear();
    profiles.sort_by(|a, b| a.profile.cmp(&b.profile));
    profiles.dedup_by(|a, b| a.unit == b.unit);
    if let Some([a, b]) = profiles.windows(2).find(|w| w[0].profile == w[1].profile) {
        anyhow::bail!("`{}` and `{}` would both be profile `{}`: derive one at a time", a.unit, b.unit, a.profile);
    }
    tell_skipped(&skipped, out);
    if profiles.is_empty() {
        anyhow::bail!("no service to derive a policy for; name one with --unit, or enable it in the image");
    }
    for profile in &profiles {
        profile.notes.iter().for_each(|n| out.note(format!("note: {}: {n}", profile.unit)));
    }
    let text = checked(&render(&profiles))?;
    match (&args.output, out.format()) {
        (Some(path), _) => write_aside(path, text.as_bytes(), 0o644)?,
        (None, Format::Text) => out.raw(text.as_bytes())?,
        (None, Format::Json) => {}
    }
    if out.format() == Format::Json {
        out.json(&Report { profiles: &profiles, skipped: &skipped, policy: &text })?;
    } else if let Some(path) = &args.output {
        for p in &profiles {
            out.note(format!("{}: profile `{}` for {}, {} rules", path.display(), p.profile, p.unit, p.rules.len()));
        }
    }
    Ok(Exit::Done)
}

/// The services that the image starts and that are not of its base system.
fn choose(root: &Root, db: &Database) -> anyhow::Result<(Vec<String>, Vec<Skipped>)> {
    let (mut units, mut skipped) = (Vec::new(), Vec::new());
    for (unit, link) in enabled::services(root)? {
        match Unit::load(root, &unit, &mut Vec::new()) {
            Err(UnitError::Masked { path, .. }) => skipped.push(Skipped::new(&unit, format!("masked by {path}"))),
            Err(UnitError::Missing(_)) => skipped.push(Skipped::new(&unit, format!("{link} leads to no unit"))),
            Err(e) => skipped.push(Skipped::new(&unit, e.to_string())),
            Ok(loaded) => match db.owner(&loaded.fragment) {
                Some(package) if package.is_base() => {
                    let reason = format!("package {} is part of the base system", package.name);
                    skipped.push(Skipped { unit, reason, base: Some(package.name.clone()) });
                }
                _ => units.push(unit),
            },
        }
    }
    Ok((units, skipped))
}

/// Says what was left out, the many services of the base system in one line.
fn tell_skipped(skipped: &[Skipped], out: &mut Out) {
    for s in skipped.iter().filter(|s| s.base.is_none()) {
        out.note(format!("skipped {}: {}", s.unit, s.reason));
    }
    let packages: BTreeSet<&str> = skipped.iter().filter_map(|s| s.base.as_deref()).collect();
    if !packages.is_empty() {
        let count = skipped.iter().filter(|s| s.base.is_some()).count();
        let packages: Vec<&str> = packages.into_iter().collect();
        let packages = packages.join(", ");
        let services = if count == 1 { "service" } else { "services" };
        out.note(format!("skipped {count} {services} of the base system ({packages}); --unit NAME derives one"));
    }
}

/// The text in canonical layout, once the front end has taken it: a derived policy that does not check is our defect.
fn checked(text: &str) -> anyhow::Result<String> {
    let failed = "the derived policy does not pass `kiln check`; this is a defect of kiln, please report it";
    let text =
        crate::pdl::format(text).map_err(|e| anyhow::anyhow!("{failed}: {}", e.first().map_or("", |d| &d.message)))?;
    if let Err(found) = crate::policy::load(&[Source::new("derived.pdl", &text)], &NoFiles) {
        anyhow::bail!("{failed}\n{}", found.render(false));
    }
    Ok(text)
}
