//! What a key of a line means to its reader.

/// What to do with a key's value.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// The slot that keeps its token, or 255.
    pub slot: u8,
    /// The node whose keys to look for within it, or 255.
    pub node: u8,
}

/// Skip the value.
pub const NO_HIT: Hit = Hit { slot: 255, node: 255 };
