//! What a request is refused with.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kiln_base::wire::{Code, ProblemBody};

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
        Problem::new(Code::Internal, "the service's log has the reason; the request may be tried again")
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

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Problem {
        Problem::internal(error)
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
