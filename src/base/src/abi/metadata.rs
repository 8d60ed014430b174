//! The metadata of a tables file: what its numbers mean, for evidence, events and explanations.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::hosts::HostsInfo;
use crate::model::{Action, Because, BlockKind, CallFilter, Digest, Mode, Outcome, Resource, Window, limit_text};

/// The JSON part of a tables file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The digest of the policy that was compiled.
    pub policy: Digest,
    /// The policy as one text without imports (`policy::to_pdl`), of which all else is made.
    pub source: String,
    /// The policy's serial; it grows from version to version.
    pub serial: u64,
    /// The oldest kernel that enforces all of it.
    pub kernel: String,
    /// In the order of their indices, from 1.
    pub subjects: Vec<SubjectInfo>,
    /// Profiles and guards, in the order of the policy.
    pub blocks: Vec<BlockInfo>,
    /// What the `rule` of an outcome means.
    pub rules: Vec<RuleInfo>,
    /// Globs of the systemd units that a profile or guard attaches to, sorted.
    pub units: Vec<String>,
    /// The policy's windows, by whose place the kernel part names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<WindowInfo>,
    /// The policy's selectors of users, by whose place the kernel part names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserInfo>,
    /// What the image was for which the policy was compiled, where it asks for that: by `label` or `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageInfo>,
    /// Which of the tables within these are for a host name, where the policy names hosts by patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<HostsInfo>,
    /// The patterns of host names that match where these tables hold, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
}

/// What an image says of itself, as far as selectors ask for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInfo {
    /// `IMAGE_ID` of its os-release, and `:IMAGE_VERSION` behind it where that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The labels of its services; a template's (`app@.service`) are those of its instances.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

/// A selector of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserInfo {
    /// As the policy has it: a name, a glob of names, or a number.
    pub pattern: String,
    /// The numbers of the users that it matches, sorted.
    pub uids: Vec<u32>,
}

/// A window with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowInfo {
    /// Its name.
    pub name: String,
    /// When it is open.
    pub window: Window,
}

/// A combination of a profile and guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectInfo {
    /// `profile|guard,guard`: the same over all generations. Guards of every host are not in it. The host's is `|`.
    /// In quarantine [`QUARANTINE`] follows.
    pub key: String,
    /// Its index in the kernel part.
    pub index: u32,
    /// The profile's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Names of all guards that bind it, those of every host included; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<String>,
    /// What of system calls its blocks permit, where they say anything of them. Not the kernel programs but who starts the
    /// process gives it this filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<CallFilter>,
}

/// The key of the host's subject.
pub const HOST_KEY: &str = "|";
/// The key of the sentinel; no block can have this name.
pub const SENTINEL_KEY: &str = "!sentinel";

/// What the key of a subject in quarantine ends with.
pub const QUARANTINE: &str = "|quarantine";

impl SubjectInfo {
    /// Whether a block binds it.
    pub fn bound_by(&self, block: &BlockInfo) -> bool {
        match block.kind {
            BlockKind::Profile => self.profile.as_ref() == Some(&block.name),
            BlockKind::Guard => self.guards.contains(&block.name),
        }
    }
    /// Whether it is another subject in quarantine.
    pub fn quarantined(&self) -> bool {
        self.key.ends_with(QUARANTINE)
    }
}

/// A profile or guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockInfo {
    /// Profile or guard.
    pub kind: BlockKind,
    /// Its name.
    pub name: String,
    /// Its mode.
    pub mode: Mode,
    /// Globs of the units to which it attaches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// Globs of the programs to which it attaches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exec: Vec<String>,
    /// Whether it binds every task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host: bool,
    /// Its limits, in the order of the policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitInfo>,
}

/// A limit of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitInfo {
    /// How much of what: one resource, or both directions of `io`.
    pub amounts: BTreeMap<Resource, u64>,
    /// The window within which alone it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub during: Option<String>,
    /// What follows where it is met; what is absent is medium, and alert.
    #[serde(default)]
    pub outcome: Outcome,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Because>,
    /// Where it was written, `file:line`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
}

impl LimitInfo {
    /// Its text as the policy has it, without `because` and `;`.
    pub fn text(&self) -> String {
        let severity = self.outcome.severity.map(|s| format!(" severity {s}")).unwrap_or_default();
        let action = self.outcome.action.map(|a| format!(" then {a}")).unwrap_or_default();
        let during = self.during.as_ref().map(|window| format!(" during {window}")).unwrap_or_default();
        limit_text(&self.amounts) + &during + &severity + &action
    }
}

impl Metadata {
    /// Whether a unit is throttled where it meets some limit.
    pub fn limits_throttle(&self) -> bool {
        let limits = self.blocks.iter().flat_map(|block| &block.limits);
        limits.into_iter().any(|limit| limit.outcome.action == Some(Action::Throttle))
    }

    /// The limits of a subject while windows are open: of each resource the least over all blocks that bind it, with its
    /// amount.
    pub fn limits(&self, subject: &SubjectInfo, open: impl Fn(&str) -> bool) -> BTreeMap<Resource, (u64, &LimitInfo)> {
        let mut least: BTreeMap<Resource, (u64, &LimitInfo)> = BTreeMap::new();
        let binds = |block: &&BlockInfo| subject.bound_by(block);
        let holds = |limit: &&LimitInfo| limit.during.as_ref().is_none_or(|window| open(window));
        for limit in self.blocks.iter().filter(binds).flat_map(|block| &block.limits).filter(holds) {
            for (resource, most) in &limit.amounts {
                let entry = least.entry(*resource).or_insert((*most, limit));
                if *most < entry.0 {
                    *entry = (*most, limit);
                }
            }
        }
        least
    }
}

/// A rule, or a profile's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleInfo {
    /// Index of its block.
    pub block: u32,
    /// Its text; for a default it says that no rule permits.
    pub text: String,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Because>,
    /// Where it was written, `file:line`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
}

/// `rule` of an outcome that no rule stands behind: the sentinel's.
pub const NO_RULE: u32 = u32::MAX;
