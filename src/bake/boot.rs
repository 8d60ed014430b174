//! The `lsm=` boot parameter: where a kernel's command line, or its own list, leaves `bpf` out, it is added to every
//! place from which the image can boot.
//!
//! The kernel takes the last `lsm=` of its command line (security/security.c, `choose_lsm_order`), so appending one
//! that repeats the effective list and ends in `bpf` changes nothing else.

use serde::Serialize;

use super::BakeError;
use super::image::{Change, Image, Kind, Node};
use super::kernel::Kernel;

/// Our fragment of GRUB's defaults; read by update-grub(8) after /etc/default/grub.
const GRUB_FRAGMENT: &str = "etc/default/grub.d/50-kiln.cfg";
const ENTRY_DIRS: [&str; 4] =
    ["boot/loader/entries", "efi/loader/entries", "boot/efi/loader/entries", "loader/entries"];

/// One place that was given the parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootEdit {
    /// The file, with leading slash.
    pub file: String,
    /// What was appended to the command line.
    pub parameter: String,
}

/// What is needed so that `bpf` is among the active security modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootPlan {
    /// Files to be written.
    pub changes: Vec<Change>,
    /// The same, for the report.
    pub edits: Vec<BootEdit>,
    /// The parameter, where it is needed and the image has no place for it.
    pub homeless: Option<String>,
}

/// Plans the edits. `kernels` may be empty, when nobody asked; then only existing `lsm=` parameters are looked at.
pub fn plan(image: &dyn Image, kernels: &[Kernel]) -> Result<BootPlan, BakeError> {
    let default = default_list(kernels);
    let mut plan = BootPlan::default();
    let mut places = 0;

    let mut grub_params = Vec::new();
    let mut grub_files = vec!["etc/default/grub".to_owned()];
    if kind(image, "etc/default/grub.d")? == Some(Kind::Dir) {
        let names = image.list("etc/default/grub.d")?;
        grub_files.extend(names.iter().filter(|n| n.ends_with(".cfg")).map(|n| format!("etc/default/grub.d/{n}")));
    }
    for file in grub_files.iter().filter(|f| *f != GRUB_FRAGMENT) {
        if let Some(text) = text(image, file)? {
            places += 1;
            let lines = text.lines().map(str::trim).filter(|l| l.starts_with("GRUB_CMDLINE_LINUX"));
            grub_params.extend(lines.map(|l| l.replace(['"', '\''], " ")));
        }
    }
    if let Some(parameter) = missing(&grub_params.join(" "), &default)
        && places > 0
    {
        let text = format!(
            "# Written by kiln bake: makes the BPF security module active.\n\
             GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {parameter}\"\n"
        );
        plan.write(image, GRUB_FRAGMENT, text, parameter)?;
    }

    for file in ["boot/grub/grub.cfg", "boot/grub2/grub.cfg"] {
        places += plan.edit_lines(image, file, &default, |line| {
            matches!(line.split_whitespace().next(), Some("linux" | "linuxefi" | "linux16"))
        })?;
    }
    for dir in ENTRY_DIRS {
        for name in image.list(dir).or_else(not_a_directory)?.iter().filter(|n| n.ends_with(".conf")) {
            places += plan.edit_lines(image, &format!("{dir}/{name}"), &default, |line| {
                line.split_whitespace().next() == Some("options")
            })?;
        }
    }
    for file in ["etc/kernel/cmdline", "usr/lib/kernel/cmdline"] {
        places += plan.edit_lines(image, file, &default, |line| !line.trim().is_empty() && !line.starts_with('#'))?;
    }

    if places == 0 {
        plan.homeless = missing("", &default);
    }
    plan.changes.sort_by(|a, b| a.path.cmp(&b.path));
    plan.edits.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(plan)
}

/// The list to start from: that of the newest kernel which lacks `bpf`; `None` where every kernel has it (or none was
/// looked at).
fn default_list(kernels: &[Kernel]) -> Option<Vec<String>> {
    kernels.iter().rev().find(|k| !k.lsm.iter().any(|m| m == "bpf")).map(|k| k.lsm.clone())
}

/// The parameter to append to a command line, if any.
fn missing(cmdline: &str, default: &Option<Vec<String>>) -> Option<String> {
    let given = cmdline.split_whitespace().rev().find_map(|word| word.strip_prefix("lsm="));
    let list: Vec<&str> = match (given, default) {
        (Some(given), _) => given.split(',').filter(|m| !m.is_empty()).collect(),
        (None, Some(default)) => default.iter().map(String::as_str).collect(),
        (None, None) => return None,
    };
    if list.contains(&"bpf") {
        return None;
    }
    Some(format!("lsm={}", [list, vec!["bpf"]].concat().join(",")))
}

impl BootPlan {
    /// Appends the parameter to each line that is a kernel command line; returns 1 if there was one.
    fn edit_lines(
        &mut self,
        image: &dyn Image,
        file: &str,
        default: &Option<Vec<String>>,
        is_cmdline: impl Fn(&str) -> bool,
    ) -> Result<usize, BakeError> {
        let Some(text) = text(image, file)? else { return Ok(0) };
        let (mut out, mut used, mut added) = (String::with_capacity(text.len() + 80), false, None);
        for line in text.split_inclusive('\n') {
            let body = line.trim_end_matches(['\n', '\r']);
            out.push_str(body);
            if is_cmdline(body) {
                used = true;
                if let Some(parameter) = missing(body, default) {
                    out.push(' ');
                    out.push_str(&parameter);
                    added = Some(parameter);
                }
            }
            out.push_str(&line[body.len()..]);
        }
        if let Some(parameter) = added {
            self.write(image, file, out, parameter)?;
        }
        Ok(usize::from(used))
    }

    fn write(&mut self, image: &dyn Image, file: &str, text: String, parameter: String) -> Result<(), BakeError> {
        let found = image.find(file)?;
        let (mode, owner) = found.map_or((0o644, (0, 0)), |f| (f.mode, (f.uid, f.gid)));
        let node = Node::File { bytes: text.into_bytes(), mode, owner };
        self.changes.push(Change { path: file.to_owned(), node: Some(node) });
        self.edits.push(BootEdit { file: format!("/{file}"), parameter });
        Ok(())
    }
}

fn kind(image: &dyn Image, path: &str) -> Result<Option<Kind>, BakeError> {
    Ok(image.find(path)?.map(|f| f.kind))
}

/// The text of a file; `None` where there is none. A link or bytes that are not text are errors: editing would destroy
/// them, and leaving them out would leave the image unprotected.
fn text(image: &dyn Image, path: &str) -> Result<Option<String>, BakeError> {
    match image.find(path) {
        Ok(None) => return Ok(None),
        Ok(Some(f)) if f.kind == Kind::File => {}
        Ok(Some(f)) if f.kind == Kind::Link => return Err(BakeError::Symlink(path.to_owned())),
        Ok(Some(_)) => return Ok(None),
        // A plain file where a directory was looked for: there is no such place.
        Err(BakeError::InTheWay { .. }) => return Ok(None),
        Err(e) => return Err(e),
    }
    let what = "not UTF-8 text, so the boot parameter cannot be added".to_owned();
    String::from_utf8(image.read(path)?).map(Some).map_err(|_| BakeError::Content { path: path.to_owned(), what })
}

fn not_a_directory(error: BakeError) -> Result<Vec<String>, BakeError> {
    if matches!(error, BakeError::InTheWay { .. }) { Ok(Vec::new()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bake::RootDir;

    fn kernel(lsm: &[&str]) -> Kernel {
        Kernel { release: "6.1.0".into(), lsm: lsm.iter().map(|m| (*m).to_owned()).collect() }
    }

    fn image(files: &[(&str, &str)]) -> (tempfile::TempDir, RootDir) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = RootDir::open(dir.path()).unwrap();
        (dir, root)
    }

    fn texts(plan: &BootPlan) -> Vec<(String, String)> {
        let text = |c: &Change| match &c.node {
            Some(Node::File { bytes, .. }) => (c.path.clone(), String::from_utf8(bytes.clone()).unwrap()),
            other => panic!("{other:?}"),
        };
        plan.changes.iter().map(text).collect()
    }

    #[test]
    fn nothing_is_added_where_bpf_is_active() {
        let (_keep, root) = image(&[("etc/kernel/cmdline", "root=/dev/vda1\n"), ("etc/default/grub", "X=1\n")]);
        assert_eq!(plan(&root, &[kernel(&["apparmor", "bpf"])]).unwrap(), BootPlan::default());
    }

    #[test]
    fn every_loader_gets_the_kernels_own_list_and_bpf() {
        let (_keep, root) = image(&[
            ("boot/loader/entries/a.conf", "title A\noptions root=x quiet\n"),
            ("boot/loader/entries/readme", "options none\n"),
            ("etc/kernel/cmdline", "# a comment\nroot=x"),
        ]);
        let plan = plan(&root, &[kernel(&["yama", "apparmor"])]).unwrap();
        assert_eq!(
            texts(&plan),
            [
                ("boot/loader/entries/a.conf".into(), "title A\noptions root=x quiet lsm=yama,apparmor,bpf\n".into()),
                ("etc/kernel/cmdline".into(), "# a comment\nroot=x lsm=yama,apparmor,bpf".into()),
            ]
        );
        assert_eq!(plan.homeless, None);
    }

    #[test]
    fn a_parameter_that_leaves_bpf_out_is_followed_by_one_that_has_it() {
        // Even where every kernel has bpf by default.
        let (_keep, root) = image(&[
            ("etc/kernel/cmdline", "lsm=yama lsm=apparmor quiet\n"),
            ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"lsm=selinux\"\n"),
        ]);
        let plan = plan(&root, &[kernel(&["bpf"])]).unwrap();
        let texts = texts(&plan);
        assert_eq!(texts[1].1, "lsm=yama lsm=apparmor quiet lsm=apparmor,bpf\n");
        assert!(texts[0].1.contains("lsm=selinux,bpf"), "{texts:?}");
    }

    #[test]
    fn without_a_place_the_parameter_is_named() {
        let (_keep, root) = image(&[]);
        assert_eq!(plan(&root, &[kernel(&["yama"])]).unwrap().homeless.as_deref(), Some("lsm=yama,bpf"));
    }

    #[test]
    fn what_is_not_text_is_not_edited() {
        let (dir, root) = image(&[("etc/kernel/cmdline", "x")]);
        std::fs::write(dir.path().join("etc/kernel/cmdline"), [0xff, 0xfe]).unwrap();
        let error = plan(&root, &[kernel(&["yama"])]).unwrap_err().to_string();
        assert!(error.contains("UTF-8"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever the command line, one edit is enough, and nothing but the end of a line changes.
        #[test]
        fn editing_twice_is_editing_once(text in "([a-z=,# \t]{0,20}|lsm=[a-z,]{0,12}|options|linux| |\n|\r\n){0,12}") {
            let (dir, root) = image(&[("etc/kernel/cmdline", &text), ("boot/loader/entries/a.conf", &text), ("boot/grub/grub.cfg", &text)]);
            let kernels = [kernel(&["yama", "apparmor"])];
            let first = plan(&root, &kernels).unwrap();
            for (path, new) in texts(&first) {
                prop_assert_eq!(new.lines().count(), text.lines().count());
                for (new, old) in new.lines().zip(text.lines()) {
                    prop_assert!(new == old || new.strip_prefix(old).is_some_and(|rest| rest.starts_with(" lsm=") && rest.ends_with("bpf")));
                }
                std::fs::write(dir.path().join(path), new).unwrap();
            }
            prop_assert_eq!(plan(&root, &kernels).unwrap().changes, vec![]);
        }
    }
}
