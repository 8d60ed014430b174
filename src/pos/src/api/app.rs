//! What all requests share.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use kiln_base::model::Digest;
use tokio::sync::Semaphore;

use crate::hub::Hub;
use crate::pki::Pki;
use crate::problem::Problem;
use crate::rate::Failures;
use crate::store::Store;
use crate::tables::Recent;

/// What all requests share.
pub struct App {
    /// What is kept.
    pub store: Arc<dyn Store>,
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

/// A tables file, from memory or the store.
pub(super) async fn tables_file(app: &App, digest: Digest) -> Result<Bytes, Problem> {
    if let Some(bytes) = app.recent.get(digest) {
        return Ok(bytes);
    }
    let _permit = app.large.acquire().await.map_err(Problem::internal)?;
    // A request that waited finds what the first one read.
    if let Some(bytes) = app.recent.get(digest) {
        return Ok(bytes);
    }
    let bytes = Bytes::from(app.store.tables(digest).await?);
    app.recent.put(digest, &bytes);
    Ok(bytes)
}
