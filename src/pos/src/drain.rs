//! Reads away what a handler left of a request's body.
//!
//! An answer that comes before the body was read, as a refusal does, would be followed by a reset of the connection, and the client
//! would see a broken pipe instead of the reason (RFC 9112, section 9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::Request;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio_stream::StreamExt;
use tower::ServiceExt;

/// How long the rest is read.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body that, dropped before its end, goes back to where it came from.
struct Lent {
    body: Option<Body>,
    back: Option<oneshot::Sender<Body>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !body.is_end_stream()
        {
            // Nobody waits for it once the connection has ended.
            let _ = back.send(body);
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            self.body = None;
        }
        frame
    }
    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }
    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

/// Answers a request, and reads at most `most` bytes of what is left of it before the answer goes out.
pub async fn answer(router: Router, request: Request<Body>, most: usize) -> Response {
    let (back, mut left) = oneshot::channel();
    let request = request.map(|body| Body::new(Lent { body: Some(body), back: Some(back) }));
    let Ok(response) = router.oneshot(request).await;
    if let Ok(body) = left.try_recv() {
        let read = async {
            let mut chunks = body.into_data_stream();
            let mut read = 0;
            while let Some(Ok(chunk)) = chunks.next().await {
                read += chunk.len();
                if read > most {
                    break;
                }
            }
        };
        // Too slow or too long: then the client gets the reset.
        let _ = tokio::time::timeout(PATIENCE, read).await;
    }
    response
}
