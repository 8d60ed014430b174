//! The SOC's sink: HTTP, off the event path. The event path only appends to a spool on disk; a thread posts from it.
//!
//! ```text
//! SPOOL/0000000000000001.jsonl   segments; each line one entry
//! SPOOL/cursor                   segment and byte up to which the sink has acknowledged
//! ```
//! Delivery is at least once: what was posted but not acknowledged is posted again, with the same `id`s.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::Done;
use crate::engine::Request;

/// A segment is closed beyond this many bytes.
const SEGMENT: u64 = 1 << 20;
/// At most so many entries in one post.
const BATCH: usize = 100;
/// The longest pause after a failure.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Where Linux distributions keep their certificate authorities.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How to reach the SOC.
#[derive(Debug, Clone)]
pub struct SocSettings {
    /// URL.
    pub endpoint: String,
    /// How long one post may take, seconds; at least a tenth.
    pub timeout_seconds: f64,
    /// Bearer token, or nothing.
    pub bearer_token: String,
    /// The spool's directory.
    pub spool: PathBuf,
    /// The spool's bound in bytes.
    pub spool_bytes: u64,
    /// PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
}

/// The sink cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocError {
    /// The spool.
    #[error("soc: spool {}: {source}", path.display())]
    Spool {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The certificate authorities.
    #[error("soc: certificate authorities: {0}")]
    Roots(String),
    /// The endpoint.
    #[error("soc: {0:?} is not an http or https URL")]
    Endpoint(String),
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Entries that are spooled and not acknowledged.
    waiting: u64,
    stopping: bool,
    last_error: Option<String>,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sink.
#[derive(Debug)]
pub struct Soc {
    settings: SocSettings,
    segment: u64,
    file: File,
    length: u64,
    /// An upper bound of what is on disk; counted anew when it reaches the limit.
    spooled: u64,
    next_id: u64,
    run: String,
    shared: Arc<Shared>,
    sender: Option<JoinHandle<()>>,
}

fn spool_error(path: &Path) -> impl FnOnce(io::Error) -> SocError {
    let path = path.to_owned();
    move |source| SocError::Spool { path, source }
}

fn segment_path(spool: &Path, number: u64) -> PathBuf {
    spool.join(format!("{number:016}.jsonl"))
}

fn segments(spool: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(spool)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        numbers.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn spool_size(spool: &Path) -> io::Result<u64> {
    segments(spool)?.iter().try_fold(0, |sum, number| Ok(sum + fs::metadata(segment_path(spool, *number))?.len()))
}

/// Up to where the sink has acknowledged.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    segment: u64,
    offset: u64,
}

impl Cursor {
    fn read(spool: &Path) -> Cursor {
        let text = fs::read_to_string(spool.join("cursor")).unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().map(|word| word.parse().unwrap_or(0));
        // A cursor that cannot be read sends again what may have been sent: twice is better than never.
        Cursor { segment: numbers.next().unwrap_or(0), offset: numbers.next().unwrap_or(0) }
    }

    fn write(self, spool: &Path) -> io::Result<()> {
        let aside = spool.join("cursor.tmp");
        let mut file = File::create(&aside)?;
        writeln!(file, "{} {}", self.segment, self.offset)?;
        file.sync_data()?;
        fs::rename(aside, spool.join("cursor"))
    }
}

impl Soc {
    /// Opens the spool and starts the sender, which first sends what an earlier run has left.
    ///
    /// # Errors
    /// The spool, the roots or the endpoint.
    pub fn start(settings: SocSettings) -> Result<Soc, SocError> {
        let uri: ureq::http::Uri =
            settings.endpoint.parse().map_err(|_| SocError::Endpoint(settings.endpoint.clone()))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(SocError::Endpoint(settings.endpoint.clone()));
        }
        let agent = agent(&settings, uri.scheme_str() == Some("https"))?;
        let spool = settings.spool.clone();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&spool).map_err(spool_error(&spool))?;
        // A new segment for each run: a line that a crash cut short is the last of its segment.
        let segment = segments(&spool).map_err(spool_error(&spool))?.last().map_or(1, |last| last + 1);
        let path = segment_path(&spool, segment);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(spool_error(&path))?;
        let spooled = spool_size(&spool).map_err(spool_error(&spool))?;
        let shared = Arc::new(Shared::default());
        shared.lock().waiting = count_waiting(&spool);
        let sender = Sender { settings: settings.clone(), agent, shared: shared.clone() };
        let handle = std::thread::Builder::new().name("soc".to_owned()).spawn(move || sender.run());
        let sender = Some(handle.map_err(spool_error(&spool))?);
        let run = format!("{:x}-{:x}", std::process::id(), now_ns());
        Ok(Soc { settings, segment, file, length: 0, spooled, next_id: 0, run, shared, sender })
    }

    /// Spools a request.
    pub(super) fn send(&mut self, request: &Request) -> Done {
        match self.spool(request) {
            Ok(()) => {
                Done { applied: true, ..Done::default() }.detail(format!("spooled for {}", self.settings.endpoint))
            }
            Err(error) => Done::failed(format!("soc: {error}")),
        }
    }

    fn spool(&mut self, request: &Request) -> io::Result<()> {
        self.next_id += 1;
        let entry = serde_json::json!({
            "event_type": "scbe_linux_enforcement",
            "id": format!("{}-{}", self.run, self.next_id),
            "action": request,
        });
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let size = line.len() as u64;
        if self.spooled + size > self.settings.spool_bytes {
            self.spooled = spool_size(&self.settings.spool)?;
            if self.spooled + size > self.settings.spool_bytes {
                return Err(io::Error::other(format!("the spool is full ({} bytes): the sink is down", self.spooled)));
            }
        }
        if self.length + size > SEGMENT {
            self.file.sync_data()?;
            self.segment += 1;
            let path = segment_path(&self.settings.spool, self.segment);
            self.file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
            self.length = 0;
        }
        self.file.write_all(&line)?;
        self.length += size;
        self.spooled += size;
        self.shared.lock().waiting += 1;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Entries that wait for the sink, and what it last failed with.
    pub fn backlog(&self) -> (u64, Option<String>) {
        let state = self.shared.lock();
        (state.waiting, state.last_error.clone())
    }

    /// Lets the sender finish, at most so long, and stops it. What is left stays in the spool for the next run.
    pub fn finish(&mut self, patience: Duration) {
        let state = self.shared.lock();
        drop(self.shared.changed.wait_timeout_while(state, patience, |state| state.waiting > 0));
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(handle) = self.sender.take() {
            // A post in flight ends by its own timeout.
            drop(handle.join());
        }
    }
}

impl Drop for Soc {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
    }
}

fn now_ns() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos())
}

fn count_waiting(spool: &Path) -> u64 {
    let cursor = Cursor::read(spool);
    let mut waiting = 0;
    for number in segments(spool).unwrap_or_default().into_iter().filter(|number| *number >= cursor.segment) {
        let bytes = fs::read(segment_path(spool, number)).unwrap_or_default();
        let skip = if number == cursor.segment { cursor.offset as usize } else { 0 };
        waiting += memchr::memchr_iter(b'\n', bytes.get(skip..).unwrap_or(&[])).count() as u64;
    }
    waiting
}

fn agent(settings: &SocSettings, tls: bool) -> Result<ureq::Agent, SocError> {
    let timeout = Duration::try_from_secs_f64(settings.timeout_seconds.max(0.1)).unwrap_or(Duration::from_secs(3));
    let mut config = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        // A redirect could lead the token anywhere.
        .max_redirects(0)
        .max_redirects_will_error(false);
    if tls {
        // Installed once a process; a second try says it is there already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let roots = RootCerts::new_with_certs(&roots(settings)?);
        config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    Ok(config.build().into())
}

/// The authorities of the given file, or the system's.
fn roots(settings: &SocSettings) -> Result<Vec<Certificate<'static>>, SocError> {
    let read = |path: &Path| fs::read(path).map_err(|error| SocError::Roots(format!("{}: {error}", path.display())));
    let pem = match &settings.ca {
        Some(path) => read(path)?,
        None => {
            let path = SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.exists());
            read(path.ok_or_else(|| SocError::Roots("the system has none; name a file with --soc-ca".to_owned()))?)?
        }
    };
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match certificates.is_empty() {
        true => Err(SocError::Roots("the file holds no certificate".to_owned())),
        false => Ok(certificates),
    }
}

struct Sender {
    settings: SocSettings,
    agent: ureq::Agent,
    shared: Arc<Shared>,
}

impl Sender {
    fn run(&self) {
        let mut pause = Duration::from_millis(200);
        loop {
            {
                let state = self.shared.lock();
                let state = self.shared.changed.wait_while(state, |state| state.waiting == 0 && !state.stopping);
                if state.unwrap_or_else(PoisonError::into_inner).stopping {
                    return;
                }
            }
            match self.send_next() {
                Ok(sent) => {
                    pause = Duration::from_millis(200);
                    let mut state = self.shared.lock();
                    // Nothing to send although some should wait: a segment was damaged or removed.
                    state.waiting = if sent == 0 { 0 } else { state.waiting.saturating_sub(sent) };
                    state.last_error = None;
                    drop(state);
                    self.shared.changed.notify_all();
                }
                Err(error) => {
                    self.shared.lock().last_error = Some(error.to_string());
                    let until = Instant::now() + pause;
                    let mut state = self.shared.lock();
                    while !state.stopping && Instant::now() < until {
                        let left = until.saturating_duration_since(Instant::now());
                        state = match self.shared.changed.wait_timeout(state, left) {
                            Ok((state, _)) => state,
                            Err(poisoned) => poisoned.into_inner().0,
                        };
                    }
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Posts the next entries and moves the cursor; how many.
    fn send_next(&self) -> io::Result<u64> {
        let spool = &self.settings.spool;
        let cursor = Cursor::read(spool);
        let numbers = segments(spool)?;
        for (i, number) in numbers.iter().enumerate().filter(|(_, number)| **number >= cursor.segment) {
            let offset = if *number == cursor.segment { cursor.offset } else { 0 };
            let (entries, end) = read_entries(&segment_path(spool, *number), offset)?;
            if !entries.is_empty() {
                self.post(&entries)?;
                Cursor { segment: *number, offset: end }.write(spool)?;
                return Ok(entries.len() as u64);
            }
            // Read to its end, and not the one that is written to.
            if i + 1 < numbers.len() {
                Cursor { segment: numbers[i + 1], offset: 0 }.write(spool)?;
                fs::remove_file(segment_path(spool, *number))?;
            }
        }
        Ok(0)
    }

    fn post(&self, entries: &[Vec<u8>]) -> io::Result<()> {
        // One entry has the reference's shape; several are a batch of them.
        let body = match entries {
            [one] => one.clone(),
            many => [
                b"{\"event_type\":\"scbe_linux_enforcement_batch\",\"events\":[",
                many.join(&b","[..]).as_slice(),
                b"]}",
            ]
            .concat(),
        };
        let mut request = self.agent.post(&self.settings.endpoint).header("Content-Type", "application/json");
        if !self.settings.bearer_token.is_empty() {
            request = request.header("Authorization", format!("Bearer {}", self.settings.bearer_token));
        }
        let response = request.send(&body[..]).map_err(io::Error::other)?;
        match response.status().as_u16() {
            200..300 => Ok(()),
            code => Err(io::Error::other(format!("soc sink returned HTTP {code}"))),
        }
    }
}

/// Whole lines from `offset` on, at most a batch, and where they end.
fn read_entries(path: &Path, offset: u64) -> io::Result<(Vec<Vec<u8>>, u64)> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let (mut reader, mut entries, mut end) = (BufReader::new(file), Vec::new(), offset);
    while entries.len() < BATCH {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            break;
        }
        end += line.len() as u64 + 1;
        entries.push(line);
    }
    Ok((entries, end))
}
