//! Where services listen and what they connect to, in one form for every reader.

use std::net::IpAddr;

use kiln_base::model::{PortRange, Proto};
use serde::Serialize;

use super::Origin;

/// Where a service listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listen {
    /// Which address.
    pub at: At,
    /// TCP or UDP; without meaning for unix sockets.
    pub proto: Proto,
    /// What says so.
    pub origin: Origin,
}

/// An address that a service listens on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// Every address.
    Any(PortRange),
    /// Both loopback blocks.
    Loopback(PortRange),
    /// One address.
    Address(IpAddr, PortRange),
    /// A name that only the running machine resolves.
    Name(String, PortRange),
    /// A unix socket.
    Unix(String),
}

/// A peer that a service connects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Who.
    pub to: To,
    /// TCP or UDP; without meaning for unix sockets.
    pub proto: Proto,
    /// What says so.
    pub origin: Origin,
}

/// The address of a peer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// One address.
    Address(IpAddr, u16),
    /// `localhost`.
    Loopback(u16),
    /// A name that only the running machine resolves.
    Name(String, u16),
    /// A unix socket.
    Unix(String),
    /// Made of variables: anything.
    Variable(String),
}
