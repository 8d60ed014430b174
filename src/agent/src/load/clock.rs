//! Where the kernel keeps the wall clock, told to the programs, which have no other way to it.
//!
//! The kernel's symbol `tk_core` says where; how far behind it the timekeeper is differs between kernels. So each place is
//! tried: the programs read the clock by it, and it is the right one if they read what clock_gettime(2) says.

use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::bpf::pins::Pins;
use crate::error::Result;
use crate::load::attach;
use crate::load::maps::Maps;
use crate::machine::clock::wall_ns;

/// `static struct { … } tk_core` of kernel/time/timekeeping.c.
const SYMBOL: &str = "tk_core";
/// Where behind the symbol it may be, the likeliest first: behind a counter, and whatever guards it.
const DISTANCES: [u64; 9] = [8, 0, 16, 24, 32, 40, 48, 56, 64];

/// Tells the programs where the clock is, if they do not know; whether they do. Where the kernel shows no addresses
/// (kernel.kptr_restrict=2) they do not.
///
/// # Errors
/// Of the kernel.
pub fn tell(proc_root: &Path, pins: &Pins, maps: &Maps) -> Result<bool> {
    if maps.clock.is_known() {
        return Ok(true);
    }
    let Ok(file) = std::fs::File::open(proc_root.join("kallsyms")) else { return Ok(false) };
    let Some(symbol) = address(BufReader::new(file)) else { return Ok(false) };
    for distance in DISTANCES {
        let place = symbol + distance;
        maps.clock.try_at(place);
        let before = wall_ns();
        let ran = attach::mark_groups(pins);
        let (seen, after) = (maps.clock.seen(), wall_ns());
        maps.clock.try_at(0);
        ran?;
        // The kernel's cheap clock may be a tick behind.
        const TICK: u64 = 10_000_000;
        if before.saturating_sub(TICK) <= seen && seen <= after + TICK {
            maps.clock.found(place);
            return Ok(true);
        }
    }
    Ok(false)
}

/// The symbol's address; none where the kernel does not show it.
fn address(text: impl BufRead) -> Option<u64> {
    let mut lines = text.split(b'\n').map_while(std::io::Result::ok);
    lines.find_map(|line| {
        let mut fields = std::str::from_utf8(&line).ok()?.split_ascii_whitespace();
        let (address, _, name) = (fields.next()?, fields.next()?, fields.next()?);
        let own = name == SYMBOL && fields.next().is_none();
        u64::from_str_radix(address, 16).ok().filter(|address| own && *address != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_symbol_and_no_modules() {
        let text =
            b"ffffffffc0000000 d tk_core\t[odd]\nffffffff81000000 t tk_core_is_not\nffffffff82000040 d tk_core\n";
        assert_eq!(address(&text[..]), Some(0xffff_ffff_8200_0040));
        assert_eq!(address(&b"0000000000000000 d tk_core\n"[..]), None);
        assert_eq!(address(&b"nonsense\n"[..]), None);
    }
}
