//! The `lsm=` boot parameter: where a kernel's command line, or its own list, leaves `bpf` out, it is added to every
//! place from which the image can boot.
//!
//! The kernel takes the last `lsm=` of its command line (security/security.c, `choose_lsm_order`), so appending one
//! that repeats the effective list and ends in `bpf` changes nothing else.

use serde::Serialize;

use super::cmdline::{Word, disabling, missing, place, words};
use super::efi::{self, Program};
use super::image::{Change, Image, Kind, Node};
use super::kernel::Kernel;
use super::{BakeError, grub, menus};

const ENTRY_DIRS: [&str; 4] =
    ["boot/loader/entries", "efi/loader/entries", "boot/efi/loader/entries", "loader/entries"];
const CMDLINES: [&str; 2] = ["etc/kernel/cmdline", "usr/lib/kernel/cmdline"];

/// Whether a path is a file whose command lines a bake edits.
pub(super) fn is_place(path: &str) -> bool {
    let entry = |dir: &str| path.strip_prefix(dir).and_then(|p| p.strip_prefix('/'));
    grub::is_config(path)
        || CMDLINES.contains(&path)
        || ENTRY_DIRS.iter().filter_map(|d| entry(d)).any(|name| !name.contains('/') && is_entry(name))
}

/// systemd-boot does not tell upper from lower case, and passes over hidden files.
fn is_entry(name: &str) -> bool {
    !name.starts_with('.') && name.to_ascii_lowercase().ends_with(".conf")
}

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
    let default = default.as_deref();
    let mut plan = BootPlan::default();
    let mut places = grub::defaults(image, default, &mut plan)?;
    places += grub::menus(image, default, &mut plan)?;
    for dir in ENTRY_DIRS {
        for name in image.list(dir).or_else(not_a_directory)?.iter().filter(|n| is_entry(n)) {
            let file = format!("{dir}/{name}");
            let Some(text) = text(image, &file)? else { continue };
            let started = started(image, dir, &text)?;
            let edits = entry(&file, &text, &started, default)?;
            places += usize::from(edits.is_some());
            plan.apply(image, &file, &text, edits.unwrap_or_default())?;
        }
    }
    for file in CMDLINES {
        let Some(text) = text(image, file)? else { continue };
        // One command line, however many lines it is written in.
        let lines = lines(&text).filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
        let edits = joined(file, &lines.collect::<Vec<_>>(), default)?;
        places += usize::from(edits.is_some());
        plan.apply(image, file, &text, edits.unwrap_or_default())?;
    }
    places += menus::look(image, default)?;
    for partition in efi::PARTITIONS {
        for (file, addons) in efi::unified(image, partition)? {
            places += usize::from(unified(image, &file, &addons, default)?);
        }
    }
    if places == 0 {
        plan.homeless = missing(&[], default);
    }
    plan.changes.sort_by(|a, b| a.path.cmp(&b.path));
    plan.edits.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(plan)
}

/// What to insert, and at which byte.
pub(super) type Edits = Vec<(usize, String)>;

/// Lines with the offset of their first byte, without line ends.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line.trim_end_matches(['\n', '\r']))
    })
}

/// The words of a command line, if none of them would keep the image from enforcing.
pub(super) fn judged(file: &str, line: &str) -> Result<Vec<Word>, BakeError> {
    let bad = |what: String| BakeError::Content { path: file.to_owned(), what };
    let words =
        words(line).ok_or_else(|| bad(format!("a quote in its command line is not closed: {}", line.trim())))?;
    match disabling(line, &words) {
        Some(word) => Err(bad(format!(
            "its command line has `{word}`, with which the image would start without its policy; remove it"
        ))),
        None => Ok(words),
    }
}

/// One command line that stands in several pieces; the parameter goes into the last, or before `--`. None where there is
/// no piece.
fn joined(file: &str, pieces: &[(usize, &str)], default: Option<&[String]>) -> Result<Option<Edits>, BakeError> {
    let mut all = Vec::new();
    for (_, piece) in pieces {
        all.extend(judged(file, piece)?);
    }
    // What systemd takes for a quote may be closed in another piece.
    let whole: Vec<&str> = pieces.iter().map(|(_, piece)| *piece).collect();
    judged(file, &whole.join(" "))?;
    let ends = |(_, piece): &&(usize, &str)| words(piece).is_some_and(|w| w.iter().any(|w| w.text == "--"));
    let Some((at, piece)) = pieces.iter().find(ends).or(pieces.last()) else { return Ok(None) };
    let Some(parameter) = missing(&all, default) else { return Ok(Some(Vec::new())) };
    let place = place(piece, &words(piece).unwrap_or_default());
    // What stood at the end of a line stays at its end, blanks included.
    let place = if piece[place..].bytes().all(|b| b.is_ascii_whitespace()) { piece.len() } else { place };
    Ok(Some(vec![(at + place, format!(" {parameter}"))]))
}

/// Looks at a unified kernel image with its addons. It is signed, and so is not edited: what is missing is an error. False
/// where it takes its command line from who starts it.
fn unified(image: &dyn Image, file: &str, addons: &[String], default: Option<&[String]>) -> Result<bool, BakeError> {
    let held = |file: &str| -> Result<Vec<String>, BakeError> {
        Ok(match efi::program(image, file)? {
            Some(Program::Unified(lines)) => lines,
            _ => Vec::new(),
        })
    };
    let own = held(file)?;
    let mut more = String::new();
    for addon in addons {
        for line in held(addon)? {
            judged(addon, &line)?;
            more = format!("{more} {line}");
        }
    }
    for line in &own {
        if let Some(parameter) = missing(&judged(file, &format!("{line}{more}"))?, default) {
            let what = format!(
                "its command line lacks `{parameter}`, and Kiln does not edit a unified kernel image: make it again with \
                 that in its command line, or give it an addon"
            );
            return Err(BakeError::Content { path: file.to_owned(), what });
        }
    }
    Ok(!own.is_empty())
}

/// What an entry's `efi` or `uki` starts, in the partition of the entry.
fn started(image: &dyn Image, dir: &str, text: &str) -> Result<Option<Program>, BakeError> {
    let keys = ["efi", "uki"];
    let mut named = lines(text).filter_map(|(_, line)| {
        let (key, path) = line.trim_start().split_once(char::is_whitespace)?;
        keys.contains(&key).then(|| path.trim().replace('\\', "/"))
    });
    let Some(path) = named.next() else { return Ok(None) };
    let partition = dir.strip_suffix("loader/entries").unwrap_or_default();
    let path = path.trim_start_matches('/');
    if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Ok(None);
    }
    match efi::program(image, &format!("{partition}{path}")) {
        Err(BakeError::Symlink(_)) => Ok(None),
        other => other,
    }
}

/// An entry of the Boot Loader Specification: all its `options` are one command line. Without any, what is started may
/// hold its own.
fn entry(
    file: &str,
    text: &str,
    started: &Option<Program>,
    default: Option<&[String]>,
) -> Result<Option<Edits>, BakeError> {
    let of = |key: &'static str| move |(_, line): &(usize, &str)| line.split_whitespace().next() == Some(key);
    let mut pieces = Vec::new();
    for (at, line) in lines(text).filter(of("options")) {
        let from = line.find("options").map_or(0, |n| n + "options".len());
        pieces.push((at + from, &line[from..]));
    }
    let bare = match started {
        Some(Program::Unified(lines)) => lines.is_empty(),
        Some(Program::Kernel) => true,
        _ => lines(text).any(|l| of("linux")(&l)),
    };
    if let Some(Program::Unified(held)) = started.as_ref().filter(|_| pieces.is_empty()) {
        for line in held {
            if let Some(parameter) = missing(&judged(file, line)?, default) {
                let what = format!("the command line of what it starts lacks `{parameter}`: make that again with it");
                return Err(BakeError::Content { path: file.to_owned(), what });
            }
        }
    }
    if pieces.is_empty() && bare {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let line = missing(&[], default).map(|parameter| (text.len(), format!("{end}options {parameter}\n")));
        return Ok(Some(line.into_iter().collect()));
    }
    joined(file, &pieces, default)
}

/// The list to start from: that of the newest kernel which lacks `bpf`; `None` where every kernel has it (or none was
/// looked at).
fn default_list(kernels: &[Kernel]) -> Option<Vec<String>> {
    kernels.iter().rev().find(|k| !k.lsm.iter().any(|m| m == "bpf")).map(|k| k.lsm.clone())
}

impl BootPlan {
    /// Inserts into a file.
    pub(super) fn apply(&mut self, image: &dyn Image, file: &str, text: &str, edits: Edits) -> Result<(), BakeError> {
        let (mut out, mut at) = (String::with_capacity(text.len() + 80), 0);
        for (place, insert) in &edits {
            out.push_str(&text[at..*place]);
            out.push_str(insert);
            at = *place;
        }
        out.push_str(&text[at..]);
        match edits.last().and_then(|(_, insert)| insert.split_whitespace().last()) {
            Some(parameter) => self.write(image, file, out, parameter.to_owned()),
            None => Ok(()),
        }
    }

    pub(super) fn write(
        &mut self,
        image: &dyn Image,
        file: &str,
        text: String,
        parameter: String,
    ) -> Result<(), BakeError> {
        let found = image.find(file)?;
        let (mode, owner) = found.map_or((0o644, (0, 0)), |f| (f.mode, (f.uid, f.gid)));
        let node = Node::File { bytes: text.into_bytes(), mode, owner };
        self.changes.push(Change { path: file.to_owned(), node: Some(node) });
        self.edits.push(BootEdit { file: format!("/{file}"), parameter });
        Ok(())
    }
}

pub(super) fn kind(image: &dyn Image, path: &str) -> Result<Option<Kind>, BakeError> {
    Ok(image.find(path)?.map(|f| f.kind))
}

/// The text of a file; `None` where there is none. A link or bytes that are not text are errors: editing would destroy
/// them, and leaving them out would leave the image unprotected.
pub(super) fn text(image: &dyn Image, path: &str) -> Result<Option<String>, BakeError> {
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

pub(super) fn not_a_directory(error: BakeError) -> Result<Vec<String>, BakeError> {
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
                // Only an entry without options gets a line more.
                let (new_text, parameter) = (new.clone(), "lsm=yama,apparmor,bpf");
                let line = format!("options {parameter}\n");
                let more = new.strip_suffix(&line).filter(|_| !text.contains("options")).map(|t| t.trim_end_matches('\n'));
                prop_assert!(more.is_none_or(|t| t == text.trim_end_matches('\n')));
                for (new, old) in new.lines().zip(text.lines()).filter(|_| more.is_none()) {
                    let at = new.find(" lsm=").unwrap_or(new.len());
                    let added = new.len() - old.len();
                    let gone = (0..=at.max(old.len())).any(|at| {
                        new.get(at..at + added).is_some_and(|p| p.starts_with(" lsm=") && p.ends_with("bpf"))
                            && format!("{}{}", &new[..at], &new[at + added..]) == old
                    });
                    prop_assert!(new == old || gone, "{:?} {:?}", old, new);
                }
                let new = new_text;
                std::fs::write(dir.path().join(path), new).unwrap();
            }
            prop_assert_eq!(plan(&root, &kernels).unwrap().changes, vec![]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        /// Whatever GRUB's files say, what is mended once is in order, and GRUB's own reader keeps its opinion of it.
        #[test]
        fn what_is_mended_is_in_order(
            menu in "(linux /v|set o=|menuentry 'a' |function f |if |then |else|fi|[ \n\t;{}$`'\"\\\\#&|]|\\$o|\\$\\{o\\}|lsm=a|lsm=bpf|--|a|eval|for o in|module2 /vmlinuz){0,24}",
            defaults in "(GRUB_CMDLINE_LINUX(_DEFAULT)?\\+?=|[ \n;{}$`'\"\\\\#&|()]|lsm=a,bpf|lsm=a|quiet|export |if |fi|\\$GRUB_CMDLINE_LINUX){0,16}",
        ) {
            let (dir, root) = image(&[("boot/grub/grub.cfg", &menu), ("etc/default/grub", &defaults)]);
            if let Ok(first) = plan(&root, &[kernel(&["yama"])]) {
                for change in &first.changes {
                    let path = dir.path().join(&change.path);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    match &change.node {
                        Some(Node::File { bytes, .. }) => std::fs::write(path, bytes).unwrap(),
                        _ => std::fs::remove_file(path).unwrap(),
                    }
                }
                let second = plan(&root, &[kernel(&["yama"])]).unwrap();
                for (path, text) in texts(&second) {
                    prop_assert_eq!(std::fs::read_to_string(dir.path().join(&path)).unwrap(), text, "{}", path);
                }
            }
        }
    }

    fn repaired(files: &[(&str, &str)], lsm: &[&str]) -> Vec<(String, String)> {
        let (_keep, root) = image(files);
        texts(&plan(&root, &[kernel(lsm)]).unwrap())
    }

    #[test]
    fn grub_scripts_are_read_as_grub_reads_them() {
        for (old, new) in [
            ("linux /v a # old\n", "linux /v a lsm=yama,bpf # old\n"),
            ("linux /v a -- single\n", "linux /v a lsm=yama,bpf -- single\n"),
            ("linux /v a \\\n  b\n", "linux /v a \\\n  b lsm=yama,bpf\n"),
            ("linux /v 'x=a b'; initrd /i\n", "linux /v 'x=a b' lsm=yama,bpf; initrd /i\n"),
            ("set o=\"lsm=selinux\"\nlinux /v $o\n", "set o=\"lsm=selinux\"\nlinux /v $o lsm=selinux,bpf\n"),
            ("linux /v \"lsm=a\"\n", "linux /v \"lsm=a\" lsm=a,bpf\n"),
            ("linux /v\n", "linux /v lsm=yama,bpf\n"),
        ] {
            assert_eq!(repaired(&[("boot/grub/grub.cfg", old)], &["yama"])[0].1, new);
        }
        assert!(repaired(&[("boot/grub/grub.cfg", "# linux /v\nlinux /v 'lsm=a,bpf'\n")], &["yama"]).is_empty());
        for (old, new) in [
            ("menuentry 'A' {linux /v a}\n", "menuentry 'A' {linux /v a lsm=yama,bpf}\n"),
            ("if [ x ]; then linux /v a; fi\n", "if [ x ]; then linux /v a lsm=yama,bpf; fi\n"),
            // GRUB quotes quotes, and so the kernel does not take them off.
            ("linux /v 'lsm=\"a,bpf\"'\n", "linux /v 'lsm=\"a,bpf\"' lsm=bpf\n"),
            ("linux /v \"a lsm=a,bpf\"\n", "linux /v \"a lsm=a,bpf\" lsm=yama,bpf\n"),
            // One of two branches.
            (
                "if [ x ]; then set o=quiet; else set o=\"lsm=a,bpf\"; fi\nlinux /v $o\n",
                "if [ x ]; then set o=quiet; else set o=\"lsm=a,bpf\"; fi\nlinux /v $o lsm=yama,bpf\n",
            ),
            // What an entry sets holds within it.
            (
                "set o=ro\nmenuentry a {\nset o=lsm=a,bpf\nlinux /v $o\n}\nmenuentry b {\nlinux /v $o\n}\n",
                "set o=ro\nmenuentry a {\nset o=lsm=a,bpf\nlinux /v $o\n}\nmenuentry b {\nlinux /v $o lsm=yama,bpf\n}\n",
            ),
            // Ubuntu's.
            (
                "function gfxmode {\n\tset gfxpayload=\"${1}\"\n\tif [ \"${1}\" = \"keep\" ]; then\n\t\tset vt_handoff=vt.handoff=7\n\
                 \telse\n\t\tset vt_handoff=\n\tfi\n}\nmenuentry 'U' $menuentry_id_option 'x' {\n\tgfxmode $linux_gfx_mode\n\
                 \tlinux\t/boot/vmlinuz-6.8 ro  quiet $vt_handoff\n}\n",
                "function gfxmode {\n\tset gfxpayload=\"${1}\"\n\tif [ \"${1}\" = \"keep\" ]; then\n\t\tset vt_handoff=vt.handoff=7\n\
                 \telse\n\t\tset vt_handoff=\n\tfi\n}\nmenuentry 'U' $menuentry_id_option 'x' {\n\tgfxmode $linux_gfx_mode\n\
                 \tlinux\t/boot/vmlinuz-6.8 ro  quiet $vt_handoff lsm=yama,bpf\n}\n",
            ),
            ("set k=\"/v ro\"\nlinux $k\n", "set k=\"/v ro\"\nlinux $k lsm=yama,bpf\n"),
            ("linux /v a --$none\n", "linux /v a lsm=yama,bpf --$none\n"),
            ("set c=linux\n$c /v ro\n", "set c=linux\n$c /v ro lsm=yama,bpf\n"),
            (
                "multiboot2 /xen.gz x\nmodule2 --nounzip /vmlinuz-6.1 ro\nmodule2 /initrd\n",
                "multiboot2 /xen.gz x\nmodule2 --nounzip /vmlinuz-6.1 ro lsm=yama,bpf\nmodule2 /initrd\n",
            ),
        ] {
            for file in ["boot/grub/grub.cfg", "boot/grub/custom.cfg", "efi/EFI/BOOT/grub.cfg"] {
                let done = repaired(&[(file, old)], &["yama"]);
                assert_eq!(done[0].1, new, "{old}");
            }
        }
        let said = |files: &[(&str, &str)]| {
            let (_keep, root) = image(files);
            plan(&root, &[kernel(&["yama"])]).unwrap_err().to_string()
        };
        for text in [
            "if [ x ]; then set o=init=/bin/sh; fi\nlinux /v $o\n",
            "for o in ro init=/bin/sh; do linux /v $o; done\n",
            "set k=\"/v init=/bin/sh\"\nlinux $k\n",
            "eval \"linux /v init=/bin/sh\"\n",
            "linux /v -- systemd.mask=kiln-load.service\n",
            "linux /v \"systemd.mask=kiln-load.service\"\n",
        ] {
            assert!(said(&[("boot/grub/grub.cfg", text)]).contains("without its policy"), "{text}");
        }
        assert!(said(&[("boot/grub/grub.cfg", "function f {\nlinux /v $1\n}\n")]).contains("write it out"));
        assert!(said(&[("boot/grub/grub.cfg", "eval \"linux /v ro\"\n")]).contains("eval"));
        let held = "set o=\"lsm=a -- x\"\nlinux /v $o\n";
        assert!(said(&[("boot/grub/grub.cfg", held)]).contains("write out"));
        let environment = ("boot/grub2/grubenv", "# GRUB Environment Block\nkernelopts=ro init=/bin/sh\n###");
        assert!(said(&[("boot/grub2/grub.cfg", "linux /v $kernelopts\n"), environment]).contains("without its policy"));
        let elsewhere = ("boot/x/evil.cfg", "linux /v init=/bin/sh\n");
        let reads = "configfile ($root)/x/evil.cfg\n";
        assert!(said(&[("boot/grub/grub.cfg", reads), elsewhere]).contains("without its policy"));
        let lacking = ("boot/x/evil.cfg", "linux /v ro\n");
        assert!(said(&[("boot/grub/grub.cfg", reads), lacking]).contains("a menu reads it"));
        for other in ["boot/grub/a.cfg", "boot/ignition.firstboot"] {
            let menu = |text: &'static str| ("boot/grub/grub.cfg", text);
            let files = [menu("source /ignition.firstboot\nlinux /v $x\n"), (other, "set x=init=/bin/sh\n")];
            assert!(said(&files).contains("without its policy"), "{other}");
            let files = [menu("source /ignition.firstboot\nlinux /v $x lsm=bpf\n"), (other, "set x=a\n")];
            assert!(repaired(&files, &["yama"]).is_empty(), "{other}");
        }
        // GRUB itself takes what was mended.
        if std::process::Command::new("grub-script-check").arg("--version").output().is_ok() {
            for text in ["menuentry 'A' {\nlinux /v a # x\n}\n", "if [ x ]; then linux /v 'a b' \\\n c; fi\n"] {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("grub.cfg");
                std::fs::write(&path, &repaired(&[("boot/grub/grub.cfg", text)], &["yama"])[0].1).unwrap();
                let run = std::process::Command::new("grub-script-check").arg(&path).status().unwrap();
                assert!(run.success(), "{text}");
            }
        }
        let debian = "linux /v lsm=bpf\nif [ -f $prefix/custom.cfg ]; then source $prefix/custom.cfg; fi\n";
        assert!(repaired(&[("boot/grub/grub.cfg", debian)], &["yama"]).is_empty());
    }

    #[test]
    fn every_variable_of_grubs_defaults_is_mended_after_the_last_that_sets_it() {
        let one = repaired(&[("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT='quiet lsm=selinux'\n")], &["yama"]);
        assert_eq!(one[0].0, "etc/default/grub.d/50-kiln.cfg");
        assert!(one[0].1.contains("GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX lsm=yama,bpf\"\n"), "{one:?}");
        assert!(
            one[0].1.contains("GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT lsm=selinux,bpf\"\n"),
            "{one:?}"
        );
        let late = [
            ("etc/default/grub", "M=selinux\nGRUB_CMDLINE_LINUX=\"a \\\n lsm=$M\" # lsm=x,bpf\n"),
            ("etc/default/grub.d/60-x.cfg", "export GRUB_CMDLINE_LINUX=\"${GRUB_CMDLINE_LINUX} b\"\n"),
        ];
        let two = repaired(&late, &["bpf"]);
        assert_eq!(two[0].0, "etc/default/grub.d/zz-kiln.cfg");
        assert!(two[0].1.contains("$GRUB_CMDLINE_LINUX lsm=selinux,bpf\""), "{two:?}");
        // What stands behind a command, or in a branch, may not be what is set.
        for text in [
            "GRUB_CMDLINE_LINUX=lsm=a\necho GRUB_CMDLINE_LINUX=lsm=a,bpf\n",
            "GRUB_CMDLINE_LINUX=lsm=a\n[ -e /x ] && GRUB_CMDLINE_LINUX=lsm=a,bpf\n",
            "GRUB_CMDLINE_LINUX=lsm=a\nif [ -e /x ]; then GRUB_CMDLINE_LINUX=lsm=a,bpf; fi\n",
            "GRUB_CMDLINE_LINUX=lsm=a\nGRUB_CMDLINE_LINUX=lsm=a,bpf true\n",
            "GRUB_CMDLINE_LINUX=quiet\nexport GRUB_CMDLINE_LINUX+=' lsm=a'\n",
        ] {
            let hidden = ("etc/default/grub.d/.x.cfg", "GRUB_CMDLINE_LINUX=lsm=a,bpf\n");
            let done = repaired(&[("etc/default/grub", text), hidden], &["yama"]);
            assert!(done[0].1.contains("lsm=a,bpf"), "{text} {done:?}");
        }
        // A fragment of our name that nobody needs is not left to be read.
        let (_keep, root) =
            image(&[("etc/default/grub", ""), ("etc/default/grub.d/50-kiln.cfg", "GRUB_CMDLINE_LINUX=lsm=a\n")]);
        assert_eq!(plan(&root, &[kernel(&["bpf"])]).unwrap().changes.len(), 1);
        let (_keep, root) = image(&[("etc/default/grub.d/zzz.cfg", "GRUB_CMDLINE_LINUX=a\n")]);
        assert!(plan(&root, &[kernel(&["yama"])]).unwrap_err().to_string().contains("rename it"));
    }

    #[test]
    fn several_lines_of_options_are_one_command_line() {
        let entry = |text: &str| repaired(&[("boot/loader/entries/a.conf", text)], &["yama"]);
        assert!(entry("options lsm=a,bpf\noptions quiet\n").is_empty());
        assert_eq!(entry("options a\noptions b -- c\n")[0].1, "options a\noptions b lsm=yama,bpf -- c\n");
        assert_eq!(entry("title x\nlinux /v")[0].1, "title x\nlinux /v\noptions lsm=yama,bpf\n");
    }

    #[test]
    fn unified_kernel_images_are_looked_at_and_not_edited() {
        let said = |files: &[(&str, Vec<u8>)], lsm: &[&str]| {
            let (dir, root) = image(&[]);
            for (path, bytes) in files {
                let path = dir.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            plan(&root, &[kernel(lsm)]).map(|p| (texts(&p), p.homeless)).map_err(|e| e.to_string())
        };
        let uki = |line: &str| efi::tests::file(&[(".linux", "k"), (".cmdline", line)]);
        let at = "efi/EFI/Linux/a.efi";
        assert!(said(&[(at, uki("quiet"))], &["yama"]).unwrap_err().contains("lacks `lsm=yama,bpf`"));
        assert_eq!(said(&[(at, uki("quiet lsm=yama,bpf"))], &["yama"]), Ok((vec![], None)));
        assert_eq!(said(&[(at, uki("quiet"))], &["bpf"]), Ok((vec![], None)));
        let addon = |line: &str| efi::tests::file(&[(".cmdline", line)]);
        let own = "efi/EFI/Linux/a.efi.extra.d/x.addon.efi";
        assert_eq!(said(&[(at, uki("quiet")), (own, addon("lsm=a,bpf"))], &["yama"]), Ok((vec![], None)));
        for (path, bytes) in [
            ("boot/efi/Linux/a.EFI", uki("init=/bin/sh")),
            (at, efi::tests::file(&[(".linux", "k"), (".cmdline", "ro"), (".cmdline", "systemd.mask=kiln-load")])),
        ] {
            assert!(said(&[(path, bytes)], &["bpf"]).unwrap_err().contains("without its policy"), "{path}");
        }
        let global = ("efi/loader/addons/x.addon.efi", addon("lsm=selinux"));
        assert!(said(&[(at, uki("ro lsm=bpf")), global], &["bpf"]).unwrap_err().contains("lsm=selinux,bpf"));
        // An entry without options: a kernel takes what it is given, a unified image has its own.
        let entry = |path: &str| ("boot/loader/entries/a.conf", format!("title a\nefi {path}\n").into_bytes());
        let mut bzimage = vec![0; 0x300];
        bzimage[0x202..0x206].copy_from_slice(b"HdrS");
        let edits = said(&[entry("/vmlinuz.efi"), ("boot/vmlinuz.efi", bzimage)], &["yama"]).unwrap().0;
        assert_eq!(edits[0].1, "title a\nefi /vmlinuz.efi\noptions lsm=yama,bpf\n");
        let held = [entry("\\x\\a.efi"), ("boot/x/a.efi", uki("quiet"))];
        assert!(said(&held, &["yama"]).unwrap_err().contains("what it starts lacks"));
        let shell = [entry("/shell.efi"), ("boot/shell.efi", b"MZ".to_vec())];
        assert_eq!(said(&shell, &["yama"]), Ok((vec![], Some("lsm=yama,bpf".to_owned()))));
    }

    #[test]
    fn a_command_line_that_disables_kiln_is_refused() {
        for (file, text) in [
            ("boot/grub/grub.cfg", "linux /v systemd.mask=kiln-load.service\n"),
            ("boot/grub/grub.cfg", "set x=init=/bin/sh\nlinux /v ro ${x}\n"),
            ("boot/loader/entries/a.conf", "options quiet init=/bin/sh\n"),
            ("etc/kernel/cmdline", "systemd.mask=kiln-agent.service\n"),
            ("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet systemd.mask=kiln-load\"\n"),
            ("etc/default/grub", "GRUB_CMDLINE_LINUX=ro\nGRUB_CMDLINE_LINUX+=' init=/bin/sh'\n"),
            ("boot/extlinux/extlinux.conf", "LABEL a\n  APPEND ro init=/bin/sh\n"),
            ("boot/extlinux/more.conf", "LABEL a\n  LINUX /v init=/bin/sh\n"),
            ("boot/refind_linux.conf", "\"a\" \"ro init=/bin/sh\"\n"),
            ("boot/limine.conf", "/a\n  cmdline: init=/bin/sh\n"),
            ("boot/loader/entries/A.CONF", "options 'a\noptions b' systemd.mask=kiln-load\n"),
            ("etc/kernel/cmdline", "x=\"never closed\n"),
        ] {
            let (_keep, root) = image(&[(file, text)]);
            let said = plan(&root, &[kernel(&["bpf"])]).unwrap_err().to_string();
            assert!(said.contains("without its policy") || said.contains("not closed"), "{file}: {said}");
        }
        let (_keep, root) = image(&[("boot/extlinux/extlinux.conf", "LABEL a\n  APPEND ro\n")]);
        assert!(plan(&root, &[kernel(&["yama"])]).unwrap_err().to_string().contains("add it"));
    }
}
