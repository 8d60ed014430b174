//! When a program must be attached: what the words of `NEEDS()` mean (`bpf/include/needs.h`).

use kiln_base::abi::layout::{H_DATAGRAM, H_DNS, H_EXEC, H_PEER, H_RATES, H_THROTTLE, Header};
use kiln_base::model::{KernelOp, ParseVerbError, Verb, VerbSet};

/// When a program must be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// In each generation: labels and self-protection. A program that does more besides stands alone at its hook, as
    /// each one more costs all tasks.
    always: bool,
    /// Any of these bits of `required_hooks_lo`: verbs, and what the compiler says beside them.
    lo: u32,
    /// Any of these bits of `required_hooks_hi`: kernel operations.
    hi: u32,
    /// And only where a task may hold what the policy would not permit now.
    narrowed: bool,
}

/// Words that no program can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeedError {
    /// A word that is neither a verb nor one of those that `needs.h` lists.
    #[error(transparent)]
    Word(#[from] ParseVerbError),
    /// No policy asks for it: there is no word, or `narrowed` alone, or one beside `always`.
    #[error("`{0}` names no class of a policy, or more than `always`")]
    Nothing(String),
}

impl Need {
    /// Whatever the policy.
    pub const ALWAYS: Need = Need { always: true, lo: 0, hi: 0, narrowed: false };

    /// Reads the words of a program.
    ///
    /// # Errors
    /// [`NeedError`].
    pub fn read(words: &str) -> Result<Need, NeedError> {
        let mut need = Need { always: false, lo: 0, hi: 0, narrowed: false };
        for word in words.split_ascii_whitespace() {
            match word {
                "always" => need.always = true,
                "narrowed" => need.narrowed = true,
                "file" => need.lo |= u32::from(VerbSet::FILE.bits()),
                "exec_changes" => need.lo |= H_EXEC,
                "peers" => need.lo |= H_PEER,
                "datagrams" => need.lo |= H_DATAGRAM,
                "rates" => need.lo |= H_RATES,
                "throttles" => need.lo |= H_THROTTLE,
                "names" => need.lo |= H_DNS,
                _ => match word.strip_prefix("kernel:") {
                    Some(op) => need.hi |= 1 << op.parse::<KernelOp>()? as u8,
                    None => need.lo |= 1 << word.parse::<Verb>()? as u8,
                },
            }
        }
        let classes = need.lo != 0 || need.hi != 0;
        if need.always == (classes || need.narrowed) || need.narrowed && !classes {
            return Err(NeedError::Nothing(words.to_owned()));
        }
        Ok(need)
    }

    /// Whether a policy needs the program. `narrowed`: tasks may hold what the policy would not permit now.
    pub fn asks(&self, header: &Header, narrowed: bool) -> bool {
        let governed = self.lo & header.required_hooks_lo != 0 || self.hi & header.required_hooks_hi != 0;
        self.always || (!self.narrowed || narrowed) && governed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::hooks::test_header;

    #[test]
    fn words_are_a_need() {
        let need = |words| Need::read(words).unwrap();
        assert_eq!(need("always"), Need::ALWAYS);
        assert_eq!(need("bind  connect peers"), Need { always: false, lo: 0x4_0180, hi: 0, narrowed: false });
        assert_eq!(need("datagrams"), Need { always: false, lo: 0x8_0000, hi: 0, narrowed: false });
        assert_eq!(need("file exec_changes"), Need { always: false, lo: 0x1_007f, hi: 0, narrowed: false });
        assert_eq!(need("kernel:mount kernel:io_uring").hi, 0xa0);
        for wrong in ["", " ", "narrowed", "always read", "always narrowed", "always kernel:bpf"] {
            assert_eq!(Need::read(wrong), Err(NeedError::Nothing(wrong.to_owned())));
        }
        for wrong in ["reads", "kernel:", "kernel:read", "mount", "read,bind", "Read"] {
            assert!(matches!(Need::read(wrong), Err(NeedError::Word(_))), "{wrong}");
        }
    }

    #[test]
    fn narrowed_is_asked_for_beside_a_class() {
        let need = Need::read("read narrowed").unwrap();
        let read = 1 << Verb::Read as u8;
        assert!(!need.asks(&test_header(read, 0), false) && need.asks(&test_header(read, 0), true));
        assert!(!need.asks(&test_header(1 << Verb::Bind as u8, 0), true));
    }
}
