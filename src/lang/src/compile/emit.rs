//! The parts of the tables, put together.

use std::borrow::Cow;

use kiln_base::abi::Tables;
use kiln_base::abi::kernel::{DEAD_WORDS, Kernel, decision_words, outcome_word, subject_words};
use kiln_base::abi::layout::{self, Header, Subject};
use kiln_base::abi::metadata::{BlockInfo, HOST_KEY, Metadata, NO_RULE, SENTINEL_KEY, SubjectInfo, WindowInfo};
use kiln_base::model::{Action, Cidr, KernelOp, Mode, Proto, Severity, Verb, VerbSet};

use super::calls;
use super::decision::{Book, Joint, View, joint, joint_where};
use super::gap::{asks_image, quarantines};
use super::limit;
use super::lines::Machine;
use super::moment::{self, Moment};
use super::names::Names;
use super::pack::pack;
use super::rules::Rules;
use super::subjects::{Combination, HOST, Plan, SENTINEL, key};
use super::users::Selectors;
use super::{CompileError, Options};
use crate::automata::{ByteSet, Dfa, Limits, Nfa, Pattern, Subset, region};
use crate::policy::detour;
use crate::policy::normal::{Addresses, Block, BlockKind, Effect, Object, Policy};

/// The verbs of a decision on a path or unix socket.
const PATH_VERBS: VerbSet = VerbSet::FILE.union(VerbSet::NETWORK);

pub(super) fn emit(
    policy: &Policy,
    options: &Options,
    selectors: &Selectors,
    plan: Plan,
    machine: Machine<'_>,
) -> Result<Tables, CompileError> {
    let rules = Rules::of(policy, selectors, &plan.lines);
    let mut book = Book::new();
    let names = Names::of(policy)?;
    let objects = Objects::build(policy, &rules, names.as_ref())?;
    let mut paths = Subset::new(&objects.paths, objects.paths.classes(), Limits::default());
    let mut nets = Subset::new(&objects.nets, objects.nets.classes(), Limits::default());
    let mut all = Subjects { subjects: vec![Subject::default()], starts: Vec::new(), rows: Vec::new(), n_variants: 0 };
    let mut variants = Vec::new();
    for (n, combination) in plan.combinations.iter().enumerate() {
        if n == 1 {
            all.subjects.push(sentinel(&mut book));
        }
        let blocks = plan.bound(&rules, combination);
        let (windows, users) = (moment::windows(&rules, &blocks), moment::users(&rules, &blocks));
        let quarantined = combination.quarantined;
        let mut at = |moment| {
            let bound = Bound { view: View::of(&rules, &plan.at(&rules, combination, moment), moment), quarantined };
            subject(&bound, &objects, &mut book, &mut paths, &mut nets)
        };
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let known = |bits: u64| Some(0).filter(|_| bits == 0);
        let (mut s, own) = at(Moment { open: known(windows), user: known(users) })?;
        s.flags = flag(combination.profile.is_some(), layout::S_PROFILE)
            | flag(quarantined, layout::S_QUARANTINE)
            | flag(blocks.iter().any(|b| has_names(&policy.blocks[*b])), layout::S_DNS);
        s.quarantine = plan.quarantine(n);
        if windows | users != 0 {
            let (bits, moments) = moment::moments(policy, selectors, windows, users);
            s.flags |= flag(windows != 0, layout::S_TIMED) | flag(users != 0, layout::S_USER);
            s.window = moment::listed(bits, || key(&policy.blocks, combination))?;
            // From the first row; the place of the rows is known when all words before them are.
            s.row = all.rows.len() as u32;
            let row = all.rows.len();
            all.rows.resize(row + (1 << bits.count_ones()), None);
            for (set, moment) in moments {
                let (variant, own) = at(moment)?;
                all.rows[row + moment::place(bits, set)] = Some(variants.len());
                variants.push((n, Subject { flags: s.flags, quarantine: s.quarantine, ..variant }, own));
                if variants.len() > MOMENTS {
                    return Err(CompileError::Moments(MOMENTS));
                }
            }
        }
        all.starts.push((Plan::index(n), n, own));
        all.subjects.push(s);
    }
    if plan.combinations.len() == 1 {
        all.subjects.push(sentinel(&mut book));
    }
    all.n_variants = variants.len();
    for (n, variant, own) in variants {
        all.starts.push((all.subjects.len() as u32, n, own));
        all.subjects.push(variant);
    }
    let automata = Automata { paths: paths.finish(), nets: nets.finish(), names };
    let kernel = assemble(&plan, &book, all, &automata, (marks(policy, &rules), selectors))?;
    let metadata = metadata(policy, options, selectors, &plan, &rules);
    let image = machine.image.filter(|_| asks_image(policy)).cloned();
    let on = machine.hosts.iter().cloned().collect();
    let metadata = Metadata { image, on, ..metadata };
    Ok(Tables::new(kernel, metadata)?)
}

/// Most subjects that decide for another at a time.
const MOMENTS: usize = 4096;

/// The subjects of the tables.
struct Subjects {
    /// Those that labels mean, then the variants.
    subjects: Vec<Subject>,
    n_variants: usize,
    /// Per subject but the sentinel: its index, its combination, and its starts.
    starts: Vec<(u32, usize, Starts)>,
    /// Which variant is of a set of open windows, row behind row.
    rows: Vec<Option<usize>>,
}

/// The patterns of all rules, by block.
struct Objects {
    paths: Nfa,
    path_roots: Vec<Option<u32>>,
    nets: Nfa,
    net_roots: Vec<Option<u32>>,
}

impl Objects {
    fn build(policy: &Policy, rules: &Rules<'_>, names: Option<&Names>) -> Result<Objects, CompileError> {
        let n = policy.blocks.len();
        let mut o =
            Objects { paths: Nfa::new(), path_roots: vec![None; n], nets: Nfa::new(), net_roots: vec![None; n] };
        for block in 0..n {
            for (number, entry) in rules.of_block(block) {
                match entry.object {
                    Some(Object::File { paths, except, .. } | Object::Unix { paths, except, .. }) => {
                        let root = *o.path_roots[block].get_or_insert_with(|| o.paths.root());
                        let except = except.iter().map(|path| (path, number | EXCEPT));
                        for (path, id) in paths.iter().map(|path| (path, number)).chain(except) {
                            let pattern = Pattern::parse(&path.0).map_err(|error| {
                                let rule = &policy.blocks[block].rules[(number - rules.first[block]) as usize];
                                CompileError::Glob { origin: rule.origin.clone(), error }
                            })?;
                            o.paths.add(root, &pattern, id);
                        }
                    }
                    Some(Object::Net { proto, addresses: Addresses::Blocks(cidrs), ports, .. }) => {
                        let root = *o.net_roots[block].get_or_insert_with(|| o.nets.root());
                        for (cidr, range) in cidrs.iter().flat_map(|c| ports.iter().map(move |p| (c, p))) {
                            for mut sets in region::strings(*proto as u8, cidr, *range) {
                                o.nets.add_sets(root, &sets, number);
                                // And whatever name the address has.
                                if names.is_some() {
                                    sets.push(ByteSet::ANY);
                                    o.nets.add_sets(root, &sets, number);
                                }
                            }
                        }
                    }
                    Some(Object::Net { proto, addresses: Addresses::Dns(name), ports, .. }) => {
                        let root = *o.net_roots[block].get_or_insert_with(|| o.nets.root());
                        let mut having = ByteSet::EMPTY;
                        names.into_iter().flat_map(|names| names.with(name)).for_each(|set| having.insert(set));
                        for mut sets in ports.iter().flat_map(|p| region::strings(*proto as u8, &Cidr::ANY, *p)) {
                            sets.push(having);
                            o.nets.add_sets(root, &sets, number);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(o)
    }
}

/// Marks the number of a rule where a pattern is one of its exceptions.
const EXCEPT: u32 = 1 << 31;

/// The rules that speak of what the patterns `ids` match: those of which no exception is among them.
fn speaking(ids: &[u32]) -> Cow<'_, [u32]> {
    // Sorted, so that the exceptions stand at the end.
    let (rules, except) = ids.split_at(ids.partition_point(|id| id & EXCEPT == 0));
    if except.is_empty() {
        return Cow::Borrowed(rules);
    }
    rules.iter().copied().filter(|id| except.binary_search(&(id | EXCEPT)).is_err()).collect()
}

/// Whether a subject has a start in the path automaton, for all its blocks and for its guards alone, and in the network
/// automaton: the how-manieth.
#[derive(Default)]
struct Starts {
    path: Option<usize>,
    guard: Option<usize>,
    net: Option<usize>,
}

fn subject(
    bound: &Bound<'_>,
    objects: &Objects,
    book: &mut Book,
    paths: &mut Subset<'_>,
    nets: &mut Subset<'_>,
) -> Result<(Subject, Starts), CompileError> {
    let view = &bound.view;
    let mut s = Subject { verbs: bound.governed().bits().into(), ..Subject::default() };
    let on = |ids: &[u32], verbs: VerbSet, book: &mut Book| book.decision(verbs, |v| bound.joint(ids, v));
    s.path_default = on(&[], PATH_VERBS, book);
    s.net_default = on(&[], VerbSet::NETWORK, book);
    let addresses = |o: &Object| matches!(o, Object::Net { .. });
    let unknown = refusals(view, |o| !addresses(o));
    s.fail = on(&unknown, PATH_VERBS, book);
    let unknown = refusals(view, addresses);
    s.fail_net = on(&unknown, VerbSet::NETWORK, book);
    let roots = |all: &[Option<u32>]| view.blocks.iter().filter_map(|b| all[*b]).collect::<Vec<u32>>();
    let mut starts = Starts::default();
    let (path_roots, net_roots) = (roots(&objects.path_roots), roots(&objects.net_roots));
    // An accept that says what the default says is none.
    if !path_roots.is_empty() {
        let default = s.path_default;
        let decide = |ids: &[u32]| Some(on(&speaking(ids), PATH_VERBS, book)).filter(|d| *d != default).unwrap_or(0);
        paths.start(&path_roots, decide)?;
        starts.path = Some(paths.starts() - 1);
    }
    // What the guards alone say of a name: a profile names files by the names that its task gives them.
    let guards = view.guards();
    let named = named(&guards);
    if !named.is_empty() {
        s.guard_verbs = named.bits().into();
        let unknown = refusals(&guards, |o| !addresses(o));
        s.guard_fail = book.decision(named, |v| joint(&guards, &unknown, v));
        let nothing = book.decision(named, |_| super::decision::Joint::Allow);
        let decide = |ids: &[u32]| {
            let ids = speaking(ids);
            let decision = book.decision(named, |v| joint(&guards, &ids, v));
            Some(decision).filter(|d| *d != nothing).unwrap_or(0)
        };
        let roots: Vec<u32> = guards.blocks.iter().filter_map(|b| objects.path_roots[*b]).collect();
        paths.start(&roots, decide)?;
        starts.guard = Some(paths.starts() - 1);
    }
    if !net_roots.is_empty() {
        let default = s.net_default;
        let decide = |ids: &[u32]| Some(on(ids, VerbSet::NETWORK, book)).filter(|d| *d != default).unwrap_or(0);
        nets.start(&net_roots, decide)?;
        starts.net = Some(nets.starts() - 1);
    }
    let listed: Vec<(u32, &Object)> = view
        .entries()
        .filter_map(|(n, e)| Some((n, e.object?)))
        .filter(|(_, o)| matches!(o, Object::Capability { .. } | Object::Kernel { .. }))
        .collect();
    let matching = |holds: &dyn Fn(&Object) -> bool| -> Vec<u32> {
        listed.iter().filter(|(_, o)| holds(o)).map(|(n, _)| *n).collect()
    };
    let caps = book.list(64, |n| {
        let ids = matching(&|o| matches!(o, Object::Capability { numbers } if numbers.contains(&n)));
        bound.joint_of(&ids, Verb::Capability, &|governs| detour::governs_capability(governs, n))
    });
    (s.cap_deny, s.cap_would, s.cap_watch, s.cap_off) = (caps.deny, caps.would, caps.watch, caps.offset);
    let about = |op: KernelOp| matching(&|o| matches!(o, Object::Kernel { ops } if ops.contains(&op)));
    let ops = book.list(32, |n| match KernelOp::ALL.get(usize::from(n)) {
        None => Joint::Allow,
        Some(op) => bound.joint_of(&about(*op), Verb::Kernel, &|governs| detour::governs_op(governs, *op)),
    });
    // What is refused as a detour and by nobody's own word: of these the kernel programs let pass what goes round nothing.
    for op in KernelOp::ALL {
        let refuses = |joint| matches!(joint, Joint::Deny(_) | Joint::Would(_));
        let bit = 1 << *op as u8;
        if (ops.deny | ops.would) as u32 & bit != 0 && !refuses(joint(view, &about(*op), Verb::Kernel)) {
            s.kernel_detour |= bit;
        }
    }
    (s.kernel_deny, s.kernel_would, s.kernel_watch) = (ops.deny as u32, ops.would as u32, ops.watch as u32);
    s.kernel_off = ops.offset;
    Ok((s, starts))
}

/// The blocks of a combination, and whether it is in quarantine: then it is as if another profile governed what
/// quarantine refuses, with its detours, and allowed none of it.
struct Bound<'a> {
    view: View<'a>,
    quarantined: bool,
}

impl Bound<'_> {
    fn joint(&self, ids: &[u32], verb: Verb) -> Joint {
        let joint = joint(&self.view, ids, verb);
        self.within(joint, VerbSet::QUARANTINE.contains(verb))
    }

    fn joint_of(&self, ids: &[u32], verb: Verb, governed: &dyn Fn(VerbSet) -> bool) -> Joint {
        let joint = joint_where(&self.view, ids, verb, governed);
        self.within(joint, governed(VerbSet::QUARANTINE))
    }

    /// Only what ends the process is more than quarantine.
    fn within(&self, joint: Joint, refused: bool) -> Joint {
        match joint {
            Joint::Deny(o) if o.action == Action::Kill as u8 => joint,
            _ if self.quarantined && refused => Joint::Deny(unruled(Severity::High, layout::R_QUARANTINE)),
            _ => joint,
        }
    }

    fn governed(&self) -> VerbSet {
        let own = governed(&self.view);
        if self.quarantined { own.union(detour::closure(VerbSet::QUARANTINE)) } else { own }
    }
}

/// A refusal that no rule says.
fn unruled(severity: Severity, reason: u8) -> layout::Outcome {
    let (action, mode) = (Action::Alert as u8, Mode::Enforce as u8);
    layout::Outcome { rule: NO_RULE, severity: severity as u8, action, mode, reason }
}

/// The verbs for which a decision can be anything but plain permission.
fn governed(view: &View<'_>) -> VerbSet {
    let blocks = view.blocks.iter().map(|b| &view.rules.blocks[*b]);
    let profiles = blocks.filter(|b| b.kind == BlockKind::Profile);
    let verbs = profiles.fold(VerbSet::EMPTY, |v, b| v.union(detour::closure(b.governs)));
    let verbs = view.entries().filter(|(_, e)| e.effect != Effect::Allow).fold(verbs, |v, (_, e)| v.union(e.verbs));
    // System calls are not theirs: `calls`.
    VerbSet::from_bits(verbs.bits() & !(1 << Verb::Syscall as u16))
}

/// Whether a rule permits connections by name.
fn has_names(block: &Block) -> bool {
    block.rules.iter().any(|r| matches!(r.object, Object::Net { addresses: Addresses::Dns(_), .. }))
}

/// The verbs of which rules refuse or watch paths.
fn named(view: &View<'_>) -> VerbSet {
    let all = view.entries().filter(|(_, e)| e.effect != Effect::Allow);
    all.filter(|(_, e)| matches!(e.object, Some(Object::File { .. } | Object::Unix { .. })))
        .fold(VerbSet::EMPTY, |verbs, (_, e)| verbs.union(e.verbs))
}

/// The rules that refuse an object that cannot be resolved: any of them might have that is about objects of its kind.
fn refusals(view: &View<'_>, kind: impl Fn(&Object) -> bool) -> Vec<u32> {
    view.entries().filter(|(_, e)| e.effect == Effect::Deny && e.object.is_some_and(&kind)).map(|(n, _)| n).collect()
}

/// Whether a rule on accept names addresses: else the port alone decides, and not the peer.
fn peers(rules: &Rules<'_>) -> bool {
    rules.entries.iter().any(|e| match e.object {
        Some(Object::Net { verbs, addresses: Addresses::Blocks(cidrs), .. }) => {
            verbs.contains(Verb::Accept) && !cidrs.contains(&Cidr::ANY)
        }
        _ => false,
    })
}

/// Whether a datagram can be refused when it arrives: a profile governs `accept`, or some rule refuses or watches it.
fn datagrams(rules: &Rules<'_>) -> bool {
    let governs = rules.blocks.iter().any(|b| b.kind == BlockKind::Profile && b.governs.contains(Verb::Accept));
    governs
        || rules.entries.iter().any(|e| match e.object {
            Some(Object::Net { verbs, proto, .. }) => {
                let datagram = matches!(proto, Proto::Udp | Proto::Icmp);
                datagram && e.effect != Effect::Allow && verbs.contains(Verb::Accept)
            }
            _ => false,
        })
}

/// What the policy has attached beside what its subjects ask for.
fn marks(policy: &Policy, rules: &Rules<'_>) -> u32 {
    let flag = |used: bool, flag: u32| if used { flag } else { 0 };
    let names = policy.blocks.iter().any(has_names);
    flag(limit::rates(policy), layout::H_RATES)
        | flag(limit::throttles(policy), layout::H_THROTTLE)
        | flag(peers(rules), layout::H_PEER)
        // Who may answer in a name server's place is told by who has made or bound the socket.
        | flag(datagrams(rules) || quarantines(policy) || names, layout::H_DATAGRAM)
        | flag(names, layout::H_DNS)
}

/// The subject that is denied everything, by which enforcement is proven.
fn sentinel(book: &mut Book) -> Subject {
    let deny = Joint::Deny(unruled(Severity::Low, 0));
    let all = book.decision(PATH_VERBS, |_| deny);
    let caps = book.list(64, |_| deny);
    let ops = book.list(32, |_| deny);
    Subject {
        path_default: all,
        net_default: all,
        fail: all,
        fail_net: all,
        cap_off: caps.offset,
        kernel_off: ops.offset,
        verbs: VerbSet::ALL.bits().into(),
        cap_deny: caps.deny,
        kernel_deny: ops.deny as u32,
        flags: layout::S_SENTINEL,
        ..Subject::default()
    }
}

struct Automata {
    paths: Dfa,
    nets: Dfa,
    names: Option<Names>,
}

fn assemble(
    plan: &Plan,
    book: &Book,
    Subjects { mut subjects, n_variants, starts, rows }: Subjects,
    automata: &Automata,
    (marks, selectors): (u32, &Selectors),
) -> Result<Kernel, CompileError> {
    let mut words = vec![0u64; DEAD_WORDS];
    let subjects_off = words.len();
    words.resize(subjects_off + subjects.len() * kiln_base::abi::kernel::SUBJECT_WORDS, 0);
    let decisions_off = words.len();
    book.decisions.iter().for_each(|d| words.extend(decision_words(d)));
    let outcomes_off = words.len();
    words.extend(book.outcomes.iter().map(outcome_word));
    let outcome_refs_off = words.len();
    words.extend(book.refs.chunks(2).map(|p| u64::from(p[0]) | u64::from(p.get(1).copied().unwrap_or(0)) << 32));
    let rows_off = words.len();
    let n_subjects = subjects.len() - n_variants;
    words.extend(rows.iter().map(|variant| variant.map_or(0, |n| (n_subjects + n) as u64)));
    let users = (words.len(), selectors.table());
    words.extend(users.1.iter().map(|(uid, bits)| u64::from(*uid) | bits << 32));
    subjects.iter_mut().filter(|s| s.window != [0; layout::SUBJECT_WINDOWS]).for_each(|s| s.row += rows_off as u32);
    // Paths, what follows an exec and what follows a unit, and names share classes, so that there is one table for them.
    let (mut paths, mut next) = Dfa::common_classes(&automata.paths, &plan.next);
    let mut names = None;
    if let Some(own) = &automata.names {
        let (all, named) = Dfa::common_classes(&paths, &own.automaton);
        (next, paths) = (Dfa::common_classes(&next, &all).0, all);
        names = Some((named, own));
    }
    let path_class = *paths.classes().map();
    let mut add = |dfa: &Dfa| -> Result<Vec<u32>, CompileError> {
        let most = layout::USABLE_WORDS;
        let packed = pack(dfa, words.len(), most).map_err(|need| CompileError::Words { need, most })?;
        words.extend(packed.words);
        Ok(packed.place)
    };
    let (path_at, next_at, net_at) = (add(&paths)?, add(&next)?, add(&automata.nets)?);
    let names_start = match &names {
        Some((automaton, _)) => add(automaton)?[automaton.first_start() as usize],
        None => 0,
    };
    for (index, n, own) in starts {
        let s = &mut subjects[index as usize];
        s.path_start = own.path.map_or(0, |p| path_at[paths.starts()[p] as usize]);
        s.guard_start = own.guard.map_or(0, |p| path_at[paths.starts()[p] as usize]);
        s.net_start = own.net.map_or(0, |p| net_at[automata.nets.starts()[p] as usize]);
        // A switch of a rule with a condition is a gap: what follows an exec or unit hangs neither on the time nor on
        // the user.
        s.exec_start = next_at[plan.starts[n].0 as usize];
        s.unit_start = next_at[plan.starts[n].1 as usize];
    }
    for (n, s) in subjects.iter().enumerate().skip(1) {
        let at = subjects_off + n * kiln_base::abi::kernel::SUBJECT_WORDS;
        words[at..][..kiln_base::abi::kernel::SUBJECT_WORDS].copy_from_slice(&subject_words(s));
    }
    if words.len() > layout::USABLE_WORDS {
        return Err(CompileError::Words { need: words.len(), most: layout::USABLE_WORDS });
    }
    let real = || subjects.iter().enumerate().skip(1).filter(|(n, _)| *n != SENTINEL as usize).map(|(_, s)| s);
    let attach = |flag: u32, used: bool| if used { flag } else { 0 };
    let header = Header {
        magic: layout::ABI_MAGIC,
        abi_version: layout::ABI_VERSION,
        words: words.len() as u32,
        subjects_off: subjects_off as u32,
        n_subjects: n_subjects as u32,
        decisions_off: decisions_off as u32,
        n_decisions: book.decisions.len() as u32,
        outcomes_off: outcomes_off as u32,
        n_outcomes: book.outcomes.len() as u32,
        outcome_refs_off: outcome_refs_off as u32,
        n_outcome_refs: book.refs.len() as u32,
        host_verbs: subjects[HOST as usize].verbs
            | if subjects[HOST as usize].exec_start != 0 { layout::HOST_EXEC } else { 0 },
        required_hooks_lo: real().fold(0, |all, s| all | s.verbs)
            | attach(layout::H_EXEC, real().any(|s| s.exec_start != 0))
            | attach(layout::H_UNIT, real().any(|s| s.unit_start != 0))
            | marks,
        required_hooks_hi: real().fold(0, |all, s| all | s.kernel_deny | s.kernel_would | s.kernel_watch),
        n_variants: n_variants as u32,
        n_rows: rows.len() as u32,
        path_class,
        net_class: *automata.nets.classes().map(),
        names_start,
        n_names: names.as_ref().map_or(0, |(_, own)| own.len() as u32),
        names_key: names.as_ref().map_or(0, |(_, own)| own.key),
        users_off: users.0 as u32,
        n_users: users.1.len() as u32,
    };
    let mut kernel = Kernel { header, words };
    for (n, s) in subjects.iter().enumerate().skip(1) {
        let [net4_tcp, net4_udp] = [6, 17].map(|protocol| kernel.net4_state(s.net_start, protocol));
        let [any_tcp, any_udp] = [6, 17].map(|protocol| kernel.any_address(s, protocol));
        let quick = Subject { net4_tcp, net4_udp, any_tcp, any_udp, ..*s };
        let at = subjects_off + n * kiln_base::abi::kernel::SUBJECT_WORDS;
        kernel.words[at..][..kiln_base::abi::kernel::SUBJECT_WORDS].copy_from_slice(&subject_words(&quick));
    }
    Ok(kernel)
}

fn metadata(policy: &Policy, options: &Options, selectors: &Selectors, plan: &Plan, rules: &Rules<'_>) -> Metadata {
    let name = |n: &usize| policy.blocks[*n].name.clone();
    let info = |n: usize, c: &Combination| {
        let blocks = plan.blocks(c);
        let mut guards: Vec<String> = blocks.iter().filter(|b| Some(**b) != c.profile).map(name).collect();
        guards.sort_unstable();
        SubjectInfo {
            key: key(&policy.blocks, c),
            index: Plan::index(n),
            profile: c.profile.as_ref().map(name),
            guards,
            calls: calls::filter(rules, &blocks),
        }
    };
    let mut subjects: Vec<SubjectInfo> = plan.combinations.iter().enumerate().map(|(n, c)| info(n, c)).collect();
    debug_assert_eq!(subjects[0].key, HOST_KEY);
    let key = SENTINEL_KEY.to_owned();
    subjects.insert(1, SubjectInfo { key, index: SENTINEL, profile: None, guards: Vec::new(), calls: None });
    let named = plan.named();
    let blocks = policy.blocks.iter().enumerate().map(|(n, b)| BlockInfo {
        kind: b.kind,
        name: b.name.clone(),
        mode: b.mode,
        units: named[n].units.iter().cloned().collect(),
        exec: named[n].exec.iter().cloned().collect(),
        host: plan.attachments[n].host,
        limits: limit::describe(b),
    });
    let units = named.iter().flat_map(|n| n.units.iter().cloned());
    Metadata {
        policy: options.policy,
        source: crate::policy::to_pdl(policy),
        serial: options.serial,
        kernel: options.kernel.to_string(),
        subjects,
        blocks: blocks.collect(),
        rules: rules.describe(),
        units: units.collect::<std::collections::BTreeSet<_>>().into_iter().collect(),
        windows: policy.windows.iter().map(|(n, w)| WindowInfo { name: n.clone(), window: w.clone() }).collect(),
        users: selectors.describe(),
        image: None,
        hosts: None,
        on: Vec::new(),
    }
}
