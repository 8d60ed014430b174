//! When windows are open: at an instant, and over a time to come. The evaluator, the compiler and the agent share it.

pub mod joint;
mod schedule;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::model::{Span, Window};

pub use schedule::Schedule;

/// A second of the wall clock as people read it.
pub fn text(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| format!("second {second}"), |at| at.to_string())
}

/// A window of a zone that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("window `{window}`: there is no time zone `{zone}`; write one of the IANA time zone database")]
pub struct UnknownZone {
    /// The window.
    pub window: String,
    /// The zone.
    pub zone: String,
}

/// Windows with the zones that they need.
#[derive(Debug)]
pub struct OpenTimes {
    windows: Vec<(String, Vec<(Span, TimeZone)>)>,
}

impl OpenTimes {
    /// Of windows in their order, which is that of the bits of [`OpenTimes::open`].
    ///
    /// # Errors
    /// If the zone of one is unknown.
    pub fn new<'a>(windows: impl IntoIterator<Item = (&'a String, &'a Window)>) -> Result<OpenTimes, UnknownZone> {
        // The bundled database, so that the answer does not depend on the machine.
        let database = TimeZoneDatabase::bundled();
        let zoned = |name: &String, span: &Span| match database.get(&span.zone) {
            Ok(zone) => Ok((span.clone(), zone)),
            Err(_) => Err(UnknownZone { window: name.clone(), zone: span.zone.clone() }),
        };
        let all = windows.into_iter().map(|(name, window)| {
            Ok((name.clone(), window.spans.iter().map(|span| zoned(name, span)).collect::<Result<_, _>>()?))
        });
        Ok(OpenTimes { windows: all.collect::<Result<_, _>>()? })
    }

    /// Whether the instant lies in the window. A window that is not there is closed.
    pub fn is_open(&self, window: &str, at: Timestamp) -> bool {
        let mut named = self.windows.iter().filter(|(name, _)| name == window);
        named.any(|(_, spans)| spans.iter().any(|(span, zone)| covers(span, zone, at)))
    }

    /// As [`OpenTimes::is_open`], at a second of the wall clock; none where that is no instant.
    pub fn is_open_at(&self, window: &str, second: i64) -> Option<bool> {
        Timestamp::from_second(second).ok().map(|at| self.is_open(window, at))
    }

    /// The windows in which the instant lies: bit n stands for the n-th. Those beyond the 64th have none.
    pub fn open(&self, at: Timestamp) -> u64 {
        let open = |spans: &[(Span, TimeZone)]| spans.iter().any(|(span, zone)| covers(span, zone, at));
        let all = self.windows.iter().take(64).enumerate();
        all.fold(0, |mask, (n, (_, spans))| mask | u64::from(open(spans)) << n)
    }
}

/// Each instant has one local time, so changes of the clock need no special case.
fn covers(span: &Span, zone: &TimeZone, at: Timestamp) -> bool {
    let local = zone.to_datetime(at);
    let minute = local.hour() as u16 * 60 + local.minute() as u16;
    span.covers(local.date().weekday().to_monday_zero_offset() as usize, minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(days: [bool; 7], start: u16, end: u16, zone: &str, at: &str) -> bool {
        let span = Span { days, start, end, zone: zone.to_owned() };
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        covers(&span, &zone, at.parse().unwrap())
    }

    #[test]
    fn nights_belong_to_their_start_day() {
        let weekdays = [true, true, true, true, true, false, false];
        let berlin = |at| open(weekdays, 22 * 60, 4 * 60, "Europe/Berlin", at);
        // 2026-01-09 is a Friday; Berlin is UTC+1 in winter.
        assert!(!berlin("2026-01-09T20:59:59Z"));
        assert!(berlin("2026-01-09T21:00:00Z"));
        assert!(berlin("2026-01-10T02:59:59Z"));
        assert!(!berlin("2026-01-10T03:00:00Z"));
        assert!(!berlin("2026-01-10T21:00:00Z"), "Saturday night");
        assert!(!berlin("2026-01-12T02:00:00Z"), "the night of Sunday");
    }

    #[test]
    fn changes_of_the_clock_need_nothing() {
        let daily = [true; 7];
        // In Berlin 02:00 to 03:00 does not exist on 2026-03-29 and happens twice on 2026-10-25.
        let berlin = |at| open(daily, 120, 180, "Europe/Berlin", at);
        assert!(!berlin("2026-03-29T00:59:59Z") && !berlin("2026-03-29T01:00:00Z"));
        assert!(berlin("2026-10-25T00:30:00Z") && berlin("2026-10-25T01:30:00Z"));
        assert!(!berlin("2026-10-24T23:59:00Z") && !berlin("2026-10-25T02:00:00Z"));
    }

    #[test]
    fn whole_days() {
        let monday = [true, false, false, false, false, false, false];
        for (start, end) in [(0, 1440), (0, 0)] {
            assert!(open(monday, start, end, "UTC", "2026-01-05T00:00:00Z"));
            assert!(open(monday, start, end, "UTC", "2026-01-05T23:59:59Z"));
            assert!(!open(monday, start, end, "UTC", "2026-01-06T00:00:00Z"));
            assert!(!open(monday, start, end, "UTC", "2026-01-04T23:59:59Z"));
        }
    }
}
