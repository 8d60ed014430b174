//! Everything that an image declares about one service.

use std::collections::{BTreeMap, BTreeSet};

use super::dpkg::Database;
use super::elf::Loader;
use super::facts::{Command, PathFact, Program, ServiceFacts};
use super::nginx::{self, Compiled, ConfigError};
use super::root::{Kind, Root, RootError};
use super::systemd::exec::commands;
use super::systemd::unit::{Unit, UnitError};
use super::systemd::{socket, specifier};
use super::{Note, Origin, runtime};

/// The settings that run programs within the unit, in the order in which they run.
pub const COMMANDS: [&str; 7] =
    ["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"];

/// Where systemd looks for a program that is given by name (sd-path of systemd).
const SEARCH: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
/// Interpreters of interpreters (BINPRM_BUF_SIZE and the loop of fs/exec.c allow 5).
const MAX_INTERPRETERS: usize = 5;

/// Why a service cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The unit.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A file of the image.
    #[error(transparent)]
    Root(#[from] RootError),
    /// nginx's configuration.
    #[error(transparent)]
    Nginx(#[from] ConfigError),
    /// No program.
    #[error("the unit `{0}` runs no program: it has no ExecStart= that the image can resolve")]
    Nothing(String),
}

/// Reads the facts of a service.
pub fn read(root: &Root, db: &Database, name: &str, notes: &mut Vec<Note>) -> Result<ServiceFacts, ServiceError> {
    let unit = Unit::load(root, name, notes)?;
    // The unit's own name, where it was asked for by an alias.
    let name = &unit.name.clone();
    let mut loader = Loader::new(root);
    let mut programs = BTreeMap::new();
    let mut list = Vec::new();
    for key in COMMANDS {
        for entry in unit.list("Service", key) {
            match commands(&entry.value, name) {
                Err(e) => notes.push(Note::new(entry.origin.clone(), format!("{key}= is left out: {e}"))),
                Ok(lines) => {
                    for line in lines {
                        let Some(path) = find(root, &line.program) else {
                            let why = format!("the image has no program `{}`", line.program);
                            notes.push(Note::new(entry.origin.clone(), why));
                            continue;
                        };
                        program(root, &mut loader, &path, &entry.origin, 0, &mut programs, notes)?;
                        notes.extend(line.unknown.iter().map(|why| Note::new(entry.origin.clone(), why.clone())));
                        list.push(Command { key: key.to_owned(), line, program: path, origin: entry.origin.clone() });
                    }
                }
            }
        }
    }
    if !list.iter().any(|c| c.key == "ExecStart") {
        return Err(ServiceError::Nothing(name.to_owned()));
    }
    let kind = kind(&mut loader, &programs);
    let image = runtime::read(root, &mut loader, kind, notes);
    let package = db.owner(&unit.fragment);
    let (data, state) = folders(root, db, &unit, notes);
    let pid = unit.last("Service", "PIDFile").and_then(|e| {
        let path = if e.value.starts_with('/') { e.value.clone() } else { format!("/run/{}", e.value) };
        named(root, name, &path, &e.origin, notes)
    });
    let mut writable = Vec::new();
    for entry in unit.list("Service", "ReadWritePaths") {
        for word in entry.value.split_whitespace() {
            // `-`: only if it exists; `+`: below RootDirectory=.
            writable.extend(named(root, name, word.trim_start_matches(['-', '+']), &entry.origin, notes));
        }
    }
    let mut facts = ServiceFacts {
        package: package.map(|p| p.name.clone()),
        rotated: rotated(root, db, package.map(|p| p.name.as_str())),
        nginx: None,
        sockets: socket::listens(root, &unit, notes),
        arguments: arguments(root, &list),
        pid,
        writable,
        unit,
        commands: list,
        programs,
        data,
        state,
        image,
    };
    configuration(root, &mut loader, &mut facts, notes)?;
    Ok(facts)
}

/// The configuration of the programs that have a reader here.
fn configuration(
    root: &Root,
    loader: &mut Loader<'_>,
    facts: &mut ServiceFacts,
    notes: &mut Vec<Note>,
) -> Result<(), ServiceError> {
    let Some(start) = facts.commands.iter().find(|c| c.key == "ExecStart") else { return Ok(()) };
    if start.program.rsplit('/').next() != Some("nginx") {
        let why = "kiln reads no configuration of this program: what it listens on and connects to is known only as \
                   far as the unit says; begin with `--mode audit`";
        notes.push(Note::new(start.origin.clone(), why));
        return Ok(());
    }
    let compiled = Compiled::of(&start.program, &root.read(&start.program, 64 << 20)?);
    let found = nginx::read(root, &compiled, &start.line.arguments, &start.origin, notes)?;
    // A module is loaded into the program, and brings its own libraries.
    for module in &found.modules {
        match loader.closure(&module.path, notes) {
            Ok(libraries) => {
                if let Some(program) = facts.programs.get_mut(&start.program) {
                    program.libraries.extend(libraries);
                    program.libraries.sort_by(|a, b| a.path.cmp(&b.path));
                    program.libraries.dedup_by(|a, b| a.path == b.path);
                }
            }
            Err(e) => notes.push(Note::new(module.origin.clone(), e.to_string())),
        }
    }
    facts.nginx = Some(found);
    Ok(())
}

/// The path that a setting names, links resolved.
fn named(root: &Root, unit: &str, text: &str, origin: &Origin, notes: &mut Vec<Note>) -> Option<PathFact> {
    let found = specifier::expand(text, unit).map_err(|e| e.to_string()).and_then(|path| {
        if !path.starts_with('/') {
            return Err(format!("`{path}` is no absolute path"));
        }
        root.resolve(&path).map_err(|e| e.to_string())
    });
    match found {
        Ok(resolved) => Some(PathFact::new(resolved.path, origin.clone())),
        Err(e) => {
            notes.push(Note::new(origin.clone(), e));
            None
        }
    }
}

/// Arguments that are files of the image, or `--option=FILE`.
fn arguments(root: &Root, commands: &[Command]) -> Vec<PathFact> {
    let mut out = Vec::new();
    for command in commands {
        for argument in &command.line.arguments {
            let path = argument.split_once('=').map_or(argument.as_str(), |(_, v)| v);
            if !path.starts_with('/') {
                continue;
            }
            if let Ok(r) = root.resolve(path)
                && r.kind == Some(Kind::File)
            {
                out.push(PathFact::new(r.path, command.origin.clone()));
            }
        }
    }
    out
}

/// The file that a program's name leads to.
pub(super) fn find(root: &Root, program: &str) -> Option<String> {
    let candidates = match program.starts_with('/') {
        true => vec![program.to_owned()],
        false if program.contains('/') => return None,
        false => SEARCH.iter().map(|d| format!("{d}/{program}")).collect(),
    };
    candidates.iter().find_map(|c| root.resolve(c).ok().filter(|r| r.kind == Some(Kind::File)).map(|r| r.path))
}

/// Adds a program, and for a script its interpreter.
fn program(
    root: &Root,
    loader: &mut Loader<'_>,
    path: &str,
    origin: &Origin,
    depth: usize,
    out: &mut BTreeMap<String, Program>,
    notes: &mut Vec<Note>,
) -> Result<(), ServiceError> {
    if out.contains_key(path) || depth > MAX_INTERPRETERS {
        return Ok(());
    }
    let mut program = Program {
        path: path.to_owned(),
        origin: origin.clone(),
        libraries: Vec::new(),
        dynamic: false,
        glibc: false,
        script: false,
    };
    if let Some(object) = loader.object(path)? {
        program.libraries = loader.closure(path, notes)?;
        program.dynamic = object.interpreter.is_some();
        program.glibc = program.libraries.iter().any(|l| l.path.ends_with("/libc.so.6"));
        out.insert(path.to_owned(), program);
        return Ok(());
    }
    program.script = true;
    out.insert(path.to_owned(), program);
    let head = root.read(path, 64 << 20)?;
    let line = head.strip_prefix(b"#!").and_then(|t| t.split(|b| *b == b'\n').next()).unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.split_whitespace();
    let Some(interpreter) = words.next() else {
        notes.push(Note::new(origin.clone(), format!("`{path}` is neither an ELF program nor a script")));
        return Ok(());
    };
    let origin = Origin::line(path, 1);
    let why = format!("`{path}` is a script: the programs that it runs are not known, add their rules by hand");
    notes.push(Note::new(origin.clone(), why));
    // `#!/usr/bin/env python3` runs both.
    let env = interpreter.ends_with("/env").then(|| words.find(|w| !w.starts_with('-') && !w.contains('='))).flatten();
    for name in [Some(interpreter), env].into_iter().flatten() {
        if let Some(real) = find(root, name) {
            self::program(root, loader, &real, &origin, depth + 1, out, notes)?;
        }
    }
    Ok(())
}

/// The machine for which the programs are built.
fn kind(loader: &mut Loader<'_>, programs: &BTreeMap<String, Program>) -> (u16, bool) {
    let found = programs.keys().find_map(|p| loader.object(p).ok().flatten());
    found.map_or((goblin::elf::header::EM_X86_64, true), |o| o.kind)
}

/// The folders of the unit's package and its siblings that are named after it: (below /etc and /usr, below /var).
fn folders(root: &Root, db: &Database, unit: &Unit, notes: &mut Vec<Note>) -> (Vec<PathFact>, Vec<PathFact>) {
    let (mut data, mut state) = (Vec::new(), Vec::new());
    let Some(package) = db.owner(&unit.fragment) else { return (data, state) };
    let stem = unit.name.split(['.', '@']).next().unwrap_or_default();
    let names = BTreeSet::from([package.name.as_str(), package.source(), stem]);
    let siblings: Vec<&str> = db.siblings(package).map(|p| p.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    for name in &siblings {
        for path in db.files(name) {
            let mut parts = path.rsplitn(2, '/');
            let (last, parent) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let list = match parent {
                "/etc" | "/usr/share" | "/usr/lib" => &mut data,
                "/var/lib" | "/var/cache" | "/var/log" | "/var/spool" => &mut state,
                _ => continue,
            };
            if !names.contains(last) || !seen.insert(path.to_owned()) {
                continue;
            }
            match root.resolve(path) {
                Ok(r) if r.kind == Some(Kind::Directory) => {
                    list.push(PathFact::new(r.path, Origin::package(*name, path)))
                }
                Ok(_) => {}
                Err(e) => notes.push(Note::new(Origin::package(*name, path), e.to_string())),
            }
        }
    }
    data.sort();
    state.sort();
    (data, state)
}

/// Files that logrotate creates with an owner, from the package's own rules: the service opens them as another user.
fn rotated(root: &Root, db: &Database, package: Option<&str>) -> Vec<PathFact> {
    let mut out = Vec::new();
    let Some(package) = package else { return out };
    for path in db.files(package).filter(|p| p.starts_with("/etc/logrotate.d/")) {
        let Ok(text) = root.text(path, 1 << 20) else { continue };
        let mut logs: Vec<&str> = Vec::new();
        for (n, line) in (1u32..).zip(text.lines()) {
            let line = line.trim();
            if line.ends_with('{') {
                logs = line.trim_end_matches('{').split_whitespace().collect();
            }
            let mut words = line.split_whitespace();
            if words.next() == Some("create") && words.count() >= 2 {
                let facts = logs.iter().filter(|l| l.starts_with('/'));
                out.extend(facts.map(|l| PathFact {
                    path: (*l).to_owned(),
                    pattern: true,
                    origin: Origin::line(path, n),
                }));
            }
        }
    }
    out
}
