//! The pinned maps by their names in `bpf/include/maps.h`, and the table of labels that the agent adds.

use std::io;
use std::os::fd::AsFd;

use kiln_base::abi::layout::{Resolvers, SLOTS, agent_word};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::bpf::clock::Clock;
use crate::bpf::groups::Groups;
use crate::bpf::map::{Map, NOEXIST, map_name};
use crate::bpf::pins::Pins;
use crate::bpf::ring::Ring;
use crate::bpf::word::StateWord;
use crate::error::{AgentError, Result, Step};
use crate::label::slots::{LabelTable, MAX_KEY};
use crate::machine::process::Identity;

/// Name of the map of the table of labels.
const KEYS: &str = "kiln_keys";
/// BPF_MAP_TYPE_HASH and BPF_F_NO_PREALLOC of linux/bpf.h.
const HASH: u32 = 1;
const NO_PREALLOC: u32 = 1;

/// A value of the table of labels. The agent alone reads and writes it.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Immutable)]
struct Entry {
    len: u16,
    key: [u8; MAX_KEY],
}

impl Entry {
    fn of(key: &str) -> Entry {
        // `LabelTable::admit` bounds a key by MAX_KEY.
        let len = key.len().min(MAX_KEY);
        let mut entry = Entry { len: len as u16, key: [0; MAX_KEY] };
        entry.key[..len].copy_from_slice(&key.as_bytes()[..len]);
        entry
    }

    fn key(&self) -> &str {
        self.key.get(..usize::from(self.len)).and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default()
    }
}

/// Counters of `enum kiln_counter`, summed over the CPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// Events that were offered to the ring buffer.
    pub events: u64,
    /// Events that found it full.
    pub dropped: u64,
    /// Refusals.
    pub denied: u64,
    /// Refusals that audit mode only reports.
    pub would_deny: u64,
    /// Refusals without a rule, because something could not be found out.
    pub failed_closed: u64,
}

/// Open handles to the pinned maps.
#[derive(Debug)]
pub struct Maps {
    /// Generations.
    pub outer: Map,
    /// Labels of tasks.
    pub labels: Map,
    /// Labels of cgroups.
    pub cgroups: Map,
    /// Who is in quarantine.
    pub quarantined: Map,
    /// Units that are throttled.
    pub throttled: Map,
    /// What tasks find by their cgroup.
    pub groups: Groups,
    /// The active word.
    pub state: StateWord,
    /// The wall clock and which windows are open.
    pub clock: Clock,
    /// What is Kiln's own.
    pub belongings: Map,
    /// What labels are held to.
    pub limits: Map,
    /// The traffic of units.
    pub traffics: Map,
    servers: Map,
    counters: Map,
    agent: Map,
    keys: Map,
    helpers: Map,
    events: Map,
    proofs: Map,
}

impl Maps {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// [`AgentError::NotLoaded`] if there are none, or what an unfinished load left behind;
    /// [`AgentError::OtherBuild`] if those that enforce something are not of this build.
    pub fn open(pins: &Pins) -> Result<Maps> {
        let name = "kiln_state";
        let state = match Map::open(&pins.maps().join(name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(AgentError::NotLoaded),
            other => other.map_err(|e| AgentError::kernel(Step::OpenMap(name), e))?,
        };
        let enforces = StateWord::enforces(&state).map_err(|e| AgentError::kernel(Step::LookAtMap(name), e))?;
        Maps::open_all(pins, &state).map_err(|(map, source)| {
            if enforces { AgentError::OtherBuild { map, source } } else { AgentError::NotLoaded }
        })
    }

    fn open_all(pins: &Pins, state: &Map) -> std::result::Result<Maps, (&'static str, io::Error)> {
        let open = |name: &'static str| Map::open(&pins.maps().join(name)).map_err(|e| (name, e));
        Ok(Maps {
            outer: open("kiln_tables_outer")?,
            labels: open("kiln_labels")?,
            cgroups: open("kiln_cgroups")?,
            quarantined: open("kiln_quarantined")?,
            throttled: open("kiln_throttled")?,
            groups: Groups::map(&open("kiln_groups")?).map_err(|e| ("kiln_groups", e))?,
            state: StateWord::map(state).map_err(|e| ("kiln_state", e))?,
            clock: Clock::map(&open("kiln_clock")?).map_err(|e| ("kiln_clock", e))?,
            belongings: open("kiln_belongings")?,
            limits: open("kiln_limits")?,
            traffics: open("kiln_traffics")?,
            servers: open("kiln_servers")?,
            counters: open("kiln_counters")?,
            agent: open("kiln_agent_ids")?,
            keys: open(KEYS)?,
            helpers: open("kiln_helpers")?,
            events: open("kiln_events")?,
            proofs: open("kiln_proofs")?,
        })
    }

    /// Makes and pins the table of labels.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn create_labels(pins: &Pins) -> Result<()> {
        Map::create(HASH, &map_name(KEYS), 4, size_of::<Entry>() as u32, SLOTS as u32, NO_PREALLOC)
            .and_then(|map| map.pin(&pins.maps().join(KEYS)))
            .map_err(|e| AgentError::kernel(Step::MakeLabels, e))
    }

    /// Reads the table of labels.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn labels_given(&self) -> Result<LabelTable> {
        let fail = |e| AgentError::kernel(Step::ReadLabels, e);
        let mut entries = Vec::new();
        for key in self.keys.keys().map_err(fail)? {
            let label = u32::read_from_bytes(&key).unwrap_or(0);
            let Some(entry) = self.keys.read::<Entry>(&label).map_err(fail)? else { continue };
            entries.push((label, entry.key().to_owned()));
        }
        LabelTable::from_entries(entries)
    }

    /// Writes entries that are new.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn write_labels(&self, labels: &LabelTable) -> Result<()> {
        for (label, key) in labels.entries() {
            match self.keys.set(label.as_bytes(), Entry::of(key).as_bytes(), NOEXIST) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(AgentError::kernel(Step::WriteLabels, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Index of the active generation; `None` while nothing is enforced.
    pub fn active(&self) -> Option<u32> {
        self.state.active()
    }

    /// Says which process the programs protect; 0 for none. A running one says which program it is, so that its
    /// successor is known from its first call on, whatever the guards of the host refuse.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn set_agent(&self, pid: u32) -> Result<()> {
        let fail = |e| AgentError::kernel(Step::RegisterAgent, e);
        let set = |index: u32, value: u32| self.agent_word(index, value);
        if pid != 0 {
            use std::os::unix::fs::MetadataExt;
            let program = std::fs::metadata("/proc/self/exe").map_err(fail)?;
            let device = program.dev();
            set(agent_word::INODE, program.ino() as u32)?;
            set(agent_word::INODE + 1, (program.ino() >> 32) as u32)?;
            // The kernel's own encoding (include/linux/kdev_t.h): 20 bits of minor.
            set(agent_word::DEVICE, rustix::fs::major(device) << 20 | rustix::fs::minor(device))?;
            let me = Identity::of(pid).ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?;
            // While it is half told it is nobody's.
            set(agent_word::PID, 0)?;
            set(agent_word::START, me.start)?;
        }
        set(agent_word::PID, pid)
    }

    /// Sets a word of `kiln_agent_ids`.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn agent_word(&self, index: u32, value: u32) -> Result<()> {
        self.agent.write(&index, &value).map_err(|e| AgentError::kernel(Step::RegisterAgent, e))
    }

    /// The process that keeps the pins, as it was told.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn keeper(&self) -> Result<Option<Identity>> {
        let word = |index: u32| -> Result<u32> {
            let value = self.agent.read(&index).map_err(|e| AgentError::kernel(Step::ReadKeeper, e))?;
            Ok(value.unwrap_or(0))
        };
        let (pid, start) = (word(agent_word::KEEPER_PID)?, word(agent_word::KEEPER_START)?);
        Ok((pid != 0).then_some(Identity { pid, start }))
    }

    /// Tells who keeps the pins.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn set_keeper(&self, keeper: Option<Identity>) -> Result<()> {
        self.agent_word(agent_word::KEEPER_PID, 0)?;
        let Some(keeper) = keeper else { return Ok(()) };
        self.agent_word(agent_word::KEEPER_START, keeper.start)?;
        self.agent_word(agent_word::KEEPER_PID, keeper.pid)
    }

    /// Tells where a helper is that confined tasks' programs may not call.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn set_helper(&self, index: u32, distance: i32) -> Result<()> {
        self.helpers.write(&index, &distance).map_err(|e| AgentError::kernel(Step::TellHelper, e))
    }

    /// Tells whose answers teach which addresses names lead to. While it is half told nobody's do.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn set_servers(&self, servers: &Resolvers) -> Result<()> {
        let write = |value: &Resolvers| self.servers.write(&0u32, value);
        write(&Resolvers::default()).and_then(|()| write(servers)).map_err(|e| AgentError::kernel(Step::TellServers, e))
    }

    /// The sentinel's own buffer. Only the holder of the agent's lock may read it.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn proofs(&self) -> Result<Ring> {
        let fail = |e| AgentError::kernel(Step::MapProofs, e);
        let fd = self.proofs.as_fd().try_clone_to_owned().map_err(fail)?;
        Map::from_fd(fd).and_then(Ring::open).map_err(fail)
    }

    /// The counters since the programs were loaded.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn counters(&self) -> Result<Counters> {
        let sum = |index: u32| -> Result<u64> {
            let values =
                self.counters.get_per_cpu(index.as_bytes()).map_err(|e| AgentError::kernel(Step::ReadCounters, e))?;
            Ok(values.iter().filter_map(|value| u64::read_from_bytes(value).ok()).sum())
        };
        Ok(Counters { events: sum(0)?, dropped: sum(1)?, denied: sum(2)?, would_deny: sum(3)?, failed_closed: sum(4)? })
    }

    /// The ring buffer. Only the holder of the agent's lock may read it.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn ring(&self) -> Result<Ring> {
        let fail = |e| AgentError::kernel(Step::MapEvents, e);
        let fd = self.events.as_fd().try_clone_to_owned().map_err(fail)?;
        Map::from_fd(fd).and_then(Ring::open).map_err(fail)
    }
}
