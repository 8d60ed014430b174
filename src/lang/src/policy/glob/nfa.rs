//! Thompson's construction and simulation: time is pattern times text, whatever the pattern.

use super::{ByteSet, GlobError, Piece, read};

/// A state: what it consumes, or where it leads without consuming.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// One byte of the set leads on.
    Byte(ByteSet, u32),
    /// All of these at once.
    Fork(Vec<u32>),
    /// The pattern is done.
    Accept,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Matcher {
    pub(super) states: Vec<State>,
    pub(super) start: u32,
    /// The bytes that every match begins with; with the last element true if they are all of it.
    pub(super) prefix: (Vec<u8>, bool),
}

impl Matcher {
    /// Compiles a pattern.
    pub fn new(pattern: &str) -> Result<Matcher, GlobError> {
        let pieces = read(pattern.as_bytes())?;
        let prefix = literal_prefix(&pieces);
        let mut states = vec![State::Accept];
        let start = compile(&mut states, &pieces, 0);
        Ok(Matcher { states, start, prefix })
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        let mut set = self.initial();
        for byte in text {
            if set.is_empty() {
                return false;
            }
            set = self.step(&set, *byte);
        }
        self.accepts(&set)
    }

    /// The bytes with which every match begins.
    pub fn literal_prefix(&self) -> &[u8] {
        &self.prefix.0
    }

    /// The only text that matches, if there is just one and it is spelled out.
    pub fn literal(&self) -> Option<&[u8]> {
        self.prefix.1.then_some(&self.prefix.0)
    }

    /// Whether the spelled-out beginnings of two patterns agree. If not, no text matches both.
    pub fn may_meet(a: &Matcher, b: &Matcher) -> bool {
        let ((a, a_whole), (b, b_whole)) = (&a.prefix, &b.prefix);
        let common = a.len().min(b.len());
        a[..common] == b[..common] && !(*a_whole && a.len() < b.len()) && !(*b_whole && b.len() < a.len())
    }

    /// Whether every match begins with `/`.
    pub fn absolute(&self) -> bool {
        let slash = ByteSet::of(b'/');
        self.initial().iter().all(|s| matches!(&self.states[*s as usize], State::Byte(set, _) if *set == slash))
    }

    /// States before the first byte: sorted, unique.
    pub(super) fn initial(&self) -> Vec<u32> {
        let mut set = Vec::new();
        self.close(&mut set, [self.start]);
        set
    }
    /// States after one more byte.
    pub(super) fn step(&self, set: &[u32], byte: u8) -> Vec<u32> {
        let mut next = Vec::new();
        let targets = set.iter().filter_map(|s| match &self.states[*s as usize] {
            State::Byte(bytes, to) if bytes.contains(byte) => Some(*to),
            _ => None,
        });
        self.close(&mut next, targets);
        next
    }
    pub(super) fn accepts(&self, set: &[u32]) -> bool {
        set.iter().any(|s| matches!(self.states[*s as usize], State::Accept))
    }
    fn close(&self, set: &mut Vec<u32>, from: impl IntoIterator<Item = u32>) {
        let mut seen = vec![false; self.states.len()];
        let mut work: Vec<u32> = from.into_iter().collect();
        while let Some(state) = work.pop() {
            if std::mem::replace(&mut seen[state as usize], true) {
                continue;
            }
            match &self.states[state as usize] {
                State::Fork(to) => work.extend(to),
                _ => set.push(state),
            }
        }
        set.sort_unstable();
    }
}

/// Adds states for the pieces in front of `next`; gives the first. Recursion is bounded by the depth of braces.
fn compile(states: &mut Vec<State>, pieces: &[Piece], next: u32) -> u32 {
    let push = |states: &mut Vec<State>, state| {
        states.push(state);
        (states.len() - 1) as u32
    };
    pieces.iter().rev().fold(next, |next, piece| match piece {
        Piece::One(set) => push(states, State::Byte(*set, next)),
        Piece::Many(set, min) => {
            let fork = push(states, State::Fork(Vec::new()));
            let body = push(states, State::Byte(*set, fork));
            states[fork as usize] = State::Fork(vec![body, next]);
            if *min == 0 { fork } else { body }
        }
        Piece::Either(options) => {
            let starts = options.iter().map(|o| compile(states, o, next)).collect();
            push(states, State::Fork(starts))
        }
    })
}

fn literal_prefix(pieces: &[Piece]) -> (Vec<u8>, bool) {
    let mut prefix = Vec::new();
    for piece in pieces {
        match piece {
            Piece::One(set) => {
                let mut bytes = (0..=255).filter(|b| set.contains(*b));
                match (bytes.next(), bytes.next()) {
                    (Some(byte), None) => prefix.push(byte),
                    _ => return (prefix, false),
                }
            }
            _ => return (prefix, false),
        }
    }
    (prefix, true)
}

#[cfg(test)]
mod tests {
    use super::super::Problem;
    use super::*;

    fn yes(pattern: &str, texts: &[&str]) {
        let m = Matcher::new(pattern).unwrap();
        for text in texts {
            assert!(m.matches(text.as_bytes()), "{pattern} should match {text}");
        }
    }
    fn no(pattern: &str, texts: &[&str]) {
        let m = Matcher::new(pattern).unwrap();
        for text in texts {
            assert!(!m.matches(text.as_bytes()), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn meaning_of_each_form() {
        yes("/d/**", &["/d/a", "/d/a/b", "/d/.x"]);
        no("/d/**", &["/d", "/d/", "/da"]);
        yes("/**", &["/a", "/a/b"]);
        no("/**", &["/"]);
        yes("/d/*", &["/d/a"]);
        no("/d/*", &["/d/a/b", "/d/", "/d"]);
        yes("/d**", &["/d", "/d/a", "/dx"]);
        yes("/*/x", &["/a/x", "//x"]);
        yes("/a/**/z", &["/a/b/z", "/a/b/c/z", "/a//z"]);
        no("/a/**/z", &["/a/z"]);
        yes("/lib{,64}/l[a-c]?[!x].so", &["/lib/lbqy.so", "/lib64/lc--.so"]);
        no(
            "/lib{,64}/l[a-c]?[!x].so",
            &["/lib/ldqy.so", "/lib/la/y.so", "/lib/lbqx.so", "/lib/lbq/.so", "/lib32/lbqy.so"],
        );
        yes("/{a,{b,c}d}", &["/a", "/bd", "/cd"]);
        yes(r"/\*\{\\", &[r"/*{\"]);
        yes("/a,b\\]", &["/a,b]"]);
        yes("/x[a-]", &["/xa", "/x-"]);
        yes("***", &["", "/", "a/b"]);
    }

    #[test]
    fn malformed_patterns_say_where() {
        for (pattern, at, problem) in [
            ("/{a", 1, Problem::OpenBrace),
            ("/a}", 2, Problem::Stray('}')),
            ("/a]", 2, Problem::Stray(']')),
            ("/[a", 1, Problem::OpenClass),
            ("/[]", 1, Problem::EmptyClass),
            ("/[!]", 1, Problem::EmptyClass),
            ("/[z-a]", 1, Problem::BackwardRange),
            ("/[+-9]", 1, Problem::SlashInClass),
            ("/[ä]", 1, Problem::WideClass),
            ("/a\\", 2, Problem::TrailingBackslash),
            ("/[a\\", 1, Problem::OpenClass),
            ("{{{{{{{{{a}}}}}}}}}", 8, Problem::TooDeep),
        ] {
            assert_eq!(Matcher::new(pattern).unwrap_err(), GlobError { at, problem }, "{pattern}");
        }
    }

    #[test]
    fn hostile_patterns_take_linear_time() {
        let pattern = "*a".repeat(300);
        let text = "a".repeat(600) + "b";
        assert!(!Matcher::new(&pattern).unwrap().matches(text.as_bytes()));
    }
}
