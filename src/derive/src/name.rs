//! Names of profiles, and of the units that they are for.

use kiln_base::model::quote_pattern;

/// The name of the profile of a unit: its stem, with what an identifier cannot have replaced.
pub fn profile_name(unit: &str) -> String {
    let stem = unit.rsplit_once('.').map_or(unit, |(s, _)| s).to_ascii_lowercase();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_lowercase()) { name } else { format!("unit_{name}") }
}

/// The pattern that matches a unit's name and no other, or the names of all instances of a template.
pub fn subject(unit: &str) -> String {
    match unit.split_once("@.") {
        Some((prefix, suffix)) if !prefix.contains('@') => {
            format!("{}@*.{}", quote_pattern(prefix), quote_pattern(suffix))
        }
        _ => quote_pattern(unit),
    }
}
