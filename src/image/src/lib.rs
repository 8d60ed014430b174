//! Makes a bake ready (`prepare`), puts agent, policy and keys into images (`bake`), and speaks to the POS as an operator
//! does, to register them and more (`operator`).

pub mod bake;
pub mod operator;
pub mod prepare;
