//! The normal form of a policy: imports, lets, abstractions and parameters resolved, objects parsed and
//! checked. The reference evaluator, the JSON form and the compiler read this and nothing else. Pure.

pub mod normal;
