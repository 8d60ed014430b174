//! What compiler, agent and kernel programs agree on: the layout of `bpf/include/abi.h` and the tables file.

pub mod layout;
