//! `kiln gate`: kernel telemetry in, graded verdicts and responses out.

mod hold;
mod memory;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::ValueEnum;

use super::out::Fail;
use super::{Exit, Out};
use crate::gate::enforce::{self, BackendName, Enforcement, Limits, SocSettings};
use crate::gate::engine::event::Source as Origin;
use crate::gate::engine::graded::{self, Graded, Marks, Memory, Shape, Weights};
use crate::gate::engine::scbe::{self, Scbe};
use crate::gate::engine::{PlanOptions, Profile};
use crate::gate::run::{self, Follow, Settings, Sink, Source, Summary};

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
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    judge: Judge,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Undo what the gate did to a process: thaw it, give it its network and its processor back.
    Release(hold::Args),
    /// Show what the gate remembers: the most dangerous processes first.
    State(memory::Args),
}

#[derive(Debug, clap::Args)]
struct Judge {
    /// How events are judged.
    #[arg(long, value_enum, default_value_t = ProfileName::Default)]
    profile: ProfileName,
    /// File to read, or - for standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// What the lines are.
    #[arg(long, value_enum, default_value_t = FormatIn::Auto)]
    format_in: FormatIn,
    /// Go on when the file ends: it grows, and can be truncated or rotated.
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
    /// Seconds in which the gate does not act on the same process again.
    #[arg(long, value_name = "SECONDS", default_value_t = 15.0, allow_negative_numbers = true)]
    enforcement_cooldown: f64,
    /// Backends, in order, comma-separated: systemd, journald, soc, cgroup.
    #[arg(long, value_name = "NAMES", default_value = "systemd,journald")]
    enforcement_backends: String,
    /// File of what operators have found to be benign, TOML; docs/gate.md says how it reads (profile default).
    #[arg(long, value_name = "FILE")]
    benign: Option<PathBuf>,
    /// File that keeps the memory over a restart (profile default).
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Remember at most so many processes; the gate forgets the least dangerous first (profile default).
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    state_entries: usize,
    /// Never act on processes, units or control groups of this name; * at its end stands for anything. Repeatable.
    #[arg(long, value_name = "NAME")]
    protect: Vec<String>,
    /// Actions a minute, on all processes together; three minutes at the limit stop the gate.
    #[arg(long, value_name = "N", default_value_t = 10)]
    actions_per_minute: usize,
    /// Act only while this file has been touched within --dead-man-seconds.
    #[arg(long, value_name = "FILE")]
    dead_man: Option<PathBuf>,
    /// See --dead-man.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    dead_man_seconds: u64,
    /// URL that the soc backend posts to.
    #[arg(long, value_name = "URL", default_value = "")]
    soc_endpoint: String,
    /// How long one post may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    soc_timeout_seconds: f64,
    /// Bearer token; better in KILN_SOC_BEARER_TOKEN or SCBE_SOC_BEARER_TOKEN, which other users cannot see.
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    soc_bearer_token: String,
    /// Authorities to trust for the soc backend instead of the system's (PEM).
    #[arg(long, value_name = "FILE")]
    soc_ca: Option<PathBuf>,
    /// Where the soc backend keeps what is not delivered yet.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kiln/gate/soc")]
    soc_spool: PathBuf,
    /// How large that can grow.
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    soc_spool_bytes: u64,
    /// Threads that read and render.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
}

struct Printer<'a> {
    out: &'a mut Out,
    /// Whether the gate acts: then it goes on when nobody reads what it says.
    acts: bool,
}

impl Sink for Printer<'_> {
    fn write(&mut self, lines: &[u8], errors: &[u8]) -> io::Result<()> {
        use std::io::Write;
        // Who does not listen misses what could not be read; it is counted all the same.
        let _ = io::stderr().lock().write_all(errors);
        self.out.raw(lines)?;
        if self.out.gone() && !self.acts {
            std::process::exit(0);
        }
        Ok(())
    }
}

/// Runs the verb; `ocsf` is `--format ocsf`.
pub fn run(args: Args, ocsf: bool, out: &mut Out) -> anyhow::Result<Exit> {
    match args.verb {
        Some(Verb::Release(args)) => hold::run(&args, out),
        Some(Verb::State(args)) => memory::run(&args, out),
        None => judge(&args.judge, ocsf, out),
    }
}

fn judge(args: &Judge, ocsf: bool, out: &mut Out) -> anyhow::Result<Exit> {
    let plans = args.emit_enforcement || args.apply_enforcement;
    let backends = BackendName::parse_list(&args.enforcement_backends).map_err(|unknown| Fail {
        code: 2,
        message: format!("unknown enforcement backend(s): {unknown}; known are systemd, journald, soc, cgroup"),
    })?;
    let plan = plans.then(|| PlanOptions {
        quarantine_dir: args.quarantine_dir.clone(),
        cooldown: args.enforcement_cooldown,
        backends: backends.iter().map(|name| name.as_str().to_owned()).collect(),
        apply: args.apply_enforcement,
    });
    let mut enforcement = args.apply_enforcement.then(|| Enforcement::new(enforcement_settings(args, backends)));
    let summary = match args.profile {
        ProfileName::Scbe => {
            let options = scbe::Options {
                host_default: args.host_default.clone(),
                include_kernel_event: args.include_kernel_event,
                pretty: args.pretty,
                enforcement: plan,
            };
            drive(&Scbe { options }, &mut Default::default(), enforcement.as_mut(), args, out, |_| Ok(()))?
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
                shape: if ocsf { Shape::Ocsf } else { Shape::Gate },
                enforcement: plan,
            };
            let marks = match &args.benign {
                Some(path) => marks(path)?,
                None => Marks::default(),
            };
            let profile = Graded { options, weights: Weights::built_in()?, marks };
            let mut memory = match &args.state {
                Some(path) => memory::load(path, args.state_entries)?,
                None => Memory::with_capacity(args.state_entries),
            };
            let save = |memory: &Memory| args.state.as_ref().map_or(Ok(()), |path| memory::save(memory, path));
            drive(&profile, &mut memory, enforcement.as_mut(), args, out, save)?
        }
    };
    if let Some(enforcement) = &mut enforcement {
        let patience = Duration::try_from_secs_f64(args.soc_timeout_seconds.clamp(0.1, 60.0) * 2.0).unwrap_or_default();
        enforcement.finish(patience);
    }
    report(&summary, args)
}

/// Reads the operators' marks.
fn marks(path: &Path) -> anyhow::Result<Marks> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Fail { code: 2, message: format!("cannot read {}: {e}", path.display()) })?;
    Marks::from_toml(&text).map_err(|e| Fail { code: 2, message: format!("cannot use {}: {e}", path.display()) }.into())
}

fn enforcement_settings(args: &Judge, backends: Vec<BackendName>) -> enforce::Settings {
    let token = [args.soc_bearer_token.clone()]
        .into_iter()
        .chain(["KILN_SOC_BEARER_TOKEN", "SCBE_SOC_BEARER_TOKEN"].iter().filter_map(|name| std::env::var(name).ok()))
        .find(|token| !token.is_empty())
        .unwrap_or_default();
    // Events name this host by its own name or, where they name none, by the default.
    let own_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    enforce::Settings {
        backends,
        quarantine_dir: PathBuf::from(&args.quarantine_dir),
        limits: Limits {
            protect: args.protect.clone(),
            actions_per_minute: args.actions_per_minute,
            dead_man: args.dead_man.clone(),
            dead_man_seconds: args.dead_man_seconds,
        },
        soc: (!args.soc_endpoint.is_empty()).then(|| SocSettings {
            endpoint: args.soc_endpoint.clone(),
            timeout_seconds: args.soc_timeout_seconds,
            bearer_token: token,
            spool: args.soc_spool.clone(),
            spool_bytes: args.soc_spool_bytes,
            ca: args.soc_ca.clone(),
        }),
        host_names: vec![own_name, args.host_default.clone()],
    }
}

fn drive<P: Profile>(
    profile: &P,
    memory: &mut P::Memory,
    enforcer: Option<&mut Enforcement>,
    args: &Judge,
    out: &mut Out,
    save: impl FnMut(&P::Memory) -> io::Result<()> + Send,
) -> anyhow::Result<Summary> {
    let plans = args.emit_enforcement || args.apply_enforcement;
    let settings = Settings { alerts_only: args.alerts_only, jobs: args.jobs.max(1), plans };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // The second signal ends the process: the first may wait for a read that never returns.
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let reader: Box<dyn Read + Send> = match args.input.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ if args.follow => Box::new(Follow::new(&args.input, stop.clone())),
        _ => Box::new(File::open(&args.input).with_context(|| format!("cannot read {}", args.input.display()))?),
    };
    // A negative number has stopped the reference before its first event.
    let source = Source::new(reader, args.max_events.unsigned_abs(), stop);
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64);
    let mut printer = Printer { out, acts: args.apply_enforcement };
    if args.max_events < 0 {
        return Ok(Summary::default());
    }
    run::run(profile, source, memory, enforcer, &mut printer, clock, save, settings)
        .with_context(|| format!("cannot go on with {}", args.input.display()))
}

fn report(summary: &Summary, args: &Judge) -> anyhow::Result<Exit> {
    let Summary { events_seen, events_emitted, errors, enforcement_emitted, enforcement_applied, enforcement_failed } =
        summary;
    super::out::say(format_args!(
        "{{\"events_seen\": {events_seen}, \"events_emitted\": {events_emitted}, \"errors\": {errors}, \
         \"enforcement_emitted\": {enforcement_emitted}, \"enforcement_applied\": {enforcement_applied}, \
         \"enforcement_failed\": {enforcement_failed}}}"
    ));
    Ok(match summary {
        s if s.errors > 0 => Exit::BadInput,
        s if args.apply_enforcement && s.enforcement_failed > 0 => Exit::Code(3),
        _ => Exit::Done,
    })
}
