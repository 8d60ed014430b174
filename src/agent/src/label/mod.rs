//! Labels: which number each subject has in this boot, and who bears it.
//!
//! ```text
//!  slots     subject keys to numbers, which stay the same over all generations of a boot
//!  seed      labels what is older than its policy: cgroups, then processes
//!  tree      the cgroups, each named once, whatever its depth
//!  tracers   ends who traces a process and may not any more
//! ```
//!
//! From the flip on the kernel programs label what is new; what is here does so for what is there already.

pub mod seed;
pub mod slots;
pub mod tracers;
pub mod tree;
