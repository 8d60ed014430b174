//! Violations on disk until the POS has them, within a bound. Oldest first out, and what is dropped is counted.
//!
//! A folder of segments `BOOT.NUMBER.ndjson`, each line one violation. A segment goes when the POS has stored all of it.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kiln_base::event::Violation;
use kiln_base::wire::ViolationsRequest;

use crate::error::{AgentError, Result};
use crate::report::explain::Spool;

/// Bytes after which a segment is closed.
const SEGMENT: u64 = 256 * 1024;
/// Longest line that is read back; a violation has one path of at most 4 KiB, escaped.
const MAX_LINE: u64 = 64 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    boot: String,
    number: u64,
    bytes: u64,
    /// Highest sequence in it, where known (segments of earlier runs are not read until they are sent).
    last: Option<u64>,
}

/// The queue.
#[derive(Debug)]
pub struct Queue {
    folder: PathBuf,
    boot: String,
    most: u64,
    segments: VecDeque<Segment>,
    writer: Option<File>,
    /// Of the segment at the front: sequences at or below are stored by the POS.
    stored: u64,
    dropped: u64,
}

/// What is sent at once: all of one boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// As the POS takes it, but for the events lost by others than the queue.
    pub request: ViolationsRequest,
    /// Whether nothing else of this boot waits in the front segment.
    complete: bool,
}

impl Queue {
    /// Opens the folder, with what earlier runs left.
    ///
    /// # Errors
    /// If it cannot be read or made.
    pub fn open(folder: &Path, boot: &str, most: u64) -> Result<Queue> {
        let fail = |source| AgentError::Read { path: folder.to_owned(), source };
        match std::fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(fail(e)),
            _ => {}
        }
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            let parts = name.to_str().and_then(|n| n.strip_suffix(".ndjson")?.rsplit_once('.'));
            let Some((boot, number)) = parts else { continue };
            let Ok(number) = number.parse() else { continue };
            segments.push(Segment {
                boot: boot.to_owned(),
                number,
                bytes: entry.metadata().map_err(fail)?.len(),
                last: None,
            });
        }
        segments.sort_by_key(|s| s.number);
        let mut queue = Queue {
            folder: folder.to_owned(),
            boot: boot.to_owned(),
            most,
            segments: segments.into(),
            writer: None,
            stored: 0,
            dropped: 0,
        };
        queue.bound();
        Ok(queue)
    }

    fn path(&self, segment: &Segment) -> PathBuf {
        self.folder.join(format!("{}.{:016}.ndjson", segment.boot, segment.number))
    }

    /// Adds a violation. A full disk drops it and is counted.
    pub fn push(&mut self, violation: &Violation) {
        let Ok(mut line) = serde_json::to_vec(violation) else { return };
        line.push(b'\n');
        if self.append(&line, violation.seq).is_err() {
            self.dropped += 1;
            self.writer = None;
        }
        self.bound();
    }

    fn append(&mut self, line: &[u8], seq: u64) -> std::io::Result<()> {
        if self.writer.is_none() || self.segments.back().is_none_or(|s| s.bytes >= SEGMENT) {
            let number = self.segments.back().map_or(1, |s| s.number + 1);
            let segment = Segment { boot: self.boot.clone(), number, bytes: 0, last: None };
            let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(self.path(&segment))?;
            self.writer = Some(file);
            self.segments.push_back(segment);
        }
        let (Some(file), Some(segment)) = (&mut self.writer, self.segments.back_mut()) else { return Ok(()) };
        file.write_all(line)?;
        segment.bytes += line.len() as u64;
        segment.last = Some(seq);
        Ok(())
    }

    fn bound(&mut self) {
        while self.segments.iter().map(|s| s.bytes).sum::<u64>() > self.most && self.segments.len() > 1 {
            let lines = self.front_lines().map_or(0, |all| all.iter().filter(|v| v.seq > self.stored).count());
            self.dropped += lines as u64;
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(segment) = self.segments.pop_front() {
            // What cannot be removed is sent again after a restart, and the POS ignores duplicates.
            let _ = std::fs::remove_file(self.path(&segment));
            if self.segments.is_empty() {
                self.writer = None;
            }
            if self.segments.front().is_none_or(|next| next.boot != segment.boot) {
                self.stored = 0;
            }
        }
    }

    /// The violations of the front segment; lines that are damaged (a torn last line after a power loss) are skipped.
    fn front_lines(&self) -> Option<Vec<Violation>> {
        let segment = self.segments.front()?;
        let file = File::open(self.path(segment)).ok()?;
        let mut reader = BufReader::new(file.take(segment.bytes.max(1)));
        let mut all = Vec::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => all.extend(serde_json::from_slice::<Violation>(&line).ok()),
            }
        }
        Some(all)
    }

    /// The next violations to send, at most `most`; `None` if there are none.
    pub fn batch(&mut self, most: usize) -> Option<Batch> {
        loop {
            let boot = self.segments.front()?.boot.clone();
            let mut violations = self.front_lines().unwrap_or_default();
            violations.retain(|v| v.seq > self.stored);
            violations.sort_by_key(|v| v.seq);
            violations.dedup_by_key(|v| v.seq);
            let complete = violations.len() <= most;
            violations.truncate(most);
            if !violations.is_empty() {
                let request = ViolationsRequest { boot_id: boot, dropped: self.dropped, violations };
                return Some(Batch { request, complete });
            }
            // All of it is stored: it goes, unless it still is written to.
            if self.segments.len() == 1 && self.writer.is_some() {
                return None;
            }
            self.pop_front();
        }
    }

    /// The POS has everything of the boot up to a sequence.
    pub fn stored(&mut self, batch: &Batch, seq: u64) {
        if self.segments.front().is_none_or(|s| s.boot != batch.request.boot_id) {
            return;
        }
        self.stored = self.stored.max(seq);
        let open = self.segments.len() == 1 && self.writer.is_some();
        let all = batch.complete && batch.request.violations.last().is_none_or(|v| v.seq <= seq);
        if all && !open {
            self.pop_front();
        }
    }

    /// Violations lost in this run.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// The queue as threads share it.
#[derive(Debug, Clone)]
pub struct Shared {
    queue: Arc<(Mutex<Queue>, Condvar)>,
    /// Events that the kernel had no room for.
    lost: Arc<AtomicU64>,
}

impl Shared {
    /// Shares a queue.
    pub fn new(queue: Queue) -> Shared {
        Shared { queue: Arc::new((Mutex::new(queue), Condvar::new())), lost: Arc::default() }
    }

    /// The queue. A thread that panicked with it leaves no broken invariant: files are the truth.
    pub fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is added, or for a time.
    pub fn wait(&self, time: Duration) {
        let guard = self.lock();
        let _ = self.queue.1.wait_timeout(guard, time).map(drop);
    }

    /// Tells the kernel's count of lost events.
    pub fn set_lost(&self, lost: u64) {
        self.lost.store(lost, Ordering::Relaxed);
    }

    /// All events lost in this boot, as far as known.
    pub fn dropped(&self) -> u64 {
        self.lost.load(Ordering::Relaxed) + self.lock().dropped()
    }
}

impl Spool for Shared {
    fn keep(&mut self, violation: &Violation) {
        self.lock().push(violation);
        self.queue.1.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(seq: u64) -> Violation {
        let text = format!(
            r#"{{"schema":"kiln.violation.v1","time":"t","seq":{seq},"verdict":"denied","profile":"p","block_kind":"profile",
            "rule":"r","verb":"read","object":"{}","mode":"enforce","severity":"low","action":"alert","pid":1,"tid":1,"ppid":1,
            "uid":0,"comm":"c","start_time_ns":1,"cgroup_id":1,"generation":1,"subject":"p|"}}"#,
            "x".repeat(1000)
        );
        serde_json::from_str(&text).unwrap()
    }

    fn seqs(batch: &Batch) -> Vec<u64> {
        batch.request.violations.iter().map(|v| v.seq).collect()
    }

    #[test]
    fn what_is_acknowledged_goes_and_the_rest_stays_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(dir.path(), "b1", 1 << 20).unwrap();
        assert_eq!(queue.batch(10), None);
        (1..=5).for_each(|n| queue.push(&violation(n * 10)));
        let batch = queue.batch(3).unwrap();
        assert_eq!(seqs(&batch), [10, 20, 30]);
        queue.stored(&batch, 30);
        assert_eq!(seqs(&queue.batch(10).unwrap()), [40, 50]);
        drop(queue);

        // After a reboot all of the old boot is sent again (the POS ignores duplicates), then the new.
        let mut queue = Queue::open(dir.path(), "b2", 1 << 20).unwrap();
        queue.push(&violation(7));
        let old = queue.batch(10).unwrap();
        assert_eq!((old.request.boot_id.as_str(), seqs(&old)), ("b1", vec![10, 20, 30, 40, 50]));
        queue.stored(&old, 50);
        let new = queue.batch(10).unwrap();
        assert_eq!((new.request.boot_id.as_str(), seqs(&new)), ("b2", vec![7]));
        queue.stored(&new, 7);
        assert_eq!(queue.batch(10), None);
        queue.push(&violation(8));
        assert_eq!(seqs(&queue.batch(10).unwrap()), [8]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_bound_holds_and_losses_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(dir.path(), "b", 600 * 1024).unwrap();
        (1..=2000).for_each(|n| queue.push(&violation(n)));
        let size: u64 = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(size <= 600 * 1024 + SEGMENT, "{size}");
        let first = queue.batch(1).unwrap().request.violations[0].seq;
        assert!(first > 1);
        assert_eq!(queue.dropped(), first - 1);
    }

    #[test]
    fn a_torn_line_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(dir.path(), "b", 1 << 20).unwrap();
        queue.push(&violation(1));
        drop(queue);
        let path = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"schema\":\"kil").unwrap();
        std::fs::write(dir.path().join("b.x.ndjson"), "junk").unwrap();
        let mut queue = Queue::open(dir.path(), "b", 1 << 20).unwrap();
        let batch = queue.batch(10).unwrap();
        assert_eq!(seqs(&batch), [1]);
        queue.stored(&batch, 1);
        assert_eq!(queue.batch(10), None);
    }
}
