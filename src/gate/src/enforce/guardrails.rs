//! What the gate must not do, whatever an event says.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::process::{Process, cgroup_of, system_program};

/// What limits the gate.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Names of processes, units or control groups that are never acted on; `*` at the end stands for anything.
    pub protect: Vec<String>,
    /// How many actions a minute, on all processes together.
    pub actions_per_minute: usize,
    /// A file that an operator or a watchdog keeps touching. Older than `dead_man_seconds`, or gone, it stops the gate.
    pub dead_man: Option<PathBuf>,
    /// See `dead_man`.
    pub dead_man_seconds: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { protect: Vec::new(), actions_per_minute: 10, dead_man: None, dead_man_seconds: 300 }
    }
}

/// Units that a machine cannot lose and still be mended: its first process, its bus, its journal, its devices, its
/// logins, its container runtime and the gate's own kind.
const UNITS: [&str; 28] = [
    "init.scope",
    "systemd-journald*",
    "systemd-udevd*",
    "systemd-logind*",
    "dbus*",
    "systemd-networkd*",
    "systemd-resolved*",
    "NetworkManager.service",
    "sshd.service",
    "ssh.service",
    "containerd.service",
    "docker.service",
    "docker.socket",
    "crio.service",
    "cri-docker.service",
    "kubelet.service",
    "k3s.service",
    "k3s-agent.service",
    "rke2-server.service",
    "rke2-agent.service",
    "k0scontroller.service",
    "k0sworker.service",
    "snap.microk8s.*",
    "auditd.service",
    "falco*",
    "kiln-agent*",
    "kiln-gate*",
    "kiln-load*",
];

/// The same as programs, wherever they run: by the executable and never by the process's own name, which anybody may take.
const PROGRAMS: [&str; 25] = [
    "systemd",
    "systemd-executor",
    "systemd-journald",
    "systemd-udevd",
    "systemd-logind",
    "systemd-networkd",
    "systemd-resolved",
    "dbus-daemon",
    "dbus-broker*",
    "containerd",
    "containerd-shim*",
    "dockerd",
    "docker-proxy",
    "crio",
    "conmon",
    "conmonrs",
    "runc",
    "crun",
    "kubelet",
    "k3s*",
    "rke2",
    "k0s",
    "falco",
    "tetragon",
    "kiln-agent",
];

/// Where such programs are. A file elsewhere that has one's name is not it.
const DIRECTORIES: [&str; 12] = [
    "/usr/",
    "/bin/",
    "/sbin/",
    "/lib/",
    "/opt/",
    "/snap/",
    "/nix/store/",
    "/gnu/store/",
    "/var/lib/rancher/",
    "/var/lib/k0s/",
    "/home/kubernetes/bin/",
    "/k3s",
];

/// Whether a name fits a pattern; `*` at its end stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// The unit that a control group belongs to as the system's manager sees it: the first below the slices. What users and
/// pods make below their own slices may have any name.
fn system_unit(cgroup: &str) -> Option<&str> {
    let mut parts = cgroup.split('/').filter(|part| !part.is_empty());
    loop {
        let part = parts.next()?;
        let foreign = ["user.slice", "machine.slice"].contains(&part) || part.starts_with("kubepods");
        match (foreign, part.ends_with(".slice")) {
            (true, _) => return None,
            (false, true) => {}
            (false, false) => return Some(part),
        }
    }
}

/// Which of the programs that are always protected this executable is.
fn protected_program(exe: &Path) -> Option<&'static str> {
    let placed = DIRECTORIES.iter().any(|directory| exe.to_str().is_some_and(|exe| exe.starts_with(directory)));
    let name = exe.file_name()?.to_str()?;
    PROGRAMS.into_iter().find(|pattern| placed && fits(pattern, name))
}

/// How often the limit may be hit before the gate stops for good.
const RUNAWAY: usize = 3;

/// The state of the limits.
#[derive(Debug)]
pub struct Guardrails {
    limits: Limits,
    own_pid: u32,
    own_line: Vec<u32>,
    own_cgroups: Vec<String>,
    recent: VecDeque<Instant>,
    refused_minutes: VecDeque<Instant>,
    stopped: bool,
}

impl Guardrails {
    /// Guardrails around this very process: itself, its ancestors and their session.
    pub fn new(limits: Limits) -> Guardrails {
        let own_pid = std::process::id();
        let own_line = Process::ancestors(own_pid);
        let line = std::iter::once(own_pid).chain(own_line.iter().copied());
        let mut own_cgroups: Vec<String> = line.filter_map(cgroup_of).filter(|group| group.len() > 1).collect();
        own_cgroups.dedup();
        Guardrails {
            limits,
            own_pid,
            own_line,
            own_cgroups,
            recent: VecDeque::new(),
            refused_minutes: VecDeque::new(),
            stopped: false,
        }
    }

    /// Whether the gate may act on the process now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_act(&mut self, process: &Process) -> Result<(), String> {
        self.is_protected(process)?;
        self.is_alive()?;
        self.is_within_rate(Instant::now())
    }

    fn is_protected(&self, process: &Process) -> Result<(), String> {
        let no = |reason: &str| Err(format!("process {} is protected: {reason}", process.pid));
        if process.pid == 1 {
            return no("it is the first one");
        }
        if process.is_kernel || process.pid == 2 || process.parent == 2 {
            return no("it is a thread of the kernel");
        }
        if process.pid == self.own_pid || process.parent == self.own_pid {
            return no("it is the gate");
        }
        if self.own_line.contains(&process.pid) {
            return no("the gate descends from it");
        }
        if self.own_cgroups.iter().any(|group| within(&process.cgroup, group)) {
            return no("it shares the gate's or its operator's control group");
        }
        if process.cgroup == "/" {
            return no("it is in no control group of its own");
        }
        if let Some(pattern) =
            system_unit(&process.cgroup).and_then(|unit| UNITS.into_iter().find(|pattern| fits(pattern, unit)))
        {
            return no(&format!("{pattern} is on the protect list"));
        }
        if let Some(name) = process.program.as_deref().and_then(protected_program) {
            return no(&format!("{name} is on the protect list"));
        }
        // A container that is being made is its runtime's still: its executable is already the container's.
        let parent = || system_program(process.parent);
        if process.comm.starts_with("runc:[") && parent().as_deref().and_then(protected_program).is_some() {
            return no("a container is being made");
        }
        // What the operator names is taken at the operator's word.
        let parts: Vec<&str> = process.cgroup.split('/').filter(|part| !part.is_empty()).collect();
        let named = |pattern: &str| {
            fits(pattern, &process.comm)
                || fits(pattern, &process.cgroup)
                || parts.iter().any(|part| fits(pattern, part))
        };
        match self.limits.protect.iter().find(|pattern| named(pattern)) {
            Some(pattern) => no(&format!("{pattern} is on the protect list")),
            None => Ok(()),
        }
    }

    fn is_alive(&self) -> Result<(), String> {
        if self.stopped {
            return Err(
                "the gate has stopped itself: too many actions for too long; look why, then restart it".to_owned()
            );
        }
        let Some(path) = &self.limits.dead_man else { return Ok(()) };
        let age =
            std::fs::metadata(path).and_then(|meta| meta.modified()).map(|time| time.elapsed().unwrap_or_default());
        match age {
            Ok(age) if age <= Duration::from_secs(self.limits.dead_man_seconds) => Ok(()),
            Ok(age) => Err(format!("nobody has touched {} for {} s", path.display(), age.as_secs())),
            Err(error) => Err(format!("{} is not there: {error}", path.display())),
        }
    }

    fn is_within_rate(&mut self, now: Instant) -> Result<(), String> {
        let minute = Duration::from_secs(60);
        while self.recent.front().is_some_and(|then| now.duration_since(*then) >= minute) {
            self.recent.pop_front();
        }
        if self.recent.len() < self.limits.actions_per_minute {
            self.recent.push_back(now);
            return Ok(());
        }
        // One refusal a minute counts; after so many minutes at the limit the gate itself is the incident.
        if self.refused_minutes.back().is_none_or(|then| now.duration_since(*then) >= minute) {
            self.refused_minutes.push_back(now);
        }
        while self.refused_minutes.front().is_some_and(|then| now.duration_since(*then) >= minute * 10) {
            self.refused_minutes.pop_front();
        }
        self.stopped |= self.refused_minutes.len() >= RUNAWAY;
        Err(format!("more than {} actions a minute", self.limits.actions_per_minute))
    }
}

/// Whether a control group is another or lies in it.
fn within(group: &str, of: &str) -> bool {
    group.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_limited_and_a_runaway_stops_for_good() {
        let mut rails = Guardrails::new(Limits { actions_per_minute: 2, ..Limits::default() });
        let start = Instant::now();
        assert!(rails.is_within_rate(start).is_ok());
        assert!(rails.is_within_rate(start).is_ok());
        assert!(rails.is_within_rate(start).is_err());
        for minute in 1..=2 {
            let now = start + Duration::from_secs(60 * minute);
            while rails.is_within_rate(now).is_ok() {}
        }
        assert!(rails.is_alive().is_err(), "three minutes at the limit");
    }

    #[test]
    fn a_cgroup_lies_within_itself_and_its_parents_only() {
        assert!(within("/a/b", "/a"));
        assert!(within("/a", "/a"));
        assert!(!within("/ab", "/a"));
    }

    /// A process of this test's that is said to be another.
    fn posing(comm: &str, cgroup: &str, program: Option<&str>) -> (std::process::Child, Process) {
        let child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep runs");
        let mut process = Process::open(child.id()).expect("it lives");
        // Neither a child of the gate nor in its control group, as far as it says.
        process.parent = 4_000_000;
        process.comm = comm.to_owned();
        process.cgroup = cgroup.to_owned();
        process.program = program.map(PathBuf::from);
        (child, process)
    }

    #[test]
    fn the_runtime_is_protected_and_a_name_protects_nobody() {
        let rails = Guardrails::new(Limits { protect: vec!["ledger*".to_owned()], ..Limits::default() });
        let pod = "/kubepods.slice/kubepods-pod1.slice/cri-containerd-abc.scope";
        for (comm, cgroup, program, wanted) in [
            ("containerd", "/system.slice/containerd.service", Some("/usr/bin/containerd"), true),
            ("kubelet", "/podruntime.slice/runtime.slice/kubelet.service", None, true),
            ("containerd-shim", "/system.slice/x.service", Some("/usr/bin/containerd-shim-runc-v2"), true),
            ("containerd", "/k3s", Some("/var/lib/rancher/k3s/data/a/bin/containerd"), true),
            ("9", "/system.slice/x.service", Some("/usr/lib/systemd/systemd-executor"), true),
            ("crio", "/system.slice/crio.service", None, true),
            ("exe", "/system.slice/docker.service", Some("/usr/bin/dockerd"), true),
            ("ledger-1", pod, None, true),
            // A container's processes, whatever they call themselves.
            ("containerd", pod, None, false),
            ("dbus-daemon", pod, None, false),
            ("runc:[2:INIT]", pod, None, false),
            ("systemd", "/system.slice/docker-abc.scope", None, false),
            ("kubelet", "/system.slice/evil.service", Some("/tmp/kubelet"), false),
            ("sshd", "/system.slice/evil.service", Some("/usr/bin/python3.11"), false),
            // A user may make a control group of any name below the own slice.
            ("x", "/user.slice/user-1000.slice/user@1000.service/dbus.service", None, false),
            ("x", "/user.slice/user-1000.slice/containerd.service", None, false),
        ] {
            let (mut child, process) = posing(comm, cgroup, program);
            assert_eq!(rails.is_protected(&process).is_err(), wanted, "{comm} {cgroup} {program:?}");
            child.kill().expect("it lives");
            child.wait().expect("it ends");
        }
    }

    #[test]
    fn a_dead_man_stops_the_gate() {
        let limits = Limits { dead_man: Some("/nonexistent/heartbeat".into()), ..Limits::default() };
        assert!(Guardrails::new(limits).is_alive().is_err());
    }

    #[test]
    fn the_gate_and_what_it_descends_from_are_protected() {
        let rails = Guardrails::new(Limits::default());
        let own = Process::open(std::process::id()).expect("this process lives");
        assert!(rails.is_protected(&own).is_err());
        let first = Process::open(1).expect("there is a first process");
        assert!(rails.is_protected(&first).is_err());
    }
}
