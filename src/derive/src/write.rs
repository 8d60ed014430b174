//! Files that are written: the folders that the unit declares, and the logs, temporary folders and process id of
//! programs whose configuration is read.

use kiln_base::model::Verb;

use super::rule::{Rule, Section};
use crate::manifest::systemd::specifier;
use crate::manifest::{Note, Origin, PathFact, ServiceFacts};

const READ_WRITE: &[Verb] = &[Verb::Read, Verb::Modify, Verb::Create, Verb::Delete, Verb::Setattr];

/// Settings that make a folder for the service, and where (systemd.exec(5)).
const DIRECTORIES: [(&str, &str); 5] = [
    ("ConfigurationDirectory", "/etc"),
    ("RuntimeDirectory", "/run"),
    ("StateDirectory", "/var/lib"),
    ("CacheDirectory", "/var/cache"),
    ("LogsDirectory", "/var/log"),
];

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>, notes: &mut Vec<Note>) {
    by_unit(facts, out, notes);
    // Whatever a program does with its standard streams, it does with this one.
    let null = Origin::known("daemon(3)", "standard streams");
    out.push(Rule::file(Section::Write, &[Verb::Read, Verb::Modify], vec!["/dev/null".into()], &null));
    let Some(declared) = &facts.declared else {
        // Without a reader for the program's configuration, its package's own folders stand for what it keeps.
        for folder in &facts.state {
            tree_of(folder, out);
        }
        return;
    };
    for log in &declared.appends {
        // Opened for appending, made if missing, given to the workers' user when reopened (ngx_reopen_files()).
        let verbs = [Verb::Modify, Verb::Create, Verb::Setattr];
        out.push(Rule::file(Section::Write, &verbs, vec![log.glob()], &log.origin));
    }
    for pid in &declared.makes {
        let verbs = [Verb::Read, Verb::Modify, Verb::Create, Verb::Delete];
        out.push(Rule::file(Section::Write, &verbs, vec![pid.glob()], &pid.origin));
    }
    for folder in &declared.fills {
        // Made and given to the workers' user by the master (ngx_create_paths()), filled by the workers.
        let verbs = [Verb::Read, Verb::Create, Verb::Setattr];
        out.push(Rule::file(Section::Write, &verbs, vec![folder.glob()], &folder.origin));
        let all = format!("{}/**", folder.glob().trim_end_matches('/'));
        out.push(Rule::file(Section::Write, READ_WRITE, vec![all], &folder.origin));
    }
    for folder in &declared.changes {
        tree_of(folder, out);
    }
    for state in &declared.replaces {
        // A new one is written beside it, and renamed.
        let paths = vec![state.glob(), format!("{}*", state.glob())];
        out.push(Rule::file(Section::Write, READ_WRITE, paths, &state.origin));
    }
}

/// Everything below a folder, and the folder itself for reading.
fn tree_of(folder: &PathFact, out: &mut Vec<Rule>) {
    out.push(Rule::file(Section::Read, &[Verb::Read], vec![folder.glob()], &folder.origin));
    out.push(below(folder));
}

/// Everything below a folder.
fn below(folder: &PathFact) -> Rule {
    let paths = vec![format!("{}/**", folder.glob().trim_end_matches('/'))];
    Rule::file(Section::Write, READ_WRITE, paths, &folder.origin)
}

pub(super) fn by_unit(facts: &ServiceFacts, out: &mut Vec<Rule>, notes: &mut Vec<Note>) {
    let unit = &facts.unit;
    let dynamic = matches!(unit.flag("Service", "DynamicUser"), Some((true, _)));
    let tree = |path: String, origin: &Origin, out: &mut Vec<Rule>| tree_of(&PathFact::new(path, origin.clone()), out);
    for (key, base) in DIRECTORIES {
        for (word, origin) in unit.words("Service", &[key], notes) {
            let expanded = match specifier::expand(word.split(':').next().unwrap_or(&word), &unit.name) {
                Ok(text) => text,
                Err(e) => {
                    notes.push(Note::new(origin.clone(), format!("{key}={word} has no rule: {e}")));
                    continue;
                }
            };
            // systemd refuses names that are not normal (path_is_normalized()).
            let name = expanded.trim_end_matches('/');
            if name.is_empty()
                || name.split('/').any(|part| matches!(part, "" | "." | ".."))
                || name.contains('\u{fffd}')
            {
                let text =
                    format!("{key}={word} has no rule: it is not a normal relative path, and systemd passes over it");
                notes.push(Note::new(origin.clone(), text));
                continue;
            }
            if key == "ConfigurationDirectory" {
                let folder = PathFact::new(format!("{base}/{name}"), origin.clone());
                out.push(Rule::tree(Section::Read, &[Verb::Read], &folder));
                continue;
            }
            // With DynamicUser= the folder is a link into `private`, and the kernel names it there.
            let private = if dynamic && base != "/run" { "/private" } else { "" };
            tree(format!("{base}{private}/{name}"), origin, out);
        }
    }
    for path in &facts.writable {
        tree(path.path.clone(), &path.origin, out);
    }
    for fifo in &facts.fifos {
        out.push(Rule::file(Section::Write, &[Verb::Read, Verb::Modify], vec![fifo.glob()], &fifo.origin));
    }
    for stream in &facts.streams {
        let verbs = [Verb::Modify, Verb::Create];
        out.push(Rule::file(Section::Write, &verbs, vec![stream.glob()], &stream.origin));
    }
    if let Some((true, origin)) = unit.flag("Service", "PrivateTmp") {
        let origin = origin.clone();
        tree("/tmp".to_owned(), &origin, out);
        tree("/var/tmp".to_owned(), &origin, out);
    }
    if facts.declared.is_none()
        && let Some(pid) = &facts.pid
    {
        out.push(Rule::file(Section::Write, READ_WRITE, vec![pid.glob()], &pid.origin));
    }
}
