//! Who traces a process and may not any more, once a policy is in force that refuses it.
//!
//! The kernel programs end such a tracer at its next request, but that one is still done. So it is ended here before.

use std::fs;
use std::path::Path;

use kiln_base::model::KernelOp;
use rustix::process::{Signal, pidfd_send_signal};

use crate::error::Result;
use crate::label::seed::Seeder;
use crate::label::tree::Labelled;

/// Bit of a subject's masks, and of `required_hooks_hi`.
pub const PTRACE: u32 = 1 << KernelOp::Ptrace as u8;

impl Seeder<'_> {
    /// Ends tracers that the tables refuse. What is traced goes on by itself.
    ///
    /// # Errors
    /// If cgroups cannot be read.
    pub fn end_tracers(&self) -> Result<()> {
        let pairs = traced(self.proc_root);
        if pairs.is_empty() {
            return Ok(());
        }
        let groups: Labelled = self.labelled()?;
        for (other, tracer) in pairs {
            let (Some(tracer), Some(other)) = (self.bound(tracer, &groups)?, self.bound(other, &groups)?) else {
                continue;
            };
            let Some(subject) = self.rules.subject_of(tracer.label) else { continue };
            let alike = tracer.label == other.label && !other.starting && subject.kernel_detour & PTRACE != 0;
            if subject.kernel_deny & PTRACE != 0 && !alike {
                let _ = pidfd_send_signal(&tracer.pidfd, Signal::KILL);
            }
        }
        Ok(())
    }
}

/// Processes with a thread that is traced, and their tracers' processes.
fn traced(proc_root: &Path) -> Vec<(i32, i32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(proc_root).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        for thread in fs::read_dir(entry.path().join("task")).into_iter().flatten().flatten() {
            let Some(tracer) = field(&thread.path().join("status"), "TracerPid:").filter(|tracer| *tracer != 0) else {
                continue;
            };
            // The thread that traces; what is ended is its process.
            let process = field(&proc_root.join(tracer.to_string()).join("status"), "Tgid:");
            found.extend(process.map(|tracer| (pid, tracer)));
        }
    }
    found
}

/// A number of `/proc/PID/status` (proc(5)).
fn field(path: &Path, name: &str) -> Option<i32> {
    let text = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_traces_a_thread_is_found_by_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("7/task/7/status", "Name:\tx\nTgid:\t7\nTracerPid:\t0\n");
        put("7/task/8/status", "Name:\tTgid:\nTgid:\t7\nTracerPid:\t21\n");
        put("21/status", "Name:\tx\nTgid:\t20\nTracerPid:\t0\n");
        put("self/task/1/status", "TracerPid:\t21\n");
        assert_eq!(traced(dir.path()), [(7, 20)]);
    }
}
