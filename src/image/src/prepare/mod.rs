//! What is made ready before an image is written: the policy, its signature, the keys to be trusted, the agent. For
//! each way into a bake: the command line, and whatever builds images.
//!
//! ```text
//! Request ─► policy    PDL compiled, or tables proven       source: the files of PDL; proof: tables are what they say
//!         ─► trust     public keys and certificates
//!         ─► sign      the statement, signed or read        an image with those keys must be able to verify it
//!         ─► selector  units and programs of the tables
//!    Ready ─► bake::bake
//! ```

mod calls;
mod error;
pub mod file;
mod missing;
mod policy;
pub mod proof;
mod request;
mod selector;
mod sign;
pub mod source;
pub mod trust;
mod users;

pub use error::PrepareError;
pub use missing::{MissingError, about, missing};
pub use policy::{PolicyError, PolicyFile, load, oldest_kernel};
pub use request::{KernelFrom, Ready, Request};
pub use selector::SelectorError;
pub use sign::{SignError, name_of, read_tables, sign, signature_path};
pub use users::{UsersError, users};
