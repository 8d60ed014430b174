//! The name servers of this machine, told to the kernel programs: their answers teach which addresses names lead to, and
//! nobody else's do.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kiln_base::abi::layout::{Resolvers, SERVERS};
use kiln_base::model::mapped;

use crate::bpf::pins::Pins;
use crate::config::Places;
use crate::error::Result;
use crate::load::maps::Maps;
use crate::machine::files::read_plain;

/// Longest resolv.conf(5) that is read.
const MOST: u64 = 64 * 1024;
/// The program that learns. Without it nobody asks who the servers are.
const LEARNS: &str = "kiln_dns_learn";

/// What was told last.
#[derive(Debug, Default)]
pub struct Told(Option<Resolvers>);

impl Told {
    /// Tells the servers, if they are others than before. To be called often: where another network is joined, others
    /// come. Without an agent those that it told last stay.
    ///
    /// # Errors
    /// Of the kernel.
    pub fn look(&mut self, places: &Places, maps: &Maps) -> Result<()> {
        if !is_needed(&places.pins) {
            self.0 = None;
            return Ok(());
        }
        // A file that cannot be read just now changes nothing, but for who knows nothing yet.
        let Some(now) = find(places).or_else(|| self.0.is_none().then(Resolvers::default)) else { return Ok(()) };
        if self.0 != Some(now) {
            maps.set_servers(&now)?;
            self.0 = Some(now);
        }
        Ok(())
    }
}

/// Tells the servers.
///
/// # Errors
/// Of the kernel.
pub fn tell(places: &Places, maps: &Maps) -> Result<()> {
    Told::default().look(places, maps)
}

fn is_needed(pins: &Pins) -> bool {
    pins.links().join(LEARNS).exists()
}

/// Those of resolv.conf(5), and those that systemd-resolved asks and is asked by. A file that is absent has none; `None` where one
/// cannot be read.
fn find(places: &Places) -> Option<Resolvers> {
    let mut found = Resolvers::default();
    for path in &places.resolvers {
        let text = read_plain(path, MOST).ok()?.unwrap_or_default();
        for server in listed(&String::from_utf8_lossy(&text)) {
            let n = found.n as usize;
            if n < SERVERS && !found.server[..n].contains(&server) {
                found.server[n] = server;
                found.n += 1;
            }
        }
    }
    found.netns = network(&places.proc).unwrap_or(0);
    Some(found)
}

/// The number of the network namespace of the machine.
fn network(proc_root: &Path) -> Option<u64> {
    std::fs::metadata(proc_root.join("1/ns/net")).ok().map(|m| m.ino())
}

/// The addresses of `nameserver` lines. One that is local to a link is on every link somebody else's, and left out.
fn listed(text: &str) -> impl Iterator<Item = [u8; 16]> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let server = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        let local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        server.parse::<IpAddr>().ok().filter(|address| !local(address)).map(mapped)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &Path) -> Places {
        let resolvers = ["first", "second", "absent"].map(|name| root.join(name)).to_vec();
        Places { resolvers, ..Places::default() }
    }

    #[test]
    fn servers_are_those_of_nameserver_lines() {
        let text = "# nameserver 192.0.2.9\n;nameserver 192.0.2.8\nsearch example\nnameserver 192.0.2.1\n  \
                    nameserver\t2001:db8::1 # here\nnameserver fe80::1%eth0\nnameserver fe80::1\nnameserver nonsense\nnameserver\nnameservers 192.0.2.7\n";
        let found: Vec<[u8; 16]> = listed(text).collect();
        let wanted = ["192.0.2.1", "2001:db8::1"].map(|a| mapped(a.parse().unwrap()));
        assert_eq!(found, wanted);
    }

    #[test]
    fn each_server_is_told_once_and_no_more_than_there_is_room_for() {
        let root = tempfile::tempdir().unwrap();
        let many: String = (1..20).map(|n| format!("nameserver 192.0.2.{n}\n")).collect();
        std::fs::write(root.path().join("first"), "nameserver 192.0.2.3\nnameserver 192.0.2.3\n").unwrap();
        std::fs::write(root.path().join("second"), many).unwrap();
        let found = find(&places(root.path())).unwrap();
        assert_eq!(found.n as usize, SERVERS);
        assert_eq!(found.server[0], mapped("192.0.2.3".parse().unwrap()));
        assert_eq!(found.server[3], mapped("192.0.2.4".parse().unwrap()), "{found:?}");
    }

    /// Whoever may write there must not have the agent wait for him, or open a device.
    #[test]
    fn what_is_no_plain_file_is_not_opened() {
        let root = tempfile::tempdir().unwrap();
        let second = root.path().join("second");
        assert_eq!(find(&places(root.path())).unwrap().n, 0, "absent");
        rustix::fs::mknodat(rustix::fs::CWD, &second, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
        assert_eq!(find(&places(root.path())), None, "a fifo, for which nobody writes");
        std::fs::remove_file(&second).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &second).unwrap();
        assert_eq!(find(&places(root.path())), None, "a device");
        std::fs::remove_file(&second).unwrap();
        std::fs::create_dir(&second).unwrap();
        assert_eq!(find(&places(root.path())), None, "a folder");
    }
}
