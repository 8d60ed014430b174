//! Directories: what is in them after a bake.

use super::*;

#[test]
fn a_directory_gets_everything_and_the_second_bake_changes_nothing() {
    let dir = root();
    let report = bake(dir.path(), None, &payload(), &options()).unwrap();
    assert_eq!(report.units, ["nginx.service"]);
    assert_eq!(report.kernels, ["6.1.0-1-test"]);
    let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
    assert!(read("usr/lib/systemd/system/nginx.service.d/50-kiln.conf").contains("Requires=kiln-load.service"));
    assert!(
        read("boot/grub/grub.cfg").contains("linux /boot/vmlinuz root=/dev/vda1 ro quiet lsm=landlock,apparmor,bpf\n")
    );
    assert!(read("etc/default/grub.d/50-kiln.cfg").contains("$GRUB_CMDLINE_LINUX lsm=landlock,apparmor,bpf"));
    for (unit, targets) in [("kiln-load.service", 2), ("kiln-agent.service", 1)] {
        let links: Vec<_> = report.written.iter().filter(|p| p.contains(".wants/") && p.ends_with(unit)).collect();
        assert_eq!(links.len(), targets);
        for link in links {
            let link = dir.path().join(&link[1..]);
            assert!(link.parent().unwrap().join(fs::read_link(&link).unwrap()).exists());
        }
    }
    let manifest: Manifest = serde_json::from_str(&read("usr/lib/kiln/manifest.json")).unwrap();
    for (path, digest) in &manifest.files {
        assert_eq!(Digest::of(&fs::read(dir.path().join(&path[1..])).unwrap()), *digest, "{path}");
    }
    assert_eq!(Digest::of(&fs::read(dir.path().join(layout::MANIFEST)).unwrap()), report.image);
    assert_eq!(fs::metadata(dir.path().join(layout::AGENT)).unwrap().mode() & 0o7777, 0o755);

    let before = picture(dir.path());
    let again = bake(dir.path(), None, &payload(), &options()).unwrap();
    assert!(again.written.is_empty() && again.removed.is_empty() && again.boot.is_empty(), "{again:?}");
    assert_eq!(again.image, report.image);
    assert_eq!(picture(dir.path()), before);
}

#[test]
fn two_bakes_of_the_same_image_are_the_same() {
    let one = root();
    let two = tempfile::tempdir().unwrap();
    let copy = two.path().join("root");
    copy_tree(one.path(), &copy).unwrap();
    bake(one.path(), None, &payload(), &options()).unwrap();
    bake(&copy, None, &payload(), &options()).unwrap();
    assert_eq!(picture(one.path()), picture(&copy));
}

#[test]
fn a_later_bake_replaces_the_earlier_whole() {
    let (dir, other) = (root(), root());
    let mut first = payload();
    first.trust.insert("policy-old.pub".into(), b"old".to_vec());
    first.units = vec![wild("app@*", |u| u.starts_with("app@"))];
    bake(dir.path(), None, &first, &options()).unwrap();
    // A key that nobody baked is not trusted after the next bake.
    fs::write(dir.path().join("usr/lib/kiln/trust/policy-planted.pub"), "planted").unwrap();
    let report = bake(dir.path(), None, &payload(), &options()).unwrap();
    bake(other.path(), None, &payload(), &options()).unwrap();
    assert!(report.removed.contains(&"/usr/lib/kiln/trust/policy-planted.pub".to_owned()));
    let files =
        |root: &Path| picture(root).into_iter().filter(|(_, v)| !v.starts_with('4')).collect::<BTreeMap<_, _>>();
    let strip = |p: BTreeMap<String, String>| {
        p.into_iter().filter(|(k, _)| k.starts_with("usr/lib/kiln") || k.contains("kiln")).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(strip(files(dir.path())), strip(files(other.path())));
}

#[test]
fn output_leaves_the_target_alone() {
    let dir = root();
    let before = picture(dir.path());
    let out = tempfile::tempdir().unwrap();
    let report = bake(dir.path(), Some(&out.path().join("baked")), &payload(), &options()).unwrap();
    assert_eq!(picture(dir.path()), before);
    assert!(out.path().join("baked/usr/lib/kiln/kiln-agent").exists());
    assert_eq!(report.target, out.path().join("baked"));
    assert!(bake(dir.path(), Some(&out.path().join("baked")), &payload(), &options()).is_err());
    // A failure leaves no output at all.
    let mut bad = payload();
    bad.units = vec![named("none.service")];
    assert!(bake(dir.path(), Some(&out.path().join("failed")), &bad, &options()).is_err());
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
}

#[test]
fn an_instance_of_a_template_and_every_unit_of_a_pattern_are_tied() {
    let dir = root();
    let mut payload = payload();
    payload.units = vec![named("app@blue.service"), wild("*", |_| true)];
    let report = bake(dir.path(), None, &payload, &options()).unwrap();
    assert_eq!(report.units, ["app@.service", "app@blue.service", "nginx.service"]);
    assert!(report.warnings.iter().any(|w| w.contains("no link in the image starts app@blue.service")));
    let wants = dir.path().join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink("/usr/lib/systemd/system/app@.service", wants.join("app@blue.service")).unwrap();
    let report = bake(dir.path(), None, &payload, &options()).unwrap();
    assert!(!report.warnings.iter().any(|w| w.contains("no link")));
}
