//! What an agent says to the POS, and hears.

use serde::{Deserialize, Serialize};

use crate::bundle::Envelope;
use crate::event::{Evidence, Violation};
use crate::model::word::words;
use crate::model::{Digest, Word};

/// Value of [`JoinCredential::schema`].
pub const JOIN_SCHEMA: &str = "kiln.join.v1";

/// The systemd credential `kiln.join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinCredential {
    /// Always [`JOIN_SCHEMA`].
    pub schema: String,
    /// `https://HOST:PORT` of the POS; counts only where the image names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pos: Option<String>,
    /// The one-time token.
    pub token: String,
}

/// Body of `POST /v1/enrol`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The one-time token.
    pub token: String,
    /// PKCS#10 in PEM; only its key is used.
    pub csr: String,
    /// What the machine says about itself.
    pub facts: Facts,
}

/// What a machine says about itself; for people, never for a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// `uname -r`.
    pub kernel: String,
    /// Host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `/etc/machine-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Version of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Serial of the policy in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// Digest of the tables in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub tables: Option<Digest>,
}

/// Answer of `POST /v1/enrol`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrolAnswer {
    /// The instance's id from now on.
    pub instance: String,
    /// The image that the token was bound to.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image: Digest,
    /// The client certificate, PEM.
    pub certificate: String,
    /// The POS's CA, PEM; for information, trust is baked.
    pub ca: String,
}

/// An assignment, with what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssignmentLine {
    /// As in the signed assignment.
    pub sequence: u64,
    /// As in both signed statements.
    pub serial: u64,
    /// As in both signed statements.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub tables: Digest,
    /// Length of the tables file.
    pub bytes: u64,
    /// Signed by the POS's online key.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub assignment: Envelope,
    /// Signed by a policy key.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub statement: Envelope,
}

words! {
    /// Why the POS ends a stream.
    CloseReason {
        /// The POS ends.
        Shutdown = 0 "shutdown",
        /// The instance has opened another stream.
        Superseded = 1 "superseded",
        /// The instance is revoked; it need not come back.
        Revoked = 2 "revoked",
        /// The agent read too slowly.
        Lagged = 3 "lagged",
    }
}

/// One line of `GET /v1/agent/stream`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StreamMessage {
    /// The first line.
    Hello {
        /// Whom the POS takes the agent for.
        instance: String,
        /// The POS's clock.
        time: String,
        /// A line comes at least this often.
        #[serde(default = "heartbeat")]
        #[cfg_attr(feature = "openapi", schema(required = true))]
        heartbeat_seconds: u64,
    },
    /// What this instance shall enforce.
    Assignment(Box<AssignmentLine>),
    /// Still there.
    Heartbeat {
        /// The POS's clock.
        time: String,
    },
    /// The last line.
    Close {
        /// Why.
        #[cfg_attr(feature = "openapi", schema(schema_with = crate::model::word_schema::<CloseReason>))]
        reason: Word<CloseReason>,
        /// Earliest time to come back.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(required = true))]
        retry_after_ms: u64,
    },
    /// A type of a later protocol; ignored.
    #[serde(other)]
    Unknown,
}

fn heartbeat() -> u64 {
    super::HEARTBEAT_SECONDS
}

/// Whether a version is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AckOutcome {
    /// In force, with evidence.
    Enforced,
    /// Not taken; what was in force before still is.
    Refused,
}

/// Body of `POST /v1/agent/acks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AckRequest {
    /// Enforced or refused.
    pub outcome: AckOutcome,
    /// The assignment's, or 0 for the baked policy.
    pub sequence: u64,
    /// The policy's.
    pub serial: u64,
    /// Required for `enforced`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Required for `refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer of `POST /v1/agent/acks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AckAnswer {
    /// The ACK's number.
    pub stored: u64,
}

/// Body of `POST /v1/agent/violations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ViolationsRequest {
    /// The boot that the sequence numbers belong to.
    pub boot_id: String,
    /// Events lost so far in this boot.
    #[serde(default)]
    pub dropped: u64,
    /// Sorted by strictly increasing `seq`.
    pub violations: Vec<Violation>,
}

/// Answer of `POST /v1/agent/violations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ViolationsAnswer {
    /// As asked.
    pub boot_id: String,
    /// The highest `seq` on disk for that boot.
    pub stored: u64,
}

/// Body of `POST /v1/agent/renew`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// PKCS#10 in PEM.
    pub csr: String,
}

/// Answer of `POST /v1/agent/renew`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RenewAnswer {
    /// The new certificate, PEM.
    pub certificate: String,
}
