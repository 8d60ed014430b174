//! Readers of what an image declares; each fact carries its origin.
//!
//! Everything is opened through [`Root`], so that no path and no link of the image leads out of it, and every read is
//! bounded. A reader returns what it could read and notes what it could not: an image that declares something this
//! release does not understand is still worth a policy, and its author should know what is missing from it.

mod declared;
pub mod dpkg;
pub mod elf;
mod fact;
mod facts;
pub mod glob;
pub mod net;
mod origin;
mod programs;
pub mod readers;
pub mod root;
pub mod runtime;
pub mod service;
mod shell;
pub mod systemd;
mod wrapper;

pub use declared::Declared;
pub use fact::{Note, PathFact};
pub use facts::{Command, Helper, ImageFacts, Library, Program, ServiceFacts};
pub use origin::Origin;
pub use root::{Root, RootError};
