//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}; the file that was there before is unchanged", path.display())]
pub struct AsideError {
    path: PathBuf,
    source: io::Error,
}

/// Writes a file beside its place and renames it there: a reader, and a machine that loses power, sees the old bytes or the
/// new ones. `mode` are the permission bits (0o600 for secrets).
///
/// # Errors
/// Where the folder does not exist or is not writable, or the disk is full; the old file is then unchanged.
pub fn write_aside(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AsideError> {
    let fail = |source| AsideError { path: path.to_owned(), source };
    let name = path.file_name().ok_or_else(|| fail(io::Error::other("the path has no file name")))?;
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let mut aside = std::ffi::OsString::from(".");
    aside.push(name);
    aside.push(format!(".{}.new", std::process::id()));
    let aside = folder.join(aside);
    let written = write_there(&aside, bytes, mode)
        .and_then(|()| fs::rename(&aside, path))
        // The rename is durable only with the folder.
        .and_then(|()| File::open(folder)?.sync_all());
    written.map_err(|e| {
        let _ = fs::remove_file(&aside);
        fail(e)
    })
}

fn write_there(aside: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // A rest of a process that died with the same id; `create_new` so that no symlink is followed.
    match fs::remove_file(aside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(aside)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Opens a regular file for reading. A pipe, device or socket in its place is an error: reading one may never end.
///
/// # Errors
/// Where it cannot be opened, or is something else.
pub fn open_file(path: &Path) -> io::Result<File> {
    // Opening a pipe without a writer waits, and opening a device may do something: so not before it was looked at.
    let plain = |meta: fs::Metadata| match meta.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("it is not a regular file")),
    };
    plain(fs::metadata(path)?)?;
    let file =
        OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    plain(file.metadata()?)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn replaces_whole_files_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_aside(&path, b"one", 0o600).unwrap();
        write_aside(&path, b"two", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let error = write_aside(&dir.path().join("none/a"), b"x", 0o600).unwrap_err().to_string();
        assert!(error.contains("none/a") && error.contains("unchanged"), "{error}");
    }

    #[test]
    fn a_link_laid_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "safe").unwrap();
        symlink(&victim, dir.path().join(format!(".a.{}.new", std::process::id()))).unwrap();
        write_aside(&dir.path().join("a"), b"x", 0o600).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"safe");
    }
}
