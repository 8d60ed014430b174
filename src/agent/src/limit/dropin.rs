//! What systemd is told of a unit's limits: one file, in the folder of what lasts until reboot.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use kiln_base::bundle::write_aside;
use kiln_base::model::Resource;

use crate::error::{AgentError, Result, Step};
use crate::limit::bound::Amounts;
use crate::limit::manager::Settings;

/// Files of a unit are read by their names, whichever folder they are in, and the last one holds.
const NAME: &str = "zz-kiln-limits.conf";
/// Microseconds of a second in a percent.
const PERCENT: u64 = 10_000;

/// Where the file of a unit is, below the folder of systemd's runtime units.
pub fn path(folder: &Path, unit: &str) -> PathBuf {
    folder.join(format!("{unit}.d")).join(NAME)
}

/// The units that have a file.
pub fn present(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| Some(name.strip_suffix(".d")?.to_owned()))
        .filter(|unit| path(folder, unit).exists())
        .collect()
}

/// The file's text; none where the unit itself says as little, or less, of everything. So it is never made wider.
pub fn text(least: &Amounts, own: &Settings, disks: &BTreeSet<String>) -> Option<String> {
    let mut lines = Vec::new();
    let wider = |own: Option<u64>, most: u64| own.is_none_or(|own| own > most);
    for (resource, most) in least {
        match resource {
            Resource::Cpu if wider(own.cpu, most * PERCENT) => lines.push(format!("CPUQuota={most}%")),
            Resource::Memory if wider(own.memory, *most) => lines.push(format!("MemoryMax={most}")),
            Resource::Pids if wider(own.pids, *most) => lines.push(format!("TasksMax={most}")),
            Resource::Files if wider(own.files, *most) || wider(own.files_soft, *most) => {
                let soft = own.files_soft.map_or(*most, |soft| soft.min(*most));
                let hard = own.files.map_or(*most, |hard| hard.min(*most));
                lines.push(format!("LimitNOFILE={soft}:{hard}"));
            }
            Resource::IoRead => {
                let disks = disks.iter().filter(|disk| wider(own.read.get(*disk).copied(), *most));
                lines.extend(disks.map(|disk| format!("IOReadBandwidthMax={disk} {most}")));
            }
            Resource::IoWrite => {
                let disks = disks.iter().filter(|disk| wider(own.write.get(*disk).copied(), *most));
                lines.extend(disks.map(|disk| format!("IOWriteBandwidthMax={disk} {most}")));
            }
            _ => {}
        }
    }
    let head =
        "# Written by kiln-agent: the limits of the policy in force. `kiln-agent unload` removes it.\n[Service]\n";
    (!lines.is_empty()).then(|| format!("{head}{}\n", lines.join("\n")))
}

/// Of which resource systemd holds a unit to more than the policy does.
pub fn exceeded(least: &Amounts, now: &Settings, disks: &BTreeSet<String>) -> Option<Resource> {
    let wider = |now: Option<u64>, most: u64| now.is_none_or(|now| now > most);
    let found = least.iter().find(|&(resource, most)| match resource {
        Resource::Cpu => wider(now.cpu, most * PERCENT),
        Resource::Memory => wider(now.memory, *most),
        Resource::Pids => wider(now.pids, *most),
        Resource::Files => wider(now.files, *most),
        Resource::IoRead => disks.iter().any(|disk| wider(now.read.get(disk).copied(), *most)),
        Resource::IoWrite => disks.iter().any(|disk| wider(now.write.get(disk).copied(), *most)),
        Resource::NetworkIn | Resource::NetworkOut => false,
    });
    found.map(|(resource, _)| *resource)
}

/// Writes the file of a unit, or removes it; returns whether that changed it.
///
/// # Errors
/// If it cannot be done.
pub fn put(folder: &Path, unit: &str, text: Option<&str>) -> Result<bool> {
    let path = path(folder, unit);
    let fail = |source: io::Error| AgentError::kernel(Step::Limit(unit.to_owned()), source);
    let before = match std::fs::read_to_string(&path) {
        Ok(before) => Some(before),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(fail(e)),
    };
    if before.as_deref() == text {
        return Ok(false);
    }
    let parent = path.parent().unwrap_or(folder);
    match text {
        Some(text) => {
            std::fs::create_dir_all(parent).map_err(fail)?;
            write_aside(&path, text.as_bytes(), 0o644)?;
        }
        None => {
            std::fs::remove_file(&path).map_err(fail)?;
            // Others may have files there.
            let _ = std::fs::remove_dir(parent);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_unit_does_not_say_itself_is_told() {
        let least: Amounts = [
            (Resource::Cpu, 50),
            (Resource::Memory, 64 << 20),
            (Resource::Pids, 20),
            (Resource::Files, 100),
            (Resource::IoRead, 1000),
            (Resource::NetworkIn, 7),
        ]
        .into();
        let disks = BTreeSet::from(["/dev/vda".to_owned(), "/dev/vdb".to_owned()]);
        let own = Settings {
            cpu: Some(400_000),
            memory: Some(1 << 30),
            files_soft: Some(64),
            files: Some(4096),
            read: [("/dev/vdb".to_owned(), 10)].into(),
            ..Settings::default()
        };
        let told = text(&least, &own, &disks).unwrap();
        let lines: Vec<&str> = told.lines().skip(2).collect();
        let expect = ["MemoryMax=67108864", "TasksMax=20", "LimitNOFILE=64:100", "IOReadBandwidthMax=/dev/vda 1000"];
        assert_eq!(lines, expect);
        assert_eq!(exceeded(&least, &own, &disks), Some(Resource::Memory));
        let tight = Settings {
            cpu: Some(500_000),
            memory: Some(64 << 20),
            pids: Some(3),
            files_soft: Some(64),
            files: Some(100),
            read: disks.iter().map(|disk| (disk.clone(), 1000)).collect(),
            ..Settings::default()
        };
        assert_eq!((text(&least, &tight, &disks), exceeded(&least, &tight, &disks)), (None, None));
    }

    #[test]
    fn a_file_is_written_once_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        assert!(put(folder, "a.service", Some("x")).unwrap());
        assert!(!put(folder, "a.service", Some("x")).unwrap());
        assert_eq!(present(folder), BTreeSet::from(["a.service".to_owned()]));
        assert!(put(folder, "a.service", None).unwrap());
        assert!(!put(folder, "a.service", None).unwrap());
        assert!(present(folder).is_empty() && !folder.join("a.service.d").exists());
    }
}
