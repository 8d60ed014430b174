//! Talking to the POS as an operator: the client of `kiln deploy`, `kiln publish` and `kiln status`.

mod client;

pub use client::{Client, ClientError, Credentials};
