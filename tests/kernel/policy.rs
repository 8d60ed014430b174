//! Policies for the guest: one block for each case, mode and user; compiled and signed as `kiln` does it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use kiln::abi::metadata::ImageInfo;
use kiln::bundle::{PolicyStatement, SigningKey, Tightening};
use kiln::compile::{Image, KernelVersion, Options, Users};
use kiln::model::Digest;
use kiln::pdl::{NoFiles, Source};

use crate::case::{Case, Kind};
use crate::matrix::Variant;

/// The PDL text for the cases of a boot.
pub fn text(cases: &[Case], variant: Variant) -> String {
    let mut text = "pdl 1;\n".to_owned();
    for case in cases {
        let (governs, rules) = variant.rules(case);
        for (block, mode, unit) in case.blocks() {
            let kind = if case.kind == Kind::Profile { "profile" } else { "guard" };
            let _ = write!(text, "\n{kind} {block} {{\n  subject unit \"{unit}\";\n  mode {};\n", mode.name());
            if !governs.is_empty() {
                let _ = writeln!(text, "  governs {governs};");
            }
            for line in rules.trim().lines() {
                let _ = writeln!(text, "  {}", line.trim());
            }
            text.push_str("}\n");
        }
    }
    text
}

/// A compiled policy.
pub struct Compiled {
    /// The tables file.
    pub tables: Vec<u8>,
    /// The policy's digest.
    pub policy: Digest,
    /// The version's serial.
    pub serial: u64,
}

/// What the guest's image would say of itself, if it were baked.
fn guest() -> ImageInfo {
    let labels = [("kt.service", "web"), ("kl@.service", "tier=last")];
    let own = |(unit, label): (&str, &str)| (unit.to_owned(), BTreeSet::from([label.to_owned()]));
    ImageInfo { name: Some("kt-guest:1".to_owned()), labels: labels.into_iter().map(own).collect() }
}

/// Compiles a text for `kernel`.
///
/// # Errors
/// What is wrong with the policy.
pub fn compile(name: &str, text: &str, kernel: &str, serial: u64) -> Result<Compiled, String> {
    let policy = kiln::policy::load(&[Source::new(name, text)], &NoFiles).map_err(|found| found.render(false))?;
    let kernel: KernelVersion = kernel.parse().map_err(|error| format!("{kernel}: {error}"))?;
    let digest = kiln::policy::digest(&policy);
    let options = Options { policy: digest, serial, kernel };
    let image = Image { users: &Users::default(), info: Some(&guest()) };
    let tables =
        kiln::compile::compile_for(&policy, &options, image).map_err(|error| format!("{name}: {error}: {error:?}"))?;
    let tables = tables.to_bytes().map_err(|error| format!("{name}: {error}"))?;
    Ok(Compiled { tables, policy: digest, serial })
}

/// Writes `NAME.tables` and `NAME.dsse.json`, its signature, into a folder.
///
/// # Errors
/// If a file cannot be written.
pub fn seal(folder: &Path, name: &str, compiled: &Compiled, key: &SigningKey) -> Result<(), String> {
    let Compiled { tables, policy, serial } = compiled;
    let (policy, serial) = (*policy, *serial);
    let statement = PolicyStatement { policy, tables: Digest::of(tables), serial, name: name.to_owned() };
    write(&folder.join(format!("{name}.tables")), tables)?;
    write(&folder.join(format!("{name}.dsse.json")), statement.sign(key).to_json().as_bytes())
}

/// Makes the folder that the guest has as /usr/lib/kiln, with a new key that its agent trusts.
///
/// # Errors
/// If it cannot be made.
pub fn image(folder: &Path) -> Result<SigningKey, String> {
    let trust = folder.join("trust");
    fs::create_dir_all(&trust).map_err(|error| format!("{}: {error}", trust.display()))?;
    let key = SigningKey::generate().map_err(|error| error.to_string())?;
    write(&trust.join("policy.pub"), key.public().to_pem().as_bytes())?;
    Ok(key)
}

/// A new key that the agent of the image trusts for tightened policies.
///
/// # Errors
/// If it cannot be made.
pub fn tightener(folder: &Path) -> Result<SigningKey, String> {
    let key = SigningKey::generate().map_err(|error| error.to_string())?;
    write(&folder.join("trust/tighten.pub"), key.public().to_pem().as_bytes())?;
    Ok(key)
}

/// As [`seal`], for a policy that stands in for `base` until a second of the wall clock.
///
/// # Errors
/// If a file cannot be written.
pub fn tighten(
    folder: &Path,
    name: &str,
    compiled: &Compiled,
    (base, number, expires): (Digest, u64, u64),
    key: &SigningKey,
) -> Result<(), String> {
    let Compiled { tables, policy, serial } = compiled;
    let (policy, serial, name_of) = (*policy, *serial, name.to_owned());
    let statement = Tightening { policy, tables: Digest::of(tables), base, serial, number, expires, name: name_of };
    write(&folder.join(format!("{name}.tables")), tables)?;
    write(&folder.join(format!("{name}.dsse.json")), statement.sign(key).to_json().as_bytes())
}

/// Writes a file.
///
/// # Errors
/// Names the file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}
