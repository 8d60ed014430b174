//! The commands that ask a POS, whoever reads what they say.

use std::fs;

use kiln::wire::ViolationsAnswer;

use super::cli::{Scene, join};
use super::fixture::batch;
use crate::field::commands::{bash, whoever_reads};

/// The exit code, and the command.
const COMMANDS: &str = "
0 deploy root
0 deploy root --format json
0 deploy root --no-token
0 deploy root --join-out web.join
2 deploy nowhere
1 status
1 status --format json
1 status --evidence
2 status --identity keys
0 violations
0 violations --format json
2 violations --instance nobody
0 publish web.pdl --key keys/policy.key
0 publish web.pdl --key keys/policy.key --format json
2 publish none.pdl --key keys/policy.key
2 publish web.pdl --key stranger/policy-stranger.key
";

#[test]
fn nobody_has_to_read() {
    let scene = Scene::new();
    scene.plain(&["keygen", "stranger", "--name", "policy-stranger"]).assert().success();
    // A machine that never confirms: `kiln status` finds one that does not enforce.
    scene.pos(&["deploy", "root", "--join-out", "web1.join"]).assert().success();
    let (_, agent) = join(&scene, &fs::read_to_string(scene.path().join("web1.join")).unwrap());
    agent.post("/v1/agent/violations", &batch("boot-1", 1..=3)).json::<ViolationsAnswer>();

    let before =
        format!("export KILN_POS=https://{} KILN_POS_IDENTITY=pos/operator; rm -f web.join; ", scene.service.address);
    let mut wrong = String::new();
    for line in COMMANDS.trim().lines() {
        let (code, command) = line.split_once(' ').unwrap();
        wrong += &whoever_reads(scene.path(), &before, &format!("kiln {command}"), code);
    }
    // What never ends by itself ends with its reader, who is gone before the first word.
    for command in ["violations --follow", "status --watch"] {
        let line = format!("{before}{{ sleep 1; timeout 60 kiln {command}; }} | true; exit ${{PIPESTATUS[0]}}");
        let (code, said) = bash(scene.path(), &line);
        if code != "0" || said.contains("panicked") {
            wrong += &format!("{command}: {code}: {said}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
