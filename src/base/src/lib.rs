//! What every part of Kiln shares.
//!
//! ```text
//! model   words: verbs, modes, digests, addresses, units
//!   ├── abi      the tables file and its kernel part, as the BPF programs read it
//!   │    └── event    what the kernel reports, and evidence of what it enforces
//!   ├── window   when the windows of a policy are open
//!   ├── bundle   digests, signatures, trust keys
//!   └── wire     what agent, service and operator say to each other: bundle's and event's, in messages
//! ```

pub mod abi;
pub mod bundle;
pub mod event;
pub mod model;
pub mod window;
pub mod wire;
