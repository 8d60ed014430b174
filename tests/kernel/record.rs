//! Records the gate's benign corpus: `just record`. A Debian guest does an hour's ordinary work in some minutes, under a
//! policy that watches the whole host, and what the agent reports becomes tests/corpus/gate/default/recorded.jsonl.gz.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use libtest_mimic::{Failed, Trial};

use crate::gate::{TIMEOUT, boot, bring, debian};
use crate::{build, policy};

/// A repository is not a place for more: work that makes so many events is not ordinary, or the policy watches too much.
const MOST_BYTES: usize = 500_000;

/// Only when asked for: it changes the repository.
pub fn trial() -> Trial {
    Trial::test("record::benign", || record().map_err(Failed::from)).with_ignored_flag(true)
}

fn record() -> Result<(), String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/record/policy.pdl");
    let text = fs::read_to_string(&source).map_err(|error| format!("{}: {error}", source.display()))?;
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("record");
    let (kernel, disk) = debian(&work, "bookworm")?;
    let told = ordinary_work(&work, &kernel, &disk, &policy::compile("policy.pdl", &text, "6.1", 1)?, &[])?;

    let events: String = told
        .lines()
        .filter_map(|line| line.strip_prefix("event "))
        .map(|event| event.trim().to_owned() + "\n")
        .collect();
    if events.is_empty() || events.len() > MOST_BYTES {
        return Err(format!("{} bytes of events are none or too many; see {}", events.len(), work.display()));
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/gate/default/recorded.jsonl.gz");
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let packed =
        packed.write_all(events.as_bytes()).and_then(|()| packed.finish()).map_err(|error| error.to_string())?;
    policy::write(&corpus, &packed)
}

/// Boots the disk, has `record.sh` do its work under a policy, with further files in /kiln, and gives what it told: each
/// piece of work was done.
///
/// # Errors
/// What was not done.
pub fn ordinary_work(
    work: &Path,
    kernel: &Path,
    disk: &Path,
    compiled: &policy::Compiled,
    more: &[(&Path, &str)],
) -> Result<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/record");
    let lib = work.join("lib");
    let key = policy::image(&lib)?;
    policy::seal(&lib, "policy", compiled, &key)?;
    let (agent, packages) = (build::agent()?, [package(work, 1)?, package(work, 2)?]);
    let (script, tables) = (folder.join("record.sh"), lib.join("policy.tables"));
    let (signature, public) = (lib.join("policy.dsse.json"), lib.join("trust/policy.pub"));
    let mut files = vec![
        (&*script, "proof.sh"),
        (&*agent, "kiln-agent"),
        (&*tables, "policy.tables"),
        (&*signature, "policy.dsse.json"),
        (&*public, "policy.pub"),
        (&*packages[0], "greeter_1.deb"),
        (&*packages[1], "greeter_2.deb"),
    ];
    files.extend(more);
    bring(disk, &files, work)?;
    let said = work.join("output.log");
    let words = "lsm=lockdown,capability,landlock,yama,apparmor,bpf";
    boot(kernel, disk, words, &said, &work.join("console.log"), 2 * TIMEOUT)?;

    let bytes = fs::read(&said).map_err(|error| format!("{}: {error}", said.display()))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let wrong: Vec<&str> = text.lines().filter(|line| line.starts_with("failed ")).collect();
    if !text.contains("record-end") || !wrong.is_empty() {
        return Err(format!("not all was done; see {}\n{}", said.display(), wrong.join("\n")));
    }
    Ok(text)
}

/// A package with a program, a configuration file and scripts, as packages have them.
fn package(work: &Path, version: u32) -> Result<PathBuf, String> {
    let tree = work.join(format!("greeter-{version}"));
    let file = |path: &str, text: &str, mode: u32| {
        let path = tree.join(path);
        let folder = path.parent().unwrap_or(&tree);
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        policy::write(&path, text.as_bytes())?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(&path, mode).map_err(|error| format!("{}: {error}", path.display()))
    };
    let control = format!(
        "Package: greeter\nVersion: {version}\nArchitecture: all\nMaintainer: Kiln developers <dev@kiln.invalid>\n\
         Description: says hello\n"
    );
    file("DEBIAN/control", &control, 0o644)?;
    file("DEBIAN/conffiles", "/etc/greeter.conf\n", 0o644)?;
    file("DEBIAN/postinst", "#!/bin/sh\nset -e\nldconfig\nsystemctl daemon-reload\n", 0o755)?;
    file("DEBIAN/prerm", "#!/bin/sh\nset -e\nexit 0\n", 0o755)?;
    file("etc/greeter.conf", &format!("version={version}\n"), 0o644)?;
    file("usr/bin/greeter", "#!/bin/sh\necho hello\n", 0o755)?;
    file("usr/lib/systemd/system/greeter.service", "[Service]\nExecStart=/usr/bin/greeter\n", 0o644)?;
    let package = work.join(format!("greeter_{version}.deb"));
    build::run(Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&tree).arg(&package))?;
    Ok(package)
}
