//! A filter of system calls as lines of a unit's drop-in (systemd.exec(5)), which never permit what the unit itself refuses.
//!
//! systemd joins the lines of `SystemCallFilter=`: a line of permitted calls adds to one before it, and `~` takes away. So
//! where the unit has a list of permitted calls, Kiln's line takes from it; where it has none, or one of refused calls, and
//! the policy refuses what it does not name, Kiln's list of permitted calls takes its place, less what the unit refuses.

use std::collections::{BTreeMap, BTreeSet};

use kiln_base::model::{CallAction, CallFilter};
use kiln_lang::policy::syscalls;

/// What systemd calls the end of the process, where it expects an error's name.
const KILL: &str = "kill";

/// A list as systemd has it after some lines.
#[derive(Default)]
struct List {
    /// Whether it names what is permitted (or, of `SystemCallLog=`, logged); `None` before the first line.
    names: Option<bool>,
    /// Calls, each with its own error if the line says one.
    calls: BTreeMap<String, Option<String>>,
    /// The words of `~` lines as they stand, and whether a line without `~` came after.
    taken: Vec<String>,
    mixed: bool,
}

impl List {
    /// As config_parse_syscall_filter() of systemd reads the lines.
    fn of(own: &[(String, String)], key: &str) -> List {
        let mut list = List::default();
        for (_, value) in own.iter().filter(|(k, _)| k == key) {
            let (invert, words) = value.strip_prefix('~').map_or((false, value.as_str()), |rest| (true, rest));
            if value.is_empty() {
                list = List::default();
                continue;
            }
            let names = *list.names.get_or_insert(!invert);
            if names && list.calls.is_empty() && key == FILTER {
                list.calls.extend(expand("@default").map(|c| (c, None)));
            }
            for word in words.split_whitespace().map(|w| w.trim_matches(['"', '\''])) {
                let (name, error) = word.split_once(':').map_or((word, None), |(n, e)| (n, Some(e.to_owned())));
                if !invert && error.is_some() {
                    continue; // nor does systemd take such a word
                }
                for call in expand(name) {
                    match (invert, names, &error) {
                        (true, true, Some(_)) | (true, false, _) => drop(list.calls.insert(call, error.clone())),
                        (false, true, _) => drop(list.calls.insert(call, None)),
                        (true, true, None) | (false, false, _) => drop(list.calls.remove(&call)),
                    }
                }
                if invert { list.taken.push(word.to_owned()) } else { list.mixed = true }
            }
        }
        list
    }

    /// Whether a filter lets the call pass.
    fn permits(&self, call: &str) -> bool {
        match (self.names, self.calls.get(call)) {
            (None, _) => true,
            (Some(true), found) => found.is_some_and(Option::is_none),
            (Some(false), found) => found.is_none(),
        }
    }
}

const FILTER: &str = "SystemCallFilter";
const LOG: &str = "SystemCallLog";

fn expand(name: &str) -> impl Iterator<Item = String> {
    let one = syscalls::members(name).is_empty().then(|| name.to_owned());
    syscalls::members(name).iter().map(|c| (*c).to_owned()).chain(one)
}

/// The lines of the `[Service]` section, given what the unit sets itself, in the order in which systemd reads it.
pub(super) fn lines(filter: &CallFilter, own: &[(String, String)]) -> Vec<String> {
    let mut out = Vec::new();
    let refuses = |call: &str| !filter.of(call).permits();
    if !filter.default.permits() || syscalls::calls().any(refuses) {
        // Of two lines systemd takes both.
        out.extend(["SystemCallArchitectures=", "SystemCallArchitectures=native"].map(str::to_owned));
        filtered(filter, &List::of(own, FILTER), error_number(own), &mut out);
    }
    logged(filter, own, &mut out);
    out
}

/// The error that the unit gives for what it refuses.
fn error_number(own: &[(String, String)]) -> &str {
    let last = own.iter().rfind(|(k, _)| k == "SystemCallErrorNumber").map(|(_, v)| v.as_str());
    last.filter(|v| !v.is_empty()).unwrap_or(KILL)
}

fn error(action: CallAction) -> &'static str {
    if action == CallAction::Kill { KILL } else { "EPERM" }
}

fn filtered(filter: &CallFilter, own: &List, own_error: &str, out: &mut Vec<String>) {
    let says = |call: &str| format!("{call}:{}", error(filter.of(call)));
    let refused = || syscalls::calls().filter(|c| !filter.of(c).permits());
    if own.names == Some(true) {
        // What the unit refuses already keeps its own error.
        let words: Vec<String> = refused().map(|c| if own.permits(c) { says(c) } else { c.to_owned() }).collect();
        out.push(format!("{FILTER}=~{}", words.join(" ")));
        return;
    }
    if filter.default.permits() {
        let words: Vec<String> = refused().filter(|c| own.permits(c)).map(says).collect();
        if !words.is_empty() {
            out.push(format!("{FILTER}=~{}", words.join(" ")));
        }
        return;
    }
    let permitted: Vec<&str> = syscalls::calls().filter(|c| filter.of(c).permits() && own.permits(c)).collect();
    out.push(format!("{FILTER}="));
    out.push(format!("SystemCallErrorNumber={}", error(filter.default)));
    out.push(format!("{FILTER}={}", permitted.join(" ")));
    if !own.mixed && !own.taken.is_empty() {
        // systemd knows better than this table what its groups are.
        out.push(format!("{FILTER}=~{}", own.taken.join(" ")));
    }
    // A list of permitted calls has `@default` in it, unasked.
    let unasked: BTreeSet<&str> = syscalls::members("@default").iter().copied().collect();
    let word = |c: &str| match own.calls.get(c) {
        Some(error) => Some(format!("{c}:{}", error.as_deref().unwrap_or(own_error))),
        None if unasked.contains(c) || filter.of(c) != filter.default => Some(says(c)),
        None => None,
    };
    let words: Vec<String> =
        syscalls::calls().filter(|c| !(filter.of(c).permits() && own.permits(c))).filter_map(word).collect();
    if !words.is_empty() {
        out.push(format!("{FILTER}=~{}", words.join(" ")));
    }
}

fn logged(filter: &CallFilter, own: &[(String, String)], out: &mut Vec<String>) {
    let wanted = |action: CallAction| action == CallAction::Log;
    if !wanted(filter.default) && !syscalls::calls().any(|c| wanted(filter.of(c))) {
        return;
    }
    let own = List::of(own, LOG);
    let own_logs = |call: &str| own.names.is_some_and(|names| names == own.calls.contains_key(call));
    let all = wanted(filter.default) || own.names == Some(false);
    let words: Vec<&str> = syscalls::calls().filter(|c| (wanted(filter.of(c)) || own_logs(c)) != all).collect();
    out.push(format!("{LOG}="));
    out.push(format!("{LOG}={}{}", if all { "~" } else { "" }, words.join(" ")));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    /// What units of distributions and of people say themselves.
    const OWN: [&[&str]; 12] = [
        &[],
        &["SystemCallFilter=@system-service"],
        &[
            "SystemCallFilter=@system-service",
            "SystemCallFilter=~@privileged @resources",
            "SystemCallErrorNumber=EPERM",
        ],
        &["SystemCallFilter=~@mount @clock:EACCES reboot"],
        &["SystemCallFilter=~@mount @debug", "SystemCallErrorNumber=EACCES", "SystemCallFilter=ptrace"],
        &["SystemCallFilter=read write execve open:EPERM", "SystemCallFilter=~ioctl:ENOTTY brk"],
        &["SystemCallFilter=@file-system", "SystemCallFilter=", "SystemCallFilter=~@swap"],
        &["SystemCallFilter=~@raw-io", "SystemCallFilter=", "SystemCallFilter=@basic-io @file-system @process"],
        &["SystemCallArchitectures=x86 native"],
        &["SystemCallLog=@mount bpf"],
        &["SystemCallLog=~@system-service"],
        &["SystemCallFilter=~ptrace:kill", "SystemCallFilter=~@module no_such_call"],
    ];

    fn own(lines: &[impl AsRef<str>]) -> Vec<(String, String)> {
        let pair = |l: &str| l.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap();
        lines.iter().map(|l| pair(l.as_ref())).collect()
    }

    fn filter(default: CallAction, named: &[(CallAction, &str)]) -> CallFilter {
        let mut out = CallFilter { default, named: BTreeMap::new() };
        for (action, words) in named {
            let mut calls: Vec<String> = words.split(' ').flat_map(expand).collect();
            calls.sort();
            calls.dedup();
            out.named.insert(*action, calls);
        }
        out
    }

    fn filters() -> Vec<CallFilter> {
        use CallAction::{Allow, Kill, Log, Refuse};
        vec![
            filter(Refuse, &[(Allow, "@system-service")]),
            filter(Refuse, &[(Allow, "@default read write"), (Kill, "ptrace @swap"), (Log, "openat")]),
            filter(Kill, &[(Allow, "execve exit_group read write mmap"), (Refuse, "brk socket")]),
            filter(Allow, &[(Refuse, "@mount bpf"), (Kill, "reboot")]),
            filter(Log, &[(Allow, "@system-service"), (Kill, "@module")]),
            filter(Allow, &[(Log, "@debug")]),
        ]
    }

    /// What a list lets pass, and what it logs; for a call that no table knows, too.
    fn effect(lines: &[(String, String)], call: &str) -> (bool, bool) {
        let log = List::of(lines, LOG);
        let logs = log.names.is_some_and(|names| names == log.calls.contains_key(call));
        (List::of(lines, FILTER).permits(call), logs)
    }

    fn expected(filter: &CallFilter, own: &[(String, String)], call: &str) -> (bool, bool) {
        let (permits, logs) = effect(own, call);
        (permits && filter.of(call).permits(), logs || filter.of(call) == CallAction::Log)
    }

    #[test]
    fn both_the_unit_and_the_policy_must_permit_a_call() {
        for (text, filter) in OWN.iter().flat_map(|o| filters().into_iter().map(move |f| (o, f))) {
            let own = own(text);
            let all = [own.clone(), self::own(&lines(&filter, &own))].concat();
            for call in syscalls::calls().chain(["a_call_to_come"]) {
                assert_eq!(effect(&all, call), expected(&filter, &own, call), "{text:?} {filter:?} {call}");
            }
            let kills = |call: &&str| filter.of(call) == CallAction::Kill && effect(&own, call).0;
            let list = List::of(&all, FILTER);
            for call in syscalls::calls().filter(kills) {
                let said = list.calls.get(call).and_then(Option::as_deref).unwrap_or(error_number(&all));
                assert_eq!(said, KILL, "{text:?} {filter:?} {call}");
            }
        }
    }

    /// What systemd itself makes of the unit with the drop-in, where it can be asked: the lists of its test run.
    fn asked(folder: &std::path::Path) -> Option<Vec<(String, String)>> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        let systemd =
            ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"].iter().find(|p| std::fs::exists(p).unwrap())?;
        // It makes no test run as root.
        let mut command = if root { Command::new("setpriv") } else { Command::new(systemd) };
        if root {
            command.args(["--reuid", "65534", "--clear-groups", systemd]);
        }
        command.args(["--system", "--test", "--unit=x.service"]).env("SYSTEMD_UNIT_PATH", folder);
        let output = command.env("SYSTEMD_LOG_LEVEL", "info").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let unit = text.split("-> Unit x.service:").nth(1)?.split("-> Unit ").next()?.to_owned();
        let pairs = unit.lines().filter_map(|l| l.trim().split_once(": "));
        Some(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).filter(|(k, _)| k.starts_with("SystemCall")).collect())
    }

    #[test]
    fn systemd_reads_the_lines_as_they_are_meant() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(folder.path().join("x.service.d")).unwrap();
        let unit = |text: &[&str]| {
            let text = text.join("\n");
            let whole = format!("[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/true\n{text}\n");
            std::fs::write(folder.path().join("x.service"), whole).unwrap();
        };
        unit(OWN[1]);
        let Some(first) = asked(folder.path()) else { return };
        if !first.iter().any(|(k, _)| k == FILTER) {
            return; // a systemd that says nothing of it
        }
        for (text, filter) in OWN.iter().flat_map(|o| filters().into_iter().map(move |f| (o, f))) {
            unit(text);
            let own = own(text);
            let drop_in = format!("[Service]\n{}\n", lines(&filter, &own).join("\n"));
            std::fs::write(folder.path().join("x.service.d/50-kiln.conf"), &drop_in).unwrap();
            let found = asked(folder.path()).unwrap();
            let value = |key: &str| found.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
            // It shows its list in the form of a line; a list of permitted calls has `call:error` for one that is refused.
            let mut list = List::default();
            if let Some(shown) = value(FILTER) {
                let (invert, words) = shown.strip_prefix('~').map_or((false, shown), |w| (true, w));
                list.names = Some(!invert);
                let entry =
                    |w: &str| w.split_once(':').map_or((w.to_owned(), None), |(c, e)| (c.into(), Some(e.into())));
                list.calls = words.split_whitespace().map(entry).collect();
            }
            let unknown =
                ["listmount", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "mseal", "statmount"];
            for call in syscalls::calls().filter(|c| !unknown.contains(c)) {
                let expected = expected(&filter, &own, call).0;
                assert_eq!(list.permits(call), expected, "{call} {text:?} {filter:?}\n{drop_in}{:?}", value(FILTER));
            }
            if drop_in.contains("Architectures") {
                assert_eq!(value("SystemCallArchitectures"), Some("native"), "{text:?}");
            }
        }
    }
}
