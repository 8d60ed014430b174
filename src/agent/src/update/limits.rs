//! Keeping limits as they are to be while the agent runs: as windows open and close, units are throttled, disks are mounted
//! and instances come.

use std::time::{Duration, Instant};

use kiln_base::abi::Tables;
use kiln_base::abi::layout::H_THROTTLE;
use kiln_base::model::Digest;

use crate::error::Result;
use crate::limit::apply;
use crate::limit::now::{Clockwork, Now};
use crate::limit::watch::Watch;
use crate::machine::lines;
use crate::update::engine::Engine;
use crate::update::records::Record;

/// Between two changes: who is refused, and who connects to a service that is started for each connection, would otherwise
/// have systemd read its files as often as they like.
const PAUSE: Duration = Duration::from_secs(5);
/// Between two tries where systemd did not do it.
const LONG_PAUSE: Duration = Duration::from_secs(30);

/// The limits of the policy in force.
#[derive(Debug, Default)]
pub struct Keep {
    /// The tables that these are of.
    of: Option<(Digest, Clockwork)>,
    /// What holds, as far as it is known to.
    held: Option<Now>,
    /// Not to be tried before.
    again: Option<Instant>,
    /// What follows where one is met.
    pub watch: Watch,
}

impl Keep {
    /// Has the limits of the active generation be those of now, and looks whether one was met. To be called often.
    pub fn look(&mut self, engine: &mut Engine) {
        let Ok(records) = engine.records() else { return };
        if let Err(e) = self.hold(engine, &records.active) {
            self.again = Some(Instant::now() + LONG_PAUSE);
            lines::error(&e);
        }
        self.watch.look(&engine.places, &engine.maps);
    }

    fn hold(&mut self, engine: &mut Engine, active: &Record) -> Result<()> {
        let mut read = None;
        let known = self.of.as_ref().is_some_and(|(digest, _)| *digest == active.tables);
        if !known {
            let tables = engine.keeper.tables(active)?;
            let throttles = tables.kernel.header.required_hooks_lo & H_THROTTLE != 0;
            self.of = Some((active.tables, Clockwork::new(&tables.metadata, throttles)));
            (self.held, self.again) = (None, None);
            read = Some(tables);
        }
        let Some((_, clockwork)) = &self.of else { return Ok(()) };
        engine.watch_throttles(clockwork.throttles)?;
        let now = clockwork.now(&engine.places, &engine.maps)?;
        if self.held.as_ref() == Some(&now) || self.again.is_some_and(|again| Instant::now() < again) {
            return Ok(());
        }
        let tables: Tables = match read {
            Some(tables) => tables,
            None => engine.keeper.tables(active)?,
        };
        self.watch.begin(active.tables, active.serial, &tables, &now);
        let slots = engine.labels.slots(&tables.metadata.subjects);
        apply::apply_at(&engine.places, &engine.maps, &tables, &slots, &now)?;
        (self.held, self.again) = (Some(now), Some(Instant::now() + PAUSE));
        Ok(())
    }
}
