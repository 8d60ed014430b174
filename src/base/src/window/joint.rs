//! Which windows can be open at the same time, in some week.

use std::collections::BTreeMap;

use crate::model::{Span, Window};

/// Every set of these windows that can be open at some moment, with such a moment in words. Perhaps others, too: zones
/// are taken to keep any distance. Each window comes with its bit. None if there are more than `most`.
pub fn reachable<'a>(
    windows: impl IntoIterator<Item = (u64, &'a Window)>,
    most: usize,
) -> Option<BTreeMap<u64, String>> {
    let mut zones: BTreeMap<&str, Vec<(u64, &Span)>> = BTreeMap::new();
    for (bit, window) in windows {
        for span in &window.spans {
            zones.entry(&span.zone).or_default().push((bit, span));
        }
    }
    let mut sets = BTreeMap::from([(0, String::new())]);
    for (zone, spans) in zones {
        let of_zone = of_week(zone, &spans);
        let mut joined = BTreeMap::new();
        for (set, at) in &sets {
            for (other, also) in &of_zone {
                let both = if at.is_empty() { also.clone() } else { format!("{at}, {also}") };
                joined.entry(set | other).or_insert(both);
                if joined.len() > most {
                    return None;
                }
            }
        }
        sets = joined;
    }
    Some(sets)
}

/// What can be open by spans of one zone: each minute of the week comes in some week, and nothing else does.
fn of_week(zone: &str, spans: &[(u64, &Span)]) -> BTreeMap<u64, String> {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let mut minutes: Vec<u16> = spans.iter().flat_map(|(_, s)| [s.start % 1440, s.end % 1440]).chain([0]).collect();
    minutes.sort_unstable();
    minutes.dedup();
    let mut sets = BTreeMap::new();
    for (day, name) in DAYS.iter().enumerate() {
        for minute in &minutes {
            let open = spans.iter().filter(|(_, s)| s.covers(day, *minute)).fold(0, |all, (bit, _)| all | bit);
            sets.entry(open).or_insert_with(|| format!("{name} {:02}:{:02} {zone}", minute / 60, minute % 60));
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: [bool; 7], start: u16, end: u16, zone: &str) -> Window {
        Window { spans: vec![Span { days, start, end, zone: zone.to_owned() }] }
    }

    #[test]
    fn a_window_within_another_is_never_open_alone() {
        let week = [true, true, true, true, true, false, false];
        let (day, morning) = (window(week, 480, 1080, "UTC"), window(week, 540, 720, "UTC"));
        let sets = reachable([(1, &day), (2, &morning)], 100).unwrap();
        assert_eq!(sets.keys().copied().collect::<Vec<u64>>(), [0, 1, 3]);
        assert_eq!((sets[&1].as_str(), sets[&3].as_str()), ("Monday 08:00 UTC", "Monday 09:00 UTC"));
        // Of another zone nothing is known but that each moment comes.
        let other = window(week, 540, 720, "Asia/Kolkata");
        assert_eq!(reachable([(1, &day), (2, &other)], 100).unwrap().len(), 4);
        assert!(reachable([(1, &day), (2, &other)], 3).is_none());
    }
}
