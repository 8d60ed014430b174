//! The Policy Orchestration Service.

fn main() {}
