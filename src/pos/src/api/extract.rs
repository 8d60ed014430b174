//! From requests to checked values. Who asks is checked before the body is read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kiln_base::model::Digest;
use kiln_base::wire::{Code, MAX_DEPTH, MAX_JSON};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_stream::StreamExt;

use super::app::App;
use crate::clock::now_ms;
use crate::problem::Problem;
use crate::store::{Identity, InstanceId, PageRequest};

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// SHA-256 of its certificate, if it showed one that this POS's CA signed.
    pub fingerprint: Option<Digest>,
}

/// An operator.
pub struct Operator(pub String);

/// An enrolled instance that is not revoked.
pub struct Instance(pub InstanceId);

fn peer(parts: &Parts) -> Result<Peer, Problem> {
    parts.extensions.get::<Peer>().copied().ok_or_else(|| Problem::internal("a request without a peer"))
}

async fn identity(parts: &Parts, app: &App) -> Result<Identity, Problem> {
    let Some(fingerprint) = peer(parts)?.fingerprint else {
        return Err(Problem::new(Code::NoCertificate, "connect with the certificate that this POS issued"));
    };
    Ok(app.store.identity(fingerprint, now_ms()).await?)
}

impl FromRequestParts<Arc<App>> for Peer {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Peer, Problem> {
        peer(parts)
    }
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Operator, Problem> {
        match identity(parts, app).await? {
            Identity::Operator(name) => Ok(Operator(name)),
            Identity::Instance(_) => {
                Err(Problem::new(Code::WrongRole, "this is for operators; the certificate is an instance's"))
            }
        }
    }
}

impl FromRequestParts<Arc<App>> for Instance {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Instance, Problem> {
        match identity(parts, app).await? {
            Identity::Instance(id) => {
                app.hub.seen(&id, now_ms());
                Ok(Instance(id))
            }
            Identity::Operator(_) => {
                Err(Problem::new(Code::WrongRole, "this is for instances; the certificate is an operator's"))
            }
        }
    }
}

/// A digest in the path.
pub struct PathDigest(pub Digest);

impl FromRequestParts<Arc<App>> for PathDigest {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<PathDigest, Problem> {
        let PathText(text) = PathText::from_request_parts(parts, app).await?;
        text.parse()
            .map(PathDigest)
            .map_err(|e: kiln_base::model::ParseDigestError| Problem::new(Code::BadRequest, e.to_string()))
    }
}

/// Another text in the path.
pub struct PathText(pub String);

impl FromRequestParts<Arc<App>> for PathText {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<PathText, Problem> {
        match Path::<String>::from_request_parts(parts, app).await {
            Ok(Path(text)) => Ok(PathText(text)),
            Err(error) => Err(Problem::new(Code::BadRequest, error.body_text())),
        }
    }
}

/// The query of the address.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Params<T>, Problem> {
        match Query::<T>::from_request_parts(parts, app).await {
            Ok(Query(value)) => Ok(Params(value)),
            Err(error) => Err(Problem::new(Code::BadRequest, error.body_text())),
        }
    }
}

/// A query that asks for a page.
pub trait Paged: DeserializeOwned {
    /// The page that is asked for.
    ///
    /// # Errors
    /// What of the query is out of range.
    fn page(&self) -> Result<PageRequest, Problem>;
}

/// An operator's query of a list, and the page of it.
pub struct Listing<Q>(pub PageRequest, pub Q);

impl<Q: Paged> FromRequestParts<Arc<App>> for Listing<Q> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Listing<Q>, Problem> {
        Operator::from_request_parts(parts, app).await?;
        let Params(query) = Params::<Q>::from_request_parts(parts, app).await?;
        Ok(Listing(query.page()?, query))
    }
}

/// Query of a list.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// `next` of the page before.
    after: Option<String>,
    /// Items in the page: 1 to 1,000, by default 100.
    limit: Option<i64>,
}

impl Paged for ListQuery {
    fn page(&self) -> Result<PageRequest, Problem> {
        page(self.after.as_deref(), self.limit)
    }
}

/// Query of a list that can be one instance's.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InstanceQuery {
    /// Only this instance's.
    pub instance: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Items in the page: 1 to 1,000, by default 100.
    limit: Option<i64>,
}

impl Paged for InstanceQuery {
    fn page(&self) -> Result<PageRequest, Problem> {
        page(self.after.as_deref(), self.limit)
    }
}

/// Which violations are asked for.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ViolationQuery {
    /// Only this instance's.
    pub instance: Option<String>,
    /// `next` of the page before, or a violation's number: those that came later, oldest first.
    after: Option<String>,
    /// In place of `after`: `end`, or `next` of the page before: newest first.
    before: Option<String>,
    /// Items in the page: 1 to 1,000, by default 100.
    limit: Option<i64>,
}

impl Paged for ViolationQuery {
    fn page(&self) -> Result<PageRequest, Problem> {
        let bad = |text| Err(Problem::new(Code::BadRequest, text));
        let page = page(self.after.as_deref(), self.limit)?;
        let before = match self.before.as_deref() {
            None => return Ok(page),
            Some(_) if self.after.is_some() => return bad("`after` and `before` exclude each other"),
            Some("end") => i64::MAX,
            Some(text) => match text.parse() {
                Ok(number) if number >= 0 => number,
                _ => return bad("`before` is `end`, or the `next` of the page before"),
            },
        };
        Ok(PageRequest { before: Some(before), ..page })
    }
}

fn page(after: Option<&str>, limit: Option<i64>) -> Result<PageRequest, Problem> {
    let limit = limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::new(Code::OutOfRange, "`limit` is 1 to 1,000"));
    }
    let after = match after {
        None => 0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|n| *n >= 0)
            .ok_or_else(|| Problem::new(Code::BadRequest, "`after` is the `next` of the page before"))?,
    };
    Ok(PageRequest { after, before: None, limit })
}

/// A JSON body within its limits.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, _: &Arc<App>) -> Result<Json<T>, Problem> {
        let (parts, body) = request.into_parts();
        media_type(&parts.headers, "application/json")?;
        let bytes = read_body(&parts.headers, body, MAX_JSON, Duration::from_secs(30)).await?;
        parse_json(&bytes).map(Json)
    }
}

/// Parses JSON that is not nested too deeply.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if depth(bytes) > MAX_DEPTH {
        return Err(Problem::new(Code::BadJson, format!("the body is nested more than {MAX_DEPTH} levels deep")));
    }
    serde_json::from_slice(bytes).map_err(|e| Problem::new(Code::BadJson, e.to_string()))
}

/// Deepest nesting of brackets outside strings; JSON need not be valid.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Fails with `bad-media-type` unless the body is declared as that type; parameters are ignored.
pub fn media_type(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("nothing");
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let found: String = found.chars().take(80).collect();
    Err(Problem::new(Code::BadMediaType, format!("Content-Type is {found}; it must be {wanted}")))
}

/// Reads a body of at most `limit` bytes within a time.
pub async fn read_body(headers: &HeaderMap, body: Body, limit: usize, within: Duration) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge, format!("at most {limit} bytes are taken"));
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|t| t.parse().ok());
    if declared.is_some_and(|n: u64| n > limit as u64) {
        return Err(too_large());
    }
    let read = async {
        let mut bytes = Vec::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk: Bytes = chunk.map_err(|e| Problem::new(Code::BadRequest, format!("the body broke off: {e}")))?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    match tokio::time::timeout(within, read).await {
        Ok(result) => result,
        Err(_) => Err(Problem::new(Code::TooSlow, format!("the body took longer than {} s", within.as_secs()))),
    }
}

/// A JSON answer.
pub fn answer<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => Problem::internal(error).into_response(),
    }
}

/// A JSON answer with 200.
pub fn ok<T: Serialize>(value: &T) -> Response {
    answer(StatusCode::OK, value)
}

/// 201 for what is new, 200 for what was there.
pub fn created(new: bool) -> StatusCode {
    if new { StatusCode::CREATED } else { StatusCode::OK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_strings() {
        assert_eq!(depth(br#"{"a":[1,"[[[\"[["]}"#), 2);
        assert_eq!(depth(b"]]]]["), 1);
        let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
        assert_eq!(parse_json::<serde_json::Value>(deep.as_bytes()).unwrap_err().code, Code::BadJson);
        let fits = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        parse_json::<serde_json::Value>(fits.as_bytes()).unwrap();
    }

    #[test]
    fn pages_are_checked() {
        assert_eq!(page(None, None), Ok(PageRequest { after: 0, before: None, limit: 100 }));
        assert_eq!(page(Some("7"), Some(1000)), Ok(PageRequest { after: 7, before: None, limit: 1000 }));
        for (after, limit) in [(None, Some(0)), (None, Some(1001)), (Some("x"), None), (Some("-1"), None)] {
            assert!(page(after, limit).is_err());
        }
    }
}
