//! What can go wrong in the agent, and the exit code of each kind.

mod fault;
mod step;

pub use fault::{
    Credential, FileFault, JoinFault, Lack, Misuse, ObjectStep, PosFault, Refusal, SettingsFault, TablesFault, Unproven,
};
pub use step::{Act, Stage, Step};

use std::io;
use std::path::PathBuf;

use kiln_base::abi::subset::Wider;
use kiln_base::bundle::{AsideError, EnvelopeError, StatementError, TrustError};

/// An error of the agent. Each says what, where, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Wrong command line.
    #[error("{0}; `kiln-agent --help` lists what there is")]
    Usage(#[from] Misuse),
    /// A file of the image or of the state folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {fault}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// Why.
        fault: FileFault,
    },
    /// A file of the state folder cannot be written.
    #[error(transparent)]
    Write(#[from] AsideError),
    /// The trust folder.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A signature or a statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// An envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The tables file.
    #[error("{place}: {fault}")]
    Tables {
        /// File or origin.
        place: String,
        /// Why.
        fault: TablesFault,
    },
    /// Serial or sequence is not above what was accepted before.
    #[error(
        "{what} {offered} is not above {seen}, which this machine has accepted before; publish with a higher number"
    )]
    Replay {
        /// Which of the two.
        what: Number,
        /// What was offered.
        offered: u64,
        /// The highest seen.
        seen: u64,
    },
    /// A tightened policy that permits more than the build's, or is not shown to permit no more.
    #[error("the policy is not a subset of the build's: {0}")]
    Wider(#[source] Box<Wider>),
    /// Nothing that may be loaded is as new as what was confirmed before.
    #[error(
        "the newest policy here has serial {newest}, but serial {floor} was in force before; it is enforced, but put the newer \
         policy back, or remove {} to accept the older one",
        state.display()
    )]
    Downgrade {
        /// The newest candidate.
        newest: u64,
        /// What must be reached.
        floor: u64,
        /// The file that remembers.
        state: PathBuf,
    },
    /// The kernel refused or lacks something.
    #[error("{step}: {source}")]
    Kernel {
        /// What was tried.
        step: Step,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel cannot enforce the policy.
    #[error("this kernel cannot enforce the policy: {0}")]
    Unsupported(#[from] Lack),
    /// The kernel has what this build does not know, so that it may be reached unseen.
    #[error(
        "this kernel has what this build does not know: {0}; what it reaches by them may go undecided. Use a newer \
         kiln-agent; `unknown_kernel` in agent.json says whether to load all the same"
    )]
    UnknownKernel(crate::unknown::Unknown),
    /// No policy is loaded.
    #[error("no policy is loaded; `kiln-agent load` loads the image's")]
    NotLoaded,
    /// What is enforced is not this build's, and cannot be taken over.
    #[error(
        "what is enforced was loaded by a kiln-agent of another build, whose maps differ ({map}: {source}); it stays in force until a \
         reboot, which loads this one's"
    )]
    OtherBuild {
        /// The first that differs.
        map: &'static str,
        /// How.
        source: io::Error,
    },
    /// Another agent works.
    #[error("another kiln-agent (process {0}) is at work; try again when it is done")]
    Busy(Holder),
    /// More subjects than labels.
    #[error("this boot has used {used} labels of {most} for subjects of all its policies; reboot to begin anew")]
    Labels {
        /// Used.
        used: usize,
        /// Possible.
        most: usize,
    },
    /// The flip happened but the proof failed.
    #[error("enforcement could not be proven: {0}")]
    Proof(#[from] Unproven),
    /// Asked to do what only an unconfined root task may.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The POS.
    #[error(transparent)]
    Pos(#[from] PosFault),
}

impl AgentError {
    /// An answer of the kernel, with what was tried.
    pub fn kernel(step: Step, source: io::Error) -> AgentError {
        AgentError::Kernel { step, source }
    }

    /// The exit code; `docs/agent.md` lists them.
    pub fn exit_code(&self) -> u8 {
        match self {
            AgentError::Usage(_) | AgentError::Format { .. } | AgentError::Tables { .. } | AgentError::Read { .. } => 2,
            AgentError::Statement(_) | AgentError::Envelope(_) | AgentError::Trust(_) => 10,
            AgentError::Replay { .. } | AgentError::Downgrade { .. } => 11,
            AgentError::Kernel { .. }
            | AgentError::Unsupported(_)
            | AgentError::UnknownKernel(_)
            | AgentError::Labels { .. }
            | AgentError::OtherBuild { .. } => 12,
            AgentError::NotLoaded => 13,
            AgentError::Busy(_) => 14,
            AgentError::Proof(_) => 15,
            AgentError::Refused(_) | AgentError::Wider(_) => 1,
            AgentError::Pos(_) => 16,
            AgentError::Write(_) => 17,
        }
    }
}

/// Results of the agent.
pub type Result<T> = std::result::Result<T, AgentError>;

/// A number that only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Number {
    /// Of a policy.
    #[error("serial")]
    Serial,
    /// Of an assignment.
    #[error("sequence")]
    Sequence,
    /// Of a tightening.
    #[error("tightening")]
    Tightening,
}

/// Who holds the agent's lock, as far as the lock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its process.
    pub pid: Option<u32>,
    /// Whether it must be stopped for what was asked: it may not be done beside it.
    pub in_the_way: bool,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(pid) = self.pid {
            write!(f, "{pid}")?;
        }
        if self.in_the_way {
            f.write_str("; stop it first, the policy stays in force: systemctl stop kiln-agent")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts and the journal's readers know these by their words and codes.
    #[test]
    fn what_is_said_and_with_which_code() {
        let io = || io::Error::from(io::ErrorKind::PermissionDenied);
        let program = |act| Step::Program { act, name: "kiln_bpf".into() };
        let holder = |in_the_way| AgentError::Busy(Holder { pid: Some(7), in_the_way });
        for (error, code, text) in [
            (AgentError::kernel(program(Act::PinLink), io()), 12, "cannot pin the link of kiln_bpf: permission denied"),
            (AgentError::kernel(program(Act::Attach), io()), 12, "cannot attach kiln_bpf: permission denied"),
            (
                AgentError::kernel(Step::Build { stage: Stage::LayOut, index: 2 }, io()),
                12,
                "cannot lay out the map of generation 2: permission denied",
            ),
            (
                Lack::Older { release: "6.1".into(), needed: "6.12".into() }.into(),
                12,
                "this kernel cannot enforce the policy: it is 6.1, and the policy was compiled for 6.12 and newer",
            ),
            (
                AgentError::OtherBuild { map: "kiln_state", source: io() },
                12,
                "what is enforced was loaded by a kiln-agent of another build, whose maps differ (kiln_state: permission \
                 denied); it stays in force until a reboot, which loads this one's",
            ),
            (holder(false), 14, "another kiln-agent (process 7) is at work; try again when it is done"),
            (
                holder(true),
                14,
                "another kiln-agent (process 7; stop it first, the policy stays in force: systemctl stop kiln-agent) is at \
                 work; try again when it is done",
            ),
            (
                Unproven::Permitted(None).into(),
                15,
                "enforcement could not be proven: the sentinel was permitted to Bpf; is `bpf` an active LSM?",
            ),
            (Refusal::NotInForce { active: 3, asked: 4 }.into(), 1, "serial 3 is in force, not 4"),
            (
                AgentError::Replay { what: Number::Sequence, offered: 1, seen: 2 },
                11,
                "sequence 1 is not above 2, which this machine has accepted before; publish with a higher number",
            ),
            (AgentError::Format { path: "/x".into(), fault: FileFault::Longer(9) }, 2, "/x: it is longer than 9 bytes"),
            (
                AgentError::Tables { place: "t".into(), fault: TablesFault::NotLoaded },
                2,
                "t: not the tables that were loaded",
            ),
            (Misuse::NoCommand.into(), 2, "a command is needed; `kiln-agent --help` lists what there is"),
            (PosFault::InstanceId("a\n".into()).into(), 16, "the POS gave the instance id `a\\n`"),
        ] {
            assert_eq!((error.to_string().as_str(), error.exit_code()), (text, code));
        }
    }
}
