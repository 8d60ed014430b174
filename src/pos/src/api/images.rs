//! Images and their join tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kiln_base::wire::{Code, ImageView, Page, ProblemBody, RegisterImage, TokenAnswer, TokenRequest};

use super::app::App;
use super::extract::{Json, ListQuery, Listing, Operator, PathDigest, answer, created, ok};
use crate::clock::{now_ms, text};
use crate::enrol::JoinToken;
use crate::problem::Problem;
use crate::store::NewToken;

/// Register an image with its baked policy; its tables are uploaded before.
#[utoipa::path(post, path = "/v1/images", tag = "operator", request_body = RegisterImage, responses(
    (status = 201, description = "Registered", body = ImageView), (status = 200, description = "Was registered so already", body = ImageView),
    (status = "default", body = ProblemBody, description = "bad-signature, bad-statement, bad-key, no-tables, serial-reused, image-differs", content_type = "application/problem+json")
))]
pub async fn register(
    State(app): State<Arc<App>>,
    operator: Operator,
    Json(request): Json<RegisterImage>,
) -> Result<Response, Problem> {
    let (view, new) = app.store.register_image(request, now_ms()).await?;
    tracing::info!(operator = operator.0, image = %view.image, new, "image registered");
    Ok(answer(created(new), &view))
}

/// Registered images.
#[utoipa::path(get, path = "/v1/images", tag = "operator", params(ListQuery), responses(
    (status = 200, description = "The page", body = Page<ImageView>),
    (status = "default", body = ProblemBody, description = "no-certificate, wrong-role", content_type = "application/problem+json")
))]
pub async fn list(State(app): State<Arc<App>>, Listing(page, _): Listing<ListQuery>) -> Result<Response, Problem> {
    Ok(ok(&app.store.images(page).await?))
}

/// One image.
#[utoipa::path(get, path = "/v1/images/{image}", tag = "operator", params(("image" = String, Path)), responses(
    (status = 200, description = "The image", body = ImageView),
    (status = "default", body = ProblemBody, description = "not-found", content_type = "application/problem+json")
))]
pub async fn one(State(app): State<Arc<App>>, _: Operator, PathDigest(image): PathDigest) -> Result<Response, Problem> {
    Ok(ok(&app.store.image(image).await?))
}

/// Issue a one-time join token for an image.
#[utoipa::path(post, path = "/v1/images/{image}/tokens", tag = "operator", params(("image" = String, Path)),
    request_body = TokenRequest, responses(
    (status = 201, description = "The token, which is shown once", body = TokenAnswer),
    (status = "default", body = ProblemBody, description = "not-found, out-of-range", content_type = "application/problem+json")
))]
pub async fn token(
    State(app): State<Arc<App>>,
    operator: Operator,
    PathDigest(image): PathDigest,
    Json(request): Json<TokenRequest>,
) -> Result<Response, Problem> {
    if !(60..=604_800).contains(&request.ttl_seconds) {
        return Err(Problem::new(Code::OutOfRange, "`ttl_seconds` is 60 to 604,800 (a week)"));
    }
    let token = JoinToken::new()?;
    let hash = token.hash();
    let created = now_ms();
    // In range as checked above.
    let expires = created + request.ttl_seconds as i64 * 1000;
    let id = app.store.issue_token(NewToken { image, hash, created, expires }).await?;
    tracing::info!(operator = operator.0, %image, id, "join token issued");
    Ok(answer(StatusCode::CREATED, &TokenAnswer { id, token: token.into_text(), expires: text(expires) }))
}
