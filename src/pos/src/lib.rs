//! The Policy Orchestration Service: enrols machines, signs assignments, collects evidence and violations.
//!
//! ```text
//! server (TLS, limits) ─► api ─► store (SQLite) ─► answer after the commit
//!                          │        ▲
//!                  hub ◄───┘        │ evidence, pki
//!                   └─► stream ─► agents
//! ```
//! The wire is in `docs/pos-protocol.md`, running it in `docs/pos.md`.

mod api;
mod clock;
mod drain;
mod enrol;
mod evidence;
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
pub use store::StoreError;
pub use tls::TlsError;
