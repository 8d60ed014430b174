//! What can stop a bake before an image is looked at. Each error says what, where, and how to mend it.

use std::io;
use std::path::PathBuf;

use kiln_base::abi::TablesError;
use kiln_base::bundle::{EnvelopeError, KeyError, StatementError, TrustError};

use super::file::FileError;
use super::policy::PolicyError;
use super::selector::SelectorError;
use super::sign::SignError;
use super::trust::TrustFilesError;
use super::users::UsersError;
use crate::bake::BakeError;

/// A request that cannot be baked, whatever the image is.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The image does not say what it is.
    #[error(transparent)]
    Image(#[from] BakeError),
    /// The secret key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The keys for the image.
    #[error(transparent)]
    TrustFiles(#[from] TrustFilesError),
    /// The tables cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The tables cannot be read.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// They are for other users than the image has.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// Their selectors cannot be matched.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// PDL has no signature.
    #[error("--key is needed to sign the policy; `kiln keygen DIR` makes one")]
    NoKey,
    /// Nor have the tables.
    #[error("the tables have no signature; make it with `kiln sign`, or give --key")]
    NoSignature(#[source] FileError),
    /// What is in the signature's place.
    #[error("{} is not a signature", path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: EnvelopeError,
    },
    /// The keys could not be laid out as an image has them.
    #[error("cannot {doing}")]
    Temporary {
        /// What was tried.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The keys together.
    #[error("the keys to be trusted cannot be used")]
    Trusted(#[source] TrustError),
    /// The keys do not verify the signature.
    #[error("the image would refuse this policy; give the right --key or --trust")]
    Refuses(#[source] StatementError),
    /// The signature is another file's.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The running program has no place.
    #[error("cannot tell where this program is; give --agent PATH")]
    NoProgram(#[source] io::Error),
    /// The agent is not beside it.
    #[error("no kiln-agent beside {}; build it with scripts/build-agent and give --agent PATH", .0.display())]
    NoAgent(PathBuf),
    /// A source beside a source.
    #[error("--source goes with a tables file; {} is the source", .0.display())]
    TwoSources(PathBuf),
    /// Not the address of a POS.
    #[error("--pos {0}: expected https://HOST:PORT; agents speak TLS only")]
    Pos(String),
    /// Not a time.
    #[error("SOURCE_DATE_EPOCH is `{0}`; expected seconds since 1970")]
    Epoch(String),
}
