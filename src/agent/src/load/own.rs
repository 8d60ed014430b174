//! What is Kiln's own, told to the kernel programs, which keep confined tasks from it.
//!
//! A folder is told by locking it: the program at flock(2) notes the inode and the device as the kernel has them, which
//! stat(2) does not show on every file system.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kiln_base::abi::layout::{
    AT_MOUNT, AT_NAMESPACE, AT_PEERS, OWN_BITS, OWN_GROUP, OWN_TREE, OWN_WAY, OwnKey, agent_word,
};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use zerocopy::{FromBytes, IntoBytes};

use crate::bpf::map::Map;
use crate::config::Places;
use crate::error::{AgentError, Lack, Result, Step};
use crate::load::maps::Maps;

/// Tells everything anew; what was told before and is not any more is forgotten last.
///
/// # Errors
/// If it cannot be told: what should be protected would not be.
pub fn tell(places: &Places, maps: &Maps) -> Result<()> {
    let fail = |e| AgentError::kernel(Step::TellOwn, e);
    let entries = |map: &Map| -> Result<Vec<(OwnKey, u32)>> {
        let mut found = Vec::new();
        for key in map.keys().map_err(fail)? {
            let Ok(key) = OwnKey::read_from_bytes(&key) else { continue };
            found.extend(map.read(&key).map_err(fail)?.map(|value| (key, value)));
        }
        Ok(found)
    };
    let before = entries(&maps.belongings)?;
    let turn = before.iter().map(|(_, value)| value >> OWN_BITS).max().unwrap_or(0) + 1;
    let told = |flag: u32| turn << OWN_BITS | flag;

    let trees = [&places.lib, &places.state, &places.run, &places.pins.root().to_owned()].map(Clone::clone);
    let mut ways = BTreeSet::new();
    for tree in trees.iter().map(PathBuf::as_path).chain([Path::new(crate::bpf::pins::Pins::DEFAULT)]) {
        ways.extend(tree.ancestors().skip(1).filter(|p| !p.starts_with("/proc")).map(Path::to_owned));
    }
    // A way first: what is both is a tree.
    for (paths, flag) in [(ways.iter().collect::<Vec<_>>(), OWN_WAY), (trees.iter().collect(), OWN_TREE)] {
        for path in paths {
            tell_folder(maps, path, told(flag))?;
        }
    }
    for (at, group) in groups(places).iter().enumerate() {
        // Its own with all that is below it: what lives there counts for the limits of its unit.
        tell_folder(maps, group, told(if at == 0 { OWN_GROUP | OWN_TREE } else { OWN_GROUP }))?;
    }
    maps.agent_word(agent_word::TELLING, 0)?;
    if entries(&maps.belongings)?.iter().filter(|(_, value)| *value == told(OWN_TREE)).count() < 2 {
        return Err(Lack::OwnUnknown.into());
    }
    let number = |number: u64, device: u32| -> Result<()> {
        let key = OwnKey { number, device, pad: 0 };
        maps.belongings.write(&key, &told(OWN_WAY)).map_err(fail)
    };
    if let Ok(namespace) = std::fs::metadata(places.proc.join("1/ns/mnt")) {
        number(namespace.ino(), AT_NAMESPACE)?;
    }
    let text = std::fs::read(places.proc.join("1/mountinfo")).unwrap_or_default();
    for mount in mounts(&text, &trees) {
        number(mount.id, AT_MOUNT)?;
        if let Some(peers) = mount.peers {
            number(peers, AT_PEERS)?;
        }
    }
    for (key, value) in entries(&maps.belongings)? {
        if value >> OWN_BITS != turn {
            maps.belongings.remove(key.as_bytes()).map_err(fail)?;
        }
    }
    Ok(())
}

/// One that is not there needs no protection: whoever makes it makes its parent's entry.
fn tell_folder(maps: &Maps, path: &Path, value: u32) -> Result<()> {
    let Ok(fd) = folder(path) else { return Ok(()) };
    maps.agent_word(agent_word::TELLING, value)?;
    // The program runs before the lock is tried; whether somebody has one does not matter.
    let _ = flock(&fd, FlockOperation::NonBlockingLockShared);
    let _ = flock(&fd, FlockOperation::Unlock);
    Ok(())
}

/// A descriptor of a folder.
fn folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The agent's cgroup first, and those above it, but the root.
fn groups(places: &Places) -> Vec<PathBuf> {
    let text = std::fs::read(places.proc.join("self/cgroup")).unwrap_or_default();
    let Some(path) = crate::machine::procfs::cgroup_path(&text) else { return Vec::new() };
    let Ok(path) = path.strip_prefix("/") else { return Vec::new() };
    path.ancestors().filter(|p| !p.as_os_str().is_empty()).map(|p| places.cgroups.join(p)).collect()
}

struct Mount {
    id: u64,
    peers: Option<u64>,
}

/// The mounts that the way to one of `folders` leads over (proc(5), mountinfo).
fn mounts(text: &[u8], folders: &[PathBuf]) -> Vec<Mount> {
    let text = String::from_utf8_lossy(text);
    let mut found = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (Some(id), Some(point)) = (fields.first().and_then(|f| f.parse().ok()), fields.get(4)) else { continue };
        let default = Path::new(crate::bpf::pins::Pins::DEFAULT);
        if !folders.iter().map(PathBuf::as_path).chain([default]).any(|f| f.starts_with(point)) {
            continue;
        }
        let optional = fields.iter().skip(6).take_while(|f| **f != "-");
        let peers = optional.filter_map(|f| f.strip_prefix("shared:")).find_map(|n| n.parse().ok());
        found.push(Mount { id, peers });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mounts_on_the_way_and_no_others() {
        let text = b"22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n\
            23 22 0:21 / /sys rw shared:7 - sysfs sysfs rw\n\
            24 23 0:22 / /sys/fs/bpf rw shared:9 master:3 - bpf bpf rw\n\
            25 22 0:5 / /system rw shared:4 - tmpfs tmpfs rw\n\
            26 22 0:6 / /run rw - tmpfs tmpfs rw\nnonsense\n";
        let found = mounts(text, &["/run/kiln".into()]);
        let found: Vec<(u64, Option<u64>)> = found.iter().map(|m| (m.id, m.peers)).collect();
        assert_eq!(found, [(22, Some(1)), (23, Some(7)), (24, Some(9)), (26, None)]);
    }
}
