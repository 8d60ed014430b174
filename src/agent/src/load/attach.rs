//! Programs and their links: loading once a boot, attaching what a policy needs, exchanging on upgrade.

use std::fs;
use std::io;
use std::path::Path;

use kiln_base::abi::layout::Header;
use kiln_base::bundle::write_aside;
use kiln_base::event;
use kiln_base::model::Digest;

use crate::bpf::iter;
use crate::bpf::link::Link;
use crate::bpf::object::{self, Loaded};
use crate::bpf::pins::Pins;
use crate::bpf::prog::Prog;
use crate::error::{Act, AgentError, Result, Step};
use crate::load::hooks;

fn kernel(act: Act, name: &str) -> impl FnOnce(io::Error) -> AgentError {
    let name = name.to_owned();
    move |e| AgentError::kernel(Step::Program { act, name }, e)
}

/// File of the run folder that names the object whose programs are pinned.
const OBJECT: &str = "object";
/// File of the run folder that lists programs whose hook this kernel does not have.
const ABSENT: &str = "absent";

/// Makes the maps, and loads the programs that a policy needs; all of it is pinned, nothing is attached.
///
/// # Errors
/// If the kernel refuses.
pub fn load_fresh(pins: &Pins, run: &Path, header: &Header) -> Result<()> {
    pins.create().map_err(|e| AgentError::kernel(Step::Folder(pins.root().to_owned()), e))?;
    let needed = hooks::needed(header, false)?;
    let Loaded { programs, maps, absent } = object::load(pins, &|name| needed.contains(&name))?;
    for (name, map) in &maps {
        // libbpf's own maps for constants have dots in their names, and live as long as the programs.
        if name.starts_with("kiln_") {
            map.pin(&pins.maps().join(name)).map_err(|e| AgentError::kernel(Step::PinMap(name.clone()), e))?;
        }
    }
    for (name, program) in &programs {
        program.pin(&pins.progs().join(name)).map_err(kernel(Act::Pin, name))?;
    }
    write_aside(&run.join(ABSENT), absent.join("\n").as_bytes(), 0o600)?;
    Ok(write_aside(&run.join(OBJECT), object_digest().as_bytes(), 0o600)?)
}

fn object_digest() -> String {
    Digest::of(object::bytes()).to_string()
}

fn pinned_programs(pins: &Pins) -> Result<Vec<String>> {
    let mut names = Pins::list(&pins.progs()).map_err(|e| AgentError::kernel(Step::ListPrograms, e))?;
    names.retain(|name| name.starts_with("kiln_"));
    Ok(names)
}

fn pinned_links(pins: &Pins) -> Result<Vec<String>> {
    let mut names = Pins::list(&pins.links()).map_err(|e| AgentError::kernel(Step::ListLinks, e))?;
    // What an operator left there is none of ours.
    names.retain(|name| name.starts_with("kiln_"));
    Ok(names)
}

/// Loads and attaches every program that the policy asks for and that is not attached yet.
///
/// # Errors
/// If the kernel refuses.
pub fn attach_needed(pins: &Pins, run: &Path, header: &Header, revocation: bool) -> Result<()> {
    let attached = pinned_links(pins)?;
    let absent = std::fs::read_to_string(run.join(ABSENT)).unwrap_or_default();
    let absent: Vec<&str> = absent.lines().collect();
    let mut missing = hooks::needed(header, revocation)?;
    missing.retain(|name| !attached.iter().any(|a| a == name) && !absent.contains(name));
    let loaded = pinned_programs(pins)?;
    let unloaded: Vec<&str> = missing.iter().copied().filter(|name| !loaded.iter().any(|l| l == name)).collect();
    if !unloaded.is_empty() {
        for (name, program) in object::load(pins, &|name| unloaded.contains(&name))?.programs {
            program.pin(&pins.progs().join(&name)).map_err(kernel(Act::Pin, &name))?;
        }
    }
    for name in missing.into_iter().filter(|name| *name != hooks::MARK_GROUPS) {
        let program = Prog::open(&pins.progs().join(name)).map_err(kernel(Act::Open, name))?;
        let link = program.attach(name).map_err(kernel(Act::Attach, name))?;
        link.pin(&pins.links().join(name)).map_err(kernel(Act::PinLink, name))?;
    }
    Ok(())
}

/// Lets the programs mark every cgroup that has a label.
///
/// # Errors
/// If the kernel refuses.
pub fn mark_groups(pins: &Pins) -> Result<()> {
    let name = hooks::MARK_GROUPS;
    Prog::open(&pins.progs().join(name))
        .and_then(|program| iter::every_cgroup(&program))
        .map_err(kernel(Act::Run, name))
}

/// Detaches what the policy does not ask for.
///
/// # Errors
/// If a pin cannot be removed.
pub fn detach_unneeded(pins: &Pins, header: &Header, revocation: bool) -> Result<()> {
    for name in pinned_links(pins)? {
        if !hooks::needs(&name, header, revocation)? {
            fs::remove_file(pins.links().join(&name)).map_err(kernel(Act::Detach, &name))?;
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
    for name in pinned_links(pins)? {
        let link = Link::open(&pins.links().join(&name)).map_err(kernel(Act::OpenLink, &name))?;
        let program = Prog::by_id(link.program()).map_err(kernel(Act::LookAt, &name))?;
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

/// Exchanges the pinned programs if they are not of this agent's object; returns whether it did.
///
/// # Errors
/// If the object cannot be loaded.
pub fn upgrade(pins: &Pins, run: &Path) -> Result<bool> {
    let digest = object_digest();
    if std::fs::read_to_string(run.join(OBJECT)).is_ok_and(|d| d == digest) {
        return Ok(false);
    }
    let pinned = pinned_programs(pins)?;
    let Loaded { programs, absent, .. } = object::load(pins, &|name| pinned.iter().any(|p| p == name))?;
    // Whoever comes after this agent died in the midst of it must not take the mixture for one build's, its own or not.
    write_aside(&run.join(OBJECT), b"being exchanged\n", 0o600)?;
    exchange(pins, programs)?;
    write_aside(&run.join(ABSENT), absent.join("\n").as_bytes(), 0o600)?;
    write_aside(&run.join(OBJECT), digest.as_bytes(), 0o600)?;
    Ok(true)
}

/// Puts new programs in the place of the pinned ones. Each new link is attached before the old one goes (by a rename
/// over its pin), so every moment has at least one of them; a request that both see is decided twice, the same way.
fn exchange(pins: &Pins, programs: Vec<(String, Prog)>) -> Result<()> {
    let next = pins.next();
    // Of an upgrade that did not come to its end, or of somebody else.
    let _ = fs::remove_dir_all(&next);
    match fs::create_dir(&next) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            return Err(AgentError::kernel(Step::Folder(next), e));
        }
        _ => {}
    }
    let replace = |from: &std::path::Path, to: &std::path::Path| fs::rename(from, to);
    let attached = pinned_links(pins)?;
    let aside = |name: &str| {
        let path = next.join(name);
        let _ = fs::remove_file(&path);
        path
    };
    for (name, program) in &programs {
        let path = aside(name);
        program.pin(&path).map_err(kernel(Act::Pin, name))?;
        replace(&path, &pins.progs().join(name)).map_err(kernel(Act::Exchange, name))?;
        if attached.contains(name) {
            let link = program.attach(name).map_err(kernel(Act::Attach, name))?;
            link.pin(&path).map_err(kernel(Act::PinLink, name))?;
            replace(&path, &pins.links().join(name)).map_err(kernel(Act::ExchangeLink, name))?;
        }
    }
    // Programs that the new object does not have.
    for name in pinned_programs(pins)? {
        if !programs.iter().any(|(n, _)| *n == name) {
            let _ = fs::remove_file(pins.links().join(&name));
            fs::remove_file(pins.progs().join(&name)).map_err(kernel(Act::Remove, &name))?;
        }
    }
    let _ = fs::remove_dir(&next);
    Ok(())
}
