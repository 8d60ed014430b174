//! The messages, as `docs/pos-protocol.md` has them.

use kiln_base::bundle::Envelope;
use kiln_base::event::{Evidence, Violation};
use kiln_base::model::Digest;
use serde::{Deserialize, Serialize};

/// Body of POST /v1/enrol.
#[derive(Debug, Serialize)]
pub struct EnrolRequest<'a> {
    pub token: &'a str,
    pub csr: &'a str,
    pub facts: Facts,
}

/// What the machine says of itself.
#[derive(Debug, Serialize)]
pub struct Facts {
    pub boot_id: String,
    pub kernel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    pub agent: &'static str,
}

/// Answer to POST /v1/enrol.
#[derive(Debug, Deserialize)]
pub struct Enrolled {
    pub instance: String,
    pub certificate: String,
}

/// Body of POST /v1/agent/renew.
#[derive(Debug, Serialize)]
pub struct RenewRequest<'a> {
    pub csr: &'a str,
}

/// Answer to POST /v1/agent/renew.
#[derive(Debug, Deserialize)]
pub struct Renewed {
    pub certificate: String,
}

/// A line of the stream.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    Hello {
        #[serde(default = "default_heartbeat")]
        heartbeat_seconds: u64,
    },
    Heartbeat {},
    Assignment(Box<Assigned>),
    Close {
        reason: String,
        #[serde(default)]
        retry_after_ms: u64,
    },
    #[serde(other)]
    Unknown,
}

fn default_heartbeat() -> u64 {
    15
}

/// An assignment with all that proves it.
#[derive(Debug, Deserialize)]
pub struct Assigned {
    pub sequence: u64,
    pub serial: u64,
    pub tables: Digest,
    pub assignment: Envelope,
    pub statement: Envelope,
}

/// Body of POST /v1/agent/acks.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Ack {
    Enforced { sequence: u64, serial: u64, evidence: Box<Evidence> },
    Refused { sequence: u64, serial: u64, reason: String },
}

/// Body of POST /v1/agent/violations.
#[derive(Debug, Serialize)]
pub struct Violations<'a> {
    pub boot_id: &'a str,
    pub dropped: u64,
    pub violations: &'a [Violation],
}

/// Answer to POST /v1/agent/violations.
#[derive(Debug, Deserialize)]
pub struct Stored {
    pub stored: u64,
}

/// A problem (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub code: String,
    pub title: String,
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_lines() {
        let hello = r#"{"type":"hello","instance":"i-1","time":"2026-01-05T09:00:00Z","heartbeat_seconds":7,"more":1}"#;
        assert!(matches!(serde_json::from_str(hello).unwrap(), Message::Hello { heartbeat_seconds: 7 }));
        assert!(matches!(serde_json::from_str(r#"{"type":"news","x":[]}"#).unwrap(), Message::Unknown));
        assert!(matches!(serde_json::from_str(r#"{"type":"heartbeat","time":"x"}"#).unwrap(), Message::Heartbeat {}));
        let close = r#"{"type":"close","reason":"shutdown","retry_after_ms":1000}"#;
        assert!(matches!(serde_json::from_str(close).unwrap(), Message::Close { retry_after_ms: 1000, .. }));
        for bad in ["", "{}", "[]", r#"{"type":1}"#, r#"{"type":"assignment","sequence":-1}"#] {
            assert!(serde_json::from_str::<Message>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_acknowledgement_is_as_the_protocol_says() {
        let refused = Ack::Refused { sequence: 3, serial: 4, reason: "x".into() };
        let value = serde_json::to_value(&refused).unwrap();
        assert_eq!(value, serde_json::json!({"outcome": "refused", "sequence": 3, "serial": 4, "reason": "x"}));
    }

    #[test]
    fn what_is_sent_byte_by_byte() {
        let facts = Facts {
            boot_id: "b".into(),
            kernel: "6.1".into(),
            hostname: Some("h".into()),
            machine_id: None,
            agent: "0.1.0",
        };
        fn text(value: &impl Serialize) -> String {
            serde_json::to_string(value).unwrap()
        }
        let refused = Ack::Refused { sequence: 3, serial: 4, reason: "x".into() };
        assert_eq!(
            text(&EnrolRequest { token: "t", csr: "c", facts }),
            r#"{"token":"t","csr":"c","facts":{"boot_id":"b","kernel":"6.1","hostname":"h","agent":"0.1.0"}}"#
        );
        assert_eq!(text(&RenewRequest { csr: "c" }), r#"{"csr":"c"}"#);
        assert_eq!(text(&refused), r#"{"outcome":"refused","sequence":3,"serial":4,"reason":"x"}"#);
        assert_eq!(
            text(&Violations { boot_id: "b", dropped: 7, violations: &[] }),
            r#"{"boot_id":"b","dropped":7,"violations":[]}"#
        );
    }
}
