//! Why something asked of the POS did not succeed.

use std::io;

use crate::error::AgentError;

/// Results of the POS's threads.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Worth another try.
    #[error(transparent)]
    Retry(#[from] Hitch),
    /// Refused for good.
    #[error(transparent)]
    Final(#[from] Refused),
}

/// No connection, an overloaded or restarting POS, or something of this machine that may pass.
#[derive(Debug, thiserror::Error)]
pub enum Hitch {
    /// What would be sent.
    #[error("{0}")]
    Request(#[source] serde_json::Error),
    /// No connection.
    #[error("the POS cannot be reached: {0}")]
    Unreachable(#[source] Box<ureq::Error>),
    /// It asks for patience.
    #[error("the POS answers {0}")]
    Status(u16),
    /// Within the answer.
    #[error("the POS's answer broke off: {0}")]
    BrokeOff(#[source] io::Error),
    /// Than it may be.
    #[error("the POS's answer is longer than {0} bytes")]
    Longer(u64),
    /// Not of the protocol.
    #[error("the POS's answer is not understood: {0}")]
    Answer(#[source] serde_json::Error),
    /// It did not begin.
    #[error("no stream from the POS: {0}")]
    NoStream(#[source] Box<Failure>),
    /// It ended without a word.
    #[error("the stream from the POS ended: {0}")]
    StreamEnded(#[source] io::Error),
    /// A line that is not of the protocol.
    #[error("a line from the POS is not understood: {0}")]
    Line(#[source] serde_json::Error),
    /// Of this machine: a file, a key.
    #[error(transparent)]
    Own(#[from] Box<AgentError>),
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Failure {
        Failure::Retry(Box::new(error).into())
    }
}

/// Who refuses what.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The POS.
    #[error("the POS refuses ({status} {code}): {text}")]
    ByPos {
        /// HTTP status.
        status: u16,
        /// The problem's code.
        code: String,
        /// Its words.
        text: String,
    },
    /// Nothing to enrol by.
    #[error("it has no join credential")]
    NoCredential,
    /// Nowhere to enrol.
    #[error("neither the image nor the credential names a POS")]
    NoPos,
    /// This machine, a policy that does not verify.
    #[error(transparent)]
    Policy(Box<AgentError>),
}

impl Refused {
    /// What is wrong, without saying whose word it is.
    pub fn reason(&self) -> String {
        match self {
            Refused::ByPos { text, .. } => text.clone(),
            other => other.to_string(),
        }
    }
}
