//! One agent's stream: hello, the newest assignment, then assignments as they come and heartbeats.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use kiln_base::wire::{CloseReason, MAX_LINE, StreamMessage};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::clock::{now_ms, text};
use super::hub::{Listed, Signal};
use super::store::{Desired, InstanceId};

/// Lines that wait for a slow reader.
const QUEUE: usize = 8;
/// How long a full queue is waited for.
const LAG: Duration = Duration::from_secs(30);
/// Earliest return after an end that is not final.
const RETRY_MS: u64 = 1_000;

/// What a stream starts with.
pub struct Start {
    /// Keeps the stream listed.
    pub listed: Listed,
    /// What it is told.
    pub told: watch::Receiver<Signal>,
    /// `i-…`.
    pub instance: InstanceId,
    /// The newest assignment that the agent does not have.
    pub newest: Option<Desired>,
    /// Highest sequence that the agent has.
    pub after: u64,
    /// Longest silence.
    pub heartbeat: Duration,
}

/// Starts the stream; the body ends when the client goes or the service says so.
pub fn start(start: Start) -> Body {
    let (lines, body) = mpsc::channel(QUEUE);
    tokio::spawn(run(start, lines));
    Body::from_stream(ReceiverStream::new(body))
}

type Lines = mpsc::Sender<Result<Bytes, Infallible>>;

async fn run(start: Start, lines: Lines) {
    let Start { listed, mut told, instance, newest, mut after, heartbeat } = start;
    let hello = StreamMessage::Hello {
        instance: instance.to_string(),
        time: text(now_ms()),
        heartbeat_seconds: heartbeat.as_secs().max(1),
    };
    if !send(&lines, &hello).await {
        return;
    }
    if let Some(pushed) = newest {
        after = pushed.sequence;
        if !send(&lines, &pushed.message).await {
            return;
        }
    }
    loop {
        // First what was told before this loop looked.
        let signal = told.borrow_and_update().clone();
        if let Some(reason) = signal.close {
            let close = StreamMessage::Close { reason: reason.into(), retry_after_ms: RETRY_MS };
            send(&lines, &close).await;
            break;
        }
        if let Some(pushed) = signal.push.filter(|p| p.sequence > after) {
            after = pushed.sequence;
            if !send(&lines, &pushed.message).await {
                break;
            }
        }
        let silent_until = Instant::now() + heartbeat;
        tokio::select! {
            () = lines.closed() => break,
            changed = told.changed() => if changed.is_err() { break },
            () = sleep_until(silent_until) => {
                if !send(&lines, &StreamMessage::Heartbeat { time: text(now_ms()) }).await {
                    break;
                }
            }
        }
    }
    drop(listed);
}

/// Whether the line was queued.
async fn send(lines: &Lines, message: &StreamMessage) -> bool {
    let mut line = match serde_json::to_vec(message) {
        Ok(line) => line,
        Err(error) => {
            tracing::error!(%error, "a stream message does not serialise");
            return false;
        }
    };
    if line.len() >= MAX_LINE {
        tracing::error!(bytes = line.len(), "a stream message is too long");
        return false;
    }
    line.push(b'\n');
    match timeout(LAG, lines.send(Ok(Bytes::from(line)))).await {
        Ok(sent) => sent.is_ok(),
        Err(_) => {
            // The queue is full, so this can only be tried.
            let close = StreamMessage::Close { reason: CloseReason::Lagged.into(), retry_after_ms: RETRY_MS };
            if let Ok(mut line) = serde_json::to_vec(&close) {
                line.push(b'\n');
                let _ = lines.try_send(Ok(Bytes::from(line)));
            }
            false
        }
    }
}
