//! nginx's configuration: tokens, the directive tree with its includes, and the facts in it.

mod compiled;
mod config;
mod context;
mod directive;
mod facts;
mod links;
pub mod listen;
mod token;
pub mod upstream;

pub use compiled::Compiled;
pub use config::{Config, ConfigError};
pub use directive::Directive;
pub use facts::{NginxFacts, read};
pub use listen::Listen;
pub use upstream::Endpoint;
