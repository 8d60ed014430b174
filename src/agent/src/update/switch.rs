//! A live update, from its first phase to its last, and the first policy of a boot alike.

use kiln_base::event::Evidence;

use crate::error::Result;
use crate::update::engine::Engine;
use crate::update::phases::Admitted;
use crate::update::store::Accepted;

/// Makes a policy active that is newer than all before, or the first. Returns the evidence. `deadline_ns`: when the one
/// before comes back, if this one is not confirmed.
///
/// # Errors
/// If anything fails; what was enforced before is then enforced still.
pub fn switch(engine: &mut Engine, policy: Accepted<'_>, deadline_ns: Option<u64>) -> Result<Evidence> {
    let admitted = Admitted::admit(engine, policy)?;
    admitted.widen()?.build()?.attach()?.label()?.announce(deadline_ns)?.flip().hold()
}
