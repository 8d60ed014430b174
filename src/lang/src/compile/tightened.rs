//! `abi::subset` ≡ the reference evaluator: what is proven to be a subset permits nothing more, and what is said to be wider is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kiln_base::abi::subset::{Loss, Wider, prove};
use kiln_base::model::{Digest, Mode, Verb, VerbSet, cgroup_name};

use super::laws::{attachment, options, refused, target};
use super::random::{self, Asked, Random};
use super::*;
use crate::policy::eval::{Atom, Evaluator, Task};
use crate::policy::normal::*;

/// Compiles what `text` says.
fn tables(text: &str) -> Tables {
    let source = crate::pdl::Source::new("t.pdl", &format!("pdl 1;\n{text}"));
    let policy = crate::policy::load(&[source], &crate::pdl::NoFiles).unwrap_or_else(|e| panic!("{}", e.render(false)));
    compile(&policy, &options()).unwrap_or_else(|e| panic!("{e} {e:?}"))
}

/// A policy near another: often stricter, sometimes not.
fn changed(policy: &Policy, r: &mut Random) -> Policy {
    let mut policy = policy.clone();
    for _ in 0..1 + r.below(2) {
        let n = policy.blocks.len();
        if n == 0 {
            break;
        }
        let number = r.below(n);
        let block = &mut policy.blocks[number];
        let rules = block.rules.len();
        match r.below(12) {
            0..3 if rules > 0 => {
                block.rules.remove(r.below(rules));
            }
            3 if rules > 0 => block.rules[r.below(rules)].effect = Effect::Deny,
            4 => {
                let object =
                    Object::File { verbs: VerbSet::FILE, paths: vec![random::glob(r)], except: vec![], switch: None };
                let conditions = Vec::new();
                let (because, text, origin) = (Vec::new(), "added".to_owned(), "random.pdl:1000".to_owned());
                let rule = Rule {
                    effect: Effect::Deny,
                    object,
                    conditions,
                    outcome: block.on_violation,
                    because,
                    text,
                    origin,
                };
                block.rules.push(rule);
            }
            9..11 if rules > 0 && block.kind == BlockKind::Profile => {
                block.rules[r.below(rules)].effect = Effect::Allow
            }
            11 if rules > 0 => match &mut block.rules[r.below(rules)].object {
                Object::File { paths, except, .. } => {
                    paths.push(random::glob(r));
                    except.clear();
                }
                Object::Net { ports, .. } => *ports = vec![kiln_base::model::PortRange::ANY],
                _ => {}
            },
            5 => block.mode = *r.pick(Mode::ALL),
            6 => block.governs = VerbSet::from_bits(0xfff),
            7 if rules > 0 => {
                let at = r.below(rules);
                block.rules[at].conditions.clear();
            }
            _ => {
                if let Some(window) = policy.windows.values_mut().next() {
                    for span in &mut window.spans {
                        span.days[r.below(7)] = r.one_in(2);
                    }
                }
            }
        }
    }
    policy
}

/// Pairs of subjects that a task can have by some ways through units and programs.
fn ways(before: &Tables, after: &Tables, r: &mut Random) -> Vec<(u32, u32)> {
    let mut pairs = vec![(1, 1)];
    for _ in 0..20 {
        let (mut a, mut b) = (1, 1);
        for _ in 0..3 {
            if r.one_in(2) {
                let unit = random::unit(r);
                let name = cgroup_name(&unit);
                (a, b) = (before.kernel.after_unit(a, name.as_bytes()), after.kernel.after_unit(b, name.as_bytes()));
            } else {
                let program = random::program(r);
                let program = program.as_bytes();
                (a, b) = (before.kernel.after_exec(a, program), after.kernel.after_exec(b, program));
            }
            pairs.push((a, b));
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// One policy with its evaluator and tables.
struct Side<'a> {
    policy: &'a Policy,
    tables: &'a Tables,
    evaluator: Evaluator<'a>,
}

impl Side<'_> {
    /// Whether the evaluator permits a request of a subject at an instant; none where it knows nothing of it.
    fn permits(&self, subject: u32, verb: Verb, asked: &Asked, at: Timestamp) -> Option<bool> {
        let atom = Atom { verb, target: target(asked)? };
        let attachment = attachment(self.policy, self.tables, subject);
        let inside = self.tables.metadata.subjects[subject as usize - 1].quarantined() && refused(&atom);
        let verdict = self.evaluator.decide(&attachment, &Task::default(), &atom, at);
        Some(!inside && verdict.refusals.is_empty())
    }
}

/// The request of a witness.
fn asked(text: &str) -> Option<(Verb, Asked)> {
    let (verb, rest) = text.split_once(' ')?;
    let verb: Verb = verb.parse().ok()?;
    match verb {
        Verb::Capability => return Some((verb, Asked::Capability(kiln_base::model::capability_number(rest)?))),
        Verb::Kernel => return Some((verb, Asked::Kernel(rest.parse().ok()?))),
        _ => {}
    }
    let quoted = |text: &str| text.strip_prefix('"')?.strip_suffix('"').filter(|t| !t.contains('\\')).map(|t| t.into());
    if let Some(name) = rest.strip_prefix("unix ") {
        return Some((verb, Asked::Unix(quoted(name)?)));
    }
    match quoted(rest) {
        Some(path) => Some((verb, Asked::Path(path))),
        None => {
            let words: Vec<&str> = rest.split(' ').collect();
            let [proto, address, "port", port] = words[..] else { return None };
            let address = match address.parse().ok()? {
                std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                std::net::IpAddr::V6(v6) => v6,
            };
            Some((verb, Asked::Net(proto.parse().ok()?, address.octets(), port.parse().ok()?)))
        }
    }
}

#[test]
fn what_is_proven_permits_no_more_and_what_is_wider_is() {
    let (mut outcomes, mut requests, mut witnesses) = (BTreeMap::new(), 0, 0);
    for seed in 0..80 {
        let mut r = Random(seed);
        let before = if r.one_in(2) { random::timed_policy(&mut r) } else { random::policy(&mut r) };
        let after = if r.one_in(12) { random::policy(&mut r) } else { changed(&before, &mut r) };
        let compiled = |policy: &Policy| compile(policy, &Options { policy: Digest::of(b"p"), ..options() });
        let (Ok(old), Ok(new)) = (compiled(&before), compiled(&after)) else { continue };
        let old_side = Side { policy: &before, tables: &old, evaluator: Evaluator::new(&before).unwrap() };
        let new_side = Side { policy: &after, tables: &new, evaluator: Evaluator::new(&after).unwrap() };
        let proof = prove(&old, &new, []);
        let context = || format!("seed {seed}: {proof:?}\n{before:#?}\n{after:#?}");
        let kind = match &proof {
            Ok(()) => "subset".to_owned(),
            Err(Wider::Request { loss, .. }) => format!("{loss:?}"),
            Err(other) => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
        };
        *outcomes.entry(kind).or_insert(0) += 1;
        // No request of any task, at any time, that only the second permits.
        let pairs = ways(&old, &new, &mut r);
        for _ in 0..300 {
            let (a, b) = *r.pick(&pairs);
            let (verb, asked) = random::request(&mut r);
            let at = Timestamp::from_second(random::instant(&mut r)).unwrap();
            let permits = |side: &Side<'_>, subject| side.permits(subject, verb, &asked, at);
            let (Some(x), Some(y)) = (permits(&old_side, a), permits(&new_side, b)) else { continue };
            requests += 1;
            assert!(proof.is_err() || x || !y, "{a} {b} {verb} {asked:?} {at} {}", context());
        }
        // A witness is one: some subject may do what its like may not by the first. At which time, the proof says.
        let Err(Wider::Request { loss: Loss::Permitted, request, .. }) = &proof else { continue };
        let Some((verb, asked)) = asked(request).filter(|_| before.windows.is_empty()) else { continue };
        witnesses += 1;
        let like = |a: u32, b: u32| {
            let (x, y) = (&old.metadata.subjects[a as usize - 1], &new.metadata.subjects[b as usize - 1]);
            x.profile == y.profile && x.guards.iter().all(|g| y.guards.contains(g))
        };
        let subjects = |tables: &Tables| (1..tables.kernel.header.n_subjects).filter(|n| *n != 2);
        let all = subjects(&old).flat_map(|a| subjects(&new).map(move |b| (a, b)));
        let shown = all.filter(|(a, b)| like(*a, *b)).any(|(a, b)| {
            let permits = |side: &Side<'_>, subject| side.permits(subject, verb, &asked, Timestamp::UNIX_EPOCH);
            permits(&old_side, a) == Some(false) && permits(&new_side, b) == Some(true)
        });
        assert!(shown, "no such request: {}", context());
    }
    eprintln!("{outcomes:?}, {requests} requests, {witnesses} witnesses");
    assert!(outcomes["subset"] > 20 && outcomes["Permitted"] > 1, "{outcomes:?}");
    assert!(requests > 5_000, "{requests}");
}

#[test]
fn a_policy_is_a_subset_of_itself() {
    for seed in 0..30 {
        let mut r = Random(seed);
        let policy = if r.one_in(2) { random::timed_policy(&mut r) } else { random::policy(&mut r) };
        let Ok(tables) = compile(&policy, &options()) else { continue };
        assert_eq!(prove(&tables, &tables, []), Ok(()), "seed {seed} {policy:#?}");
    }
}

/// What the proof says of the second text.
fn says(before: &str, after: &str) -> String {
    prove(&tables(before), &tables(after), []).map_or_else(|e| e.to_string(), |()| "subset".to_owned())
}

/// A profile of one unit with these rules.
fn web(rules: &str) -> String {
    format!("profile web {{ subject unit \"web.service\"; mode enforce; {rules} }}\n")
}

#[test]
fn the_shortest_witness_is_named() {
    let build =
        web("governs read, write, exec, connect, capability; allow read \"/srv/**\"; allow exec \"/usr/bin/web\"; \
                     allow connect tcp to \"10.0.0.0/8\" port 443;");
    let with = |more: &str| {
        web(&format!("governs read, write, exec, connect, capability; allow exec \"/usr/bin/web\"; {more}"))
    };
    assert_eq!(says(&build, &build), "subset");
    assert_eq!(
        says(&build, &with("allow read \"/srv/www/**\"; allow connect tcp to \"10.1.0.0/16\" port 443;")),
        "subset"
    );
    assert_eq!(says(&build, &with("")), "subset");
    let wider = |more: &str, expect: &str| {
        let said = says(&build, &with(more));
        assert_eq!(said, format!("profile web may do what the build's policy refuses: {expect}"));
    };
    wider("allow read \"/srv/**\", \"/etc/a\";", "read \"/etc/a\"");
    wider("allow read \"/srv/**\"; allow exec \"/usr/bin/*\";", "exec \"/usr/bin/a\"");
    wider("allow connect tcp to \"10.0.0.0/8\" port 443-444;", "connect tcp 10.0.0.0 port 444");
    wider("allow connect udp to \"10.0.0.0/8\" port 443;", "connect udp 10.0.0.0 port 443");
    wider("allow connect unix \"/run/a\";", "connect unix \"/run/a\"");
    wider("allow capability net_bind_service;", "capability net_bind_service");
}

#[test]
fn a_mode_a_response_a_selector_and_a_profile_stay() {
    let rules = "governs read, write, exec; allow read \"/srv/**\";";
    let build = web(rules);
    let said = |after: &str, expect: &str| {
        let said = says(&build, after);
        assert!(said.contains(expect), "{said}");
    };
    let audit = build.replace("mode enforce", "mode audit");
    said(&audit, "profile web would only be reported (audit) for what the build's policy refuses: read");
    said(
        "",
        "unit \"web.service\" of what nothing binds comes to what nothing binds, and by the build's policy to profile web",
    );
    said(&build.replace("profile web", "profile other"), "a task keeps its profile");
    said(&build.replace("web.service", "w*.service"), "what the build's policy does not bind stays unbound");
    let more = format!("{build}profile more {{ subject unit \"more.service\"; mode enforce; governs read; }}\n");
    said(&more, "what the build's policy does not bind stays unbound");
    let guard = |subject: &str| {
        format!("{build}guard g {{ subject {subject}; mode enforce; deny read, create \"/srv/a\"; }}\n")
    };
    said(&guard("unit \"web.service\""), "subset");
    said(&guard("unit \"*.service\""), "stays unbound");
    said(&guard("host \"*\""), "is the build's alone to decide");
    let kills = web("governs read, write, exec; allow read \"/srv/**\"; deny read \"/srv/a\" then kill;");
    assert_eq!(says(&build, &kills), "subset");
    assert_eq!(
        says(&kills, &kills.replace(" then kill", "")),
        "profile web would not meet the response that the build's policy has for it: read \"/srv/a\""
    );
}

#[test]
fn windows_may_only_shrink() {
    let at = |span: &str| {
        format!(
            "window w {{ {span} zone \"UTC\"; }}\n{}",
            web("governs write, exec; allow exec \"/usr/bin/web\" during w;")
        )
    };
    let day = at("mon-fri 08:00-18:00");
    assert_eq!(says(&day, &at("mon-fri 09:00-12:00")), "subset");
    assert_eq!(says(&day, &at("mon 08:00-18:00")), "subset");
    assert_eq!(says(&day, &web("governs write, exec;")), "subset");
    assert_eq!(
        says(&day, &at("mon-sat 08:00-18:00")),
        "profile web may do what the build's policy refuses: exec \"/usr/bin/web\" on Saturday 08:00 UTC"
    );
    let said = says(&day, &at("mon-fri 08:00-18:01"));
    assert!(said.ends_with("exec \"/usr/bin/web\" on Monday 18:00 UTC"), "{said}");
    assert!(says(&day, &web("governs write, exec; allow exec \"/usr/bin/web\";")).contains("/usr/bin/web"));
    let ends = |span: &str| {
        format!(
            "window w {{ {span} zone \"UTC\"; }}\n{}",
            web("active during w; governs write, exec; allow exec \"/**\";")
        )
    };
    assert_eq!(says(&ends("mon-fri 08:00-18:00"), &ends("mon-fri 08:00-17:00")), "subset");
    assert!(says(&ends("mon-fri 08:00-17:00"), &ends("mon-fri 08:00-18:00")).contains("on Monday 17:00 UTC"));
}

#[test]
fn limits_may_only_shrink() {
    let limit = |text: &str| web(&format!("governs exec; {text}"));
    let build = limit("limit pids 10 then kill; limit network out 1Mbit/s;");
    assert_eq!(says(&build, &limit("limit pids 9 then kill; limit network out 1Mbit/s; limit memory 1GiB;")), "subset");
    for wider in [
        "limit network out 1Mbit/s;",
        "limit pids 11 then kill; limit network out 1Mbit/s;",
        "limit pids 10; limit network out 1Mbit/s;",
    ] {
        assert_eq!(
            says(&build, &limit(wider)),
            "profile web: the limit of pids is not as strict as the build's",
            "{wider}"
        );
    }
    assert!(says(&build, &limit("limit pids 10 then kill;")).contains("the limit of network out"));
    assert!(says(&build, &web("governs exec;")).contains("web.service"));
}

/// The least limit decides, with its response: whatever holds besides the build's has the build's response.
#[test]
fn a_limit_in_a_window_takes_no_response_away() {
    let limit = |text: &str| {
        format!("window w {{ daily 08:00-18:00 zone \"UTC\"; }}\n{}", web(&format!("governs exec; {text}")))
    };
    let lost = "profile web: the limit of pids is not as strict as the build's";
    let build = limit("limit pids 10 then kill;");
    assert_eq!(says(&build, &limit("limit pids 10 then kill; limit pids 9 during w;")), lost);
    assert_eq!(says(&build, &limit("limit pids 10 then kill; limit pids 9 during w then kill;")), "subset");
    let build = limit("limit pids 10 during w then kill;");
    assert_eq!(says(&build, &build), "subset");
    for wider in ["limit pids 9 during w then kill;", "limit pids 10 during w then kill; limit pids 9;", ""] {
        assert_ne!(says(&build, &limit(wider)), "subset", "{wider}");
    }
}

/// Nobody would end what keeps the agent, or the operator, from working.
#[test]
fn what_keeps_the_machine_gets_no_new_limits() {
    for unit in ["kiln-agent.service", "systemd-journald.service", "ssh.service"] {
        let policy =
            |rule: &str| format!("guard g {{ subject unit \"{unit}\"; deny connect tcp to \"192.0.2.1\"; {rule} }}");
        assert_eq!(says(&policy(""), &policy("deny connect tcp to \"192.0.2.2\";")), "subset", "{unit}");
        assert!(says(&policy(""), &policy("limit memory 1MiB;")).contains(unit), "{unit}");
    }
}

/// Tasks of one label may do to each other what others may not, also where `ptrace` is no detour.
#[test]
fn two_labels_stay_two() {
    let policy = |guarded: &str| {
        format!(
            "profile p {{ subject unit \"a.service\"; subject unit \"b.service\"; governs read, kernel; }}\n\
             guard g {{ {guarded} deny connect tcp to \"192.0.2.1\"; }}"
        )
    };
    let (one, both) = ("subject unit \"a.service\";", "subject unit \"a.service\"; subject unit \"b.service\";");
    assert_eq!(says(&policy(one), &policy(one)), "subset");
    assert!(says(&policy(one), &policy(both)).contains("tasks of two labels are kept apart"));
}

/// What a file may be named is judged by the policy of the moment: two names are as apart as they were, or nothing is named so.
#[test]
fn names_that_the_build_keeps_apart_stay_apart() {
    let build =
        "governs read, write; allow read, write \"/open/**\"; allow modify, create, delete, setattr \"/shut/**\";";
    // Neither can be read: by that policy a file of the one could get a name of the other, and be read later.
    let both = web("governs read, write; allow modify, create, delete, setattr \"/open/**\", \"/shut/**\";");
    let said = says(&web(build), &both);
    assert!(said.contains("may make \"/open/") && said.contains("refuse to create it, too"), "{said}");
    assert_eq!(
        says(&web(build), &web("governs read, write; allow modify, delete, setattr \"/open/**\", \"/shut/**\";")),
        "subset"
    );
}

#[test]
fn programs_that_the_build_switches_by_stay_apart() {
    let two = |rules: &str| {
        format!(
            "{}profile job {{ subject exec \"/usr/bin/job\"; mode enforce; governs exec; allow exec \"/usr/bin/true\"; }}\n",
            web(&format!("governs exec, create; {rules}"))
        )
    };
    let build = two("allow exec \"/usr/bin/web\"; allow exec \"/usr/bin/job\" as job;");
    assert_eq!(says(&build, &two("allow exec \"/usr/bin/job\" as job;")), "subset");
    let said = says(&build, &two("allow exec \"/usr/bin/web\";"));
    assert!(said.contains("keep the switch, and `deny` the program"), "{said}");
    let denied = "allow exec \"/usr/bin/web\"; allow exec \"/usr/bin/job\" as job; deny exec \"/usr/bin/job\";";
    assert_eq!(says(&build, &two(denied)), "subset");
}

/// Each field of a subject, made to say less, is found: the kernel programs look at some before they walk.
#[test]
fn no_field_of_a_subject_may_say_less() {
    use kiln_base::abi::kernel::{SUBJECT_WORDS, subject_words};
    use kiln_base::abi::layout::Subject;
    let own = web("governs read, write, exec, connect, capability, kernel; allow exec \"/usr/bin/web\"; \
         allow exec \"/usr/bin/job\" as job;");
    let build = tables(&format!(
        "{own}guard g {{ subject unit \"web.service\"; mode enforce; deny read, create \"/srv/a\"; }}\n\
         profile job {{ subject exec \"/usr/bin/job\"; mode enforce; governs exec; deny exec \"/x\" then quarantine; }}\n"
    ));
    let with = |n: u32, change: fn(&mut Subject)| {
        let mut changed = build.clone();
        let mut s = changed.kernel.subject(n).unwrap();
        let before = s;
        change(&mut s);
        assert_ne!(s, before, "nothing is changed");
        let at = changed.kernel.header.subjects_off as usize + n as usize * SUBJECT_WORDS;
        changed.kernel.words[at..][..SUBJECT_WORDS].copy_from_slice(&subject_words(&s));
        prove(&build, &changed, [])
    };
    let bound = build.metadata.subjects.iter().find(|s| s.key == "web|g").unwrap().index;
    let fields: [fn(&mut Subject); 17] = [
        |s| s.exec_start = 0,
        |s| s.path_default = 0,
        |s| s.net_default = 0,
        |s| s.fail = 0,
        |s| s.fail_net = 0,
        |s| s.verbs = 0,
        |s| s.verbs &= !1,
        |s| s.cap_deny = 0,
        |s| s.kernel_deny = 0,
        |s| s.kernel_deny &= s.kernel_deny - 1,
        |s| s.flags ^= 1,
        |s| s.flags ^= 1 << 31,
        |s| s.kernel_detour = u32::MAX,
        |s| s.guard_verbs = 0,
        |s| s.guard_start = 0,
        |s| s.guard_fail = 0,
        |s| s.quarantine = 0,
    ];
    // Without its automaton of paths it is permitted nothing.
    assert!(with(bound, |s| s.path_start = 0).is_ok());
    for (n, change) in fields.into_iter().enumerate() {
        assert!(with(bound, change).is_err(), "field {n}");
    }
    assert!(with(1, |s| s.unit_start = 0).is_err());
    for hooks in 0..2 {
        let mut changed = build.clone();
        let header = &mut changed.kernel.header;
        *(if hooks == 0 { &mut header.required_hooks_lo } else { &mut header.required_hooks_hi }) = 0;
        assert!(prove(&build, &changed, []).is_err());
    }
    // What running tasks have counts, too.
    let job = build.metadata.subjects.iter().find(|s| s.key == "job|").unwrap().index;
    assert!(prove(&build, &build, [(bound, job)]).is_err());
    assert!(prove(&build, &build, [(2, job)]).is_err(), "what is denied everything stays so");
}

#[test]
fn tables_of_one_host_and_image_are_compared_and_no_others() {
    let of = |rules: &str| tables(&format!(r#"guard g {{ subject host "web*", unit "a.service"; {rules} }}"#));
    let (wide, narrow) = (of("deny kernel bpf;"), of("deny kernel bpf; deny kernel kexec;"));
    for (before, after) in
        [(&wide, &narrow), (&wide, &narrow.clone().on_host(b"web")), (&wide.clone().on_host(b"web"), &narrow)]
    {
        assert_eq!(prove(before, after, []), Err(Wider::Unfollowed("tables of several hosts")));
    }
    for host in [&b"web-3"[..], b"db"] {
        let [wide, narrow] = [&wide, &narrow].map(|tables| tables.clone().on_host(host));
        assert_eq!(prove(&wide, &narrow, []), Ok(()));
        assert_eq!(prove(&narrow, &wide, []).is_ok(), host == b"db");
    }
    // What binds a host with one name does not bind one with another.
    let [web, db] = [&b"web"[..], b"db"].map(|host| narrow.clone().on_host(host));
    assert!(prove(&db, &web, []).is_err());
    assert!(prove(&web, &db, []).is_err());
    let mut other = web.clone();
    other.metadata.image = Some(kiln_base::abi::metadata::ImageInfo::default());
    assert_eq!(prove(&web, &other, []), Err(Wider::Unfollowed("tables for another image")));
}
