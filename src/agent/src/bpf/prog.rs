//! Loaded programs.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use crate::bpf::link::Link;
use crate::bpf::{check, obj_get, obj_pin, own, text};

/// A loaded program.
#[derive(Debug)]
pub struct Prog {
    fd: OwnedFd,
    id: u32,
    tag: [u8; 8],
    name: String,
    kind: u32,
}

/// The program for what comes in; the kernel does not say which of the two ways a program was loaded for.
const INGRESS: &str = "ingress";
/// The root of the cgroups, where programs for packets are attached.
const ROOT: &str = "/sys/fs/cgroup";

impl Prog {
    /// From a descriptor of a program.
    ///
    /// # Errors
    /// If it is not one.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Prog> {
        let mut info = libbpf_sys::bpf_prog_info::default();
        let mut len = size_of_val(&info) as u32;
        // SAFETY: `info` is writable for `len` bytes; its pointers are null, so that the kernel writes no arrays.
        check(unsafe { libbpf_sys::bpf_prog_get_info_by_fd(fd.as_raw_fd(), &mut info, &mut len) })?;
        Ok(Prog { fd, id: info.id, tag: info.tag, name: text(&info.name), kind: info.type_ })
    }

    /// Opens a pinned program.
    ///
    /// # Errors
    /// If the pin is absent or is not a program.
    pub fn open(path: &Path) -> io::Result<Prog> {
        Prog::from_fd(obj_get(path)?)
    }

    /// Opens a program by the kernel's id.
    ///
    /// # Errors
    /// If there is none.
    pub fn by_id(id: u32) -> io::Result<Prog> {
        // SAFETY: takes an integer only.
        Prog::from_fd(own(unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) })?)
    }

    /// Pins the program.
    ///
    /// # Errors
    /// Failures of the kernel.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        obj_pin(self.fd.as_raw_fd(), path)
    }

    /// Attaches the program to the hook that it was loaded for (LSM, BTF tracepoint), or, one for packets, to the root of
    /// the cgroups beside those of others. `name`: as in the object.
    ///
    /// # Errors
    /// Failures of the kernel: no LSM `bpf`, too many programs on the hook.
    pub fn attach(&self, name: &str) -> io::Result<Link> {
        if self.kind == libbpf_sys::BPF_PROG_TYPE_CGROUP_SKB {
            let incoming = name.ends_with(INGRESS);
            let way = if incoming { libbpf_sys::BPF_CGROUP_INET_INGRESS } else { libbpf_sys::BPF_CGROUP_INET_EGRESS };
            let root = std::fs::File::open(ROOT)?;
            // SAFETY: both descriptors are open for the call; a null pointer asks for no options.
            let ret =
                unsafe { libbpf_sys::bpf_link_create(self.fd.as_raw_fd(), root.as_raw_fd(), way, std::ptr::null()) };
            return Link::from_fd(own(ret)?);
        }
        // SAFETY: a null name asks for the target that the program was verified against.
        Link::from_fd(own(unsafe { libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), self.fd.as_raw_fd()) })?)
    }

    /// The descriptor.
    pub(super) fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.fd.as_raw_fd()
    }
    /// The kernel's id.
    pub fn id(&self) -> u32 {
        self.id
    }
    /// Hash over its instructions.
    pub fn tag(&self) -> [u8; 8] {
        self.tag
    }
    /// Its name, cut to 15 bytes.
    pub fn name(&self) -> &str {
        &self.name
    }
}
