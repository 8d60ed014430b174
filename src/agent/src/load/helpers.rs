//! Helpers of the kernel that a confined task's own BPF programs may not call: they end or change other processes.
//!
//! A verified program names a helper by its distance from `__bpf_call_base` (include/linux/filter.h). Where the kernel
//! shows no addresses (kernel.kptr_restrict=2) the programs refuse every kind that could call one.

use std::io::{BufRead, BufReader};
use std::path::Path;

use kiln_base::abi::layout::HELPERS;

use crate::error::Result;
use crate::load::maps::Maps;

const BASE: &str = "__bpf_call_base";
const FORBIDDEN: [&str; HELPERS as usize] = [
    "bpf_send_signal",
    "bpf_send_signal_thread",
    "bpf_probe_write_user",
    "bpf_override_return",
    "bpf_send_signal_task",
];

/// Tells the kernel programs where the helpers are.
///
/// # Errors
/// Of the kernel.
pub fn tell(proc_root: &Path, maps: &Maps) -> Result<()> {
    let Ok(file) = std::fs::File::open(proc_root.join("kallsyms")) else { return Ok(()) };
    for (index, distance) in distances(BufReader::new(file)).into_iter().enumerate() {
        // What is not known now may have been before: the agent's unit has fewer rights than the loader's.
        if distance != 0 {
            maps.set_helper(index as u32, distance)?;
        }
    }
    Ok(())
}

fn distances(text: impl BufRead) -> [i32; HELPERS as usize] {
    let mut base = 0u64;
    let mut at = [0u64; HELPERS as usize];
    for line in text.split(b'\n').map_while(std::io::Result::ok) {
        let Ok(line) = std::str::from_utf8(&line) else { continue };
        let mut fields = line.split_ascii_whitespace();
        let (Some(address), _, Some(name), None) = (fields.next(), fields.next(), fields.next(), fields.next()) else {
            continue; // of a module
        };
        if !name.starts_with("bpf_") && name != BASE {
            continue;
        }
        let Ok(address) = u64::from_str_radix(address, 16) else { continue };
        if name == BASE {
            base = address;
        } else if let Some(index) = FORBIDDEN.iter().position(|f| *f == name) {
            at[index] = address;
        }
    }
    at.map(|at| if at == 0 || base == 0 { 0 } else { at.wrapping_sub(base) as u32 as i32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_as_the_kernel_writes_them() {
        let text = b"ffffffff81000010 T __bpf_call_base\nffffffff81000000 t bpf_send_signal\n\
            ffffffff81000110 T bpf_override_return\nffffffffc0000000 t bpf_send_signal_thread\t[odd]\n";
        assert_eq!(distances(&text[..]), [-16, 0, 0, 256, 0]);
        let hidden = b"0000000000000000 T __bpf_call_base\n0000000000000000 t bpf_send_signal\n";
        assert_eq!(distances(&hidden[..]), [0; 5]);
    }
}
