//! What was done with the policy, by whom: one structured record of the journal each, with fields whose names stay.

use serde::Serialize;

use crate::machine::caller::Caller;
use crate::machine::{journal, lines};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A newer policy.
    Update,
    /// The policy that waited is kept.
    Confirm,
    /// Back to the one before.
    Revert,
    /// Somebody is let out of quarantine.
    Release,
    /// A unit is put into audit mode.
    Audit,
    /// A unit is enforced again.
    AuditEnd,
}

impl Operation {
    /// The word in `KILN_OPERATION`.
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Update => "update",
            Operation::Confirm => "confirm",
            Operation::Revert => "revert",
            Operation::Release => "release",
            Operation::Audit => "audit",
            Operation::AuditEnd => "audit_end",
        }
    }
}

/// By whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A person at the machine.
    Operator,
    /// The POS.
    Pos,
    /// The agent itself: a time was over.
    Agent,
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            By::Operator => "operator",
            By::Pos => "pos",
            By::Agent => "agent",
        }
    }
}

/// One act. Absent fields are omitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Act {
    /// Always `kiln.operation.v1`.
    pub schema: &'static str,
    /// What.
    pub operation: Operation,
    /// Whether it was done.
    pub done: bool,
    /// By whom.
    pub by: By,
    /// The operator's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// As whom the operator had logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// The operator's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its program's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The unit or process that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Serial of the policy in force afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// RFC 3339: until when it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Why it was not done, or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Act {
    fn new(operation: Operation, by: By) -> Act {
        Act {
            schema: "kiln.operation.v1",
            operation,
            done: true,
            by,
            uid: None,
            login_uid: None,
            pid: None,
            command: None,
            unit: None,
            serial: None,
            until: None,
            reason: None,
        }
    }

    /// By an operator.
    pub fn by_operator(operation: Operation, caller: &Caller) -> Act {
        let (uid, pid, command) = (Some(caller.uid), Some(caller.pid), Some(caller.comm.clone()));
        Act { uid, login_uid: caller.login, pid, command, ..Act::new(operation, By::Operator) }
    }

    /// By the POS.
    pub fn by_pos(operation: Operation) -> Act {
        Act::new(operation, By::Pos)
    }

    /// By the agent itself.
    pub fn by_agent(operation: Operation) -> Act {
        Act::new(operation, By::Agent)
    }

    /// About a unit or process.
    pub fn of_unit(self, unit: &str) -> Act {
        Act { unit: Some(unit.to_owned()), ..self }
    }

    /// With the serial of the policy.
    pub fn serial(self, serial: u64) -> Act {
        Act { serial: Some(serial), ..self }
    }

    /// Until a time.
    pub fn until(self, until: &str) -> Act {
        Act { until: Some(until.to_owned()), ..self }
    }

    /// Why.
    pub fn because(self, reason: &str) -> Act {
        Act { reason: Some(reason.to_owned()), ..self }
    }

    /// It was not done.
    pub fn failed(self, error: &dyn std::fmt::Display) -> Act {
        Act { done: false, reason: Some(error.to_string()), ..self }
    }

    /// Tells it: a line on standard output, as all that the running agent says, and a record of the journal.
    pub fn tell(&self) {
        lines::print_line(self);
        self.record();
    }

    /// A record of the journal alone: where standard output is the operator's.
    pub fn record(&self) {
        let fields = self.fields();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        journal::send(&fields);
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let warns = !self.done || matches!(self.operation, Operation::Audit | Operation::Revert);
        let mut fields = vec![
            ("MESSAGE", self.to_string()),
            ("PRIORITY", if warns { "4" } else { "5" }.to_owned()),
            ("SYSLOG_IDENTIFIER", "kiln-agent".to_owned()),
            ("KILN_OPERATION", self.operation.name().to_owned()),
            ("KILN_RESULT", if self.done { "done" } else { "failed" }.to_owned()),
            ("KILN_BY", self.by.name().to_owned()),
        ];
        let optional = [
            ("KILN_UID", self.uid.map(|n| n.to_string())),
            ("KILN_LOGIN_UID", self.login_uid.map(|n| n.to_string())),
            ("KILN_PID", self.pid.map(|n| n.to_string())),
            ("KILN_COMMAND", self.command.clone()),
            ("KILN_SUBJECT", self.unit.clone()),
            ("KILN_SERIAL", self.serial.map(|n| n.to_string())),
            ("KILN_UNTIL", self.until.clone()),
            ("KILN_REASON", self.reason.clone()),
        ];
        fields.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        fields
    }
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.operation.name().replace('_', " "))?;
        if let Some(unit) = &self.unit {
            write!(f, " of {unit}")?;
        }
        write!(f, " by ")?;
        match (self.by, self.uid, self.login_uid) {
            (By::Operator, Some(uid), Some(login)) if login != uid => write!(f, "user {uid} (logged in as {login})")?,
            (By::Operator, Some(uid), _) => write!(f, "user {uid}")?,
            (by, ..) => f.write_str(by.name())?,
        }
        f.write_str(if self.done { " done" } else { " failed" })?;
        if let Some(serial) = self.serial {
            write!(f, ", serial {serial} is in force")?;
        }
        if let Some(until) = &self.until {
            write!(f, ", until {until}")?;
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_what_and_when_have_fields_of_their_own() {
        let caller = Caller { pid: 7, uid: 0, login: Some(1000), comm: "kiln-agent".to_owned() };
        let act =
            Act::by_operator(Operation::Audit, &caller).of_unit("a.service").serial(3).until("2026-01-05T09:00:00Z");
        assert_eq!(
            act.to_string(),
            "audit of a.service by user 0 (logged in as 1000) done, serial 3 is in force, until 2026-01-05T09:00:00Z"
        );
        let fields = act.fields();
        for (name, value) in [
            ("KILN_OPERATION", "audit"),
            ("KILN_RESULT", "done"),
            ("KILN_BY", "operator"),
            ("KILN_UID", "0"),
            ("KILN_LOGIN_UID", "1000"),
            ("KILN_PID", "7"),
            ("KILN_COMMAND", "kiln-agent"),
            ("KILN_SUBJECT", "a.service"),
            ("KILN_SERIAL", "3"),
        ] {
            assert!(fields.iter().any(|(n, v)| (*n, v.as_str()) == (name, value)), "{name}");
        }
        let failed = Act::by_pos(Operation::Update).failed(&"too old");
        assert_eq!(failed.to_string(), "update by pos failed: too old");
    }
}
