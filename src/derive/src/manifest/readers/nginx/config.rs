//! Reads a configuration with everything that it includes.

use super::directive::Directive;
use super::known::{self, Holds};
use super::token::{Token, TokenError, Tokens};
use crate::manifest::glob::glob;
use crate::manifest::root::{Root, RootError};
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

/// A configuration that nginx itself would refuse, or that is not a real one.
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
    /// The command line names it by a word that is not known.
    #[error(
        "{origin}: `{word}` names nginx's configuration and is known only on the running machine, so it is not read"
    )]
    Unknown {
        /// The command line.
        origin: Origin,
        /// The word.
        word: String,
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
                        tokens.skip_lua().map_err(lexical)?;
                        current.push(directive);
                        continue;
                    }
                    let within = open.last().map_or("", |(d, _)| d.name.as_str());
                    if known::holds(within) == Holds::Data && within != "events" {
                        return Err(syntax(line, "`{` within a block of data"));
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

    /// The files that a pattern means, and the folders that nginx lists for it.
    fn glob(&mut self, pattern: &str, origin: &Origin) -> Result<Vec<String>, ConfigError> {
        let found = glob(self.root, pattern, MAX_FILES)?;
        if found.more {
            let why = "the pattern matches more than 4096 files";
            return Err(ConfigError::Include { origin: origin.clone(), why });
        }
        self.config.directories.extend(found.folders.into_iter().map(|f| PathFact::new(f, origin.clone())));
        self.notes.extend(found.notes.into_iter().map(|text| Note::new(origin.clone(), text)));
        Ok(found.paths)
    }
}

fn make(words: &mut Vec<String>, origin: Origin) -> Directive {
    let mut words = std::mem::take(words);
    let name = words.remove(0);
    Directive { name, args: words, block: Vec::new(), origin }
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_text_panics(text in "([a-z]{1,4}|[ \\n'\"\\\\;{}$#*])*") {
            let _ = read(&[("etc/nginx/nginx.conf", &text)]);
        }
    }
}
