//! `kiln gate`: kernel telemetry in, graded verdicts and responses out.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::ValueEnum;

use super::{Exit, Out};
use crate::gate::engine::Profile;
use crate::gate::engine::event::Source as Origin;
use crate::gate::engine::graded::{self, Graded, Memory, Shape, Weights};
use crate::gate::engine::scbe::{self, Scbe};
use crate::gate::run::{self, DryRun, Enforcer, Follow, Settings, Sink, Source, Summary};

/// How events are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProfileName {
    /// The gate's own model.
    Default,
    /// The behaviour of the public SCBE kernel gate, for comparison.
    Scbe,
}

/// What the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatIn {
    /// Each line's content decides.
    Auto,
    /// Falco's JSON output.
    Falco,
    /// Tetragon's JSON export.
    Tetragon,
    /// Kiln's own violations.
    Kiln,
}

/// Judge kernel telemetry: one event a line in, one verdict a line out.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How events are judged.
    #[arg(long, value_enum, default_value_t = ProfileName::Default)]
    profile: ProfileName,
    /// File to read, or - for standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// What the lines are.
    #[arg(long, value_enum, default_value_t = FormatIn::Auto)]
    format_in: FormatIn,
    /// Write OCSF Detection Findings.
    #[arg(long)]
    ocsf: bool,
    /// Go on when the file ends: it grows, and may be truncated or rotated.
    #[arg(long)]
    follow: bool,
    /// Write only verdicts that are not ALLOW.
    #[arg(long)]
    alerts_only: bool,
    /// Stop after so many events; 0 reads to the end.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    max_events: i64,
    /// Host of events that name none.
    #[arg(long, value_name = "NAME", default_value = "linux-node")]
    host_default: String,
    /// Indent the output.
    #[arg(long)]
    pretty: bool,
    /// Add the normalised event to each verdict.
    #[arg(long)]
    include_kernel_event: bool,
    /// Add what enforcement would do, without doing it.
    #[arg(long)]
    emit_enforcement: bool,
    /// Carry enforcement out.
    #[arg(long)]
    apply_enforcement: bool,
    /// Where evidence goes.
    #[arg(long, value_name = "DIR", default_value = "/var/quarantine/scbe")]
    quarantine_dir: String,
    /// Seconds in which a process is not acted on again.
    #[arg(long, value_name = "SECONDS", default_value_t = 15.0, allow_negative_numbers = true)]
    enforcement_cooldown: f64,
    /// Backends, in order, comma-separated: systemd, journald, soc, cgroup.
    #[arg(long, value_name = "NAMES", default_value = "systemd,journald")]
    enforcement_backends: String,
    /// File that keeps the memory over a restart (profile default).
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Processes that are remembered; beyond, the least dangerous are forgotten (profile default).
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    state_entries: usize,
    /// Threads that read and render.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
}

struct Printer<'a> {
    out: &'a mut Out,
}

impl Sink for Printer<'_> {
    fn write(&mut self, lines: &[u8], errors: &[u8]) -> io::Result<()> {
        use std::io::Write;
        io::stderr().lock().write_all(errors)?;
        self.out.raw(lines)
    }
}

/// Runs the verb.
pub fn run(args: Args, out: &mut Out) -> anyhow::Result<Exit> {
    let plans = args.emit_enforcement || args.apply_enforcement;
    let backends: Vec<String> = args.enforcement_backends.split(',').map(str::to_owned).collect();
    let summary = match args.profile {
        ProfileName::Scbe => {
            let options = scbe::Options {
                host_default: args.host_default.clone(),
                include_kernel_event: args.include_kernel_event,
                pretty: args.pretty,
                enforcement: plans.then(|| scbe::Enforcement {
                    quarantine_dir: args.quarantine_dir.clone(),
                    cooldown: args.enforcement_cooldown,
                    backends,
                    apply: args.apply_enforcement,
                }),
            };
            drive(&Scbe { options }, &mut Default::default(), None::<&mut DryRun>, &args, plans, out)?
        }
        ProfileName::Default => {
            let options = graded::Options {
                host_default: args.host_default.clone(),
                source: match args.format_in {
                    FormatIn::Auto => None,
                    FormatIn::Falco => Some(Origin::Falco),
                    FormatIn::Tetragon => Some(Origin::Tetragon),
                    FormatIn::Kiln => Some(Origin::Kiln),
                },
                include_kernel_event: args.include_kernel_event,
                pretty: args.pretty,
                shape: if args.ocsf { Shape::Ocsf } else { Shape::Gate },
                enforcement: plans.then(|| graded::Enforcement {
                    quarantine_dir: args.quarantine_dir.clone(),
                    cooldown: args.enforcement_cooldown,
                    backends,
                    apply: args.apply_enforcement,
                }),
            };
            let profile = Graded { options, weights: Weights::built_in()? };
            let mut memory = Memory::with_capacity(args.state_entries);
            drive(&profile, &mut memory, None::<&mut DryRun>, &args, plans, out)?
        }
    };
    report(&summary, &args)
}

fn drive<P: Profile, E: Enforcer>(
    profile: &P,
    memory: &mut P::Memory,
    enforcer: Option<&mut E>,
    args: &Args,
    plans: bool,
    out: &mut Out,
) -> anyhow::Result<Summary> {
    let settings = Settings { alerts_only: args.alerts_only, max_events: 0, jobs: args.jobs.max(1), plans };
    let reader: Box<dyn Read + Send> = match args.input.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ if args.follow => Box::new(Follow::new(&args.input, Arc::new(AtomicBool::new(false)))),
        _ => Box::new(File::open(&args.input).with_context(|| format!("cannot read {}", args.input.display()))?),
    };
    // A negative number has stopped the reference before its first event.
    let source = Source::new(reader, args.max_events.unsigned_abs());
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64);
    let mut printer = Printer { out };
    if args.max_events < 0 {
        return Ok(Summary::default());
    }
    run::run(profile, source, memory, enforcer, &mut printer, clock, settings)
        .with_context(|| format!("cannot go on with {}", args.input.display()))
}

fn report(summary: &Summary, args: &Args) -> anyhow::Result<Exit> {
    let Summary { events_seen, events_emitted, errors, enforcement_emitted, enforcement_applied, enforcement_failed } =
        summary;
    eprintln!(
        "{{\"events_seen\": {events_seen}, \"events_emitted\": {events_emitted}, \"errors\": {errors}, \
         \"enforcement_emitted\": {enforcement_emitted}, \"enforcement_applied\": {enforcement_applied}, \
         \"enforcement_failed\": {enforcement_failed}}}"
    );
    Ok(match summary {
        s if s.errors > 0 => Exit::BadInput,
        s if args.apply_enforcement && s.enforcement_failed > 0 => Exit::Code(3),
        _ => Exit::Done,
    })
}
