//! The kernel part of a tables file: `struct kiln_header` and the words behind it, as one value.

use super::layout::{Decision, Header, OBJECT_VERBS, Outcome, Subject};

/// Bytes of the header.
pub const HEADER_BYTES: usize = size_of::<Header>();
/// 64-bit words of a subject.
pub const SUBJECT_WORDS: usize = size_of::<Subject>() / 8;
/// 64-bit words of a decision.
pub const DECISION_WORDS: usize = size_of::<Decision>() / 8;
/// Words at the start that stay zero, so that state 0 leads nowhere whatever byte comes.
pub const DEAD_WORDS: usize = 264;

/// The kernel part. Values made by [`super::Tables::read`] are checked: every offset, state and index lies within.
#[derive(Clone)]
pub struct Kernel {
    /// The header.
    pub header: Header,
    /// The words behind it.
    pub words: Vec<u64>,
}

impl Kernel {
    /// The bytes that follow `slot` and `label_of` in the map's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let h = &self.header;
        let mut out = Vec::with_capacity(HEADER_BYTES + self.words.len() * 8);
        for field in header_fields(h) {
            out.extend(field.to_le_bytes());
        }
        out.extend(h.path_class);
        out.extend(h.net_class);
        self.words.iter().for_each(|w| out.extend(w.to_le_bytes()));
        out
    }

    /// Splits bytes into header and words; nothing is checked but the length.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Kernel> {
        let (head, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let (fields, classes) = head.split_at_checked(64)?;
        let mut f = fields.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
        let mut field = || f.next().unwrap_or_default();
        let header = Header {
            magic: field(),
            abi_version: field(),
            words: field(),
            subjects_off: field(),
            n_subjects: field(),
            decisions_off: field(),
            n_decisions: field(),
            outcomes_off: field(),
            n_outcomes: field(),
            outcome_refs_off: field(),
            n_outcome_refs: field(),
            host_verbs: field(),
            required_hooks_lo: field(),
            required_hooks_hi: field(),
            reserved: [field(), field()],
            path_class: classes.get(..256)?.try_into().ok()?,
            net_class: classes.get(256..)?.try_into().ok()?,
        };
        if rest.len() % 8 != 0 {
            return None;
        }
        let words = rest.chunks_exact(8).map(|c| u64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]));
        Some(Kernel { header, words: words.collect() })
    }

    fn word(&self, at: usize) -> Option<u64> {
        self.words.get(at).copied()
    }

    /// The subject of an index.
    pub fn subject(&self, index: u32) -> Option<Subject> {
        if index == 0 || index >= self.header.n_subjects {
            return None;
        }
        let at = self.header.subjects_off as usize + index as usize * SUBJECT_WORDS;
        let w = self.words.get(at..at + SUBJECT_WORDS)?;
        let (lo, hi) = (|n: usize| w[n] as u32, |n: usize| (w[n] >> 32) as u32);
        Some(Subject {
            path_start: lo(0),
            net_start: hi(0),
            exec_start: lo(1),
            unit_start: hi(1),
            path_default: lo(2),
            net_default: hi(2),
            fail: lo(3),
            cap_off: hi(3),
            kernel_off: lo(4),
            verbs: hi(4),
            cap_deny: w[5],
            cap_would: w[6],
            cap_watch: w[7],
            kernel_deny: lo(8),
            kernel_would: hi(8),
            kernel_watch: lo(9),
            flags: hi(9),
            net4_tcp: lo(10),
            net4_udp: hi(10),
            any_tcp: lo(11) as u16,
            any_udp: (lo(11) >> 16) as u16,
            kernel_detour: hi(11),
            fail_net: lo(12),
            guard_verbs: hi(12),
            guard_start: lo(13),
            guard_fail: hi(13),
            reserved: [w[14], w[15]],
        })
    }

    /// The decision of an index.
    pub fn decision(&self, index: u32) -> Option<Decision> {
        if index >= self.header.n_decisions {
            return None;
        }
        let at = self.header.decisions_off as usize + index as usize * DECISION_WORDS;
        let w = self.words.get(at..at + DECISION_WORDS)?;
        let mut outcome = [0; OBJECT_VERBS];
        for (n, o) in outcome.iter_mut().enumerate() {
            *o = (w[1 + n / 2] >> (32 * (n % 2))) as u32;
        }
        Some(Decision {
            deny: w[0] as u16,
            would: (w[0] >> 16) as u16,
            watch: (w[0] >> 32) as u16,
            pad: (w[0] >> 48) as u16,
            outcome,
        })
    }

    /// The outcome of an index.
    pub fn outcome(&self, index: u32) -> Option<Outcome> {
        if index >= self.header.n_outcomes {
            return None;
        }
        let [a, b, c, d, severity, action, mode, pad] =
            self.word(self.header.outcomes_off as usize + index as usize)?.to_le_bytes();
        Some(Outcome { rule: u32::from_le_bytes([a, b, c, d]), severity, action, mode, pad })
    }

    /// The outcome index of an entry of the capability and kernel lists.
    pub fn outcome_ref(&self, index: u32) -> Option<u32> {
        if index >= self.header.n_outcome_refs {
            return None;
        }
        let word = self.word(self.header.outcome_refs_off as usize + index as usize / 2)?;
        Some((word >> (32 * (index % 2))) as u32)
    }
}

fn header_fields(h: &Header) -> [u32; 16] {
    [
        h.magic,
        h.abi_version,
        h.words,
        h.subjects_off,
        h.n_subjects,
        h.decisions_off,
        h.n_decisions,
        h.outcomes_off,
        h.n_outcomes,
        h.outcome_refs_off,
        h.n_outcome_refs,
        h.host_verbs,
        h.required_hooks_lo,
        h.required_hooks_hi,
        h.reserved[0],
        h.reserved[1],
    ]
}

/// The words of a subject.
pub fn subject_words(s: &Subject) -> [u64; SUBJECT_WORDS] {
    let pair = |lo: u32, hi: u32| u64::from(lo) | u64::from(hi) << 32;
    let r = s.reserved;
    [
        pair(s.path_start, s.net_start),
        pair(s.exec_start, s.unit_start),
        pair(s.path_default, s.net_default),
        pair(s.fail, s.cap_off),
        pair(s.kernel_off, s.verbs),
        s.cap_deny,
        s.cap_would,
        s.cap_watch,
        pair(s.kernel_deny, s.kernel_would),
        pair(s.kernel_watch, s.flags),
        pair(s.net4_tcp, s.net4_udp),
        pair(u32::from(s.any_tcp) | u32::from(s.any_udp) << 16, s.kernel_detour),
        pair(s.fail_net, s.guard_verbs),
        pair(s.guard_start, s.guard_fail),
        r[0],
        r[1],
    ]
}

/// The words of a decision.
pub fn decision_words(d: &Decision) -> [u64; DECISION_WORDS] {
    let mut words = [0; DECISION_WORDS];
    words[0] = u64::from(d.deny) | u64::from(d.would) << 16 | u64::from(d.watch) << 32;
    for (n, o) in d.outcome.iter().enumerate() {
        words[1 + n / 2] |= u64::from(*o) << (32 * (n % 2));
    }
    words
}

/// The word of an outcome.
pub fn outcome_word(o: &Outcome) -> u64 {
    u64::from(o.rule) | u64::from(o.severity) << 32 | u64::from(o.action) << 40 | u64::from(o.mode) << 48
}
