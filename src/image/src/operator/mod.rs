//! Talking to the POS as an operator: what `kiln deploy`, `kiln publish` and `kiln status` are made of.

mod client;
mod image;

pub use client::{Client, ClientError, Credentials};
pub use image::{BakedImage, ImageError};
