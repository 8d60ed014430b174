use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::process::Stdio;

use super::*;

const KERNEL: &str = "CONFIG_BPF_SYSCALL=y\nCONFIG_BPF_LSM=y\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_CGROUPS=y\n\
    CONFIG_SECURITY_NETWORK=y\nCONFIG_LSM=\"landlock,apparmor\"\n";

/// A small root file system: a kernel whose list lacks bpf, GRUB, and two units.
fn root() -> tempfile::TempDir {
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
fn picture(root: &Path) -> BTreeMap<String, String> {
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
fn disk(root: &Path) -> (tempfile::TempDir, PathBuf) {
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

#[test]
fn a_directory_gets_everything_and_the_second_bake_changes_nothing() {
    let dir = root();
    let report = bake(dir.path(), None, &payload(), &options()).unwrap();
    assert_eq!(report.units, ["nginx.service"]);
    assert_eq!(report.kernels, ["6.1.0-1-test"]);
    let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
    assert!(read("usr/lib/systemd/system/nginx.service.d/50-kiln.conf").contains("Requires=kiln-load.service"));
    assert!(
        read("boot/grub/grub.cfg").contains("linux /boot/vmlinuz root=/dev/vda1 ro quiet lsm=landlock,apparmor,bpf\n")
    );
    assert!(read("etc/default/grub.d/50-kiln.cfg").contains("$GRUB_CMDLINE_LINUX lsm=landlock,apparmor,bpf"));
    for (unit, targets) in [("kiln-load.service", 2), ("kiln-agent.service", 1)] {
        let links: Vec<_> = report.written.iter().filter(|p| p.contains(".wants/") && p.ends_with(unit)).collect();
        assert_eq!(links.len(), targets);
        for link in links {
            let link = dir.path().join(&link[1..]);
            assert!(link.parent().unwrap().join(fs::read_link(&link).unwrap()).exists());
        }
    }
    let manifest: Manifest = serde_json::from_str(&read("usr/lib/kiln/manifest.json")).unwrap();
    for (path, digest) in &manifest.files {
        assert_eq!(Digest::of(&fs::read(dir.path().join(&path[1..])).unwrap()), *digest, "{path}");
    }
    assert_eq!(Digest::of(&fs::read(dir.path().join(layout::MANIFEST)).unwrap()), report.image);
    assert_eq!(fs::metadata(dir.path().join(layout::AGENT)).unwrap().mode() & 0o7777, 0o755);

    let before = picture(dir.path());
    let again = bake(dir.path(), None, &payload(), &options()).unwrap();
    assert!(again.written.is_empty() && again.removed.is_empty() && again.boot.is_empty(), "{again:?}");
    assert_eq!(again.image, report.image);
    assert_eq!(picture(dir.path()), before);
}

#[test]
fn two_bakes_of_the_same_image_are_the_same() {
    let one = root();
    let two = tempfile::tempdir().unwrap();
    let copy = two.path().join("root");
    copy_tree(one.path(), &copy).unwrap();
    bake(one.path(), None, &payload(), &options()).unwrap();
    bake(&copy, None, &payload(), &options()).unwrap();
    assert_eq!(picture(one.path()), picture(&copy));
}

#[test]
fn a_later_bake_replaces_the_earlier_whole() {
    let (dir, other) = (root(), root());
    let mut first = payload();
    first.trust.insert("policy-old.pub".into(), b"old".to_vec());
    first.units = vec![wild("app@*", |u| u.starts_with("app@"))];
    bake(dir.path(), None, &first, &options()).unwrap();
    // A key that nobody baked is not trusted after the next bake.
    fs::write(dir.path().join("usr/lib/kiln/trust/policy-planted.pub"), "planted").unwrap();
    let report = bake(dir.path(), None, &payload(), &options()).unwrap();
    bake(other.path(), None, &payload(), &options()).unwrap();
    assert!(report.removed.contains(&"/usr/lib/kiln/trust/policy-planted.pub".to_owned()));
    let files =
        |root: &Path| picture(root).into_iter().filter(|(_, v)| !v.starts_with('4')).collect::<BTreeMap<_, _>>();
    let strip = |p: BTreeMap<String, String>| {
        p.into_iter().filter(|(k, _)| k.starts_with("usr/lib/kiln") || k.contains("kiln")).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(strip(files(dir.path())), strip(files(other.path())));
}

#[test]
fn output_leaves_the_target_alone() {
    let dir = root();
    let before = picture(dir.path());
    let out = tempfile::tempdir().unwrap();
    let report = bake(dir.path(), Some(&out.path().join("baked")), &payload(), &options()).unwrap();
    assert_eq!(picture(dir.path()), before);
    assert!(out.path().join("baked/usr/lib/kiln/kiln-agent").exists());
    assert_eq!(report.target, out.path().join("baked"));
    assert!(bake(dir.path(), Some(&out.path().join("baked")), &payload(), &options()).is_err());
    // A failure leaves no output at all.
    let mut bad = payload();
    bad.units = vec![named("none.service")];
    assert!(bake(dir.path(), Some(&out.path().join("failed")), &bad, &options()).is_err());
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
}

#[test]
fn no_link_of_the_image_is_followed_where_something_is_written() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("victim"), "safe").unwrap();
    let plan = {
        let dir = root();
        plan::plan(&RootDir::open(dir.path()).unwrap(), &payload(), &options()).unwrap()
    };
    let is_link = |c: &&Change| matches!(c.node, Some(image::Node::Link { .. }));
    let links: Vec<String> = plan.changes.iter().filter(is_link).map(|c| c.path.clone()).collect();
    let mut places: Vec<String> = Vec::new();
    for change in &plan.changes {
        places.extend(image::ancestors(&change.path).map(str::to_owned));
        places.push(change.path.clone());
    }
    places.sort();
    places.dedup();
    let victim = outside.path().join("victim").display().to_string();
    let mut tried = 0;
    for place in places {
        for target in
            [outside.path().to_str().unwrap(), &victim, "../../../../../../../etc", "nowhere", "/proc/self/root"]
        {
            let dir = root();
            let at = dir.path().join(&place);
            if at.is_dir() {
                fs::rename(&at, dir.path().join("moved")).unwrap();
            } else if at.exists() {
                fs::remove_file(&at).unwrap();
            }
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            symlink(target, &at).unwrap();
            let before = (picture(dir.path()), picture(outside.path()));
            let result = bake(dir.path(), None, &payload(), &options());
            if links.contains(&place) {
                // Where Kiln puts a link of its own, another one is replaced, never followed.
                result.unwrap();
                assert_eq!(picture(outside.path()), before.1, "{place} -> {target}");
                assert!(fs::read_link(&at).unwrap().starts_with(".."));
                continue;
            }
            let error = result.unwrap_err();
            assert!(!matches!(error, BakeError::Rollback { .. }), "{place} -> {target}: {error}");
            assert_eq!((picture(dir.path()), picture(outside.path())), before, "{place} -> {target}");
            tried += 1;
        }
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn what_stands_in_the_way_stops_the_bake_and_stays() {
    for (place, as_dir) in [
        ("usr/lib/kiln", false),
        ("usr/lib/kiln/kiln-agent", true),
        ("usr/lib/kiln/trust", false),
        ("usr/lib/systemd/system/nginx.service.d", false),
        ("usr/lib/systemd/system/kiln-load.service", true),
        (".kiln-bake", false),
        ("etc/systemd/system/kiln-load.service", false),
        ("etc/systemd/system/kiln-agent.service.d", true),
    ] {
        let dir = root();
        let at = dir.path().join(place);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        if as_dir {
            fs::create_dir(&at).unwrap()
        } else {
            fs::write(&at, "mine").unwrap()
        }
        let before = picture(dir.path());
        let error = bake(dir.path(), None, &payload(), &options()).unwrap_err().to_string();
        assert!(error.contains("in the image"), "{place}: {error}");
        assert_eq!(picture(dir.path()), before, "{place}");
    }
}

#[test]
fn what_cannot_work_is_said() {
    let dir = root();
    let before = picture(dir.path());
    let say = |payload: &Payload<'_>, options: &Options| {
        let error = bake(dir.path(), None, payload, options).unwrap_err().to_string();
        assert_eq!(picture(dir.path()), before);
        error
    };
    let unit = |name: &'static str| Payload { units: vec![named(name)], ..payload() };
    assert!(say(&unit("none.service"), &options()).contains("none.service, which"));
    assert!(say(&unit("ngin.service"), &options()).contains("ngin.service (near to it: nginx.service)"));
    assert!(say(&unit("www.service"), &options()).contains("alias of nginx.service"));
    assert!(say(&unit("app@.service"), &options()).contains("write app@*.service"));
    assert!(say(&unit("app@a\\x2db.service"), &options()).contains("written with two: `\\\\x2d`"));
    let none = Payload { units: vec![wild("db-*", |u| u.starts_with("db-"))], ..payload() };
    assert!(say(&none, &options()).contains("db-*, which"));
    let forged = Fake { text: "nginx*".into(), literal: None, matches: |u| u.starts_with("nginx"), attaches: false };
    let forged = Payload { units: vec![&forged], ..payload() };
    assert!(say(&forged, &options()).contains("would not confine nginx.service"));
    symlink("usr/bin", dir.path().join("bin")).unwrap();
    symlink("tool", dir.path().join("usr/tool2")).unwrap();
    fs::write(dir.path().join("usr/tool"), "").unwrap();
    let before = picture(dir.path());
    let say = |payload: &Payload<'_>, options: &Options| {
        let error = bake(dir.path(), None, payload, options).unwrap_err().to_string();
        assert_eq!(picture(dir.path()), before);
        error
    };
    let programs = ["/usr/tool", "/usr/tool2", "/bin/x", "/opt/x"].map(str::to_owned).to_vec();
    let said = say(&Payload { programs, ..payload() }, &options());
    assert!(said.contains("/usr/tool2 (a link") && said.contains("/bin/x (/bin is a link"), "{said}");
    assert!(said.contains("/opt/x, which") && !said.contains("/usr/tool,"), "{said}");
    let mut dynamic = agent();
    dynamic.truncate(20);
    assert!(say(&Payload { agent: dynamic, ..payload() }, &options()).contains("ELF"));
    let this = fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(say(&Payload { agent: this, ..payload() }, &options()).contains("dynamically linked"));
    let old = Options { kernel: KernelCheck::Other("5.15.0".into(), KERNEL.into()), ..options() };
    assert!(say(&payload(), &old).contains("6.1 or newer"));
    fs::remove_dir_all(dir.path().join("boot/grub")).unwrap();
    fs::remove_dir_all(dir.path().join("etc/default")).unwrap();
    let error = bake(dir.path(), None, &payload(), &options()).unwrap_err();
    assert!(matches!(&error, BakeError::NoBootLoader(p) if p == "lsm=landlock,apparmor,bpf"), "{error}");
    let elsewhere = Options { boot_parameter_elsewhere: true, allow_missing_units: true, ..options() };
    let report = bake(dir.path(), None, &unit("none.service"), &elsewhere).unwrap();
    assert_eq!(report.warnings.iter().filter(|w| !w.contains("root")).count(), 2, "{:?}", report.warnings);
    fs::remove_file(dir.path().join("boot/config-6.1.0-1-test")).unwrap();
    assert!(matches!(bake(dir.path(), None, &payload(), &options()), Err(BakeError::NoKernel)));
}

#[test]
fn an_instance_of_a_template_and_every_unit_of_a_pattern_are_tied() {
    let dir = root();
    let mut payload = payload();
    payload.units = vec![named("app@blue.service"), wild("*", |_| true)];
    let report = bake(dir.path(), None, &payload, &options()).unwrap();
    assert_eq!(report.units, ["app@.service", "app@blue.service", "nginx.service"]);
    assert!(report.warnings.iter().any(|w| w.contains("no link in the image starts app@blue.service")));
    let wants = dir.path().join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink("/usr/lib/systemd/system/app@.service", wants.join("app@blue.service")).unwrap();
    let report = bake(dir.path(), None, &payload, &options()).unwrap();
    assert!(!report.warnings.iter().any(|w| w.contains("no link")));
}

#[test]
fn a_disk_gets_the_same_as_a_directory() {
    let dir = root();
    let (_keep, disk) = disk(dir.path());
    let report = bake(&disk, None, &payload(), &options()).unwrap();
    let same = bake(dir.path(), None, &payload(), &options()).unwrap();
    assert_eq!((report.image, &report.written), (same.image, &same.written));
    let image = open(&disk, None).unwrap();
    for path in &report.written {
        let path = &path[1..];
        let found = image.find(path).unwrap().unwrap();
        assert_eq!((found.uid, found.gid, found.mtime), (0, 0, 1_700_000_000), "{path}");
        match found.kind {
            image::Kind::Link => {
                assert_eq!(Path::new(&image.link_target(path).unwrap()), fs::read_link(dir.path().join(path)).unwrap())
            }
            _ => assert_eq!(image.read(path).unwrap(), fs::read(dir.path().join(path)).unwrap()),
        }
    }
    // Nothing beside the root partition is touched, and a second bake does not write.
    let bytes = fs::read(&disk).unwrap();
    let again = bake(&disk, None, &payload(), &options()).unwrap();
    assert!(again.written.is_empty());
    assert_eq!(fs::read(&disk).unwrap(), bytes);
    assert!(bytes[512..].starts_with(b"EFI PART"));
}

#[test]
fn two_bakes_of_the_same_disk_are_the_same_to_the_byte() {
    let dir = root();
    let (keep, disk) = disk(dir.path());
    let before = fs::read(&disk).unwrap();
    let outs = ["one.raw", "two.raw"].map(|n| keep.path().join(n));
    for out in &outs {
        bake(&disk, Some(out), &payload(), &options()).unwrap();
    }
    assert_eq!(fs::read(&disk).unwrap(), before);
    assert!(fs::read(&outs[0]).unwrap() == fs::read(&outs[1]).unwrap());
    assert_eq!(fs::read_dir(keep.path()).unwrap().count(), 3);
}

#[test]
fn a_disk_with_links_in_the_way_is_refused_and_stays() {
    for (place, target) in [
        ("usr/lib/kiln", "/etc"),
        ("usr/lib/kiln/policy.tables", "../../../etc/passwd"),
        ("usr/lib/systemd/system/nginx.service.d", "nowhere"),
        ("etc/default/grub.d", "grub.d"),
    ] {
        let dir = root();
        let at = dir.path().join(place);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, &at).unwrap();
        let (keep, disk) = disk(dir.path());
        let before = fs::read(&disk).unwrap();
        let error = bake(&disk, None, &payload(), &options()).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{place}: {error}");
        assert!(fs::read(&disk).unwrap() == before, "{place}");
        assert_eq!(fs::read_dir(keep.path()).unwrap().count(), 1);
    }
}

#[test]
fn damaged_and_foreign_disks_are_refused_and_stay() {
    let dir = root();
    let (keep, good) = disk(dir.path());
    let bad = keep.path().join("bad.raw");
    let cases: [(&str, &dyn Fn()); 11] = [
        ("empty", &|| fs::write(&bad, "").unwrap()),
        ("text", &|| fs::write(&bad, "hello ".repeat(1000)).unwrap()),
        ("zeros", &|| fs::File::create(&bad).unwrap().set_len(4 * MIB).unwrap()),
        ("short", &|| OpenOptions::new().write(true).open(&bad).unwrap().set_len(10 * MIB).unwrap()),
        ("shorter", &|| OpenOptions::new().write(true).open(&bad).unwrap().set_len(800).unwrap()),
        ("both headers", &|| {
            let file = OpenOptions::new().write(true).open(&bad).unwrap();
            file.write_all_at(&[0xff; 80], 512 + 8).unwrap();
            file.write_all_at(&[0xff; 80], 40 * MIB - 512 + 8).unwrap();
        }),
        ("entry size", &|| {
            OpenOptions::new().write(true).open(&bad).unwrap().write_all_at(&[0xff; 4], 512 + 84).unwrap();
        }),
        ("backup's entry count", &|| {
            OpenOptions::new().write(true).open(&bad).unwrap().write_all_at(&[0xff; 4], 40 * MIB - 512 + 80).unwrap();
        }),
        ("superblock", &|| {
            let file = OpenOptions::new().write(true).open(&bad).unwrap();
            file.write_all_at(&[0xff; 40], 4 * MIB + 1024).unwrap();
        }),
        ("root inode", &|| {
            // Inode tables follow the bitmaps; a wide stroke hits them.
            let file = OpenOptions::new().write(true).open(&bad).unwrap();
            file.write_all_at(&vec![0xff; 512 << 10], 4 * MIB + 64 * 1024).unwrap();
        }),
        ("qcow2", &|| fs::write(&bad, b"QFI\xfb0000000000000000000000000").unwrap()),
    ];
    for (name, damage) in cases {
        fs::copy(&good, &bad).unwrap();
        damage();
        let before = fs::read(&bad).unwrap();
        let error = bake(&bad, None, &payload(), &options()).unwrap_err().to_string();
        assert!(error.len() > 20, "{name}: {error}");
        assert!(!name.contains("entry") || error.contains("claims"), "{name}: {error}");
        assert!(fs::read(&bad).unwrap() == before, "{name}");
    }
    assert_eq!(fs::read_dir(keep.path()).unwrap().count(), 2);
}

#[test]
fn a_full_disk_is_refused_and_stays() {
    let dir = root();
    let (keep, disk) = disk(dir.path());
    let mut large = payload();
    large.tables = vec![7; 40 << 20];
    let before = fs::read(&disk).unwrap();
    let error = bake(&disk, None, &large, &options()).unwrap_err();
    assert!(matches!(error, BakeError::Tool { .. }), "{error}");
    assert!(fs::read(&disk).unwrap() == before);
    assert_eq!(fs::read_dir(keep.path()).unwrap().count(), 1);
}

#[test]
fn a_bare_file_system_and_a_named_partition_work_too() {
    let dir = root();
    let keep = tempfile::tempdir().unwrap();
    let bare = keep.path().join("bare.ext4");
    tool("mke2fs", &["-q", "-F", "-t", "ext4", "-d", dir.path().to_str().unwrap(), bare.to_str().unwrap(), "32M"], "");
    let report = bake(&bare, None, &payload(), &options()).unwrap();
    assert!(open(&bare, None).unwrap().find(layout::AGENT).unwrap().is_some());
    let (_keep, disk) = disk(dir.path());
    let named = |n| Options { partition: Some(n), ..options() };
    assert_eq!(bake(&disk, None, &payload(), &named(2)).unwrap().image, report.image);
    assert!(bake(&disk, None, &payload(), &named(1)).unwrap_err().to_string().contains("not ext4"));
    assert!(bake(&disk, None, &payload(), &named(9)).unwrap_err().to_string().contains("no partition 9"));
}

/// What Debian, Android and small machines make file systems with; e2fsck judges, for a bake ends with it.
#[test]
fn features_of_ext4_that_images_have_work() {
    let dir = root();
    let keep = tempfile::tempdir().unwrap();
    let mut images = Vec::new();
    for (n, options) in [
        "-O inline_data -I 256",
        "-O meta_bg,^resize_inode,large_dir,ea_inode",
        "-O casefold,mmp -E encoding=utf8",
        "-I 128 -b 2048 -O ^extent,^64bit,^huge_file,^flex_bg,^filetype",
        "-O quota,project -I 256 -E quotatype=usrquota:grpquota:prjquota",
    ]
    .iter()
    .enumerate()
    {
        let disk = keep.path().join(format!("{n}.ext4"));
        let end = ["-d", dir.path().to_str().unwrap(), disk.to_str().unwrap(), "32M"];
        let args: Vec<&str> = ["-q", "-F", "-t", "ext4"].into_iter().chain(options.split(' ')).chain(end).collect();
        tool("mke2fs", &args, "");
        let report =
            bake(&disk, None, &payload(), &super::tests::options()).unwrap_or_else(|e| panic!("{options}: {e}"));
        tool("e2fsck", &["-fn", disk.to_str().unwrap()], "");
        let again = bake(&disk, None, &payload(), &super::tests::options()).unwrap();
        assert!(!report.written.is_empty() && again.written.is_empty(), "{options}");
        let (tree, plain) = (open(&disk, None).unwrap(), open(dir.path(), None).unwrap());
        let units = "usr/lib/systemd/system";
        for name in plain.list(units).unwrap() {
            let path = format!("{units}/{name}");
            if plain.find(&path).unwrap().is_some_and(|f| f.kind == image::Kind::File) {
                assert_eq!(tree.read(&path).unwrap(), plain.read(&path).unwrap(), "{options}: {path}");
            }
        }
        images.push(report.image);
    }
    images.dedup();
    assert_eq!(images.len(), 1, "the same files are the same image");
}

#[test]
fn a_folder_whose_names_are_not_as_written_is_refused() {
    let dir = root();
    let keep = tempfile::tempdir().unwrap();
    let disk = keep.path().join("d.ext4");
    let (from, to) = (dir.path().to_str().unwrap(), disk.to_str().unwrap());
    tool("mke2fs", &["-q", "-F", "-t", "ext4", "-O", "casefold", "-E", "encoding=utf8", "-d", from, to, "32M"], "");
    tool("debugfs", &["-w", "-R", "set_inode_field /usr/lib flags 0x40080000", to], "");
    let before = fs::read(&disk).unwrap();
    let error = bake(&disk, None, &payload(), &options()).unwrap_err().to_string();
    assert!(error.contains("/usr/lib does not tell upper from lower case (casefold)"), "{error}");
    assert!(fs::read(&disk).unwrap() == before);
    // A feature that nobody has yet.
    let file = OpenOptions::new().read(true).write(true).open(&disk).unwrap();
    file.write_all_at(&0x0042_82c2_u32.to_le_bytes(), 1024 + 96).unwrap();
    let error = bake(&disk, None, &payload(), &options()).unwrap_err().to_string();
    assert!(error.contains("which has inline_data, casefold, 0x400000"), "{error}");
}

#[test]
fn a_journal_that_was_not_replayed_is_refused() {
    let dir = root();
    let (_keep, disk) = disk(dir.path());
    let file = OpenOptions::new().read(true).write(true).open(&disk).unwrap();
    let at = 4 * MIB + 1024 + 96;
    let mut flags = [0; 4];
    file.read_exact_at(&mut flags, at).unwrap();
    file.write_all_at(&(u32::from_le_bytes(flags) | 4).to_le_bytes(), at).unwrap();
    let before = fs::read(&disk).unwrap();
    assert!(bake(&disk, None, &payload(), &options()).unwrap_err().to_string().contains("not unmounted cleanly"));
    assert!(fs::read(&disk).unwrap() == before);
}

#[test]
fn random_damage_is_an_error_or_harmless_and_never_half_done() {
    let dir = root();
    let (keep, good) = disk(dir.path());
    let (bad, out) = (keep.path().join("bad.raw"), keep.path().join("out.raw"));
    let good = fs::read(&good).unwrap();
    // A linear congruential generator (Knuth, MMIX): the same damage in each run.
    let mut state = 42u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut refused, mut baked) = (0, 0);
    for round in 0..48 {
        let mut bytes = good.clone();
        // GPT, superblock and group descriptors; then bitmaps, inodes and directories.
        let (from, len) = if round % 2 == 0 { (512, 4 * MIB + 8192) } else { (4 * MIB + 4096, 3 * MIB) };
        for _ in 0..(1 << (round % 8)) {
            bytes[usize::try_from(from + next(len)).unwrap()] = next(256) as u8;
        }
        fs::write(&bad, &bytes).unwrap();
        match bake(&bad, Some(&out), &payload(), &options()) {
            Ok(_) => {
                baked += 1;
                fs::remove_file(&out).unwrap();
            }
            Err(_) => refused += 1,
        }
        assert!(fs::read(&bad).unwrap() == bytes, "round {round}");
        assert!(!out.exists());
    }
    assert!(refused > 5 && baked > 5, "{refused} refused, {baked} baked");
}
