//! systemd's manager over D-Bus: org.freedesktop.systemd1(5).

use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::Value;

use super::done::Done;
use super::process::{Process, cgroup_of};
use super::undo::Undo;
use crate::engine::Action;

/// A tenth of one processor, in microseconds a second.
const THROTTLED_QUOTA: u64 = 100_000;

/// "Not set" for quotas and weights.
const UNSET: u64 = u64::MAX;

/// systemd cannot be reached or refuses.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// No bus or no manager.
    #[error("cannot reach systemd on the system bus: {0}")]
    Connect(Box<zbus::Error>),
    /// A call failed.
    #[error("{call} of {unit}: {source}")]
    Call {
        /// The method.
        call: &'static str,
        /// The unit.
        unit: String,
        /// Why.
        source: Box<zbus::Error>,
    },
}

/// The backend.
#[derive(Debug)]
pub struct Systemd {
    manager: Proxy<'static>,
}

/// The unit that a control group belongs to: its last service or scope. Slices are not acted on: they hold many.
fn unit(cgroup: &str) -> Option<&str> {
    cgroup.split('/').rev().find(|part| part.ends_with(".service") || part.ends_with(".scope"))
}

impl Systemd {
    /// Connects to the system's manager.
    ///
    /// # Errors
    /// There is none, or it may not be called.
    pub fn connect() -> Result<Systemd, SystemdError> {
        let connect = || {
            let connection = Connection::system()?;
            let manager = Proxy::new_owned(
                connection,
                "org.freedesktop.systemd1",
                "/org/freedesktop/systemd1",
                "org.freedesktop.systemd1.Manager",
            )?;
            let _: String = manager.get_property("Version")?;
            Ok(Systemd { manager })
        };
        connect().map_err(|error| SystemdError::Connect(Box::new(error)))
    }

    fn call<B: serde::Serialize + zbus::zvariant::DynamicType>(
        &self,
        call: &'static str,
        unit: &str,
        body: &B,
    ) -> Result<(), SystemdError> {
        self.manager.call_method(call, body).map(|_| ()).map_err(|error| SystemdError::Call {
            call,
            unit: unit.to_owned(),
            source: Box::new(error),
        })
    }

    fn set(&self, unit: &str, properties: Vec<(&str, Value<'_>)>) -> Result<(), SystemdError> {
        // Runtime only: a restart of the machine forgets it.
        self.call("SetUnitProperties", unit, &(unit, true, properties))
    }

    fn weights(quota: u64, weight: u64) -> Vec<(&'static str, Value<'static>)> {
        vec![
            ("CPUQuotaPerSecUSec", Value::from(quota)),
            ("CPUWeight", Value::from(weight)),
            ("IOWeight", Value::from(weight)),
        ]
    }

    /// `IPAddressDeny=`: `any`, or nothing.
    fn network(cut: bool) -> Vec<(&'static str, Value<'static>)> {
        let any: Vec<(i32, Vec<u8>, u32)> = match cut {
            true => vec![(2, vec![0; 4], 0), (10, vec![0; 16], 0)],
            false => Vec::new(),
        };
        vec![("IPAddressDeny", Value::from(any))]
    }

    pub(super) fn act(&mut self, action: Action, process: &Process) -> Done {
        let Some(unit) = unit(&process.cgroup).map(str::to_owned) else {
            return Done::failed(format!(
                "systemd: process {} is in no service or scope ({})",
                process.pid, process.cgroup
            ));
        };
        if process.still_lives().is_err() || cgroup_of(process.pid).as_deref() != Some(&process.cgroup) {
            return Done::failed(format!("systemd: process {} is gone or has moved", process.pid));
        }
        let mut done = Done::default();
        let mut step = |result: Result<(), SystemdError>, detail: String, undo: Option<Undo>| match result {
            Ok(()) => {
                done.applied = true;
                done.details.push(detail);
                done.undo.extend(undo);
            }
            Err(error) => done.failures.push(format!("systemd: {error}")),
        };
        match action {
            Action::Allow => {}
            Action::Throttle => step(
                self.set(&unit, Systemd::weights(THROTTLED_QUOTA, 1)),
                format!("throttled {unit}: CPUQuota=10%, CPUWeight=1, IOWeight=1"),
                Some(Undo::SystemdWeights { unit: unit.clone() }),
            ),
            Action::Quarantine | Action::Honeypot => {
                step(
                    self.call("FreezeUnit", &unit, &(unit.as_str(),)),
                    format!("froze {unit}"),
                    Some(Undo::SystemdThaw { unit: unit.clone() }),
                );
                step(
                    self.set(&unit, Systemd::network(true)),
                    format!("cut the network of {unit}"),
                    Some(Undo::SystemdNetwork { unit: unit.clone() }),
                );
            }
            Action::Kill => {
                step(self.call("KillUnit", &unit, &(unit.as_str(), "all", 9i32)), format!("killed {unit}"), None)
            }
        }
        done
    }

    /// Undoes one step.
    ///
    /// # Errors
    /// systemd's.
    pub(super) fn undo(&self, step: &Undo) -> Result<String, SystemdError> {
        match step {
            Undo::SystemdThaw { unit } => {
                self.call("ThawUnit", unit, &(unit.as_str(),)).map(|()| format!("thawed {unit}"))
            }
            Undo::SystemdNetwork { unit } => {
                self.set(unit, Systemd::network(false)).map(|()| format!("gave {unit} its network back"))
            }
            Undo::SystemdWeights { unit } => {
                self.set(unit, Systemd::weights(UNSET, UNSET)).map(|()| format!("gave {unit} its processor back"))
            }
            Undo::CgroupThaw { .. } | Undo::CgroupNetwork { .. } | Undo::CgroupWrite { .. } => Ok(String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::unit;

    #[test]
    fn the_unit_is_the_innermost_service_or_scope() {
        assert_eq!(unit("/system.slice/nginx.service"), Some("nginx.service"));
        assert_eq!(unit("/user.slice/user-0.slice/session-1.scope"), Some("session-1.scope"));
        assert_eq!(unit("/system.slice/app.service/worker"), Some("app.service"));
        assert_eq!(unit("/user.slice"), None);
    }
}
