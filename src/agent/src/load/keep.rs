//! What keeps the pins where no unmounting can take them: a mount of the bpffs that is in no namespace.
//!
//! Links live as long as their pins, and pins as long as their file system. Mounted below `/sys` only, the file system
//! ends with a lazy unmount of `/sys`, and all enforcement with it. A descriptor of a mount of its own keeps it; systemd
//! keeps the descriptor (FDSTORE=1 of sd_notify(3)), or, where there is no systemd, a process that does nothing else.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};

use crate::bpf::anchor::{Anchor, Device, device};
use crate::bpf::map::Map;
use crate::bpf::pins::Pins;
use crate::bpf::word::StateWord;
use crate::config::Places;
use crate::error::{AgentError, Result, Step};
use crate::load::maps::Maps;
use crate::machine::process;

/// Name in systemd's store.
pub const NAME: &str = "kiln-pins";
/// The command by which the agent's program keeps a descriptor, its standard input.
pub const KEEP: &str = "keep";

/// systemd says nothing of what it does not keep: so often it is looked at what it holds, and so long is waited between.
const STORED_LOOKS: u32 = 100;
const STORED_PAUSE: Duration = Duration::from_millis(50);

/// Where [`keep`] writes the number of the pins' file system. A mount that was taken away shows it nowhere else.
fn remembered(places: &Places) -> PathBuf {
    places.run.join("device")
}

/// The file systems on which pins can be: the one of which some were last kept, and the one in their place.
fn devices(places: &Places) -> Vec<Device> {
    let text = std::fs::read_to_string(remembered(places)).unwrap_or_default();
    let kept = text.split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let place = places.pins.root().parent().and_then(|at| open(at, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok());
    kept.into_iter().chain(place.and_then(device)).collect()
}

fn enforces(pins: &Pins) -> bool {
    Map::open(&pins.maps().join("kiln_state")).and_then(|state| StateWord::enforces(&state)).unwrap_or(false)
}

/// Where the pins are that enforce something: in their place, or else where systemd, the keeper or the agent holds them.
/// Where nothing enforces, their place.
pub fn find(places: &Places) -> Pins {
    if enforces(&places.pins) {
        return places.pins.clone();
    }
    let devices = devices(places);
    let others = [Some(1), process::pid_in(&places.run.join("keeper")), process::pid_in(&places.run.join("lock"))];
    for pid in others.into_iter().flatten() {
        for anchor in Anchor::of_process(&places.proc, pid, &devices) {
            let pins = Pins::held(places.pins.root(), anchor);
            if enforces(&pins) {
                return pins;
            }
        }
    }
    places.pins.clone()
}

/// A new mount of the file system where the pins are.
fn make(pins: &Pins) -> io::Result<Anchor> {
    Anchor::make(pins.root().parent().ok_or(io::ErrorKind::NotFound)?)
}

/// What is to be said where the pins are not in their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// They are.
    There,
    /// They were not, and are again.
    PutBack,
    /// They are not: what is enforced stays so.
    Away,
}

/// Puts the pins back to their place, if they are away.
pub fn restore(places: &Places) -> Place {
    if enforces(&places.pins) {
        return Place::There;
    }
    let found = find(places);
    let Some(anchor) = found.anchor() else { return Place::There };
    let (Some(at), true) = (places.pins.root().parent(), places.pins.root() != found.root()) else {
        return Place::There;
    };
    match anchor.put_back(at) {
        Ok(()) if enforces(&places.pins) => {
            // What the keeper has is that mount, which can be put back once only: it needs another.
            let _ = std::fs::remove_file(places.run.join("keeper"));
            Place::PutBack
        }
        _ => Place::Away,
    }
}

/// Always false.
fn wait(pause: Duration) -> bool {
    std::thread::sleep(pause);
    false
}

/// Sees to it that something holds the pins that outlives this process.
///
/// # Errors
/// If nothing can.
pub fn keep(places: &Places, maps: &Maps) -> Result<Anchor> {
    let fail = |e: io::Error| AgentError::kernel(Step::KeepPins, e);
    let anchor = match places.pins.anchor() {
        Some(anchor) => anchor.clone(),
        None => make(&places.pins).map_err(fail)?,
    };
    let device = device(&anchor).ok_or_else(|| fail(io::ErrorKind::Unsupported.into()))?;
    let text = format!("{}:{}", device.0, device.1);
    kiln_base::bundle::write_aside(&remembered(places), text.as_bytes(), 0o600)?;
    let of_systemd = std::env::var_os("NOTIFY_SOCKET").is_some();
    if of_systemd {
        let kept = || {
            let held = Anchor::of_process(&places.proc, 1, &[device]);
            held.iter().any(|a| enforces(&Pins::held(places.pins.root(), a.clone())))
        };
        if !kept() {
            process::store(NAME, anchor.as_fd()).map_err(fail)?;
        }
        if (0..STORED_LOOKS).any(|_| kept() || wait(STORED_PAUSE)) {
            return Ok(anchor);
        }
    }
    let before = maps.keeper()?.filter(|keeper| process::Identity::of(keeper.pid) == Some(*keeper));
    if before.is_some_and(|keeper| process::pid_in(&places.run.join("keeper")) == Some(keeper.pid)) {
        return Ok(anchor);
    }
    let program: OsString = "/proc/self/exe".into();
    // A mount of its own, where one can be made: this process may put its own back.
    let input = make(&places.pins).unwrap_or_else(|_| anchor.clone());
    let input = input.as_fd().try_clone_to_owned().map_err(fail)?;
    let child = Command::new(program)
        .arg(KEEP)
        .stdin(Stdio::from(input))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .env_clear()
        .spawn()
        .map_err(fail)?;
    let pid = child.id();
    // Killed for memory last; without the right to say so it is as any other.
    let _ = std::fs::write(places.proc.join(pid.to_string()).join("oom_score_adj"), "-1000");
    let identity = process::Identity::of(pid).ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?;
    maps.set_keeper(Some(identity))?;
    kiln_base::bundle::write_aside(&places.run.join("keeper"), pid.to_string().as_bytes(), 0o600)?;
    if let Some(before) = before {
        before.end();
    }
    Ok(anchor)
}

/// Ends the keeper, if there is one.
///
/// # Errors
/// Of the kernel.
pub fn release(places: &Places, maps: &Maps) -> Result<()> {
    if let Some(keeper) = maps.keeper()? {
        keeper.end();
        maps.set_keeper(None)?;
    }
    let _ = std::fs::remove_file(places.run.join("keeper"));
    Ok(())
}

/// The keeper's life.
pub fn be_keeper() -> ! {
    let _ = rustix::process::setsid();
    loop {
        std::thread::park();
    }
}
