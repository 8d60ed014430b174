//! `agent.json` of the image, and where the agent's files are.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{AgentError, Result, SettingsFault};
use crate::machine::files::{read_bounded, read_optional};
use crate::unknown::OnUnknown;

/// Longest configuration that is read.
const MAX_CONFIG: u64 = 64 * 1024;

/// The image's settings; every field may be absent, unknown ones are ignored so that a newer bake suits an older agent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The POS, `https://HOST:PORT`; absent: the join credential's.
    pub pos: Option<String>,
    /// Seconds in which an update must be confirmed, or the policy before it comes back.
    pub confirm_seconds: u64,
    /// Most bytes of events that are kept for the POS.
    pub spool_bytes: u64,
    /// What to do on a kernel that has hooks or calls that this build does not know.
    pub unknown_kernel: OnUnknown,
    /// Whether an operator may put a unit into audit mode.
    pub operator_audit: OperatorAudit,
}

/// What the image says of `kiln-agent audit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorAudit {
    /// Who may end enforcement may do less, too.
    #[default]
    Permit,
    /// Nobody may.
    Refuse,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            pos: None,
            confirm_seconds: 60,
            spool_bytes: 16 << 20,
            unknown_kernel: OnUnknown::Report,
            operator_audit: OperatorAudit::Permit,
        }
    }
}

impl Config {
    /// Reads the file; absent, all defaults apply.
    ///
    /// # Errors
    /// If it is not JSON of this form, or a limit is out of range.
    pub fn read(path: &Path) -> Result<Config> {
        match read_optional(path, MAX_CONFIG)? {
            None => Ok(Config::default()),
            Some(bytes) => {
                Config::parse(&bytes).map_err(|fault| AgentError::Format { path: path.to_owned(), fault: fault.into() })
            }
        }
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Config, SettingsFault> {
        // serde takes a list for a struct, too.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(SettingsFault::NotAnObject);
        }
        let config: Config = serde_json::from_slice(bytes)?;
        if config.pos.as_deref().is_some_and(|p| !p.starts_with("https://")) {
            return Err(SettingsFault::Pos);
        }
        if !(5..=86_400).contains(&config.confirm_seconds) {
            return Err(SettingsFault::ConfirmSeconds);
        }
        if !((64 << 10)..=(1 << 30)).contains(&config.spool_bytes) {
            return Err(SettingsFault::SpoolBytes);
        }
        Ok(config)
    }
}

/// Where everything is. Fixed in production; tests lay it elsewhere.
#[derive(Debug, Clone)]
pub struct Places {
    /// The baked files, read only.
    pub lib: PathBuf,
    /// What survives a reboot.
    pub state: PathBuf,
    /// What does not.
    pub run: PathBuf,
    /// Pinned maps and links.
    pub pins: crate::bpf::pins::Pins,
    /// cgroup v2.
    pub cgroups: PathBuf,
    /// procfs.
    pub proc: PathBuf,
    /// securityfs.
    pub security: PathBuf,
    /// What systemd is told of units until reboot.
    pub runtime_units: PathBuf,
    /// Files that name the machine's name servers, in the form of resolv.conf(5).
    pub resolvers: Vec<PathBuf>,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            lib: "/usr/lib/kiln".into(),
            state: "/var/lib/kiln".into(),
            run: "/run/kiln".into(),
            pins: crate::bpf::pins::Pins::new(crate::bpf::pins::Pins::DEFAULT),
            cgroups: "/sys/fs/cgroup".into(),
            proc: "/proc".into(),
            security: "/sys/kernel/security".into(),
            runtime_units: "/run/systemd/system".into(),
            resolvers: vec![
                "/etc/resolv.conf".into(),
                "/run/systemd/resolve/stub-resolv.conf".into(),
                "/run/systemd/resolve/resolv.conf".into(),
            ],
        }
    }
}

impl Places {
    /// The baked tables.
    pub fn baked_tables(&self) -> PathBuf {
        self.lib.join("policy.tables")
    }
    /// The baked signature.
    pub fn baked_signature(&self) -> PathBuf {
        self.lib.join("policy.dsse.json")
    }
    /// The trusted keys.
    pub fn trust(&self) -> PathBuf {
        self.lib.join("trust")
    }
    /// The POS's TLS root.
    pub fn pos_ca(&self) -> PathBuf {
        self.lib.join("trust/pos-ca.pem")
    }
    /// The image's settings.
    pub fn config(&self) -> PathBuf {
        self.lib.join("agent.json")
    }
    /// Kernel release and boot id for evidence.
    pub fn boot_id(&self) -> Result<String> {
        let path = self.proc.join("sys/kernel/random/boot_id");
        let bytes = read_bounded(&path, 128)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_have_defaults_and_unknown_ones_are_ignored() {
        assert_eq!(Config::parse(b"{}").unwrap(), Config::default());
        let config = Config::parse(br#"{"pos":"https://10.0.2.2:8443","confirm_seconds":5,"later":{"x":1}}"#).unwrap();
        assert_eq!(config.pos.as_deref(), Some("https://10.0.2.2:8443"));
        assert_eq!(config.confirm_seconds, 5);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Config::read(&dir.path().join("none")).unwrap(), Config::default());
    }

    #[test]
    fn bad_settings_are_refused() {
        for bad in [
            &b""[..],
            b"[]",
            b"\xff",
            br#"{"pos":"http://x"}"#,
            br#"{"pos":7}"#,
            br#"{"confirm_seconds":0}"#,
            br#"{"confirm_seconds":-1}"#,
            br#"{"spool_bytes":1}"#,
            br#"{"unknown_kernel":"ignore"}"#,
            br#"{"operator_audit":"sometimes"}"#,
            "[".repeat(10_000).as_bytes(),
        ] {
            assert!(Config::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
