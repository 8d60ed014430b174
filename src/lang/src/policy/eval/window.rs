//! When windows are open.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::super::normal::{Policy, Span, Window};
use super::error::EvalError;

/// The windows of a policy with the zones that they need.
#[derive(Debug)]
pub(super) struct OpenTimes {
    windows: BTreeMap<String, Vec<(Span, TimeZone)>>,
}

impl OpenTimes {
    pub(super) fn new(policy: &Policy) -> Result<OpenTimes, EvalError> {
        // The bundled database, so that the answer does not depend on the machine.
        let database = TimeZoneDatabase::bundled();
        let mut windows = BTreeMap::new();
        for (name, Window { spans }) in &policy.windows {
            let mut zoned = Vec::new();
            for span in spans {
                let zone = database
                    .get(&span.zone)
                    .map_err(|_| EvalError::Zone { window: name.clone(), zone: span.zone.clone() })?;
                zoned.push((span.clone(), zone));
            }
            windows.insert(name.clone(), zoned);
        }
        Ok(OpenTimes { windows })
    }

    /// Whether the instant lies in the window. A window that is not there is closed.
    pub(super) fn is_open(&self, window: &str, at: Timestamp) -> bool {
        self.windows.get(window).is_some_and(|spans| spans.iter().any(|(span, zone)| covers(span, zone, at)))
    }
}

/// Half-open local wall-clock time. Each instant has one local time, so changes of the clock need no special case.
fn covers(span: &Span, zone: &TimeZone, at: Timestamp) -> bool {
    let local = zone.to_datetime(at);
    let minute = local.hour() as u16 * 60 + local.minute() as u16;
    let today = local.date().weekday().to_monday_zero_offset() as usize;
    let yesterday = (today + 6) % 7;
    if span.start < span.end {
        span.days[today] && span.start <= minute && minute < span.end
    } else {
        (span.days[today] && span.start <= minute) || (span.days[yesterday] && minute < span.end)
    }
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
