//! What the image's kernels can do, from their build configuration.

use super::BakeError;
use super::image::Image;

/// Oldest kernel that has all the hooks (bpf_lsm on sleepable hooks, typed cgroup and task storage).
const OLDEST: (u32, u32) = (6, 1);

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
    for (release, path) in found {
        kernels.push(judge(&release, &String::from_utf8_lossy(&image.read(&path)?))?);
    }
    if kernels.is_empty() { Err(BakeError::NoKernel) } else { Ok(kernels) }
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
    for key in
        ["CONFIG_BPF_SYSCALL", "CONFIG_BPF_LSM", "CONFIG_DEBUG_INFO_BTF", "CONFIG_CGROUPS", "CONFIG_SECURITY_NETWORK"]
    {
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
            ("x", "Linux/x86 6.1.100", "", "no version"),
        ] {
            let error = judge(release, &GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(says), "{release}: {error}");
        }
    }
}
