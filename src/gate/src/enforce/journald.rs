//! The journal's native protocol: systemd.io/JOURNAL_NATIVE_PROTOCOL.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::Done;
use crate::engine::{Action, Request};

const SOCKET: &str = "/run/systemd/journal/socket";

/// A connection to the journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
}

/// Appends one field. A value with a newline is written with its length before it.
fn field(entry: &mut Vec<u8>, name: &str, value: &[u8]) {
    entry.extend_from_slice(name.as_bytes());
    match memchr::memchr(b'\n', value) {
        None => entry.push(b'='),
        Some(_) => {
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
        }
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

impl Journal {
    /// Connects.
    ///
    /// # Errors
    /// There is no journal.
    pub fn connect() -> io::Result<Journal> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        Ok(Journal { socket })
    }

    /// The entry of a request.
    fn entry(request: &Request) -> Vec<u8> {
        let message = serde_json::json!({
            "event": "scbe_linux_enforcement",
            "process_key": request.process_key,
            "kernel_action": request.kernel_action,
            "host": request.host,
            "pid": request.pid,
            "process_name": request.process_name,
            "operation": request.operation,
            "target": request.target,
            "rationale": request.rationale,
            "metadata": request.metadata,
        });
        let mut entry = Vec::with_capacity(1024);
        field(&mut entry, "MESSAGE", message.to_string().as_bytes());
        // syslog(3): critical for what ends a process, else warning.
        field(&mut entry, "PRIORITY", if request.kernel_action == Action::Kill { b"2" } else { b"4" });
        field(&mut entry, "SYSLOG_IDENTIFIER", b"scbe-linux-enforcement");
        field(&mut entry, "SCBE_KERNEL_ACTION", request.kernel_action.as_str().as_bytes());
        field(&mut entry, "SCBE_PROCESS_KEY", request.process_key.as_bytes());
        field(&mut entry, "SCBE_PID", request.pid.to_string().as_bytes());
        field(&mut entry, "KILN_OPERATION", request.operation.as_bytes());
        field(&mut entry, "KILN_TARGET", request.target.as_bytes());
        field(&mut entry, "KILN_RATIONALE", request.rationale.as_bytes());
        field(&mut entry, "KILN_DECISION", request.metadata.decision.as_str().as_bytes());
        field(&mut entry, "KILN_CELL_STATE", request.metadata.cell_state.as_str().as_bytes());
        // The journal files an entry also under the process it speaks of.
        if request.pid > 0 {
            field(&mut entry, "OBJECT_PID", request.pid.to_string().as_bytes());
        }
        entry
    }

    pub(super) fn send(&mut self, request: &Request) -> Done {
        match self.send_entry(&Journal::entry(request)) {
            Ok(()) => Done { applied: true, ..Done::default() }.detail("written to the journal"),
            Err(error) => Done::failed(format!("journald: {error}")),
        }
    }

    /// Sends an entry: as a datagram, or, where it is too large for one, in a sealed memory file.
    fn send_entry(&mut self, entry: &[u8]) -> io::Result<()> {
        match self.socket.send(entry) {
            Ok(_) => return Ok(()),
            // The journal was restarted: its socket is another one now.
            Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotConnected) => {
                *self = Journal::connect()?;
                return self.socket.send(entry).map(|_| ());
            }
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {}
            Err(e) => return Err(e),
        }
        let memory = memfd_create("kiln-journal", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(memory);
        file.write_all(entry)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [std::os::fd::AsFd::as_fd(&file)];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(&self.socket, &[], &mut control, SendFlags::empty())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_newline_has_its_length() {
        let mut entry = Vec::new();
        field(&mut entry, "A", b"x");
        field(&mut entry, "B", b"y\nz");
        assert_eq!(entry, b"A=x\nB\n\x03\0\0\0\0\0\0\0y\nz\n");
    }
}
