//! Runs image-fixtures/vm-run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{build, policy};

/// A guest to be started.
pub struct Vm {
    command: Command,
    work: PathBuf,
    files: Vec<String>,
}

impl Vm {
    /// A guest whose files, console and output go to `work`.
    pub fn new(work: &Path, seconds: u32) -> Vm {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("image-fixtures/vm-run"));
        command.args(["--timeout", &seconds.to_string(), "--console"]).arg(work.join("console.log"));
        Vm { command, work: work.to_owned(), files: Vec::new() }
    }

    /// A further option of vm-run.
    pub fn option(&mut self, words: &[&str]) -> &mut Vm {
        self.command.args(words);
        self
    }

    /// A file or folder for the guest.
    pub fn file(&mut self, from: &Path, to: &str) -> &mut Vm {
        self.files.push(format!("{}:{to}", from.display()));
        self
    }

    /// The folder of the image's policy and keys, with the agent in it.
    ///
    /// # Errors
    /// If the agent does not build.
    pub fn image(&mut self, lib: &Path) -> Result<&mut Vm, String> {
        let agent = build::agent()?;
        Ok(self.file(lib, "/usr/lib/kiln").file(&agent, "/usr/lib/kiln/kiln-agent"))
    }

    /// Boots `kernel`, runs the script, and gives back what it wrote.
    ///
    /// # Errors
    /// If the guest does not come to the script's end.
    pub fn run(mut self, kernel: &str, script: &str) -> Result<String, String> {
        let path = self.work.join("script.sh");
        policy::write(&path, script.as_bytes())?;
        self.command.arg(kernel).arg(&path).args(&self.files);
        let output = self.command.output().map_err(|error| format!("vm-run: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = self.work.join("output.log");
        policy::write(&log, said.as_bytes())?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let seconds = errors.lines().rev().find_map(|line| line.strip_prefix("vm-run: ran "));
        let name = self.work.file_name().unwrap_or_default().to_string_lossy();
        eprintln!("boot {name}: {}", seconds.unwrap_or("did not end"));
        if output.status.success() {
            return Ok(said);
        }
        Err(format!("the guest ended with {}; its words are in {}\n{errors}", output.status, log.display()))
    }
}
