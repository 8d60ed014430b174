//! Recurring local time: what a policy's `window` says, and its text.

use serde::{Deserialize, Serialize};

use super::pattern_in_quotes;

/// Recurring local time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Window {
    /// Spans; any.
    pub spans: Vec<Span>,
}

/// Days and half-open local times in a zone; an end not after its start crosses midnight and belongs to its start day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Span {
    /// Monday first.
    pub days: [bool; 7],
    /// Minutes after midnight.
    pub start: u16,
    /// Minutes after midnight, up to 24:00.
    pub end: u16,
    /// IANA time zone.
    pub zone: String,
}

impl Window {
    /// The definition as a policy's flat text has it.
    pub fn text(&self, name: &str) -> String {
        let spans: String = self.spans.iter().map(|span| format!("  {}\n", span.text())).collect();
        format!("window {name} {{\n{spans}}}\n")
    }
}

impl Span {
    fn text(&self) -> String {
        let days = match self.days {
            [true, true, true, true, true, true, true] => "daily".to_owned(),
            days => day_ranges(&days),
        };
        format!("{days} {}-{} zone {};", clock(self.start), clock(self.end), pattern_in_quotes(&self.zone))
    }

    /// Whether it holds at a minute of a day (0: Monday). Half-open local wall-clock time.
    pub fn covers(&self, day: usize, minute: u16) -> bool {
        let yesterday = (day + 6) % 7;
        if self.start < self.end {
            self.days[day] && self.start <= minute && minute < self.end
        } else {
            (self.days[day] && self.start <= minute) || (self.days[yesterday] && minute < self.end)
        }
    }
}

fn day_ranges(days: &[bool; 7]) -> String {
    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let mut ranges = Vec::new();
    let mut day = 0;
    while day < 7 {
        let length = days[day..].iter().take_while(|d| **d).count();
        match length {
            0 => {}
            1 => ranges.push(NAMES[day].to_owned()),
            _ => ranges.push(format!("{}-{}", NAMES[day], NAMES[day + length - 1])),
        }
        day += length.max(1);
    }
    ranges.join(", ")
}

fn clock(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}
