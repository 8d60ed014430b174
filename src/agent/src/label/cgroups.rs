//! Labels of cgroups that are older than the policy that attaches to them.

use std::path::Path;

use kiln_base::abi::layout::LABEL_HOST;

use crate::bpf::map::Map;
use crate::error::{AgentError, Result, Step};
use crate::label::rules::Rules;
use crate::label::tree::{self, Group, Labelled, Seen};

/// Labels every cgroup that the rules attach to and that may have a label of its own; returns those that have one.
///
/// # Errors
/// If one cannot be read or labelled.
pub fn label(rules: Rules<'_>, cgroups: &Map, root: &Path) -> Result<Labelled> {
    let mut labelled = Labelled::default();
    tree::walk(root, &mut |seen| one(rules, cgroups, seen, &mut labelled))?;
    Ok(labelled)
}

fn one(rules: Rules<'_>, cgroups: &Map, seen: Seen<'_>, labelled: &mut Labelled) -> Result<Option<Group>> {
    let Seen { path, name, inode, above, by_slice } = seen;
    let current = cgroups.read::<u32>(&inode).map_err(|e| AgentError::kernel(Step::ReadCgroupLabels, e))?;
    let label = match (current, above) {
        (Some(label), _) if rules.settled(label) => label,
        // A unit below a slice that has a label: the slice's first, and what the unit's own name brings.
        (None, Some(above)) if by_slice => rules.within(above.label, name),
        (Some(label), Some(above)) if by_slice => {
            let slices = above.unit.as_deref().map_or(label, |slice| rules.within(label, slice));
            rules.within(slices, name)
        }
        (_, Some(above)) => above.label,
        _ if by_slice => rules.after_unit(current.unwrap_or(LABEL_HOST), name),
        _ => current.unwrap_or(LABEL_HOST),
    };
    // What is below a unit's has its label without more.
    if let (None, Some(above)) = (current, above.filter(|a| a.label == label)) {
        return Ok(Some(above.clone()));
    }
    let changed = label != LABEL_HOST && current != Some(label);
    if changed {
        cgroups.write(&inode, &label).map_err(|e| AgentError::kernel(Step::LabelCgroup(path.to_owned()), e))?;
    }
    let group = Group { label, changed, unit: by_slice.then(|| name.into()) };
    let group = (label != LABEL_HOST).then_some(group);
    labelled.by_path.extend(group.clone().map(|group| (path.to_owned(), group)));
    Ok(group)
}
