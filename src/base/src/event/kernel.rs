//! Records of the kernel's ring buffer (`struct kiln_event` of `bpf/include/abi.h`), and what they mean.

use std::net::{Ipv6Addr, SocketAddr};

use zerocopy::FromBytes;

use super::{Violation, clock};
use crate::abi::layout::{EventHeader, PATH_MAX};
use crate::model::{Action, BlockKind, EventMode, KernelOp, Mode, Severity, Verb, Verdict, capability_name};

/// `rule` of an event that no rule decided.
const NO_RULE: u32 = u32::MAX;

/// A record that is not a `struct kiln_event`: agent and programs are of different builds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a kernel record of {bytes} bytes is not an event: {reason}; are the agent and the loaded programs of one build?"
)]
pub struct EventError {
    bytes: usize,
    reason: &'static str,
}

/// One decoded record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelEvent {
    /// Nanoseconds after boot.
    pub time_ns: u64,
    /// Start of the process, nanoseconds after boot.
    pub start_time_ns: u64,
    /// Serial of the policy that decided.
    pub generation: u64,
    /// cgroup id.
    pub cgroup_id: u64,
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Parent process id.
    pub ppid: u32,
    /// Real user id.
    pub uid: u32,
    /// The task's label.
    pub label: u32,
    /// Index of the rule in the tables' metadata, if one decided.
    pub rule: Option<u32>,
    /// What was asked.
    pub verb: Verb,
    /// What was answered.
    pub verdict: Verdict,
    /// Why, where no rule decided.
    pub reason: Reason,
    /// What it was about.
    pub object: EventObject,
    /// Severity of the outcome.
    pub severity: Severity,
    /// Action of the outcome.
    pub action: Action,
    /// Mode of the deciding block; `None` for a `watch` rule.
    pub mode: Option<Mode>,
    /// Command name.
    pub comm: String,
}

/// `enum kiln_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A rule, or the default of a block.
    Policy,
    /// The path could not be resolved.
    Path,
    /// The task's label means nothing in this generation.
    Label,
    /// The tables could not be read.
    Tables,
    /// The address is malformed or of no governed family.
    Address,
    /// Protection of Kiln itself.
    SelfProtection,
    /// An allocation failed.
    Memory,
    /// The process, or its unit, is in quarantine.
    Quarantine,
    /// Beyond a limit of the policy.
    Limit,
}

impl Reason {
    const ALL: [Reason; 9] = [
        Reason::Policy,
        Reason::Path,
        Reason::Label,
        Reason::Tables,
        Reason::Address,
        Reason::SelfProtection,
        Reason::Memory,
        Reason::Quarantine,
        Reason::Limit,
    ];

    /// Stands for the rule where there is none.
    pub const fn text(self) -> &'static str {
        match self {
            Reason::Policy => "no rule allows it",
            Reason::Path => "the path is too long, too deep or cannot be resolved",
            Reason::Label => "the task's subject is unknown to this generation",
            Reason::Tables => "the policy tables could not be read",
            Reason::Address => "the address is malformed or of a family that is not governed",
            Reason::SelfProtection => "Kiln protects its programs, maps and agent",
            Reason::Memory => "an allocation failed",
            Reason::Quarantine => "it is in quarantine",
            Reason::Limit => "it would go beyond a limit of the policy",
        }
    }
}

/// The object of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventObject {
    /// A path, or an abstract socket name with `@` in front.
    Path(Vec<u8>),
    /// A network address.
    Net {
        /// IPPROTO_*.
        protocol: u8,
        /// 128-bit form.
        address: [u8; 16],
        /// Host order.
        port: u16,
    },
    /// A unix socket's path or abstract name.
    Unix(Vec<u8>),
    /// A capability number.
    Capability(u32),
    /// A `kiln_kernel_op`, with what the kernel says it is about.
    Kernel(u32, Vec<u8>),
}

/// What an event's rule says, looked up in the metadata of the tables that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleText<'a> {
    /// Name of the block.
    pub block: &'a str,
    /// Profile or guard.
    pub block_kind: BlockKind,
    /// Canonical text.
    pub text: &'a str,
    /// References.
    pub because: &'a [String],
}

impl KernelEvent {
    /// Decodes one record. Bytes behind the object are ignored: the kernel pads records.
    ///
    /// # Errors
    /// Where lengths or enumerations are not those of the layout.
    pub fn decode(bytes: &[u8]) -> Result<KernelEvent, EventError> {
        let fail = |reason| EventError { bytes: bytes.len(), reason };
        let (fixed, rest) = EventHeader::read_from_prefix(bytes).map_err(|_| fail("too short"))?;
        let object_len = usize::from(fixed.object_len);
        if object_len > PATH_MAX || object_len > rest.len() {
            return Err(fail("its object is cut off"));
        }
        let text = rest[..object_len].to_vec();
        let object = match fixed.object_kind {
            0 => EventObject::Path(text),
            1 => EventObject::Net { protocol: fixed.protocol, address: fixed.address, port: fixed.port },
            2 => EventObject::Unix(text),
            3 => EventObject::Capability(fixed.bit),
            4 => EventObject::Kernel(fixed.bit, text),
            _ => return Err(fail("unknown kind of object")),
        };
        let comm = &fixed.comm[..fixed.comm.iter().position(|b| *b == 0).unwrap_or(fixed.comm.len())];
        Ok(KernelEvent {
            time_ns: fixed.time_ns,
            start_time_ns: fixed.start_time_ns,
            generation: fixed.generation,
            cgroup_id: fixed.cgroup_id,
            pid: fixed.pid,
            tid: fixed.tid,
            ppid: fixed.ppid,
            uid: fixed.uid,
            label: fixed.label,
            rule: (fixed.rule != NO_RULE).then_some(fixed.rule),
            verb: Verb::from_bit(fixed.verb).ok_or(fail("unknown verb"))?,
            verdict: Verdict::from_number(fixed.verdict).ok_or(fail("unknown verdict"))?,
            reason: *Reason::ALL.get(usize::from(fixed.reason)).ok_or(fail("unknown reason"))?,
            object,
            severity: Severity::from_number(fixed.severity).ok_or(fail("unknown severity"))?,
            action: Action::from_number(fixed.action).ok_or(fail("unknown action"))?,
            mode: Mode::from_number(fixed.mode),
            comm: escape(comm),
        })
    }

    /// The wire form. `seq` is the agent's, `boot_unix_ns` the wall clock's time of boot, `subject` the label's key.
    pub fn describe(&self, seq: u64, boot_unix_ns: i64, subject: &str, rule: Option<RuleText<'_>>) -> Violation {
        let unix_ns = boot_unix_ns.saturating_add(i64::try_from(self.time_ns).unwrap_or(i64::MAX));
        // The key is `profile|guard,guard`: without a rule the profile's default decided.
        let profile = subject.split('|').next().unwrap_or_default();
        let (block, kind, text, because) = match &rule {
            Some(r) => (r.block, r.block_kind, r.text, r.because.to_vec()),
            None if self.reason == Reason::Policy => (profile, BlockKind::Profile, self.reason.text(), Vec::new()),
            None => ("kiln", BlockKind::Guard, self.reason.text(), Vec::new()),
        };
        Violation {
            schema: "kiln.violation.v1".to_owned(),
            time: clock::rfc3339(unix_ns),
            seq,
            verdict: self.verdict.into(),
            profile: block.to_owned(),
            block_kind: kind.into(),
            rule: text.to_owned(),
            because,
            verb: self.verb.into(),
            object: self.object.to_string(),
            mode: EventMode::from(self.mode).into(),
            severity: self.severity.into(),
            action: self.action.into(),
            pid: self.pid,
            tid: self.tid,
            ppid: self.ppid,
            uid: self.uid,
            comm: self.comm.clone(),
            start_time_ns: self.start_time_ns,
            cgroup_id: self.cgroup_id,
            generation: self.generation,
            subject: subject.to_owned(),
            unit: None,
            exe: None,
        }
    }
}

impl std::fmt::Display for EventObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EventObject::Path(path) => f.write_str(&escape(path)),
            EventObject::Unix(path) => write!(f, "unix:{}", escape(path)),
            EventObject::Net { protocol, address, port } => {
                let address = SocketAddr::new(Ipv6Addr::from(*address).to_canonical(), *port);
                match protocol {
                    1 | 58 => write!(f, "icmp:{}", address.ip()),
                    6 => write!(f, "tcp:{address}"),
                    17 => write!(f, "udp:{address}"),
                    132 => write!(f, "sctp:{address}"),
                    other => write!(f, "protocol-{other}:{address}"),
                }
            }
            EventObject::Capability(number) => match u8::try_from(*number).ok().and_then(capability_name) {
                Some(name) => f.write_str(name),
                None => write!(f, "capability-{number}"),
            },
            EventObject::Kernel(bit, about) => {
                match KernelOp::ALL.get(*bit as usize) {
                    Some(op) => f.write_str(op.name())?,
                    None => write!(f, "kernel-{bit}")?,
                }
                if about.is_empty() { Ok(()) } else { write!(f, ":{}", escape(about)) }
            }
        }
    }
}

/// Bytes that a program chose, safe in a line of text: control characters, backslashes and what is not UTF-8 as `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    out.push_str(&format!("\\x{byte:02x}"));
                }
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A record as the kernel lays it out, written field by field.
    fn record(object: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for n in [5_000_000_000u64, 4_000_000_000, 7, 99] {
            out.extend(n.to_le_bytes());
        }
        for n in [812u32, 813, 1, 33, 3, 2] {
            out.extend(n.to_le_bytes());
        }
        out.extend([Verb::Exec as u8, 0, 0, 0, Severity::Critical as u8, Action::Kill as u8, 0, 6]);
        out.extend(443u16.to_le_bytes());
        out.extend((object.len() as u16).to_le_bytes());
        out.extend(2u32.to_le_bytes());
        out.extend(*b"nginx\0garbage\0\0\0");
        out.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);
        out.extend(object);
        out
    }

    #[test]
    fn a_denied_exec_reads_as_a_person_expects() {
        let event = KernelEvent::decode(&record(b"/bin/sh")).unwrap();
        let because = ["manifest nginx.service:8".to_owned()];
        let rule = RuleText {
            block: "nginx",
            block_kind: BlockKind::Profile,
            text: "deny exec \"/bin/*\"",
            because: &because,
        };
        let violation = event.describe(17, 1_767_225_600_000_000_000, "nginx|host_integrity", Some(rule));
        insta::assert_json_snapshot!(violation);
    }

    #[test]
    fn without_a_rule_the_reason_stands_there() {
        let mut bytes = record(b"/bin/sh");
        bytes[52..56].copy_from_slice(&u32::MAX.to_le_bytes());
        let violation = KernelEvent::decode(&bytes).unwrap().describe(1, 0, "nginx|", None);
        assert_eq!((violation.profile.as_str(), violation.rule.as_str()), ("nginx", "no rule allows it"));
        bytes[58] = 5;
        let violation = KernelEvent::decode(&bytes).unwrap().describe(1, 0, "nginx|", None);
        assert_eq!(violation.profile, "kiln");
        assert!(violation.rule.contains("protects"), "{}", violation.rule);
    }

    #[test]
    fn objects_of_each_kind() {
        let mut bytes = record(b"@x");
        let mut shown = |kind: u8| {
            bytes[59] = kind;
            KernelEvent::decode(&bytes).unwrap().object.to_string()
        };
        assert_eq!(shown(0), "@x");
        assert_eq!(shown(1), "tcp:10.0.0.1:443");
        assert_eq!(shown(2), "unix:@x");
        assert_eq!(shown(3), "dac_read_search");
        assert_eq!(shown(4), "module:@x");
        let v6 = EventObject::Net { protocol: 17, address: Ipv6Addr::LOCALHOST.octets(), port: 53 };
        assert_eq!(v6.to_string(), "udp:[::1]:53");
    }

    #[test]
    fn words_of_a_newer_agent_are_kept_as_they_came() {
        let event = KernelEvent::decode(&record(b"/bin/sh")).unwrap();
        let mut value = serde_json::to_value(event.describe(1, 0, "nginx|", None)).unwrap();
        for field in ["verdict", "block_kind", "verb", "mode", "severity", "action"] {
            value[field] = "of-tomorrow".into();
        }
        let violation: Violation = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&violation).unwrap(), value);
    }

    #[test]
    fn bytes_of_an_attacker_stay_on_their_line() {
        assert_eq!(escape(b"/a\n\x1b[2J\\\xff\xc3\xa9\xc2\x85"), "/a\\x0a\\x1b[2J\\x5c\\xff\u{e9}\\xc2\\x85");
    }

    #[test]
    fn damaged_records_are_refused() {
        let good = record(b"/bin/sh");
        for len in 0..good.len() {
            assert!(KernelEvent::decode(&good[..len]).is_err(), "{len}");
        }
        for (at, value) in [(56, 13), (57, 4), (58, 9), (59, 5), (60, 4), (61, 4)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(KernelEvent::decode(&bad).is_err(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(event) = KernelEvent::decode(&bytes) {
                let violation = event.describe(1, i64::MAX, "p|g", None);
                prop_assert!(!serde_json::to_string(&violation).unwrap().contains('\n'));
            }
        }
    }
}
