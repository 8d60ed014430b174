//! Makes a bake ready (`prepare`), puts agent, policy and keys into images (`bake`), and registers images with the POS
//! (`registry`).

pub mod bake;
pub mod prepare;
pub mod registry;
