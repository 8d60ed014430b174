//! One structured record in the systemd journal, for acts of people (systemd's "native journal protocol").

use std::os::unix::net::UnixDatagram;

const SOCKET: &str = "/run/systemd/journal/socket";

/// Sends fields; `None` where no journal listens (a container, a test guest).
pub fn send(fields: &[(&str, &str)]) -> Option<()> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.send_to(&encode(fields), SOCKET).ok().map(drop)
}

/// `NAME=value` lines; a value with a line end has its length before it.
fn encode(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.extend(name.as_bytes());
        if value.contains('\n') {
            out.push(b'\n');
            out.extend((value.len() as u64).to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend(value.as_bytes());
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_in_a_value_makes_no_field() {
        assert_eq!(encode(&[("A", "b"), ("C", "d\nE=f")]), b"A=b\nC\n\x05\0\0\0\0\0\0\0d\nE=f\n");
    }
}
