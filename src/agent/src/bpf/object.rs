//! The embedded BPF object: loading it, onto maps of an earlier load where there are any.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kiln_base::abi::layout::SCRATCHES;
use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{DeclTag, Func, FuncProto};
use libbpf_rs::{AsRawLibbpf, MapCore, ObjectBuilder, OpenProgram, PrintLevel, ProgramType, ReferencesType};

use crate::bpf::map::Map;
use crate::bpf::pins::Pins;
use crate::bpf::prog::Prog;
use crate::error::{AgentError, Lack, ObjectStep, Result, Step};

/// libbpf reads the file in place and wants it aligned as an ELF file in memory.
#[repr(C, align(16))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kiln.bpf.o")));

/// The embedded object file.
pub fn bytes() -> &'static [u8] {
    &OBJECT.0
}

/// `compiled` by this build, or `prebuilt`.
pub const ORIGIN: &str = env!("KILN_BPF_ORIGIN");

/// Sections of variables, and what the maps that libbpf makes of them are pinned as: bpffs keeps names with dots to
/// itself.
const SECTIONS: [(&str, &str); 3] =
    [(".data.state", "kiln_state"), (".bss.groups", "kiln_groups"), (".bss.clock", "kiln_clock")];

/// Maps with entries of each CPU, and how many.
const OF_EACH_CPU: [(&str, u32); 2] = [("kiln_scratches", SCRATCHES), ("kiln_answers", 1)];

/// What a map is pinned as.
fn pin_name(map: &OsStr) -> String {
    let section = SECTIONS.iter().find(|(section, _)| map == *section);
    section.map_or_else(|| map.to_string_lossy().into_owned(), |(_, name)| (*name).to_owned())
}

/// The programs of the object as loaded, by name.
pub struct Loaded {
    /// Name as in the object (longer than the kernel keeps), and the program.
    pub programs: Vec<(String, Prog)>,
    /// Maps by name.
    pub maps: Vec<(String, Map)>,
    /// Programs whose hook this kernel does not have.
    pub absent: Vec<String>,
}

/// What `NEEDS()` of `bpf/include/needs.h` writes before its words.
const NEEDS: &str = "kiln:needs ";

/// The names of the object's programs, and what each says of when it must be attached.
///
/// # Errors
/// If the embedded object cannot be read.
pub fn needs() -> Result<Vec<(String, Option<String>)>> {
    let open =
        ObjectBuilder::default().name("kiln").and_then(|b| b.open_memory(bytes())).map_err(failed(ObjectStep::Open))?;
    // SAFETY: the object is open, and stays so for longer than its type information is looked at.
    let object = unsafe { open.as_libbpf_object().as_ref() };
    let types = Btf::from_bpf_object(object).map_err(failed(ObjectStep::Open))?;
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for tag in types.iter().flat_map(|types| types.type_by_kind::<DeclTag<'_>>()) {
        let words = tag.name().and_then(OsStr::to_str).and_then(|text| text.strip_prefix(NEEDS));
        if let (Some(words), Some(program)) = (words, tag.referenced_type().name()) {
            found.insert(program.to_string_lossy().into_owned(), words.to_owned());
        }
    }
    let name = |program: OpenProgram<'_>| program.name().to_string_lossy().into_owned();
    Ok(open.progs().map(name).map(|name| (name.clone(), found.remove(&name))).collect())
}

/// Loads the programs that are wanted and whose hook the kernel has: each costs the verifier's time, at boot too. Maps
/// that are pinned already are shared.
///
/// # Errors
/// If the kernel refuses; the verifier's words are in the error.
pub fn load(pins: &Pins, want: &dyn Fn(&str) -> bool) -> Result<Loaded> {
    let kernel = Btf::from_vmlinux().map_err(Lack::Types)?;
    let mut open =
        ObjectBuilder::default().name("kiln").and_then(|b| b.open_memory(bytes())).map_err(failed(ObjectStep::Open))?;
    let mut absent = Vec::new();
    for mut program in open.progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        let present = has_hook(&kernel, &name, program.prog_type(), &program.section().to_string_lossy());
        program.set_autoload(present && want(&name));
        if !present {
            absent.push(name);
        }
    }
    drop(kernel);
    for mut map in open.maps_mut() {
        let path = pins.maps().join(pin_name(map.name()));
        if path.exists() {
            map.reuse_pinned_map(&path).map_err(failed(ObjectStep::Share(path)))?;
        } else if let Some((_, each)) = OF_EACH_CPU.iter().find(|(name, _)| map.name() == *name) {
            let cpus = libbpf_rs::num_possible_cpus().map_err(failed(ObjectStep::CountCpus))?;
            map.set_max_entries(each * cpus as u32).map_err(failed(ObjectStep::SizeScratches))?;
        }
    }
    said().clear();
    let object = open.load().map_err(|e| {
        let said = said();
        let tail = said.len().saturating_sub(WORDS);
        failed(ObjectStep::Load(said[tail..].concat().trim_end().to_owned()))(e)
    })?;
    let dup = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
    let io = |what: &str, e: io::Error| AgentError::kernel(Step::Take(what.to_owned()), e);
    let mut loaded = Loaded { programs: Vec::new(), maps: Vec::new(), absent };
    for program in object.progs() {
        let name = program.name().to_string_lossy().into_owned();
        if loaded.absent.contains(&name) || !want(&name) {
            continue;
        }
        use std::os::fd::AsFd;
        let prog = dup(program.as_fd()).and_then(Prog::from_fd).map_err(|e| io(&name, e))?;
        loaded.programs.push((name, prog));
    }
    for map in object.maps() {
        use std::os::fd::AsFd;
        let name = pin_name(map.name());
        let map = dup(map.as_fd()).and_then(Map::from_fd).map_err(|e| io(&name, e))?;
        loaded.maps.push((name, map));
    }
    Ok(loaded)
}

/// Whether the kernel has the hook of an LSM program, with the arguments that it reads, or the function at whose entry
/// or return a program is.
fn has_hook(kernel: &Btf<'_>, program: &str, kind: ProgramType, section: &str) -> bool {
    let Some((place, hook)) = section.rsplit_once('/') else { return false };
    if kind != ProgramType::Lsm {
        return !(place.ends_with("fentry") || place.ends_with("fexit"))
            || kernel.type_by_name::<Func<'_>>(hook).is_some();
    }
    let Some(func) = kernel.type_by_name::<Func<'_>>(&format!("bpf_lsm_{hook}")) else { return false };
    // The mount's id mapping was added to inode_setattr after 6.1; the object has a program for either form.
    let arguments = FuncProto::try_from(func.referenced_type()).map_or(0, |p| p.iter().count());
    match program {
        "kiln_inode_setattr" => arguments == 2,
        "kiln_inode_setattr_idmap" => arguments == 3,
        _ => true,
    }
}

fn failed(step: ObjectStep) -> impl FnOnce(libbpf_rs::Error) -> AgentError {
    move |source| Lack::Object { step, source }.into()
}

/// Whether the BPF LSM decides: `bpf` among the active LSMs.
///
/// # Errors
/// If not, with the mend.
pub fn check_lsm(securityfs: &Path) -> Result<()> {
    let path = securityfs.join("lsm");
    // Without securityfs the attachment itself will tell; an LSM that is not active is silent, so ask where possible.
    let Ok(list) = std::fs::read_to_string(&path) else { return Ok(()) };
    if list.trim().split(',').any(|l| l == "bpf") {
        return Ok(());
    }
    Err(Lack::Lsm(list.trim().to_owned()).into())
}

/// Lines of libbpf's messages, which have the verifier's log, that an error shows.
const WORDS: usize = 12;

/// libbpf's warnings since the last load began. It prints a program's log as one message.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn said() -> MutexGuard<'static, Vec<String>> {
    SAID.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps libbpf's own messages from standard error; the errors of [`load`] carry their last lines.
pub fn quiet() {
    let keep = |_, message: String| said().extend(message.split_inclusive('\n').map(str::to_owned));
    let _ = libbpf_rs::set_print(Some((PrintLevel::Warn, keep)));
}
