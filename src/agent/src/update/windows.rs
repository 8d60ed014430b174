//! Which windows are open over a time to come: computed from the policy's windows, told to the kernel programs, and
//! prolonged. The programs decide by it whether the agent lives or not; what it does not cover they refuse.

use kiln_base::abi::layout::OPENINGS;
use kiln_base::abi::metadata::Metadata;
use kiln_base::model::Digest;
use kiln_base::window::{OpenTimes, UnknownZone, text};

use crate::error::{AgentError, Result, Step};
use crate::load::clock;
use crate::load::maps::Maps;
use crate::machine::clock::wall_ns;
use crate::machine::lines;
use crate::update::engine::Engine;

const DAY: i64 = 86_400;
/// How far a schedule reaches, if it has room for so many openings.
const AHEAD: i64 = 400 * DAY;
/// How far back: a clock that is set back by less needs no new one.
const BACK: i64 = 2 * DAY;
/// Who looks after the machine hears from here on that the schedule ends.
pub const SOON: i64 = 14 * DAY;

/// Seconds of the wall clock.
pub fn now() -> i64 {
    (wall_ns() / 1_000_000_000) as i64
}

/// The windows of a policy's tables.
///
/// # Errors
/// If this build does not know the zone of one.
pub fn times(metadata: &Metadata) -> std::result::Result<OpenTimes, UnknownZone> {
    OpenTimes::new(metadata.windows.iter().map(|w| (&w.name, &w.window)))
}

/// Tells which windows of a policy are open, for the generation at an index of the outer map, before it decides. What
/// cannot be told is said, and refused by the programs. `keep`: what was told for this generation before may stay.
///
/// # Errors
/// If the kernel has another schedule than it was told.
pub fn tell(engine: &Engine, index: u32, metadata: &Metadata, keep: bool) -> Result<()> {
    if metadata.windows.is_empty() {
        return Ok(());
    }
    let (from, until) = engine.maps.clock.span(index);
    match times(metadata) {
        Ok(_) if keep && !is_due(from, until, now()) => {}
        Ok(times) => write(&engine.maps, index, &times)?,
        Err(e) => {
            lines::error(&format_args!("{e}; until it is mended, the policy's windows are open for no permission"))
        }
    }
    if !clock::tell(&engine.places.proc, &engine.places.pins, &engine.maps)? {
        lines::error(
            &"the kernel does not show where it keeps the wall clock, so that the policy's windows are open for no \
              permission; set kernel.kptr_restrict to 0 or 1 and run `kiln-agent load`",
        );
    }
    Ok(())
}

fn write(maps: &Maps, index: u32, times: &OpenTimes) -> Result<()> {
    let now = now();
    let schedule = times.schedule((now - BACK).max(0), now + AHEAD, OPENINGS);
    maps.clock.write(index, &schedule).map_err(|e| AgentError::kernel(Step::TellWindows, e))
}

/// Whether a schedule is to be written anew: each day, and when the clock was set out of it.
fn is_due(from: i64, until: i64, now: i64) -> bool {
    now < from + BACK / 2 || now >= until || now >= from + BACK + DAY
}

/// What the running agent knows of the windows in force.
#[derive(Debug, Default)]
pub struct Watch {
    /// The tables whose windows these are.
    tables: Option<Digest>,
    times: Option<OpenTimes>,
    /// The day on which it was last said that the schedule ends soon.
    said: i64,
}

impl Watch {
    /// Prolongs the schedule of the active generation where that is due. To be called often.
    pub fn look(&mut self, engine: &Engine) {
        let Ok(records) = engine.records() else { return };
        if self.tables.as_ref() != Some(&records.active.tables) {
            let metadata = engine.keeper.metadata(&records.active).filter(|m| !m.windows.is_empty());
            // An unknown zone was said at the load.
            self.times = metadata.and_then(|m| times(&m).ok());
            self.tables = Some(records.active.tables);
        }
        let Some(times) = &self.times else { return };
        let (index, now) = (records.active.index, now());
        let (from, until) = engine.maps.clock.span(index);
        if !is_due(from, until, now) {
            return;
        }
        if !(from..until).contains(&now) {
            lines::notice(&format_args!(
                "the clock says {}, and which windows are open was known from {} until {} only: what needs an open \
                 window was refused since; it is computed anew",
                text(now),
                text(from),
                text(until)
            ));
        }
        if let Err(e) = write(&engine.maps, index, times) {
            lines::error(&e);
        }
        let (_, until) = engine.maps.clock.span(index);
        if until < now + SOON && self.said != now / DAY {
            self.said = now / DAY;
            lines::notice(&format_args!(
                "which windows are open is known until {} only; from then on what needs an open window is refused",
                text(until)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_prolonged_each_day_and_when_the_clock_was_set() {
        let written = 1000 * DAY;
        let (from, until) = (written - BACK, written + AHEAD);
        assert!(!is_due(from, until, written) && !is_due(from, until, written + DAY - 1));
        assert!(is_due(from, until, written + DAY), "a day later");
        assert!(!is_due(from, until, written - DAY) && is_due(from, until, written - DAY - 1), "set back");
        // One that is full is not written anew for being short.
        assert!(!is_due(from, written + 100, written + 99) && is_due(from, written + 100, written + 100));
        assert!(is_due(0, 0, written), "none");
    }
}
