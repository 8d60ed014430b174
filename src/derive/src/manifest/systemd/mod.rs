//! systemd units: files and drop-ins, command lines, specifiers, and which units an image starts (systemd.unit(5),
//! systemd.service(5), systemd.exec(5)).

pub mod census;
pub mod environment;
pub mod exec;
mod folders;
pub mod index;
pub mod name;
pub mod own;
pub mod parse;
pub mod paths;
pub mod socket;
pub mod specifier;
pub mod unit;
pub mod words;

pub use environment::Environment;
pub use exec::{CommandLine, Prefixes};
pub use index::Index;
pub use parse::{Entry, parse};
pub use unit::{Unit, UnitError};
