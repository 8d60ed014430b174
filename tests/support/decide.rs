//! `bpf/test/decide.bpf.c` on this machine's kernel, by BPF_PROG_TEST_RUN. Needs root, as loading any BPF program does.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, Object, ObjectBuilder, ProgramInput, libbpf_sys};

/// Bytes of one map value: `struct kiln_tables`.
const TABLES_BYTES: usize = 4 << 20;
const SLOTS: usize = 3072;
const SUBJECTS: usize = 1024;
const PATH_MAX: usize = 4096;
/// Of each CPU.
const SCRATCHES: u32 = 8;
/// `kind` of a path that could not be resolved.
pub const UNRESOLVED: u32 = 99;
/// `kind` of an address that could not be understood.
pub const UNKNOWN_ADDRESS: u32 = 98;

/// `struct test_request`.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Index of the subject; its label is the same number.
    pub subject: u32,
    /// Bit number.
    pub verb: u32,
    /// `enum kiln_object`, [`UNRESOLVED`] or [`UNKNOWN_ADDRESS`].
    pub kind: u32,
    /// Capability or kernel operation.
    pub bit: u32,
    /// The network key.
    pub net: [u8; 19],
    /// A path or unix socket.
    pub path: &'a [u8],
    /// The second of the wall clock at which it is asked.
    pub now: u32,
    /// Who asks; none: nobody knows.
    pub user: Option<u32>,
    /// Whether the path is put into the scratch first, as the LSM programs do by resolving it.
    pub copy: bool,
}

/// `struct test_answer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// What the hook would return.
    pub ret: i32,
    /// How many reports were made.
    pub reported: u32,
    /// Of the report: the rule.
    pub rule: u32,
    /// `enum kiln_verdict`.
    pub verdict: u8,
    /// Of the outcome.
    pub severity: u8,
    /// Of the outcome.
    pub action: u8,
    /// Of the outcome.
    pub mode: u8,
    /// The verb that was reported.
    pub verb: u32,
    /// The signal that was sent.
    pub killed: u32,
}

/// The program, loaded.
pub struct Decide {
    object: Object,
    // The kernel keeps the inner map while the outer one names it; this keeps our handle for updates.
    inner: MapHandle,
}

/// Compiles the program; `keep` is where the object goes.
fn build(keep: &Path) -> PathBuf {
    // A member's tests and the benchmarks of the root package share this file.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = here.ancestors().map(|d| d.join("bpf/test/decide.bpf.c")).find(|p| p.exists()).expect("a checkout");
    let headers = keep.join("include");
    std::fs::create_dir_all(&headers).unwrap();
    for (name, text) in libbpf_sys::API_HEADERS {
        std::fs::write(headers.join(name), text).unwrap();
    }
    let object = keep.join("decide.bpf.o");
    let arch = if cfg!(target_arch = "aarch64") { "-D__TARGET_ARCH_arm64" } else { "-D__TARGET_ARCH_x86" };
    let status = Command::new("clang")
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3", arch, "-I"])
        .arg(&headers)
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(&object)
        .status()
        .expect("clang is there");
    assert!(status.success(), "clang failed");
    object
}

impl Decide {
    /// Builds and loads it.
    pub fn new() -> Decide {
        let keep = tempfile::tempdir().unwrap();
        let path = build(keep.path());
        let mut open = ObjectBuilder::default().open_file(path).unwrap();
        let cpus = libbpf_rs::num_possible_cpus().unwrap() as u32;
        open.maps_mut().find(|m| m.name() == "kiln_scratches").unwrap().set_max_entries(SCRATCHES * cpus).unwrap();
        let object = open.load().expect("loading a BPF program needs root");
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
            ..Default::default()
        };
        let inner = MapHandle::create(MapType::Array, Some("tables"), 4, TABLES_BYTES as u32, 1, &options).unwrap();
        let decide = Decide { object, inner };
        let fd = decide.inner.as_fd().as_raw_fd().to_ne_bytes();
        decide.map("kiln_tables_outer").update(&0u32.to_ne_bytes(), &fd, MapFlags::ANY).unwrap();
        decide
    }

    fn map(&self, name: &str) -> impl MapCore + '_ {
        self.object.maps().find(|m| m.name() == name).unwrap()
    }

    /// Makes a kernel part the policy; each subject's label is its index.
    pub fn load(&self, kernel_part: &[u8]) {
        let mut value = Vec::with_capacity(TABLES_BYTES);
        (0..SLOTS as u32).for_each(|label| value.extend((label + 1).to_le_bytes()));
        (0..SUBJECTS as u32).for_each(|subject| value.extend(subject.to_le_bytes()));
        value.extend(kernel_part);
        assert!(value.len() <= TABLES_BYTES);
        value.resize(TABLES_BYTES, 0);
        self.inner.update(&0u32.to_ne_bytes(), &value, MapFlags::ANY).unwrap();
    }

    /// Says which windows are open: from a second on until another, and since when what is.
    pub fn schedule(&self, from: i64, until: i64, openings: &[(i64, u64)]) {
        const GENERATIONS: usize = 4;
        const OPENINGS: usize = 4096;
        let mut value = vec![0u64; 3 + GENERATIONS + GENERATIONS * 2 * (3 + OPENINGS)];
        let schedule = &mut value[3 + GENERATIONS..];
        schedule[..3].copy_from_slice(&[from as u64, until as u64, openings.len() as u64]);
        for (entry, (at, open)) in schedule[3..].iter_mut().zip(openings) {
            *entry = (*at as u64) << 24 | open;
        }
        let bytes: Vec<u8> = value.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.map(".bss.clock").update(&0u32.to_ne_bytes(), &bytes, MapFlags::ANY).unwrap();
    }

    /// Writes the request, runs the program, reads what came of it.
    pub fn ask(&mut self, request: &Request<'_>) -> Answer {
        self.put(request);
        self.map("test_answers").update(&0u32.to_ne_bytes(), &[0; 24], MapFlags::ANY).unwrap();
        self.run("decide", 1);
        let bytes = self.map("test_answers").lookup(&0u32.to_ne_bytes(), MapFlags::ANY).unwrap().unwrap();
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        Answer {
            ret: word(0) as i32,
            reported: word(4),
            rule: word(8),
            verdict: bytes[12],
            severity: bytes[13],
            action: bytes[14],
            mode: bytes[15],
            verb: word(16),
            killed: word(20),
        }
    }

    /// Writes the request only, for [`Decide::run`].
    pub fn put(&self, r: &Request<'_>) {
        assert!(r.path.len() <= PATH_MAX);
        let mut value = Vec::with_capacity(56 + PATH_MAX);
        for field in [r.subject, r.verb, r.kind, r.bit, r.path.len() as u32, r.copy.into()] {
            value.extend(field.to_ne_bytes());
        }
        value.extend(r.net);
        value.resize(44, 0);
        value.extend(r.now.to_ne_bytes());
        value.extend(r.user.map_or(2 << 32, u64::from).to_ne_bytes());
        value.extend(r.path);
        value.resize(56 + PATH_MAX, 0);
        self.map("test_requests").update(&0u32.to_ne_bytes(), &value, MapFlags::ANY).unwrap();
    }

    /// Runs a program of the object `repeat` times on the request that was put; the mean time of one run, by the
    /// kernel's own clock.
    pub fn run(&mut self, program: &str, repeat: u32) -> Duration {
        let program = self.object.progs_mut().find(|p| p.name() == program).unwrap();
        let frame = [0u8; 64];
        let input = ProgramInput { data_in: Some(&frame), repeat, ..Default::default() };
        let output = program.test_run(input).unwrap();
        assert_eq!(output.return_value, 0);
        output.duration
    }
}
