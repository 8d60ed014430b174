//! redis.conf, of Redis and of what is built from its sources.

mod config;
mod error;
mod facts;
mod words;

use super::{ReadError, Reader};
use crate::manifest::root::Root;
use crate::manifest::{Command, Declared, Note};
use config::Config;

/// Redis, Valkey and KeyDB as servers.
pub struct Redis;

/// The programs with redis.conf.
const NAMES: [&str; 3] = ["redis-server", "valkey-server", "keydb-server"];

impl Reader for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    // By the word, because Debian's redis-server is a link to redis-check-rdb: the program looks at how it is called, and
    // is Sentinel by the name redis-sentinel, whatever that leads to.
    fn knows(&self, command: &Command) -> bool {
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let (word, real) = (last(&command.line.program), last(&command.program));
        NAMES.contains(&word.as_str()) || (NAMES.contains(&real.as_str()) && !word.contains("sentinel"))
    }

    fn read(&self, root: &Root, command: &Command, notes: &mut Vec<Note>) -> Result<Option<Declared>, ReadError> {
        let (line, origin) = (&command.line, &command.origin);
        let file = line.arguments.first().filter(|word| !word.starts_with('-'));
        let nothing = if file.is_some_and(|f| line.unknown.contains(&0) || !f.starts_with('/')) {
            Some(
                "only the running machine knows which file is the configuration, so it is not read: name it by an \
                  absolute path",
            )
        } else if line.arguments.iter().any(|word| word == "--sentinel") {
            Some("the server runs as Sentinel, whose configuration is not read: add the rules that it needs by hand")
        } else {
            None
        };
        if let Some(text) = nothing {
            notes.push(Note::new(origin.clone(), text));
            return Ok(None);
        }
        let mut config = Config::new(root, notes);
        let read = || {
            if let Some(file) = file {
                config.file(file, origin)?;
            }
            config.options(line, usize::from(file.is_some()), origin)?;
            facts::of(config, command)
        };
        read().map(Some).map_err(ReadError::of)
    }
}
