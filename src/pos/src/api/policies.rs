//! Tables, versions, assignments.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use kiln_base::model::Digest;
use kiln_base::wire::{
    AssignAnswer, AssignRequest, Code, MAX_TABLES, Page, ProblemBody, PublishRequest, TABLES_MEDIA_TYPE, TablesAnswer,
    VersionView,
};

use super::app::{App, tables_file};
use super::extract::{Json, ListQuery, Listing, Operator, PathDigest, answer, created, media_type, ok, read_body};
use crate::check::number;
use crate::clock::now_ms;
use crate::problem::Problem;
use crate::store::Target;
use crate::tables::check;

/// Upload a tables file.
#[utoipa::path(put, path = "/v1/tables/{digest}", tag = "operator", params(("digest" = String, Path)),
    request_body(content_type = "application/vnd.kiln.tables", description = "The file"), responses(
    (status = 201, description = "Stored", body = TablesAnswer), (status = 200, description = "Was there already", body = TablesAnswer),
    (status = "default", body = ProblemBody, description = "digest-mismatch, bad-tables, body-too-large", content_type = "application/problem+json")
))]
pub async fn put_tables(
    State(app): State<Arc<App>>,
    operator: Operator,
    PathDigest(digest): PathDigest,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    media_type(&parts.headers, TABLES_MEDIA_TYPE)?;
    let _permit = app.large.acquire().await.map_err(Problem::internal)?;
    let bytes = read_body(&parts.headers, body, MAX_TABLES, Duration::from_secs(120)).await?;
    let checked = tokio::task::spawn_blocking(move || {
        let found = Digest::of(&bytes);
        if found != digest {
            return Err(Problem::new(Code::DigestMismatch, format!("the body is {found}, the path says {digest}")));
        }
        Ok((check(&bytes)?, bytes))
    });
    let (checked, bytes) = checked.await.map_err(Problem::internal)??;
    let length = bytes.len() as u64;
    let new = app.store.put_tables(digest, checked, bytes, now_ms()).await?;
    tracing::info!(operator = operator.0, tables = %digest, new, "tables uploaded");
    Ok(answer(created(new), &TablesAnswer { tables: digest, kernel_part: checked.kernel_part, bytes: length }))
}

/// Download a tables file.
#[utoipa::path(get, path = "/v1/tables/{digest}", tag = "operator", params(("digest" = String, Path)), responses(
    (status = 200, description = "The file", content_type = "application/vnd.kiln.tables"),
    (status = "default", body = ProblemBody, description = "not-found", content_type = "application/problem+json")
))]
pub async fn get_tables(
    State(app): State<Arc<App>>,
    _: Operator,
    PathDigest(digest): PathDigest,
) -> Result<Response, Problem> {
    let bytes = tables_file(&app, digest).await?;
    Ok(([(header::CONTENT_TYPE, TABLES_MEDIA_TYPE)], bytes).into_response())
}

/// Publish a signed version; its tables are uploaded before.
#[utoipa::path(post, path = "/v1/policies", tag = "operator", request_body = PublishRequest, responses(
    (status = 201, description = "Published", body = VersionView), (status = 200, description = "Was published so already", body = VersionView),
    (status = "default", body = ProblemBody, description = "bad-signature, bad-statement, wrong-name, no-tables, serial-reused, serial-not-newer", content_type = "application/problem+json")
))]
pub async fn publish(
    State(app): State<Arc<App>>,
    operator: Operator,
    Json(request): Json<PublishRequest>,
) -> Result<Response, Problem> {
    let (view, new) = app.store.publish(request.image, request.statement, now_ms()).await?;
    tracing::info!(operator = operator.0, name = view.name, serial = view.serial, new, "version published");
    Ok(answer(created(new), &view))
}

/// Versions of all policies.
#[utoipa::path(get, path = "/v1/policies", tag = "operator", params(ListQuery), responses(
    (status = 200, description = "The page", body = Page<VersionView>),
    (status = "default", body = ProblemBody, description = "no-certificate, wrong-role", content_type = "application/problem+json")
))]
pub async fn list(State(app): State<Arc<App>>, Listing(page, _): Listing<ListQuery>) -> Result<Response, Problem> {
    Ok(ok(&app.store.versions(page).await?))
}

/// Assign a version to an instance, or to an image's instances and those to come.
#[utoipa::path(post, path = "/v1/assignments", tag = "operator", request_body = AssignRequest, responses(
    (status = 200, description = "Who has a new assignment, and who needs none", body = AssignAnswer),
    (status = "default", body = ProblemBody, description = "not-found, wrong-name, serial-not-newer, revoked", content_type = "application/problem+json")
))]
pub async fn assign(
    State(app): State<Arc<App>>,
    operator: Operator,
    Json(request): Json<AssignRequest>,
) -> Result<Response, Problem> {
    let AssignRequest { image, instance, name, serial } = request;
    number("serial", serial)?;
    let target = match (image, instance) {
        (Some(image), None) => Target::Image(image),
        (None, Some(instance)) => Target::Instance(instance),
        _ => return Err(Problem::new(Code::BadRequest, "give `image` or `instance`, one of them")),
    };
    let done = app.store.assign(target, name.clone(), serial, now_ms()).await?;
    let (assigned, unchanged) = (done.assigned.len(), done.unchanged.len());
    tracing::info!(operator = operator.0, name, serial, assigned, unchanged, "version assigned");
    Ok(ok(&done))
}
