//! The few calls of bpf(2) that the agent makes on pinned objects. Loading the object file is libbpf's work ([`object`]).

pub mod anchor;
pub mod clock;
pub mod groups;
pub mod iter;
pub mod link;
pub mod map;
pub mod mapping;
pub mod object;
pub mod pins;
pub mod prog;
pub mod ring;
pub mod word;

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The negative error numbers of libbpf's low-level calls.
fn check(ret: i32) -> io::Result<i32> {
    if ret < 0 { Err(io::Error::from_raw_os_error(-ret)) } else { Ok(ret) }
}

/// Takes a descriptor that a call just returned.
fn own(ret: RawFd) -> io::Result<OwnedFd> {
    let fd = check(ret)?;
    // SAFETY: the call succeeded, so `fd` is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Opens a pinned map, program or link.
fn obj_get(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    own(unsafe { libbpf_sys::bpf_obj_get(path.as_ptr()) })
}

/// Pins a map, program or link.
fn obj_pin(fd: RawFd, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    check(unsafe { libbpf_sys::bpf_obj_pin(fd, path.as_ptr()) }).map(drop)
}

/// Text of a fixed-size, NUL-padded field.
fn text(field: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = field.iter().map(|c| *c as u8).take_while(|b| *b != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
