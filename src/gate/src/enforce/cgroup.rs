//! Control groups, where there is no systemd. Documentation/admin-guide/cgroup-v2.rst.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::done::Done;
use super::network;
use super::process::{Process, cgroup_of};
use super::undo::Undo;
use crate::engine::Action;

const ROOT: &str = "/sys/fs/cgroup";

/// A tenth of one processor: `cpu.max`, microseconds of each hundred milliseconds.
const THROTTLED: &str = "10000 100000";

/// The backend.
#[derive(Debug, Default)]
pub(super) struct Cgroup;

impl Cgroup {
    pub fn act(&mut self, action: Action, process: &Process) -> Done {
        let folder = folder(&process.cgroup);
        // Asked again: what the process has left since must not suffer for it.
        if process.still_lives().is_err() || cgroup_of(process.pid).as_deref() != Some(&process.cgroup) {
            return Done::failed(format!("cgroup: process {} is gone or has moved", process.pid));
        }
        match action {
            Action::Allow => Done::default(),
            Action::Throttle => throttle(&process.cgroup, &folder),
            Action::Quarantine | Action::Honeypot => quarantine(&process.cgroup, &folder),
            // The whole group at once (since Linux 5.14); else the one process.
            Action::Kill => match fs::write(folder.join("cgroup.kill"), "1") {
                Ok(()) => Done { applied: true, ..Done::default() }.detail(format!("killed {}", process.cgroup)),
                Err(_) => match process.kill() {
                    Ok(()) => {
                        Done { applied: true, ..Done::default() }.detail(format!("killed process {}", process.pid))
                    }
                    Err(error) => Done::failed(format!("cgroup: {error}")),
                },
            },
        }
    }
}

fn folder(cgroup: &str) -> PathBuf {
    // From the kernel, so without `..`; and the root group was refused.
    Path::new(ROOT).join(cgroup.trim_start_matches('/'))
}

/// Freezes first: what stands still cannot race with the rest.
fn quarantine(cgroup: &str, folder: &Path) -> Done {
    let mut done = Done::default();
    match fs::write(folder.join("cgroup.freeze"), "1") {
        Ok(()) => {
            done.applied = true;
            done.details.push(format!("froze {cgroup}"));
            done.undo.push(Undo::CgroupThaw { cgroup: cgroup.to_owned() });
        }
        Err(error) => done.failures.push(format!("cgroup: cannot freeze {cgroup}: {error}")),
    }
    let level = cgroup.split('/').filter(|part| !part.is_empty()).count() as u32;
    let cut = fs::metadata(folder).map_err(|error| error.to_string()).and_then(|folder| {
        // A group's number is the inode of its folder.
        network::cut(folder.ino(), level).map(|()| folder.ino()).map_err(|error| error.to_string())
    });
    match cut {
        Ok(id) => {
            done.applied = true;
            done.details.push(format!("cut the network of {cgroup}"));
            done.undo.push(Undo::CgroupNetwork { cgroup: cgroup.to_owned(), id });
        }
        // Not every kernel offers it, and what is frozen sends nothing.
        Err(error) if done.applied => done
            .details
            .push(format!("the network of {cgroup} is cut only as far as a frozen process cannot use it: {error}")),
        Err(error) => done.failures.push(format!("cgroup: {cgroup}: {error}")),
    }
    done
}

fn throttle(cgroup: &str, folder: &Path) -> Done {
    let mut done = Done::default();
    for (file, value) in [("cpu.max", THROTTLED), ("cpu.weight", "1"), ("io.weight", "default 1")] {
        let path = folder.join(file);
        let before = fs::read_to_string(&path).map(|text| text.lines().next().unwrap_or_default().to_owned());
        match (before, fs::write(&path, value)) {
            (Ok(before), Ok(())) => {
                done.applied = true;
                done.details.push(format!("{cgroup}: {file} {value}"));
                done.undo.push(Undo::CgroupWrite { cgroup: cgroup.to_owned(), file: file.to_owned(), value: before });
            }
            // Weights are a courtesy; the quota is the throttle.
            (_, Err(error)) | (Err(error), Ok(())) if file == "cpu.max" => {
                done.failures.push(format!("cgroup: cannot write {file} of {cgroup}: {error}"));
            }
            _ => {}
        }
    }
    done
}

/// Undoes one step.
pub(super) fn undo(step: &Undo) -> Result<String, String> {
    let write = |cgroup: &str, file: &str, value: &str| {
        fs::write(folder(cgroup).join(file), value)
            .map(|()| format!("{cgroup}: {file} {value}"))
            .map_err(|error| format!("cannot write {file} of {cgroup}: {error}"))
    };
    match step {
        Undo::CgroupNetwork { cgroup, id } => network::restore(*id)
            .map(|()| format!("gave {cgroup} its network back"))
            .map_err(|error| format!("{cgroup}: {error}")),
        Undo::CgroupThaw { cgroup } => write(cgroup, "cgroup.freeze", "0"),
        Undo::CgroupWrite { cgroup, file, value } if !file.contains('/') => write(cgroup, file, value),
        _ => Err("no step of this backend".to_owned()),
    }
}
