//! Connections: accept, handshake, limits, and an orderly end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kiln_base::model::Digest;
use kiln_base::wire::{MAX_JSON, MAX_TABLES};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::api::Peer;
use super::drain;
use super::idle::Idle;

/// Connections in all.
const CONNECTIONS: usize = 4_096;
/// Connections of which nobody has shown a certificate.
const UNKNOWN: usize = 1_024;
/// Of these, from one address.
const UNKNOWN_PER_ADDRESS: usize = 128;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a request's line and headers, and between two requests.
const HEADERS: Duration = Duration::from_secs(30);
/// For a peer that takes nothing of an answer.
const STUCK: Duration = Duration::from_secs(60);
/// For open requests at the end.
const DRAIN: Duration = Duration::from_secs(10);

/// Counts connections that have shown no certificate.
#[derive(Debug, Clone, Default)]
struct Unknown(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One such connection.
struct Guest(Unknown, IpAddr);

impl Unknown {
    fn admit(&self, from: IpAddr) -> Option<Guest> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.values().sum::<usize>() >= UNKNOWN {
            return None;
        }
        let count = map.entry(from).or_insert(0);
        if *count >= UNKNOWN_PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Guest(self.clone(), from))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut map = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = map.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                map.remove(&self.1);
            }
        }
    }
}

/// Serves until `stop` turns true, then lets open requests end.
pub async fn serve(listener: TcpListener, tls: TlsAcceptor, router: Router, mut stop: watch::Receiver<bool>) {
    let all = Arc::new(Semaphore::new(CONNECTIONS));
    let unknown = Unknown::default();
    // Each connection holds a sender; when all are gone the receiver ends.
    let (alive, mut gone) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = asked_to(&mut stop) => break,
        };
        let (tcp, from) = match accepted {
            Ok(pair) => pair,
            Err(error) => {
                // Out of file descriptors, or the peer has gone: neither ends the service.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = all.clone().try_acquire_owned() else {
            tracing::warn!(%from, "connection refused: {CONNECTIONS} are open");
            continue;
        };
        let Some(guest) = unknown.admit(from.ip()) else {
            tracing::warn!(%from, "connection refused: too many without a certificate");
            continue;
        };
        let (tls, router, stop, alive) = (tls.clone(), router.clone(), stop.clone(), alive.clone());
        tokio::spawn(async move {
            connection(tcp, from, tls, router, stop, guest).await;
            drop((permit, alive));
        });
    }
    drop((listener, alive));
    if timeout(DRAIN, gone.recv()).await.is_err() {
        tracing::warn!("connections were still open {} s after the end was asked for", DRAIN.as_secs());
    }
}

/// Ends when the service shall, or when nobody is left who could say so.
async fn asked_to(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    tcp: TcpStream,
    from: SocketAddr,
    tls: TlsAcceptor,
    router: Router,
    mut stop: watch::Receiver<bool>,
    guest: Guest,
) {
    // Heartbeats and answers are small; waiting for more to send only delays them.
    let _ = tcp.set_nodelay(true);
    let stream = match timeout(HANDSHAKE, tls.accept(tcp)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%from, %error, "handshake failed"),
        Err(_) => return tracing::debug!(%from, "handshake took too long"),
    };
    let fingerprint =
        stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|leaf| Digest::of(leaf));
    // A known peer does not count against the places of the unknown.
    let guest = Some(guest).filter(|_| fingerprint.is_none());
    let peer = Peer { address: from, fingerprint };
    let leftover = if fingerprint.is_some() { 2 * MAX_TABLES } else { MAX_JSON };
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let router = router.clone();
        async move { Ok::<_, Infallible>(drain::answer(router, request.map(Body::new), leftover).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(64)
        .max_header_size(16 * 1024)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(Idle::new(stream, STUCK)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = asked_to(&mut stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%from, %error, "connection ended");
    }
    drop(guest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_counted_per_address_and_leave() {
        let unknown = Unknown::default();
        let address = |n: u16| IpAddr::from([192, 0, (n >> 8) as u8, n as u8]);
        let mut guests: Vec<_> = (0..UNKNOWN_PER_ADDRESS).map(|_| unknown.admit(address(1)).unwrap()).collect();
        assert!(unknown.admit(address(1)).is_none());
        guests.extend((2..).map_while(|n| unknown.admit(address(n))));
        assert_eq!(guests.len(), UNKNOWN);
        guests.clear();
        assert!(unknown.0.lock().unwrap().is_empty());
        assert!(unknown.admit(address(1)).is_some());
    }
}
