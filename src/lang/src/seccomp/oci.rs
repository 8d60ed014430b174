//! `linux.seccomp` of an OCI runtime's configuration, which `--security-opt seccomp=FILE` of podman and docker takes, too.

use kiln_base::model::{CallAction, CallFilter};
use serde_json::{Value, json};

use super::Arch;

/// EPERM.
const EPERM: u32 = 1;

/// The profile as a document.
pub fn oci(filter: &CallFilter, arch: Arch) -> Value {
    let mut out = json!({
        "defaultAction": name(filter.default),
        "architectures": [match arch {
            Arch::X86_64 => "SCMP_ARCH_X86_64",
            Arch::Aarch64 => "SCMP_ARCH_AARCH64",
        }],
    });
    if filter.default == CallAction::Refuse {
        out["defaultErrnoRet"] = EPERM.into();
    }
    let group = |(action, names): (&CallAction, &Vec<String>)| {
        let mut group = json!({ "names": names, "action": name(*action) });
        if *action == CallAction::Refuse {
            group["errnoRet"] = EPERM.into();
        }
        group
    };
    out["syscalls"] = filter.named.iter().map(group).collect();
    out
}

fn name(action: CallAction) -> &'static str {
    match action {
        CallAction::Allow => "SCMP_ACT_ALLOW",
        CallAction::Log => "SCMP_ACT_LOG",
        CallAction::Refuse => "SCMP_ACT_ERRNO",
        CallAction::Kill => "SCMP_ACT_KILL_PROCESS",
    }
}
