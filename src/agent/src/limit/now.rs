//! What decides, beside the policy, what units are held to now: the windows that are open, who is throttled, and the disks
//! that are mounted.

use std::collections::BTreeSet;
use std::path::Path;

use kiln_base::abi::metadata::Metadata;
use kiln_base::model::Resource;
use kiln_base::window::{OpenTimes, UnknownZone};

use crate::config::Places;
use crate::error::Result;
use crate::limit::{disks, throttle};
use crate::load::maps::Maps;
use crate::machine::clock::wall_ns;

/// What holds at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Now {
    /// Windows that limits name and that are closed. All others count as open, so that where nobody can tell, the least
    /// holds.
    pub closed: BTreeSet<String>,
    /// Units that are throttled.
    pub throttled: BTreeSet<String>,
    /// The disks that a limit of `io` is of.
    pub disks: BTreeSet<String>,
}

impl Now {
    /// Whether a window's limits hold.
    pub fn is_open(&self, window: &str) -> bool {
        !self.closed.contains(window)
    }
}

/// What is to be known of a policy to say what holds now.
#[derive(Debug)]
pub struct Clockwork {
    /// Of the windows that limits name; none where this build does not know a zone.
    times: Option<OpenTimes>,
    windows: BTreeSet<String>,
    io: bool,
    /// Whether the policy throttles at all.
    pub throttles: bool,
}

impl Clockwork {
    /// Of a policy, whose programs `throttles` says to be there.
    pub fn new(metadata: &Metadata, throttles: bool) -> Clockwork {
        let limits = || metadata.blocks.iter().flat_map(|block| &block.limits);
        let windows: BTreeSet<String> = limits().filter_map(|limit| limit.during.clone()).collect();
        let named = metadata.windows.iter().filter(|info| windows.contains(&info.name));
        let times: std::result::Result<OpenTimes, UnknownZone> =
            OpenTimes::new(named.map(|info| (&info.name, &info.window)));
        let io =
            limits().flat_map(|limit| limit.amounts.keys()).any(|r| matches!(r, Resource::IoRead | Resource::IoWrite));
        Clockwork { times: times.ok(), windows, io, throttles }
    }

    /// What holds now.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn now(&self, places: &Places, maps: &Maps) -> Result<Now> {
        let second = i64::try_from(wall_ns() / 1_000_000_000).unwrap_or(i64::MAX);
        let closed = self.times.as_ref().map(|times| self.closed(times, second)).unwrap_or_default();
        let slowed = if self.throttles { throttle::list(maps, &places.cgroups)? } else { Vec::new() };
        let throttled: BTreeSet<String> =
            slowed.iter().filter(|slowed| !slowed.is_over()).filter_map(throttle::Slowed::unit).collect();
        let disks = if self.io || !throttled.is_empty() {
            disks::mounted(&places.proc, Path::new("/sys"))
        } else {
            BTreeSet::new()
        };
        Ok(Now { closed, throttled, disks })
    }

    fn closed(&self, times: &OpenTimes, second: i64) -> BTreeSet<String> {
        self.windows.iter().filter(|window| times.is_open_at(window, second) == Some(false)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_is_known_and_all_else_counts_as_open() {
        let window = |start, end, zone: &str| kiln_base::model::Window {
            spans: vec![kiln_base::model::Span { days: [true; 7], start, end, zone: zone.to_owned() }],
        };
        let (day, night) =
            (("day".to_owned(), window(480, 1080, "UTC")), ("night".to_owned(), window(1320, 360, "UTC")));
        let times = OpenTimes::new([(&day.0, &day.1), (&night.0, &night.1)]).unwrap();
        let windows = BTreeSet::from(["day".to_owned(), "night".to_owned()]);
        let clockwork = Clockwork { times: None, windows, io: false, throttles: false };
        // 1970-01-01 12:00 and 23:00.
        assert_eq!(clockwork.closed(&times, 12 * 3600), BTreeSet::from(["night".to_owned()]));
        assert_eq!(clockwork.closed(&times, 23 * 3600), BTreeSet::from(["day".to_owned()]));
        let now = Now { closed: clockwork.closed(&times, 23 * 3600), ..Now::default() };
        assert!(!now.is_open("day") && now.is_open("night") && now.is_open("of nobody"));
    }
}
