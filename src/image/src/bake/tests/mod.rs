//! Whole bakes of small images. What all of them need is here.

mod directory;
mod disk;
mod refused;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::process::{Command, Stdio};

use super::target::directory::copy_tree;
use super::*;

const KERNEL: &str = "CONFIG_BPF_SYSCALL=y\nCONFIG_BPF_LSM=y\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_CGROUPS=y\n\
    CONFIG_SECURITY_NETWORK=y\nCONFIG_LSM=\"landlock,apparmor\"\n";

/// A small root file system: a kernel whose list lacks bpf, GRUB, and two units.
pub(super) fn root() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("boot/config-6.1.0-1-test", KERNEL),
        (
            "boot/grub/grub.cfg",
            "menuentry x {\n\tlinux /boot/vmlinuz root=/dev/vda1 ro quiet\n\tinitrd /boot/initrd\n}\n",
        ),
        ("etc/default/grub", "GRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n"),
        ("usr/lib/systemd/system/nginx.service", "[Service]\nExecStart=/usr/sbin/nginx\n"),
        ("usr/lib/systemd/system/app@.service", "[Service]\nExecStart=/bin/true\n"),
    ] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    symlink("/usr/lib/systemd/system/nginx.service", dir.path().join("usr/lib/systemd/system/www.service")).unwrap();
    dir
}

/// The smallest static executable: an ELF header with an entry.
fn agent() -> Vec<u8> {
    let mut elf = vec![0u8; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[16..20].copy_from_slice(&[2, 0, 62, 0]);
    elf[20] = 1;
    elf[24..32].copy_from_slice(&0x40_1000u64.to_le_bytes());
    elf[52..54].copy_from_slice(&64u16.to_le_bytes());
    elf
}

/// A selector whose tables agree with it, unless it says otherwise.
struct Fake {
    text: String,
    literal: Option<String>,
    matches: fn(&str) -> bool,
    attaches: bool,
}

impl UnitSelector for Fake {
    fn text(&self) -> &str {
        &self.text
    }
    fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }
    fn matches(&self, unit: &str) -> bool {
        (self.matches)(unit)
    }
    fn instance(&self, template: &str) -> Option<String> {
        Some(template.replace('@', "@x")).filter(|i| self.matches(i))
    }
    fn filters_calls(&self, _: &str) -> bool {
        false
    }
    fn call_lines(&self, _: &str, _: &[(String, String)]) -> Vec<String> {
        Vec::new()
    }
    fn attaches(&self, unit: &str) -> bool {
        self.attaches && self.matches(unit)
    }
}

fn named(unit: &'static str) -> &'static dyn UnitSelector {
    static NAMES: std::sync::Mutex<BTreeMap<String, &'static Fake>> = std::sync::Mutex::new(BTreeMap::new());
    let fake = || Fake { text: unit.into(), literal: Some(unit.into()), matches: |_| true, attaches: true };
    *NAMES.lock().unwrap().entry(unit.to_owned()).or_insert_with(|| Box::leak(Box::new(fake())))
}

fn wild(text: &str, matches: fn(&str) -> bool) -> &'static dyn UnitSelector {
    Box::leak(Box::new(Fake { text: text.into(), literal: None, matches, attaches: true }))
}

fn payload() -> Payload<'static> {
    Payload {
        agent_path: "kiln-agent".into(),
        agent: agent(),
        tables: b"tables".to_vec(),
        signature: b"{}\n".to_vec(),
        source: Some("pdl 1;\n".into()),
        trust: BTreeMap::from([("policy.pub".to_owned(), b"key".to_vec())]),
        agent_config: b"{}\n".to_vec(),
        units: vec![named("nginx.service")],
        programs: Vec::new(),
        absent: Vec::new(),
        name: "nginx".into(),
        serial: 1,
    }
}

fn options() -> Options {
    Options {
        epoch: 1_700_000_000,
        kernel: KernelCheck::Image,
        allow_missing_units: false,
        boot_parameter_elsewhere: false,
        partition: None,
    }
}

/// Kind, mode, owner, time and contents of everything in a tree.
pub(super) fn picture(root: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.unwrap();
        let (path, meta) = (entry.path(), entry.path().symlink_metadata().unwrap());
        let what = if meta.is_symlink() {
            format!("-> {}", fs::read_link(path).unwrap().display())
        } else if meta.is_file() {
            Digest::of(&fs::read(path).unwrap()).to_string()
        } else {
            String::new()
        };
        let name = path.strip_prefix(root).unwrap().display().to_string();
        out.insert(name, format!("{:o} {}:{} {} {what}", meta.mode(), meta.uid(), meta.gid(), meta.mtime()));
    }
    out
}

fn tool(name: &str, args: &[&str], stdin: &str) {
    use std::io::Write;
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let mut command = Command::new(name);
    command.args(args).env("PATH", path).env("E2FSPROGS_FAKE_TIME", "1600000000");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

const MIB: u64 = 1 << 20;

/// A GPT disk whose second partition is the root.
pub(super) fn disk(root: &Path) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.raw");
    fs::File::create(&path).unwrap().set_len(40 * MIB).unwrap();
    let name = path.to_str().unwrap();
    tool(
        "sfdisk",
        &["-q", name],
        "label: gpt\nlabel-id: 5C2B2A4E-0F52-4C6C-9B1A-6B7E3C1D2E3F\nstart=2048, size=2048, type=U\n\
        start=8192, size=65536, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\n",
    );
    let features = ["-q", "-F", "-t", "ext4", "-U", "6f3c8d52-0f6e-4b53-a5c4-1f4d0c6b7a89", "-E"];
    let offset = format!("offset={},hash_seed=6f3c8d52-0f6e-4b53-a5c4-1f4d0c6b7a89", 4 * MIB);
    let args = [&features[..], &[&offset, "-d", root.to_str().unwrap(), name, "32M"]].concat();
    tool("mke2fs", &args, "");
    (dir, path)
}
