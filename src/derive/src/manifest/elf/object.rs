//! The headers of an ELF file, as the kernel and the loader read them: program headers only. A section table may be missing
//! or wrong; neither looks at it.

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;

const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DT_AUDIT: u64 = 0x6fff_fefc;
const DT_DEPAUDIT: u64 = 0x6fff_fefb;
const DT_AUXILIARY: u64 = 0x7fff_fffd;
const DT_FILTER: u64 = 0x7fff_ffff;
/// DF_1_NODEFLIB of DT_FLAGS_1.
const NODEFLIB: u64 = 0x800;

/// Entries of a dynamic section that are read.
const MAX_ENTRIES: u64 = 100_000;
/// Longest string (PATH_MAX).
const MAX_STRING: usize = 4096;

/// Something that the loader opens for an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// `DT_NEEDED` and its kin.
    pub tag: &'static str,
    /// The name or path.
    pub name: String,
    /// Whether the object works without it (`DT_AUXILIARY`).
    pub optional: bool,
}

/// What an ELF file asks of the loader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// PT_INTERP.
    pub interpreter: Option<String>,
    /// What it needs, in order.
    pub needed: Vec<Need>,
    /// DT_SONAME.
    pub soname: Option<String>,
    /// DT_RPATH, without a DT_RUNPATH beside it.
    pub rpath: Vec<String>,
    /// DT_RUNPATH.
    pub runpath: Vec<String>,
    /// Whether the folders that the loader has built in do not count.
    pub no_defaults: bool,
    /// Whether it names pthread_getattr_np(3), by which a run-time library asks where the first thread's stack is.
    pub asks_for_stack: bool,
    /// e_machine and 64 bits or not: libraries must agree.
    pub kind: (u16, bool),
}

/// As it stands in a table of names.
const STACK_OF_FIRST: &[u8] = b"\0pthread_getattr_np\0";

/// The numbers of a file in its own byte order and width.
struct View<'a> {
    bytes: &'a [u8],
    little: bool,
    wide: bool,
}

impl View<'_> {
    fn number(&self, at: u64, len: usize) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(len)?)?;
        let fold = |n: u64, b: &u8| n << 8 | u64::from(*b);
        Some(if self.little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) })
    }
    fn half(&self, at: u64) -> Option<u16> {
        Some(self.number(at, 2)? as u16)
    }
    fn word(&self, at: u64) -> Option<u32> {
        Some(self.number(at, 4)? as u32)
    }
    /// An address or size: 8 bytes, 4 in a narrow file.
    fn long(&self, at: u64) -> Option<u64> {
        self.number(at, if self.wide { 8 } else { 4 })
    }
    fn string(&self, at: u64) -> Option<String> {
        let bytes = self.bytes.get(usize::try_from(at).ok()?..)?;
        let len = bytes.iter().take(MAX_STRING).position(|b| *b == 0)?;
        Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

/// Reads the headers; `None` if Linux would not run or load the file.
pub fn object(bytes: &[u8]) -> Option<Object> {
    let ident = bytes.strip_prefix(b"\x7fELF")?;
    let view = View {
        bytes,
        wide: match ident.first()? {
            1 => false,
            2 => true,
            _ => return None,
        },
        little: match ident.get(1)? {
            1 => true,
            2 => false,
            _ => return None,
        },
    };
    if !matches!(view.half(16)?, ET_EXEC | ET_DYN) {
        return None;
    }
    let wide = view.wide;
    let mut out = Object { kind: (view.half(18)?, wide), ..Object::default() };
    let table = view.long(if wide { 32 } else { 28 })?;
    let size = view.half(if wide { 54 } else { 42 })?;
    let count = view.half(if wide { 56 } else { 44 })?;
    if size != if wide { 56 } else { 32 } || count == 0 {
        return None;
    }
    let mut segments = Vec::new();
    for n in 0..u64::from(count) {
        let at = table.checked_add(n * u64::from(size))?;
        segments.push(Segment {
            kind: view.word(at)?,
            offset: view.long(at.checked_add(if wide { 8 } else { 4 })?)?,
            address: view.long(at.checked_add(if wide { 16 } else { 8 })?)?,
            size: view.long(at.checked_add(if wide { 32 } else { 16 })?)?,
        });
    }
    out.interpreter = segments.iter().find(|s| s.kind == PT_INTERP).and_then(|s| view.string(s.offset));
    if let Some(dynamic) = segments.iter().find(|s| s.kind == PT_DYNAMIC) {
        entries(&view, &segments, dynamic, &mut out);
    }
    Some(out)
}

fn entries(view: &View<'_>, segments: &[Segment], dynamic: &Segment, out: &mut Object) {
    let half: u64 = if view.wide { 8 } else { 4 };
    let count = (dynamic.size / (2 * half)).min(MAX_ENTRIES);
    let entry = |n: u64| {
        let at = dynamic.offset.checked_add(n * 2 * half)?;
        Some((view.long(at)?, view.long(at + half)?))
    };
    // Tags of 32 bits are sign-extended nowhere that matters here.
    let all: Vec<(u64, u64)> = (0..count).map_while(entry).take_while(|(tag, _)| *tag != 0).collect();
    let Some((_, address)) = all.iter().find(|(tag, _)| *tag == DT_STRTAB) else { return };
    let load = segments.iter().find(|s| s.kind == PT_LOAD && s.address <= *address && *address - s.address < s.size);
    let Some(strings) = load.and_then(|s| s.offset.checked_add(address - s.address)) else { return };
    let text = |value: u64| view.string(strings.checked_add(value)?).filter(|t| !t.is_empty());
    let paths = |value| {
        text(value)
            .into_iter()
            .flat_map(|list| list.split(':').map(str::to_owned).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let size = all.iter().find(|(tag, _)| *tag == DT_STRSZ).map_or(0, |(_, size)| *size);
    let names = usize::try_from(strings).ok().zip(usize::try_from(size).ok());
    let names = names.and_then(|(at, len)| view.bytes.get(at..at.checked_add(len)?)).unwrap_or_default();
    out.asks_for_stack = names.windows(STACK_OF_FIRST.len()).any(|w| w == STACK_OF_FIRST);
    let mut has_runpath = false;
    for (tag, value) in all {
        let mut need = |tag, optional| out.needed.extend(text(value).map(|name| Need { tag, name, optional }));
        match tag {
            DT_NEEDED => need("DT_NEEDED", false),
            DT_FILTER => need("DT_FILTER", false),
            DT_AUXILIARY => need("DT_AUXILIARY", true),
            DT_AUDIT => need("DT_AUDIT", true),
            DT_DEPAUDIT => need("DT_DEPAUDIT", true),
            DT_SONAME => out.soname = text(value),
            DT_RPATH => out.rpath.extend(paths(value)),
            DT_RUNPATH => {
                has_runpath = true;
                out.runpath.extend(paths(value));
            }
            DT_FLAGS_1 => out.no_defaults = value & NODEFLIB != 0,
            _ => {}
        }
    }
    if has_runpath {
        out.rpath.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    #[test]
    fn section_headers_do_not_count() {
        let mut bytes = own();
        let before = object(&bytes).unwrap();
        assert!(before.interpreter.is_some() && before.needed.iter().any(|n| n.name == "libc.so.6"));
        // e_shoff; e_shentsize, e_shnum, e_shstrndx.
        bytes[40..48].fill(0xff);
        bytes[58..64].fill(0xff);
        assert_eq!(object(&bytes), Some(before));
        bytes[56..58].fill(0);
        assert_eq!(object(&bytes), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = object(&[b"\x7fELF\x02\x01\x01".as_slice(), &tail].concat());
        }

        #[test]
        fn no_damaged_program_panics(at in 0usize..4096, value: u8, cut in 0usize..100_000) {
            let mut bytes = Vec::new();
            let me = std::fs::File::open("/proc/self/exe").unwrap();
            std::io::Read::read_to_end(&mut std::io::Read::take(me, cut.max(64) as u64), &mut bytes).unwrap();
            if let Some(b) = bytes.get_mut(at) {
                *b = value;
            }
            let _ = object(&bytes);
        }
    }
}
