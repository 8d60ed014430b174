//! The weights: data in `weights.toml`, read once and made searchable.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use serde::Deserialize;

/// The weights that the gate is built with.
const BUILT_IN: &str = include_str!("weights.toml");

/// Kinds of evidence, as bits. Roles excuse them, and the harshest action depends on them.
pub(super) type Classes = u16;

const CLASSES: [&str; 13] = [
    "impact",
    "escape",
    "memory",
    "log",
    "module",
    "privilege",
    "network",
    "credential",
    "persistence",
    "shell",
    "drift",
    "binary",
    "namespace",
];

/// Evidence of what cannot be undone or studied at leisure: the process is killed, not kept.
pub(super) const LETHAL: Classes = 0b1_1111;

/// The weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// Not the expected TOML.
    #[error("the weights are not valid: {0}")]
    Syntax(String),
    /// A class that is not known.
    #[error("the weights name the class {0:?}; known are {CLASSES:?}")]
    Class(String),
    /// A weight that is not in [0, cap].
    #[error("{0:?} weighs {1}, which is not between 0 and the cap")]
    Weight(String, f32),
    /// The patterns are too many to search for at once.
    #[error("the patterns cannot be compiled: {0}")]
    Patterns(#[from] aho_corasick::BuildError),
}

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
    role: RoleRules,
    roles: Vec<Role>,
}

/// How the memory works.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryWeights {
    pub half_life_seconds: f64,
    pub gain: f32,
    pub recall: f32,
    pub tissue_gain: f32,
    pub tissue_weight: f32,
    pub parent_weight: f32,
    pub rarity_weight: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    names: Vec<String>,
    weight: f32,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleRules {
    factor: f32,
    directories: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    name: String,
    names: Vec<String>,
    #[serde(default)]
    under: Vec<String>,
    #[serde(default)]
    executables: Vec<String>,
    #[serde(default)]
    unattended: bool,
    excuses: Vec<String>,
}

/// A weight, its classes and the index of its reason.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weight {
    pub weight: f32,
    pub classes: Classes,
    pub because: u16,
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
    patterns: Vec<(Where, usize)>,
    places: Vec<PlaceWeights>,
}

/// Command lines by their literals.
#[derive(Debug)]
pub(super) struct Commands {
    automaton: AhoCorasick,
    /// For each pattern, the literals that have to follow it, and the weight.
    patterns: Vec<(Vec<Vec<u8>>, Weight)>,
}

/// A compiled role.
#[derive(Debug)]
struct CompiledRole {
    name: u16,
    under: Vec<Vec<u8>>,
    executables: Vec<Vec<u8>>,
    unattended: bool,
    excuses: Classes,
}

/// What a role excuses, and its name's reason index.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Excuse {
    pub classes: Classes,
    pub because: u16,
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
    roles: HashMap<Vec<u8>, Vec<usize>, foldhash::fast::RandomState>,
    role_list: Vec<CompiledRole>,
    directories: Vec<Vec<u8>>,
    pub(super) role_factor: f32,
    reasons: Vec<String>,
}

/// Reasons and checks while compiling.
struct Compiler {
    cap: f32,
    reasons: Vec<String>,
}

impl Compiler {
    fn reason(&mut self, text: &str) -> u16 {
        let known = self.reasons.iter().position(|reason| reason == text);
        known.unwrap_or_else(|| {
            self.reasons.push(text.to_owned());
            self.reasons.len() - 1
        }) as u16
    }

    fn weight(&mut self, weight: f32, classes: &[String], because: &str) -> Result<Weight, WeightsError> {
        if !(0.0..=self.cap).contains(&weight) {
            return Err(WeightsError::Weight(because.to_owned(), weight));
        }
        Ok(Weight { weight, classes: classes_of(classes)?, because: self.reason(because) })
    }

    fn names(&mut self, list: &[Named]) -> Result<Names, WeightsError> {
        let mut map = Names::default();
        for entry in list {
            let weight = self.weight(entry.weight, &entry.classes, &entry.because)?;
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
                    texts.push(text.clone());
                    patterns.push((at, places.len()));
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

fn bytes(list: &[String]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.clone().into_bytes()).collect()
}

fn classes_of(names: &[String]) -> Result<Classes, WeightsError> {
    names.iter().try_fold(0, |bits, name| {
        let known = CLASSES.iter().position(|class| class == name);
        Ok(bits | 1 << known.ok_or_else(|| WeightsError::Class(name.clone()))?)
    })
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
        let mut compiler = Compiler { cap: file.cap, reasons: Vec::new() };
        let c = &mut compiler;
        let (mut words, mut follow) = (Vec::new(), Vec::new());
        for command in &file.command {
            let weight = c.weight(command.weight, &command.classes, &command.because)?;
            for list in command.words.iter().filter(|list| !list.is_empty()) {
                words.push(list[0].clone());
                follow.push((bytes(&list[1..]), weight));
            }
        }
        let mut lineage: HashMap<_, Vec<_>, foldhash::fast::RandomState> = HashMap::default();
        for entry in &file.lineage {
            let weight = c.weight(entry.weight, &entry.classes, &entry.because)?;
            for parent in bytes(&entry.parents) {
                lineage.entry(parent).or_default().push((bytes(&entry.children), weight));
            }
        }
        let mut roles: HashMap<_, Vec<_>, foldhash::fast::RandomState> = HashMap::default();
        let mut role_list = Vec::new();
        for role in &file.roles {
            let name = c.reason(&format!("ordinary work: {}", role.name));
            for process in bytes(&role.names) {
                roles.entry(process).or_default().push(role_list.len());
            }
            let excuses = classes_of(&role.excuses)?;
            role_list.push(CompiledRole {
                name,
                under: bytes(&role.under),
                executables: bytes(&role.executables),
                unattended: role.unattended,
                excuses,
            });
        }
        let account = c.weight(file.account.weight, &file.account.classes, &file.account.because)?;
        let unknown_rule = c.weight(file.unknown_rule.weight, &[], &file.unknown_rule.because)?;
        Ok(Weights {
            cap: file.cap,
            memory: file.memory,
            priority: c.names(&file.priority)?,
            tag: c.names(&file.tag)?,
            rule: c.names(&file.rule)?,
            unknown_rule,
            operation: c.names(&file.operation)?,
            verdict: c.names(&file.verdict)?,
            response: c.names(&file.response)?,
            weak: file.weak,
            weak_because: c.reason("a weak signal of the producer's own"),
            commands: Commands { automaton: automaton(&words)?, patterns: follow },
            executables: c.places(&file.executable)?,
            targets: c.places(&file.target)?,
            lineage,
            account: (bytes(&file.account.names), bytes(&file.account.commands), account),
            roles,
            role_list,
            directories: bytes(&file.role.directories),
            role_factor: file.role.factor,
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

    /// What the process's role excuses.
    pub(super) fn excuse<'a>(
        &self,
        name: &[u8],
        exe: &[u8],
        attended: bool,
        lineage: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Excuse {
        let mut excuse = Excuse::default();
        for role in self.roles.get(name).into_iter().flatten().filter_map(|role| self.role_list.get(*role)) {
            let starts = |list: &[Vec<u8>]| list.iter().any(|prefix| exe.starts_with(prefix));
            let placed = exe.is_empty()
                || if role.executables.is_empty() { starts(&self.directories) } else { starts(&role.executables) };
            let under =
                role.under.is_empty() || lineage.clone().any(|name| role.under.iter().any(|under| under == name));
            if placed && under && !(attended && role.unattended) {
                excuse.classes |= role.excuses;
                excuse.because = role.name;
            }
        }
        excuse
    }
}

impl Commands {
    /// The heaviest signature that the command line has.
    pub(super) fn find(&self, line: &[u8]) -> Option<Weight> {
        let mut best: Option<Weight> = None;
        for found in self.automaton.find_overlapping_iter(Input::new(line)) {
            let Some((follow, weight)) = self.patterns.get(found.pattern().as_usize()) else { continue };
            if best.is_some_and(|best| best.weight >= weight.weight) {
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
                best = Some(*weight);
            }
        }
        best
    }
}

impl Places {
    /// The heaviest place that the path is, for the operation.
    pub(super) fn find(&self, path: &[u8], operation: &[u8]) -> Option<Weight> {
        let mut best: Option<Weight> = None;
        for found in self.automaton.find_overlapping_iter(Input::new(path)) {
            let Some((at, place)) = self.patterns.get(found.pattern().as_usize()) else { continue };
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
                best = Some(Weight { weight, ..place.read });
            }
        }
        best
    }
}
