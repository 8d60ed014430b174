//! The walk from unit to unit, and what it finds.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::manifest::Origin;
use crate::manifest::root::Root;
use crate::manifest::systemd::name::is_unit_name;

/// What starts and what does not.
#[derive(Debug, Default)]
pub struct Census {
    /// The services that the image starts, by name, each with the reason. A template (`x@.service`) stands for
    /// instances whose names only the running machine knows.
    pub started: BTreeMap<String, String>,
    /// Services that nothing in the image starts, with what else is known.
    pub idle: BTreeMap<String, String>,
    /// What runs or may run under a name that no file says.
    pub unnamed: Vec<Unnamed>,
}

/// How something comes to run that no system unit of the image names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A program that makes units at boot.
    Generator,
    /// A script in /etc/init.d without a unit.
    InitScript,
    /// Started by the bus itself.
    Bus,
    /// Named by a udev rule with a variable.
    Device,
    /// Of a user's own manager.
    User,
    /// Made on the running machine.
    RunTime,
}

/// Something of that kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unnamed {
    /// A file or a pattern of unit names.
    pub what: String,
    /// How.
    pub way: Way,
    /// What is known of it.
    pub reason: String,
}

/// A walk from unit to unit.
pub(super) struct Walk<'a> {
    pub(super) root: &'a Root,
    /// Every unit file's name.
    pub(super) files: BTreeSet<String>,
    pub(super) todo: Vec<(String, String)>,
    pub(super) seen: BTreeSet<String>,
    /// Named by Also=, which does something only when somebody runs `systemctl enable`.
    pub(super) also: BTreeMap<String, Origin>,
    pub(super) census: Census,
}

impl Walk<'_> {
    pub(super) fn seed(&mut self, name: String, cause: String) {
        if is_unit_name(&name) {
            self.todo.push((name, cause));
        }
    }

    pub(super) fn unnamed(&mut self, what: impl Into<String>, way: Way, reason: impl Into<String>) {
        self.census.unnamed.push(Unnamed { what: what.into(), way, reason: reason.into() });
    }

    /// The entries of a folder that need not be there.
    pub(super) fn entries(&self, folder: &str) -> Vec<String> {
        self.root.entries(folder).map(|e| e.into_iter().map(|(name, _)| name).collect()).unwrap_or_default()
    }
}
