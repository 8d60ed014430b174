//! The beginning and the end of a response that lasts.

use serde::{Deserialize, Serialize};

/// A unit or process that is put into quarantine, or a unit that is throttled, and the end of either, as JSON in the journal. Absent fields
/// are omitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Always `kiln.response.v1`.
    pub schema: String,
    /// What it is about.
    pub phase: Phase,
    /// `quarantine` or `throttle`.
    pub action: String,
    /// The unit, by the name of its cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Id of the unit's cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_id: Option<u64>,
    /// The process, where it is not the whole unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// RFC 3339, UTC, nanoseconds: when the kernel did it.
    pub since: String,
    /// The process that was refused; 0: the unit met a limit.
    pub by: u32,
    /// The subject before, `profile|guard,guard`.
    pub subject: String,
    /// Serial of the policy that decided.
    pub serial: u64,
    /// The rule that asks for it, where its policy is still known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The rule's references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
}

/// What is told of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is in force.
    Began,
    /// An operator ended it.
    Released,
    /// The unit or the process has ended, and with it the response.
    Ended,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Phase::Began => "began",
            Phase::Released => "was released",
            Phase::Ended => "ended",
        })
    }
}

impl Response {
    /// Whom it is about.
    pub fn who(&self) -> String {
        match (&self.unit, self.pid) {
            (Some(unit), _) => unit.clone(),
            (None, Some(pid)) => format!("process {pid}"),
            (None, None) => format!("cgroup {}", self.cgroup_id.unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_reads_back() {
        let text = r#"{"schema":"kiln.response.v1","phase":"began","action":"quarantine","unit":"a.service",
            "cgroup_id":7,"since":"2026-01-05T09:00:00.000000001Z","by":812,"subject":"a|","serial":3,
            "rule":"deny read \"/x\" then quarantine"}"#;
        let response: Response = serde_json::from_str(text).unwrap();
        assert_eq!((response.who().as_str(), response.phase), ("a.service", Phase::Began));
        let again: Response = serde_json::from_str(&serde_json::to_string(&response).unwrap()).unwrap();
        assert_eq!(again, response);
        let process = Response { unit: None, cgroup_id: None, pid: Some(9), ..response };
        assert_eq!(process.who(), "process 9");
    }
}
