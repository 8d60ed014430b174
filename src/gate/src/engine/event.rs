//! The normalised event: what every source is translated to before it is judged. `docs/gate.md` describes it.

use std::borrow::Cow;

use kiln_base::model::{Action, Verdict, Word};

/// Text of an event, WTF-8; borrowed from the line where it needs no decoding.
pub type Text<'a> = Cow<'a, [u8]>;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Falco, JSON output.
    #[default]
    Falco,
    /// Tetragon, JSON export.
    Tetragon,
    /// Kiln's own violations.
    Kiln,
}

impl Source {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Falco => "falco",
            Source::Tetragon => "tetragon",
            Source::Kiln => "kiln",
        }
    }
}

/// A word of Kiln's policy, or what a reporter of its own has in its place.
pub type PolicyWord<'a, T> = Word<T, Text<'a>>;

/// One event. What a source does not carry is empty or `None`, never guessed.
#[derive(Debug, Clone, Default)]
pub struct Event<'a> {
    /// Where it came from.
    pub source: Source,
    /// When it happened, nanoseconds since 1970.
    pub time: Option<i64>,
    /// The machine.
    pub host: Text<'a>,
    /// Process id.
    pub pid: Option<u32>,
    /// What makes the pid unique: the start time in nanoseconds, on the source's own scale.
    pub start: Option<u64>,
    /// The source's own unique name of the process (Tetragon's `exec_id`).
    pub exec_id: Text<'a>,
    /// The same for the parent.
    pub parent_exec_id: Text<'a>,
    /// Name of the process.
    pub name: Text<'a>,
    /// Path of its executable.
    pub exe: Text<'a>,
    /// Name of its parent.
    pub parent: Text<'a>,
    /// Names of the grandparent and up, nearest first.
    pub ancestors: [Text<'a>; 3],
    /// Its command line.
    pub command_line: Text<'a>,
    /// Name of its user.
    pub user: Text<'a>,
    /// Its user id.
    pub uid: Option<u32>,
    /// Whether it has a terminal.
    pub terminal: Option<bool>,
    /// Its container's id; empty on the host.
    pub container: Text<'a>,
    /// Its container's name.
    pub container_name: Text<'a>,
    /// Its container's image.
    pub image: Text<'a>,
    /// Its pod.
    pub pod: Text<'a>,
    /// Its pod's namespace.
    pub namespace: Text<'a>,
    /// What it did: `exec`, `open`, `write`, `delete`, `rename`, `network_connect`, `dns_query`, `module_load`,
    /// `process_inject`, `exit`, `mount`, `link`, `chmod`, `setuid`, `socket`, or the source's own word.
    pub operation: Text<'a>,
    /// What it did it to.
    pub target: Text<'a>,
    /// Where it leads, of what has two ends: the new name of a rename or a link.
    pub destination: Text<'a>,
    /// Flags of the call or of the executable, as the source words them.
    pub flags: Text<'a>,
    /// The detector's rule.
    pub rule: Text<'a>,
    /// The detector's priority or the policy's severity.
    pub priority: Text<'a>,
    /// The detector's tags.
    pub tags: Vec<Text<'a>>,
    /// The policy's verdict; for Tetragon `denied` where it acted.
    pub verdict: Option<PolicyWord<'a, Verdict>>,
    /// The response that the policy asks for.
    pub policy_action: Option<PolicyWord<'a, Action>>,
    /// Whether the executable's signer is trusted, if the source says.
    pub signer_trusted: Option<bool>,
    /// Digest of the executable or target, if the source says.
    pub sha256: Text<'a>,
    /// Whether the executable runs from memory or from a deleted file, if the source says.
    pub unlinked: bool,
    /// Whether the executable lies in its container's writable layer and not in the image, if the source says.
    pub upper_layer: bool,
    /// A geometry signal in [0, 1], if the source says.
    pub geometry: Option<f64>,
}

impl Event<'_> {
    /// Whether a policy refused it, or would have.
    pub fn is_objected(&self) -> bool {
        matches!(self.verdict, Some(Word::Known(Verdict::Denied | Verdict::WouldDeny)))
    }
}
