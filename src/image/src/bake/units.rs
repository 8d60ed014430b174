//! The systemd units of the image that a policy confines.

use std::collections::{BTreeMap, BTreeSet};

use kiln_base::model::closest;

use super::BakeError;
use super::image::{Image, Kind};
use super::layout::{AGENT_UNIT, LOAD_UNIT};
use super::own;

/// Where units live, the ones that take precedence first (systemd.unit(5), "Unit File Load Path").
const UNIT_DIRS: [&str; 4] =
    ["etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// A unit selector of the policy, and what the tables make of it.
pub trait UnitSelector {
    /// As written in the policy.
    fn text(&self) -> &str;
    /// The one name that it matches, if it has no wildcard.
    fn literal(&self) -> Option<&str>;
    /// Whether it matches a unit's name.
    fn matches(&self, unit: &str) -> bool;
    /// An instance of the template (`app@.service`) that it matches, if there is one.
    fn instance(&self, template: &str) -> Option<String>;
    /// Whether the tables say anything of the system calls of what comes into the unit's cgroup.
    fn filters_calls(&self, unit: &str) -> bool;
    /// What the `[Service]` section needs for that, given what the unit sets on system calls itself.
    fn call_lines(&self, unit: &str, own: &[(String, String)]) -> Vec<String>;
    /// Whether a task that comes into the unit's cgroup gets, by the tables, every block with this selector.
    fn attaches(&self, unit: &str) -> bool;
}

/// Every unit file of the image, and for aliases what they stand for.
pub(super) fn unit_files(image: &dyn Image) -> Result<BTreeMap<String, Option<String>>, BakeError> {
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

/// What the selectors of a policy find in an image.
#[derive(Debug, Default)]
pub struct Confined {
    /// The units to be tied to the loading of the policy, sorted: a template for all of its instances.
    pub units: Vec<String>,
    /// Selectors for which the image has no unit, with the names that are near.
    pub missing: Vec<String>,
    /// Instances that nothing in the image starts.
    pub unstarted: Vec<String>,
}

/// Finds the units that a policy confines, and proves for each that its cgroup attaches.
pub fn confined(image: &dyn Image, selectors: &[&dyn UnitSelector]) -> Result<Confined, BakeError> {
    let files = unit_files(image)?;
    let instances = linked_instances(image, &files)?;
    let (mut units, mut out) = (BTreeSet::new(), Confined::default());
    for selector in selectors {
        // `\x2d` stands in unit names; in a pattern its backslash must be quoted, or it means `x2d`.
        if let Some(escape) = unquoted_escape(selector.text()) {
            return Err(BakeError::UnquotedEscape { selector: selector.text().to_owned(), escape });
        }
        let (mut found, mut hit) = (BTreeSet::new(), false);
        match selector.literal() {
            Some(name) => match files.get(name) {
                Some(Some(unit)) => return Err(BakeError::Alias { alias: name.to_owned(), unit: unit.clone() }),
                Some(None) if is_template(name) => return Err(BakeError::BareTemplate(name.to_owned())),
                Some(None) => drop(found.insert(name.to_owned())),
                None if template(name).is_some_and(|t| files.contains_key(&t)) && is_name(name) => {
                    if !instances.contains(name) {
                        out.unstarted.push(name.to_owned());
                    }
                    found.insert(name.to_owned());
                }
                None => {}
            },
            None => {
                for (name, alias) in &files {
                    let instance = if is_template(name) { selector.instance(name) } else { None };
                    if let Some(instance) = instance {
                        hit = true;
                        if alias.is_none() {
                            prove(*selector, &instance)?;
                            units.insert(name.clone());
                        }
                    } else if !is_template(name) && selector.matches(name) {
                        hit = true;
                        found.extend(alias.is_none().then(|| name.clone()));
                    }
                }
                // What a template starts by name is tied with it; the tables must know it all the same.
                for name in instances.iter().filter(|n| selector.matches(n)) {
                    prove(*selector, name)?;
                }
            }
        }
        hit |= !found.is_empty();
        found.retain(|name| name != LOAD_UNIT && name != AGENT_UNIT);
        for name in &found {
            prove(*selector, name)?;
        }
        units.extend(found);
        if !hit {
            let stem = |n: &str| n.strip_suffix(".service").unwrap_or(n).to_owned();
            let known: Vec<String> =
                files.keys().filter(|n| !is_template(n)).chain(&instances).map(|n| stem(n)).collect();
            let wanted = stem(selector.literal().unwrap_or(selector.text()));
            let near = closest(&wanted, known.iter().map(String::as_str));
            let near = near.map(|n| format!(" (near to it: {n}.service)")).unwrap_or_default();
            out.missing.push(format!("{}{near}", selector.text()));
        }
    }
    out.missing.sort();
    out.missing.dedup();
    out.unstarted.sort();
    out.unstarted.dedup();
    out.units = units.into_iter().collect();
    Ok(out)
}

/// The lines on system calls for a confined unit, or for a template and all of its instances that have none of their own.
pub fn call_lines(image: &dyn Image, selectors: &[&dyn UnitSelector], unit: &str) -> Result<Vec<String>, BakeError> {
    let pattern = |s: &&&dyn UnitSelector| s.literal().is_none();
    let known = || selectors.iter().filter(pattern).find_map(|s| Some((*s, s.instance(unit)?)));
    let found = if is_template(unit) { known() } else { selectors.first().map(|s| (*s, unit.to_owned())) };
    let Some((selector, name)) = found.filter(|(selector, name)| selector.filters_calls(name)) else {
        return Ok(Vec::new());
    };
    let files = unit_files(image)?;
    let aliases = files.iter().filter(|(_, stands_for)| stands_for.as_deref() == Some(unit));
    let aliases: Vec<&str> = aliases.map(|(alias, _)| alias.as_str()).collect();
    Ok(selector.call_lines(&name, &own::calls(image, unit, &aliases)?))
}

/// The tables decide, not the text beside them.
fn prove(selector: &dyn UnitSelector, unit: &str) -> Result<(), BakeError> {
    if selector.attaches(unit) {
        return Ok(());
    }
    Err(BakeError::Unattached { unit: unit.to_owned(), selector: selector.text().to_owned() })
}

/// Instances of the image's templates that a `.wants/`, `.requires/` or `.upholds/` link or a unit file's link names.
fn linked_instances(
    image: &dyn Image,
    files: &BTreeMap<String, Option<String>>,
) -> Result<BTreeSet<String>, BakeError> {
    let mut out = BTreeSet::new();
    for dir in UNIT_DIRS {
        let folders = match image.list(dir) {
            Ok(names) => names,
            Err(BakeError::Symlink(_)) => continue,
            Err(e) => return Err(e),
        };
        let wants = |f: &String| [".wants", ".requires", ".upholds"].iter().any(|s| f.ends_with(s));
        for folder in folders.into_iter().filter(wants) {
            let names = match image.list(&format!("{dir}/{folder}")) {
                Ok(names) => names,
                Err(BakeError::Symlink(_) | BakeError::InTheWay { .. }) => continue,
                Err(e) => return Err(e),
            };
            let known = |n: &String| !is_template(n) && template(n).is_some_and(|t| files.contains_key(&t));
            out.extend(names.into_iter().filter(|n| n.ends_with(".service")).filter(known));
        }
    }
    Ok(out)
}

/// `\x2d` with a single backslash: systemd's own escape, written into a pattern as it stands.
fn unquoted_escape(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let tail = &rest[at + 1..];
        let hex = tail.strip_prefix('x').and_then(|t| t.get(..2)).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        if let Some(hex) = hex {
            return Some(format!("\\x{hex}"));
        }
        let quoted = tail.chars().next().map_or(0, char::len_utf8);
        rest = &tail[quoted..];
    }
    None
}

/// `app@.service` of `app@blue.service`.
pub(super) fn template(name: &str) -> Option<String> {
    let (stem, rest) = name.split_once('@')?;
    Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1))
}

pub(super) fn is_template(name: &str) -> bool {
    template(name).is_some_and(|t| t == name)
}

/// Whether the text can name a unit (systemd.unit(5): letters, digits and `:-_.\@`).
fn is_name(text: &str) -> bool {
    text.len() <= 255 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
}
