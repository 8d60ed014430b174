//! What systemd leaves in the kernel of a setting that goes: it writes the files of a controller for units that set
//! something of it, and while a sibling keeps the controller, what was written for a unit that sets nothing any more stays.

use std::path::Path;

use kiln_base::model::Resource;

use crate::limit::bound::Amounts;
use crate::limit::manager::Settings;

/// Ends what neither the policy nor the unit itself asks for.
pub fn end(cgroup: &Path, own: &Settings, least: Option<&Amounts>) {
    let wanted = |resource| least.is_some_and(|least| least.contains_key(&resource));
    if own.cpu.is_none() && !wanted(Resource::Cpu) {
        reset(&cgroup.join("cpu.max"), "max");
    }
    let none = own.read.is_empty() && own.write.is_empty();
    if none && !wanted(Resource::IoRead) && !wanted(Resource::IoWrite) {
        let path = cgroup.join("io.max");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for device in text.lines().filter_map(|line| line.split(' ').next()) {
            reset(&path, &format!("{device} rbps=max wbps=max"));
        }
    }
}

/// Without the file there is nothing to end.
fn reset(path: &Path, text: &str) {
    if path.exists() {
        let _ = std::fs::write(path, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cpu.max");
        let quota = Settings { cpu: Some(1), ..Settings::default() };
        std::fs::write(&file, "20000 100000").unwrap();
        end(dir.path(), &quota, None);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "20000 100000");
        end(dir.path(), &Settings::default(), None);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "max");
        assert!(!dir.path().join("io.max").exists());
    }
}
