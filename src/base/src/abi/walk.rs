//! The kernel programs' decision, in Rust: the same steps over the same words. Tests hold the two together, and the
//! agent uses it to seed tasks that ran before the tables came.

use std::collections::BTreeSet;

use super::kernel::Kernel;
use super::layout::{
    DEPTH_MAX, Decision, FINAL, NET_KEY, NO_WINDOW, Outcome, PATH_MAX, S_DNS, S_TIMED, S_USER, S_VARIES, Subject,
    UNSURE_WINDOW, WINDOWS,
};
use crate::model::{KernelOp, Verb, VerbSet};

/// Most states of one level that [`Kernel::any_address`] looks at, so that no table makes it slow.
const WIDEST: usize = 64;
/// Stands for a decision that is not there.
const EVERYTHING_DENIED: Decision = Decision { deny: u16::MAX, would: 0, watch: 0, pad: 0, outcome: [0; 10] };

/// What the tables say about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Permitted, nothing is reported.
    Allow,
    /// Permitted and reported, because a `watch` rule asks for it.
    Watched(Outcome),
    /// Permitted and reported: an audit or learn block would refuse.
    WouldDeny(Outcome),
    /// Refused.
    Denied(Outcome),
}

impl Verdict {
    /// Whether the request goes ahead.
    pub const fn permits(&self) -> bool {
        !matches!(self, Verdict::Denied(_))
    }
}

/// What is asked, beside the verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object<'a> {
    /// A path, or the path of a unix socket; `@` in front of an abstract name. Read to connect.
    Path(&'a [u8]),
    /// An IP socket. Bind, connect and accept.
    Net {
        /// IPPROTO_*.
        protocol: u8,
        /// IPv4 as `::ffff:a.b.c.d`.
        address: [u8; 16],
        /// Host order.
        port: u16,
    },
    /// A capability number.
    Capability(u8),
    /// A kernel operation.
    Kernel(KernelOp),
    /// A path, or a unix socket's, that could not be found out.
    Unresolved,
    /// An address that could not be understood.
    UnknownAddress,
}

/// Whether the kernel programs can resolve a path: at most `PATH_MAX` bytes, and fewer than `DEPTH_MAX` names. Where
/// mounts are crossed they give up a little earlier, which is a refusal too.
pub fn walkable(path: &[u8]) -> bool {
    path.len() <= PATH_MAX && path.iter().filter(|b| **b == b'/').count() < DEPTH_MAX
}

/// The key of an IP socket, for the network automaton.
pub fn net_key(protocol: u8, address: [u8; 16], port: u16) -> [u8; NET_KEY] {
    let mut key = [0; NET_KEY];
    key[0] = protocol;
    key[1..17].copy_from_slice(&address);
    key[17..].copy_from_slice(&port.to_be_bytes());
    key
}

impl Kernel {
    /// What the automaton accepts `bytes` with, from a start state; 0 for nothing.
    pub fn run(&self, start: u32, class: &[u8; 256], bytes: &[u8]) -> u32 {
        let mut state = start;
        for byte in bytes {
            if state == 0 {
                return 0;
            }
            state = self.step(state, class[usize::from(*byte)]);
        }
        self.accept(state)
    }

    /// What a state accepts; 0 for nothing.
    pub fn accept(&self, state: u32) -> u32 {
        (self.word_at(state as usize) >> 32) as u32 & !FINAL
    }

    /// The state after the protocol and the twelve bytes in front of every IPv4 address: where its walk begins.
    pub fn net4_state(&self, net_start: u32, protocol: u8) -> u32 {
        let key = net_key(protocol, crate::model::Cidr::ANY_V4.addr(), 0);
        let classes = &self.header.net_class;
        key[..13]
            .iter()
            .fold(net_start, |state, byte| if state == 0 { 0 } else { self.step(state, classes[usize::from(*byte)]) })
    }

    /// The verbs that a subject may do with every address and port of a protocol without anybody watching, as a mask:
    /// the kernel programs need not look at the address then. Where the automaton is too wide to tell at once, none.
    pub fn any_address(&self, s: &Subject, protocol: u8) -> u16 {
        let classes = &self.header.net_class;
        let last = classes.iter().max().copied().unwrap_or(0);
        let mut level = BTreeSet::from([match s.net_start {
            0 => 0,
            start => self.step(start, classes[usize::from(protocol)]),
        }]);
        for _ in 1..NET_KEY {
            let next = |state: u32| (0..=last).map(move |class| if state == 0 { 0 } else { self.step(state, class) });
            level = level.into_iter().flat_map(next).collect();
            if level.len() > WIDEST {
                return 0;
            }
        }
        let plain = |state: u32| {
            let accept = if state == 0 { 0 } else { self.accept(state) };
            let d = self.decision(if accept == 0 { s.net_default } else { accept }).unwrap_or(EVERYTHING_DENIED);
            !(d.deny | d.would | d.watch)
        };
        let network = VerbSet::NETWORK.bits();
        level.into_iter().fold(network, |mask, state| mask & plain(state))
    }

    /// The state after `state` on a byte of `class`.
    pub fn step(&self, state: u32, class: u8) -> u32 {
        let entry = self.word_at(state as usize + 1 + usize::from(class));
        if (entry >> 32) as u32 == state { entry as u32 } else { self.word_at(state as usize) as u32 }
    }

    fn word_at(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or(0)
    }

    /// The selectors of users that match one.
    pub fn user_bits(&self, uid: u32) -> u64 {
        let (from, n) = (self.header.users_off as usize, self.header.n_users as usize);
        let users = self.words.get(from..from + n).unwrap_or_default();
        users.binary_search_by_key(&uid, |word| *word as u32).map_or(0, |at| users[at] >> 32)
    }

    /// The subject that decides for another while these windows are open (`OpenTimes::open`), where this user asks;
    /// none: it is not known.
    pub fn deciding(&self, subject: u32, open: Option<u64>, user: Option<u32>) -> u32 {
        let Some(s) = self.subject(subject).filter(|s| s.flags & S_VARIES != 0) else { return subject };
        let users = s.flags & S_USER != 0;
        let mut open = match open {
            _ if s.flags & S_TIMED == 0 => 0,
            Some(open) => open,
            None if users => 1 << UNSURE_WINDOW,
            None => return subject,
        };
        if users {
            let Some(uid) = user else { return subject };
            open |= self.user_bits(uid) << WINDOWS;
        }
        match self.words.get(s.row as usize + row_index(&s, open)) {
            None | Some(0) => subject,
            Some(index) => *index as u32,
        }
    }

    /// The joint decision on a path or unix socket.
    pub fn path_decision(&self, subject: u32, path: &[u8]) -> Option<Decision> {
        let s = self.subject(subject)?;
        let accept = match s.path_start {
            _ if !walkable(path) => return self.decision(s.fail),
            0 => 0,
            start => self.run(start, &self.header.path_class, path),
        };
        self.decision(if accept == 0 { s.path_default } else { accept })
    }

    /// What the guards alone decide on a path or unix socket, by the name that the machine has for it.
    pub fn guard_decision(&self, subject: u32, path: &[u8]) -> Option<Decision> {
        let s = self.subject(subject)?;
        let accept = match s.guard_start {
            _ if !walkable(path) => s.guard_fail,
            0 => 0,
            start => self.run(start, &self.header.path_class, path),
        };
        self.decision(accept)
    }

    /// The joint decision on an IP socket.
    pub fn net_decision(&self, subject: u32, key: &[u8; NET_KEY]) -> Option<Decision> {
        let s = self.subject(subject)?;
        let accept = if s.net_start == 0 { 0 } else { self.run(s.net_start, &self.header.net_class, key) };
        self.decision(if accept == 0 { s.net_default } else { accept })
    }

    /// The number of the set of patterns that match a host's name, in lower case and without a last dot; 0: none.
    pub fn name_set(&self, name: &[u8]) -> u8 {
        let start = self.header.names_start;
        if start == 0 { 0 } else { self.run(start, &self.header.path_class, name) as u8 }
    }

    /// The verdict on connecting to a protocol, address and port, whose address name servers have given for names of these
    /// sets; none if the subject does not exist.
    pub fn named_verdict(&self, subject: u32, asked: (u8, [u8; 16], u16), sets: &[u8]) -> Option<Verdict> {
        let key = net_key(asked.0, asked.1, asked.2);
        self.of_decision(&self.named_decision(subject, &key, sets)?, Verb::Connect)
    }

    /// The joint decision on connecting to an IP socket whose address name servers have given for names of these sets:
    /// by the address alone if that permits it, else by the name that permits most.
    fn named_decision(&self, subject: u32, key: &[u8; NET_KEY], sets: &[u8]) -> Option<Decision> {
        let s = self.subject(subject)?;
        let plain = self.net_decision(subject, key)?;
        let rank = |d: &Decision| {
            let bit = 1 << Verb::Connect as u8;
            if d.deny & bit != 0 { 2 } else { u8::from(d.would & bit != 0) }
        };
        if s.flags & S_DNS == 0 || rank(&plain) == 0 {
            return Some(plain);
        }
        let named = sets.iter().filter_map(|set| {
            let key = [&key[..], &[*set]].concat();
            self.decision(Some(self.run(s.net_start, &self.header.net_class, &key)).filter(|d| *d != 0)?)
        });
        Some(named.min_by_key(rank).unwrap_or(plain))
    }

    /// The verdict on a request; none if the subject does not exist or the verb has no such object.
    pub fn verdict(&self, subject: u32, verb: Verb, object: &Object<'_>) -> Option<Verdict> {
        let s = self.subject(subject)?;
        match (verb, object) {
            (Verb::Capability, Object::Capability(n)) if *n < 64 => {
                let masks = [s.cap_deny, s.cap_would, s.cap_watch].map(|m| m >> n & 1 != 0);
                self.of_list(masks, s.cap_off, u32::from(*n))
            }
            (Verb::Kernel, Object::Kernel(op)) => {
                let bit = *op as u8;
                let masks = [s.kernel_deny, s.kernel_would, s.kernel_watch].map(|m| m >> bit & 1 != 0);
                self.of_list(masks, s.kernel_off, u32::from(bit))
            }
            (v, Object::Path(path)) if v.is_file() || v.is_network() => {
                self.of_decision(&self.path_decision(subject, path)?, v)
            }
            (v, Object::Net { protocol, address, port }) if v.is_network() => {
                self.of_decision(&self.net_decision(subject, &net_key(*protocol, *address, *port))?, v)
            }
            (v, Object::Unresolved) if v.is_file() || v.is_network() => self.of_decision(&self.decision(s.fail)?, v),
            (v, Object::UnknownAddress) if v.is_network() => self.of_decision(&self.decision(s.fail_net)?, v),
            _ => None,
        }
    }

    /// The subject of a task that executes `path`: another one, or the same.
    pub fn after_exec(&self, subject: u32, path: &[u8]) -> u32 {
        let start = self.subject(subject).map_or(0, |s| s.exec_start);
        self.next(subject, start, path)
    }

    /// The subject of a task that comes into the cgroup `name` of a systemd unit (`nginx.service`; `model::cgroup_name`).
    pub fn after_unit(&self, subject: u32, name: &[u8]) -> u32 {
        let start = self.subject(subject).map_or(0, |s| s.unit_start);
        self.next(subject, start, name)
    }

    fn next(&self, subject: u32, start: u32, bytes: &[u8]) -> u32 {
        match start {
            0 => subject,
            start => match self.run(start, &self.header.path_class, bytes) {
                0 => subject,
                next => next,
            },
        }
    }

    fn of_decision(&self, d: &Decision, verb: Verb) -> Option<Verdict> {
        let bit = verb as u8;
        let outcome = || self.outcome(*d.outcome.get(usize::from(bit))?);
        verdict([d.deny, d.would, d.watch].map(|m| m >> bit & 1 != 0), outcome)
    }

    fn of_list(&self, masks: [bool; 3], offset: u32, bit: u32) -> Option<Verdict> {
        verdict(masks, || self.outcome(self.outcome_ref(offset + bit)?))
    }
}

/// Which entry of a subject's row is of these bits.
fn row_index(s: &Subject, open: u64) -> usize {
    let bits = s.window.iter().enumerate().filter(|(_, window)| **window != NO_WINDOW);
    bits.fold(0, |index, (n, window)| index | ((open >> (window & 63)) as usize & 1) << n)
}

fn verdict([deny, would, watch]: [bool; 3], outcome: impl FnOnce() -> Option<Outcome>) -> Option<Verdict> {
    Some(match (deny, would, watch) {
        (true, _, _) => Verdict::Denied(outcome()?),
        (_, true, _) => Verdict::WouldDeny(outcome()?),
        (_, _, true) => Verdict::Watched(outcome()?),
        _ => Verdict::Allow,
    })
}
