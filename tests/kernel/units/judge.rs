//! What the services found, held against what they found without policy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::boxes::Unit;

/// What the policies say of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Each permits it.
    Permitted,
    /// The second does not.
    Narrowed,
    /// None permits it.
    Denied,
}
use Rule::{Denied, Narrowed, Permitted};

struct Probe {
    name: &'static str,
    rule: Rule,
    /// What is reported when it is refused.
    verb: &'static str,
    object: &'static str,
}

const fn permitted(name: &'static str) -> Probe {
    Probe { name, rule: Permitted, verb: "", object: "" }
}
const fn narrowed(name: &'static str, verb: &'static str, object: &'static str) -> Probe {
    Probe { name, rule: Narrowed, verb, object }
}
const fn denied(name: &'static str, verb: &'static str, object: &'static str) -> Probe {
    Probe { name, rule: Denied, verb, object }
}

/// As `probe.c` has them.
const PROBES: &[Probe] = &[
    permitted("read_open"),
    narrowed("read_narrow", "read", "/srv/ku/narrow/f"),
    denied("read_secret", "read", "/srv/ku/secret/f"),
    permitted("read_bound"),
    denied("read_real", "read", "/srv/ku/real/f"),
    permitted("old_open"),
    narrowed("old_narrow", "read", "/srv/ku/narrow/f"),
    permitted("old_log"),
    permitted("stored"),
    denied("write_secret", "modify", "/srv/ku/secret/f"),
    denied("create_open", "create", "/srv/ku/open/new{}"),
    permitted("state"),
    permitted("tmp"),
    permitted("scratch"),
    permitted("shared"),
    permitted("reopened"),
    permitted("exec_open"),
    narrowed("exec_narrow", "exec", "/usr/lib/ku/narrow"),
    denied("exec_secret", "exec", "/usr/lib/ku/secret"),
    permitted("tcp_open"),
    narrowed("tcp_narrow", "connect", "tcp:127.0.0.1:7002"),
    denied("tcp_secret", "connect", "tcp:127.0.0.1:7003"),
    permitted("unix_open"),
    narrowed("unix_narrow", "connect", "unix:/run/ku/narrow.sock"),
    denied("unix_secret", "connect", "unix:/run/ku/secret.sock"),
    permitted("abstract_open"),
    denied("abstract_secret", "connect", "unix:@ku-secret"),
    permitted("journal"),
    permitted("system_log"),
    permitted("notified"),
    permitted("bus"),
    permitted("passed_pipe"),
    permitted("passed_open"),
    denied("passed_secret", "read", "/srv/ku/secret/f"),
    permitted("passed_on"),
    permitted("device"),
    permitted("own_status"),
    permitted("memory"),
];

/// Phases, and how a service comes to probe in them; by the first letter the policy.
const PHASES: &[(&str, &str)] = &[
    ("base", "start"),
    ("a-live", "reload"),
    ("a-again", "start"),
    ("b-live", "reload"),
    ("b-again", "start"),
    ("c-live", "reload"),
];
/// Those in which something connects to every socket.
const ASKED: &[&str] = &["base", "a-again", "b-again"];

/// One of so many units finds it right without policy, or the probe proves nothing.
const FEWEST: usize = 6;

type Found<'a> = BTreeMap<&'a str, &'a str>;

/// Judges what the guest wrote.
///
/// # Errors
/// All that is not as it should be.
pub fn judge(units: &[Unit], said: &str) -> Result<(), String> {
    let mut wrong = Wrong::default();
    if !said.lines().any(|line| line.trim() == "units-end") {
        wrong.add("the guest did not come to the end".into());
    }
    let mut runs: BTreeMap<(&str, &str, &str), Found> = BTreeMap::new();
    let mut events: BTreeSet<(String, u64, String, String)> = BTreeSet::new();
    let (mut served, mut counted) = (BTreeMap::new(), false);
    for line in said.lines().map(str::trim) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "ku" if words.len() > 4 => {
                let found = words[5..].iter().filter_map(|word| word.split_once('=')).collect();
                runs.insert((words[4], words[1], words[2]), found);
            }
            "ku-poke" if words.len() == 4 => {
                served.insert((words[1], words[2]), words[3]);
            }
            "ku-wrong" | "ku-failed" | "ku-accept" => wrong.add(line.to_owned()),
            "ku-status" if line.contains("enforcing") => counted |= line.contains(" serial 3 "),
            "ku-status" if line.contains("events") && !line.contains("(0 dropped)") => wrong.add(line.to_owned()),
            _ if line.starts_with("{\"schema\":\"kiln.violation.v1\"") => {
                match serde_json::from_str::<kiln::event::Violation>(line) {
                    // What the agent proves its policy by is of no unit.
                    Ok(event) if event.profile != "ku" => {}
                    Ok(event) => {
                        events.insert((event.comm, event.generation, event.verb.to_string(), event.object));
                    }
                    Err(error) => wrong.add(format!("{error}: {line}")),
                }
            }
            _ => {}
        }
    }
    if !counted {
        wrong.add("the last policy is not in force".into());
    }
    let mut expected: BTreeSet<(String, u64, String, String)> = BTreeSet::new();
    for unit in units {
        let Some(base) = runs.get(&(unit.number.as_str(), "base", "start")) else {
            wrong.add(format!("{} without policy: no word of it ({})", unit.name, unit.about));
            continue;
        };
        for &(phase, how) in PHASES {
            if unit.instances && (how != "start" || !ASKED.contains(&phase)) {
                continue;
            }
            let Some(found) = runs.get(&(unit.number.as_str(), phase, how)) else {
                wrong.add(format!("{} {phase} {how}: no word of it ({})", unit.name, unit.about));
                continue;
            };
            let serial = serial(phase);
            for probe in PROBES {
                let (was, is) = (base.get(probe.name).copied(), found.get(probe.name).copied());
                let refused =
                    unit.bound && serial > 0 && (probe.rule == Denied || probe.rule == Narrowed && serial == 2);
                let right = match (was, is) {
                    (None, _) | (_, None) => false,
                    (Some("ok"), Some(is)) if refused => is == "EPERM",
                    (Some(was), Some(is)) if refused => is == "EPERM" || is == was,
                    (was, is) => is == was,
                };
                if !right {
                    let (was, is) = (was.unwrap_or("nothing"), is.unwrap_or("nothing"));
                    wrong.add(format!(
                        "{} {phase} {how}: {} {is}, without policy {was} ({})",
                        unit.name, probe.name, unit.about
                    ));
                }
                if refused {
                    let object = probe.object.replace("{}", &unit.number);
                    let event = (format!("ku{}", unit.number), serial, probe.verb.to_owned(), object);
                    if was == Some("ok") && !events.contains(&event) {
                        wrong.add(format!(
                            "{} {phase} {how}: {} is not reported ({})",
                            unit.name, probe.name, unit.about
                        ));
                    }
                    expected.insert(event);
                }
            }
        }
        if let Some(socket) = &unit.socket {
            for phase in ASKED {
                match served.get(&(*phase, socket.as_str())) {
                    Some(&"served") => {}
                    other => wrong.add(format!("{} {phase}: asked, it says {other:?} ({})", unit.name, unit.about)),
                }
            }
        }
    }
    for event in events.difference(&expected) {
        let about = units.iter().find(|unit| event.0.strip_prefix("ku") == Some(&unit.number)).map(|unit| &unit.about);
        wrong.add(format!("reported, and not to be refused: {event:?} ({})", about.map_or("", |about| about)));
    }
    for probe in PROBES {
        let bases = runs.iter().filter(|((_, phase, how), _)| (*phase, *how) == ("base", "start"));
        let right = bases.filter(|(_, found)| found.get(probe.name) == Some(&"ok")).count();
        if right < units.len() / FEWEST {
            wrong.add(format!("{}: only {right} units find it right without policy", probe.name));
        }
    }
    wrong.end()
}

/// The policy of a phase; 0: none.
fn serial(phase: &str) -> u64 {
    match phase.as_bytes().first() {
        Some(b'a') => 1,
        Some(b'b') if phase != "base" => 2,
        Some(b'c') => 3,
        _ => 0,
    }
}

#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn add(&mut self, text: String) {
        self.0.push(text);
    }

    fn end(self) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut text = format!("{} things are wrong:\n", self.0.len());
        for line in self.0.iter().take(200) {
            let _ = writeln!(text, "{line}");
        }
        Err(text)
    }
}

/// That this judge finds what is wrong: a run that is right, and each of many that are not.
///
/// # Errors
/// What it finds right or wrong that is not.
pub fn prove_itself() -> Result<(), String> {
    let unit = || Unit {
        number: "000".into(),
        name: "ku000.service".into(),
        about: String::new(),
        socket: Some("tcp:20000".into()),
        of_user: false,
        instances: false,
        bound: true,
    };
    let mut right =
        String::from("ku-status enforcing  units serial 3 (x)\nku-status events  9 (0 dropped)\nunits-end\n");
    for &(phase, how) in PHASES {
        let _ = write!(right, "ku {phase} {how} ku000.service 000");
        for probe in PROBES {
            let refused = serial(phase) > 0 && (probe.rule == Denied || probe.rule == Narrowed && serial(phase) == 2);
            let _ = write!(right, " {}={}", probe.name, if refused { "EPERM" } else { "ok" });
            if refused {
                right = format!(
                    "{}\n{right}",
                    event("ku000", serial(phase), probe.verb, &probe.object.replace("{}", "000"))
                );
            }
        }
        right.push('\n');
    }
    for phase in ASKED {
        let _ = writeln!(right, "ku-poke {phase} tcp:20000 served");
    }
    judge(&[unit()], &right).map_err(|wrong| format!("a right run is found wrong: {wrong}"))?;
    let other = event("ku000", 1, "read", "/etc/shadow");
    for (from, to) in [
        ("read_secret=EPERM", "read_secret=ok"),
        ("read_narrow=EPERM", "read_narrow=ok"),
        ("c-live reload ku000.service 000 read_open=ok", "c-live reload ku000.service 000 read_open=EPERM"),
        ("ku b-again start", "ku b-lost start"),
        ("b-again tcp:20000 served", "b-again tcp:20000 nothing"),
        ("\"object\":\"/usr/lib/ku/secret\"", "\"object\":\"/usr/lib/ku/other\""),
        ("(0 dropped)", "(7 dropped)"),
        ("units-end", ""),
        ("serial 3 ", "serial 2 "),
        ("units-end", &format!("{other}\nunits-end")),
        ("units-end", "ku-failed b-again ku000.service\nunits-end"),
    ] {
        if judge(&[unit()], &right.replace(from, to)).is_ok() {
            return Err(format!("a run with {to} for {from} is found right"));
        }
    }
    Ok(())
}

fn event(comm: &str, generation: u64, verb: &str, object: &str) -> String {
    format!(
        "{{\"schema\":\"kiln.violation.v1\",\"time\":\"\",\"seq\":1,\"verdict\":\"denied\",\"profile\":\"ku\",\
         \"block_kind\":\"profile\",\"rule\":\"\",\"verb\":\"{verb}\",\"object\":\"{object}\",\"mode\":\"enforce\",\
         \"severity\":\"medium\",\"action\":\"alert\",\"pid\":1,\"tid\":1,\"ppid\":1,\"uid\":0,\"comm\":\"{comm}\",\
         \"start_time_ns\":1,\"cgroup_id\":1,\"generation\":{generation},\"subject\":\"ku\"}}"
    )
}
