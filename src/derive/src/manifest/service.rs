//! Everything that an image declares about one service.

use std::collections::BTreeSet;

use super::declared::Declared;
use super::dpkg::Database;
use super::fact::PathFact;
use super::facts::{Command, ServiceFacts};
use super::programs::{self, Programs};
use super::readers::{self, ReadError};
use super::root::{Kind, Root, RootError};
use super::systemd::exec::commands;
use super::systemd::unit::{Unit, UnitError};
use super::systemd::{Environment, paths, socket, specifier};
use super::{Note, Origin, runtime};

/// The settings that run programs within the unit, in the order in which they run.
pub const COMMANDS: [&str; 7] =
    ["ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"];

/// Why a service cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The unit.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A file of the image.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The configuration of one of its programs.
    #[error(transparent)]
    Configuration(#[from] ReadError),
    /// No program.
    #[error("the unit `{name}` runs no program that the image has{why}")]
    Nothing {
        /// The unit.
        name: String,
        /// What was said of its command lines.
        why: String,
    },
    /// RootDirectory=, RootImage=.
    #[error("{origin}: the programs of `{name}` are not in this image: {why}")]
    Elsewhere {
        /// The unit.
        name: String,
        /// Where it says so.
        origin: Origin,
        /// What.
        why: String,
    },
}

/// Reads the facts of a service.
pub fn read(root: &Root, db: &Database, name: &str, notes: &mut Vec<Note>) -> Result<ServiceFacts, ServiceError> {
    let unit = Unit::load(root, name, notes)?;
    let jail = jail(root, &unit, notes)?;
    let inside = jail.as_ref().unwrap_or(root);
    let start_only = matches!(unit.flag("Service", "RootDirectoryStartOnly"), Some((true, _)));
    let environment = Environment::of(root, &unit, notes);
    let before = notes.len();
    let mut found = Programs::new(inside, environment.clone(), notes);
    // With RootDirectoryStartOnly= the other commands run outside.
    let mut outside_notes = Vec::new();
    let mut outside = Programs::new(root, environment.clone(), &mut outside_notes);
    for key in COMMANDS {
        let programs = if jail.is_some() && start_only && key != "ExecStart" { &mut outside } else { &mut found };
        for entry in unit.list("Service", key) {
            match commands(&entry.value, &unit.name, &environment) {
                Err(e) => programs.notes.push(Note::new(entry.origin.clone(), format!("{key}= is left out: {e}"))),
                Ok(lines) => {
                    for line in lines {
                        for n in &line.unknown {
                            let word = &line.arguments[*n];
                            let text = format!("`{word}` is known only on the running machine: that word has no rule");
                            programs.notes.push(Note::new(entry.origin.clone(), text));
                        }
                        programs.command(key, line, &entry.origin)?;
                    }
                }
            }
        }
    }
    found.programs.append(&mut outside.programs);
    found.commands.append(&mut outside.commands);
    found.helpers.append(&mut outside.helpers);
    found.notes.append(outside.notes);
    found.merge();
    if found.commands.is_empty() && found.helpers.is_empty() {
        let said: Vec<String> = found.notes[before..].iter().map(ToString::to_string).collect();
        let why = if said.is_empty() {
            ": it has no ExecStart= and no ExecStop=".to_owned()
        } else {
            format!(": {}", said.join("; "))
        };
        return Err(ServiceError::Nothing { name: unit.name.clone(), why });
    }
    let declared = configuration(inside, &mut found)?;
    let kind = found.kind();
    let Programs { mut loader, programs, commands: list, helpers, notes, .. } = found;
    let image = runtime::read(inside, &mut loader, kind, notes);
    let package = db.owner(&unit.fragment);
    let (data, state) = folders(root, db, &unit, notes);
    let passed = socket::passed(root, &unit, notes);
    let paths = paths::read(root, inside, &unit, notes);
    let mut arguments = arguments(inside, &unit, &list);
    arguments.extend(environment_files(inside, &environment));
    Ok(ServiceFacts {
        package: package.map(|p| p.name.clone()),
        rotated: rotated(root, db, package.map(|p| p.name.as_str())),
        declared,
        sockets: passed.listens,
        unbound: passed.unbound,
        fifos: passed.files,
        arguments,
        pid: paths.pid,
        writable: paths.writable,
        readable: paths.readable,
        streams: paths.streams,
        helpers: helpers.into_values().collect(),
        unit,
        commands: list,
        programs,
        data,
        state,
        image,
    })
}

/// The folder that RootDirectory= makes the service's root.
fn jail(root: &Root, unit: &Unit, notes: &mut Vec<Note>) -> Result<Option<Root>, ServiceError> {
    let elsewhere =
        |origin: &Origin, why: String| ServiceError::Elsewhere { name: unit.name.clone(), origin: origin.clone(), why };
    if let Some(entry) = unit.last("Service", "RootImage") {
        let why = format!("they are in `{}` (RootImage=): derive a policy from that image's files", entry.value);
        return Err(elsewhere(&entry.origin, why));
    }
    for key in ["MountImages", "ExtensionImages", "ExtensionDirectories"] {
        if let Some(entry) = unit.list("Service", key).first() {
            let text = format!("{key}= adds files that are not read here: add their rules by hand");
            notes.push(Note::new(entry.origin.clone(), text));
        }
    }
    let Some(entry) = unit.last("Service", "RootDirectory") else { return Ok(None) };
    let path = entry.value.strip_prefix('-').unwrap_or(&entry.value);
    let path = specifier::expand(path, &unit.name).map_err(|e| elsewhere(&entry.origin, e.to_string()))?;
    let real = root.resolve(&path)?;
    if real.path == "/" {
        return Ok(None);
    }
    if real.kind != Some(Kind::Directory) {
        return Err(elsewhere(&entry.origin, format!("the image has no folder `{path}` (RootDirectory=)")));
    }
    let text = format!(
        "RootDirectory=: programs and files are those below `{}`, and are named as the service sees them",
        real.path
    );
    notes.push(Note::new(entry.origin.clone(), text));
    Ok(Some(root.below(&real.path)?))
}

/// What the configuration of the service's programs declares, as far as they have readers. What they load or run by it
/// is added to the programs.
fn configuration(root: &Root, found: &mut Programs<'_, '_>) -> Result<Option<Declared>, ServiceError> {
    let starts: Vec<Command> = found.commands.iter().filter(|c| c.key == "ExecStart").cloned().collect();
    let mut all: Option<Declared> = None;
    let mut any = false;
    for start in &starts {
        let Some(reader) = readers::of(start) else { continue };
        any = true;
        let Some(mut declared) = reader.read(root, start, found.notes)? else { continue };
        declared.settle(root);
        loaded(&declared, start, found);
        for program in declared.executes.iter().filter(|p| !p.pattern) {
            found.declared(&program.path, &program.origin)?;
        }
        all.get_or_insert_default().extend(declared);
    }
    if !any && let Some(first) = starts.first() {
        found.notes.push(readers::unread(&first.origin));
    }
    Ok(all)
}

/// A module is loaded into the program, and brings its own libraries.
fn loaded(declared: &Declared, start: &Command, found: &mut Programs<'_, '_>) {
    let loading = found.loading();
    for module in declared.loads.iter().filter(|l| !l.pattern) {
        match found.loader.closure(&module.path, &loading, found.notes) {
            Ok(libraries) => {
                if let Some(program) = found.programs.get_mut(&start.program) {
                    program.libraries.extend(libraries);
                    program.libraries.sort_by(|a, b| a.path.cmp(&b.path));
                    program.libraries.dedup_by(|a, b| a.path == b.path);
                }
            }
            Err(e) => found.notes.push(Note::new(module.origin.clone(), e.to_string())),
        }
    }
}

/// Arguments that are files of the image, or `--option=FILE`; relative ones start at WorkingDirectory=.
fn arguments(root: &Root, unit: &Unit, commands: &[Command]) -> Vec<PathFact> {
    let folder = unit.last("Service", "WorkingDirectory").and_then(|e| {
        let text = specifier::expand(e.value.strip_prefix('-').unwrap_or(&e.value), &unit.name).ok()?;
        text.starts_with('/').then_some(text)
    });
    let mut out = Vec::new();
    for command in commands {
        for (n, argument) in command.line.arguments.iter().enumerate() {
            if command.line.unknown.contains(&n) {
                continue;
            }
            let path = argument.split_once('=').map_or(argument.as_str(), |(_, v)| v);
            let path = match (path.starts_with('/'), &folder) {
                (true, _) => path.to_owned(),
                (false, Some(folder)) if !path.is_empty() && !path.starts_with('-') => format!("{folder}/{path}"),
                _ => continue,
            };
            if let Ok(r) = root.resolve(&path)
                && r.kind == Some(Kind::File)
            {
                out.push(PathFact::new(r.path, command.origin.clone()));
            }
        }
    }
    out
}

/// The file that a program's name leads to, where nothing says another search path.
pub(super) fn find(root: &Root, program: &str) -> Option<String> {
    programs::find(root, programs::SEARCH, program)
}

/// Files that variables of known meaning name to run-time libraries.
fn environment_files(root: &Root, environment: &Environment) -> Vec<PathFact> {
    let mut out = Vec::new();
    for name in
        ["OPENSSL_CONF", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "KRB5_CONFIG"]
    {
        let Some((value, Some(origin))) = environment.get(name) else { continue };
        if let Ok(r) = root.resolve(value)
            && value.starts_with('/')
            && r.kind == Some(Kind::File)
        {
            out.push(PathFact::new(r.path, origin.clone()));
        }
    }
    out
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
