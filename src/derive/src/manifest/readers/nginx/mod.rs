//! nginx's configuration: tokens, the directive tree with its includes, and the facts in it.

mod compiled;
mod config;
mod constants;
mod context;
mod directive;
mod facts;
mod files;
mod known;
mod links;
mod listen;
mod lua;
mod modsecurity;
mod neutral;
mod options;
mod read;
mod token;
mod upstream;
mod walk;

pub use compiled::{Compiled, is_nginx};
pub use config::{Config, ConfigError};
pub use directive::Directive;

use super::{ReadError, Reader};
use crate::manifest::root::Root;
use crate::manifest::{Command, Declared, Note};

/// nginx, and what is built from its sources.
pub struct Nginx;

/// The programs with nginx's configuration.
const NAMES: [&str; 5] = ["nginx", "nginx-debug", "openresty", "angie", "freenginx"];

/// Bytes of the largest program that is searched for its configure arguments.
const MAX_PROGRAM: u64 = 64 << 20;

impl Reader for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn knows(&self, command: &Command) -> bool {
        let name = command.program.rsplit('/').next().unwrap_or_default();
        NAMES.contains(&name) || command.line.program.ends_with("/nginx")
    }

    fn read(&self, root: &Root, command: &Command, notes: &mut Vec<Note>) -> Result<Option<Declared>, ReadError> {
        let program = root.read(&command.program, MAX_PROGRAM).map_err(ReadError::of)?;
        let compiled = Compiled::of(&command.program, &program);
        match read::read(root, &compiled, &command.line, &command.origin, notes) {
            Err(e @ ConfigError::Unknown { .. }) => {
                notes.push(Note::new(command.origin.clone(), e.to_string()));
                Ok(None)
            }
            Err(e) => Err(ReadError::of(e)),
            Ok(found) => Ok(Some(found.into())),
        }
    }
}
