use proptest::prelude::*;

use super::*;
use crate::bake::RootDir;
use crate::bake::image::{Change, Node};

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
