//! The gate against a real systemd: a Debian root file system boots in a virtual machine, and `gate.sh` runs in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Software emulation on a busy machine is slow.
pub const TIMEOUT: Duration = Duration::from_secs(900);

/// Results that the script prints; one that is missing is a failure too.
const RESULTS: usize = 58;

/// The test's name.
pub const NAME: &str = "gate::systemd";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("image-fixtures").join(name)
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stderr(Stdio::piped()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Boots and lets the script tell.
///
/// # Errors
/// What did not hold.
pub fn prove() -> Result<(), String> {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gate");
    let (kernel, disk) = debian(&work, "bookworm")?;
    let files = [
        (Path::new(env!("CARGO_BIN_EXE_kiln")), "kiln"),
        (&part("gate.sh")?, "proof.sh"),
        (&part("gate_soc.sh")?, "soc.sh"),
        (&part("gate_soc.pl")?, "soc.pl"),
        (&part("gate_talker.pl")?, "talker.pl"),
    ];
    bring(&disk, &files, &work)?;
    let said = work.join("output.log");
    boot(&kernel, &disk, "", &said, &work.join("console.log"), TIMEOUT)?;

    let text = fs::read(&said).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(|e| e.to_string())?;
    let failed: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("ok ") && !line.trim().is_empty()).collect();
    let passed = text.lines().filter(|line| line.trim_start().starts_with("ok ")).count();
    let ended = text.contains("gate-proof-end");
    if !ended || passed != RESULTS || failed.iter().any(|line| line.starts_with("not ok")) {
        return Err(format!("{passed} of {RESULTS} passed; see {}\n{}", said.display(), failed.join("\n")));
    }
    Ok(())
}

/// The kernel and a new disk of a Debian system.
///
/// # Errors
/// If they cannot be made.
pub fn debian(work: &Path, suite: &str) -> Result<(PathBuf, PathBuf), String> {
    fs::create_dir_all(work).map_err(|error| error.to_string())?;
    let root = PathBuf::from(run(Command::new(fixture("rootfs.sh")).arg(suite))?.trim());
    let disk = work.join("disk.raw");
    run(Command::new(fixture("raw-disk.sh")).arg(&root).arg(&disk))?;
    let kernel = fs::read_dir(root.join("boot"))
        .map_err(|error| error.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz")))
        .ok_or("the root file system has no kernel")?;
    Ok((kernel, disk))
}

fn part(name: &str) -> Result<PathBuf, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel").join(name);
    if path.exists() { Ok(path) } else { Err(format!("no {}", path.display())) }
}

/// Writes programs into /kiln of the disk's file system, which begins at 1 MiB, without mounting it.
///
/// # Errors
/// What debugfs said.
pub fn bring(disk: &Path, files: &[(&Path, &str)], work: &Path) -> Result<(), String> {
    let mut commands = "mkdir /kiln\n".to_owned();
    for (from, name) in files {
        commands += &format!("write {} /kiln/{name}\nset_inode_field /kiln/{name} mode 0100755\n", from.display());
    }
    let list = work.join("debugfs");
    fs::write(&list, commands).map_err(|error| error.to_string())?;
    let device = format!("{}?offset=1048576", disk.display());
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    run(Command::new("debugfs").env("PATH", path).arg("-w").arg("-f").arg(&list).arg(device)).map(|_| ())
}

/// Boots the disk with further `words` on the kernel's command line; /kiln/proof.sh runs and writes to `said`. A disk may be
/// slow: on a busy machine the guest's half minute for each request is not enough.
///
/// # Errors
/// If the guest does not end in `patience`.
pub fn boot(
    kernel: &Path,
    disk: &Path,
    words: &str,
    said: &Path,
    console: &Path,
    patience: Duration,
) -> Result<(), String> {
    let words = format!(
        "root=PARTLABEL=root rw console=ttyS0 panic=-1 systemd.firstboot=off systemd.run=/kiln/proof.sh \
         systemd.run_success_action=poweroff systemd.run_failure_action=poweroff nvme_core.io_timeout=600 {words}"
    );
    let mut guest = Command::new("qemu-system-x86_64")
        .args(["-accel", "tcg,thread=multi", "-cpu", "max,cx16=off", "-smp", "1", "-m", "1024", "-nodefaults"])
        .args(["-display", "none", "-no-reboot", "-append", &words, "-kernel"])
        .arg(kernel)
        .arg("-drive")
        .arg(format!("file={},format=raw,if=none,id=disk", disk.display()))
        .args(["-device", "nvme,drive=disk,serial=gate", "-serial"])
        .arg(format!("file:{}", console.display()))
        .arg("-serial")
        .arg(format!("file:{}", said.display()))
        .spawn()
        .map_err(|error| format!("qemu-system-x86_64: {error}"))?;
    let end = Instant::now() + patience;
    loop {
        match guest.try_wait().map_err(|error| error.to_string())? {
            Some(_) => return Ok(()),
            None if Instant::now() > end => {
                drop(guest.kill());
                drop(guest.wait());
                return Err(format!("the guest did not end within {patience:?}; see {}", console.display()));
            }
            None => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}
