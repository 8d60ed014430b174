//! One policy for all cases of a boot: a block for each case, mode and user.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::case::{Case, Kind};

/// The PDL text.
pub fn text(cases: &[Case]) -> String {
    let mut text = "pdl 1;\n".to_owned();
    for case in cases {
        for (block, mode, unit) in case.blocks() {
            let kind = if case.kind == Kind::Profile { "profile" } else { "guard" };
            let _ = write!(text, "\n{kind} {block} {{\n  subject unit \"{unit}\";\n  mode {};\n", mode.name());
            if !case.governs.is_empty() {
                let _ = writeln!(text, "  governs {};", case.governs);
            }
            for line in case.rules.trim().lines() {
                let _ = writeln!(text, "  {}", line.trim());
            }
            text.push_str("}\n");
        }
    }
    text
}

/// Compiles it by the real compiler into `tables`.
///
/// # Errors
/// What the compiler said.
pub fn compile(source: &Path, tables: &Path) -> Result<(), String> {
    let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .arg("compile")
        .arg(source)
        .arg("-o")
        .arg(tables)
        .output()
        .map_err(|error| format!("kiln compile: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "kiln compile failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}
