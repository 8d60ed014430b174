//! Where blocks attach on one machine or another ≡ the evaluator.

use std::collections::{BTreeMap, BTreeSet};

use kiln_base::abi::Tables;
use kiln_base::abi::metadata::ImageInfo;
use kiln_base::model::{cgroup_name, quote_pattern};

use super::laws::options;
use super::random::Random;
use super::tests::block;
use super::*;
use crate::policy::eval::{Evaluator, Task};
use crate::policy::normal::{Block, BlockKind, Glob, Selector, SelectorKey};

const UNITS: [&str; 7] =
    ["a.service", "b.service", "web.service", "c@1.service", "c@2.service", "memory.x.service", "d\\x2dd.service"];
const NAMES: [&str; 3] = ["acme-web:3", "acme-db:3", "other"];
const HOSTS: [&str; 5] = ["web-3", "web-", "db-3", "db-10", ""];
const LABELS: [&str; 3] = ["web", "db", "app=web"];

fn image(r: &mut Random) -> ImageInfo {
    let mut labels = BTreeMap::new();
    for unit in ["a.service", "b.service", "web.service", "c@.service", "memory.x.service", "d\\x2dd.service"] {
        let own: BTreeSet<String> = LABELS.iter().filter(|_| r.one_in(3)).map(|l| (*l).to_owned()).collect();
        if !own.is_empty() {
            labels.insert(unit.to_owned(), own);
        }
    }
    ImageInfo { name: (!r.one_in(4)).then(|| (*r.pick(&NAMES)).to_owned()), labels }
}

fn labels_of(image: &ImageInfo, unit: &str) -> Vec<String> {
    let template = unit.split_once('@').map(|(stem, _)| format!("{stem}@.service"));
    let own = image.labels.get(unit).or_else(|| image.labels.get(&template?));
    own.into_iter().flatten().cloned().collect()
}

fn selector(r: &mut Random, key: SelectorKey) -> Selector {
    let pattern = match key {
        SelectorKey::Unit if r.one_in(2) => quote_pattern(r.pick::<&str>(&UNITS)),
        SelectorKey::Unit => (*r.pick(&["*.service", "c@*.service", "*b.service", "{a,c@1}.service"])).to_owned(),
        SelectorKey::Label => (*r.pick(&["web", "*", "app=*", "d?", "none"])).to_owned(),
        SelectorKey::Image => (*r.pick(&["acme-*", "acme-web:*", "*", "other", "nobody"])).to_owned(),
        _ => (*r.pick(&["web-*", "*", "db-[0-9]", "{web,db}-3", "web-3"])).to_owned(),
    };
    Selector { key, pattern: Glob(pattern) }
}

/// A policy of which lines join what does not change while a machine runs.
fn policy(r: &mut Random) -> Policy {
    use SelectorKey::{Host, Image, Label, Unit};
    let mut blocks = Vec::new();
    for n in 0..1 + r.below(4) {
        let kind = if r.one_in(2) { BlockKind::Profile } else { BlockKind::Guard };
        let shapes: [&[SelectorKey]; 10] = [
            &[Unit],
            &[Label],
            &[Label, Label],
            &[Label, Unit],
            &[Image, Unit],
            &[Image, Label],
            &[Host, Unit],
            &[Host, Label],
            &[Image, Label, Unit, Host],
            if kind == BlockKind::Guard { if r.one_in(2) { &[Image] } else { &[Host] } } else { &[Unit] },
        ];
        let line = |r: &mut Random| r.pick(&shapes).iter().map(|key| selector(r, *key)).collect();
        let subjects = (0..1 + r.below(2)).map(|_| line(r)).collect();
        blocks.push(Block { name: format!("x{n}"), subjects, ..block(kind, Vec::new()) });
    }
    blocks.sort_by_key(|b| (b.kind, b.name.clone()));
    Policy { edition: 1, windows: BTreeMap::new(), blocks }
}

/// What the tables bind of a unit: its profile and all its guards.
fn bound(tables: &Tables, unit: &str) -> (Option<String>, BTreeSet<String>) {
    let subject = tables.kernel.after_unit(1, cgroup_name(unit).as_bytes());
    let info = &tables.metadata.subjects[subject as usize - 1];
    (info.profile.clone(), info.guards.iter().cloned().collect())
}

#[test]
fn blocks_attach_on_each_machine_as_the_evaluator_says() {
    let (mut compiled, mut profiles, mut guards, mut refused, mut kinds) = (0, 0, 0, 0, 0);
    let users = Users::of_passwd(super::random::PASSWD);
    for seed in 0..500 {
        let mut r = Random(seed);
        let (policy, image) = (policy(&mut r), image(&mut r));
        let evaluator = Evaluator::new(&policy).unwrap();
        let expect = |unit: &str, host: &str| {
            let labels = labels_of(&image, unit);
            let (image, unit) = (image.name.clone(), Some(unit.to_owned()));
            let task = Task { image, unit, labels, host: Some(host.to_owned()), ..Task::default() };
            let attached = evaluator.attach(&task);
            let name = |n: usize| policy.blocks[n].name.clone();
            (attached.profile.map(name), attached.guards.into_iter().map(name).collect::<BTreeSet<_>>())
        };
        let tables = match compile_for(&policy, &options(), Image { users: &users, info: Some(&image) }) {
            Ok(tables) => tables,
            Err(CompileError::Gaps(gaps)) => {
                let known = |g: &Gap| g.reason.contains("at the same moment") || g.reason.contains("joins several");
                assert!(gaps.iter().all(known), "seed {seed}: {gaps:?}\n{policy:#?}");
                refused += 1;
                continue;
            }
            Err(other) => panic!("seed {seed}: {other}\n{policy:#?}"),
        };
        compiled += 1;
        let read = Tables::read(&tables.to_bytes().unwrap()).unwrap();
        assert_eq!(read.to_bytes().unwrap(), tables.to_bytes().unwrap());
        kinds += read.others.len();
        for host in HOSTS {
            let own = read.clone().on_host(host.as_bytes());
            assert!(own.others.is_empty() && own.metadata.hosts.is_none());
            for unit in UNITS {
                let (is, should) = (bound(&own, unit), expect(unit, host));
                assert_eq!(is, should, "seed {seed} {host} {unit} {image:?}\n{policy:#?}");
                profiles += usize::from(should.0.is_some());
                guards += should.1.len();
            }
        }
    }
    assert!(
        compiled > 200 && profiles > 200 && guards > 200 && refused > 10,
        "{compiled} {profiles} {guards} {refused} {kinds}"
    );
}

#[test]
fn without_an_image_nobody_knows_labels_and_names() {
    for key in [SelectorKey::Image, SelectorKey::Label] {
        let line = vec![Selector { key, pattern: Glob("*".to_owned()) }];
        let blocks = vec![Block { subjects: vec![line], ..block(BlockKind::Guard, Vec::new()) }];
        let policy = Policy { edition: 1, windows: BTreeMap::new(), blocks };
        let Err(CompileError::Gaps(gaps)) = compile(&policy, &options()) else { panic!("{key:?} compiles") };
        assert!(gaps[0].mend.contains("--image"), "{gaps:?}");
        let tables =
            compile_for(&policy, &options(), Image { users: &Users::default(), info: Some(&ImageInfo::default()) })
                .unwrap();
        assert!(tables.metadata.image.is_some() && !tables.metadata.blocks[0].host);
    }
}

fn of(text: &str) -> Policy {
    use crate::pdl::{NoFiles, Source};
    let source = Source::new("t.pdl", &format!("pdl 1;\n{text}"));
    crate::policy::load(&[source], &NoFiles).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

#[test]
fn tables_for_hosts_that_do_not_belong_together_are_refused() {
    let policy =
        of(r#"guard a { subject host "web-*"; deny kernel bpf; } guard b { subject host "*-3"; deny kernel kexec; }"#);
    let good = compile(&policy, &options()).unwrap();
    let on: Vec<&[String]> = good.all().map(|one| &one.metadata.on[..]).collect();
    assert_eq!(on, [&[][..], &["*-3".to_owned()], &["*-3".to_owned(), "web-*".to_owned()], &["web-*".to_owned()]]);
    type Change = fn(&mut Tables);
    let changes: [Change; 12] = [
        |t| t.metadata.hosts = None,
        |t| t.others.truncate(2),
        |t| t.others.clear(),
        |t| t.others.push(t.others[0].clone()),
        |t| t.others[1].metadata.on = t.others[0].metadata.on.clone(),
        |t| t.others[0].metadata.serial += 1,
        |t| t.others[0].metadata.hosts = t.metadata.hosts.clone(),
        |t| t.metadata.hosts.iter_mut().for_each(|h| h.rows[1][0] = 1023),
        |t| t.metadata.hosts.iter_mut().for_each(|h| h.tables[1] = 9),
        |t| t.metadata.hosts.iter_mut().for_each(|h| h.tables.fill(0)),
        |t| t.metadata.hosts.iter_mut().for_each(|h| h.class.truncate(200)),
        |t| t.metadata.hosts.iter_mut().for_each(|h| h.class[97] = 200),
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(bad.to_bytes().is_ok_and(|bytes| Tables::read(&bytes).is_err()), "change {n}");
    }
    // Nor tables within those within.
    let mut deep = good.clone();
    deep.others[0].others = vec![good.others[1].clone()];
    assert!(Tables::read(&deep.to_bytes().unwrap()).is_err());
}

#[test]
fn more_kinds_of_hosts_than_there_are_tables_for_are_refused() {
    let some = |n: usize| {
        let lines: String = (0..n).map(|n| format!("subject host \"h{n}\";")).collect();
        compile(&of(&format!("guard g {{ {lines} deny kernel bpf; }}")), &options())
    };
    assert_eq!(some(31).unwrap().others.len(), 31);
    assert!(matches!(some(32), Err(CompileError::Hosts(_))));
}

#[test]
fn what_a_more_specific_line_would_take_away_on_some_machines_is_said() {
    let image = ImageInfo { name: Some("acme".to_owned()), ..ImageInfo::default() };
    let say =
        |text: &str| match compile_for(&of(text), &options(), Image { users: &Users::default(), info: Some(&image) }) {
            Ok(_) => String::new(),
            Err(CompileError::Gaps(gaps)) => gaps.into_iter().map(|g| g.reason).collect::<Vec<_>>().join("\n"),
            Err(other) => panic!("{other}"),
        };
    let special = r#"profile s { subject image "acme", unit "a.service"; governs exec; allow exec "/a"; }"#;
    let limited = r#"profile l { subject unit "a.service"; governs exec; limit pids 5; allow exec "/a"; }"#;
    assert!(say(&format!("{special} {limited}")).contains("its limits hold nothing"));
    assert_eq!(say(&format!("{} {limited}", special.replace("acme", "other"))), "");
    let calls = r#"profile c { subject unit "a.service"; governs syscall; allow syscall @system-service; }"#;
    let some = special.replace("image \"acme\"", "host \"web-*\", image \"acme\"");
    assert!(say(&format!("{some} {calls}")).contains("one filter of system calls on all hosts"));
    assert_eq!(say(&format!("{special} {calls}")), "");
}
