//! What compiler, agent and kernel programs agree on: the layout of `bpf/include/abi.h`, the tables file, and an
//! interpreter of the tables that decides as the kernel programs do.

pub mod hosts;
pub mod kernel;
pub mod layout;
pub mod metadata;
pub mod narrow;
pub mod subset;
pub mod tables;
pub mod walk;

mod bind;
mod check;
mod error;
#[cfg(test)]
mod mirror;
mod timed;
mod within;

pub use error::TablesError;
pub use kernel::Kernel;
pub use metadata::Metadata;
pub use tables::Tables;
