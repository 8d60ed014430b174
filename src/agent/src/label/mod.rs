//! Labels: which number each subject has in this boot, and who bears it.
//!
//! ```text
//!  slots    subject keys to numbers, which stay the same over all generations of a boot
//!  rules    what a number means in one generation, and where a transition leads
//!  seed     labels what is older than its policy, until there is nothing to do:
//!    cgroups, on the tree of them   a unit's cgroup, which those below it need not repeat
//!    tasks, on a process each       a process whose cgroup does not say it, by its bearer
//!  quarantine  who was put into it by the kernel programs, and the way out
//!  who         which label each process has, for people to look at
//!  tracers  ends who traces a process and may not any more
//! ```
//!
//! From the flip on the kernel programs label what is new; what is here does so for what is there already.

pub mod bearer;
pub mod cgroups;
pub mod process;
pub mod quarantine;
pub mod rules;
pub mod seed;
pub mod slots;
pub mod tasks;
pub mod tracers;
pub mod tree;
pub mod who;
