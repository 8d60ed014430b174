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
//!            │ bake                          root file system or raw disk, with agent and unit
//!            ▼ registry                      register with the POS
//!   agent: load · label · flip · observe ── event ──► journal, gate, pos
//! ```
//!
//! Modules stand in the order of that flow. `ARCHITECTURE.md` says which may use which.

pub mod abi;
#[cfg(feature = "agent")]
pub mod agent;
#[cfg(feature = "build")]
pub mod automata;
#[cfg(feature = "build")]
pub mod bake;
pub mod bundle;
#[cfg(feature = "build")]
pub mod cli;
#[cfg(feature = "build")]
pub mod compile;
#[cfg(feature = "build")]
pub mod derive;
pub mod event;
#[cfg(feature = "gate")]
pub mod gate;
#[cfg(feature = "build")]
pub mod manifest;
pub mod model;
#[cfg(feature = "build")]
pub mod pdl;
#[cfg(feature = "build")]
pub mod policy;
#[cfg(feature = "pos")]
pub mod pos;
#[cfg(feature = "build")]
pub mod registry;
pub mod wire;
