//! What can go wrong in the agent, and the exit code of each kind.

use std::io;
use std::path::PathBuf;

use kiln_base::bundle::{AsideError, EnvelopeError, StatementError, TrustError};

/// An error of the agent. Each says what, where, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Wrong command line.
    #[error("{0}; `kiln-agent --help` lists what there is")]
    Usage(String),
    /// A file of the image or of the state folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
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
    #[error("{place}: {reason}")]
    Tables {
        /// File or origin.
        place: String,
        /// The reader's words.
        reason: String,
    },
    /// Serial or sequence is not above what was accepted before.
    #[error(
        "{what} {offered} is not above {seen}, which this machine has accepted before; publish with a higher number"
    )]
    Replay {
        /// `serial` or `sequence`.
        what: &'static str,
        /// What was offered.
        offered: u64,
        /// The highest seen.
        seen: u64,
    },
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
    #[error("{what}: {source}")]
    Kernel {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel cannot enforce the policy.
    #[error("this kernel cannot enforce the policy: {0}")]
    Unsupported(String),
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
        "what is enforced was loaded by a kiln-agent of another build, whose maps differ ({0}); it stays in force until a \
         reboot, which loads this one's"
    )]
    OtherBuild(String),
    /// Another agent works.
    #[error("another kiln-agent (process {0}) is at work; try again when it is done")]
    Busy(String),
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
    Proof(String),
    /// Asked to do what only an unconfined root task may.
    #[error("{0}")]
    Refused(String),
    /// The POS.
    #[error("{0}")]
    Pos(String),
}

impl AgentError {
    /// An answer of the kernel, with what was tried.
    pub fn kernel(what: impl Into<String>, source: io::Error) -> AgentError {
        AgentError::Kernel { what: what.into(), source }
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
            | AgentError::OtherBuild(_) => 12,
            AgentError::NotLoaded => 13,
            AgentError::Busy(_) => 14,
            AgentError::Proof(_) => 15,
            AgentError::Refused(_) => 1,
            AgentError::Pos(_) => 16,
            AgentError::Write(_) => 17,
        }
    }
}

/// Results of the agent.
pub type Result<T> = std::result::Result<T, AgentError>;
