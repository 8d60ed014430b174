//! dpkg as the judge of its own database: the packages that it names for a path are those that Kiln names.

use std::process::Command;

use kiln::manifest::Root;
use kiln::manifest::dpkg::Database;

use super::super::build;
use super::run;

/// A database: its kind, its files below /var/lib/dpkg, and the paths that both are asked for. `real = asked` is a diverted
/// path, which dpkg names by its first name.
pub struct Case {
    kind: &'static str,
    files: &'static str,
    paths: &'static [&'static str],
}

/// A stanza with what dpkg requires of one.
macro_rules! stanza {
    ($name:literal, $state:literal) => {
        stanza!($name, $state, "all")
    };
    ($name:literal, $state:literal, $architecture:literal) => {
        concat!(
            "Package: ",
            $name,
            "\nStatus: ",
            $state,
            "\nArchitecture: ",
            $architecture,
            "\nVersion: 1\nMaintainer: x\nDescription: x\n\n"
        )
    };
}

#[rustfmt::skip]
pub const DATABASES: [Case; 13] = [
    Case {
        kind: "files of packages that wait for triggers, are removed, or are diverted",
        files: concat!(
            "-- status --\n",
            stanza!("one", "install ok installed"),
            "Package: two\nStatus: install ok triggers-awaited\nTriggers-Awaited: one\nArchitecture: all\nVersion: 1\n",
            "Maintainer: x\nDescription: x\n\n",
            stanza!("gone", "deinstall ok config-files"),
            "-- info/one.list --\n/.\n/usr\n/usr/bin\n/usr/bin/tool\n/usr/bin/one\n",
            "-- info/two.list --\n/.\n/usr\n/usr/bin\n/usr/bin/tool\n/usr/bin/two\n",
            "-- info/gone.list --\n/etc/gone.conf\n",
            "-- diversions --\n/usr/bin/tool\n/usr/bin/tool.one\ntwo\n/usr/bin/two\n/usr/bin/two.local\n:\n",
        ),
        paths: &["/usr/bin/one", "/usr/bin/two.local = /usr/bin/two", "/etc/gone.conf", "/usr/bin/none"],
    },
    Case {
        kind: "names of fields in lower case",
        files: concat!(
            "-- status --\npackage: one\nstatus: install ok installed\narchitecture: all\nversion: 1\nmaintainer: x\n",
            "description: x\n-- info/one.list --\n/usr/bin/one\n",
        ),
        paths: &["/usr/bin/one"],
    },
    Case {
        kind: "several blanks within a state, several empty lines between stanzas",
        files: concat!(
            "-- status --\n\n\nPackage: one\nStatus:  install   ok\tinstalled\nArchitecture: all\nVersion: 1\n",
            "Maintainer: x\nDescription: x\n .\n y\n\n\n\n", stanza!("gone", "deinstall  ok  config-files"),
            "-- info/one.list --\n/usr/bin/one\n-- info/gone.list --\n/etc/gone\n",
        ),
        paths: &["/usr/bin/one", "/etc/gone"],
    },
    Case {
        kind: "a package that an unfinished run installed (updates)",
        files: concat!(
            "-- status --\n", stanza!("one", "install ok installed"),
            "-- updates/0000 --\n", stanza!("late", "install ok unpacked"),
            "-- info/one.list --\n/usr/bin/one\n-- info/late.list --\n/usr/bin/late\n",
        ),
        paths: &["/usr/bin/one", "/usr/bin/late"],
    },
    Case {
        kind: "a package that an unfinished run removed",
        files: concat!(
            "-- status --\n", stanza!("one", "install ok installed"), stanza!("two", "deinstall ok half-installed"),
            "-- updates/0000 --\n", stanza!("two", "deinstall ok half-installed"),
            "-- updates/0001 --\nPackage: two\nStatus: deinstall ok not-installed\nArchitecture: all\n",
            "-- info/one.list --\n/usr/bin/one\n-- info/two.list --\n/usr/bin/two\n",
        ),
        paths: &["/usr/bin/one", "/usr/bin/two"],
    },
    Case {
        kind: "an update that was not complete, under dpkg's temporary name",
        files: concat!(
            "-- status --\n", stanza!("one", "install ok installed"),
            "-- updates/tmp.i --\nPackage: two\nStatus: install ok inst",
            "\n-- info/one.list --\n/usr/bin/one\n",
        ),
        paths: &["/usr/bin/one"],
    },
    Case {
        kind: "two architectures of one package",
        files: concat!(
            "-- status --\n",
            "Package: libm\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: 1\nMaintainer: x\n",
            "Description: x\n\n",
            "Package: libm\nStatus: install ok installed\nArchitecture: i386\nMulti-Arch: same\nVersion: 1\nMaintainer: x\n",
            "Description: x\n",
            "-- info/libm:amd64.list --\n/usr/lib/x86_64-linux-gnu/libm.so\n/usr/share/doc/libm\n",
            "-- info/libm:i386.list --\n/usr/lib/i386-linux-gnu/libm.so\n/usr/share/doc/libm\n",
        ),
        paths: &["/usr/lib/x86_64-linux-gnu/libm.so", "/usr/lib/i386-linux-gnu/libm.so", "/usr/share/doc/libm"],
    },
    Case {
        kind: "one architecture of which is removed, with its configuration kept",
        files: concat!(
            "-- status --\n",
            "Package: gone\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: 1\nMaintainer: x\n",
            "Description: x\n\n",
            "Package: gone\nStatus: deinstall ok config-files\nArchitecture: i386\nMulti-Arch: same\nVersion: 1\nMaintainer: x\n",
            "Description: x\n",
            "-- info/gone:amd64.list --\n/usr/lib/x86_64-linux-gnu/libgone.so\n",
            "-- info/gone:i386.list --\n/etc/gone.conf\n",
        ),
        paths: &["/etc/gone.conf", "/usr/lib/x86_64-linux-gnu/libgone.so"],
    },
    Case {
        kind: "a foreign architecture whose package keeps its plain name",
        files: concat!(
            "-- status --\n", stanza!("wine32", "install ok installed", "i386"),
            "-- info/wine32.list --\n/usr/bin/wine32\n",
        ),
        paths: &["/usr/bin/wine32"],
    },
    Case {
        kind: "a package on hold, one half installed, one that must be installed again",
        files: concat!(
            "-- status --\n", stanza!("held", "hold ok installed"), stanza!("half", "install ok half-installed"),
            stanza!("again", "install reinstreq half-configured"),
            "-- info/held.list --\n/usr/bin/held\n-- info/half.list --\n/usr/bin/half\n",
            "-- info/again.list --\n/usr/bin/again\n",
        ),
        paths: &["/usr/bin/held", "/usr/bin/half", "/usr/bin/again"],
    },
    Case {
        kind: "a list that outlived its package",
        files: concat!(
            "-- status --\n", stanza!("one", "install ok installed"), stanza!("old", "purge ok not-installed"),
            "-- info/one.list --\n/usr/bin/one\n-- info/old.list --\n/usr/bin/old\n-- info/never.list --\n/usr/bin/never\n",
        ),
        paths: &["/usr/bin/one", "/usr/bin/old", "/usr/bin/never"],
    },
    Case {
        kind: "an empty list, names with blanks, names in capitals",
        files: concat!(
            "-- status --\n", stanza!("empty", "install ok installed"), stanza!("One", "install ok installed"),
            "-- info/empty.list --\n-- info/one.list --\n/usr/share/a b\n/usr/share/A\n",
        ),
        paths: &["/usr/share/a b", "/usr/share/A", "/usr/share/a"],
    },
    Case {
        kind: "overrides of owners and modes, and triggers, which say nothing of whose a file is",
        files: concat!(
            "-- status --\n",
            "Package: one\nStatus: install ok triggers-pending\nTriggers-Pending: /usr/share/x\nArchitecture: all\nVersion: 1\n",
            "Maintainer: x\nDescription: x\n",
            "-- info/one.list --\n/usr/bin/one\n-- statoverride --\nroot adm 4754 /usr/bin/one\nroot root 755 /usr/bin/two\n",
            "-- triggers/File --\n/usr/bin/three one\n-- triggers/Unincorp --\n/usr/share/x one\n-- info/one.triggers --\n",
            "interest /usr/bin/three\n",
        ),
        paths: &["/usr/bin/one", "/usr/bin/two", "/usr/bin/three"],
    },
];

/// The packages that dpkg names for a path are those that Kiln names, diversions and odd states among them.
#[test]
fn dpkg_names_the_same_owners() {
    for Case { kind, files, paths } in DATABASES {
        let below: String = files
            .lines()
            .map(|l| l.replacen("-- ", "-- var/lib/dpkg/", usize::from(l.starts_with("-- "))) + "\n")
            .collect();
        let dir = build(&format!("{below}-- var/lib/dpkg/info/format --\n1\n-- var/lib/dpkg/updates/ --\n"));
        let db = Database::read(&Root::open(dir.path()).unwrap()).unwrap();
        let admin = format!("--admindir={}", dir.path().join("var/lib/dpkg").display());
        for path in paths {
            let (real, asked) = path.split_once(" = ").unwrap_or((path, path));
            let Some(output) = run(Command::new("dpkg-query").arg(&admin).args(["-S", asked])) else { return };
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let theirs = said
                .lines()
                .filter(|l| !l.starts_with("diversion") && !l.starts_with("local diversion"))
                .find_map(|l| l.split([':', ',']).next());
            // A package that is removed has no files but its configuration.
            let theirs = theirs.filter(|o| *o != "gone" || !asked.starts_with("/etc/"));
            assert_eq!(db.owner(real).map(|p| p.name.as_str()), theirs, "{kind}: {path}: {said}");
        }
        if kind.ends_with("diverted") {
            assert_eq!(db.owner("/usr/bin/tool").unwrap().name, "two");
            assert_eq!(db.owner("/usr/bin/tool.one").unwrap().name, "one");
            assert!(db.owner("/usr/bin/two").is_none());
        }
    }
}
