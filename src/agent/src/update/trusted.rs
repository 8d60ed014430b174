//! By what a policy is taken: the keys that may sign one, and the name of the host that it is for.

use std::ops::Deref;

use kiln_base::bundle::TrustedKeys;

use crate::config::Places;
use crate::error::Result;
use crate::machine::host;

/// The image's keys and the machine's name.
#[derive(Debug)]
pub struct Trusted {
    keys: TrustedKeys,
    /// The name of the host.
    pub host: Vec<u8>,
}

impl Trusted {
    /// These keys, on a host with this name.
    pub fn new(keys: TrustedKeys, host: &[u8]) -> Trusted {
        Trusted { keys, host: host.to_vec() }
    }

    /// Reads both.
    ///
    /// # Errors
    /// If there is a key that cannot be read, or none.
    pub fn read(places: &Places) -> Result<Trusted> {
        Ok(Trusted { keys: TrustedKeys::read(&places.trust())?, host: host::name(&places.run)? })
    }
}

impl Deref for Trusted {
    type Target = TrustedKeys;
    fn deref(&self) -> &TrustedKeys {
        &self.keys
    }
}
