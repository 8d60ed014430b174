//! One run of the service, from its data folder to its orderly end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kiln_base::wire::CloseReason;
use rustix::fs::FlockOperation;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::api::{App, LARGE_AT_ONCE, router};
use super::clock::now_ms;
use super::follow::follow;
use super::hub::Hub;
use super::pki::{Pki, PkiError};
use super::rate::Failures;
use super::store::{OpenError, OperatorCertificate, Sqlite, Store, StoreError};
use super::tables::Recent;
use super::tls::{self, TlsError};

/// How often it is written down who was heard of.
const SEEN_EVERY: Duration = Duration::from_secs(20);

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// Where to listen; port 0 for any free one.
    pub listen: SocketAddr,
    /// Names and addresses that clients dial.
    pub names: Vec<String>,
    /// Violations kept of an instance.
    pub keep_violations: u64,
    /// Longest silence of a stream.
    pub heartbeat: Duration,
}

/// A service that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder.
    #[error("cannot use the data folder {}: {source}", path.display())]
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another kiln-pos runs on {}; one data folder is for one process", path.display())]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// Keys.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The database.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The runtime.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// A first write to the database.
    #[error("cannot record the operator: {0}")]
    Operator(#[source] StoreError),
}

/// Runs until SIGTERM or SIGINT. `ready` is called with the address once connections are taken.
///
/// # Errors
/// Where it cannot start; a started service ends without error.
pub fn serve(options: &Options, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    raise_file_limit();
    let _lock = lock(&options.data)?;
    let pki = Arc::new(Pki::open(&options.data, &options.names)?);
    let tls = TlsAcceptor::from(tls::config(&pki)?);
    let (store, threads) = Sqlite::open(&options.data.join("pos.db"), pki.assign.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Runtime)?;
    let result = runtime.block_on(run(options, pki, tls, Arc::new(store), ready));
    // Drops what still holds the store; then its threads end and SQLite folds the write-ahead log in.
    runtime.shutdown_timeout(Duration::from_secs(5));
    threads.join();
    result
}

async fn run(
    options: &Options,
    pki: Arc<Pki>,
    tls: TlsAcceptor,
    store: Arc<dyn Store>,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let (fingerprint, expires) = pki.operator;
    let operator = OperatorCertificate { name: "operator".into(), fingerprint, issued: now_ms(), expires };
    store.record_operator(operator).await.map_err(ServeError::Operator)?;
    let listen = |source| ServeError::Listen { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Runtime)?;
    let hub = Hub::default();
    let app = Arc::new(App {
        store: store.clone(),
        pki,
        hub: hub.clone(),
        failures: Failures::default(),
        recent: Recent::default(),
        large: Semaphore::new(LARGE_AT_ONCE),
        keep_violations: options.keep_violations,
        heartbeat: options.heartbeat,
    });
    // Watched before the first stream can open, so that no stream misses what is committed.
    tokio::spawn(follow(store.watch(), store.clone(), hub.clone()));
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(super::server::serve(listener, tls, router(app), stopped));
    ready(address);
    tracing::info!(%address, data = %options.data.display(), "serving");
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = tokio::time::sleep(SEEN_EVERY) => note_seen(&store, &hub).await,
        }
    }
    tracing::info!("ending");
    note_seen(&store, &hub).await;
    hub.close_all(CloseReason::Shutdown);
    stop.send_replace(true);
    if let Err(error) = server.await {
        tracing::error!(%error, "the server task failed");
    }
    Ok(())
}

async fn note_seen(store: &Arc<dyn Store>, hub: &Hub) {
    let seen = hub.take_seen(now_ms());
    if !seen.is_empty()
        && let Err(error) = store.seen(seen).await
    {
        // The next round says it again of those that are still there.
        tracing::error!(%error, "cannot record who was heard of");
    }
}

/// Each agent's stream is an open file; the usual soft limit of 1,024 is for programs that use select(2).
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

fn lock(data: &Path) -> Result<File, ServeError> {
    let fail = |source| ServeError::Data { path: data.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(fail)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(data.join("lock"));
    let file = file.map_err(fail)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(ServeError::Locked { path: data.to_owned() }),
        Err(error) => Err(fail(error.into())),
    }
}
