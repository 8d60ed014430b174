//! A filter of system calls, by their names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What follows a system call; of several the last in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallAction {
    /// It is made.
    Allow,
    /// It is made, and the kernel reports it (SECCOMP_RET_LOG).
    Log,
    /// It fails with EPERM.
    Refuse,
    /// It ends the process.
    Kill,
}

impl CallAction {
    /// Whether the call is made.
    pub fn permits(self) -> bool {
        self <= CallAction::Log
    }
}

/// What each system call leads to. It holds from the start of a process and for all that it starts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallFilter {
    /// For calls that are not named, those that the table of names does not know included.
    pub default: CallAction,
    /// The others, sorted; none of them stands twice, and none with the default.
    pub named: BTreeMap<CallAction, Vec<String>>,
}

impl CallFilter {
    /// What follows a call.
    pub fn of(&self, call: &str) -> CallAction {
        let has = |(_, names): &(&CallAction, &Vec<String>)| names.binary_search_by(|n| n.as_str().cmp(call)).is_ok();
        self.named.iter().find(has).map_or(self.default, |(action, _)| *action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_leads_to_what_names_it_or_to_the_default() {
        let named = BTreeMap::from([(CallAction::Allow, vec!["open".to_owned(), "read".to_owned()])]);
        let filter = CallFilter { default: CallAction::Refuse, named };
        assert_eq!((filter.of("read"), filter.of("mount")), (CallAction::Allow, CallAction::Refuse));
        let text = serde_json::to_string(&filter).unwrap();
        assert_eq!(text, r#"{"default":"refuse","named":{"allow":["open","read"]}}"#);
        assert_eq!(serde_json::from_str::<CallFilter>(&text).unwrap(), filter);
    }
}
