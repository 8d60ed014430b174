//! What is open to machines without a certificate.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use kiln_base::model::Digest;
use kiln_base::wire::{Code, EnrolAnswer, EnrolRequest, Facts, ProblemBody};
use serde::Serialize;

use super::app::App;
use super::extract::{Json, Peer, ok};
use crate::clock::now_ms;
use crate::pki::{ClientKey, new_instance_id};
use crate::problem::Problem;
use crate::store::Enrolment;

/// Answer of `GET /v1/health`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`.
    status: &'static str,
    /// Version of the service.
    version: &'static str,
}

/// The service answers and its database reads.
#[utoipa::path(get, path = "/v1/health", tag = "open", security(()), responses((status = 200, description = "The service and its database answer", body = Health)))]
pub async fn health(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.store.ping().await?;
    Ok(ok(&Health { status: "ok", version: env!("CARGO_PKG_VERSION") }))
}

/// Exchange a join token for a client certificate; a retry with the same key gives the same bytes.
#[utoipa::path(post, path = "/v1/enrol", tag = "open", security(()), request_body = EnrolRequest, responses(
    (status = 200, description = "Enrolled, now or by an earlier request of the same key", body = EnrolAnswer),
    (status = "default", description = "token-unknown, token-used, token-expired, revoked, bad-csr, slow-down", body = ProblemBody, content_type = "application/problem+json")
))]
pub async fn enrol(
    State(app): State<Arc<App>>,
    from: Peer,
    request: axum::extract::Request,
) -> Result<Response, Problem> {
    // Before the body is read: who failed too often costs nothing more.
    if let Some(seconds) = app.failures.wait(from.address.ip(), Instant::now()) {
        let detail = format!("too many enrolments from this address failed; wait {seconds} s");
        return Err(Problem { retry_after: Some(seconds), ..Problem::new(Code::SlowDown, detail) });
    }
    let result = try_enrol(&app, request).await;
    match &result {
        Err(problem) if problem.code.status() < 500 => {
            app.failures.count(from.address.ip(), Instant::now());
            tracing::warn!(from = %from.address, code = problem.code.text(), "enrolment refused");
        }
        _ => {}
    }
    result
}

async fn try_enrol(app: &Arc<App>, request: axum::extract::Request) -> Result<Response, Problem> {
    use axum::extract::FromRequest;
    let Json(body) = Json::<EnrolRequest>::from_request(request, app).await?;
    check_facts(&body.facts)?;
    let token_hash = Digest::of(body.token.as_bytes());
    let key = ClientKey::from_csr(&body.csr)?;
    let pki = app.pki.clone();
    let enrolment = Enrolment {
        token_hash,
        key: key.spki(),
        facts: body.facts,
        id: new_instance_id()?.into(),
        certify: Box::new(move |id| pki.certify(id, &key)),
    };
    let enrolled = app.store.enrol(enrolment, now_ms()).await?;
    tracing::info!(instance = enrolled.instance.as_str(), image = %enrolled.image, retry = !enrolled.new, "enrolled");
    Ok(ok(&EnrolAnswer {
        instance: enrolled.instance.to_string(),
        image: enrolled.image,
        certificate: enrolled.certificate,
        ca: app.pki.ca_pem.clone(),
    }))
}

fn check_facts(facts: &Facts) -> Result<(), Problem> {
    check_boot_id(&facts.boot_id)?;
    let texts = [
        ("kernel", Some(&facts.kernel)),
        ("hostname", facts.hostname.as_ref()),
        ("machine_id", facts.machine_id.as_ref()),
        ("agent", facts.agent.as_ref()),
    ];
    for (name, text) in texts {
        if text.is_some_and(|t| t.len() > 256 || t.chars().any(char::is_control)) {
            let detail = format!("`{name}` must have at most 256 bytes and no control characters");
            return Err(Problem::new(Code::OutOfRange, detail));
        }
    }
    Ok(())
}

/// A boot id: 1 to 64 printable ASCII characters (the kernel's is a UUID).
pub fn check_boot_id(boot: &str) -> Result<(), Problem> {
    if boot.is_empty() || boot.len() > 64 || !boot.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::new(Code::OutOfRange, "`boot_id` must have 1 to 64 printable ASCII characters"));
    }
    Ok(())
}
