//! The HTTP interface: routes, and the OpenAPI document made from them.

mod agent;
mod app;
mod enrol;
mod extract;
mod images;
mod instances;
mod policies;

use std::sync::Arc;

use axum::Router;
use kiln_base::model::{Action, BlockKind, EventMode, Severity, Verb, Verdict};
use kiln_base::wire::{self, Code};
use utoipa::openapi::security::SecurityScheme;
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;

pub use app::{App, LARGE_AT_ONCE};
pub use extract::Peer;

/// The routes, each with its part of the OpenAPI document: a path stands in its handler's `utoipa::path` and nowhere else.
fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(enrol::health))
        .routes(routes!(enrol::enrol))
        .routes(routes!(agent::stream))
        .routes(routes!(agent::tables))
        .routes(routes!(agent::acks))
        .routes(routes!(agent::violations))
        .routes(routes!(agent::renew))
        .routes(routes!(policies::put_tables, policies::get_tables))
        .routes(routes!(images::register, images::list))
        .routes(routes!(images::one))
        .routes(routes!(images::token))
        .routes(routes!(policies::publish, policies::list))
        .routes(routes!(policies::assign))
        .routes(routes!(instances::list))
        .routes(routes!(instances::one))
        .routes(routes!(instances::revoke))
        .routes(routes!(instances::acks))
        .routes(routes!(instances::violations))
        .routes(routes!(instances::state))
}

/// What answers requests.
pub fn router(app: Arc<App>) -> Router {
    let (router, _) = routes().split_for_parts();
    router
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
    components(schemas(wire::StreamMessage, wire::CloseReason, wire::ProblemBody, Verdict, BlockKind, Verb, EventMode, Severity, Action)),
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
        components.add_security_scheme(
            "certificate",
            SecurityScheme::MutualTls { description, deprecated: None, extensions: None },
        );
    }
}

/// The OpenAPI document, as `docs/openapi.json` holds it.
pub fn openapi() -> String {
    // Generated from types that serialise.
    let mut text = routes().into_openapi().to_pretty_json().unwrap_or_default();
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
