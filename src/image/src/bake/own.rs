//! What an image itself sets for a unit, in the order in which systemd reads it (systemd.unit(5)).

use std::collections::BTreeMap;

use super::BakeError;
use super::image::{Image, Kind};
use super::layout::DROP_IN;
use super::settings::settings;
use super::shadow::{LOAD_PATH, MAX_UNIT, follow};

/// Commands of a unit that systemd starts.
const COMMANDS: [&str; 7] =
    ["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"];

/// What the unit's file and the drop-ins that are read before Kiln's set on system calls, as keys and values.
///
/// # Errors
/// Where a drop-in that is read after Kiln's sets more, which systemd would add to it, or where a command of the unit is
/// started without any filter.
pub(super) fn calls(image: &dyn Image, unit: &str, aliases: &[&str]) -> Result<Vec<(String, String)>, BakeError> {
    let mut out = Vec::new();
    let template = unit.split_once('@').map(|(name, _)| format!("{name}@.service"));
    let names: Vec<&str> = [unit].into_iter().chain(template.as_deref()).collect();
    let fragment = names.iter().flat_map(|n| LOAD_PATH.iter().map(move |d| format!("{d}/{n}")));
    for path in fragment {
        if let Some(text) = text(image, &path)? {
            take(&path, &text, &mut out)?;
            break;
        }
    }
    let names: Vec<&str> = names.into_iter().chain(aliases.iter().copied()).collect();
    for (name, path) in drop_ins(image, &names)? {
        let Some(text) = text(image, &path)? else { continue };
        let before = out.len();
        take(&path, &text, &mut out)?;
        if name.as_str() > DROP_IN && out.len() > before {
            let (key, value) = out.swap_remove(before);
            let what = format!(
                "`{key}={value}` is read after Kiln's {DROP_IN} and would be added to its filter of system calls; give \
                 the file a name before that"
            );
            return Err(BakeError::Content { path, what });
        }
    }
    Ok(out)
}

/// The drop-ins of a unit by name: of equal names the one of the most particular and strongest folder.
pub(super) fn drop_ins(image: &dyn Image, names: &[&str]) -> Result<BTreeMap<String, String>, BakeError> {
    let mut folders: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    for name in names {
        let stem = name.split('@').next().unwrap_or_default().trim_end_matches(".service");
        let dashes = stem.char_indices().rev().filter(|(_, c)| *c == '-');
        folders.extend(dashes.map(|(at, _)| format!("{}.service", &stem[..=at])));
    }
    folders.push("service".to_owned());
    let mut out = BTreeMap::new();
    for path in folders.iter().flat_map(|f| LOAD_PATH.iter().map(move |d| format!("{d}/{f}.d"))) {
        let Some(real) = follow(image, &path)? else { continue };
        if image.find(&real)?.is_none_or(|f| f.kind != Kind::Dir) {
            continue;
        }
        for name in image.list(&real)?.into_iter().filter(|n| n.ends_with(".conf") && n != DROP_IN) {
            let path = format!("{real}/{name}");
            out.entry(name).or_insert(path);
        }
    }
    Ok(out)
}

pub(super) fn text(image: &dyn Image, path: &str) -> Result<Option<String>, BakeError> {
    let Some(real) = follow(image, path)? else { return Ok(None) };
    match image.find(&real)? {
        Some(f) if f.kind == Kind::File && f.len <= MAX_UNIT => {
            Ok(Some(String::from_utf8_lossy(&image.read(&real)?).into_owned()))
        }
        _ => Ok(None),
    }
}

fn take(path: &str, text: &str, out: &mut Vec<(String, String)>) -> Result<(), BakeError> {
    for (key, value) in settings(text) {
        let prefix = value.split(|c| !"@-:+!|".contains(c)).next().unwrap_or_default();
        if COMMANDS.contains(&key.as_str()) && prefix.contains('+') {
            let what = format!(
                "`{key}={value}` is started without a filter of system calls, because of its `+`, and the policy has \
                 one for the unit; start it by a unit of its own"
            );
            return Err(BakeError::Content { path: path.to_owned(), what });
        }
        if key.starts_with("SystemCall") {
            out.push((key, value));
        }
    }
    Ok(())
}
