//! What an operator says to the POS, and hears.

use serde::{Deserialize, Serialize};

use super::{AckOutcome, Facts};
use crate::bundle::Envelope;
use crate::event::{Evidence, Violation};
use crate::model::Digest;

/// Answer of `PUT /v1/tables/{digest}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TablesAnswer {
    /// Digest of the file.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub tables: Digest,
    /// Digest of its kernel part, against which read-back is checked.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub kernel_part: Digest,
    /// Length of the file.
    pub bytes: u64,
}

/// Body of `POST /v1/images`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterImage {
    /// Digest of the image's manifest.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image: Digest,
    /// For people.
    pub name: String,
    /// Digest of the SBOM-and-policy bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub bundle: Option<Digest>,
    /// The baked policy statement.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub statement: Envelope,
    /// The image's policy keys, SPKI PEM.
    pub policy_keys: Vec<String>,
}

/// A registered image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageView {
    /// Digest of the image's manifest.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image: Digest,
    /// For people.
    pub name: String,
    /// Digest of the SBOM-and-policy bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub bundle: Option<Digest>,
    /// Name of its policy.
    pub policy_name: String,
    /// Serial of the baked policy.
    pub baked_serial: u64,
    /// Digest of the baked tables.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub baked_tables: Digest,
    /// Serial that new instances are given, when it is not the baked one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_serial: Option<u64>,
    /// Hex SHA-256 of the SPKI of each policy key, sorted.
    pub policy_keys: Vec<String>,
    /// Instances that enrolled.
    pub instances: u64,
    /// When.
    pub registered: String,
}

/// Body of `POST /v1/images/{image}/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Seconds for which the token can be used; 60 to 604,800.
    pub ttl_seconds: u64,
}

/// Answer of `POST /v1/images/{image}/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenAnswer {
    /// The token's number, for the log.
    pub id: u64,
    /// Shown this once; the POS keeps a hash.
    pub token: String,
    /// Until when it can be used.
    pub expires: String,
}

/// Body of `POST /v1/policies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishRequest {
    /// The image whose policy keys must have signed.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image: Digest,
    /// The policy statement.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub statement: Envelope,
}

/// A version of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionView {
    /// The policy's name.
    pub name: String,
    /// Its serial.
    pub serial: u64,
    /// Digest of the tables file.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub tables: Digest,
    /// Digest of the canonical PDL text.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub policy: Digest,
    /// Came with an image rather than by publication.
    pub baked: bool,
    /// When.
    pub published: String,
}

/// Body of `POST /v1/assignments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AssignRequest {
    /// To all instances of an image, and those to come; or
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub image: Option<Digest>,
    /// to one instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The policy's name.
    pub name: String,
    /// The version's serial.
    pub serial: u64,
}

/// One assignment that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewAssignment {
    /// To whom.
    pub instance: String,
    /// Its sequence.
    pub sequence: u64,
}

/// Answer of `POST /v1/assignments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssignAnswer {
    /// Sent on their way.
    pub assigned: Vec<NewAssignment>,
    /// Had that version, or a newer one.
    pub unchanged: Vec<String>,
}

/// Body of `POST /v1/instances/{id}/revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// For people; at most 1,024 bytes.
    pub reason: String,
}

/// What an instance shall enforce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Assigned {
    /// 0 for the baked policy.
    pub sequence: u64,
    /// The policy's serial.
    pub serial: u64,
    /// Digest of the tables.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub tables: Digest,
}

/// What an instance enforces, by evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enforced {
    /// Number of the ACK.
    pub ack: u64,
    /// 0 for the baked policy.
    pub sequence: u64,
    /// The policy's serial.
    pub serial: u64,
    /// The boot in which the evidence was taken.
    pub boot_id: String,
    /// When it came.
    pub received: String,
}

/// What an instance last refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refused {
    /// The assignment's.
    pub sequence: u64,
    /// The policy's.
    pub serial: u64,
    /// The agent's words.
    pub reason: String,
    /// When it came.
    pub received: String,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstanceView {
    /// `i-…`.
    pub instance: String,
    /// Its image.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub image: Digest,
    /// The image's name.
    pub image_name: String,
    /// The policy's name.
    pub policy_name: String,
    /// What the machine said when it enrolled.
    pub facts: Facts,
    /// The boot that last opened a stream.
    pub boot_id: String,
    /// When it enrolled.
    pub enrolled: String,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<String>,
    /// Whether its stream is open.
    pub connected: bool,
    /// Its last request or stream.
    pub last_seen: String,
    /// What it shall enforce.
    pub assigned: Assigned,
    /// What it enforces, by evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforced: Option<Enforced>,
    /// What it last refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// Whether the newest evidence is of its current boot and for what is assigned.
    pub in_step: bool,
    /// Violations received, ever.
    pub violations: u64,
    /// Events that the agent lost, ever.
    pub dropped: u64,
}

/// An ACK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AckView {
    /// Its number.
    pub ack: u64,
    /// By whom.
    pub instance: String,
    /// 0 for the baked policy.
    pub sequence: u64,
    /// The policy's serial.
    pub serial: u64,
    /// Enforced or refused.
    pub outcome: AckOutcome,
    /// Of `enforced`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Of `refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it came.
    pub received: String,
}

/// A stored violation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ViolationView {
    /// Its number; those that came later have higher ones.
    pub number: u64,
    /// From whom.
    pub instance: String,
    /// Of which boot.
    pub boot_id: String,
    /// When it came.
    pub received: String,
    /// The event.
    pub violation: Violation,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// At most `limit`.
    pub items: Vec<T>,
    /// `after` of the next page; null on the last.
    pub next: Option<String>,
}

/// Answer of `GET /v1/state`: totals, and a page of instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateView {
    /// Registered images.
    pub images: u64,
    /// Versions of all policies.
    pub versions: u64,
    /// Enrolled instances that are not revoked.
    pub instances: u64,
    /// Of these, those with an open stream.
    pub connected: u64,
    /// Of these, those whose evidence is not for what is assigned.
    pub out_of_step: u64,
    /// Revoked instances.
    pub revoked: u64,
    /// Violations received, ever.
    pub violations: u64,
    /// One row an instance.
    pub items: Vec<InstanceView>,
    /// `after` of the next page; null on the last.
    pub next: Option<String>,
}
