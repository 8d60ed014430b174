//! The weights: data in `weights.toml`, read once and made searchable.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use serde::Deserialize;

use super::kinds;
use super::roles::{RoleRules, RoleText, Roles};
use super::weight::{Classes, Compiler, Weight, WeightsError, bytes, classes_of, versioned};

/// The weights that the gate is built with.
const BUILT_IN: &str = include_str!("weights.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cap: f32,
    memory: MemoryWeights,
    priority: Vec<Named>,
    tag: Vec<Named>,
    unknown_rule: Plain,
    rule: Vec<Named>,
    operation: Vec<Named>,
    command: Vec<Command>,
    executable: Vec<Place>,
    target: Vec<Place>,
    lineage: Vec<Lineage>,
    account: Account,
    verdict: Vec<Named>,
    response: Vec<Named>,
    weak: Weak,
    correlated: f32,
    noisy: f32,
    borne_out: Plain,
    shell_peer: ShellPeer,
    role: RoleRules,
    roles: Vec<RoleText>,
    harmless: Vec<Harmless>,
}

/// How the memory works.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryWeights {
    pub half_life_seconds: f64,
    pub gain: f32,
    pub recall: f32,
    pub novelty: f32,
    pub tissue_gain: f32,
    pub tissue_weight: f32,
    pub parent_weight: f32,
    pub rarity_weight: f32,
    pub chain_weight: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    names: Vec<String>,
    weight: f32,
    #[serde(default)]
    noisy: bool,
    #[serde(default)]
    classes: Vec<String>,
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    weight: f32,
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    words: Vec<Vec<String>>,
    #[serde(default)]
    by: Vec<String>,
    weight: f32,
    classes: Vec<String>,
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    suffixes: Vec<String>,
    #[serde(default)]
    contains: Vec<String>,
    #[serde(default)]
    operations: Vec<String>,
    weight: Option<f32>,
    #[serde(default)]
    read: f32,
    #[serde(default)]
    write: f32,
    delete: Option<f32>,
    classes: Vec<String>,
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lineage {
    parents: Vec<String>,
    children: Vec<String>,
    weight: f32,
    #[serde(default)]
    independent: bool,
    classes: Vec<String>,
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    names: Vec<String>,
    commands: Vec<String>,
    weight: f32,
    classes: Vec<String>,
    because: String,
}

/// Signals that any producer can set.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Weak {
    pub untrusted_signer: f32,
    pub odd_digest: f32,
    pub geometry: f32,
}

/// A shell whose own stream is a connection.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShellPeer {
    streams: Vec<String>,
    shells: Vec<String>,
    public: f32,
    private: f32,
    classes: Vec<String>,
    because: String,
}

/// Targets that only look like evidence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Harmless {
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    excuses: Vec<String>,
    because: String,
}

type Names = HashMap<Vec<u8>, Weight, foldhash::fast::RandomState>;

/// What a target weighs, by what is done to it.
#[derive(Debug, Clone)]
struct PlaceWeights {
    read: Weight,
    write: f32,
    delete: f32,
    operations: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Where {
    Start,
    End,
    Anywhere,
}

/// Paths by prefix, suffix or part.
#[derive(Debug)]
pub(super) struct Places {
    automaton: AhoCorasick,
    patterns: Vec<(Where, usize, u8)>,
    places: Vec<PlaceWeights>,
}

/// Command lines by their literals.
#[derive(Debug)]
pub(super) struct Commands {
    automaton: AhoCorasick,
    /// For each pattern, the literals that have to follow it, the weight, and which programs bear it out.
    patterns: Vec<(Vec<Vec<u8>>, Weight, usize)>,
    by: Vec<Vec<Vec<u8>>>,
}

/// Where targets only look like evidence, which classes they do not give, and why.
#[derive(Debug)]
struct HarmlessPlace {
    prefixes: Vec<Vec<u8>>,
    suffixes: Vec<Vec<u8>>,
    excuses: Classes,
    because: u16,
}

/// Names of children, and what one of them weighs below a parent.
type Children = (Vec<Vec<u8>>, Weight);

/// All weights, searchable.
#[derive(Debug)]
pub struct Weights {
    pub(super) cap: f32,
    pub(super) memory: MemoryWeights,
    pub(super) priority: Names,
    pub(super) tag: Names,
    pub(super) rule: Names,
    pub(super) unknown_rule: Weight,
    pub(super) operation: Names,
    pub(super) verdict: Names,
    pub(super) response: Names,
    pub(super) weak: Weak,
    pub(super) weak_because: u16,
    pub(super) commands: Commands,
    pub(super) executables: Places,
    pub(super) targets: Places,
    lineage: HashMap<Vec<u8>, Vec<Children>, foldhash::fast::RandomState>,
    account: (Vec<Vec<u8>>, Vec<Vec<u8>>, Weight),
    shells: Vec<Vec<u8>>,
    streams: Vec<Vec<u8>>,
    peers: [Weight; 2],
    pub(super) roles: Roles,
    pub(super) role_factor: f32,
    pub(super) correlated: f32,
    pub(super) noisy: f32,
    pub(super) borne_out: Weight,
    harmless: Vec<HarmlessPlace>,
    reasons: Vec<String>,
}

impl Compiler {
    /// A weight that is not evidence: who says so, not what was seen.
    fn opinion(&mut self, named: &Named) -> Result<Weight, WeightsError> {
        if !(0.0..=self.cap).contains(&named.weight) {
            return Err(WeightsError::Weight(named.because.clone(), named.weight));
        }
        let because = self.reason(&named.because);
        Ok(Weight { weight: named.weight, classes: classes_of(&named.classes)?, because, ..Weight::default() })
    }

    fn names(&mut self, list: &[Named]) -> Result<Names, WeightsError> {
        let mut map = Names::default();
        for entry in list {
            let weight = self.weight(entry.weight, &entry.classes, &entry.because)?;
            let weight = Weight { noisy: entry.noisy, ..weight };
            map.extend(entry.names.iter().map(|name| (name.clone().into_bytes(), weight)));
        }
        Ok(map)
    }

    fn places(&mut self, list: &[Place]) -> Result<Places, WeightsError> {
        let (mut texts, mut patterns, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for place in list {
            let read = self.weight(place.weight.unwrap_or(place.read), &place.classes, &place.because)?;
            let write = self.weight(place.weight.unwrap_or(place.write), &[], &place.because)?.weight;
            let delete = self.weight(place.delete.unwrap_or(write), &[], &place.because)?.weight;
            let operations = bytes(&place.operations);
            for (texts_of, at) in
                [(&place.prefixes, Where::Start), (&place.suffixes, Where::End), (&place.contains, Where::Anywhere)]
            {
                for text in texts_of {
                    // Of one place's patterns each is a target of its own.
                    patterns.push((at, places.len(), (texts.len() % kinds::TARGETS) as u8));
                    texts.push(text.clone());
                }
            }
            places.push(PlaceWeights { read, write, delete, operations });
        }
        Ok(Places { automaton: automaton(&texts)?, patterns, places })
    }
}

fn automaton(texts: &[String]) -> Result<AhoCorasick, aho_corasick::BuildError> {
    AhoCorasick::builder().match_kind(MatchKind::Standard).kind(Some(AhoCorasickKind::DFA)).build(texts)
}

impl Weights {
    /// The weights that the gate is built with.
    ///
    /// # Errors
    /// None, as a test reads them; but they are data.
    pub fn built_in() -> Result<Weights, WeightsError> {
        Weights::from_toml(BUILT_IN)
    }

    /// Weights from TOML text.
    ///
    /// # Errors
    /// The text says what it may not.
    pub fn from_toml(text: &str) -> Result<Weights, WeightsError> {
        let file: File = toml::from_str(text).map_err(|e| WeightsError::Syntax(e.to_string()))?;
        let mut compiler = Compiler { cap: file.cap, reasons: Vec::new(), kinds: Vec::new() };
        let c = &mut compiler;
        let (mut words, mut follow, mut by) = (Vec::new(), Vec::new(), Vec::new());
        for command in &file.command {
            let weight = c.weight(command.weight, &command.classes, &command.because)?;
            for list in command.words.iter().filter(|list| !list.is_empty()) {
                words.push(list[0].clone());
                follow.push((bytes(&list[1..]), weight, by.len()));
            }
            by.push(bytes(&command.by));
        }
        let mut lineage: HashMap<_, Vec<_>, foldhash::fast::RandomState> = HashMap::default();
        for entry in &file.lineage {
            let weight = c.weight(entry.weight, &entry.classes, &entry.because)?;
            let weight = Weight { independent: entry.independent, ..weight };
            for parent in bytes(&entry.parents) {
                lineage.entry(parent).or_default().push((bytes(&entry.children), weight));
            }
        }
        let roles = Roles::compile(&file.role, &file.roles, c)?;
        let mut harmless = Vec::new();
        for place in &file.harmless {
            let because = c.reason(&place.because);
            harmless.push(HarmlessPlace {
                prefixes: bytes(&place.prefixes),
                suffixes: bytes(&place.suffixes),
                excuses: classes_of(&place.excuses)?,
                because,
            });
        }
        let peer = &file.shell_peer;
        let peer_weight = |c: &mut Compiler, weight| {
            let weight = c.weight(weight, &peer.classes, &peer.because)?;
            Ok::<Weight, WeightsError>(Weight { independent: true, ..weight })
        };
        let peers = [peer_weight(c, peer.public)?, peer_weight(c, peer.private)?];
        let mut priority = Names::default();
        for named in &file.priority {
            let weight = c.opinion(named)?;
            priority.extend(named.names.iter().map(|name| (name.clone().into_bytes(), weight)));
        }
        let account = c.weight(file.account.weight, &file.account.classes, &file.account.because)?;
        let borne_out = c.weight(file.borne_out.weight, &[], &file.borne_out.because)?;
        let unknown_rule = c.weight(file.unknown_rule.weight, &[], &file.unknown_rule.because)?;
        Ok(Weights {
            cap: file.cap,
            memory: file.memory,
            priority,
            tag: c.names(&file.tag)?,
            rule: c.names(&file.rule)?,
            unknown_rule,
            operation: c.names(&file.operation)?,
            verdict: c.names(&file.verdict)?,
            response: c.names(&file.response)?,
            weak: file.weak,
            weak_because: c.reason("a weak signal of the producer's own"),
            commands: Commands { automaton: automaton(&words)?, patterns: follow, by },
            executables: c.places(&file.executable)?,
            targets: c.places(&file.target)?,
            lineage,
            account: (bytes(&file.account.names), bytes(&file.account.commands), account),
            shells: bytes(&peer.shells),
            streams: bytes(&peer.streams),
            peers,
            roles,
            role_factor: file.role.factor,
            correlated: file.correlated,
            noisy: file.noisy,
            borne_out,
            harmless,
            reasons: compiler.reasons,
        })
    }

    /// The reason with an index.
    pub(super) fn reason(&self, index: u16) -> &str {
        self.reasons.get(index as usize).map_or("", String::as_str)
    }

    /// What a parent and child weigh together.
    pub(super) fn lineage(&self, parent: &[u8], child: &[u8]) -> Option<Weight> {
        let pairs = self.lineage.get(parent)?;
        let pair = pairs.iter().find(|(children, _)| children.iter().any(|name| name == child));
        pair.map(|(_, weight)| *weight)
    }

    /// What it weighs that an account runs a program.
    pub(super) fn account(&self, user: &[u8], program: &[u8]) -> Option<Weight> {
        let (users, programs, weight) = &self.account;
        (users.iter().any(|name| name == user) && programs.iter().any(|name| name == program)).then_some(*weight)
    }

    /// What it weighs that one of a shell's streams is this connection.
    pub(super) fn shell_peer(&self, program: &[u8], stream: bool, connection: &[u8]) -> Option<Weight> {
        let shell = self.shells.iter().any(|name| name == program);
        if !(shell || stream && self.streams.iter().any(|name| versioned(program, name))) {
            return None;
        }
        let [public, private] = self.peers;
        match super::peer::reach(connection) {
            super::peer::Reach::Public => Some(public),
            super::peer::Reach::Private => Some(private),
            super::peer::Reach::None => None,
        }
    }

    /// Which classes of evidence a target does not give, though it lies where it would.
    pub(super) fn harmless(&self, target: &[u8]) -> Option<(Classes, u16)> {
        let hits = |place: &&HarmlessPlace| {
            place.prefixes.iter().any(|prefix| target.starts_with(prefix))
                && place.suffixes.iter().any(|suffix| target.ends_with(suffix))
        };
        self.harmless.iter().find(hits).map(|place| (place.excuses, place.because))
    }
}

impl Commands {
    /// The heaviest signature that the command line has, and whether this program does what it says.
    pub(super) fn find(&self, line: &[u8], program: &[u8]) -> Option<(Weight, bool)> {
        let mut best: Option<(Weight, usize)> = None;
        for found in self.automaton.find_overlapping_iter(Input::new(line)) {
            let Some((follow, weight, by)) = self.patterns.get(found.pattern().as_usize()) else { continue };
            if best.is_some_and(|(best, _)| best.weight >= weight.weight) {
                continue;
            }
            let mut rest = &line[found.end()..];
            let all = follow.iter().all(|word| match memchr::memmem::find(rest, word) {
                Some(at) => {
                    rest = &rest[at + word.len()..];
                    true
                }
                None => false,
            });
            if all {
                best = Some((*weight, *by));
            }
        }
        let (weight, by) = best?;
        Some((weight, self.by.get(by).is_some_and(|names| names.iter().any(|name| versioned(program, name)))))
    }
}

impl Places {
    /// The heaviest place that the path is, for the operation.
    pub(super) fn find(&self, path: &[u8], operation: &[u8]) -> Option<Weight> {
        let mut best: Option<Weight> = None;
        for found in self.automaton.find_overlapping_iter(Input::new(path)) {
            let Some((at, place, target)) = self.patterns.get(found.pattern().as_usize()) else { continue };
            let Some(place) = self.places.get(*place) else { continue };
            let right_place = match at {
                Where::Start => found.start() == 0,
                Where::End => found.end() == path.len(),
                Where::Anywhere => true,
            };
            if !right_place || !(place.operations.is_empty() || place.operations.iter().any(|name| name == operation)) {
                continue;
            }
            let weight = match operation {
                b"delete" | b"rename" => place.delete,
                b"write" | b"link" | b"chmod" | b"mount" => place.write,
                _ => place.read.weight,
            };
            if weight > 0.0 && best.is_none_or(|best| best.weight < weight) {
                best = Some(Weight { weight, kind: place.read.kind.with_target(*target), ..place.read });
            }
        }
        best
    }
}
