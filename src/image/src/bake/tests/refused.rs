//! What stops the bake of a directory, and leaves it as it was.

use super::*;

#[test]
fn no_link_of_the_image_is_followed_where_something_is_written() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("victim"), "safe").unwrap();
    let plan = {
        let dir = root();
        plan::plan(&RootDir::open(dir.path()).unwrap(), &payload(), &options()).unwrap()
    };
    let is_link = |c: &&Change| matches!(c.node, Some(image::Node::Link { .. }));
    let links: Vec<String> = plan.changes.iter().filter(is_link).map(|c| c.path.clone()).collect();
    let mut places: Vec<String> = Vec::new();
    for change in &plan.changes {
        places.extend(image::ancestors(&change.path).map(str::to_owned));
        places.push(change.path.clone());
    }
    places.sort();
    places.dedup();
    let victim = outside.path().join("victim").display().to_string();
    let mut tried = 0;
    for place in places {
        for target in
            [outside.path().to_str().unwrap(), &victim, "../../../../../../../etc", "nowhere", "/proc/self/root"]
        {
            let dir = root();
            let at = dir.path().join(&place);
            if at.is_dir() {
                fs::rename(&at, dir.path().join("moved")).unwrap();
            } else if at.exists() {
                fs::remove_file(&at).unwrap();
            }
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            symlink(target, &at).unwrap();
            let before = (picture(dir.path()), picture(outside.path()));
            let result = bake(dir.path(), None, &payload(), &options());
            if links.contains(&place) {
                // Where Kiln puts a link of its own, another one is replaced, never followed.
                result.unwrap();
                assert_eq!(picture(outside.path()), before.1, "{place} -> {target}");
                assert!(fs::read_link(&at).unwrap().starts_with(".."));
                continue;
            }
            let error = result.unwrap_err();
            assert!(!matches!(error, BakeError::Rollback { .. }), "{place} -> {target}: {error}");
            assert_eq!((picture(dir.path()), picture(outside.path())), before, "{place} -> {target}");
            tried += 1;
        }
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn what_stands_in_the_way_stops_the_bake_and_stays() {
    for (place, as_dir) in [
        ("usr/lib/kiln", false),
        ("usr/lib/kiln/kiln-agent", true),
        ("usr/lib/kiln/trust", false),
        ("usr/lib/systemd/system/nginx.service.d", false),
        ("usr/lib/systemd/system/kiln-load.service", true),
        (".kiln-bake", false),
        ("etc/systemd/system/kiln-load.service", false),
        ("etc/systemd/system/kiln-agent.service.d", true),
    ] {
        let dir = root();
        let at = dir.path().join(place);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        if as_dir {
            fs::create_dir(&at).unwrap()
        } else {
            fs::write(&at, "mine").unwrap()
        }
        let before = picture(dir.path());
        let error = bake(dir.path(), None, &payload(), &options()).unwrap_err().to_string();
        assert!(error.contains("in the image"), "{place}: {error}");
        assert_eq!(picture(dir.path()), before, "{place}");
    }
}

#[test]
fn what_cannot_work_is_said() {
    let dir = root();
    let before = picture(dir.path());
    let say = |payload: &Payload<'_>, options: &Options| {
        let error = bake(dir.path(), None, payload, options).unwrap_err().to_string();
        assert_eq!(picture(dir.path()), before);
        error
    };
    let unit = |name: &'static str| Payload { units: vec![named(name)], ..payload() };
    assert!(say(&unit("none.service"), &options()).contains("none.service, which"));
    assert!(say(&unit("ngin.service"), &options()).contains("ngin.service (near to it: nginx.service)"));
    assert!(say(&unit("www.service"), &options()).contains("alias of nginx.service"));
    assert!(say(&unit("app@.service"), &options()).contains("write app@*.service"));
    assert!(say(&unit("app@a\\x2db.service"), &options()).contains("written with two: `\\\\x2d`"));
    let none = Payload { units: vec![wild("db-*", |u| u.starts_with("db-"))], ..payload() };
    assert!(say(&none, &options()).contains("db-*, which"));
    let forged = Fake { text: "nginx*".into(), literal: None, matches: |u| u.starts_with("nginx"), attaches: false };
    let forged = Payload { units: vec![&forged], ..payload() };
    assert!(say(&forged, &options()).contains("would not confine nginx.service"));
    symlink("usr/bin", dir.path().join("bin")).unwrap();
    symlink("tool", dir.path().join("usr/tool2")).unwrap();
    fs::write(dir.path().join("usr/tool"), "").unwrap();
    let before = picture(dir.path());
    let say = |payload: &Payload<'_>, options: &Options| {
        let error = bake(dir.path(), None, payload, options).unwrap_err().to_string();
        assert_eq!(picture(dir.path()), before);
        error
    };
    let programs = ["/usr/tool", "/usr/tool2", "/bin/x", "/opt/x"].map(str::to_owned).to_vec();
    let said = say(&Payload { programs, ..payload() }, &options());
    assert!(said.contains("/usr/tool2 (a link") && said.contains("/bin/x (/bin is a link"), "{said}");
    assert!(said.contains("/opt/x, which") && !said.contains("/usr/tool,"), "{said}");
    let mut dynamic = agent();
    dynamic.truncate(20);
    assert!(say(&Payload { agent: dynamic, ..payload() }, &options()).contains("ELF"));
    let this = fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(say(&Payload { agent: this, ..payload() }, &options()).contains("dynamically linked"));
    let old = Options { kernel: KernelCheck::Other("5.15.0".into(), KERNEL.into()), ..options() };
    assert!(say(&payload(), &old).contains("6.1 or newer"));
    fs::remove_dir_all(dir.path().join("boot/grub")).unwrap();
    fs::remove_dir_all(dir.path().join("etc/default")).unwrap();
    let error = bake(dir.path(), None, &payload(), &options()).unwrap_err();
    assert!(matches!(&error, BakeError::NoBootLoader(p) if p == "lsm=landlock,apparmor,bpf"), "{error}");
    let elsewhere = Options { boot_parameter_elsewhere: true, allow_missing_units: true, ..options() };
    let report = bake(dir.path(), None, &unit("none.service"), &elsewhere).unwrap();
    assert_eq!(report.warnings.iter().filter(|w| !w.contains("root")).count(), 2, "{:?}", report.warnings);
    fs::remove_file(dir.path().join("boot/config-6.1.0-1-test")).unwrap();
    assert!(matches!(bake(dir.path(), None, &payload(), &options()), Err(BakeError::NoKernel)));
}
