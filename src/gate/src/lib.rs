//! Telemetry to cell state to decision to enforcement.
//!
//! ```text
//! bytes ── feed ──► lines ── engine ──► verdicts ── render ──► JSON lines, OCSF
//!                            │  read     one line, no state
//!                            │  settle   the memory, in the order of the lines
//!                            ▼
//!                          enforce ──► systemd · cgroup · journald · soc
//! ```
//!
//! `engine` does no I/O; `docs/gate.md` gives its formulas.

pub mod enforce;
pub mod engine;
pub mod run;
