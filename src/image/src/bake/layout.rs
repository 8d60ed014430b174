//! Where things are in a baked image; ARCHITECTURE.md "In an image" is the same list.

/// Everything of Kiln's own that is not a unit. Nothing else may live there: a bake removes what it did not write.
pub const LIB: &str = "usr/lib/kiln";
/// The agent.
pub const AGENT: &str = "usr/lib/kiln/kiln-agent";
/// The compiled policy.
pub const TABLES: &str = "usr/lib/kiln/policy.tables";
/// The signature over the policy statement.
pub const SIGNATURE: &str = "usr/lib/kiln/policy.dsse.json";
/// The policy as reviewed.
pub const SOURCE: &str = "usr/lib/kiln/policy.pdl";
/// The directory of trusted keys.
pub const TRUST: &str = "usr/lib/kiln/trust";
/// The agent's configuration.
pub const AGENT_CONFIG: &str = "usr/lib/kiln/agent.json";
/// Digests of all the above, the units and the boot files.
pub const MANIFEST: &str = "usr/lib/kiln/manifest.json";
/// Where units of packages live.
pub const UNITS: &str = "usr/lib/systemd/system";
/// The unit that loads the policy.
pub const LOAD_UNIT: &str = "kiln-load.service";
/// The unit of the running agent.
pub const AGENT_UNIT: &str = "kiln-agent.service";
/// Name of the drop-in of each confined unit.
pub const DROP_IN: &str = "50-kiln.conf";

/// Our fragment of GRUB's defaults, read by update-grub(8) after /etc/default/grub: the first of these names that comes
/// after every other fragment which sets a command line.
pub const GRUB_FRAGMENTS: [&str; 2] = ["etc/default/grub.d/50-kiln.cfg", "etc/default/grub.d/zz-kiln.cfg"];

/// The drop-in of a unit.
pub fn drop_in(unit: &str) -> String {
    format!("{UNITS}/{unit}.d/{DROP_IN}")
}

/// Whether a path is one that only Kiln writes: the rest of a bake may be undone there and nowhere else.
pub fn own_place(path: &str) -> bool {
    if let Some(rest) = path.strip_prefix(LIB) {
        return rest.strip_prefix('/').is_some_and(|r| r.strip_prefix("trust/").unwrap_or(r).split('/').count() == 1);
    }
    let Some(unit) = path.strip_prefix(UNITS).and_then(|rest| rest.strip_prefix('/')) else {
        return GRUB_FRAGMENTS.contains(&path);
    };
    match unit.split_once('/') {
        None => matches!(unit, LOAD_UNIT | AGENT_UNIT),
        Some((dir, name)) => match dir.rsplit_once('.') {
            Some((_, "d")) => name == DROP_IN,
            Some((_, "wants" | "requires")) => matches!(name, LOAD_UNIT | AGENT_UNIT),
            _ => false,
        },
    }
}
