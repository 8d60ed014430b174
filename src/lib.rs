//! Kiln bakes kernel-enforced runtime policy into machine images.
//!
//! ```text
//! units · nginx.conf · packages · ELF        manifest   -> Facts, each with its origin
//!            │
//!            ▼ derive                        facts -> PDL, every rule with its `because`
//!        policy.pdl
//!            │ pdl                           text -> lossless tree -> ast (and back)
//!            ▼ policy                        ast -> resolved, checked normal form; evaluator
//!            │ automata, compile             normal form -> tables (one DFA, decisions, rules)
//!            ▼ abi                           the tables file and its kernel part
//!        policy.tables ── bundle ──►         digests, signatures, trust keys
//!            │ prepare                       compiled or proven, signed, with the keys to be trusted
//!            │ bake                          root file system or raw disk, with agent and unit
//!            ▼ operator                      register with the POS
//!   agent: load · label · flip · observe ── event ──► journal, gate, pos
//! ```
//!
//! Each of these is a module of a member of the workspace; this library only shows them under one name.
//! `ARCHITECTURE.md` says which member has which, and which may use which.

pub mod cli;

pub use kiln_agent as agent;
pub use kiln_base::{abi, bundle, event, model, window, wire};
pub use kiln_derive::{self as derive, manifest};
pub use kiln_gate as gate;
pub use kiln_image::{bake, operator, prepare};
pub use kiln_lang::{automata, compile, findings, pdl, policy, seccomp};
pub use kiln_pos as pos;
