//! What is remembered: the load of each process and of each tissue, and habits.

use std::collections::HashMap;

use super::item::{FRICTION, INFLAMED, Item, NECROTIC, Outcome, PRIMED};
use super::kinds::Kinds;
use super::options::Graded;
use super::terms::{Field, Terms};
use super::weight::{Classes, GATHERED, SECRETS, SENT};
use crate::engine::{Action, Arena, Decision, State};

/// How many processes and tissues are remembered.
pub const ENTRIES: usize = 1_000_000;

/// From so many on room is made for all of them.
const GROWN: usize = 1 << 16;

/// Below this load an entry's evidence is forgotten.
const FADED: f32 = 0.05;

/// From this suspicion on, what is gathered is remembered, though it meets no friction yet.
const NOTED: f32 = 0.07;

/// From this suspicion on, what is sent is looked at in the light of what was gathered.
const SENDS: f32 = 0.25;

/// The same where it was secrets.
const SENDS_SECRETS: f32 = 0.15;

/// What an event adds to the memory.
struct Evidence {
    share: f32,
    novelty: f32,
    kinds: Kinds,
    classes: Classes,
}

/// How many of them are remembered by name, so that people can look at them.
pub const NAMED: usize = 4_096;

/// One process or tissue: 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    /// What kinds of evidence its load is made of.
    pub kinds: Kinds,
    /// What classes of evidence it has given that were not excused.
    pub classes: Classes,
    pub load: f32,
    /// When it was last added to, whole seconds since 1970.
    pub last: u32,
    /// When a plan was last made, and how harsh it was.
    pub acted: u32,
    pub action: Action,
}

/// A dangerous process, for people.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Dangerous {
    /// The process's key.
    pub key: String,
    /// Its load now.
    pub load: f32,
    /// Its state by that load.
    pub state: State,
    /// When it was last suspected, seconds since 1970.
    pub last: u32,
    /// The harshest recent action.
    pub action: Action,
}

/// The memory.
#[derive(Debug)]
pub struct Memory {
    pub(super) entries: HashMap<u128, Entry, foldhash::fast::FixedState>,
    pub(super) names: HashMap<u128, Box<str>, foldhash::fast::FixedState>,
    pub(super) habits: Box<[u8]>,
    pub(super) capacity: usize,
    pub(super) half_life: f64,
    /// Events whose time lay before an earlier event's of the same process.
    pub backwards: u64,
    /// Entries dropped for want of room.
    pub evicted: u64,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::with_capacity(ENTRIES)
    }
}

impl Memory {
    /// A memory of so many entries, at least 1,000.
    pub fn with_capacity(capacity: usize) -> Memory {
        Memory {
            entries: HashMap::default(),
            names: HashMap::default(),
            habits: vec![0; 1 << 16].into_boxed_slice(),
            capacity: capacity.max(1000),
            half_life: 600.0,
            backwards: 0,
            evicted: 0,
        }
    }

    /// How many processes and tissues are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The most dangerous named processes at a time (seconds since 1970), most dangerous first.
    pub fn dangerous(&self, now: u32) -> Vec<Dangerous> {
        let mut list: Vec<Dangerous> = self
            .names
            .iter()
            .filter_map(|(key, name)| {
                let entry = self.entries.get(key)?;
                let load = self.decayed(entry, now);
                Some(Dangerous {
                    key: name.to_string(),
                    load,
                    state: state(load),
                    last: entry.last,
                    action: entry.action,
                })
            })
            .collect();
        list.sort_by(|a, b| b.load.total_cmp(&a.load).then_with(|| a.key.cmp(&b.key)));
        list
    }

    /// Forgets a process by its key; whether it was known.
    pub fn forget(&mut self, key: &str) -> bool {
        let hashes: Vec<u128> = self.names.iter().filter(|(_, name)| &***name == key).map(|(hash, _)| *hash).collect();
        for hash in &hashes {
            self.names.remove(hash);
            self.entries.remove(hash);
        }
        !hashes.is_empty()
    }

    fn decayed(&self, entry: &Entry, now: u32) -> f32 {
        // Time that runs backwards decays nothing.
        let seconds = f64::from(now.saturating_sub(entry.last));
        if seconds == 0.0 {
            return entry.load;
        }
        (f64::from(entry.load) * (-std::f64::consts::LN_2 * seconds / self.half_life).exp()) as f32
    }

    fn load(&self, key: u128, now: u32) -> f32 {
        self.entries.get(&key).map_or(0.0, |entry| self.decayed(entry, now))
    }

    /// The kinds that an entry's load still holds: what has faded may be new again.
    fn seen(&self, key: u128, now: u32) -> Kinds {
        let entry = self.entries.get(&key).filter(|entry| self.decayed(entry, now) >= FADED);
        entry.map_or_else(Kinds::default, |entry| entry.kinds)
    }

    /// Adds evidence to an entry, which is made if it is not there, and returns its load. What is new of the evidence
    /// adds to the load; the rest only keeps it from falling below what the evidence is worth alone.
    fn add(&mut self, key: u128, now: u32, evidence: &Evidence) -> f32 {
        let before = self.load(key, now);
        let seen = self.seen(key, now);
        let load = (1.0 - (1.0 - before) * (1.0 - evidence.share * evidence.novelty)).max(evidence.share);
        let kinds = Kinds(seen.0 | evidence.kinds.0);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.load = load;
            entry.last = entry.last.max(now);
            entry.kinds = kinds;
            entry.classes |= evidence.classes;
            return load;
        }
        self.make_room(now);
        let entry = Entry { kinds, classes: evidence.classes, load, last: now, acted: 0, action: Action::Allow };
        self.entries.insert(key, entry);
        load
    }

    /// How much of a chain's first half is still in an entry: 1 at once, half after a half-life.
    fn gathered(&self, key: u128, now: u32, classes: Classes) -> f32 {
        let entry = self.entries.get(&key).filter(|entry| entry.classes & classes != 0);
        entry.map_or(0.0, |entry| {
            let seconds = f64::from(now.saturating_sub(entry.last));
            (-std::f64::consts::LN_2 * seconds / self.half_life).exp() as f32
        })
    }

    /// When full, forgets the least dangerous sixteenth.
    fn make_room(&mut self, now: u32) {
        if self.entries.len() < self.capacity {
            // Beyond that, grown at once: while a table is copied into a larger one, both take memory.
            if self.entries.len() == GROWN && self.capacity <= ENTRIES * 4 {
                self.entries.reserve(self.capacity - GROWN);
            }
            return;
        }
        let mut loads: Vec<f32> = self.entries.values().map(|entry| self.decayed(entry, now)).collect();
        let drop = (loads.len() / 16).max(1);
        let (_, limit, _) = loads.select_nth_unstable_by(drop - 1, f32::total_cmp);
        let limit = *limit;
        let half_life = self.half_life;
        let mut left = drop;
        let before = self.entries.len();
        self.entries.retain(|_, entry| {
            let seconds = f64::from(now.saturating_sub(entry.last));
            let load = (f64::from(entry.load) * (-std::f64::consts::LN_2 * seconds / half_life).exp()) as f32;
            // Of equals, only as many as are needed.
            let gone = load <= limit && left > 0;
            left -= usize::from(gone);
            !gone
        });
        self.evicted += (before - self.entries.len()) as u64;
        let entries = &self.entries;
        self.names.retain(|key, _| entries.contains_key(key));
    }

    fn remember_name(&mut self, key: u128, name: &[u8], now: u32) {
        if self.names.contains_key(&key) {
            return;
        }
        if self.names.len() >= NAMED {
            let mut loads: Vec<(f32, u128)> = self.names.keys().map(|key| (self.load(*key, now), *key)).collect();
            loads.select_nth_unstable_by(NAMED / 4, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (_, key) in loads.iter().take(NAMED / 4) {
                self.names.remove(key);
            }
        }
        self.names.insert(key, String::from_utf8_lossy(name).into());
    }

    pub(super) fn settle(&mut self, item: &mut Item, arena: &Arena, profile: &Graded, now: i64) {
        let weights = &profile.weights;
        self.half_life = weights.memory.half_life_seconds;
        // An event cannot be newer than the present: a producer's clock must not make the memory fade.
        let time = item.time.map_or(now, |time| time.min(now)).max(0);
        let seconds = u32::try_from(time / 1_000_000_000).unwrap_or(u32::MAX);
        if self.entries.get(&item.key_hash).is_some_and(|entry| seconds < entry.last) {
            self.backwards += 1;
        }
        let before = self.load(item.key_hash, seconds);
        let tissue = self.load(item.tissue_hash, seconds);
        if item.terms.mark.is_some() {
            // An operator has looked at it: whatever else is known of the process, this is not evidence.
            item.outcome = Outcome { before, now: before, tissue, time, ..Outcome::UNSETTLED };
            self.let_go(item);
            return;
        }
        let alone = item.terms.suspicion();
        // What is new is asked only of what matters.
        let new = |terms: &Terms, seen| match alone >= SENDS_SECRETS {
            true => (terms.novelty(seen) * weights.memory.novelty).min(1.0),
            false => 0.0,
        };
        let novelty = new(&item.terms, self.seen(item.key_hash, seconds));
        let tissue_novelty = new(&item.terms, self.seen(item.tissue_hash, seconds));
        // What surrounds an event can make a bad one worse, but not an innocent one bad.
        if alone >= FRICTION {
            let habit = self.habits.get(item.habit as usize).copied().unwrap_or(0);
            let rarity = weights.memory.rarity_weight / (1.0 + f32::from(habit));
            if rarity > 0.005 {
                item.terms.push_company(Field::Rarity, rarity);
            }
        }
        if alone >= PRIMED {
            // The same evidence around it, or from its parent, is what this very event may be a part of.
            let parent = item
                .parent_hash
                .map_or(0.0, |parent| self.load(parent, seconds) * new(&item.terms, self.seen(parent, seconds)));
            for (field, load, weight) in [
                (Field::Parent, parent, weights.memory.parent_weight),
                (Field::Tissue, tissue * tissue_novelty, weights.memory.tissue_weight),
            ] {
                if load > 0.05 {
                    item.terms.push_company(field, (load * weight).min(weights.cap));
                }
            }
        }
        // A host is not a place to look for a chain in: everybody is there. A container is, and what one parent starts.
        let places = [item.contained.then_some(item.tissue_hash), item.parent_hash];
        let classes = item.terms.classes;
        if alone >= SENDS_SECRETS && classes & SENT != 0 && classes & GATHERED == 0 {
            let wanted = if alone >= SENDS { GATHERED } else { SECRETS };
            let gathered =
                places.iter().flatten().map(|place| self.gathered(*place, seconds, wanted)).fold(0.0, f32::max);
            if gathered > 0.1 {
                item.terms.push_company(Field::Chain, (weights.memory.chain_weight * gathered).min(weights.cap));
            }
        }
        if alone >= NOTED && classes & GATHERED != 0 {
            let noted = Evidence { share: 0.0, novelty: 0.0, kinds: Kinds::default(), classes: classes & GATHERED };
            for place in places.into_iter().flatten() {
                self.add(place, seconds, &noted);
            }
        }
        if let Some(habit) = self.habits.get_mut(item.habit as usize) {
            *habit = habit.saturating_add(1);
        }
        let suspicion = item.terms.suspicion();
        let excess = ((suspicion - FRICTION) / (1.0 - FRICTION)).max(0.0);
        // Nothing is stored for what meets no friction: most processes cost no memory at all.
        let (after, tissue) = match suspicion >= FRICTION {
            true => {
                let kinds = item.terms.kinds();
                let own = Evidence { share: weights.memory.gain * excess, novelty, kinds, classes };
                let shared =
                    Evidence { share: weights.memory.tissue_gain * excess, novelty: tissue_novelty, kinds, classes };
                (self.add(item.key_hash, seconds, &own), self.add(item.tissue_hash, seconds, &shared))
            }
            false => (before, tissue),
        };
        let signal = if suspicion >= FRICTION {
            1.0 - (1.0 - suspicion) * (1.0 - weights.memory.recall * before * novelty)
        } else {
            suspicion.max(after)
        };
        if after >= PRIMED || suspicion >= FRICTION {
            self.remember_name(item.key_hash, arena.get(item.key), seconds);
        }

        let action = match signal {
            s if s < FRICTION => Action::Allow,
            s if s < INFLAMED => Action::Throttle,
            // Memory alone contains, it does not end: for that this event itself has to be bad.
            s if s < NECROTIC || suspicion < FRICTION => Action::Quarantine,
            _ if item.terms.lethal() => Action::Kill,
            _ => Action::Honeypot,
        };
        let outcome = &mut item.outcome;
        outcome.suspicion = suspicion;
        outcome.signal = signal;
        outcome.before = before;
        outcome.now = after;
        outcome.tissue = tissue;
        outcome.state = state(signal);
        outcome.decision = match signal {
            s if s >= 0.85 => Decision::Deny,
            s if s >= INFLAMED => Decision::Escalate,
            s if s >= FRICTION => Decision::Quarantine,
            _ => Decision::Allow,
        };
        outcome.action = action;
        outcome.time = time;
        if let Some(plan) = &profile.options.enforcement
            && action != Action::Allow
            && let Some(entry) = self.entries.get_mut(&item.key_hash)
        {
            let recent = entry.acted > 0 && f64::from(seconds.saturating_sub(entry.acted)) < plan.cooldown;
            // An escalation is never hidden.
            outcome.suppressed = recent && action <= entry.action;
            if !outcome.suppressed {
                entry.acted = seconds;
                entry.action = action;
            }
        }
        self.let_go(item);
    }

    /// The pid of an ended process is free again; what was suspected of the process stays in the tissue.
    fn let_go(&mut self, item: &Item) {
        if item.exited {
            self.entries.remove(&item.key_hash);
            self.names.remove(&item.key_hash);
        }
    }
}

fn state(signal: f32) -> State {
    match signal {
        s if s >= NECROTIC => State::Necrotic,
        s if s >= INFLAMED => State::Inflamed,
        s if s >= PRIMED => State::Primed,
        _ => State::Healthy,
    }
}
