//! Limits: which of them can be made to hold, and how the tables describe them.

use kiln_base::abi::metadata::LimitInfo;
use kiln_base::model::{Action, BlockKind, Mode, Outcome, Resource, literal_of_pattern, template_of_pattern};

use super::gap::Gap;
use super::subjects::Plan;
use crate::policy::normal::{Block, Limit, Object, Policy, Selector, SelectorKey};

/// The limits and throttles of a policy that cannot be enforced, and why.
pub(super) fn find(policy: &Policy, gaps: &mut Vec<Gap>) {
    for block in &policy.blocks {
        of_block(policy, block, gaps);
        throttled(block, gaps);
    }
}

fn of_block(policy: &Policy, block: &Block, gaps: &mut Vec<Gap>) {
    for limit in &block.limits {
        let mut add = |reason: String, mend: &str| {
            let gap = Gap::of_block(block, reason, mend.to_owned());
            let text = kiln_base::model::limit_text(&limit.amount.resources());
            gaps.push(Gap { rule: Some(text), origin: Some(limit.origin.clone()), ..gap });
        };
        if let Some(window) = limit.during.as_ref().filter(|window| !policy.windows.contains_key(*window)) {
            add(format!("`during {window}`: {}", super::gap::NO_WINDOW), &super::gap::define(window));
        }
        if block.mode != Mode::Enforce {
            add(
                format!("a limit would hold in mode {}, too", block.mode),
                "write `mode enforce;`, or move the limit into a guard of its own for that unit",
            );
        }
        if let Some(line) = block.subjects.iter().find(|line| unit(line).is_none()) {
            add(
                format!(
                    "a limit is of a service's cgroup, and the line `{}` names neither one service nor all instances of \
                     a template",
                    shown(line)
                ),
                "write the services one by one, as in `subject unit \"nginx.service\";` or `subject unit \"app@*.service\";`",
            );
        }
        if let Some(other) = switching_to(policy, block) {
            add(
                format!("profile {other} switches to it, and what is switched stays in its own service's cgroup"),
                "move the limits into a guard for the service whose cgroup shall have them",
            );
        }
        outcome(limit, &mut add);
    }
}

fn outcome(limit: &Limit, add: &mut impl FnMut(String, &str)) {
    let Some(action) = limit.outcome.action else { return };
    if action == Action::Quarantine {
        add(
            "the agent cannot quarantine where a limit is met".to_owned(),
            "use `then alert`, `then throttle` or `then kill`",
        );
    }
    for resource in limit.amount.resources().keys().filter(|resource| !told(**resource)) {
        add(
            format!("the kernel does not tell when `{resource}` meets its limit, so `then {action}` would not happen"),
            "leave out `then`: the limit itself holds",
        );
    }
}

/// Whether the kernel counts how often the limit was met.
fn told(resource: Resource) -> bool {
    !matches!(resource, Resource::Files | Resource::IoRead | Resource::IoWrite)
}

/// Limits of a block whose services all have a more specific profile in this image would hold nothing.
pub(super) fn lost(policy: &Policy, plan: &Plan, gaps: &mut Vec<Gap>) {
    let named = plan.named();
    let lost = policy.blocks.iter().zip(&named).filter(|(b, named)| !b.limits.is_empty() && named.units.is_empty());
    let gap = |block| {
        let why = "its limits hold nothing: a more specific line of another profile takes each of its units";
        Gap::of_block(block, why.to_owned(), "write the limits in the other profile, or in a guard".to_owned())
    };
    gaps.extend(lost.map(|(block, _)| gap(block)));
}

/// The pattern of a line that names units and nothing else.
fn units(line: &[Selector]) -> Option<&str> {
    let everywhere = |s: &&Selector| s.key == SelectorKey::Host && s.pattern.0 == "*";
    let rest: Vec<&Selector> = line.iter().filter(|s| !everywhere(s)).collect();
    let [Selector { key: SelectorKey::Unit, pattern }] = rest[..] else { return None };
    Some(&pattern.0)
}

/// The one service that a line of selectors names, or the template of all instances that it names.
fn unit(line: &[Selector]) -> Option<String> {
    let pattern = units(line)?;
    let service = literal_of_pattern(pattern).filter(|name| is_service(name) && !name.ends_with("@.service"));
    service.or_else(|| template_of_pattern(pattern).filter(|name| is_service(name)))
}

/// Whether a text names a service or a template (systemd.unit(5)).
fn is_service(name: &str) -> bool {
    let stem = name.strip_suffix(".service").filter(|stem| !stem.is_empty());
    let good = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    // systemd reads the drop-ins of `web-.service` for every service whose name begins so.
    let prefix = stem.is_some_and(|stem| stem.trim_end_matches('@').ends_with('-'));
    stem.is_some() && !prefix && name.len() <= 255 && name.bytes().all(good) && !name.starts_with(['-', '.', '@'])
}

fn shown(line: &[Selector]) -> String {
    let words: Vec<String> = line.iter().map(|s| format!("{} \"{}\"", s.key.name(), s.pattern.0)).collect();
    format!("subject {};", words.join(", "))
}

/// A profile of which a rule switches to this one.
fn switching_to<'a>(policy: &'a Policy, block: &Block) -> Option<&'a str> {
    let switches = |rule: &crate::policy::normal::Rule| match &rule.object {
        Object::File { switch: Some(target), .. } => *target == block.name,
        _ => false,
    };
    let other = policy.blocks.iter().find(|b| b.kind == BlockKind::Profile && b.rules.iter().any(switches));
    other.filter(|_| block.kind == BlockKind::Profile).map(|b| b.name.as_str())
}

/// What the tables say of a block's limits.
pub(super) fn describe(block: &Block) -> Vec<LimitInfo> {
    let info = |limit: &Limit| LimitInfo {
        amounts: limit.amount.resources(),
        during: limit.during.clone(),
        outcome: limit.outcome,
        because: limit.because.clone(),
        origin: limit.origin.clone(),
    };
    block.limits.iter().map(info).collect()
}

/// Whether a rule, or a limit that is met, throttles a unit.
pub(super) fn throttles(policy: &Policy) -> bool {
    policy.blocks.iter().any(|block| {
        let rules = block.rules.iter().map(|rule| &rule.outcome);
        throttles_by_default(block) || rules.chain(block.limits.iter().map(|limit| &limit.outcome)).any(throttle)
    })
}

fn throttle(outcome: &Outcome) -> bool {
    outcome.action == Some(Action::Throttle)
}

/// Whether some refusal of a block throttles, apart from what its rules say themselves.
fn throttles_by_default(block: &Block) -> bool {
    let mut outcomes = std::iter::once(&block.on_violation).chain(block.on_violation_of.values());
    let otherwise = block.active.as_ref().and_then(|active| active.otherwise);
    outcomes.any(throttle) || otherwise == Some(Action::Throttle)
}

/// A throttle is of a service: where a block throttles whom it refuses, it names services.
fn throttled(block: &Block, gaps: &mut Vec<Gap>) {
    let services = |line: &Vec<Selector>| units(line).is_some_and(|pattern| pattern.ends_with(".service"));
    let Some(line) = block.subjects.iter().find(|line| !services(line)) else { return };
    let reason =
        format!("`then throttle` is of a service's cgroup, and the line `{}` does not name services", shown(line));
    let mend = "name services in every line, as in `subject unit \"*.service\";`, or use `then alert`";
    let rules = block.rules.iter().filter(|rule| throttle(&rule.outcome));
    gaps.extend(rules.map(|rule| Gap::of_rule(block, rule, reason.clone(), mend)));
    if throttles_by_default(block) {
        gaps.push(Gap::of_block(block, reason, mend.to_owned()));
    }
}

/// Whether some limit is a rate of network traffic.
pub(super) fn rates(policy: &Policy) -> bool {
    let limits = policy.blocks.iter().flat_map(|block| &block.limits);
    limits.flat_map(|limit| limit.amount.resources().into_keys()).any(Resource::is_network)
}

#[cfg(test)]
mod tests {
    use super::super::{CompileError, Options, compile};
    use super::*;
    use crate::pdl::{NoFiles, Source};

    fn tables(text: &str) -> Result<kiln_base::abi::Tables, Vec<Gap>> {
        let source = Source::new("t.pdl", &format!("pdl 1;\n{text}"));
        let policy = crate::policy::load(&[source], &NoFiles).unwrap_or_else(|e| panic!("{}", e.render(false)));
        let options = Options {
            policy: crate::policy::digest(&policy),
            serial: 1,
            kernel: super::super::KernelVersion::BASELINE,
        };
        match compile(&policy, &options) {
            Ok(tables) => Ok(tables),
            Err(CompileError::Gaps(gaps)) => Err(gaps),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_tables_have_the_least_of_all_blocks() {
        let tables = tables(
            r#"profile web { subject unit "web.service"; governs exec; limit cpu 80%; limit memory 64MiB then kill;
                 limit io read 1MiB/s, write 2MiB/s because ticket "T-1"; allow exec "/web"; }
               guard small { subject unit "web.service"; subject unit "db@1.service"; limit cpu 90%; limit memory 32MiB; }
               guard net { subject unit "db@1.service"; limit network out 8Mbit/s; }"#,
        );
        let metadata = tables.unwrap().metadata;
        let of = |key: &str| {
            let subject = metadata.subjects.iter().find(|s| s.key == key).unwrap();
            metadata.limits(subject, |_| false).into_iter().map(|(r, (most, _))| (r, most)).collect::<Vec<_>>()
        };
        let web = [
            (Resource::Cpu, 80),
            (Resource::Memory, 32 << 20),
            (Resource::IoRead, 1 << 20),
            (Resource::IoWrite, 2 << 20),
        ];
        assert_eq!(of("web|small"), web);
        assert_eq!(
            of("|net,small"),
            [(Resource::Cpu, 90), (Resource::Memory, 32 << 20), (Resource::NetworkOut, 8_000_000)]
        );
        assert_eq!(of("|"), []);
    }

    #[test]
    fn a_limit_with_a_window_holds_while_it_is_open() {
        let tables = tables(
            "window w { daily 08:00-18:00 zone \"UTC\"; } \
             guard g { subject unit \"a@*.service\"; limit pids 5 during w severity high; limit pids 9 then throttle; }",
        );
        let tables = tables.unwrap();
        let subject = tables.metadata.subjects.iter().find(|s| s.key == "|g").unwrap();
        let pids = |open| tables.metadata.limits(subject, |_| open)[&Resource::Pids].0;
        assert_eq!((pids(true), pids(false)), (5, 9));
        assert_eq!(tables.metadata.blocks[0].limits[0].text(), "limit pids 5 during w severity high");
    }

    #[test]
    fn what_throttles_has_its_programs_attached() {
        let bit = |rest: &str| {
            let text = format!("guard g {{ subject unit \"*.service\"; {rest} }}");
            tables(&text).unwrap().kernel.header.required_hooks_lo & kiln_base::abi::layout::H_THROTTLE
        };
        assert_eq!(bit("deny exec \"/b\" then quarantine;"), 0);
        assert_ne!(bit("deny exec \"/b\" then throttle;"), 0);
        assert_ne!(bit("on violation of exec then throttle; deny exec \"/b\";"), 0);
    }

    #[test]
    fn who_throttles_names_services() {
        for text in [
            "guard g { subject exec \"/bin/a\"; deny exec \"/bin/b\" then throttle; }",
            "guard g { subject host \"*\"; on violation then throttle; deny exec \"/bin/b\"; }",
            "guard g { subject unit \"a.service\"; subject unit \"*\"; deny exec \"/bin/b\" then throttle; }",
        ] {
            let found = tables(text).err().unwrap_or_default();
            assert!(found.iter().any(|gap| gap.reason.contains("does not name services")), "{text}: {found:?}");
        }
        let watch = tables("guard g { subject unit \"a.service\"; watch exec \"/bin/b\" then throttle; }").unwrap_err();
        assert!(watch.iter().any(|gap| gap.reason.contains("does not throttle")), "{watch:?}");
    }

    #[test]
    fn rates_alone_have_their_programs_attached() {
        let bit = |limit: &str| {
            let text = format!("guard g {{ subject unit \"a.service\"; limit {limit}; }}");
            tables(&text).unwrap().kernel.header.required_hooks_lo & kiln_base::abi::layout::H_RATES
        };
        assert_eq!(bit("pids 5"), 0);
        assert_ne!(bit("network in 1Mbit/s"), 0);
    }

    #[test]
    fn what_would_not_hold_is_refused() {
        let body = |head: &str, limit: &str| format!("guard g {{ {head} limit {limit}; }}");
        for (text, reason) in [
            (body("subject host \"*\";", "pids 5"), "names neither one service nor"),
            (body("subject unit \"*.service\";", "pids 5"), "names neither one service nor"),
            (body("subject unit \"app@.service\";", "pids 5"), "names neither one service nor"),
            (body("subject unit \"web-.service\";", "pids 5"), "names neither one service nor"),
            (body("subject unit \"web-@*.service\";", "pids 5"), "names neither one service nor"),
            (body("subject unit \"a.socket\";", "pids 5"), "names neither one service nor"),
            (body("subject exec \"/bin/a\";", "pids 5"), "names neither one service nor"),
            (body("subject unit \"a.service\"; mode audit;", "pids 5"), "in mode audit"),
            (body("subject unit \"app@1*.service\";", "pids 5"), "names neither one service nor"),
            (body("subject unit \"a.service\";", "cpu 5% then quarantine"), "cannot quarantine"),
            (body("subject unit \"a.service\";", "files 5 then kill"), "does not tell when `files`"),
            (body("subject unit \"a.service\";", "io read 5MB/s then alert"), "does not tell when `io read`"),
            (
                "profile a { subject unit \"a.service\"; governs exec; allow exec \"/b\" as b; } \
                 profile b { subject unit \"b.service\"; governs read; limit pids 5; allow read \"/b\"; }"
                    .to_owned(),
                "profile a switches to it",
            ),
        ] {
            let found = tables(&text).err().unwrap_or_default();
            assert!(found.iter().any(|gap| gap.reason.contains(reason)), "{text}: {found:?}");
            assert!(found.iter().all(|gap| gap.origin.is_some() && !gap.mend.is_empty()), "{text}: {found:?}");
        }
    }
}
