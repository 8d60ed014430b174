//! Stories: what needs more than one policy, a dead agent, or time. One shell script each, `stories/NAME.sh`, with its
//! policies beside it: `NAME.a.pdl` has serial 1, `NAME.b.pdl` 2 and so on. All chosen stories of a kernel share a boot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use kiln::model::Digest;

use crate::case::folder;
use crate::needs::Needs;
use crate::vm::Vm;
use crate::{build, matrix, policy};

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
        let Some(text) = self.said("rounds") else { return Ok(1) };
        text.parse().map_err(|error| format!("{}: rounds {text}: {error}", self.name))
    }

    /// What a line `# word: TEXT` in the script says.
    fn said(&self, word: &str) -> Option<&str> {
        let start = format!("# {word}: ");
        self.script.lines().find_map(|line| line.strip_prefix(&start)).map(str::trim)
    }

    /// Its words in a list: `# word: a, b`.
    fn list(&self, word: &str) -> Vec<String> {
        let words = self.said(word).unwrap_or_default().split([',', ' ']);
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// Whether it makes sense on a kernel: `# kernels: 6.12`.
    pub fn is_for(&self, kernel: &str) -> bool {
        let kernels = self.list("kernels");
        kernels.is_empty() || kernels.iter().any(|name| name == kernel)
    }

    /// Of a policy that tightens another: `# tighten LETTER: OTHER NUMBER SECOND`, the second at which it expires.
    fn tightens(&self, letter: &str) -> Result<Option<(String, u64, u64)>, String> {
        let Some(text) = self.said(&format!("tighten {letter}")) else { return Ok(None) };
        let words: Vec<&str> = text.split_whitespace().collect();
        let wrong = || format!("{}: tighten {letter}: {text}", self.name);
        let [base, number, expires] = words[..] else { return Err(wrong()) };
        let number_of = |word: &str| word.parse().map_err(|_| wrong());
        Ok(Some((base.to_owned(), number_of(number)?, number_of(expires)?)))
    }

    /// Whether a line says just this.
    fn is(&self, line: &str) -> bool {
        self.script.lines().any(|text| text.trim_end() == line)
    }

    /// What it needs of its guest: `# append: WORDS`, `# cpus: N`, `# disk: xfs`, and `# own boot` where nothing works
    /// any more after it. Those in which things happen side by side (`# concurrent`) share a boot.
    ///
    /// # Errors
    /// If the number of CPUs is none.
    pub fn needs(&self) -> Result<Needs, String> {
        let number = |text: &str| text.parse().map_err(|error| format!("{}: cpus {text}: {error}", self.name));
        let concurrent = self.is("# concurrent").then(|| CONCURRENT.to_owned());
        Ok(Needs {
            append: self.said("append").unwrap_or_default().to_owned(),
            cpus: self.said("cpus").map(number).transpose()?,
            disk: self.said("disk").map(str::to_owned),
            alone: if self.is("# own boot") { Some(self.name.clone()) } else { concurrent },
        })
    }
}

/// Whose boot has several CPUs.
const CONCURRENT: &str = "concurrent";

/// Stories that share a boot.
#[derive(Debug, Clone)]
pub struct Group {
    /// The kernel.
    pub kernel: &'static str,
    /// What the guest must be like.
    pub needs: Needs,
    /// Those that somebody asked for.
    pub stories: Vec<Story>,
}

impl Group {
    /// About how long it takes on a slow machine. It only says which boots begin first.
    pub fn seconds(&self) -> usize {
        20 + 40 * self.stories.len()
    }

    /// Two where things happen side by side, and for every story in the long run; QEMU 7.2 makes 6.12 panic with two
    /// now and then.
    pub fn cpus(&self) -> u32 {
        let several = matrix::is_whole() || self.needs.alone.as_deref() == Some(CONCURRENT);
        self.needs.cpus.unwrap_or(if self.kernel == "6.1" && several { 2 } else { 1 })
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

/// Boots a kernel and lets the stories happen; returns what the guest wrote.
///
/// # Errors
/// If a policy does not compile or the guest does not come to the end.
pub fn boot(group: &Group) -> Result<String, String> {
    let Group { kernel, needs, stories } = group;
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stories-{kernel}{}", needs.slug()));
    let programs = build::attacks(&work)?;
    let lib = work.join("lib");
    let (key, tightener) = (policy::image(&lib)?, policy::tightener(&lib)?);
    let sealed = work.join("stories");
    fs::create_dir_all(&sealed).map_err(|error| format!("{}: {error}", sealed.display()))?;
    let mut script = include_str!("stories.sh").to_owned();
    for story in stories {
        let (mut serial, mut bases) = (0, BTreeMap::new());
        for round in 1..=story.rounds()? {
            for (letter, text) in &story.policies {
                if let Some((base, number, expires)) = story.tightens(letter)? {
                    let (digest, serial) =
                        bases.get(&base).copied().ok_or_else(|| format!("{letter} is before {base}"))?;
                    let name = format!("{}.{letter}", story.name);
                    let compiled = policy::compile(&name, text, kernel, serial)?;
                    policy::tighten(&sealed, &name, &compiled, (digest, number, expires), &tightener)?;
                    continue;
                }
                serial += 1;
                let again = if round == 1 { String::new() } else { round.to_string() };
                let name = format!("{}.{letter}{again}", story.name);
                let compiled = policy::compile(&name, text, kernel, serial)?;
                bases.insert(letter.clone(), (Digest::of(&compiled.tables), serial));
                policy::seal(&sealed, &name, &compiled, &key)?;
            }
        }
        let name = &story.name;
        let _ = write!(script, "\nstory_{name}() {{\n{}\n}}\nbegin {name}\nstory_{name}\nend\n", story.script.trim());
    }
    let mut vm = Vm::new(&work, 2400);
    let needs = Needs { cpus: Some(group.cpus()), ..needs.clone() };
    let modules: Vec<String> = stories.iter().flat_map(|story| story.list("modules")).collect();
    needs.apply(&mut vm, &modules, &work)?;
    let other = build::other_agent(&work)?;
    vm.image(&lib)?.file(&sealed, "/kiln/stories").file(&other, "/kiln/other-agent");
    for (from, to) in &programs.files {
        vm.file(from, to);
    }
    let said = vm.run(kernel, &script)?;
    let took: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("kt-took ")).collect();
    eprintln!("    seconds of each: {}", took.join(", "));
    Ok(said)
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
