//! Instances, and what came from them.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use kiln_base::wire::{AckView, Code, InstanceView, Page, ProblemBody, RevokeRequest, StateView, ViolationView};

use super::app::App;
use super::extract::{InstanceQuery, Json, ListQuery, Listing, Operator, PathText, ViolationQuery, ok};
use crate::clock::{now_ms, text};
use crate::problem::Problem;
use crate::store::InstanceId;

/// Fills in what only the open streams know.
fn live(open: &[InstanceId], views: &mut [InstanceView]) {
    let open: HashSet<&str> = open.iter().map(InstanceId::as_str).collect();
    let now = text(now_ms());
    for view in views {
        if open.contains(view.instance.as_str()) {
            view.connected = true;
            view.last_seen.clone_from(&now);
        }
    }
}

/// Enrolled instances.
#[utoipa::path(get, path = "/v1/instances", tag = "operator", params(ListQuery), responses(
    (status = 200, description = "The page", body = Page<InstanceView>),
    (status = "default", body = ProblemBody, description = "no-certificate, wrong-role", content_type = "application/problem+json")
))]
pub async fn list(State(app): State<Arc<App>>, Listing(page, _): Listing<ListQuery>) -> Result<Response, Problem> {
    let open = app.hub.open_streams();
    let mut found = app.store.instances(page).await?;
    live(&open, &mut found.items);
    Ok(ok(&found))
}

/// One instance.
#[utoipa::path(get, path = "/v1/instances/{id}", tag = "operator", params(("id" = String, Path)), responses(
    (status = 200, description = "The instance", body = InstanceView),
    (status = "default", body = ProblemBody, description = "not-found", content_type = "application/problem+json")
))]
pub async fn one(State(app): State<Arc<App>>, _: Operator, PathText(id): PathText) -> Result<Response, Problem> {
    let open = app.hub.open_streams();
    let mut found = app.store.instance(id).await?;
    live(&open, std::slice::from_mut(&mut found));
    Ok(ok(&found))
}

/// Revoke an instance: its certificates count for nothing from now on.
#[utoipa::path(post, path = "/v1/instances/{id}/revoke", tag = "operator", params(("id" = String, Path)),
    request_body = RevokeRequest, responses(
    (status = 200, description = "Revoked", body = InstanceView),
    (status = "default", body = ProblemBody, description = "not-found, out-of-range", content_type = "application/problem+json")
))]
pub async fn revoke(
    State(app): State<Arc<App>>,
    operator: Operator,
    PathText(id): PathText,
    Json(request): Json<RevokeRequest>,
) -> Result<Response, Problem> {
    let reason = request.reason;
    if reason.is_empty() || reason.len() > 1024 || reason.chars().any(char::is_control) {
        return Err(Problem::new(Code::OutOfRange, "`reason` has 1 to 1,024 bytes and no control characters"));
    }
    let view = app.store.revoke(id, reason, now_ms()).await?;
    tracing::warn!(operator = operator.0, instance = view.instance, "instance revoked");
    Ok(ok(&view))
}

/// ACKs, oldest first.
#[utoipa::path(get, path = "/v1/acks", tag = "operator", params(InstanceQuery), responses(
    (status = 200, description = "The page", body = Page<AckView>),
    (status = "default", body = ProblemBody, description = "not-found", content_type = "application/problem+json")
))]
pub async fn acks(
    State(app): State<Arc<App>>,
    Listing(page, query): Listing<InstanceQuery>,
) -> Result<Response, Problem> {
    Ok(ok(&app.store.acks(query.instance, page).await?))
}

/// Violations: oldest first, or with `before` newest first.
#[utoipa::path(get, path = "/v1/violations", tag = "operator", params(ViolationQuery), responses(
    (status = 200, description = "The page", body = Page<ViolationView>),
    (status = "default", body = ProblemBody, description = "not-found", content_type = "application/problem+json")
))]
pub async fn violations(
    State(app): State<Arc<App>>,
    Listing(page, query): Listing<ViolationQuery>,
) -> Result<Response, Problem> {
    Ok(ok(&app.store.violations(query.instance, page).await?))
}

/// Totals, and a page of instances.
#[utoipa::path(get, path = "/v1/state", tag = "operator", params(ListQuery), responses(
    (status = 200, description = "The totals and the page", body = StateView),
    (status = "default", body = ProblemBody, description = "no-certificate, wrong-role", content_type = "application/problem+json")
))]
pub async fn state(State(app): State<Arc<App>>, Listing(page, _): Listing<ListQuery>) -> Result<Response, Problem> {
    let open = app.hub.open_streams();
    let mut found = app.store.state(page).await?;
    live(&open, &mut found.items);
    found.connected = open.len() as u64;
    Ok(ok(&found))
}
