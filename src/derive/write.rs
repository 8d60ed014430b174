//! Files that are written: the folders that the unit declares, and the logs, temporary folders and process id of
//! programs whose configuration is read.

use super::rule::{Rule, Section};
use crate::manifest::systemd::specifier;
use crate::manifest::{Origin, PathFact, ServiceFacts};
use crate::model::Verb;

const READ_WRITE: &[Verb] = &[Verb::Read, Verb::Modify, Verb::Create, Verb::Delete, Verb::Setattr];

/// Settings that make a folder for the service, and where (systemd.exec(5)).
const DIRECTORIES: [(&str, &str); 4] = [
    ("RuntimeDirectory", "/run"),
    ("StateDirectory", "/var/lib"),
    ("CacheDirectory", "/var/cache"),
    ("LogsDirectory", "/var/log"),
];

pub(super) fn rules(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    declared(facts, out);
    // Whatever a program does with its standard streams, it does with this one.
    let null = Origin::known("daemon(3)", "standard streams");
    out.push(Rule::file(Section::Write, &[Verb::Read, Verb::Modify], vec!["/dev/null".into()], &null));
    let Some(nginx) = &facts.nginx else {
        // Without a reader for the program's configuration, its package's own folders stand for what it keeps.
        out.extend(facts.state.iter().map(below));
        return;
    };
    for log in &nginx.logs {
        // Opened for appending, made if missing, given to the workers' user when reopened (ngx_reopen_files()).
        let verbs = [Verb::Modify, Verb::Create, Verb::Setattr];
        out.push(Rule::file(Section::Write, &verbs, vec![log.glob()], &log.origin));
    }
    if let Some(pid) = &nginx.pid {
        let verbs = [Verb::Read, Verb::Modify, Verb::Create, Verb::Delete];
        out.push(Rule::file(Section::Write, &verbs, vec![pid.glob()], &pid.origin));
    }
    for folder in &nginx.temp {
        // Made and given to the workers' user by the master (ngx_create_paths()), filled by the workers.
        let verbs = [Verb::Read, Verb::Create, Verb::Setattr];
        out.push(Rule::file(Section::Write, &verbs, vec![folder.glob()], &folder.origin));
        let all = format!("{}/**", folder.glob().trim_end_matches('/'));
        out.push(Rule::file(Section::Write, READ_WRITE, vec![all], &folder.origin));
    }
    out.extend(nginx.uploads.iter().map(below));
}

/// Everything below a folder; of the folder itself only reading.
fn below(folder: &PathFact) -> Rule {
    let paths = vec![format!("{}/**", folder.glob().trim_end_matches('/'))];
    Rule::file(Section::Write, READ_WRITE, paths, &folder.origin)
}

fn declared(facts: &ServiceFacts, out: &mut Vec<Rule>) {
    let unit = &facts.unit;
    let dynamic = matches!(unit.flag("Service", "DynamicUser"), Some((true, _)));
    let mut tree = |path: String, origin: &Origin| {
        let folder = PathFact::new(path, origin.clone());
        out.push(Rule::file(Section::Read, &[Verb::Read], vec![folder.glob()], origin));
        out.push(below(&folder));
    };
    for (key, base) in DIRECTORIES {
        for entry in unit.list("Service", key) {
            for name in entry.value.split_whitespace() {
                let name = name.split(':').next().unwrap_or(name).trim_matches('/');
                // systemd refuses such names too (path_is_normalized()); what only the machine knows has no rule.
                let Ok(name) = specifier::expand(name, &unit.name) else { continue };
                if name.is_empty() || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
                    continue;
                }
                // With DynamicUser= the folder is a link into `private`, and the kernel names it there.
                let private = if dynamic && base != "/run" { "/private" } else { "" };
                tree(format!("{base}{private}/{name}"), &entry.origin);
            }
        }
    }
    for path in &facts.writable {
        tree(path.path.clone(), &path.origin);
    }
    if let Some((true, origin)) = unit.flag("Service", "PrivateTmp") {
        let origin = origin.clone();
        tree("/tmp".to_owned(), &origin);
        tree("/var/tmp".to_owned(), &origin);
    }
    if facts.nginx.is_none()
        && let Some(pid) = &facts.pid
    {
        out.push(Rule::file(Section::Write, READ_WRITE, vec![pid.glob()], &pid.origin));
    }
}
