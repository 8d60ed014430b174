//! A copy of a disk image that costs as little as the file system allows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::{SeekFrom as Where, ioctl_ficlone, seek};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::{BakeError, aside};

/// Copies a file beside `beside`, to be renamed there: shared blocks where the file system can (FICLONE), otherwise its
/// data with its holes kept.
pub fn copy_beside(from: &Path, beside: &Path) -> Result<NamedTempFile, BakeError> {
    let folder = match beside.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let mut source = File::open(from).map_err(BakeError::host(from, "open"))?;
    let mut to = aside::file(folder)?;
    if ioctl_ficlone(to.as_file(), &source).is_err() {
        copy_data(&mut source, to.as_file_mut()).map_err(BakeError::host(to.path(), "copy the image"))?;
    }
    let mode = source.metadata().map_err(BakeError::host(from, "read"))?.permissions();
    to.as_file().set_permissions(mode).map_err(BakeError::host(to.path(), "set the mode"))?;
    Ok(to)
}

fn copy_data(from: &mut File, to: &mut File) -> io::Result<()> {
    let len = from.metadata()?.len();
    to.set_len(len)?;
    let mut at = 0;
    while at < len {
        let start = match seek(&*from, Where::Data(at)) {
            Ok(start) => start,
            // No more data: a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(e) => return Err(e.into()),
        };
        let end = seek(&*from, Where::Hole(start))?;
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        if io::copy(&mut Read::by_ref(from).take(end - start), to)? != end - start {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the image became shorter while it was copied"));
        }
        at = end;
    }
    to.flush()
}
