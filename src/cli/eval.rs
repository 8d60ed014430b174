//! `kiln eval`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::Serialize;

use super::sources::{REFUSED, load};
use super::{Exit, Format, Out};
use crate::model::{Because, Verb};
use crate::policy::eval::{Answer, Atom, Cause, Evaluator, Operation, Refusal, RuleRef, Target, Task, Verdict};
use crate::policy::normal::{Block, Policy};

const EXAMPLES: &str = "Examples:
  kiln eval web.pdl --subject unit=nginx.service --verb connect --object tcp:10.0.0.1:443 --at 2026-01-05T09:00:00Z
  kiln eval web.pdl --subject exec=/usr/sbin/nginx --subject user=www-data --verb write --object /var/log/nginx/a.log
  kiln eval web.pdl --subject unit=nginx.service --verb bind --object udp:[::1]:53
  kiln eval web.pdl --subject unit=nginx.service --verb rename --object /tmp/a --object /etc/b";

/// Ask whether a subject may do something, and by which rule.
///
/// Prints `allow` or `deny` and the rule that decides; exit code 0 or 1. The subject is taken to attach now.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The files of the policy.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What is known of the subject: KEY is exec, image, unit, label, user or host. Can be repeated.
    #[arg(long = "subject", value_name = "KEY=VALUE")]
    subjects: Vec<String>,
    /// A verb of the language, or rename, link, script, which have two objects.
    #[arg(long)]
    verb: String,
    /// A path; tcp:ADDR:PORT, udp:[V6]:PORT, sctp:ADDR:PORT, icmp:ADDR, with a name for ADDR if only that is known;
    /// unix:PATH or unix:@NAME; a capability, kernel operation or system call.
    #[arg(long = "object", value_name = "OBJECT", required = true)]
    objects: Vec<String>,
    /// The instant (RFC 3339); now, if not given.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

/// One atom of the answer, for machines.
#[derive(Serialize)]
struct AtomRecord {
    verb: Verb,
    object: String,
    decision: &'static str,
    deciding: Option<Deciding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    would_deny: Vec<Deciding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    watched: Vec<Deciding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    switches_to: Option<String>,
}

/// What decides, for machines.
#[derive(Serialize)]
struct Deciding {
    block: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    because: Vec<Because>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
}

#[derive(Serialize)]
struct Record {
    decision: &'static str,
    profile: Option<String>,
    guards: Vec<String>,
    at: String,
    atoms: Vec<AtomRecord>,
}

/// Evaluates and prints.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let task = task(&args.subjects)?;
    let operation = operation(&args.verb, &args.objects)?;
    let at = args.at.unwrap_or_else(Timestamp::now);
    let Some(loaded) = load(&args.files, out)? else { return REFUSED };
    let evaluator = Evaluator::new(&loaded.policy)?;
    let answer = evaluator.evaluate(&task, &operation, at);
    let record = record(&loaded.policy, &answer, at);
    match out.format() {
        Format::Json => out.json(&record)?,
        Format::Text => print(&record, out)?,
    }
    Ok(if answer.allowed() { Exit::Done } else { Exit::Finding })
}

fn task(subjects: &[String]) -> anyhow::Result<Task> {
    let mut task = Task::default();
    for subject in subjects {
        let (key, value) = subject
            .split_once('=')
            .with_context(|| format!("`{subject}` is not a subject: write KEY=VALUE, as in unit=nginx.service"))?;
        let field = match key {
            "exec" => &mut task.exec,
            "image" => &mut task.image,
            "unit" => &mut task.unit,
            "user" => &mut task.user,
            "host" => &mut task.host,
            "label" => {
                task.labels.push(value.to_owned());
                continue;
            }
            _ => bail!("`{key}` is not a property of a subject: use exec, image, unit, label, user or host"),
        };
        if field.replace(value.to_owned()).is_some() {
            bail!("the subject has two values for `{key}`: a task has one; only labels can be repeated");
        }
    }
    if let Some(exec) = &task.exec {
        path(exec)?;
    }
    Ok(task)
}

fn operation(verb: &str, objects: &[String]) -> anyhow::Result<Operation> {
    let two = || match objects {
        [a, b] => Ok((path(a)?, path(b)?)),
        _ => bail!("`{verb}` has two objects: --object FIRST --object SECOND"),
    };
    match verb {
        "rename" => two().map(|(from, to)| Operation::Rename { from, to }),
        "link" => two().map(|(old, new)| Operation::Link { old, new }),
        "script" => two().map(|(script, interpreter)| Operation::Script { script, interpreter }),
        _ => {
            let [object] = objects else { bail!("`{verb}` has one object") };
            if verb == "write" {
                return Ok(Operation::Write(path(object)?));
            }
            let verb: Verb = verb.parse().with_context(|| {
                format!("`{verb}` is not a verb: use one of the language, write, rename, link or script")
            })?;
            Ok(Operation::Atom(Atom { verb, target: target(verb, object)? }))
        }
    }
}

fn target(verb: Verb, object: &str) -> anyhow::Result<Target> {
    Ok(match verb {
        verb if verb.is_file() => Target::Path(path(object)?),
        verb if verb.is_network() => match object.split_once(':') {
            Some(("unix", name)) if name.starts_with('@') => Target::Unix(name.as_bytes().to_vec()),
            Some(("unix", name)) => Target::Unix(path(name)?),
            Some((proto, rest)) => ip(proto, rest)?,
            None => bail!("`{object}` is not a socket: write tcp:10.0.0.1:443, udp:[::1]:53 or unix:/run/x.sock"),
        },
        Verb::Capability => {
            let number = crate::model::capability_number(object);
            Target::Capability(
                number.with_context(|| format!("`{object}` is not a capability: write it as in net_bind_service"))?,
            )
        }
        Verb::Kernel => {
            Target::Kernel(object.parse().with_context(|| format!("`{object}` is not a kernel operation"))?)
        }
        _ => {
            let call = crate::policy::syscalls::calls().find(|c| *c == object);
            Target::Syscall(call.with_context(|| format!("`{object}` is not a system call"))?.to_owned())
        }
    })
}

fn ip(proto: &str, rest: &str) -> anyhow::Result<Target> {
    let proto =
        proto.parse().map_err(|p| anyhow::anyhow!("`{p}` is not a protocol: use tcp, udp, sctp, icmp or unix"))?;
    let (host, port) = if proto == crate::model::Proto::Icmp {
        (rest, 0)
    } else {
        let (host, port) = rest.rsplit_once(':').with_context(|| format!("`{rest}` has no port: write ADDR:PORT"))?;
        (host, port.parse::<u16>().with_context(|| format!("`{port}` is not a port"))?)
    };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if let Some(v6) = bare {
        let address: std::net::Ipv6Addr = v6.parse().with_context(|| format!("`{v6}` is not an IPv6 address"))?;
        return Ok(Target::ip(proto, address.into(), port));
    }
    match host.parse::<std::net::IpAddr>() {
        // Without brackets it is not clear where the port starts.
        Ok(address) if address.is_ipv4() || proto == crate::model::Proto::Icmp => {
            return Ok(Target::ip(proto, address, port));
        }
        Ok(_) => bail!("`{host}` is an IPv6 address: write it in brackets, as in [::1]:53"),
        Err(_) => {}
    }
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    // Digits and dots alone are a mistyped address rather than a name.
    let name = host.split('.').all(label) && host.bytes().any(|b| b.is_ascii_alphabetic());
    if !name {
        bail!("`{host}` is neither an address nor a name; an IPv6 address stands in brackets: [::1]");
    }
    Ok(Target::Ip { proto, address: None, name: Some(host.to_owned()), port })
}

/// A path as the kernel reports it.
fn path(text: &str) -> anyhow::Result<Vec<u8>> {
    let parts = text
        .strip_prefix('/')
        .with_context(|| format!("`{text}` is not absolute: the kernel resolves paths from `/`"))?;
    let normal = parts.is_empty() || parts.split('/').all(|p| !matches!(p, "" | "." | ".."));
    if !normal {
        bail!("`{text}` is not as the kernel reports it: leave out empty, `.` and `..` parts and a final `/`");
    }
    Ok(text.as_bytes().to_vec())
}

fn block_name(block: &Block) -> String {
    format!("{} {}", block.kind, block.name)
}

fn by_rule(policy: &Policy, at: RuleRef, reason: &str) -> Deciding {
    let block = &policy.blocks[at.block];
    let rule = &block.rules[at.rule];
    Deciding {
        block: block_name(block),
        reason: reason.to_owned(),
        rule: Some(rule.text.clone()),
        origin: Some(rule.origin.clone()),
        because: rule.because.clone(),
        severity: None,
        action: None,
    }
}

fn by_refusal(policy: &Policy, refusal: &Refusal, verb: Verb) -> Deciding {
    let block = &policy.blocks[refusal.block];
    let mut deciding = match refusal.cause {
        Cause::Rule(rule) => by_rule(policy, RuleRef { block: refusal.block, rule }, "a rule denies it"),
        Cause::Default => Deciding {
            block: block_name(block),
            reason: format!("no rule allows this {verb}"),
            rule: None,
            origin: None,
            because: Vec::new(),
            severity: None,
            action: None,
        },
        Cause::Closed => {
            let active = block.active.as_ref();
            Deciding {
                block: block_name(block),
                reason: format!("it is outside the window {}", active.map_or("", |a| &*a.window)),
                rule: active.map(|a| format!("active during {}", a.window)),
                origin: None,
                because: active.map(|a| a.because.clone()).unwrap_or_default(),
                severity: None,
                action: None,
            }
        }
    };
    deciding.severity = Some(refusal.severity.name());
    deciding.action = Some(refusal.action.name());
    deciding
}

/// What decides an atom: the worst refusal, with the outcome of all; else the `allow`; else that nothing governs it.
fn deciding(policy: &Policy, answer: &Answer, atom: &Atom, verdict: &Verdict) -> Option<Deciding> {
    if let (Some(refusal), Some((severity, action))) = (verdict.deciding(), verdict.outcome()) {
        let mut deciding = by_refusal(policy, refusal, atom.verb);
        deciding.severity = Some(severity.name());
        deciding.action = Some(action.name());
        return Some(deciding);
    }
    if let Some(rule) = verdict.permits.first() {
        return Some(by_rule(policy, *rule, "a rule allows it"));
    }
    let profile = answer.attachment.profile.filter(|p| !crate::policy::eval::governs(policy.blocks[*p].governs, atom));
    profile.map(|p| Deciding {
        block: block_name(&policy.blocks[p]),
        reason: format!("it does not govern {}", atom.verb),
        rule: None,
        origin: None,
        because: Vec::new(),
        severity: None,
        action: None,
    })
}

fn record(policy: &Policy, answer: &Answer, at: Timestamp) -> Record {
    let word = |allowed: bool| if allowed { "allow" } else { "deny" };
    let name = |id: usize| policy.blocks[id].name.clone();
    let atoms = answer.atoms.iter().map(|(atom, verdict)| AtomRecord {
        verb: atom.verb,
        object: shown(&atom.target),
        decision: word(verdict.allowed()),
        deciding: deciding(policy, answer, atom, verdict),
        would_deny: verdict.would.iter().map(|r| by_refusal(policy, r, atom.verb)).collect(),
        watched: verdict.watched.iter().map(|r| by_rule(policy, *r, "a rule watches it")).collect(),
        switches_to: verdict.switch.clone().filter(|_| verdict.allowed()),
    });
    Record {
        decision: word(answer.allowed()),
        profile: answer.attachment.profile.map(name),
        guards: answer.attachment.guards.iter().map(|g| name(*g)).collect(),
        at: at.to_string(),
        atoms: atoms.collect(),
    }
}

fn shown(target: &Target) -> String {
    match target {
        Target::Path(path) => String::from_utf8_lossy(path).into_owned(),
        Target::Unix(path) => format!("unix:{}", String::from_utf8_lossy(path)),
        Target::Ip { proto, address, name, port } => {
            let host = match address {
                Some(bytes) => match std::net::Ipv6Addr::from(*bytes) {
                    v6 if v6.to_ipv4_mapped().is_some() => v6.to_canonical().to_string(),
                    v6 => format!("[{v6}]"),
                },
                None => name.clone().unwrap_or_default(),
            };
            format!("{}:{host}:{port}", proto.name())
        }
        Target::Capability(number) => crate::model::capability_name(*number).unwrap_or("?").to_owned(),
        Target::Kernel(op) => op.name().to_owned(),
        Target::Syscall(name) => name.clone(),
    }
}

fn print(record: &Record, out: &mut Out) -> anyhow::Result<()> {
    out.line(record.decision)?;
    let single = record.atoms.len() == 1;
    for atom in &record.atoms {
        if !single {
            out.line(format!("  {} {}: {}", atom.verb, atom.object, atom.decision))?;
        }
        let indent = if single { "  " } else { "    " };
        match &atom.deciding {
            Some(deciding) => line(indent, "", deciding, out)?,
            None if record.profile.is_none() => {
                out.line(format!("{indent}no profile applies, and no guard denies it"))?
            }
            None => out.line(format!("{indent}only blocks that audit or learn speak about it"))?,
        }
        for deciding in &atom.would_deny {
            line(indent, "would be denied: ", deciding, out)?;
        }
        for deciding in &atom.watched {
            line(indent, "watched: ", deciding, out)?;
        }
        if let Some(profile) = &atom.switches_to {
            out.line(format!("{indent}the program runs under profile {profile}"))?;
        }
    }
    Ok(())
}

fn line(indent: &str, prefix: &str, deciding: &Deciding, out: &mut Out) -> anyhow::Result<()> {
    let what = deciding.rule.as_deref().map_or_else(|| deciding.reason.clone(), |rule| rule.to_owned());
    let origin = deciding.origin.as_ref().map(|o| format!(" ({o})")).unwrap_or_default();
    let outcome = match (deciding.severity, deciding.action) {
        (Some(severity), Some(action)) => format!(", severity {severity}, then {action}"),
        _ => String::new(),
    };
    out.line(format!("{indent}{prefix}{}: {what}{origin}{outcome}", deciding.block))?;
    if !deciding.because.is_empty() {
        let refs: Vec<String> = deciding.because.iter().map(ToString::to_string).collect();
        out.line(format!("{indent}  because {}", refs.join(", ")))?;
    }
    Ok(())
}
