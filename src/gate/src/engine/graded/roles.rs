//! Ordinary work: which classes of evidence a program's role excuses, and what it takes to have the role.
//!
//! A name is nothing: any process may take any. A role takes a program in the system's own place, or the lineage of what
//! starts such work; in a container, where the system's own place is the container's, both.

use std::collections::HashMap;

use serde::Deserialize;

use super::weight::{Classes, Compiler, WeightsError, bytes, classes_of, versioned};
use crate::engine::event::{Event, Source};

/// What holds for all roles.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleRules {
    pub factor: f32,
    directories: Vec<String>,
    interpreters: Vec<String>,
    multicall: Vec<String>,
    starters: Vec<String>,
    managers: Vec<String>,
    wrappers: Vec<String>,
}

/// A role as text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleText {
    name: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    under: Vec<String>,
    #[serde(default)]
    parents: Vec<String>,
    #[serde(default)]
    executables: Vec<String>,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    unattended: bool,
    #[serde(default)]
    container: bool,
    excuses: Vec<String>,
}

/// A compiled role.
#[derive(Debug)]
struct Role {
    because: u16,
    under: Vec<Vec<u8>>,
    parents: Vec<Vec<u8>>,
    executables: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    unattended: bool,
    container: bool,
    excuses: Classes,
}

/// All roles.
#[derive(Debug)]
pub(super) struct Roles {
    by_name: HashMap<Vec<u8>, Vec<usize>, foldhash::fast::RandomState>,
    /// Roles of whatever lies in a directory.
    nameless: Vec<usize>,
    list: Vec<Role>,
    directories: Vec<Vec<u8>>,
    interpreters: Vec<Vec<u8>>,
    multicall: Vec<Vec<u8>>,
    starters: Vec<Vec<u8>>,
    managers: Vec<Vec<u8>>,
    wrappers: Vec<Vec<u8>>,
}

/// What a role excuses, and its name's reason index.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Excuse {
    pub classes: Classes,
    pub because: u16,
}

/// Linux cuts a process's own name here.
const COMM: usize = 15;

fn base(path: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..])
}

fn any(list: &[Vec<u8>], holds: impl Fn(&[u8]) -> bool) -> bool {
    list.iter().any(|entry| holds(entry))
}

impl Roles {
    pub fn compile(rules: &RoleRules, texts: &[RoleText], compiler: &mut Compiler) -> Result<Roles, WeightsError> {
        let mut roles = Roles {
            by_name: HashMap::default(),
            nameless: Vec::new(),
            list: Vec::new(),
            directories: bytes(&rules.directories),
            interpreters: bytes(&rules.interpreters),
            multicall: bytes(&rules.multicall),
            starters: bytes(&rules.starters),
            managers: bytes(&rules.managers),
            wrappers: bytes(&rules.wrappers),
        };
        for role in texts {
            let index = roles.list.len();
            for name in bytes(&role.names) {
                if name.len() > COMM {
                    roles.by_name.entry(name[..COMM].to_vec()).or_default().push(index);
                }
                roles.by_name.entry(name).or_default().push(index);
            }
            if role.names.is_empty() {
                roles.nameless.push(index);
            }
            roles.list.push(Role {
                because: compiler.reason(&format!("ordinary work: {}", role.name)),
                under: bytes(&role.under),
                parents: bytes(&role.parents),
                executables: bytes(&role.executables),
                words: bytes(&role.words),
                unattended: role.unattended,
                container: role.container,
                excuses: classes_of(&role.excuses)?,
            });
        }
        Ok(roles)
    }

    /// What the process's roles excuse.
    pub fn excuse(&self, event: &Event<'_>) -> Excuse {
        let mut excuse = Excuse::default();
        let of = |name: &[u8]| self.by_name.get(name).map_or([].as_slice(), Vec::as_slice);
        let (by_name, by_file) = (of(&event.name), of(base(&event.exe)));
        if by_name.is_empty() && by_file.is_empty() && (event.exe.is_empty() || self.nameless.is_empty()) {
            return excuse;
        }
        for (list, named) in [(by_name, false), (by_file, true), (self.nameless.as_slice(), true)] {
            for role in list.iter().filter_map(|role| self.list.get(*role)) {
                if role.excuses & !excuse.classes != 0 && self.has(role, named, event) {
                    excuse.classes |= role.excuses;
                    excuse.because = role.because;
                }
            }
        }
        excuse
    }

    /// Whether the process has the role; `named` if its executable's own name has led here, and not the process's.
    fn has(&self, role: &Role, named: bool, event: &Event<'_>) -> bool {
        let line = std::iter::once(&*event.parent).chain(event.ancestors.iter().map(|name| &**name));
        // Names of ancestors are cut short too.
        let is = |entry: &[u8], name: &[u8]| entry == name || name.len() == COMM && entry.starts_with(name);
        let below = |list: &[Vec<u8>]| line.clone().any(|name| any(list, |entry| is(entry, name)));
        let under = below(&role.under);
        if !role.under.is_empty() && !under
            || !role.parents.is_empty() && !any(&role.parents, |parent| parent == &*event.parent)
            || role.unattended && event.terminal == Some(true)
            || !role.words.is_empty()
                && !any(&role.words, |word| memchr::memmem::find(&event.command_line, word).is_some())
        {
            return false;
        }
        if event.source == Source::Kiln {
            // Kiln names no executable: its policy has tied the subject to one. What the policy refuses is not
            // ordinary work.
            return role.executables.is_empty() && !event.is_objected();
        }
        let contained = !event.container.is_empty();
        // A scheduler may start by a shell; a service manager may also have inherited an orphan, and everything on a host
        // descends from it, so it has to be the parent, and in a container it is not proof.
        let wrapped = any(&self.wrappers, |entry| entry == &*event.parent);
        let starter = if wrapped { &*event.ancestors[0] } else { &*event.parent };
        let scheduled = any(&self.starters, |entry| is(entry, starter));
        let managed = !contained && any(&self.managers, |entry| is(entry, &event.parent));
        let started = under || scheduled || managed;
        if contained && !(role.container && started) {
            return false;
        }
        if event.exe.is_empty() {
            // Old outputs name no executable: then the name needs a lineage that bears it out.
            return started && !contained;
        }
        let place = if role.executables.is_empty() { &self.directories } else { &role.executables };
        let placed = any(place, |prefix| event.exe.starts_with(prefix));
        if !placed || event.upper_layer || memchr::memmem::find(&event.exe, b"/../").is_some() {
            return false;
        }
        named || self.is_really(event, started, !role.executables.is_empty())
    }

    /// Whether a process of this name is really the program of this name, its executable being called otherwise.
    fn is_really(&self, event: &Event<'_>, started: bool, own_place: bool) -> bool {
        let (name, file) = (&*event.name, base(&event.exe));
        let same = file == name || name.len() == COMM && file.starts_with(name);
        let shell = |name: &[u8]| matches!(name, b"sh" | b"bash" | b"dash" | b"ash" | b"ksh" | b"zsh" | b"busybox");
        if same || own_place || shell(name) && shell(file) || any(&self.multicall, |many| many == file) {
            return true;
        }
        // A script's executable is its interpreter: the command line has to name the script in the system's place, or
        // what starts such work has to have started it.
        any(&self.interpreters, |interpreter| versioned(file, interpreter))
            && (started
                || event.command_line.split(|b| *b == b' ').any(|word| {
                    base(word).starts_with(name) && any(&self.directories, |prefix| word.starts_with(prefix))
                }))
    }
}
