//! Modes of a block and outcomes of a violation. The numbers are those of `bpf/include/abi.h`.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $n:literal $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant = $n,)* }
        impl $name {
            /// All values, least first.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The PDL keyword.
            pub const fn name(self) -> &'static str { match self { $($name::$variant => $text,)* } }
            /// The value of a number of abi.h.
            pub fn from_number(n: u8) -> Option<$name> { $name::ALL.iter().copied().find(|v| *v as u8 == n) }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.name()) }
        }
        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(s: &str) -> Result<Self, String> {
                $name::ALL.iter().copied().find(|v| v.name() == s).ok_or_else(|| s.to_owned())
            }
        }
    };
}

words! {
    /// What a block does with a refusal.
    Mode {
        /// Refuse.
        Enforce = 0 "enforce",
        /// Permit and report what would be refused.
        Audit = 1 "audit",
        /// As audit, and record the request as a candidate rule.
        Learn = 2 "learn",
    }
}
words! {
    /// How bad a violation is.
    Severity {
        /// Informative.
        Low = 0 "low",
        /// The default.
        Medium = 1 "medium",
        /// Needs attention soon.
        High = 2 "high",
        /// Needs attention now.
        Critical = 3 "critical",
    }
}
words! {
    /// What follows a violation beside the refusal, weakest first.
    Action {
        /// Report it.
        Alert = 0 "alert",
        /// Slow the subject down.
        Throttle = 1 "throttle",
        /// Cut the subject off.
        Quarantine = 2 "quarantine",
        /// Kill the process.
        Kill = 3 "kill",
    }
}

/// `severity … then …`; what is absent falls back to the block's `on violation`, then to medium and alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Outcome {
    /// How bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// What follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
}
