//! `kiln violations` against a real service, to which a machine sends.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use kiln::model::{Severity, Verb};
use kiln::wire::{ViolationsAnswer, ViolationsRequest};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use super::fixture::{Machine, batch, enrol, image, violation};
use super::service::Service;

struct Scene {
    dir: tempfile::TempDir,
    service: Service,
    machine: Machine,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let service = Service::start(dir.path());
        let machine = enrol(&service, &image(&service, "web"));
        Scene { dir, service, machine }
    }

    fn send(&self, request: &ViolationsRequest) {
        let agent = self.service.with(&self.machine.identity);
        agent.post("/v1/agent/violations", request).json::<ViolationsAnswer>();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.arg("violations").args(args);
        command.env("KILN_POS", format!("https://{}", self.service.address));
        command.env("KILN_POS_IDENTITY", self.dir.path().join("operator"));
        command
    }

    fn run(&self, args: &[&str]) -> assert_cmd::assert::Assert {
        assert_cmd::Command::from_std(self.command(args)).assert()
    }

    /// The sequence numbers that are shown.
    fn shown(&self, args: &[&str]) -> Vec<u64> {
        let found = self.run(&[args, &["--format", "json"]].concat()).success().get_output().stdout.clone();
        let found: Value = serde_json::from_slice(&found).unwrap();
        let all = found["violations"].as_array().unwrap().iter();
        all.map(|view| view["violation"]["seq"].as_u64().unwrap()).collect()
    }
}

#[test]
fn the_newest_that_fit_are_shown_oldest_first() {
    let scene = Scene::new();
    scene.run(&[]).success().stdout("").stderr(contains("no violations"));
    let mut request = batch("boot-1", 1..=900);
    for violation in &mut request.violations {
        violation.severity = Severity::ALL[violation.seq as usize % 4].into();
        if violation.seq % 300 == 0 {
            (violation.verb, violation.profile) = (Verb::Exec.into(), "other".into());
        }
    }
    scene.send(&request);
    scene.send(&batch("boot-1", 901..=1500));
    assert_eq!(scene.shown(&["--last", "3"]), [1498, 1499, 1500]);
    assert_eq!(scene.shown(&[]).len(), 50);
    let all = scene.shown(&["--last", "0"]);
    assert!(all.len() == 1500 && all.is_sorted());
    // What fits lies beyond the first page.
    assert_eq!(scene.shown(&["--verb", "exec", "--last", "2"]), [600, 900]);
    assert_eq!(scene.shown(&["--profile", "other", "--last", "0"]), [300, 600, 900]);
    assert_eq!(scene.shown(&["--object", "shadow-77", "--last", "2"]), [778, 779]);
    assert_eq!(scene.shown(&["--severity", "critical", "--last", "2"]), [895, 899]);
    assert_eq!(scene.shown(&["--verdict", "would_deny"]), [0u64; 0]);
    assert_eq!(scene.shown(&["--instance", &scene.machine.id, "--last", "1"]), [1500]);
    scene.run(&["--instance", "nobody"]).code(2).stderr(contains("not-found"));
    scene.run(&["--instance", "a&limit=1"]).code(2).stderr(contains("not a machine's name"));
}

#[test]
fn a_line_says_who_what_and_why_and_nothing_of_a_terminal() {
    let scene = Scene::new();
    let mut request = batch("boot-1", [1]);
    request.violations[0].object = "/srv/\u{1b}[2J\n".into();
    scene.send(&request);
    let id = scene.machine.id.clone();
    let line = format!(
        "2026-01-05T09:00:00Z  {id}  denied  read /srv/\\u{{1b}}[2J\\n  by nginx (pid 7, uid 33)  profile nginx: no rule permits it\n"
    );
    scene.run(&[]).success().stdout(predicate::eq(line));
}

#[test]
fn following_shows_each_that_comes_once() {
    let scene = Scene::new();
    scene.send(&batch("boot-1", 1..=3));
    let mut follower = scene
        .command(&["--follow", "--last", "1", "--format", "json", "--object", "shadow-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = || {
        let view: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        view["violation"]["seq"].as_u64().unwrap()
    };
    assert_eq!(next(), 3);
    let mut hidden = violation(4);
    hidden.object = "/etc/motd".into();
    scene.send(&ViolationsRequest { violations: vec![hidden, violation(5)], ..batch("boot-1", []) });
    assert_eq!(next(), 5);
    scene.send(&batch("boot-1", [5, 6, 7]));
    assert_eq!([next(), next()], [6, 7]);
    follower.kill().unwrap();
    follower.wait().unwrap();
}
