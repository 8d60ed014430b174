//! Which windows are open over a time to come: the form in which the kernel programs look it up.

use std::collections::BTreeSet;

use jiff::{Span as Duration, Timestamp};

use super::OpenTimes;

/// Which windows are open from an instant until another, both in seconds of the wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// From here on it is known.
    pub from: i64,
    /// From here on it is not known any more.
    pub until: i64,
    /// What is open from an instant on, as in [`OpenTimes::open`]. Sorted; the first instant is `from`.
    pub openings: Vec<(i64, u64)>,
}

impl Schedule {
    /// What is open at a second; none if that is not known.
    pub fn open(&self, second: i64) -> Option<u64> {
        if second < self.from || second >= self.until {
            return None;
        }
        let after = self.openings.partition_point(|(at, _)| *at <= second);
        Some(self.openings.get(after.checked_sub(1)?)?.1)
    }
}

impl OpenTimes {
    /// Which windows are open from `from` on, until `until` or as far as `most` openings reach.
    pub fn schedule(&self, from: i64, until: i64, most: usize) -> Schedule {
        let second = |s: i64| Timestamp::from_second(s).ok();
        let mut schedule = Schedule { from, until: from, openings: Vec::new() };
        // Day by day, so that a schedule that is cut costs no more than it holds.
        const DAY: i64 = 86_400;
        while schedule.until < until {
            let end = (schedule.until + DAY).min(until);
            let mut instants = self.instants(schedule.until, end);
            instants.insert(schedule.until);
            for at in instants {
                let Some(open) = second(at).map(|at| self.open(at)) else { return schedule };
                if schedule.openings.last().is_some_and(|(_, last)| *last == open) {
                    continue;
                }
                if schedule.openings.len() == most {
                    schedule.until = at;
                    return schedule;
                }
                schedule.openings.push((at, open));
            }
            schedule.until = end;
        }
        schedule
    }

    /// The instants from `from` on and before `end` at which a window may open or close.
    fn instants(&self, from: i64, end: i64) -> BTreeSet<i64> {
        let mut found = BTreeSet::new();
        let (Ok(first), Ok(last)) = (Timestamp::from_second(from), Timestamp::from_second(end)) else { return found };
        for (span, zone) in self.windows.iter().flat_map(|(_, spans)| spans) {
            // Where the clock is changed a window can open or close at any minute.
            let changes = zone.following(first).map(|t| t.timestamp().as_second());
            found.extend(changes.take_while(|at| *at < end));
            let (mut date, last) = (zone.to_datetime(first).date(), zone.to_datetime(last).date());
            loop {
                for minute in [span.start % 1440, span.end % 1440] {
                    let local = date.at((minute / 60) as i8, (minute % 60) as i8, 0, 0);
                    // A local time that comes twice is a boundary twice; one that is skipped is one of the changes.
                    let ambiguous = zone.to_ambiguous_timestamp(local);
                    let both = [ambiguous.earlier(), ambiguous.later()];
                    found.extend(both.into_iter().flatten().map(Timestamp::as_second));
                }
                if date >= last {
                    break;
                }
                match date.checked_add(Duration::new().days(1)) {
                    Ok(next) => date = next,
                    Err(_) => break,
                }
            }
        }
        found.retain(|at| (from..end).contains(at));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Span, Window};

    fn times(spans: &[([bool; 7], u16, u16, &str)]) -> OpenTimes {
        let windows: Vec<(String, Window)> = spans
            .iter()
            .enumerate()
            .map(|(n, (days, start, end, zone))| {
                let span = Span { days: *days, start: *start, end: *end, zone: (*zone).to_owned() };
                (format!("w{n}"), Window { spans: vec![span] })
            })
            .collect();
        OpenTimes::new(windows.iter().map(|(n, w)| (n, w))).unwrap()
    }

    #[test]
    fn a_schedule_says_what_each_instant_says() {
        let week = [true, true, true, true, true, false, false];
        // Half hours, a change of the clock at midnight (Beirut), and one of half an hour (Lord Howe).
        let times = times(&[
            ([true; 7], 120, 180, "Europe/Berlin"),
            (week, 22 * 60, 4 * 60, "America/New_York"),
            ([true; 7], 0, 1440, "Asia/Kolkata"),
            ([true; 7], 23 * 60 + 30, 30, "Asia/Beirut"),
            (week, 90, 150, "Australia/Lord_Howe"),
        ]);
        // 2026-01-01 to 2027-02-05.
        let (from, until) = (1_767_225_600, 1_767_225_600 + 400 * 86_400);
        let schedule = times.schedule(from, until, 100_000);
        assert_eq!((schedule.from, schedule.until), (from, until));
        let mut asked = 0;
        let near = schedule.openings.iter().flat_map(|(at, _)| [at - 1, *at, at + 1]).collect::<Vec<i64>>();
        for at in near.into_iter().chain((from..until).step_by(4999)) {
            let open = Timestamp::from_second(at).map(|at| times.open(at)).unwrap();
            let expect = (from..until).contains(&at).then_some(open);
            assert_eq!(schedule.open(at), expect, "{at}");
            asked += 1;
        }
        assert!(asked > 10_000, "{asked}");
        assert!(schedule.openings.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_schedule_ends_where_it_is_full() {
        let times = times(&[([true; 7], 60, 120, "UTC")]);
        let schedule = times.schedule(0, 1_000_000_000, 5);
        // Closed, and open from one to two on each of two days; on the third it is not known any more.
        assert_eq!(schedule.openings.len(), 5);
        assert_eq!(schedule.until, 2 * 86_400 + 3600);
        assert_eq!(schedule.open(schedule.until), None);
        assert_eq!(schedule.open(-1), None);
        assert_eq!(schedule.open(86_400 + 3600), Some(1));
        assert_eq!(Schedule::default().open(0), None);
    }
}
