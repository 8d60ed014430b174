//! How long to wait between two tries to reach the POS.

use std::time::Duration;

/// Full jitter: a random time in 0…min(60 s, 1 s · 2^n).
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let most = 1_000u64.saturating_mul(1 << self.tries.min(6)).min(60_000);
        self.tries = self.tries.saturating_add(1);
        let mut random = [0; 8];
        // Without random bytes the longest time is waited.
        let random = match rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()) {
            Ok(8) => u64::from_ne_bytes(random),
            _ => most,
        };
        Duration::from_millis(random % (most + 1))
    }

    /// Waits, at least `least`.
    pub fn sleep(&mut self, least: Duration) {
        std::thread::sleep(self.next().max(least));
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_bounded_and_grows() {
        let mut backoff = Backoff::default();
        for n in 0..50u32 {
            let most = 1_000 * (1 << n.min(6));
            assert!(backoff.next() <= Duration::from_millis(most.min(60_000)));
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
    }
}
