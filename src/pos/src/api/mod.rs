//! The HTTP interface: routes, and the OpenAPI document made from them.

mod agent;
mod enrol;
mod extract;
mod images;
mod instances;
mod policies;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post, put};
use kiln_base::model::Digest;
use kiln_base::wire::{self, Code};
use tokio::sync::Semaphore;
use utoipa::openapi::security::SecurityScheme;
use utoipa::{Modify, OpenApi};

use super::hub::Hub;
use super::pki::Pki;
use super::problem::Problem;
use super::rate::Failures;
use super::store::{Store, read_tables};
use super::tables::Recent;

pub use extract::Peer;

/// A tables file, from memory or the store.
async fn tables_file(app: &App, digest: Digest) -> Result<Bytes, Problem> {
    if let Some(bytes) = app.recent.get(digest) {
        return Ok(bytes);
    }
    let _permit = app.large.acquire().await.map_err(Problem::internal)?;
    // Whoever waited finds what the first one read.
    if let Some(bytes) = app.recent.get(digest) {
        return Ok(bytes);
    }
    let bytes = Bytes::from(app.store.read.run(move |conn| read_tables(conn, digest)).await?);
    app.recent.put(digest, &bytes);
    Ok(bytes)
}

/// What all requests share.
pub struct App {
    /// The database.
    pub store: Store,
    /// Keys.
    pub pki: Arc<Pki>,
    /// Streams.
    pub hub: Hub,
    /// Failed enrolments.
    pub failures: Failures,
    /// Tables files in memory at once: uploads and downloads are large.
    pub large: Semaphore,
    /// Tables files that were asked for last.
    pub recent: Recent,
    /// Violations kept of an instance.
    pub keep_violations: u64,
    /// Longest silence of a stream.
    pub heartbeat: Duration,
}

/// Tables files in memory at once.
pub const LARGE_AT_ONCE: usize = 8;

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/health", get(enrol::health))
        .route("/v1/enrol", post(enrol::enrol))
        .route("/v1/agent/stream", get(agent::stream))
        .route("/v1/agent/tables/{digest}", get(agent::tables))
        .route("/v1/agent/acks", post(agent::acks))
        .route("/v1/agent/violations", post(agent::violations))
        .route("/v1/agent/renew", post(agent::renew))
        .route("/v1/tables/{digest}", put(policies::put_tables).get(policies::get_tables))
        .route("/v1/images", post(images::register).get(images::list))
        .route("/v1/images/{image}", get(images::one))
        .route("/v1/images/{image}/tokens", post(images::token))
        .route("/v1/policies", post(policies::publish).get(policies::list))
        .route("/v1/assignments", post(policies::assign))
        .route("/v1/instances", get(instances::list))
        .route("/v1/instances/{id}", get(instances::one))
        .route("/v1/instances/{id}/revoke", post(instances::revoke))
        .route("/v1/acks", get(instances::acks))
        .route("/v1/violations", get(instances::violations))
        .route("/v1/state", get(instances::state))
        .fallback(|| async { Problem::new(Code::NotFound, "no such path; docs/pos-protocol.md lists them") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Code::BadMethod, "docs/pos-protocol.md says which it takes")
        })
        .with_state(app)
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Kiln Policy Orchestration Service",
        description = "The operator's and the agents' interface. docs/pos-protocol.md is the normative text."
    ),
    paths(
        enrol::health,
        enrol::enrol,
        agent::stream,
        agent::tables,
        agent::acks,
        agent::violations,
        agent::renew,
        policies::put_tables,
        policies::get_tables,
        images::register,
        images::list,
        images::one,
        images::token,
        policies::publish,
        policies::list,
        policies::assign,
        instances::list,
        instances::one,
        instances::revoke,
        instances::acks,
        instances::violations,
        instances::state
    ),
    components(schemas(wire::StreamMessage, wire::ProblemBody)),
    modifiers(&MutualTls),
    security(("certificate" = []))
)]
struct Document;

/// Every path but those that say otherwise needs a client certificate.
struct MutualTls;

impl Modify for MutualTls {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let description = Some("A certificate that this POS issued: an operator's or an instance's".to_owned());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("certificate", SecurityScheme::MutualTls { description, extensions: None });
    }
}

/// The OpenAPI document, as `docs/openapi.json` holds it.
pub fn openapi() -> String {
    // Generated from types that serialise.
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_in_docs_is_current() {
        let there = include_str!("../../../../docs/openapi.json");
        assert!(there == super::openapi(), "docs/openapi.json is stale: run `kiln-pos openapi > docs/openapi.json`");
    }

    #[test]
    fn every_path_of_the_document_is_in_the_protocol_page() {
        let page = include_str!("../../../../docs/pos-protocol.md");
        let document: serde_json::Value = serde_json::from_str(&super::openapi()).unwrap();
        for path in document["paths"].as_object().unwrap().keys() {
            assert!(page.contains(path.as_str()), "{path} is not documented");
        }
    }
}
