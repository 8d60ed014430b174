//! Directives of redis.conf: lines, their words, and what they include. The command line is read after the file.

use super::error::ConfigError;
use super::words::words;
use crate::manifest::glob::{glob, is_pattern};
use crate::manifest::root::Root;
use crate::manifest::systemd::CommandLine;
use crate::manifest::{Note, Origin, PathFact};

/// Bytes of one file.
const MAX_FILE: u64 = 4 << 20;
/// Includes within includes.
const MAX_DEPTH: usize = 16;
/// Files in all.
const MAX_FILES: usize = 1024;

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    /// In lower case: Redis does not tell the cases apart.
    pub name: String,
    pub args: Vec<String>,
    /// Whether the image says all of its words.
    pub known: bool,
    pub origin: Origin,
}

/// The directives in the order in which Redis reads them, and what it opens for that.
pub(super) struct Config<'a> {
    root: &'a Root,
    pub directives: Vec<Directive>,
    pub reads: Vec<PathFact>,
    /// The folder that `dir` has changed to. None where only the running machine knows it.
    pub folder: Option<String>,
    stack: Vec<String>,
    files: usize,
    pub notes: &'a mut Vec<Note>,
}

impl<'a> Config<'a> {
    pub(super) fn new(root: &'a Root, notes: &'a mut Vec<Note>) -> Config<'a> {
        let (directives, reads, stack) = (Vec::new(), Vec::new(), Vec::new());
        Config { root, directives, reads, folder: None, stack, files: 0, notes }
    }

    pub(super) fn note(&mut self, origin: &Origin, text: impl Into<String>) {
        self.notes.push(Note::new(origin.clone(), text));
    }

    /// An absolute path, links not resolved; a note where it starts at a folder that is not known.
    pub(super) fn absolute(&mut self, text: &str, origin: &Origin) -> Option<String> {
        if text.starts_with('/') {
            return Some(text.to_owned());
        }
        if self.folder.is_none() {
            let text =
                format!("`{text}` starts at a folder that is not known here and has no rule: write an absolute path");
            self.note(origin, text);
        }
        self.folder.as_ref().map(|folder| format!("{}/{text}", folder.trim_end_matches('/')))
    }

    /// The fact of a path that a directive names.
    pub(super) fn path(&mut self, text: &str, origin: &Origin) -> Option<PathFact> {
        let path = self.absolute(text, origin)?;
        match self.root.resolve(&path) {
            Ok(real) => Some(PathFact::new(real.path, origin.clone())),
            Err(e) => {
                self.note(origin, e.to_string());
                None
            }
        }
    }

    /// Reads a file with all that it includes.
    pub(super) fn file(&mut self, path: &str, origin: &Origin) -> Result<(), ConfigError> {
        let refuse = |why| ConfigError::Include { origin: origin.clone(), why };
        let failed = |source| ConfigError::Root { origin: origin.clone(), source };
        let real = self.root.resolve(path).map_err(failed)?.path;
        if self.stack.contains(&real) {
            return Err(refuse("this file includes itself, at once or through others; take one of the includes out"));
        }
        self.files += 1;
        if self.stack.len() == MAX_DEPTH || self.files > MAX_FILES {
            return Err(refuse(
                "includes are nested deeper than 16, or there are more than 1024; take some of them out",
            ));
        }
        let text = self.root.text(&real, MAX_FILE).map_err(failed)?;
        self.reads.push(PathFact::new(real.clone(), origin.clone()));
        self.stack.push(real.clone());
        for (n, line) in (1..).zip(text.split('\n')) {
            let line = line.trim_matches([' ', '\t', '\r']);
            if !line.starts_with('#') {
                self.line(line, Origin::line(&real, n))?;
            }
        }
        self.stack.pop();
        Ok(())
    }

    fn line(&mut self, line: &str, origin: Origin) -> Result<(), ConfigError> {
        let why = "the quotes of this line do not balance, or text follows a closing quote; Redis refuses it";
        let mut args = words(line).ok_or_else(|| ConfigError::Syntax { origin: origin.clone(), why })?;
        if args.is_empty() {
            return Ok(());
        }
        let name = args.remove(0).to_ascii_lowercase();
        self.directive(Directive { name, args, known: true, origin })
    }

    fn directive(&mut self, mut d: Directive) -> Result<(), ConfigError> {
        if d.name == "slaveof" {
            // The older name of the same directive: the last of both counts.
            d.name = "replicaof".to_owned();
        }
        match (d.name.as_str(), d.args.as_slice()) {
            ("include", [path]) if d.known => return self.include(path, &d.origin),
            // Redis changes to the folder where it reads this: later includes start there.
            ("dir", [path]) => self.folder = if d.known { self.absolute(path, &d.origin) } else { None },
            _ => {}
        }
        if !d.known {
            let text = format!("`{}` has words that only the running machine knows: it has no rule", d.name);
            self.note(&d.origin, text);
        }
        self.directives.push(d);
        Ok(())
    }

    fn include(&mut self, text: &str, origin: &Origin) -> Result<(), ConfigError> {
        let Some(path) = self.absolute(text, origin) else { return Ok(()) };
        if !is_pattern(text) {
            return self.file(&path, origin);
        }
        let failed = |source| ConfigError::Root { origin: origin.clone(), source };
        let found = glob(self.root, &path, MAX_FILES).map_err(failed)?;
        found.notes.into_iter().for_each(|n| self.note(origin, n));
        self.reads.extend(found.folders.into_iter().map(|f| PathFact::new(f, origin.clone())));
        found.paths.iter().try_for_each(|p| self.file(p, origin))
    }

    /// Reads the options behind the file's name. Each `--NAME` begins a directive; the words up to the next are its own.
    pub(super) fn options(&mut self, line: &CommandLine, from: usize, origin: &Origin) -> Result<(), ConfigError> {
        let mut open: Option<Directive> = None;
        for (n, word) in line.arguments.iter().enumerate().skip(from) {
            let known = !line.unknown.contains(&n);
            match (word.strip_prefix("--").filter(|_| known), &mut open) {
                (Some(option), _) => {
                    open.take().map_or(Ok(()), |d| self.directive(d))?;
                    let why = "the quotes of this option do not balance; Redis refuses it";
                    let refused = || ConfigError::Syntax { origin: origin.clone(), why };
                    let mut args = words(option).filter(|a| !a.is_empty()).ok_or_else(refused)?;
                    let name = args.remove(0).to_ascii_lowercase();
                    open = Some(Directive { name, args, known: true, origin: origin.clone() });
                }
                (None, Some(d)) => {
                    d.known &= known;
                    d.args.push(word.clone());
                }
                (None, None) if word == "-" => {
                    self.note(origin, "the configuration goes on in standard input, which is not known here");
                }
                (None, None) => self.note(origin, format!("`{word}` can set any directive: what it sets has no rule")),
            }
        }
        open.map_or(Ok(()), |d| self.directive(d))
    }
}
