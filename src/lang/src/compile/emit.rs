//! The parts of the tables, put together.

use std::borrow::Cow;

use kiln_base::abi::Tables;
use kiln_base::abi::kernel::{DEAD_WORDS, Kernel, decision_words, outcome_word, subject_words};
use kiln_base::abi::layout::{self, Header, Subject};
use kiln_base::abi::metadata::{BlockInfo, HOST_KEY, Metadata, NO_RULE, SENTINEL_KEY, SubjectInfo};
use kiln_base::model::{Action, Cidr, KernelOp, Mode, Severity, Verb, VerbSet};

use super::decision::{Book, Joint, joint, joint_where};
use super::limit;
use super::pack::pack;
use super::rules::Rules;
use super::subjects::{Combination, HOST, Plan, SENTINEL, key, switched};
use super::{CompileError, Options};
use crate::automata::{Dfa, Limits, Nfa, Pattern, Subset, region};
use crate::policy::detour;
use crate::policy::normal::{Addresses, BlockKind, Effect, Object, Policy, SelectorKey};

/// The verbs of a decision on a path or unix socket.
const PATH_VERBS: VerbSet = VerbSet::FILE.union(VerbSet::NETWORK);

pub(super) fn emit(policy: &Policy, options: &Options, plan: Plan) -> Result<Tables, CompileError> {
    let rules = Rules::of(policy);
    let mut book = Book::new();
    let objects = Objects::build(policy, &rules)?;
    let mut paths = Subset::new(&objects.paths, objects.paths.classes(), Limits::default());
    let mut nets = Subset::new(&objects.nets, objects.nets.classes(), Limits::default());
    let mut subjects = vec![Subject::default()];
    let mut starts = Vec::new();
    for (n, combination) in plan.combinations.iter().enumerate() {
        if n == 1 {
            subjects.push(sentinel(&mut book));
        }
        let blocks = plan.blocks(combination);
        let (subject, own) = subject(&rules, &objects, &blocks, &mut book, &mut paths, &mut nets)?;
        starts.push(own);
        subjects.push(Subject { flags: if combination.profile.is_some() { layout::S_PROFILE } else { 0 }, ..subject });
    }
    if plan.combinations.len() == 1 {
        subjects.push(sentinel(&mut book));
    }
    let automata = Automata { paths: paths.finish(), nets: nets.finish(), starts };
    let kernel = assemble(&plan, &book, subjects, &automata, marks(policy, &rules))?;
    let metadata = metadata(policy, options, &plan, &rules);
    Ok(Tables::new(kernel, metadata)?)
}

/// The patterns of all rules, by block.
struct Objects {
    paths: Nfa,
    path_roots: Vec<Option<u32>>,
    nets: Nfa,
    net_roots: Vec<Option<u32>>,
}

impl Objects {
    fn build(policy: &Policy, rules: &Rules<'_>) -> Result<Objects, CompileError> {
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
                            for sets in region::strings(*proto as u8, cidr, *range) {
                                o.nets.add_sets(root, &sets, number);
                            }
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
    rules: &Rules<'_>,
    objects: &Objects,
    blocks: &[usize],
    book: &mut Book,
    paths: &mut Subset<'_>,
    nets: &mut Subset<'_>,
) -> Result<(Subject, Starts), CompileError> {
    let mut s = Subject { verbs: governed(rules, blocks).bits().into(), ..Subject::default() };
    let on = |ids: &[u32], verbs: VerbSet, book: &mut Book| book.decision(verbs, |v| joint(rules, blocks, ids, v));
    s.path_default = on(&[], PATH_VERBS, book);
    s.net_default = on(&[], VerbSet::NETWORK, book);
    let addresses = |o: &Object| matches!(o, Object::Net { .. });
    let unknown = refusals(rules, blocks, |o| !addresses(o));
    s.fail = book.decision(PATH_VERBS, |v| joint(rules, blocks, &unknown, v));
    let unknown = refusals(rules, blocks, addresses);
    s.fail_net = book.decision(VerbSet::NETWORK, |v| joint(rules, blocks, &unknown, v));
    let roots = |all: &[Option<u32>]| blocks.iter().filter_map(|b| all[*b]).collect::<Vec<u32>>();
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
    let guards: Vec<usize> = blocks.iter().copied().filter(|b| rules.blocks[*b].kind == BlockKind::Guard).collect();
    let named = named(rules, &guards);
    if !named.is_empty() {
        s.guard_verbs = named.bits().into();
        let unknown = refusals(rules, &guards, |o| !addresses(o));
        s.guard_fail = book.decision(named, |v| joint(rules, &guards, &unknown, v));
        let nothing = book.decision(named, |_| super::decision::Joint::Allow);
        let decide = |ids: &[u32]| {
            let ids = speaking(ids);
            let decision = book.decision(named, |v| joint(rules, &guards, &ids, v));
            Some(decision).filter(|d| *d != nothing).unwrap_or(0)
        };
        let roots: Vec<u32> = guards.iter().filter_map(|b| objects.path_roots[*b]).collect();
        paths.start(&roots, decide)?;
        starts.guard = Some(paths.starts() - 1);
    }
    if !net_roots.is_empty() {
        let default = s.net_default;
        let decide = |ids: &[u32]| Some(on(ids, VerbSet::NETWORK, book)).filter(|d| *d != default).unwrap_or(0);
        nets.start(&net_roots, decide)?;
        starts.net = Some(nets.starts() - 1);
    }
    let listed: Vec<(u32, &Object)> = blocks
        .iter()
        .flat_map(|b| rules.of_block(*b))
        .filter_map(|(n, e)| Some((n, e.object?)))
        .filter(|(_, o)| matches!(o, Object::Capability { .. } | Object::Kernel { .. }))
        .collect();
    let matching = |holds: &dyn Fn(&Object) -> bool| -> Vec<u32> {
        listed.iter().filter(|(_, o)| holds(o)).map(|(n, _)| *n).collect()
    };
    let caps = book.list(64, |n| {
        let ids = matching(&|o| matches!(o, Object::Capability { numbers } if numbers.contains(&n)));
        joint_where(rules, blocks, &ids, Verb::Capability, &|governs| detour::governs_capability(governs, n))
    });
    (s.cap_deny, s.cap_would, s.cap_watch, s.cap_off) = (caps.deny, caps.would, caps.watch, caps.offset);
    let about = |op: KernelOp| matching(&|o| matches!(o, Object::Kernel { ops } if ops.contains(&op)));
    let ops = book.list(32, |n| match KernelOp::ALL.get(usize::from(n)) {
        None => Joint::Allow,
        Some(op) => joint_where(rules, blocks, &about(*op), Verb::Kernel, &|governs| detour::governs_op(governs, *op)),
    });
    // What is refused as a detour and by nobody's own word: of these the kernel programs let pass what goes round nothing.
    for op in KernelOp::ALL {
        let refuses = |joint| matches!(joint, Joint::Deny(_) | Joint::Would(_));
        let bit = 1 << *op as u8;
        if (ops.deny | ops.would) as u32 & bit != 0 && !refuses(joint(rules, blocks, &about(*op), Verb::Kernel)) {
            s.kernel_detour |= bit;
        }
    }
    (s.kernel_deny, s.kernel_would, s.kernel_watch) = (ops.deny as u32, ops.would as u32, ops.watch as u32);
    s.kernel_off = ops.offset;
    Ok((s, starts))
}

/// The verbs for which a decision can be anything but plain permission.
fn governed(rules: &Rules<'_>, blocks: &[usize]) -> VerbSet {
    let mut verbs = VerbSet::EMPTY;
    for block in blocks {
        let b = &rules.blocks[*block];
        if b.kind == BlockKind::Profile {
            verbs = verbs.union(detour::closure(b.governs));
        }
        let speaking = rules.of_block(*block).filter(|(_, e)| e.effect != Effect::Allow);
        verbs = speaking.fold(verbs, |v, (_, e)| v.union(e.verbs));
    }
    verbs
}

/// The verbs of which rules of these blocks refuse or watch paths.
fn named(rules: &Rules<'_>, blocks: &[usize]) -> VerbSet {
    let all = blocks.iter().flat_map(|b| rules.of_block(*b)).filter(|(_, e)| e.effect != Effect::Allow);
    all.filter(|(_, e)| matches!(e.object, Some(Object::File { .. } | Object::Unix { .. })))
        .fold(VerbSet::EMPTY, |verbs, (_, e)| verbs.union(e.verbs))
}

/// The rules that refuse an object that cannot be resolved: any of them might have that is about objects of its kind.
fn refusals(rules: &Rules<'_>, blocks: &[usize], kind: impl Fn(&Object) -> bool) -> Vec<u32> {
    let own = blocks.iter().flat_map(|b| rules.of_block(*b));
    own.filter(|(_, e)| e.effect == Effect::Deny && e.object.is_some_and(&kind)).map(|(n, _)| n).collect()
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

/// What the policy has attached beside what its subjects ask for.
fn marks(policy: &Policy, rules: &Rules<'_>) -> u32 {
    let rates = if limit::rates(policy) { layout::H_RATES } else { 0 };
    rates | if peers(rules) { layout::H_PEER } else { 0 }
}

/// The subject that is denied everything, by which enforcement is proven.
fn sentinel(book: &mut Book) -> Subject {
    let outcome = layout::Outcome {
        rule: NO_RULE,
        severity: Severity::Low as u8,
        action: Action::Alert as u8,
        mode: Mode::Enforce as u8,
        pad: 0,
    };
    let deny = Joint::Deny(outcome);
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
    starts: Vec<Starts>,
}

fn assemble(
    plan: &Plan,
    book: &Book,
    mut subjects: Vec<Subject>,
    automata: &Automata,
    marks: u32,
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
    // Paths, what follows an exec and what follows a unit share classes, so that there is one table for them.
    let (paths, next) = Dfa::common_classes(&automata.paths, &plan.next);
    let path_class = *paths.classes().map();
    let mut add = |dfa: &Dfa| -> Result<Vec<u32>, CompileError> {
        let most = layout::USABLE_WORDS;
        let packed = pack(dfa, words.len(), most).map_err(|need| CompileError::Words { need, most })?;
        words.extend(packed.words);
        Ok(packed.place)
    };
    let (path_at, next_at, net_at) = (add(&paths)?, add(&next)?, add(&automata.nets)?);
    for (n, own) in automata.starts.iter().enumerate() {
        let s = &mut subjects[Plan::index(n) as usize];
        s.path_start = own.path.map_or(0, |p| path_at[paths.starts()[p] as usize]);
        s.guard_start = own.guard.map_or(0, |p| path_at[paths.starts()[p] as usize]);
        s.net_start = own.net.map_or(0, |p| net_at[automata.nets.starts()[p] as usize]);
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
        n_subjects: subjects.len() as u32,
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
        reserved: [0; 2],
        path_class,
        net_class: *automata.nets.classes().map(),
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

fn metadata(policy: &Policy, options: &Options, plan: &Plan, rules: &Rules<'_>) -> Metadata {
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
        }
    };
    let mut subjects: Vec<SubjectInfo> = plan.combinations.iter().enumerate().map(|(n, c)| info(n, c)).collect();
    debug_assert_eq!(subjects[0].key, HOST_KEY);
    subjects
        .insert(1, SubjectInfo { key: SENTINEL_KEY.to_owned(), index: SENTINEL, profile: None, guards: Vec::new() });
    let patterns = |n: usize, wanted: SelectorKey| {
        // A line that joins a unit and a program attaches by a switch alone.
        let lines = policy.blocks[n].subjects.iter().filter(|l| !switched(policy, &policy.blocks[n], l));
        let all = lines.flatten().filter(|s| s.key == wanted);
        all.map(|s| s.pattern.0.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    let blocks = policy.blocks.iter().enumerate().map(|(n, b)| BlockInfo {
        kind: b.kind,
        name: b.name.clone(),
        mode: b.mode,
        units: patterns(n, SelectorKey::Unit).into_iter().collect(),
        exec: patterns(n, SelectorKey::Exec).into_iter().collect(),
        host: plan.attachments[n].host,
        limits: limit::describe(b),
    });
    let units = (0..policy.blocks.len()).flat_map(|n| patterns(n, SelectorKey::Unit));
    Metadata {
        policy: options.policy,
        source: crate::policy::to_pdl(policy),
        serial: options.serial,
        kernel: options.kernel.to_string(),
        subjects,
        blocks: blocks.collect(),
        rules: rules.describe(),
        units: units.collect::<std::collections::BTreeSet<_>>().into_iter().collect(),
    }
}
