//! Which combinations of a profile and guards a task can come to, and by which exec or unit.
//!
//! Closure from the host's subject. A task without a profile takes the profile whose selector matches first; it keeps
//! that profile until an `allow exec … as` switches it. Guards are added as they match and never leave.

use std::collections::{BTreeSet, HashMap};

use kiln_base::abi::layout;
use kiln_base::abi::metadata::{HOST_KEY, QUARANTINE, SENTINEL_KEY};
use kiln_base::model::{cgroup_name, literal_of_pattern};

use super::CompileError;
use super::gap::{Gap, quarantines};
use super::lines::{self, At, Line};
use super::moment::Moment;
use super::rules::Rules;
use super::users::Selectors;
use crate::automata::{Dfa, Limits, Nfa, Pattern, Subset};
use crate::policy::normal::{Addresses, Block, BlockKind, Object, Policy, SelectorKey};

/// Index of the host's subject.
pub(super) const HOST: u32 = 1;
/// Index of the sentinel.
pub(super) const SENTINEL: u32 = 2;
/// Most subjects of a policy: what a generation has places for, less the unused one and the sentinel.
const MOST: usize = layout::SUBJECTS - 24;

/// A combination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Combination {
    /// Index of the profile's block.
    pub(super) profile: Option<usize>,
    /// Indices of the guards' blocks, without those of every host.
    pub(super) guards: BTreeSet<usize>,
    /// In quarantine: of each other combination there is one that is, where a rule asks for it.
    pub(super) quarantined: bool,
}

/// How a block comes to a task.
#[derive(Debug, Clone, Default)]
pub(super) struct Attachment {
    /// Each with how specific its line is.
    pub(super) units: Vec<(SelectorKey, Pattern)>,
    pub(super) exec: Vec<(SelectorKey, Pattern)>,
    pub(super) host: bool,
    /// A profile that nothing but the user gives.
    pub(super) by_user: bool,
}

/// The subjects of a policy and how a task comes from one to another.
pub(super) struct Plan {
    /// Per block.
    pub(super) lines: Vec<Vec<Line>>,
    pub(super) attachments: Vec<Attachment>,
    /// Sorted by key; the first is the host's. Its place is not its index: see [`Plan::index`].
    pub(super) combinations: Vec<Combination>,
    /// Accepts with an index of a subject. Per combination two starts: exec, unit.
    pub(super) next: Dfa,
    /// Per combination the starts for exec and for unit; 0 where nothing can follow.
    pub(super) starts: Vec<(u32, u32)>,
}

impl Plan {
    /// The index in the tables of the n-th combination: the host's is 1, 2 is the sentinel's.
    pub(super) fn index(n: usize) -> u32 {
        if n == 0 { HOST } else { SENTINEL + n as u32 }
    }

    /// The number in the tables of a combination in quarantine; 0 for what has none.
    pub(super) fn quarantine(&self, n: usize) -> u32 {
        let outside = self.combinations.iter().filter(|c| !c.quarantined).count();
        let there = n != 0 && n < outside && self.combinations.len() > outside;
        if there { Plan::index(outside + n - 1) } else { 0 }
    }

    /// Every block that binds a combination: its profile, its guards, and those of every host; sorted.
    pub(super) fn blocks(&self, c: &Combination) -> Vec<usize> {
        let host = self.attachments.iter().enumerate().filter(|(_, a)| a.host).map(|(n, _)| n);
        host.chain(c.guards.iter().copied()).chain(c.profile).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The units and programs of a block, by pattern.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) units: BTreeSet<String>,
    pub(super) exec: BTreeSet<String>,
}

impl Plan {
    /// What comes to each block. What a more specific line of another profile takes away is left out.
    pub(super) fn named(&self) -> Vec<Named> {
        let mut out: Vec<Named> = (0..self.lines.len()).map(|_| Named::default()).collect();
        // Lines of units that are equally specific take nothing from each other.
        let all = self.lines.iter().flatten();
        let ranks: BTreeSet<_> = all.filter(|l| matches!(l.at, At::Units(_))).map(|l| l.rank).collect();
        let keeps =
            |block: usize, unit: &str| ranks.len() < 2 || self.attachments[block].host || self.keeps(block, unit);
        for (block, lines) in self.lines.iter().enumerate() {
            for line in lines {
                match &line.at {
                    At::Units(units) => out[block].units.extend(units.iter().filter(|u| keeps(block, u)).cloned()),
                    At::Exec(exec) => drop(out[block].exec.insert(exec.clone())),
                    At::Nowhere | At::Switched | At::Everywhere | At::Joined => {}
                }
            }
        }
        out
    }

    /// Whether a block has a unit of a pattern in the end; of one with wildcards, whether it has any unit at all.
    fn keeps(&self, block: usize, pattern: &str) -> bool {
        let start = self.starts[0].1;
        let binds = |accept: u32| {
            let n = if accept == HOST { 0 } else { accept.saturating_sub(SENTINEL) as usize };
            let combination = self.combinations.get(n).filter(|_| accept != 0);
            combination.is_some_and(|c| c.profile == Some(block) || c.guards.contains(&block))
        };
        match literal_of_pattern(pattern) {
            Some(unit) => binds(self.next.run(start, cgroup_name(&unit).as_bytes())),
            None => self.next.accepts_from(start).into_iter().any(binds),
        }
    }
}

impl Plan {
    /// Every block that can bind a combination, whoever asks: those of [`Plan::blocks`], and where it has no profile for
    /// some user the profiles that users bring.
    pub(super) fn bound(&self, rules: &Rules<'_>, c: &Combination) -> Vec<usize> {
        self.with(c, c.profile.is_none_or(|p| !rules.users[p].is_empty()))
    }

    /// The blocks that may bind at a moment: a profile that a user brings gives way to any other.
    pub(super) fn at(&self, rules: &Rules<'_>, c: &Combination, moment: Moment) -> Vec<usize> {
        let own = c.profile.is_some_and(|p| moment.binds(rules, p));
        let sure = moment.user.is_some() || c.profile.is_some_and(|p| rules.users[p].is_empty());
        self.with(c, !(own && sure))
    }

    fn with(&self, c: &Combination, of_users: bool) -> Vec<usize> {
        let brought = self.attachments.iter().enumerate().filter(|(_, a)| a.by_user && of_users).map(|(n, _)| n);
        self.blocks(c).into_iter().chain(brought).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// `profile|guard,guard`, the same in every generation.
pub(super) fn key(blocks: &[Block], c: &Combination) -> String {
    let name = |n: &usize| blocks[*n].name.as_str();
    let guards: BTreeSet<&str> = c.guards.iter().map(name).collect();
    let profile = c.profile.as_ref().map_or("", name);
    let quarantine = if c.quarantined { QUARANTINE } else { "" };
    let key = format!("{profile}|{}{quarantine}", guards.into_iter().collect::<Vec<_>>().join(","));
    debug_assert!(key == HOST_KEY || *c != Combination::default());
    debug_assert_ne!(key, SENTINEL_KEY);
    key
}

/// Finds the subjects. What cannot attach, or attaches two profiles at once, is added to `gaps`.
pub(super) fn plan(
    policy: &Policy,
    (selectors, lines): (&Selectors, Vec<Vec<Line>>),
    gaps: &mut Vec<Gap>,
) -> Result<Plan, CompileError> {
    let attachments: Vec<Attachment> =
        policy.blocks.iter().zip(&lines).map(|(b, l)| attachment(b, l, gaps)).collect::<Result<_, CompileError>>()?;
    two_of_users(policy, selectors, (&attachments, &lines), gaps);
    let of_users = lines.iter().map(|lines| !lines::clauses(lines).is_empty()).collect();
    let mut nfa = Nfa::new();
    let roots = Roots::build(policy, &attachments, &mut nfa)?;
    let mut closure = Closure::new(policy, (&attachments, of_users), &roots, gaps);
    let mut subset = Subset::new(&nfa, nfa.classes(), Limits::default());
    let mut at = 0;
    while at < closure.list.len() {
        let from = closure.list[at].clone();
        at += 1;
        let mut start = |kind: Kind, closure: &mut Closure<'_>| -> Result<Option<usize>, CompileError> {
            let roots = closure.roots_of(&from, kind);
            if roots.is_empty() {
                return Ok(None);
            }
            subset.start(&roots, |ids| closure.follow(&from, ids, kind))?;
            Ok(Some(subset.starts() - 1))
        };
        let pair = (start(Kind::Exec, &mut closure)?, start(Kind::Unit, &mut closure)?);
        closure.starts.push(pair);
        if closure.list.len() > MOST {
            return Err(CompileError::Subjects(MOST));
        }
    }
    let Closure { list, starts, .. } = closure;
    // Numbers by key, whatever the order in which the combinations were found.
    let mut order: Vec<usize> = (0..list.len()).collect();
    order.sort_by_key(|n| (*n != 0, key(&policy.blocks, &list[*n])));
    let mut number = vec![0; list.len()];
    order.iter().enumerate().for_each(|(new, old)| number[*old] = Plan::index(new));
    let next = subset.finish().map_accepts(|a| if a == REFUSED { SENTINEL } else { number[a as usize - 1] });
    let state = |slot: Option<usize>| slot.map_or(0, |s| next.starts()[s]);
    let mut starts: Vec<(u32, u32)> = order.iter().map(|n| (state(starts[*n].0), state(starts[*n].1))).collect();
    let mut combinations: Vec<Combination> = order.iter().map(|n| list[*n].clone()).collect();
    if quarantines(policy) {
        // Nothing leads out of quarantine, and the host is never in it.
        let inside = combinations[1..].iter().map(|c| Combination { quarantined: true, ..c.clone() });
        combinations.extend(inside.collect::<Vec<_>>());
        starts.resize(combinations.len(), (0, 0));
    }
    if combinations.len() > MOST {
        return Err(CompileError::Subjects(MOST));
    }
    Ok(Plan { lines, starts, combinations, attachments, next })
}

/// What a block's lines come to. Those that the tables cannot express were reported by `gap`.
fn attachment(block: &Block, lines: &[Line], gaps: &mut Vec<Gap>) -> Result<Attachment, CompileError> {
    let mut out = Attachment::default();
    let parse = |text: &str| {
        Pattern::parse(text)
            .map_err(|error| CompileError::Glob { origin: format!("{} {}", block.kind, block.name), error })
    };
    for Line { rank, at, of_some, .. } in lines {
        match at {
            At::Nowhere | At::Switched => {}
            At::Everywhere if *of_some && block.kind == BlockKind::Profile => {
                out.by_user = true;
                if *rank < SelectorKey::User {
                    gaps.push(lines::outranks(block));
                }
            }
            At::Everywhere => out.host |= lines::everywhere(block, gaps),
            At::Units(units) => {
                for text in units {
                    // The kernel programs see names of cgroups: of a unit, or `_` and a unit (cg_escape() of systemd).
                    let unit = parse(text)?;
                    out.units.extend([(*rank, unit.not_beginning_with(b'_')), (*rank, unit.behind(b'_'))]);
                }
            }
            At::Exec(text) => out.exec.push((*rank, parse(text)?)),
            At::Joined => gaps.push(lines::joined(block)),
        }
    }
    Ok(out)
}

/// Profiles that users bring must be of different users, and not of root.
fn two_of_users(
    policy: &Policy,
    selectors: &Selectors,
    (attachments, lines): (&[Attachment], &[Vec<Line>]),
    gaps: &mut Vec<Gap>,
) {
    let clauses: Vec<Vec<u64>> = lines.iter().map(|lines| lines::clauses(lines)).collect();
    let brought = || {
        let all = policy.blocks.iter().zip(&clauses).zip(attachments);
        all.filter(|(_, a)| a.by_user).map(|(of_block, _)| of_block)
    };
    let root = selectors.table().get(&0).copied().unwrap_or(0);
    // Whose packet it is that looks like an answer is known by the cgroup alone.
    let named =
        |b: &Block| b.rules.iter().any(|r| matches!(r.object, Object::Net { addresses: Addresses::Dns(_), .. }));
    let names = policy.blocks.iter().any(named);
    for (n, (a, of_a)) in brought().enumerate() {
        if names {
            gaps.push(Gap::of_block(
                a,
                "the policy has rules by the names of hosts, and who a user's profile alone binds could pass for the \
                 name server"
                    .to_owned(),
                "attach the profile by a unit, too, as in `subject unit \"backup.service\", user \"backup\";`"
                    .to_owned(),
            ));
        }
        if of_a.iter().any(|clause| clause & !root == 0) {
            gaps.push(Gap::of_block(
                a,
                "a profile for all that root does would bind the programs that start all others".to_owned(),
                "attach it by a unit, too, as in `subject unit \"backup.service\", user \"root\";`, or write a guard"
                    .to_owned(),
            ));
        }
        for (b, of_b) in brought().skip(n + 1) {
            let matches = |clauses: &[u64], user: u64| clauses.iter().any(|clause| clause & !user == 0);
            if selectors.table().values().any(|user| matches(of_a, *user) && matches(of_b, *user)) {
                gaps.push(Gap::of_block(
                    a,
                    format!("profile {} and profile {} are of one user", a.name, b.name),
                    "make one of them, or name other users".to_owned(),
                ));
            }
        }
    }
}

/// How many keys a selector can have.
const RANKS: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exec,
    Unit,
}

/// Where a task would have one profile as one user and one as another: it is denied everything.
const REFUSED: u32 = u32::MAX;

/// Where each block's patterns hang. The id of a selector is its block times [`RANKS`] and how specific its line is; of a
/// switch the number of blocks times [`RANKS`] and twice its place in `switches`; of an exception of that switch, one more.
struct Roots {
    /// The blocks that switches lead to.
    switches: Vec<usize>,
    unit: Vec<Option<u32>>,
    exec: Vec<Option<u32>>,
    switch: Vec<Option<u32>>,
}

impl Roots {
    fn build(policy: &Policy, attachments: &[Attachment], nfa: &mut Nfa) -> Result<Roots, CompileError> {
        let profiles: HashMap<&str, usize> = policy
            .blocks
            .iter()
            .enumerate()
            .filter(|(_, b)| b.kind == BlockKind::Profile)
            .map(|(n, b)| (b.name.as_str(), n))
            .collect();
        let n = policy.blocks.len();
        let none = || vec![None; n];
        let mut roots = Roots { switches: Vec::new(), unit: none(), exec: none(), switch: none() };
        for (block, a) in attachments.iter().enumerate() {
            for (root, patterns) in [(&mut roots.unit[block], &a.units), (&mut roots.exec[block], &a.exec)] {
                for (rank, pattern) in patterns {
                    let root = *root.get_or_insert_with(|| nfa.root());
                    nfa.add(root, pattern, (block * RANKS + *rank as usize) as u32);
                }
            }
            for rule in &policy.blocks[block].rules {
                let Object::File { paths, except, switch: Some(target), .. } = &rule.object else { continue };
                let Some(target) = profiles.get(target.as_str()) else { continue };
                let root = *roots.switch[block].get_or_insert_with(|| nfa.root());
                let id = n * RANKS + 2 * roots.switches.len();
                roots.switches.push(*target);
                let except = except.iter().map(|path| (path, id + 1));
                for (path, id) in paths.iter().map(|path| (path, id)).chain(except) {
                    let pattern = Pattern::parse(&path.0)
                        .map_err(|error| CompileError::Glob { origin: rule.origin.clone(), error })?;
                    nfa.add(root, &pattern, id as u32);
                }
            }
        }
        Ok(roots)
    }
}

struct Closure<'a> {
    policy: &'a Policy,
    attachments: &'a [Attachment],
    /// Per block whether it is of some users only.
    of_users: Vec<bool>,
    roots: &'a Roots,
    gaps: &'a mut Vec<Gap>,
    list: Vec<Combination>,
    number: HashMap<Combination, u32>,
    starts: Vec<(Option<usize>, Option<usize>)>,
    /// Pairs of profiles that were reported.
    reported: BTreeSet<(usize, usize)>,
}

impl<'a> Closure<'a> {
    fn new(
        policy: &'a Policy,
        (attachments, of_users): (&'a [Attachment], Vec<bool>),
        roots: &'a Roots,
        gaps: &'a mut Vec<Gap>,
    ) -> Self {
        let host = Combination::default();
        Closure {
            policy,
            attachments,
            of_users,
            roots,
            gaps,
            list: vec![host.clone()],
            number: HashMap::from([(host, 1)]),
            starts: Vec::new(),
            reported: BTreeSet::new(),
        }
    }

    /// The patterns that can change a task of this combination.
    fn roots_of(&self, from: &Combination, kind: Kind) -> Vec<u32> {
        let own = match kind {
            Kind::Exec => &self.roots.exec,
            Kind::Unit => &self.roots.unit,
        };
        let blocks = self.policy.blocks.iter().enumerate();
        let open = blocks.filter(|(n, b)| match b.kind {
            // What comes to a task whose profile is of some users is found out: the two cannot be had together.
            BlockKind::Profile => from.profile.is_none_or(|p| p != *n && self.of_users[p]),
            BlockKind::Guard => !from.guards.contains(n) && !self.attachments[*n].host,
        });
        let mut roots: Vec<u32> = open.filter_map(|(n, _)| own[n]).collect();
        if kind == Kind::Exec {
            roots.extend(from.profile.and_then(|p| self.roots.switch[p]));
        }
        roots
    }

    /// The combination after the selectors and switches `ids` matched, as a number from 1; 0 for no change.
    fn follow(&mut self, from: &Combination, ids: &[u32], kind: Kind) -> u32 {
        let n = self.policy.blocks.len() * RANKS;
        let mut to = from.clone();
        let mut chosen: Option<(usize, usize)> = None;
        for (place, id) in ids.iter().enumerate() {
            let (block, rank) = match (*id as usize).checked_sub(n) {
                None => (*id as usize / RANKS, *id as usize % RANKS),
                // An exception, or a switch whose exception matched, too: the ids are sorted.
                Some(switch) if switch % 2 == 1 || ids.get(place + 1) == Some(&(id + 1)) => continue,
                Some(switch) => (self.roots.switches[switch / 2], 0),
            };
            if self.policy.blocks[block].kind == BlockKind::Guard {
                to.guards.insert(block);
                continue;
            }
            // The most specific line wins, and of several profiles with equal ones none can. Nor can one of some users
            // win, because the other is what other users have.
            let (least, best) = chosen.unwrap_or((rank, block));
            let winner = if rank < least { block } else { best };
            if best != block && (least == rank || self.of_users[winner]) {
                self.clash(from, best, block);
            }
            chosen = Some((least.min(rank), winner));
        }
        let chosen = chosen.map(|(_, block)| block);
        if let (Some(own), Some(other)) = (from.profile.filter(|p| self.of_users[*p]), chosen) {
            if kind == Kind::Unit {
                return REFUSED;
            }
            self.second(own, other);
        }
        to.profile = chosen.or(from.profile);
        if to == *from {
            return 0;
        }
        if let Some(number) = self.number.get(&to) {
            return *number;
        }
        // Past the limit the number does not matter: the caller gives up.
        if self.list.len() <= MOST {
            self.list.push(to.clone());
        }
        let number = self.list.len() as u32;
        self.number.insert(to, number);
        number
    }

    fn clash(&mut self, from: &Combination, a: usize, b: usize) {
        if !self.reported.insert((a.min(b), a.max(b))) {
            return;
        }
        let name = |n: usize| self.policy.blocks[n].name.as_str();
        let reason = match from.profile {
            Some(p) => {
                format!("one exec of profile {} switches to profile {} and to profile {}", name(p), name(a), name(b))
            }
            None => format!("profile {} and profile {} attach to the same task at the same moment", name(a), name(b)),
        };
        let mend = match self.of_users[a] || self.of_users[b] {
            true => {
                "make one profile of them, without `user`, and write `by user` in the rules that are for some users"
            }
            false => "make their patterns exclude each other",
        };
        self.gaps.push(Gap::of_block(&self.policy.blocks[a], reason, mend.to_owned()));
    }

    /// A task of one profile can come to another, which it would have only as some users.
    fn second(&mut self, own: usize, other: usize) {
        if !self.reported.insert((own.min(other), own.max(other))) {
            return;
        }
        let [own, other] = [own, other].map(|n| &self.policy.blocks[n]);
        let reason = format!(
            "a task of profile {}, which is of some users only, can come to profile {} as another user",
            own.name, other.name
        );
        let mend = format!(
            "leave `user` out of the subject of {}, and write `by user` in the rules that are for some users",
            own.name
        );
        self.gaps.push(Gap::of_block(own, reason, mend));
    }
}
