//! How many enrolments may fail: a bucket per source address, of bounded number.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Failures at once.
const BURST: f64 = 20.0;
/// Seconds after which one more is free.
const REFILL: f64 = 3.0;
/// Addresses that are remembered.
const ADDRESSES: usize = 8_192;

/// Failed enrolments by address. IPv6 counts by /64, which is what one host commonly has.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<IpAddr, (f64, Instant)>>);

impl Failures {
    /// Seconds to wait, if that address failed too often.
    pub fn wait(&self, from: IpAddr, now: Instant) -> Option<u32> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, at) = map.get(&group(from))?;
        let level = drained(*level, *at, now);
        (level > BURST - 1.0).then(|| ((level - (BURST - 1.0)) * REFILL).ceil().max(1.0) as u32)
    }

    /// Counts a failure.
    pub fn count(&self, from: IpAddr, now: Instant) {
        let from = group(from);
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= ADDRESSES && !map.contains_key(&from) {
            map.retain(|_, (level, at)| drained(*level, *at, now) > 0.0);
            // Still full: an attack from thousands of networks. Forgetting the least is better than growing.
            let least = map.iter().min_by(|a, b| a.1.0.total_cmp(&b.1.0)).map(|(address, _)| *address);
            if let Some(least) = least.filter(|_| map.len() >= ADDRESSES) {
                map.remove(&least);
            }
        }
        let (level, at) = map.entry(from).or_insert((0.0, now));
        *level = (drained(*level, *at, now) + 1.0).min(BURST);
        *at = now;
    }
}

fn drained(level: f64, at: Instant, now: Instant) -> f64 {
    (level - now.saturating_duration_since(at).as_secs_f64() / REFILL).max(0.0)
}

fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn twenty_failures_then_one_in_three_seconds() {
        let failures = Failures::default();
        let (bad, good): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let start = Instant::now();
        for n in 0..20 {
            assert_eq!(failures.wait(bad, start), None, "{n}");
            failures.count(bad, start);
        }
        assert_eq!(failures.wait(bad, start), Some(3));
        assert_eq!(failures.wait(good, start), None);
        let later = start + Duration::from_secs(4);
        assert_eq!(failures.wait(bad, later), None);
        failures.count(bad, later);
        assert!(failures.wait(bad, later).is_some());
    }

    #[test]
    fn memory_is_bounded_and_a_network_is_one() {
        let failures = Failures::default();
        let now = Instant::now();
        for n in 0..10_000_u32 {
            failures.count(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(failures.0.lock().unwrap().len() <= ADDRESSES);
        for n in 0..20_u16 {
            failures.count(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]), now);
        }
        assert!(failures.wait("2001:db8::ffff".parse().unwrap(), now).is_some());
        assert!(failures.wait("2001:db8:0:1::1".parse().unwrap(), now).is_none());
    }
}
