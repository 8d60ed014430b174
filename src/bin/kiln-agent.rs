//! The agent in images.

fn main() {}
