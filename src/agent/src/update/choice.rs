//! Which policy to load at boot: the newest whose signature holds, of the image's and the last good one.

use crate::error::{AgentError, Result};
use crate::update::store::{Marks, Verified};

/// The outcome of the choice.
#[derive(Debug)]
pub struct Choice {
    /// What to load.
    pub policy: Verified,
    /// What was wrong with a candidate that was not taken; to be reported, never silent.
    pub problems: Vec<AgentError>,
}

/// Chooses. A candidate that does not verify is reported and not considered.
///
/// # Errors
/// If no candidate verifies: the first problem.
pub fn choose(baked: Result<Verified>, good: Result<Option<Verified>>, marks: &Marks) -> Result<Choice> {
    let mut problems = Vec::new();
    let baked = baked.map_err(|e| problems.push(e)).ok();
    let good = good.map_err(|e| problems.push(e)).ok().flatten();
    let policy = match (baked, good) {
        // The same serial: the image's own, which needs no state folder.
        (Some(b), Some(g)) if b.statement.serial >= g.statement.serial => b,
        (_, Some(g)) => g,
        (Some(b), None) => b,
        (None, None) => return Err(problems.into_iter().next().unwrap_or(AgentError::NotLoaded)),
    };
    if policy.statement.serial < marks.confirmed {
        problems.push(AgentError::Downgrade {
            newest: policy.statement.serial,
            floor: marks.confirmed,
            state: "/var/lib/kiln/marks.json".into(),
        });
    }
    Ok(Choice { policy, problems })
}
