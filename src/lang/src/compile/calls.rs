//! Rules on system calls to one filter for each subject, and what of them no filter can do.
//!
//! The kernel programs do not look at system calls: a filter (seccomp(2)) does, which a process is given when it is started
//! and which its children keep. So a filter is what the blocks of a unit say at its start, and nothing takes it off.

use kiln_base::abi::layout;
use kiln_base::model::{Action, CallAction, CallFilter, Mode, Outcome, Verb};

use super::decision::{Joint, View, joint};
use super::gap::Gap;
use super::moment::Moment;
use super::rules::Rules;
use super::users::Selectors;
use crate::policy::normal::{Block, BlockKind, Effect, Object, Policy, Rule, SelectorKey};
use crate::policy::syscalls;

/// Calls that libseccomp 2.5.4 of Debian 12 has no number for, so that systemd leaves them out of a list.
const UNKNOWN_TO_SYSTEMD: [&str; 6] =
    ["listmount", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "mseal", "statmount"];

/// Whether a block says anything of system calls.
pub(super) fn speaks(block: &Block) -> bool {
    let rule = |r: &Rule| matches!(r.object, Object::Syscall { .. });
    block.kind == BlockKind::Profile && block.governs.contains(Verb::Syscall) || block.rules.iter().any(rule)
}

/// The joint filter of blocks, if one of them speaks of system calls.
pub(super) fn filter(rules: &Rules<'_>, blocks: &[usize]) -> Option<CallFilter> {
    if !blocks.iter().any(|b| speaks(&rules.blocks[*b])) {
        return None;
    }
    let listed: Vec<(u32, &[String])> = blocks
        .iter()
        .flat_map(|b| rules.of_block(*b))
        .filter_map(|(n, e)| match e.object {
            Some(Object::Syscall { names }) => Some((n, &names[..])),
            _ => None,
        })
        .collect();
    // Windows are none of a filter's: what has one is a gap.
    let view = View::of(rules, blocks, Moment::UNKNOWN);
    let of = |names: &dyn Fn(&str) -> bool| {
        let named = listed.iter().filter(|(_, all)| all.iter().any(|n| names(n)));
        let ids: Vec<u32> = named.map(|(n, _)| *n).collect();
        action(joint(&view, &ids, Verb::Syscall))
    };
    let default = of(&|name| name == "any");
    let mut filter = CallFilter { default, named: Default::default() };
    for call in syscalls::calls() {
        let action = of(&|name| syscalls::names_call(name, call));
        if action != default {
            filter.named.entry(action).or_default().push(call.to_owned());
        }
    }
    Some(filter).filter(|f| f.default != CallAction::Allow || !f.named.is_empty())
}

fn action(joint: Joint) -> CallAction {
    match joint {
        Joint::Allow => CallAction::Allow,
        Joint::Watch(_) | Joint::Would(_) => CallAction::Log,
        Joint::Deny(layout::Outcome { action, .. }) if action == Action::Kill as u8 => CallAction::Kill,
        Joint::Deny(_) => CallAction::Refuse,
    }
}

/// The filter of some blocks together, whoever they attach to: for who starts a program himself. None if they say nothing
/// of system calls.
///
/// # Errors
/// What of their rules no filter can do.
pub fn call_filter(policy: &Policy, blocks: &[usize]) -> Result<Option<CallFilter>, Vec<Gap>> {
    let mut gaps = Vec::new();
    for block in blocks.iter().map(|b| &policy.blocks[*b]).filter(|b| speaks(b)) {
        timeless(block, &mut gaps);
        block.rules.iter().for_each(|rule| of_rule(block, rule, &mut gaps));
    }
    if gaps.is_empty() { Ok(filter(&Rules::of(policy, &Selectors::default(), &[]), blocks)) } else { Err(gaps) }
}

/// What of the rules on system calls the filter of a unit cannot do.
pub(super) fn gaps(policy: &Policy) -> Vec<Gap> {
    let mut gaps = Vec::new();
    (0..policy.blocks.len()).for_each(|number| of_block(policy, number, &mut gaps));
    gaps
}

fn of_block(policy: &Policy, number: usize, gaps: &mut Vec<Gap>) {
    let block = &policy.blocks[number];
    if !speaks(block) {
        return;
    }
    if !block.rules.iter().any(|r| matches!(r.object, Object::Syscall { .. })) {
        let rest: Vec<&str> = block.governs.iter().filter(|v| *v != Verb::Syscall).map(Verb::name).collect();
        gaps.push(Gap::of_block(
            block,
            "it governs system calls and permits none, so that nothing could be started".to_owned(),
            match &rest[..] {
                [] => "permit what its units need, as in `allow syscall @system-service;`".to_owned(),
                rest => format!("add the line `governs {};`", rest.join(", ")),
            },
        ));
        return;
    }
    for line in &block.subjects {
        let why = match &line[..] {
            [one] if one.key == SelectorKey::Unit && whole(&one.pattern.0) => continue,
            [one] if one.key == SelectorKey::Unit => {
                "a unit has its filter of system calls from the image, by its name or its template's"
            }
            _ => "a filter of system calls is given to a unit when it is started",
        };
        let shown: Vec<String> = line.iter().map(|s| format!("{} \"{}\"", s.key.name(), s.pattern.0)).collect();
        gaps.push(Gap::of_block(
            block,
            format!("{why}: `{}` names none", shown.join(", ")),
            "name each unit, as in `unit \"nginx.service\"` or `unit \"app@*.service\"`; for a container or a launcher \
             of your own write the rules into a policy of their own, and print the filter by `kiln seccomp`"
                .to_owned(),
        ));
    }
    timeless(block, gaps);
    for rule in &block.rules {
        of_rule(block, rule, gaps);
        unheard(block, rule, gaps);
    }
    startable(policy, number, gaps);
}

/// A filter knows no windows, and refuses or kills.
fn timeless(block: &Block, gaps: &mut Vec<Gap>) {
    if block.active.is_some() {
        let reason = "a filter of system calls holds from the start to the end, in `active during` or not".to_owned();
        gaps.push(Gap::of_block(block, reason, "write the rules on `syscall` into a block of their own".to_owned()));
    }
    let class = block.on_violation_of.get(&Verb::Syscall).copied().unwrap_or_default();
    let outcome = Outcome { severity: None, action: class.action.or(block.on_violation.action) };
    if slow(outcome) {
        gaps.push(Gap::of_block(block, SLOW.to_owned(), "add `on violation of syscall then alert;`".to_owned()));
    }
}

const SLOW: &str = "a filter of system calls refuses or kills; it cannot throttle or quarantine";

fn slow(outcome: Outcome) -> bool {
    matches!(outcome.action, Some(Action::Throttle | Action::Quarantine))
}

fn of_rule(block: &Block, rule: &Rule, gaps: &mut Vec<Gap>) {
    let mut add = |reason: &str, mend: &str| gaps.push(Gap::of_rule(block, rule, reason, mend));
    match &rule.object {
        Object::File { switch: Some(_), .. } => add(
            "a filter of system calls stays over a switch to another profile",
            "leave `syscall` out of what this profile says, or write the switch without `as`",
        ),
        Object::Syscall { .. } => {
            if !rule.conditions.is_empty() {
                add(
                    "a filter of system calls holds from the start of a unit and knows no conditions",
                    "remove the condition",
                );
            }
            if slow(rule.outcome) {
                add(SLOW, "use `then alert` or `then kill`");
            }
            if rule.effect == Effect::Watch && rule.outcome.action == Some(Action::Kill) {
                add("a watch rule observes and never kills", "write `deny …`, or leave out `then kill`");
            }
        }
        _ => {}
    }
}

/// Where the default permits, a refused call that systemd leaves out of a list would be permitted.
fn unheard(block: &Block, rule: &Rule, gaps: &mut Vec<Gap>) {
    let Object::Syscall { names } = &rule.object else { return };
    let open = block.kind == BlockKind::Guard || !block.governs.contains(Verb::Syscall);
    let lost = UNKNOWN_TO_SYSTEMD.iter().find(|call| names.iter().any(|n| syscalls::names_call(n, call)));
    if let Some(call) = lost.filter(|_| open && rule.effect == Effect::Deny) {
        gaps.push(Gap::of_rule(
            block,
            rule,
            format!("systemd of Debian 12 does not know `{call}` and would leave it out of the filter"),
            "write a profile that governs `syscall` and does not permit it",
        ));
    }
}

/// A unit that may not execute its program does not start: systemd executes it below the filter.
fn startable(policy: &Policy, number: usize, gaps: &mut Vec<Gap>) {
    let block = &policy.blocks[number];
    let refused =
        filter(&Rules::of(policy, &Selectors::default(), &[]), &[number]).is_some_and(|f| !f.of("execve").permits());
    if refused && block.mode == Mode::Enforce {
        gaps.push(Gap::of_block(
            block,
            "it refuses the system call execve, by which systemd starts the unit's program below the filter".to_owned(),
            match block.kind {
                BlockKind::Profile => "add `allow syscall @default;`, or `execve` alone".to_owned(),
                BlockKind::Guard => "leave `execve` out of what it denies".to_owned(),
            },
        ));
    }
}

/// Whether a pattern names one service, or all instances of a template: what a drop-in can be written for.
fn whole(pattern: &str) -> bool {
    let Some(name) = pattern.strip_suffix(".service") else { return false };
    let plain = |text: &str| !text.contains(['*', '?', '[', '{']);
    match name.split_once('@') {
        Some((template, "*" | "**")) => plain(template),
        _ => plain(name),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::compile::laws::options;
    use crate::compile::{CompileError, compile};
    use crate::pdl::{NoFiles, Source};
    use crate::policy::eval::{Atom, Evaluator, Target, Task};
    use crate::policy::load;

    const UNIT: &str = "subject unit \"a.service\";";

    fn policy(text: &str) -> Policy {
        load(&[Source::new("p.pdl", &format!("pdl 1; {text}"))], &NoFiles).unwrap_or_else(|e| panic!("{e}"))
    }

    /// What the evaluator says of a call, in the words of a filter.
    fn meant(policy: &Policy, call: &str) -> CallAction {
        let evaluator = Evaluator::new(policy).unwrap();
        let task = Task { unit: Some("a.service".to_owned()), host: Some("h".to_owned()), ..Task::default() };
        let attachment = evaluator.attach(&task);
        let atom = Atom { verb: Verb::Syscall, target: Target::Syscall(call.to_owned()) };
        let verdict = evaluator.decide(&attachment, &task, &atom, Timestamp::UNIX_EPOCH);
        match verdict.refusals.iter().map(|r| r.action).max() {
            Some(Action::Kill) => CallAction::Kill,
            Some(_) => CallAction::Refuse,
            None if !verdict.would.is_empty() || !verdict.watched.is_empty() => CallAction::Log,
            None => CallAction::Allow,
        }
    }

    #[test]
    fn a_filter_says_of_each_call_what_the_evaluator_says() {
        let texts = [
            "profile p { UNIT governs syscall; allow syscall @system-service; }",
            "profile p { UNIT governs read, syscall; on violation of syscall then kill; allow syscall @default, @io-event;
               deny syscall ptrace, @mount then alert; }",
            "profile p { UNIT governs syscall; on violation then kill; allow syscall any; deny syscall @clock; }",
            "profile p { UNIT governs read; deny syscall @reboot, swapon then kill; watch syscall @debug; }",
            "profile p { UNIT mode audit; governs syscall; allow syscall @default; }
             guard g { UNIT deny syscall @module then kill; }",
            "profile p { UNIT governs syscall; allow syscall @system-service; }
             guard g { UNIT mode audit; deny syscall @network-io, @mount; }
             guard h { UNIT deny syscall bind, listen; watch syscall connect; }",
            "profile p { UNIT mode learn; governs syscall; allow syscall any; watch syscall bpf; }",
            "guard g { UNIT deny syscall bpf; }",
        ];
        for text in texts {
            let policy = policy(&text.replace("UNIT", UNIT));
            let tables = compile(&policy, &options()).unwrap_or_else(|e| panic!("{text}: {e:?}"));
            let subject = tables.kernel.after_unit(1, b"a.service");
            let filter = tables.metadata.subjects[subject as usize - 1].calls.clone().unwrap();
            for call in syscalls::calls() {
                assert_eq!(filter.of(call), meant(&policy, call), "{text}: {call}");
            }
            // A call of a kernel to come, which only `any` means.
            let any = policy
                .blocks
                .iter()
                .flat_map(|b| &b.rules)
                .any(|r| matches!(&r.object, Object::Syscall { names } if names.iter().any(|n| n == "any")));
            assert!(any || filter.default == meant(&policy, "a call to come"), "{text}");
            assert!(tables.metadata.subjects[0].calls.is_none());
            // No hook is needed for them.
            let header = &tables.kernel.header;
            assert_eq!(header.required_hooks_lo & 1 << Verb::Syscall as u32, 0);
        }
    }

    #[test]
    fn what_a_filter_cannot_do_is_refused() {
        let cases = [
            ("profile p { UNIT governs syscall, read; allow read \"/a\"; }", "permits none"),
            ("profile p { subject exec \"/a\"; governs syscall; allow syscall @default; }", "when it is started"),
            ("guard g { subject host \"*\"; deny syscall bpf; }", "when it is started"),
            ("guard g { subject unit \"a*.service\"; deny syscall bpf; }", "from the image"),
            ("guard g { subject unit \"a@b*.service\"; deny syscall bpf; }", "from the image"),
            ("guard g { subject unit \"a.scope\"; deny syscall bpf; }", "from the image"),
            ("profile p { UNIT governs syscall; allow syscall read, write; }", "refuses the system call execve"),
            ("guard g { UNIT deny syscall @process; deny syscall any; }", "refuses the system call execve"),
            ("guard g { UNIT deny syscall mseal; }", "does not know `mseal`"),
            ("guard g { UNIT deny syscall bpf then quarantine; }", "cannot throttle or quarantine"),
            (
                "profile p { UNIT governs syscall; on violation then throttle; allow syscall @default; }",
                "cannot throttle or quarantine",
            ),
            (
                "profile p { UNIT governs syscall, exec; allow syscall @default; allow exec \"/b\" as q; }
                 profile q { subject unit \"q.service\"; governs read; }",
                "stays over a switch",
            ),
            ("guard g { UNIT watch syscall bpf then kill; }", "never kills"),
            (
                "window w { daily 8:00-9:00 zone \"UTC\"; } guard g { UNIT deny syscall bpf during w; }",
                "knows no conditions",
            ),
            (
                "window w { daily 8:00-9:00 zone \"UTC\"; } guard g { UNIT active during w; deny syscall bpf; }",
                "`active during` or not",
            ),
        ];
        for (text, reason) in cases {
            let policy = policy(&text.replace("UNIT", UNIT));
            let Err(CompileError::Gaps(gaps)) = compile(&policy, &options()) else { panic!("{text}") };
            assert!(gaps.iter().any(|g| g.reason.contains(reason) && !g.mend.is_empty()), "{text}: {gaps:?}");
        }
    }
}
