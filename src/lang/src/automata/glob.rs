//! The globs of PDL: their syntax, and a direct matcher that needs no automaton.
//!
//! | glob | meaning |
//! |---|---|
//! | `*` | any run of bytes without `/`, also none |
//! | `**` | any run of bytes, also none |
//! | `?` | one byte but `/` |
//! | `[a-z_]`, `[!a-z]` | one byte (not) in the set, never `/` |
//! | `{a,b*}` | one of these; may nest, may be empty |
//! | `\x` | `x` itself |
//!
//! A `*` or `**` at the very end, right behind a `/`, is not empty: `/d/**` is all below `/d`, not `/d` itself.
//!
//! The unit is the byte, as it is for the kernel; `{ä,ö}` where a set would hold letters beyond ASCII.

use super::bytes::ByteSet;

/// Longest text of a glob, in bytes: PATH_MAX of Linux.
pub const MAX_LEN: usize = 4096;
/// Deepest nesting of braces.
pub const MAX_DEPTH: usize = 16;

/// A text that is not a glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Longer than any path.
    #[error("the glob has {0} bytes; paths have at most {MAX_LEN}")]
    TooLong(usize),
    /// A bracket, brace or backslash without its other half.
    #[error("`{what}` at byte {at} is not closed; close it, or write `\\{what}` for the character itself")]
    Open {
        /// What stands alone.
        what: char,
        /// Where.
        at: usize,
    },
    /// A closing bracket or brace without its opening one.
    #[error("`{what}` at byte {at} closes nothing; write `\\{what}` for the character itself")]
    Stray {
        /// What stands alone.
        what: char,
        /// Where.
        at: usize,
    },
    /// A backslash at the end.
    #[error("the backslash at byte {at} quotes nothing; write `\\\\` for a backslash")]
    Backslash {
        /// Where.
        at: usize,
    },
    /// Braces in braces in braces …
    #[error("braces at byte {at} nest deeper than {MAX_DEPTH}; write the alternatives out")]
    TooDeep {
        /// Where.
        at: usize,
    },
    /// `[]`, `[!]`.
    #[error("the set at byte {at} is empty; name the characters, or write `\\[` for a bracket")]
    EmptySet {
        /// Where.
        at: usize,
    },
    /// `[z-a]`.
    #[error("the range `{first}-{last}` at byte {at} is the wrong way round; write `{last}-{first}`")]
    Range {
        /// Start.
        first: char,
        /// End.
        last: char,
        /// Where.
        at: usize,
    },
    /// `[a/b]`, or a letter beyond ASCII.
    #[error("`{what}` at byte {at} cannot stand in a set; use braces, as in `{{a,{what}}}`")]
    SetMember {
        /// What.
        what: char,
        /// Where.
        at: usize,
    },
    /// A path that does not begin at the root.
    #[error("`{0}` is not absolute; begin it with `/`")]
    Relative(String),
    /// `//`, `/./`, `/../` or a slash at the end.
    #[error("`{text}` is not normalised: `{what}` never occurs in a path as the kernel gives it; remove it")]
    NotNormal {
        /// The glob.
        text: String,
        /// What is too much.
        what: &'static str,
    },
    /// A NUL byte.
    #[error("a NUL byte cannot be in a path or name")]
    Nul,
}

/// A part of a glob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Token {
    /// This byte.
    Byte(u8),
    /// One byte of these.
    Set(ByteSet),
    /// Any run of these bytes: `*` and `**`.
    Run(ByteSet),
    /// One of these.
    Alternatives(Vec<Vec<Token>>),
}

/// A glob that was parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pub(super) tokens: Vec<Token>,
    program: Vec<Step>,
}

/// An instruction of the direct matcher (Thompson's construction).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    One(ByteSet),
    Either(usize, usize),
    Goto(usize),
    Match,
}

impl Pattern {
    /// Parses a glob of names: units, images, abstract sockets.
    pub fn parse(text: &str) -> Result<Pattern, GlobError> {
        if text.len() > MAX_LEN {
            return Err(GlobError::TooLong(text.len()));
        }
        if text.contains('\0') {
            return Err(GlobError::Nul);
        }
        let mut parser = Parser { text, at: 0 };
        let mut tokens = parser.sequence(0)?;
        if let Some(what) = parser.peek() {
            return Err(GlobError::Stray { what, at: parser.at });
        }
        if let [.., Token::Byte(b'/'), Token::Run(set)] = tokens[..] {
            tokens.insert(tokens.len() - 1, Token::Set(set));
        }
        Ok(Pattern::of(tokens))
    }

    fn of(tokens: Vec<Token>) -> Pattern {
        let mut program = Vec::new();
        assemble(&tokens, &mut program);
        program.push(Step::Match);
        Pattern { tokens, program }
    }

    /// What this pattern matches, with `byte` before it.
    pub fn behind(&self, byte: u8) -> Pattern {
        Pattern::of(std::iter::once(Token::Byte(byte)).chain(self.tokens.iter().cloned()).collect())
    }

    /// What this pattern matches and does not begin with `byte`.
    pub fn not_beginning_with(&self, byte: u8) -> Pattern {
        Pattern::of(not_beginning(&self.tokens, byte))
    }

    /// Parses a glob of paths, which must be absolute and normalised.
    pub fn parse_path(text: &str) -> Result<Pattern, GlobError> {
        let pattern = Pattern::parse(text)?;
        let shown = || text.chars().take(200).collect::<String>();
        if !begins_with_slash(&pattern.tokens) {
            return Err(GlobError::Relative(shown()));
        }
        let whole = text.len() > 1;
        for what in ["//", "/./", "/../"] {
            if text.contains(what) {
                return Err(GlobError::NotNormal { text: shown(), what });
            }
        }
        for what in ["/", "/.", "/.."] {
            if whole && text.ends_with(what) {
                return Err(GlobError::NotNormal { text: shown(), what });
            }
        }
        Ok(pattern)
    }

    /// The text itself, where the glob has no wildcard and so matches nothing else.
    pub fn literal(&self) -> Option<Vec<u8>> {
        self.tokens.iter().map(|t| if let Token::Byte(b) = t { Some(*b) } else { None }).collect()
    }

    /// Whether the whole of `input` matches. Time is the product of both lengths at worst.
    pub fn matches(&self, input: &[u8]) -> bool {
        let mut now = Threads::new(self.program.len());
        let mut then = Threads::new(self.program.len());
        now.enter(&self.program, 0);
        for byte in input {
            for pc in now.list.drain(..) {
                if let Step::One(set) = &self.program[pc]
                    && set.contains(*byte)
                {
                    then.enter(&self.program, pc + 1);
                }
            }
            now.seen.fill(false);
            std::mem::swap(&mut now, &mut then);
        }
        now.list.iter().any(|pc| self.program[*pc] == Step::Match)
    }
}

/// The places in a program that are reached by the same input.
struct Threads {
    list: Vec<usize>,
    seen: Vec<bool>,
}

impl Threads {
    fn new(len: usize) -> Threads {
        Threads { list: Vec::new(), seen: vec![false; len] }
    }
    fn enter(&mut self, program: &[Step], pc: usize) {
        let mut todo = vec![pc];
        while let Some(pc) = todo.pop() {
            if std::mem::replace(&mut self.seen[pc], true) {
                continue;
            }
            match program[pc] {
                Step::Either(a, b) => todo.extend([b, a]),
                Step::Goto(a) => todo.push(a),
                Step::One(_) | Step::Match => self.list.push(pc),
            }
        }
    }
}

fn assemble(tokens: &[Token], program: &mut Vec<Step>) {
    for token in tokens {
        match token {
            Token::Byte(b) => program.push(Step::One(ByteSet::byte(*b))),
            Token::Set(set) => program.push(Step::One(*set)),
            Token::Run(set) => {
                let at = program.len();
                program.extend([Step::Either(at + 1, at + 3), Step::One(*set), Step::Goto(at)]);
            }
            Token::Alternatives(all) => {
                let mut ends = Vec::new();
                for (n, one) in all.iter().enumerate() {
                    let fork = program.len();
                    let last = n + 1 == all.len();
                    if !last {
                        program.push(Step::Match); // its place; filled below
                    }
                    assemble(one, program);
                    ends.push(program.len());
                    program.push(Step::Match);
                    if !last {
                        program[fork] = Step::Either(fork + 1, program.len());
                    }
                }
                let behind = program.len();
                ends.into_iter().for_each(|end| program[end] = Step::Goto(behind));
            }
        }
    }
}

/// The part of a sequence's language that does not begin with `byte`. What may be empty hands on to what follows it.
fn not_beginning(tokens: &[Token], byte: u8) -> Vec<Token> {
    let without = |set: ByteSet| Token::Set(set.intersection(ByteSet::byte(byte).complement()));
    let Some((first, rest)) = tokens.split_first() else { return Vec::new() };
    let behind = |head: Vec<Token>| head.into_iter().chain(rest.iter().cloned()).collect::<Vec<_>>();
    match first {
        Token::Byte(b) => behind(vec![without(ByteSet::byte(*b))]),
        Token::Set(set) => behind(vec![without(*set)]),
        Token::Run(set) => {
            vec![Token::Alternatives(vec![behind(vec![without(*set), Token::Run(*set)]), not_beginning(rest, byte)])]
        }
        Token::Alternatives(all) => {
            let one = |one: &Vec<Token>| not_beginning(&one.iter().chain(rest).cloned().collect::<Vec<_>>(), byte);
            vec![Token::Alternatives(all.iter().map(one).collect())]
        }
    }
}

fn begins_with_slash(tokens: &[Token]) -> bool {
    match tokens.first() {
        Some(Token::Byte(b'/')) => true,
        Some(Token::Alternatives(all)) => all.iter().all(|one| begins_with_slash(one)),
        _ => false,
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..).and_then(|rest| rest.chars().next())
    }
    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Up to the end, or within braces (`depth` above 0) up to `,` or `}`.
    fn sequence(&mut self, depth: usize) -> Result<Vec<Token>, GlobError> {
        let mut tokens = Vec::new();
        loop {
            let at = self.at;
            match self.peek() {
                None => return Ok(tokens),
                Some(',' | '}') if depth > 0 => return Ok(tokens),
                Some(what @ ('}' | ']')) => return Err(GlobError::Stray { what, at }),
                Some('*') => self.run(&mut tokens),
                Some('?') => {
                    self.at += 1;
                    tokens.push(Token::Set(ByteSet::NOT_SLASH));
                }
                Some('[') => tokens.push(Token::Set(self.set()?)),
                Some('{') => tokens.push(self.braces(depth + 1)?),
                Some('\\') => {
                    self.at += 1;
                    let c = self.next().ok_or(GlobError::Backslash { at })?;
                    bytes(c, &mut tokens);
                }
                Some(c) => {
                    self.at += c.len_utf8();
                    bytes(c, &mut tokens);
                }
            }
        }
    }

    fn run(&mut self, tokens: &mut Vec<Token>) {
        let mut stars = 0;
        while self.peek() == Some('*') {
            self.at += 1;
            stars += 1;
        }
        tokens.push(Token::Run(if stars == 1 { ByteSet::NOT_SLASH } else { ByteSet::ANY }));
    }

    fn braces(&mut self, depth: usize) -> Result<Token, GlobError> {
        let open = self.at;
        if depth > MAX_DEPTH {
            return Err(GlobError::TooDeep { at: open });
        }
        self.at += 1;
        let mut all = Vec::new();
        loop {
            all.push(self.sequence(depth)?);
            match self.next() {
                Some(',') => {}
                Some(_) => return Ok(Token::Alternatives(all)),
                None => return Err(GlobError::Open { what: '{', at: open }),
            }
        }
    }

    fn set(&mut self) -> Result<ByteSet, GlobError> {
        let open = self.at;
        self.at += 1;
        let negated = self.peek() == Some('!');
        self.at += usize::from(negated);
        let mut set = ByteSet::EMPTY;
        loop {
            if self.peek() == Some(']') {
                self.at += 1;
                break;
            }
            let at = self.at;
            let first = self.member(open)?;
            let mut rest = self.text.get(self.at..).unwrap_or_default().chars();
            if rest.next() == Some('-') && rest.next().is_some_and(|c| c != ']') {
                self.at += 1;
                let last = self.member(open)?;
                if last < first {
                    return Err(GlobError::Range { first: first.into(), last: last.into(), at });
                }
                set = set.union(ByteSet::range(first, last));
            } else {
                set.insert(first);
            }
        }
        if set.is_empty() {
            return Err(GlobError::EmptySet { at: open });
        }
        let set = if negated { set.complement() } else { set };
        Ok(set.intersection(ByteSet::NOT_SLASH))
    }

    fn member(&mut self, open: usize) -> Result<u8, GlobError> {
        let at = self.at;
        let unclosed = GlobError::Open { what: '[', at: open };
        let c = match self.next() {
            Some('\\') => self.next().ok_or(unclosed)?,
            Some(c) => c,
            None => return Err(unclosed),
        };
        if c.is_ascii() && c != '/' { Ok(c as u8) } else { Err(GlobError::SetMember { what: c, at }) }
    }
}

fn bytes(c: char, tokens: &mut Vec<Token>) {
    let mut buffer = [0; 4];
    tokens.extend(c.encode_utf8(&mut buffer).bytes().map(Token::Byte));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes(glob: &str, texts: &[&str]) {
        let pattern = Pattern::parse(glob).unwrap();
        texts.iter().for_each(|t| assert!(pattern.matches(t.as_bytes()), "{glob} should match {t}"));
    }
    fn no(glob: &str, texts: &[&str]) {
        let pattern = Pattern::parse(glob).unwrap();
        texts.iter().for_each(|t| assert!(!pattern.matches(t.as_bytes()), "{glob} should not match {t}"));
    }

    #[test]
    fn wildcards_mean_what_the_table_says() {
        yes("/etc/*", &["/etc/passwd", "/etc/.x"]);
        no("/etc/*", &["/etc", "/etc/", "/etc/ssl/x", "/etcetera"]);
        yes("/etc/**", &["/etc/a", "/etc/a/b/c"]);
        no("/etc/**", &["/etc", "/etc/", "/etcetera"]);
        yes("/**", &["/a", "/a/b"]);
        no("/**", &["/", ""]);
        yes("/a/**/b", &["/a//b", "/a/x/y/b"]);
        yes("/**/x", &["/a/x", "/a/b/x", "//x"]);
        no("/**/x", &["/x", "/ax"]);
        yes("/a?c", &["/abc", "/a-c"]);
        no("/a?c", &["/a/c", "/ac", "/abbc"]);
        yes("/[a-c_]", &["/a", "/b", "/_"]);
        no("/[a-c_]", &["/d", "/", "/ab"]);
        yes("/[!a-c]x", &["/dx", "/Ax", "/!x"]);
        no("/[!a-c]x", &["/ax", "//x"]);
        yes("/lib{,32,64}/ld{-linux,}.so", &["/lib/ld.so", "/lib64/ld-linux.so", "/lib32/ld.so"]);
        no("/lib{,32,64}/ld{-linux,}.so", &["/lib6/ld.so", "/lib{}/ld.so"]);
        yes("/{a,{b,c*}d}", &["/a", "/bd", "/cd", "/cxd"]);
        no("/{a,{b,c*}d}", &["/ad", "/b"]);
        yes(r"/\*\{\}\[\]\\a,b", &["/*{}[]\\a,b"]);
        yes("/[a-]", &["/-", "/a"]);
        yes(r"/[\]\\-]", &["/]", "/\\", "/-"]);
        yes("/ä*", &["/äö"]);
        yes("", &[""]);
    }

    #[test]
    fn bad_globs_say_why() {
        use GlobError::*;
        let cases = [
            ("/a[", Open { what: '[', at: 2 }),
            ("/a[b", Open { what: '[', at: 2 }),
            ("/{a", Open { what: '{', at: 1 }),
            ("/a}", Stray { what: '}', at: 2 }),
            ("/a]", Stray { what: ']', at: 2 }),
            ("/a\\", Backslash { at: 2 }),
            ("/[]", EmptySet { at: 1 }),
            ("/[!]", EmptySet { at: 1 }),
            ("/[z-a]", Range { first: 'z', last: 'a', at: 2 }),
            ("/[a/]", SetMember { what: '/', at: 3 }),
            ("/[ä]", SetMember { what: 'ä', at: 2 }),
            ("/\0", Nul),
        ];
        for (text, error) in cases {
            assert_eq!(Pattern::parse(text), Err(error), "{text}");
        }
        assert!(matches!(Pattern::parse(&"{".repeat(17)), Err(TooDeep { at: 16 })));
        assert!(matches!(Pattern::parse(&"a".repeat(4097)), Err(TooLong(4097))));
    }

    #[test]
    fn paths_are_absolute_and_normal() {
        for good in ["/", "/a", "/a/**", "{/a,/b}/c", "/.x", "/a..b", "/**"] {
            assert!(Pattern::parse_path(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "*", "{/a,b}", "@x"] {
            assert!(matches!(Pattern::parse_path(bad), Err(GlobError::Relative(_))), "{bad}");
        }
        for bad in ["/a/", "//", "/a//b", "/./a", "/a/.", "/a/..", "/../a"] {
            assert!(matches!(Pattern::parse_path(bad), Err(GlobError::NotNormal { .. })), "{bad}");
        }
    }

    #[test]
    fn a_first_byte_put_before_or_taken_out() {
        for glob in ["a*", "*", "_x", "{_a,b}c", "{,_}*{,_}a", "?[_a]", "**_", "", "{,{,x}}_{a,}"] {
            let pattern = Pattern::parse(glob).unwrap();
            let (behind, rest) = (pattern.behind(b'_'), pattern.not_beginning_with(b'_'));
            let mut texts = vec![String::new()];
            for _ in 0..4 {
                texts = texts.iter().flat_map(|t| ["", "_", "a", "x", "c"].map(|c| format!("{t}{c}"))).collect();
            }
            for text in texts {
                let own = pattern.matches(text.as_bytes());
                assert_eq!(rest.matches(text.as_bytes()), own && !text.starts_with('_'), "{glob} {text}");
                assert!(!own || behind.matches(format!("_{text}").as_bytes()), "{glob} {text}");
                let under = text.strip_prefix('_').is_some_and(|t| pattern.matches(t.as_bytes()));
                assert_eq!(behind.matches(text.as_bytes()), under, "{glob} {text}");
            }
        }
    }

    #[test]
    fn hostile_globs_stay_quick() {
        let pattern = Pattern::parse(&"{*,**}".repeat(600)).unwrap();
        assert!(pattern.matches(&[b'a'; 300]));
        let pattern = Pattern::parse(&format!("{}b", "*a".repeat(1000))).unwrap();
        assert!(!pattern.matches(&[b'a'; 1000]));
    }
}
