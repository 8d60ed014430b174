//! The clocks of the machine.

/// Nanoseconds of the wall clock at which the machine booted.
pub fn boot_unix_ns() -> i64 {
    let wall = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let ns = |t: rustix::time::Timespec| t.tv_sec.saturating_mul(1_000_000_000).saturating_add(t.tv_nsec);
    ns(wall) - ns(boot)
}

/// Nanoseconds since boot.
pub fn now_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    (t.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(t.tv_nsec as u64)
}

/// Nanoseconds of the wall clock.
pub fn wall_ns() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    (t.tv_sec.max(0) as u64).saturating_mul(1_000_000_000).saturating_add(t.tv_nsec as u64)
}
