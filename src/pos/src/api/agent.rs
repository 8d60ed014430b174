//! The agents' part.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use kiln_base::wire::{
    AckAnswer, AckOutcome, AckRequest, Code, MAX_BATCH, MAX_JSON, ProblemBody, RenewAnswer, RenewRequest,
    StreamMessage, TABLES_MEDIA_TYPE, ViolationsAnswer, ViolationsRequest,
};
use serde::Deserialize;
use serde_json::Value;

use super::app::{App, tables_file};
use super::enrol::check_boot_id;
use super::extract::{Instance, Json, Params, PathDigest, media_type, ok, parse_json, read_body};
use crate::clock::now_ms;
use crate::pki::ClientKey;
use crate::problem::Problem;
use crate::stream::{Start, start};

/// Query of the stream.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamQuery {
    /// The boot that asks.
    boot_id: String,
    /// Highest sequence that the agent accepted.
    #[serde(default)]
    after: u64,
}

/// The instance's long-lived stream: one JSON object a line.
#[utoipa::path(get, path = "/v1/agent/stream", tag = "agent", params(StreamQuery), responses(
    (status = 200, description = "Lines, open-ended", body = StreamMessage, content_type = "application/x-ndjson"),
    (status = "default", body = ProblemBody, description = "no-certificate, revoked", content_type = "application/problem+json")
))]
pub async fn stream(
    State(app): State<Arc<App>>,
    Instance(instance): Instance,
    Params(query): Params<StreamQuery>,
) -> Result<Response, Problem> {
    check_boot_id(&query.boot_id)?;
    let after = query.after;
    // Listed before the store is asked: what is assigned in between is then told, not missed.
    let (listed, told) = app.hub.open(&instance);
    app.store.opened(&instance, query.boot_id, now_ms()).await?;
    let newest = app.store.desired(&instance, after).await?;
    tracing::info!(instance = instance.as_str(), after, "stream opened");
    let body = start(Start { listed, told, instance, newest, after, heartbeat: app.heartbeat });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// A tables file that was assigned to this instance.
#[utoipa::path(get, path = "/v1/agent/tables/{digest}", tag = "agent", params(("digest" = String, Path)), responses(
    (status = 200, description = "The file", content_type = "application/vnd.kiln.tables"),
    (status = "default", body = ProblemBody, description = "not-found", content_type = "application/problem+json")
))]
pub async fn tables(
    State(app): State<Arc<App>>,
    Instance(instance): Instance,
    PathDigest(digest): PathDigest,
) -> Result<Response, Problem> {
    app.store.may_have(&instance, digest).await?;
    let bytes = tables_file(&app, digest).await?;
    Ok(([(header::CONTENT_TYPE, TABLES_MEDIA_TYPE)], bytes).into_response())
}

/// An ACK as it comes: evidence that does not parse is as good as none, which is another refusal than bad JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAck {
    sequence: u64,
    serial: u64,
    outcome: AckOutcome,
    #[serde(default)]
    evidence: Option<Value>,
    #[serde(default)]
    reason: Option<String>,
}

impl RawAck {
    fn check(self) -> Result<AckRequest, Problem> {
        let mut evidence = None;
        if let (AckOutcome::Enforced, Some(value)) = (self.outcome, self.evidence) {
            if value.get("sentinel").is_none_or(Value::is_null) {
                return Err(Problem::new(Code::EvidenceSentinel, "the evidence has no `sentinel`"));
            }
            let parsed = serde_json::from_value(value);
            evidence = Some(parsed.map_err(|e| Problem::new(Code::NoEvidence, format!("`evidence`: {e}")))?);
        }
        let reason = self.reason.filter(|_| self.outcome == AckOutcome::Refused);
        Ok(AckRequest { sequence: self.sequence, serial: self.serial, outcome: self.outcome, evidence, reason })
    }
}

/// Acknowledge an assignment, with evidence, or report why it was refused.
#[utoipa::path(post, path = "/v1/agent/acks", tag = "agent", request_body = AckRequest, responses(
    (status = 200, description = "Stored", body = AckAnswer),
    (status = "default", body = ProblemBody, description = "unknown-assignment, no-evidence, evidence-…", content_type = "application/problem+json")
))]
pub async fn acks(
    State(app): State<Arc<App>>,
    Instance(instance): Instance,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    media_type(&parts.headers, "application/json")?;
    let bytes = read_body(&parts.headers, body, MAX_JSON, Duration::from_secs(30)).await?;
    let ack = parse_json::<RawAck>(&bytes)?.check()?;
    let (outcome, sequence) = (ack.outcome, ack.sequence);
    let stored = app.store.acknowledge(&instance, ack, now_ms()).await.map_err(Problem::from);
    match &stored {
        Ok(number) => {
            tracing::info!(instance = instance.as_str(), ?outcome, sequence, number, "acknowledgement stored")
        }
        Err(problem) => tracing::warn!(instance = instance.as_str(), sequence, %problem, "acknowledgement refused"),
    }
    Ok(ok(&AckAnswer { stored: stored? }))
}

/// Report violations, at least once each.
#[utoipa::path(post, path = "/v1/agent/violations", tag = "agent", request_body = ViolationsRequest, responses(
    (status = 200, description = "Stored", body = ViolationsAnswer),
    (status = "default", body = ProblemBody, description = "too-many, out-of-range", content_type = "application/problem+json")
))]
pub async fn violations(
    State(app): State<Arc<App>>,
    Instance(instance): Instance,
    Json(batch): Json<ViolationsRequest>,
) -> Result<Response, Problem> {
    check_boot_id(&batch.boot_id)?;
    if batch.violations.len() > MAX_BATCH {
        return Err(Problem::new(Code::TooMany, format!("a batch has at most {MAX_BATCH} violations")));
    }
    if let Some(pair) = batch.violations.windows(2).find(|pair| pair[0].seq >= pair[1].seq) {
        let detail = format!("`seq` must increase strictly; {} is followed by {}", pair[0].seq, pair[1].seq);
        return Err(Problem::new(Code::OutOfRange, detail));
    }
    if batch.violations.first().is_some_and(|v| v.seq == 0) {
        return Err(Problem::new(Code::OutOfRange, "`seq` counts from 1"));
    }
    let boot_id = batch.boot_id.clone();
    let stored = app.store.record_violations(&instance, batch, app.keep_violations, now_ms()).await?;
    Ok(ok(&ViolationsAnswer { boot_id, stored }))
}

/// A new certificate before the old one expires.
#[utoipa::path(post, path = "/v1/agent/renew", tag = "agent", request_body = RenewRequest, responses(
    (status = 200, description = "The new certificate", body = RenewAnswer),
    (status = "default", body = ProblemBody, description = "bad-csr, too-many", content_type = "application/problem+json")
))]
pub async fn renew(
    State(app): State<Arc<App>>,
    Instance(instance): Instance,
    Json(request): Json<RenewRequest>,
) -> Result<Response, Problem> {
    let key = ClientKey::from_csr(&request.csr)?;
    let issued = app.pki.certify(instance.as_str(), &key)?;
    let certificate = issued.pem.clone();
    app.store.renew(&instance, issued, now_ms()).await?;
    tracing::info!(instance = instance.as_str(), "certificate renewed");
    Ok(ok(&RenewAnswer { certificate }))
}
