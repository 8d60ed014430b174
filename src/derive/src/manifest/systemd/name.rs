//! Names of units, and the folders in which their files are.

/// Where units are, in the order of precedence. Those that a running machine makes (/run) are not part of an image.
pub const DIRECTORIES: [&str; 6] = [
    "/etc/systemd/system.control",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Whether the text can name a unit (unit_name_is_valid() of systemd).
pub fn is_unit_name(name: &str) -> bool {
    const SUFFIXES: [&str; 11] =
        ["service", "socket", "target", "timer", "path", "mount", "automount", "swap", "device", "slice", "scope"];
    name.len() <= 255
        && name.rsplit_once('.').is_some_and(|(stem, suffix)| !stem.is_empty() && SUFFIXES.contains(&suffix))
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
}

/// `getty@tty1.service` is the instance `tty1` of `getty@.service`.
pub fn instance_of(name: &str) -> Option<(String, String)> {
    let (stem, suffix) = name.rsplit_once('.')?;
    let (prefix, instance) = stem.split_once('@')?;
    (!instance.is_empty()).then(|| (format!("{prefix}@.{suffix}"), instance.to_owned()))
}

/// The template of an instance: `getty@.service` of `getty@tty1.service`. A template is its own.
pub fn template_of(name: &str) -> Option<String> {
    let (stem, suffix) = name.rsplit_once('.')?;
    let (prefix, _) = stem.split_once('@')?;
    Some(format!("{prefix}@.{suffix}"))
}

/// Whether the name is that of a template, which runs nothing itself.
pub fn is_template(name: &str) -> bool {
    template_of(name).is_some_and(|t| t == name)
}
