//! Stories: what needs more than one policy, a dead agent, or time. One shell script each, `stories/NAME.sh`, with its
//! policies beside it: `NAME.a.pdl` has serial 1, `NAME.b.pdl` 2 and so on. All chosen stories of a kernel share a boot.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::case::folder;
use crate::vm::Vm;
use crate::{build, policy};

/// One story.
#[derive(Debug, Clone)]
pub struct Story {
    /// The script's stem.
    pub name: String,
    script: String,
    /// Letter and text of each policy, in order.
    policies: Vec<(String, String)>,
}

impl Story {
    /// How often the policies come: `# rounds: N` in the script. The second round's are `a2`, `b2` and so on, with the
    /// serials that follow.
    fn rounds(&self) -> Result<u32, String> {
        let Some(text) = self.script.lines().find_map(|line| line.strip_prefix("# rounds: ")) else { return Ok(1) };
        text.trim().parse().map_err(|error| format!("{}: rounds {text}: {error}", self.name))
    }
}

/// Every story, by name.
///
/// # Errors
/// Names the file that cannot be read.
pub fn all() -> Result<Vec<Story>, String> {
    let folder = folder().join("stories");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        files.push(entry.map_err(|error| format!("{}: {error}", folder.display()))?.path());
    }
    files.sort();
    let read = |path: &PathBuf| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let mut stories = Vec::new();
    for script in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "sh")) {
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut policies = Vec::new();
        for path in &files {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let letter = file.strip_prefix(&format!("{name}.")).and_then(|rest| rest.strip_suffix(".pdl"));
            if let Some(letter) = letter {
                policies.push((letter.to_owned(), read(path)?));
            }
        }
        stories.push(Story { script: read(script)?, policies, name });
    }
    Ok(stories)
}

/// Boots `kernel` and lets the stories happen; returns what the guest wrote.
///
/// # Errors
/// If a policy does not compile or the guest does not come to the end.
pub fn boot(kernel: &str, stories: &[Story]) -> Result<String, String> {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stories-{kernel}"));
    let programs = build::attacks(&work)?;
    let lib = work.join("lib");
    let key = policy::image(&lib)?;
    let sealed = work.join("stories");
    fs::create_dir_all(&sealed).map_err(|error| format!("{}: {error}", sealed.display()))?;
    let mut script = include_str!("stories.sh").to_owned();
    for story in stories {
        let mut serial = 0;
        for round in 1..=story.rounds()? {
            for (letter, text) in &story.policies {
                serial += 1;
                let again = if round == 1 { String::new() } else { round.to_string() };
                let name = format!("{}.{letter}{again}", story.name);
                policy::seal(&sealed, &name, &policy::compile(&name, text, kernel, serial)?, &key)?;
            }
        }
        let name = &story.name;
        let _ = write!(script, "\nstory_{name}() {{\n{}\n}}\nbegin {name}\nstory_{name}\nend\n", story.script.trim());
    }
    let mut vm = Vm::new(&work, 1500);
    if kernel == "6.1" {
        // True concurrency; QEMU 7.2 makes 6.12 panic with two now and then.
        vm.option(&["--cpus", "2"]);
    }
    let other = build::other_agent(&work)?;
    vm.image(&lib)?.file(&sealed, "/kiln/stories").file(&other, "/kiln/other-agent");
    for (from, to) in &programs.files {
        vm.file(from, to);
    }
    vm.run(kernel, &script)
}

/// Passes a story that came to its end with every claim true, and with at least one claim.
///
/// # Errors
/// The claims that failed, or what the guest last said of the story.
pub fn judge(story: &Story, said: &str) -> Result<(), String> {
    let (begin, end) = (format!("kt-story {} begins", story.name), format!("kt-story {} ends", story.name));
    let part: Vec<&str> = said.lines().skip_while(|line| *line != begin).take_while(|line| *line != end).collect();
    let claims = |word: &str| {
        let start = format!("kt-check {} {word} ", story.name);
        part.iter().filter(|line| line.starts_with(&start)).count()
    };
    let ended = said.lines().any(|line| line == end);
    let expected = story.script.lines().filter(|line| line.trim_start().starts_with("check ")).count();
    if ended && claims("failed") == 0 && claims("ok") >= expected && expected > 0 {
        return Ok(());
    }
    let words = part.join("\n");
    Err(format!("{} claims hold, {} fail, ended: {ended}; the guest said:\n{words}", claims("ok"), claims("failed")))
}
