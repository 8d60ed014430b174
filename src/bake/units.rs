//! The systemd units of the image that a policy confines.

use std::collections::{BTreeMap, BTreeSet};

use super::BakeError;
use super::image::{Image, Kind};
use super::layout::{AGENT_UNIT, LOAD_UNIT};

/// Where units live, the ones that take precedence first (systemd.unit(5), "Unit File Load Path").
const UNIT_DIRS: [&str; 4] =
    ["etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// A unit selector of the policy.
pub struct UnitPattern<'a> {
    /// As written in the policy.
    pub text: String,
    /// Whether a unit's name matches.
    pub matches: &'a dyn Fn(&str) -> bool,
}

/// Every unit file of the image, and for aliases what they stand for.
fn unit_files(image: &dyn Image) -> Result<BTreeMap<String, Option<String>>, BakeError> {
    let mut units = BTreeMap::new();
    for dir in UNIT_DIRS {
        let names = match image.list(dir) {
            Ok(names) => names,
            // /lib is a link to usr/lib on most distributions; usr/lib was looked at already.
            Err(BakeError::Symlink(_)) => continue,
            Err(e) => return Err(e),
        };
        for name in names.into_iter().filter(|n| n.ends_with(".service")) {
            if units.contains_key(&name) {
                continue;
            }
            let path = format!("{dir}/{name}");
            let alias = match image.find(&path)? {
                Some(f) if f.kind == Kind::Link => {
                    let target = image.link_target(&path)?;
                    let last = target.rsplit('/').next().unwrap_or_default().to_owned();
                    // A link to the unit of its own name elsewhere is how `systemctl link` installs it.
                    (last != name && last.ends_with(".service")).then_some(last)
                }
                _ => None,
            };
            units.insert(name, alias);
        }
    }
    Ok(units)
}

/// The units to be tied to the loading of the policy, sorted; and the patterns for which the image has none.
pub fn confined(image: &dyn Image, patterns: &[UnitPattern<'_>]) -> Result<(Vec<String>, Vec<String>), BakeError> {
    let files = unit_files(image)?;
    let (mut units, mut missing) = (BTreeSet::new(), BTreeSet::new());
    for pattern in patterns {
        let matching: Vec<_> = files.iter().filter(|(name, _)| (pattern.matches)(name)).collect();
        let exact = files.get(&pattern.text).and_then(Option::as_ref);
        if let Some(unit) = exact {
            return Err(BakeError::Alias { alias: pattern.text.clone(), unit: unit.clone() });
        }
        let mut hit = false;
        for (name, alias) in matching {
            hit = true;
            if alias.is_none() && *name != LOAD_UNIT && *name != AGENT_UNIT {
                units.insert(name.clone());
            }
        }
        // An instance of a template has no file of its own.
        if !hit && template(&pattern.text).is_some_and(|t| files.contains_key(&t)) && is_name(&pattern.text) {
            hit = true;
            units.insert(pattern.text.clone());
        }
        if !hit {
            missing.insert(pattern.text.clone());
        }
    }
    Ok((units.into_iter().collect(), missing.into_iter().collect()))
}

/// `app@.service` of `app@blue.service`.
fn template(name: &str) -> Option<String> {
    let (stem, rest) = name.split_once('@')?;
    Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1))
}

/// Whether the text is a unit's name and no pattern (systemd.unit(5): letters, digits and `:-_.\@`).
fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
}

/// Fails where the image brings a file that takes precedence over Kiln's units or adds to them.
pub fn no_overrides(image: &dyn Image) -> Result<(), BakeError> {
    for dir in ["etc/systemd/system", "usr/local/lib/systemd/system"] {
        for unit in [LOAD_UNIT, AGENT_UNIT] {
            for path in [format!("{dir}/{unit}"), format!("{dir}/{unit}.d")] {
                match image.find(&path) {
                    Ok(None) => {}
                    Ok(Some(_)) => return Err(BakeError::Override(path)),
                    Err(e) => return Err(e),
                }
            }
        }
    }
    let own = "usr/lib/systemd/system";
    for path in [format!("{own}/{LOAD_UNIT}.d"), format!("{own}/{AGENT_UNIT}.d")] {
        if image.find(&path)?.is_some() {
            return Err(BakeError::Override(path));
        }
    }
    Ok(())
}
