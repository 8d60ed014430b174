//! `kiln status`.

use std::io::IsTerminal;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::pos_args::PosArgs;
use super::{Exit, Format, Out};
use crate::operator::{Client, ClientError};
use crate::wire::{AckView, InstanceView, StateView};

/// How often is looked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Example: kiln status --pos https://pos.example:8443 --wait 60
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pos: PosArgs,
    /// Print the state anew each time that it changes, until interrupted.
    #[arg(long, conflicts_with = "wait")]
    watch: bool,
    /// Wait at most so long until every instance enforces what is assigned.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// Count as not in step while fewer instances are enrolled.
    #[arg(long, value_name = "N", default_value_t = 0)]
    instances: u64,
    /// Show the evidence of each instance.
    #[arg(long)]
    evidence: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    in_step: bool,
    #[serde(flatten)]
    state: &'a StateView,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<AckView>,
}

/// Prints what is assigned and what is enforced; ends with 1 where some instance does not enforce what is assigned.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let (client, _) = args.pos.client()?;
    let end = args.wait.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut shown: Option<StateView> = None;
    loop {
        let state = client.state()?;
        let in_step = state.out_of_step == 0 && state.instances >= args.instances;
        let last = match end {
            Some(end) => in_step || Instant::now() >= end,
            None => !args.watch,
        };
        // While waiting nothing is printed; while watching, what changed.
        let changed = args.watch && shown.as_ref().is_none_or(|before| !same(before, &state));
        if last || changed {
            show(&args, &client, &state, in_step, out)?;
            shown = Some(state);
        }
        if last {
            return Ok(if in_step { Exit::Done } else { Exit::Finding });
        }
        if out.gone() {
            return Ok(Exit::Done);
        }
        sleep(AGAIN);
    }
}

/// Whether nothing changed but the time of last sight.
fn same(a: &StateView, b: &StateView) -> bool {
    let strip = |state: &StateView| {
        let mut state = state.clone();
        state.items.iter_mut().for_each(|i| i.last_seen.clear());
        state
    };
    strip(a) == strip(b)
}

fn show(args: &Args, client: &Client, state: &StateView, in_step: bool, out: &mut Out) -> anyhow::Result<()> {
    let evidence = if args.evidence { evidence(client, state)? } else { Vec::new() };
    if out.format() == Format::Json {
        return Ok(out.json(&Report { in_step, state, evidence })?);
    }
    if args.watch && std::io::stdout().is_terminal() {
        // Home, then erase to the end (ECMA-48).
        out.raw(b"\x1b[H\x1b[J")?;
    }
    table(state).iter().try_for_each(|line| out.line(line))?;
    for ack in evidence {
        let Some(found) = &ack.evidence else { continue };
        out.line(format_args!("\n{}: ACK {}, {}", ack.instance, ack.ack, ack.received))?;
        out.line(format_args!("  tables     {}", found.tables))?;
        out.line(format_args!("  read back  {}", found.readback))?;
        out.line(format_args!("  serial     {}, kernel {}, boot {}", found.serial, found.kernel, found.boot_id))?;
        let (pid, time, seq) = (found.sentinel.pid, found.sentinel.time_ns, found.sentinel.seq);
        out.line(format_args!("  sentinel   pid {pid} was refused {time} ns after boot (event {seq})"))?;
        for program in &found.programs {
            let links: Vec<String> =
                found.links.iter().filter(|l| l.program == program.id).map(|l| l.id.to_string()).collect();
            let (name, id, tag) = (&program.name, program.id, &program.tag);
            out.line(format_args!("  program    {name:<16} id {id}, tag {tag}, link {}", links.join(", ")))?;
        }
    }
    Ok(())
}

fn evidence(client: &Client, state: &StateView) -> Result<Vec<AckView>, ClientError> {
    let mut all = Vec::new();
    for instance in &state.items {
        if let Some(enforced) = &instance.enforced {
            all.extend(client.ack(&instance.instance, enforced.ack)?);
        }
    }
    Ok(all)
}

fn table(state: &StateView) -> Vec<String> {
    let mut rows = vec![["INSTANCE", "IMAGE", "ASSIGNED", "ENFORCED", "LAST SEEN", "VIOLATIONS"].map(str::to_owned)];
    for instance in &state.items {
        let image: String = instance.image_name.chars().take(32).collect();
        rows.push([
            instance.instance.clone(),
            image,
            format!("{} {}", instance.policy_name, instance.assigned.serial),
            enforced(instance),
            seen(instance),
            violations(instance),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect();
    for instance in &state.items {
        if let Some(refused) = instance.refused.as_ref().filter(|r| r.sequence == instance.assigned.sequence) {
            let (serial, reason) = (refused.serial, &refused.reason);
            lines.push(format!("{} refused serial {serial}: {reason}", instance.instance));
        }
    }
    let StateView { instances, connected, out_of_step, revoked, .. } = state;
    lines.push(format!(
        "{instances} instances, {connected} connected, {out_of_step} not enforcing what is assigned, {revoked} revoked"
    ));
    lines
}

fn enforced(instance: &InstanceView) -> String {
    match &instance.enforced {
        Some(enforced) if instance.in_step => format!("{} (ACK {})", enforced.serial, enforced.ack),
        Some(enforced) if enforced.boot_id != instance.boot_id => format!("{} (an earlier boot)", enforced.serial),
        Some(enforced) => format!("{} (not {})", enforced.serial, instance.assigned.serial),
        None => "no evidence".to_owned(),
    }
}

fn seen(instance: &InstanceView) -> String {
    match (&instance.revoked, instance.connected) {
        (Some(_), _) => "revoked".to_owned(),
        (None, true) => "connected".to_owned(),
        (None, false) => instance.last_seen.clone(),
    }
}

fn violations(instance: &InstanceView) -> String {
    match instance.dropped {
        0 => instance.violations.to_string(),
        lost => format!("{} ({lost} lost)", instance.violations),
    }
}
