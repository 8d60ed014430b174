//! Reads a configuration with everything that it includes.

use std::collections::BTreeSet;

use super::directive::Directive;
use super::token::{Token, TokenError, Tokens};
use crate::manifest::root::{Kind, Root, RootError};
use crate::manifest::{Note, Origin, PathFact};

/// Bytes of one file; of all files together.
const MAX_FILE: u64 = 4 << 20;
const MAX_TOTAL: u64 = 64 << 20;
/// Includes within includes; nginx has no bound and loops until it is out of descriptors.
const MAX_INCLUDE: usize = 16;
/// Files in all.
const MAX_FILES: usize = 4096;
/// Blocks within blocks.
const MAX_BLOCKS: usize = 64;

/// A configuration that nginx itself would refuse, or that is no real one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Tokens or structure.
    #[error("{origin}: {why}; `nginx -t` in the image shows the same")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What is wrong.
        why: &'static str,
    },
    /// Includes that lead to themselves, or beyond every bound.
    #[error("{origin}: {why}")]
    Include {
        /// The `include`.
        origin: Origin,
        /// What is wrong.
        why: &'static str,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    Root(#[from] RootError),
}

/// The directive tree and what nginx opens to read it.
#[derive(Debug, Default)]
pub struct Config {
    /// Directives of the main context.
    pub main: Vec<Directive>,
    /// Files read, links resolved, each with what names it.
    pub files: Vec<PathFact>,
    /// Directories that an `include` with wildcards lists.
    pub directories: Vec<PathFact>,
}

struct Reader<'a> {
    root: &'a Root,
    /// Relative includes start here: the folder of the main file.
    base: String,
    config: Config,
    stack: Vec<String>,
    total: u64,
    notes: &'a mut Vec<Note>,
}

impl Config {
    /// Reads the configuration at `path`; `origin` is what names it.
    pub fn read(root: &Root, path: &str, origin: Origin, notes: &mut Vec<Note>) -> Result<Config, ConfigError> {
        let base = path.rsplit_once('/').map_or("", |(d, _)| d).to_owned();
        let mut reader = Reader { root, base, config: Config::default(), stack: Vec::new(), total: 0, notes };
        let main = reader.file(path, &origin)?;
        let mut config = reader.config;
        config.main = main;
        config.files.sort();
        config.files.dedup_by(|a, b| a.path == b.path);
        config.directories.sort();
        config.directories.dedup_by(|a, b| a.path == b.path);
        Ok(config)
    }

    /// Reads the directives of `-g`, which stand in a command line at `origin`.
    pub(super) fn globals(root: &Root, text: &str, path: &str, origin: &Origin) -> Result<Vec<Directive>, ConfigError> {
        let base = path.rsplit_once('/').map_or("", |(d, _)| d).to_owned();
        let mut notes = Vec::new();
        let mut reader =
            Reader { root, base, config: Config::default(), stack: Vec::new(), total: 0, notes: &mut notes };
        let mut directives = reader.parse("-g", text)?;
        directives.iter_mut().for_each(|d| d.origin = origin.clone());
        Ok(directives)
    }
}

impl Reader<'_> {
    fn file(&mut self, path: &str, origin: &Origin) -> Result<Vec<Directive>, ConfigError> {
        let include = |why| ConfigError::Include { origin: origin.clone(), why };
        let resolved = self.root.resolve(path)?.path;
        if self.stack.contains(&resolved) {
            return Err(include(
                "this file includes itself, at once or through others; nginx would never finish reading it",
            ));
        }
        if self.stack.len() == MAX_INCLUDE {
            return Err(include("includes are nested deeper than 16"));
        }
        if self.config.files.len() == MAX_FILES {
            return Err(include("the configuration has more than 4096 files"));
        }
        let text = self.root.text(&resolved, MAX_FILE)?;
        self.total += text.len() as u64;
        if self.total > MAX_TOTAL {
            return Err(include("the configuration is larger than 64 MiB"));
        }
        self.config.files.push(PathFact::new(resolved.clone(), origin.clone()));
        self.stack.push(resolved.clone());
        let directives = self.parse(&resolved, &text);
        self.stack.pop();
        directives
    }

    fn parse(&mut self, file: &str, text: &str) -> Result<Vec<Directive>, ConfigError> {
        let syntax = |line, why| ConfigError::Syntax { origin: Origin::line(file, line), why };
        let lexical = |e: TokenError| syntax(e.line, e.why);
        let mut tokens = Tokens::new(text);
        // The open blocks, outermost first: the directive that opened each, and what it holds so far.
        let mut open: Vec<(Directive, Vec<Directive>)> = Vec::new();
        let mut current: Vec<Directive> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut start = 1;
        let mut last = 1;
        while let Some((line, token)) = tokens.next().map_err(lexical)? {
            last = line;
            match token {
                Token::Word(word) => {
                    if words.is_empty() {
                        start = line;
                    }
                    words.push(word);
                }
                Token::End | Token::Open if words.is_empty() => {
                    return Err(syntax(line, "a directive name is missing"));
                }
                Token::End => {
                    let directive = make(&mut words, Origin::line(file, start));
                    if directive.name == "include" {
                        current.extend(self.include(&directive)?);
                    } else {
                        current.push(directive);
                    }
                }
                Token::Open => {
                    let directive = make(&mut words, Origin::line(file, start));
                    if directive.name.ends_with("_by_lua_block") {
                        tokens.skip_block().map_err(lexical)?;
                        current.push(directive);
                        continue;
                    }
                    if open.len() == MAX_BLOCKS {
                        return Err(syntax(line, "blocks are nested deeper than 64"));
                    }
                    open.push((directive, std::mem::take(&mut current)));
                }
                Token::Close if !words.is_empty() => return Err(syntax(line, "`;` is missing before `}`")),
                Token::Close => {
                    let (mut directive, outer) = open.pop().ok_or_else(|| syntax(line, "`}` without `{`"))?;
                    directive.block = std::mem::replace(&mut current, outer);
                    current.push(directive);
                }
            }
        }
        if !words.is_empty() {
            return Err(syntax(last, "the file ends before `;`"));
        }
        match open.last() {
            Some((directive, _)) => {
                Err(ConfigError::Syntax { origin: directive.origin.clone(), why: "`}` is missing" })
            }
            None => Ok(current),
        }
    }

    fn include(&mut self, directive: &Directive) -> Result<Vec<Directive>, ConfigError> {
        let Some(pattern) = directive.arg() else {
            return Err(ConfigError::Include { origin: directive.origin.clone(), why: "`include` without a file" });
        };
        let pattern = if pattern.starts_with('/') { pattern.to_owned() } else { format!("{}/{pattern}", self.base) };
        let mut out = Vec::new();
        if !pattern.contains(['*', '?', '[']) {
            return self.file(&pattern, &directive.origin);
        }
        for path in self.glob(&pattern, &directive.origin)? {
            out.extend(self.file(&path, &directive.origin)?);
        }
        Ok(out)
    }

    /// glob(3) within the image: sorted, hidden files only for a pattern with a dot, no error for no match.
    fn glob(&mut self, pattern: &str, origin: &Origin) -> Result<Vec<String>, ConfigError> {
        let mut found: BTreeSet<String> = BTreeSet::from([String::new()]);
        let parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty()).collect();
        for (n, part) in parts.iter().enumerate() {
            let mut next = BTreeSet::new();
            for folder in &found {
                if !part.contains(['*', '?', '[']) {
                    let path = format!("{folder}/{part}");
                    if self.root.exists(&path) {
                        next.insert(path);
                    }
                    continue;
                }
                let listed = self.root.resolve(if folder.is_empty() { "/" } else { folder })?;
                if listed.kind != Some(Kind::Directory) {
                    continue;
                }
                let entries = self.root.entries(&listed.path)?;
                self.config.directories.push(PathFact::new(listed.path, origin.clone()));
                for (name, kind) in entries {
                    let last = n + 1 == parts.len();
                    if (name.starts_with('.') && !part.starts_with('.')) || (kind == Kind::Directory && last) {
                        continue;
                    }
                    let path = format!("{folder}/{name}");
                    if fnmatch(part.as_bytes(), name.as_bytes()) {
                        if self.root.exists(&path) {
                            next.insert(path);
                        } else {
                            self.notes.push(Note::new(origin.clone(), format!("`{path}` leads nowhere in the image")));
                        }
                    }
                    if next.len() > MAX_FILES {
                        let why = "the pattern matches more than 4096 files";
                        return Err(ConfigError::Include { origin: origin.clone(), why });
                    }
                }
            }
            found = next;
        }
        Ok(found.into_iter().collect())
    }
}

fn make(words: &mut Vec<String>, origin: Origin) -> Directive {
    let mut words = std::mem::take(words);
    let name = words.remove(0);
    Directive { name, args: words, block: Vec::new(), origin }
}

/// fnmatch(3) for one path component: `*`, `?`, `[a-z]`, `[!a-z]`. Linear in each star, without recursion.
fn fnmatch(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => bracket(&pattern[p..], name[n]).and_then(|(len, hit)| hit.then_some(len)),
            Some(c) if *c == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(len), _) => {
                p += len;
                n += 1;
            }
            (None, Some((after, from))) => {
                star = Some((after, from + 1));
                p = after;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// The length of a bracket expression and whether it holds the byte; `None` if it is not closed.
fn bracket(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = if negated { 2 } else { 1 };
    let end = pattern.iter().skip(first + 1).position(|c| *c == b']')? + first + 1;
    let set = &pattern[first..end];
    let mut hit = false;
    let mut i = 0;
    while i < set.len() {
        if i + 2 < set.len() && set[i + 1] == b'-' {
            hit |= set[i] <= byte && byte <= set[i + 2];
            i += 3;
        } else {
            hit |= set[i] == byte;
            i += 1;
        }
    }
    Some((end + 1, hit != negated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;
    use proptest::prelude::*;

    fn read(files: &[(&str, &str)]) -> Result<(Config, Vec<Note>), ConfigError> {
        let (_dir, root) = image(files);
        let mut notes = Vec::new();
        let origin = Origin::known("nginx", "compiled-in");
        Config::read(&root, "/etc/nginx/nginx.conf", origin, &mut notes).map(|c| (c, notes))
    }

    #[test]
    fn includes_globs_and_links() {
        let (config, notes) = read(&[
            (
                "etc/nginx/nginx.conf",
                "user w;\nhttp {\n  include mime.types;\n  include /etc/nginx/sites-enabled/*;\n}\n",
            ),
            ("etc/nginx/mime.types", "types { text/html html; }"),
            ("etc/nginx/sites-available/b", "server { listen 80; }"),
            ("etc/nginx/sites-enabled/b", "-> /etc/nginx/sites-available/b"),
            ("etc/nginx/sites-enabled/gone", "-> /etc/nginx/sites-available/gone"),
            ("etc/nginx/sites-enabled/.hidden", "broken {"),
        ])
        .unwrap();
        assert_eq!(config.main.len(), 2);
        assert_eq!(config.main[1].block.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["types", "server"]);
        assert_eq!(config.main[1].block[1].origin.to_string(), "/etc/nginx/sites-available/b:1");
        let files: Vec<_> = config.files.iter().map(|f| format!("{} {}", f.path, f.origin)).collect();
        assert_eq!(
            files,
            [
                "/etc/nginx/mime.types /etc/nginx/nginx.conf:3",
                "/etc/nginx/nginx.conf nginx: compiled-in",
                "/etc/nginx/sites-available/b /etc/nginx/nginx.conf:4"
            ]
        );
        assert_eq!(config.directories[0].path, "/etc/nginx/sites-enabled");
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn hostile_files_are_refused() {
        let one = |text: &str| read(&[("etc/nginx/nginx.conf", text)]).map(|_| ()).unwrap_err().to_string();
        for (text, part) in [
            ("a", "ends before `;`"),
            ("a {", "`}` is missing"),
            ("}", "without `{`"),
            ("a { b }", "`;` is missing"),
            (";", "name is missing"),
            ("include nginx.conf;", "includes itself"),
            ("include none.conf;", "cannot read"),
        ] {
            assert!(one(text).contains(part), "{text}: {}", one(text));
        }
        assert!(one(&"a {".repeat(1000)).contains("deeper than 64"));
        assert!(one(&format!("a {};", "x".repeat(5 << 20))).contains("larger than"));
        let escape =
            read(&[("etc/nginx/nginx.conf", "include ../../../../../../etc/passwd;"), ("etc/passwd", "in image;")]);
        assert_eq!(escape.unwrap().0.main[0].name, "in");
    }

    #[test]
    fn fnmatch_as_glob3() {
        for (pattern, name, yes) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("[!a]*", "b", true),
            ("[a-c]?", "bx", true),
            ("[a-c]?", "dx", false),
            ("*a*b*", "xxaxxbxx", true),
            ("[", "[", false),
        ] {
            assert_eq!(fnmatch(pattern.as_bytes(), name.as_bytes()), yes, "{pattern} {name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_text_panics(text in "([a-z]{1,4}|[ \\n'\"\\\\;{}$#*])*", pattern in "[*?\\[\\]!a-c-]*", name in "[a-c]*") {
            let _ = read(&[("etc/nginx/nginx.conf", &text)]);
            let _ = fnmatch(pattern.as_bytes(), name.as_bytes());
        }
    }
}
