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
pub mod listen;
mod lua;
mod modsecurity;
mod options;
mod token;
pub mod upstream;
mod walk;

pub use compiled::{Compiled, is_nginx};
pub use config::{Config, ConfigError};
pub use directive::Directive;
pub use facts::{NginxFacts, read};
pub use listen::Listen;
pub use upstream::Endpoint;
