//! The Policy Orchestration Service: enrols machines, signs assignments, collects evidence and violations.
//!
//! ```text
//! agents, operators
//!    │ TLS                                             rules for every store
//! server ─► api ─────────────────► dyn Store ◄──────── sqlite: pos.db
//! tls       one file a resource;   a method is a       worker threads, layout,
//! drain     extract: who asks,     transaction         one file a table
//! idle      and for what                │
//! rate         │ refusals               │ Change, after the commit
//!              ▼                        ▼
//!           problem: each error      follow ─► hub ─► stream ─► agents
//!           and its code             one watch a stream
//!
//! serve: one run, from the data folder to the orderly end     pki: keys and certificates
//! check, evidence, tables, enrol: what is looked at before it counts     clock: time as text
//! ```
//! `store` knows nothing of HTTP, and `api` nothing of SQL: `store::Store` stands between them, so that another database can take
//! SQLite's place. The wire is in `docs/pos-protocol.md`, running it in `docs/pos.md`.

mod api;
mod check;
mod clock;
mod drain;
mod enrol;
mod evidence;
mod follow;
mod hub;
mod idle;
mod pki;
mod problem;
mod rate;
mod serve;
mod server;
mod store;
mod stream;
mod tables;
mod tls;

pub use api::openapi;
pub use pki::PkiError;
pub use serve::{Options, ServeError, serve};
pub use store::{OpenError, StoreError};
pub use tls::TlsError;
