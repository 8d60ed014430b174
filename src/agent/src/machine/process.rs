//! Processes by what no other has, and what is said to systemd.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::machine::procfs::Stat;

/// A process by its number and when it started: the number alone is another's some day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Thread group id.
    pub pid: u32,
    /// Start in ticks, cut to what a word of the kernel programs holds.
    pub start: u32,
}

impl Identity {
    /// Of a process that lives.
    pub fn of(pid: u32) -> Option<Identity> {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let start = Stat::parse(&stat)?.start;
        Some(Identity { pid, start: start as u32 })
    }

    /// Ends it, if it lives still.
    pub fn end(self) {
        let Some(pid) = Pid::from_raw(self.pid.cast_signed()) else { return };
        let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        let fd: OwnedFd = fd;
        if Identity::of(self.pid) == Some(self) {
            let _ = pidfd_send_signal(&fd, Signal::KILL);
        }
    }
}

/// The number in a file.
pub fn pid_in(path: &Path) -> Option<u32> {
    let text = crate::machine::files::read_bounded(path, 64).ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}

/// Tells systemd (sd_notify(3)); without NOTIFY_SOCKET nobody is told.
pub fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = UnixDatagram::unbound() else { return };
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => {
            if let Ok(address) = SocketAddr::from_abstract_name(name) {
                let _ = socket.send_to_addr(state.as_bytes(), &address);
            }
        }
        None => {
            let _ = socket.send_to(state.as_bytes(), &name);
        }
    }
}

/// Tells systemd that the agent lives, as often as its unit asks for (WatchdogSec=). By a thread of its own: an update may
/// take longer. Who is pulled into a cgroup that is stopped (cgroup.freeze) tells nothing, and is ended and begun anew.
pub fn watched() {
    let asked = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok()).filter(|usec| *usec > 0);
    let Some(pause) = asked.map(|usec: u64| Duration::from_micros(usec / 2)) else { return };
    let _ = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        loop {
            notify("WATCHDOG=1");
            std::thread::sleep(pause);
        }
    });
}

/// Has systemd keep a descriptor for this unit, while it lives.
///
/// # Errors
/// If it cannot be told.
pub fn store(name: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
    let Some(socket_name) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match socket_name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(Path::new(&socket_name))?,
    };
    let socket = UnixDatagram::unbound()?;
    // Path descriptors cannot be polled, and one that systemd cannot poll it does not keep, unless it is told not to.
    let text = format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}");
    let fds = [fd];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    sendmsg_addr(&socket, &address, &[io::IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}
