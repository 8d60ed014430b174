//! What nginx's configuration declares, in the words that every reader uses.

use kiln_base::model::KernelOp;

use super::facts::NginxFacts;
use crate::manifest::Declared;

impl From<NginxFacts> for Declared {
    fn from(nginx: NginxFacts) -> Declared {
        let mut capabilities = Vec::new();
        let used = [("sys_resource", nginx.rlimit), ("net_raw", nginx.transparent), ("sys_nice", nginx.priority)];
        for (name, origin) in used {
            capabilities.extend(origin.map(|o| (name, o)));
        }
        Declared {
            reads: [nginx.config, nginx.directories, nginx.files].concat(),
            trees: nginx.trees,
            loads: [nginx.modules, nginx.libraries].concat(),
            executes: Vec::new(),
            appends: nginx.logs,
            makes: nginx.pid.into_iter().collect(),
            fills: nginx.temp,
            changes: nginx.uploads,
            replaces: nginx.states,
            listens: nginx.listens,
            binds: nginx.binds,
            connects: nginx.endpoints,
            user: nginx.user,
            capabilities,
            kernel: nginx.jit.map(|origin| (KernelOp::ExecMemory, origin)).into_iter().collect(),
        }
    }
}
