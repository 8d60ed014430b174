//! The one store that makes a generation active.

use kiln_base::abi::Tables;

use crate::load::maps::Maps;
use crate::update::records::Named;

/// Makes the generation active that the records name as the active one. They are written first, always: whoever finds the
/// word flipped finds the record, too. `tables` are those of the generation.
pub fn flip(maps: &Maps, tables: &Tables, named: Named) {
    let verbs = tables.kernel.header.host_verbs;
    // A bit too many in `look` costs time, never a verdict: it is set before, and cleared after.
    maps.groups.host_verbs_to_come(verbs);
    maps.state.flip(named.index(), verbs);
    maps.groups.host_verbs_now(verbs);
}
