//! What the image's kernels can do, from their build configuration.

use super::BakeError;
use super::image::{Image, Kind, READ_MAX};

/// Oldest kernel that has all the hooks (bpf_lsm on sleepable hooks, typed cgroup and task storage).
const OLDEST: (u32, u32) = (6, 1);

/// What a kernel must be built with.
const KEYS: [&str; 5] =
    ["CONFIG_BPF_SYSCALL", "CONFIG_BPF_LSM", "CONFIG_DEBUG_INFO_BTF", "CONFIG_CGROUPS", "CONFIG_SECURITY_NETWORK"];

/// One kernel of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// As uname -r prints it, from the name of the configuration.
    pub release: String,
    /// Security modules that are active without `lsm=` (CONFIG_LSM), in order.
    pub lsm: Vec<String>,
}

/// Every kernel of the image, sorted by release, each known to be able to enforce.
pub fn kernels(image: &dyn Image) -> Result<Vec<Kernel>, BakeError> {
    let mut found = Vec::new();
    for name in image.list("boot")? {
        if let Some(release) = name.strip_prefix("config-") {
            found.push((release.to_owned(), format!("boot/{name}")));
        }
    }
    for release in image.list("usr/lib/modules")? {
        let path = format!("usr/lib/modules/{release}/config");
        if !found.iter().any(|(r, _)| *r == release) && image.find(&path)?.is_some() {
            found.push((release, path));
        }
    }
    found.sort();
    let mut kernels = Vec::new();
    for (release, path) in images(image)? {
        let lacks = |what: &str, mend| BakeError::Kernel { release: release.clone(), what: what.to_owned(), mend };
        // A rescue kernel's name has no version; by what it says of itself it is one of the others.
        let own = header_release(&image.read(&path)?);
        let told = own.as_deref().and_then(version).or_else(|| version(&release));
        let configured = |name: &str| found.iter().any(|(r, _)| r == name);
        match told {
            Some(v) if v < OLDEST => {
                let what = format!("/{path} is {}.{}", v.0, v.1);
                return Err(lacks(&what, "Kiln needs 6.1 or newer: remove this kernel, the image can boot it"));
            }
            // Without any configuration there is one error for all.
            Some(_) if !found.is_empty() && !configured(&release) && !own.as_deref().is_some_and(configured) => {
                let mend = "add its configuration, or remove this kernel: the image can boot it";
                return Err(lacks(&format!("/{path} has no configuration in the image"), mend));
            }
            _ => {}
        }
    }
    for (release, path) in found {
        kernels.push(judge(&release, &String::from_utf8_lossy(&image.read(&path)?))?);
    }
    if kernels.is_empty() { Err(BakeError::NoKernel) } else { Ok(kernels) }
}

/// The kernels that lie in the image, with their releases by name.
fn images(image: &dyn Image) -> Result<Vec<(String, String)>, BakeError> {
    let mut out = Vec::new();
    let mut add = |release: &str, path: String| match image.find(&path) {
        Ok(Some(f)) if f.kind == Kind::File && f.len <= READ_MAX => {
            out.push((release.to_owned(), path));
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(e) => Err(e),
    };
    for name in image.list("boot")? {
        if let Some(release) = ["vmlinuz-", "vmlinux-", "Image-"].iter().find_map(|p| name.strip_prefix(p)) {
            add(release, format!("boot/{name}"))?;
        }
    }
    for release in image.list("usr/lib/modules")? {
        if image.find(&format!("usr/lib/modules/{release}"))?.is_some_and(|f| f.kind == Kind::Dir) {
            add(&release, format!("usr/lib/modules/{release}/vmlinuz"))?;
        }
    }
    out.sort();
    Ok(out)
}

/// The release that an x86 kernel says of itself (Documentation/arch/x86/boot.rst, kernel_version).
fn header_release(bytes: &[u8]) -> Option<String> {
    if bytes.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let at = 0x200 + usize::from(u16::from_le_bytes(bytes.get(0x20e..0x210)?.try_into().ok()?));
    let text = bytes.get(at..)?.iter().copied().take(128).take_while(u8::is_ascii_graphic).collect();
    String::from_utf8(text).ok()
}

/// Judges one kernel by its configuration (`.config` of Kconfig).
pub fn judge(release: &str, config: &str) -> Result<Kernel, BakeError> {
    let lacks = |what: &str, mend| BakeError::Kernel { release: release.to_owned(), what: what.to_owned(), mend };
    let version = version(release)
        .or_else(|| config.lines().find_map(|l| version(l.strip_prefix("# Linux/")?.split_once(' ')?.1)));
    match version {
        Some(v) if v >= OLDEST => {}
        Some((major, minor)) => {
            return Err(lacks(&format!("is {major}.{minor}"), "Kiln needs 6.1 or newer: install a newer kernel"));
        }
        None => {
            return Err(lacks("no version in its name or configuration", "expected a file like config-6.1.0-1-amd64"));
        }
    }
    let value = |key: &str| {
        config.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=')).map(|v| v.trim().trim_matches('"'))
    };
    for key in KEYS.iter().chain(&["CONFIG_LSM"]) {
        let said = config.lines().filter(|l| {
            l.strip_prefix(key).is_some_and(|r| r.starts_with('='))
                || l.strip_prefix("# ").and_then(|l| l.strip_prefix(key)) == Some(" is not set")
        });
        if said.collect::<std::collections::BTreeSet<_>>().len() > 1 {
            return Err(lacks(
                &format!("says {key} twice, and not the same"),
                "give the configuration that it was built with",
            ));
        }
    }
    for key in KEYS {
        if value(key) != Some("y") {
            return Err(lacks(
                &format!("is built without {key}"),
                "use a kernel that has it, such as the distribution's",
            ));
        }
    }
    let lsm = value("CONFIG_LSM").unwrap_or_default();
    let lsm = lsm.split(',').map(str::trim).filter(|m| !m.is_empty()).map(str::to_owned).collect();
    Ok(Kernel { release: release.to_owned(), lsm })
}

/// `6.1` of `6.1.0-56-cloud-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Linux/x86 6.1.100 Kernel Configuration\nCONFIG_BPF_SYSCALL=y\nCONFIG_BPF_LSM=y\n\
        CONFIG_DEBUG_INFO_BTF=y\nCONFIG_CGROUPS=y\nCONFIG_SECURITY_NETWORK=y\nCONFIG_LSM=\"landlock,apparmor,bpf\"\n";

    #[test]
    fn the_list_is_read_in_order() {
        assert_eq!(judge("6.1.0-56-cloud-amd64", GOOD).unwrap().lsm, ["landlock", "apparmor", "bpf"]);
        assert_eq!(judge("custom", GOOD).unwrap().release, "custom");
    }

    #[test]
    fn what_cannot_enforce_is_an_error() {
        for (release, from, to, says) in [
            ("5.10.0-1-amd64", "", "", "is 5.10"),
            ("6.0.19", "", "", "is 6.0"),
            ("6.1.0", "CONFIG_DEBUG_INFO_BTF=y", "# CONFIG_DEBUG_INFO_BTF is not set", "CONFIG_DEBUG_INFO_BTF"),
            ("6.1.0", "CONFIG_BPF_LSM=y", "CONFIG_BPF_LSM=n", "CONFIG_BPF_LSM"),
            ("6.1.0", "CONFIG_BPF_LSM=y", "CONFIG_BPF_LSM=y\n# CONFIG_BPF_LSM is not set", "twice"),
            ("x", "Linux/x86 6.1.100", "", "no version"),
        ] {
            let error = judge(release, &GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(says), "{release}: {error}");
        }
    }

    #[test]
    fn every_kernel_that_can_be_booted_is_judged() {
        let mut old = vec![0; 0x300];
        old[0x202..0x206].copy_from_slice(b"HdrS");
        old[0x20e] = 0x40;
        old[0x240..0x24b].copy_from_slice(b"5.10.0-1-x ");
        let said = |files: &[(&str, &[u8])]| {
            let dir = tempfile::tempdir().unwrap();
            for (path, bytes) in [("boot/config-6.1.0", GOOD.as_bytes())].iter().chain(files) {
                let at = dir.path().join(path);
                std::fs::create_dir_all(at.parent().unwrap()).unwrap();
                std::fs::write(at, bytes).unwrap();
            }
            let root = crate::bake::RootDir::open(dir.path()).unwrap();
            kernels(&root).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(said(&[("boot/vmlinuz-6.1.0", b"x"), ("usr/lib/modules/6.1.0/vmlinuz", b"x")]), "");
        assert!(said(&[("boot/vmlinuz-5.10.0-1-amd64", b"x")]).contains("is 5.10"));
        // By what the kernel says of itself, not by its name.
        assert!(said(&[("boot/vmlinuz-6.1.0", &old)]).contains("is 5.10"));
        assert!(said(&[("usr/lib/modules/5.4.1/vmlinuz", b"x")]).contains("is 5.4"));
        let mut rescue = old.clone();
        rescue[0x240..0x24b].copy_from_slice(b"6.1.0 (root");
        assert_eq!(said(&[("boot/vmlinuz-0-rescue-1234", &rescue)]), "");
        assert!(said(&[("boot/vmlinuz-6.12.1", b"x")]).contains("no configuration"));
    }
}
