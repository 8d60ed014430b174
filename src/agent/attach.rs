//! Programs and their links: loading once a boot, attaching what a policy needs, exchanging on upgrade.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use super::bpf::link::Link;
use super::bpf::object::{self, Loaded};
use super::bpf::pins::Pins;
use super::bpf::prog::Prog;
use super::error::{AgentError, Result};
use super::hooks::Need;
use crate::abi::layout::Header;
use crate::event;

fn kernel(what: &str, name: &str) -> impl FnOnce(io::Error) -> AgentError {
    let what = format!("cannot {what} {name}");
    move |e| AgentError::kernel(what, e)
}

/// Loads the object and pins maps and programs. Nothing is attached.
///
/// # Errors
/// If the kernel refuses.
pub fn load_fresh(pins: &Pins) -> Result<()> {
    pins.create().map_err(kernel("make", &pins.root().display().to_string()))?;
    let Loaded { programs, maps, .. } = object::load(pins)?;
    for (name, map) in &maps {
        // libbpf's own maps for constants have dots in their names, and live as long as the programs.
        if name.starts_with("kiln_") {
            map.pin(&pins.maps().join(name)).map_err(kernel("pin the map", name))?;
        }
    }
    for (name, program) in &programs {
        program.pin(&pins.progs().join(name)).map_err(kernel("pin the program", name))?;
    }
    Ok(())
}

/// Attaches every loaded program that the policy asks for and that is not attached yet.
///
/// # Errors
/// If the kernel refuses, or a hook that the policy needs does not exist in this kernel.
pub fn attach_needed(pins: &Pins, header: &Header, revocation: bool) -> Result<()> {
    let programs = Pins::list(&pins.progs()).map_err(kernel("list", "the pinned programs"))?;
    let attached = Pins::list(&pins.links()).map_err(kernel("list", "the pinned links"))?;
    for name in programs {
        if attached.contains(&name) || !Need::of(&name).asks(header, revocation) {
            continue;
        }
        let program = Prog::open(&pins.progs().join(&name)).map_err(kernel("open the program", &name))?;
        let link = program.attach().map_err(kernel("attach", &name))?;
        link.pin(&pins.links().join(&name)).map_err(kernel("pin the link of", &name))?;
    }
    Ok(())
}

/// Detaches what the policy does not ask for.
///
/// # Errors
/// If a pin cannot be removed.
pub fn detach_unneeded(pins: &Pins, header: &Header, revocation: bool) -> Result<()> {
    for name in Pins::list(&pins.links()).map_err(kernel("list", "the pinned links"))? {
        if !Need::of(&name).asks(header, revocation) {
            fs::remove_file(pins.links().join(&name)).map_err(kernel("detach", &name))?;
        }
    }
    Ok(())
}

/// Programs and links as evidence tells them, sorted.
///
/// # Errors
/// If a pin cannot be opened.
pub fn inventory(pins: &Pins) -> Result<(Vec<event::Program>, Vec<event::Link>)> {
    let (mut programs, mut links) = (Vec::new(), Vec::new());
    for name in Pins::list(&pins.links()).map_err(kernel("list", "the pinned links"))? {
        let link = Link::open(&pins.links().join(&name)).map_err(kernel("open the link of", &name))?;
        let program = Prog::by_id(link.program()).map_err(kernel("look at the program of", &name))?;
        programs.push(event::Program {
            name: program.name().to_owned(),
            id: program.id(),
            tag: hex::encode(program.tag()),
        });
        links.push(event::Link { id: link.id(), program: link.program() });
    }
    programs.sort();
    programs.dedup();
    links.sort();
    Ok((programs, links))
}

/// Whether the pinned programs are those of this agent's object, by the kernel's tags. Loads the object beside the
/// pinned one (sharing its maps) to let the kernel compute them.
///
/// # Errors
/// If the object cannot be loaded.
pub fn upgrade(pins: &Pins) -> Result<bool> {
    let Loaded { programs, .. } = object::load(pins)?;
    let mut pinned = BTreeMap::new();
    for name in Pins::list(&pins.progs()).map_err(kernel("list", "the pinned programs"))? {
        let program = Prog::open(&pins.progs().join(&name)).map_err(kernel("open the program", &name))?;
        pinned.insert(name, program.tag());
    }
    let same = programs.len() == pinned.len()
        && programs.iter().all(|(name, program)| pinned.get(name) == Some(&program.tag()));
    if same {
        return Ok(false);
    }
    exchange(pins, programs)?;
    Ok(true)
}

/// Puts new programs in the place of the pinned ones. Each new link is attached before the old one goes (by a rename
/// over its pin), so every moment has at least one of them; a request that both see is decided twice, the same way.
fn exchange(pins: &Pins, programs: Vec<(String, Prog)>) -> Result<()> {
    let next = pins.next();
    match fs::create_dir(&next) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            return Err(AgentError::kernel(format!("cannot make {}", next.display()), e));
        }
        _ => {}
    }
    let replace = |from: &std::path::Path, to: &std::path::Path| fs::rename(from, to);
    let attached = Pins::list(&pins.links()).map_err(kernel("list", "the pinned links"))?;
    let aside = |name: &str| {
        let path = next.join(name);
        let _ = fs::remove_file(&path);
        path
    };
    for (name, program) in &programs {
        let path = aside(name);
        program.pin(&path).map_err(kernel("pin the program", name))?;
        replace(&path, &pins.progs().join(name)).map_err(kernel("exchange the program", name))?;
        if attached.contains(name) {
            let link = program.attach().map_err(kernel("attach", name))?;
            link.pin(&path).map_err(kernel("pin the link of", name))?;
            replace(&path, &pins.links().join(name)).map_err(kernel("exchange the link of", name))?;
        }
    }
    // Programs that the new object does not have.
    for name in Pins::list(&pins.progs()).map_err(kernel("list", "the pinned programs"))? {
        if !programs.iter().any(|(n, _)| *n == name) {
            let _ = fs::remove_file(pins.links().join(&name));
            fs::remove_file(pins.progs().join(&name)).map_err(kernel("remove the program", &name))?;
        }
    }
    let _ = fs::remove_dir(&next);
    Ok(())
}
