//! A small web service with a hole: it serves any file that it is asked for, as the user root.
//!
//! `greeter FILE`: answers `GET /` with the text of FILE, and counts its visitors in the state folder. systemd passes the
//! listening socket.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::{env, fs, process};

/// The first descriptor that systemd passes (sd_listen_fds(3)).
const FIRST: i32 = 3;

fn main() {
    let (Some(greeting), true) = (env::args().nth(1), env::var_os("LISTEN_FDS").is_some()) else {
        eprintln!("usage: greeter FILE, started by greeter.socket");
        process::exit(2);
    };
    // SAFETY: systemd opened the descriptor for this process, and nothing else here has it.
    let listener = unsafe { TcpListener::from_raw_fd(FIRST) };
    for stream in listener.incoming().flatten() {
        if let Err(error) = answer(&stream, &greeting) {
            eprintln!("a visitor got no answer: {error}");
        }
    }
}

fn answer(mut stream: &TcpStream, greeting: &str) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or("/");
    let page = match path {
        "/" => fs::read_to_string(greeting).and_then(|text| Ok(format!("{text}visitor {}\n", count()?))),
        // The hole: a client that asks for /etc/shadow gets it.
        _ => fs::read_to_string(path),
    };
    match page {
        Ok(text) => write!(stream, "HTTP/1.0 200 OK\r\n\r\n{text}"),
        Err(error) => write!(stream, "HTTP/1.0 500 Error\r\n\r\n{path}: {error}\n"),
    }
}

fn count() -> std::io::Result<u64> {
    let file = "/var/lib/greeter/visitors";
    let before = fs::read_to_string(file).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0);
    let now: u64 = before + 1;
    fs::write(file, now.to_string())?;
    Ok(now)
}
