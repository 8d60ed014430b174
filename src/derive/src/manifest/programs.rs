//! The programs that a service runs: those of its command lines, those that a wrapper or a plain shell text among them
//! starts, and the interpreters of scripts.

use std::collections::BTreeMap;

use super::elf::{self, Loader};
use super::fact::PathFact;
use super::facts::{Command, Helper, Library, Program};
use super::root::{Kind, Root, RootError};
use super::systemd::{CommandLine, Environment};
use super::{Note, Origin, shell, wrapper};

/// Where systemd looks for a program that is given by name (sd-path of systemd).
pub(super) const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Interpreters of interpreters (BINPRM_BUF_SIZE and the loop of fs/exec.c allow 5).
const MAX_INTERPRETERS: usize = 5;
/// Wrappers within wrappers.
const MAX_DEPTH: usize = 8;

/// Collects the programs of one service.
pub(super) struct Programs<'a, 'n> {
    pub loader: Loader<'a>,
    pub environment: Environment,
    pub programs: BTreeMap<String, Program>,
    pub commands: Vec<Command>,
    /// By the shell's path.
    pub helpers: BTreeMap<String, Helper>,
    pub notes: &'n mut Vec<Note>,
}

/// Where a command stands.
#[derive(Clone, Copy)]
struct At<'o> {
    key: &'o str,
    origin: &'o Origin,
    depth: usize,
    /// The shell whose text names it, where that is not the service's own start.
    helper: Option<&'o str>,
}

impl<'a, 'n> Programs<'a, 'n> {
    pub fn new(root: &'a Root, environment: Environment, notes: &'n mut Vec<Note>) -> Programs<'a, 'n> {
        Programs {
            loader: Loader::new(root),
            environment,
            programs: BTreeMap::new(),
            commands: Vec::new(),
            helpers: BTreeMap::new(),
            notes,
        }
    }

    fn note(&mut self, origin: &Origin, text: impl Into<String>) {
        self.notes.push(Note::new(origin.clone(), text));
    }

    /// Adds one command of the unit.
    pub fn command(&mut self, key: &str, line: CommandLine, origin: &Origin) -> Result<(), RootError> {
        self.run(line, At { key, origin, depth: 0, helper: None })
    }

    /// Adds a program that a configuration names.
    pub fn declared(&mut self, path: &str, origin: &Origin) -> Result<(), RootError> {
        self.add(path, At { key: "ExecStart", origin, depth: 0, helper: None })
    }

    fn run(&mut self, line: CommandLine, at: At<'_>) -> Result<(), RootError> {
        let Some(path) = self.find(&line.program) else {
            let why = match line.program.starts_with('/') || !line.program.contains('/') {
                true => format!("the image has no program `{}`", line.program),
                false => format!("`{}` is neither an absolute path nor a name: systemd does not run it", line.program),
            };
            self.note(at.origin, why);
            return Ok(());
        };
        if at.depth > MAX_DEPTH {
            self.note(at.origin, "programs that run programs are nested deeper than 8");
            return Ok(());
        }
        let given = line.program.rsplit('/').next().unwrap_or_default().to_owned();
        if (shell::is_shell(&path) || shell::is_shell(&given))
            && let Some(n) = shell::text_of(&line.arguments)
        {
            return self.shell(&path, &line, n, at);
        }
        self.add(&path, at)?;
        let words: Vec<Option<String>> =
            line.arguments.iter().enumerate().map(|(n, w)| (!line.unknown.contains(&n)).then(|| w.clone())).collect();
        let inner = wrapper::inner(&given, &words);
        self.arguments(&line, &path, at);
        self.commands.push(Command { key: at.key.to_owned(), line, program: path.clone(), origin: at.origin.clone() });
        let Some(inner) = inner else { return Ok(()) };
        for (name, value) in &inner.environment {
            self.environment.set(name, value, at.origin);
        }
        let deeper = At { depth: at.depth + 1, ..at };
        if let Some(text) = inner.shell {
            let line = CommandLine {
                program: "/bin/sh".to_owned(),
                arguments: vec!["-c".to_owned(), text],
                ..CommandLine::default()
            };
            return self.run(line, deeper);
        }
        self.words(inner.words, &path, deeper)
    }

    /// A command whose words are known in part.
    fn words(&mut self, words: Vec<Option<String>>, by: &str, at: At<'_>) -> Result<(), RootError> {
        let mut words = words.into_iter();
        let Some(Some(program)) = words.next() else {
            self.note(at.origin, format!("`{by}` runs a program that is known only on the running machine"));
            return Ok(());
        };
        let mut line = CommandLine { program, ..CommandLine::default() };
        for (n, word) in words.enumerate() {
            if word.is_none() {
                line.unknown.insert(n);
            }
            line.arguments.push(word.unwrap_or_default());
        }
        self.run(line, at)
    }

    /// `sh -c TEXT`: the shell gets a profile of its own, so that the service's other programs have what they need and no
    /// shell with it.
    fn shell(&mut self, path: &str, line: &CommandLine, text: usize, at: At<'_>) -> Result<(), RootError> {
        let known = !line.unknown.contains(&text);
        let found = if known { shell::read(&line.arguments[text]) } else { shell::Script::default() };
        if !self.helpers.contains_key(path) {
            let mut own = BTreeMap::new();
            self.program(path, at.origin, 0, &mut own)?;
            let helper = Helper {
                shell: path.to_owned(),
                programs: own,
                starts: BTreeMap::new(),
                reads: Vec::new(),
                writes: Vec::new(),
                origins: Vec::new(),
            };
            self.helpers.insert(path.to_owned(), helper);
        }
        if let Some(helper) = self.helpers.get_mut(path) {
            if !helper.origins.contains(at.origin) {
                helper.origins.push(at.origin.clone());
            }
            let facts =
                |list: Vec<String>| list.into_iter().map(|p| PathFact::new(p, at.origin.clone())).collect::<Vec<_>>();
            helper.reads.extend(facts(found.reads));
            helper.writes.extend(facts(found.writes));
        }
        let why = if known { found.open } else { Some("it is known only on the running machine") };
        let text = match why {
            Some(why) => format!(
                "`{path}` runs a text ({}=) and {why}: the programs that it runs beside those below are not known, add \
                 their rules to the shell's own profile",
                at.key
            ),
            None => format!("`{path}` runs a text ({}=): the shell has a profile of its own", at.key),
        };
        self.note(at.origin, text);
        // What the text of ExecStart= runs is the service; the rest are the shell's tools.
        let tools = at.key != "ExecStart";
        for words in found.commands {
            let helper = if tools { Some(path) } else { None };
            let before = self.commands.len();
            self.words(words, path, At { depth: at.depth + 1, helper, ..at })?;
            if !tools && let Some(command) = self.commands.get(before) {
                let (program, origin) = (command.program.clone(), command.origin.clone());
                if let Some(helper) = self.helpers.get_mut(path) {
                    helper.starts.entry(program).or_insert(origin);
                }
            }
        }
        Ok(())
    }

    /// Adds a program to the service, or to the shell that runs it.
    fn add(&mut self, path: &str, at: At<'_>) -> Result<(), RootError> {
        let mut list = match at.helper.and_then(|h| self.helpers.get_mut(h)) {
            Some(helper) => std::mem::take(&mut helper.programs),
            None => std::mem::take(&mut self.programs),
        };
        let done = self.program(path, at.origin, 0, &mut list);
        match at.helper.and_then(|h| self.helpers.get_mut(h)) {
            Some(helper) => helper.programs = list,
            None => self.programs = list,
        }
        done
    }

    /// What a shell's tool does with the paths among its arguments, where that is known.
    fn arguments(&mut self, line: &CommandLine, path: &str, at: At<'_>) {
        let Some(helper) = at.helper.and_then(|h| self.helpers.get_mut(h)) else { return };
        let writes = matches!(
            path.rsplit('/').next().unwrap_or_default(),
            "mkdir"
                | "rm"
                | "rmdir"
                | "touch"
                | "chown"
                | "chmod"
                | "chgrp"
                | "tee"
                | "install"
                | "ln"
                | "mv"
                | "truncate"
        );
        for (n, word) in line.arguments.iter().enumerate() {
            if line.unknown.contains(&n) || !word.starts_with('/') {
                continue;
            }
            if let Ok(real) = self.loader.root().resolve(word) {
                let list = if writes { &mut helper.writes } else { &mut helper.reads };
                list.push(PathFact::new(real.path, at.origin.clone()));
            }
        }
    }

    fn find(&self, program: &str) -> Option<String> {
        find(self.loader.root(), self.environment.get("PATH").map_or(SEARCH, |(value, _)| value), program)
    }

    /// Adds a program, and for a script its interpreter.
    fn program(
        &mut self,
        path: &str,
        origin: &Origin,
        depth: usize,
        out: &mut BTreeMap<String, Program>,
    ) -> Result<(), RootError> {
        if out.contains_key(path) || depth > MAX_INTERPRETERS {
            return Ok(());
        }
        let mut program = Program {
            path: path.to_owned(),
            origin: origin.clone(),
            libraries: Vec::new(),
            dynamic: false,
            glibc: false,
            asks_for_stack: None,
            script: false,
        };
        if let Some(object) = self.loader.object(path)? {
            let environment = self.loading();
            program.libraries = self.loader.closure(path, &environment, self.notes)?;
            program.dynamic = object.interpreter.is_some();
            program.glibc = program.libraries.iter().any(|l| l.path.ends_with("/libc.so.6"));
            program.asks_for_stack = self.stack_of_first(path, &program.libraries)?;
            out.insert(path.to_owned(), program);
            return Ok(());
        }
        program.script = true;
        out.insert(path.to_owned(), program);
        let head = self.loader.root().read(path, 64 << 20)?;
        let line = head.strip_prefix(b"#!").and_then(|t| t.split(|b| *b == b'\n').next()).unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        let mut words = line.split_whitespace();
        let Some(interpreter) = words.next() else {
            self.note(origin, format!("`{path}` is neither an ELF program nor a script"));
            return Ok(());
        };
        let origin = Origin::line(path, 1);
        let shell = if shell::is_shell(interpreter) { ", and its shell is the whole service's" } else { "" };
        let why =
            format!("`{path}` is a script: the programs that it runs are not known, add their rules by hand{shell}");
        self.note(&origin, why);
        // `#!/usr/bin/env python3` runs both; the kernel passes the rest of the line as one word.
        let rest = words.collect::<Vec<_>>().join(" ");
        let name = interpreter.rsplit('/').next().unwrap_or_default();
        let inner = match name {
            "env" => wrapper::inner("env", &rest.split_whitespace().map(|w| Some(w.to_owned())).collect::<Vec<_>>())
                .or_else(|| {
                    wrapper::inner("env", &[Some("-S".to_owned()), Some(rest.trim_start_matches("-S").to_owned())])
                }),
            _ => None,
        };
        let inner = inner.and_then(|i| i.words.first().cloned().flatten());
        for name in [Some(interpreter.to_owned()), inner].into_iter().flatten() {
            if let Some(real) = self.find(&name) {
                self.program(&real, &origin, depth + 1, out)?;
            }
        }
        Ok(())
    }

    /// Who names pthread_getattr_np(3): the program, or a library other than those that have it.
    fn stack_of_first(&mut self, path: &str, libraries: &[Library]) -> Result<Option<Origin>, RootError> {
        let own = ["/libc.so.6", "/libpthread.so.0"];
        let others = libraries.iter().map(|l| l.path.as_str()).filter(|p| !own.iter().any(|o| p.ends_with(o)));
        for path in std::iter::once(path).chain(others) {
            if self.loader.object(path)?.is_some_and(|o| o.asks_for_stack) {
                return Ok(Some(Origin::elf(path, "pthread_getattr_np")));
            }
        }
        Ok(None)
    }

    /// What the environment tells the loader.
    pub fn loading(&self) -> elf::Environment {
        let mut out = elf::Environment::default();
        if let Some((value, _)) = self.environment.get("LD_LIBRARY_PATH") {
            out.paths = value.split([':', ';']).filter(|p| p.starts_with('/')).map(str::to_owned).collect();
        }
        for name in ["LD_PRELOAD", "LD_AUDIT"] {
            if let Some((value, origin)) = self.environment.get(name) {
                let origin = origin.cloned().unwrap_or_else(|| Origin::known("environment", name));
                let names = value.split([':', ' ']).filter(|w| !w.is_empty());
                out.preload.extend(names.map(|w| (w.to_owned(), origin.clone())));
            }
        }
        out
    }

    /// The machine for which the programs are built.
    pub fn kind(&mut self) -> (u16, bool) {
        let paths: Vec<String> = self.programs.keys().cloned().collect();
        let found = paths.iter().find_map(|p| self.loader.object(p).ok().flatten());
        found.map_or((elf::X86_64, true), |o| o.kind)
    }

    /// A shell that the service runs otherwise too (as a script's interpreter) has no profile of its own: what it would have
    /// is the service's.
    pub fn merge(&mut self) {
        for (path, helper) in std::mem::take(&mut self.helpers) {
            if !self.programs.contains_key(&path) {
                self.helpers.insert(path, helper);
                continue;
            }
            let text = format!(
                "`{path}` is the interpreter of a script of the service too: the whole service may run a shell"
            );
            let origin = helper.origins.first().cloned().unwrap_or_else(|| Origin::known("shell", path.clone()));
            self.note(&origin, text);
            self.programs.extend(helper.programs);
        }
    }
}

/// The file that a program's name leads to, in one of the folders of a search path.
pub(super) fn find(root: &Root, path: &str, program: &str) -> Option<String> {
    let candidates: Vec<String> = match program.starts_with('/') {
        true => vec![program.to_owned()],
        false if program.contains('/') => return None,
        false => path.split(':').filter(|d| d.starts_with('/')).map(|d| format!("{d}/{program}")).collect(),
    };
    candidates.iter().find_map(|c| root.resolve(c).ok().filter(|r| r.kind == Some(Kind::File)).map(|r| r.path))
}
