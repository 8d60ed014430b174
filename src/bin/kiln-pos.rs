//! The Policy Orchestration Service.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use kiln::pos::{self, Options, ServeError};
use tracing_subscriber::EnvFilter;

/// The Policy Orchestration Service: enrols machines, assigns signed policies, keeps their evidence.
#[derive(Debug, Parser)]
#[command(name = "kiln-pos", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 ended as asked; 2 wrong usage, or a data folder that cannot be used; \
3 the address cannot be listened on; 4 another kiln-pos has the data folder.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service until SIGTERM. The first start makes keys and database in the data folder.
    Serve(Serve),
    /// Print the OpenAPI document.
    Openapi,
}

/// Example: kiln-pos serve --data /var/lib/kiln-pos --listen 0.0.0.0:8443 --name pos.example
#[derive(Debug, clap::Args)]
struct Serve {
    /// Keys, database and the first operator's identity are kept here.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address to listen on; port 0 takes a free one, which is printed.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// A DNS name or address that clients dial, beside localhost; can be repeated.
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
    /// Violations that are kept of each instance; older ones are removed.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keep_violations: u64,
    /// Seconds after which a silent stream gets a heartbeat.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=300))]
    heartbeat: u64,
    /// Write the log as JSON lines. KILN_LOG sets what is logged (default `info`).
    #[arg(long)]
    log_json: bool,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => run(args),
        Command::Openapi => match std::io::stdout().write_all(pos::openapi().as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(2),
        },
    }
}

fn run(args: Serve) -> ExitCode {
    let filter = EnvFilter::try_from_env("KILN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if args.log_json {
        log.json().init()
    } else {
        log.with_ansi(false).init()
    }
    let options = Options {
        data: args.data,
        listen: args.listen,
        names: args.names,
        keep_violations: args.keep_violations,
        heartbeat: Duration::from_secs(args.heartbeat),
    };
    let ready = |address: SocketAddr| {
        // The process that started this can have closed the pipe; the service runs all the same.
        let mut out = std::io::stdout();
        let _ = writeln!(out, "listening on https://{address}").and_then(|()| out.flush());
    };
    match pos::serve(&options, ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(match error {
                ServeError::Listen { .. } => 3,
                ServeError::Locked { .. } => 4,
                _ => 2,
            })
        }
    }
}
