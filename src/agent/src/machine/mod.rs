//! What the agent needs of the machine: its files, processes, clocks, the journal and the lock. Knows nothing of policies.

pub mod caller;
pub mod clock;
pub mod command;
pub mod files;
pub mod host;
pub mod journal;
pub mod lines;
pub mod lock;
pub mod process;
pub mod procfs;
