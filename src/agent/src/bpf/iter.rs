//! Iterators: programs that the agent calls, and that the kernel runs once for each object of a kind.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::bpf::own;
use crate::bpf::prog::Prog;

/// BPF_CGROUP_ITER_DESCENDANTS_PRE of linux/bpf.h.
const DESCENDANTS_PRE: u32 = 2;

/// Runs a program of type `iter/cgroup` with every cgroup of the unified hierarchy, parents first, under the kernel's
/// `cgroup_mutex` (kernel/bpf/cgroup_iter.c).
///
/// # Errors
/// Failures of the kernel.
pub fn every_cgroup(program: &Prog) -> io::Result<()> {
    // SAFETY: all fields are integers, and zero is a value of each.
    let mut walk: libbpf_sys::bpf_iter_link_info = unsafe { std::mem::zeroed() };
    walk.cgroup.order = DESCENDANTS_PRE;
    let opts = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as _,
        iter_info: &mut walk,
        iter_info_len: size_of_val(&walk) as u32,
        ..Default::default()
    };
    // SAFETY: the options and what they point to outlive the call.
    let link = own(unsafe { libbpf_sys::bpf_link_create(program.as_raw_fd(), 0, libbpf_sys::BPF_TRACE_ITER, &opts) })?;
    // SAFETY: takes an integer only.
    let mut walk = File::from(own(unsafe { libbpf_sys::bpf_iter_create(link.as_raw_fd()) })?);
    // The program writes nothing, so that one read is the whole walk.
    io::copy(&mut walk, &mut io::sink()).map(drop)
}
