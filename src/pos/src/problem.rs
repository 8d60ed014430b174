//! What a request is refused with, and which code each error of the service has on the wire.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kiln_base::abi::TablesError;
use kiln_base::bundle::StatementError;
use kiln_base::wire::{Code, ProblemBody};

use crate::check::OutOfRange;
use crate::evidence::EvidenceError;
use crate::pki::{CsrError, NoRandom, PkiError};
use crate::store::StoreError;

/// A refusal: its stable code, and what happened in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.text())]
pub struct Problem {
    /// The stable code.
    pub code: Code,
    /// What happened here, and how to mend it.
    pub detail: String,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A refusal with its reason.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem { code, detail: detail.into(), retry_after: None }
    }

    /// A fault of this service: logged in full, told without inner detail.
    pub fn internal(fault: impl std::fmt::Display) -> Problem {
        tracing::error!(%fault, "internal error");
        Problem::new(Code::Internal, "the service's log has the reason; try the request again")
    }

    /// The body on the wire.
    pub fn body(&self) -> ProblemBody {
        ProblemBody {
            kind: format!("urn:kiln:pos:{}", self.code.text()),
            title: self.code.title().to_owned(),
            status: self.code.status(),
            detail: self.detail.clone(),
            code: self.code.text().to_owned(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        use StoreError as E;
        let code = match error {
            E::Fault(fault) => return Problem::internal(fault),
            E::Certify(fault) => return Problem::from(fault),
            E::Evidence(error) => return Problem::from(error),
            E::NoImage(_) | E::NoInstance(_) | E::NoVersion { .. } | E::NoTables(_) | E::NotAssigned(_) => {
                Code::NotFound
            }
            E::UnknownCertificate | E::ExpiredCertificate => Code::NoCertificate,
            E::Revoked | E::RevokedInstance(_) | E::RevokedToken => Code::Revoked,
            E::UnknownToken => Code::TokenUnknown,
            E::UsedToken => Code::TokenUsed,
            E::ExpiredToken => Code::TokenExpired,
            E::ManyCertificates(_) => Code::TooMany,
            E::KeyCount(_) | E::Key(_) | E::Keys(_) => Code::BadKey,
            E::Statement(StatementError::Envelope { .. }) => Code::BadSignature,
            E::Statement(_) | E::OtherTables { .. } => Code::BadStatement,
            E::NotUploaded(_) => Code::NoTables,
            E::ImageDiffers(_) => Code::ImageDiffers,
            E::StatementForOther { .. } | E::WrongPolicy { .. } => Code::WrongName,
            E::SerialReused { .. } => Code::SerialReused,
            E::OlderThanPublished { .. } | E::OlderThanAssigned { .. } => Code::SerialNotNewer,
            E::UnknownAssignment(_) => Code::UnknownAssignment,
            E::NoEvidence => Code::NoEvidence,
            E::OtherSerial { .. } => Code::EvidenceTables,
            E::OutOfRange(_) => Code::OutOfRange,
        };
        Problem::new(code, error.to_string())
    }
}

impl From<EvidenceError> for Problem {
    fn from(error: EvidenceError) -> Problem {
        let code = match error {
            EvidenceError::Tables { .. } => Code::EvidenceTables,
            EvidenceError::Readback { .. } => Code::EvidenceReadback,
            EvidenceError::Programs(_) => Code::EvidencePrograms,
            EvidenceError::Sentinel => Code::EvidenceSentinel,
            EvidenceError::Text(_) => Code::OutOfRange,
        };
        Problem::new(code, error.to_string())
    }
}

impl From<OutOfRange> for Problem {
    fn from(error: OutOfRange) -> Problem {
        Problem::new(Code::OutOfRange, error.to_string())
    }
}

impl From<TablesError> for Problem {
    fn from(error: TablesError) -> Problem {
        Problem::new(Code::BadTables, error.to_string())
    }
}

impl From<CsrError> for Problem {
    fn from(error: CsrError) -> Problem {
        Problem::new(Code::BadCsr, error.to_string())
    }
}

impl From<PkiError> for Problem {
    fn from(fault: PkiError) -> Problem {
        Problem::internal(fault)
    }
}

impl From<NoRandom> for Problem {
    fn from(fault: NoRandom) -> Problem {
        Problem::internal(fault)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A struct of strings and an integer always serialises; every status in `Code` is valid.
        let body = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
