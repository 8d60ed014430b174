//! The disks that the machine's file systems are on: a limit of `io` is for each of them.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The nodes in /dev of the whole disks that something is mounted from.
pub fn mounted(proc: &Path, sys: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(proc.join("self/mountinfo")).unwrap_or_default();
    let devices = text.lines().filter_map(|line| {
        let (device, source) = fields(line)?;
        // Some file systems (btrfs) have a device number of their own; then the source says it.
        if device.0 != 0 {
            return Some(device);
        }
        let node = std::fs::metadata(source).ok().filter(|_| source.starts_with("/dev/"))?;
        Some((libc::major(node.rdev()), libc::minor(node.rdev()))).filter(|device| device.0 != 0)
    });
    devices.collect::<BTreeSet<_>>().into_iter().filter_map(|device| node(sys, device)).collect()
}

/// Device and source of a line of mountinfo (proc(5)).
fn fields(line: &str) -> Option<((u32, u32), &str)> {
    let (major, minor) = line.split(' ').nth(2)?.split_once(':')?;
    let source = line.split_once(" - ")?.1.split(' ').nth(1)?;
    Some(((major.parse().ok()?, minor.parse().ok()?), source))
}

/// The node of a disk; of a partition that of the disk it is on, which alone the kernel limits.
fn node(sys: &Path, (major, minor): (u32, u32)) -> Option<String> {
    let mut folder = std::fs::canonicalize(sys.join(format!("dev/block/{major}:{minor}"))).ok()?;
    if folder.join("partition").exists() {
        folder.pop();
    }
    let said = std::fs::read_to_string(folder.join("uevent")).ok()?;
    let name = said.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(format!("/dev/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_its_disk() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in ["proc/self", "sys/devices/nvme0n1/nvme0n1p1", "sys/dev/block"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        std::fs::write(at("sys/devices/nvme0n1/uevent"), "MAJOR=259\nMINOR=0\nDEVNAME=nvme0n1\nDEVTYPE=disk\n")
            .unwrap();
        std::fs::write(at("sys/devices/nvme0n1/nvme0n1p1/uevent"), "DEVNAME=nvme0n1p1\n").unwrap();
        std::fs::write(at("sys/devices/nvme0n1/nvme0n1p1/partition"), "1\n").unwrap();
        std::os::unix::fs::symlink("../../devices/nvme0n1/nvme0n1p1", at("sys/dev/block/259:1")).unwrap();
        let mounts = "22 1 259:1 / / rw shared:1 - ext4 /dev/root rw\n23 22 0:21 / /sys rw - sysfs sysfs rw\nx\n";
        std::fs::write(at("proc/self/mountinfo"), mounts).unwrap();
        assert_eq!(mounted(&at("proc"), &at("sys")), BTreeSet::from(["/dev/nvme0n1".to_owned()]));
    }
}
