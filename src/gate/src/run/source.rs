//! Where the bytes come from: a file, standard input, or a followed file that is rotated.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::lines::{MAX_LINE, lines};

/// How much is read at once: its lines stay in a processor's own cache, and two threads have enough between
/// their turns.
const CHUNK: usize = 1 << 17;

/// Bytes that are read into and read from again and again, without being cleared in between.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    used: usize,
}

impl Buffer {
    /// What is in it.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or(&[])
    }

    fn set(&mut self, bytes: &[u8]) {
        self.used = 0;
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.used = bytes.len();
    }

    /// At least so much room behind what is in it.
    fn room(&mut self, least: usize) -> &mut [u8] {
        if self.bytes.len() < self.used + least {
            self.bytes.resize(self.used + least, 0);
        }
        &mut self.bytes[self.used..]
    }

    fn truncate(&mut self, length: usize) {
        self.used = self.used.min(length);
    }

    fn drop_front(&mut self, count: usize) {
        self.bytes.copy_within(count..self.used, 0);
        self.used -= count;
    }
}

/// Whole lines from a reader, in batches.
#[derive(Debug)]
pub struct Source<R> {
    reader: R,
    /// The beginning of a line that has not ended yet.
    tail: Vec<u8>,
    /// Bytes dropped from a line that is too long; the line is still running.
    dropping: bool,
    left: Option<u64>,
    ended: bool,
    stop: Arc<AtomicBool>,
}

/// What [`Source::next`] found besides the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Whether the input goes on.
    pub more: bool,
    /// Lines that were longer than [`MAX_LINE`]; their beginnings stand in the batch's place for them.
    pub too_long: u64,
}

impl<R: Read> Source<R> {
    /// Reads `reader` until its end, until `max_events` non-blank lines if that is not 0, or until `stop` is set.
    pub fn new(reader: R, max_events: u64, stop: Arc<AtomicBool>) -> Source<R> {
        let left = (max_events > 0).then_some(max_events);
        Source { reader, tail: Vec::new(), dropping: false, left, ended: false, stop }
    }

    /// Fills `batch` with whole lines: what one read gives, so that a slow stream is not delayed.
    ///
    /// # Errors
    /// The reader's.
    pub fn next(&mut self, batch: &mut Buffer) -> io::Result<Batch> {
        batch.truncate(0);
        let mut too_long = 0;
        if self.ended || self.left == Some(0) || self.stop.load(Ordering::Relaxed) {
            return Ok(Batch { more: false, too_long });
        }
        batch.set(&self.tail);
        self.tail.clear();
        loop {
            let old = batch.used;
            let read = loop {
                match self.reader.read(&mut batch.room(CHUNK)[..CHUNK]) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                        if self.stop.load(Ordering::Relaxed) {
                            break 0;
                        }
                    }
                    other => break other?,
                }
            };
            batch.used = old + read;
            if read == 0 {
                self.ended = true;
                if std::mem::take(&mut self.dropping) {
                    batch.truncate(0);
                }
                break;
            }
            if self.dropping {
                match memchr::memchr2(b'\n', b'\r', batch.bytes()) {
                    Some(end) => {
                        batch.drop_front(end + 1);
                        self.dropping = false;
                    }
                    None => {
                        batch.truncate(0);
                        continue;
                    }
                }
            }
            let old = old.min(batch.used);
            if let Some(end) = memchr::memrchr2(b'\n', b'\r', &batch.bytes()[old..]) {
                self.tail.extend_from_slice(&batch.bytes()[old + end + 1..]);
                batch.truncate(old + end + 1);
                break;
            }
            if batch.used > MAX_LINE {
                // One byte more than is read marks it as too long for the reader.
                batch.truncate(MAX_LINE + 1);
                self.dropping = true;
                too_long += 1;
                break;
            }
        }
        self.limit(batch);
        Ok(Batch { more: true, too_long })
    }

    fn limit(&mut self, batch: &mut Buffer) {
        let Some(left) = &mut self.left else { return };
        let mut end = batch.used;
        for line in lines(batch.bytes()) {
            if *left == 0 {
                end = line.as_ptr() as usize - batch.bytes().as_ptr() as usize;
                break;
            }
            *left -= 1;
        }
        batch.truncate(end);
    }
}

/// A file that is followed by name, as `tail -F` follows one: past its end, over truncation and over rotation.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    file: Option<File>,
    position: u64,
    stop: Arc<AtomicBool>,
}

/// How often a quiet file is looked at.
const POLL: Duration = Duration::from_millis(100);

impl Follow {
    /// Follows `path`, which need not exist yet, until `stop` is set.
    pub fn new(path: &Path, stop: Arc<AtomicBool>) -> Follow {
        Follow { path: path.to_owned(), file: None, position: 0, stop }
    }

    /// Whether the name now means another file than the open one.
    fn rotated(&self, file: &File) -> io::Result<bool> {
        let open = file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(named) => Ok((named.dev(), named.ino()) != (open.dev(), open.ino())),
            // Renamed away, and the new one is not there yet: the old one may still grow.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
}

impl Read for Follow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(mut file) = self.file.take() {
                // Asked before the read: what was written to the old file until the rename is then still seen.
                let rotated = self.rotated(&file)?;
                if file.metadata()?.len() < self.position {
                    self.position = file.seek(SeekFrom::Start(0))?;
                }
                let read = file.read(buffer)?;
                if read > 0 {
                    self.position += read as u64;
                    self.file = Some(file);
                    return Ok(read);
                }
                if rotated {
                    self.position = 0;
                    continue;
                }
                self.file = Some(file);
            } else {
                match File::open(&self.path) {
                    Ok(file) => {
                        self.file = Some(file);
                        continue;
                    }
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            std::thread::sleep(POLL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], max: u64) -> (Vec<Vec<u8>>, u64) {
        let (mut source, mut batch, mut found, mut long) =
            (Source::new(input, max, Arc::default()), Buffer::default(), Vec::new(), 0);
        loop {
            let next = source.next(&mut batch).expect("a slice reads without error");
            found.extend(lines(batch.bytes()).map(<[u8]>::to_vec));
            long += next.too_long;
            if !next.more {
                return (found, long);
            }
        }
    }

    #[test]
    fn lines_end_with_any_newline() {
        let (found, _) = all(b"a\r\n\x1f\n b \rc", 0);
        assert_eq!(found, [b"a", b"b", b"c"]);
    }

    #[test]
    fn stops_after_so_many_events() {
        assert_eq!(all(b"a\n\n\nb\nc\n", 2).0, [b"a", b"b"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_dropped() {
        let input = [b"a\n", vec![b'x'; 3 * MAX_LINE].as_slice(), b"\nb\n"].concat();
        let (found, long) = all(&input, 0);
        assert_eq!(long, 1);
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [1, MAX_LINE + 1, 1]);
    }
}
