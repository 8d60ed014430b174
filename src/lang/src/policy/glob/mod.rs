//! Globs, for the checks and the reference evaluator. Independent of `automata`, so that a law between the two
//! means something. `docs/pdl.md` gives the meaning.

#[cfg(test)]
mod laws;
mod nfa;
mod witness;

pub use nfa::Matcher;
pub use witness::{Budget, Cut, Witness, witness};

/// The longest pattern, in bytes (PATH_MAX of limits.h).
pub const MAX_PATTERN: usize = 4096;
/// Braces within braces, at most.
pub const MAX_BRACES: usize = 8;

/// What is wrong with a pattern, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct GlobError {
    /// Offset into the pattern.
    pub at: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// Kinds of malformed patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Longer than [`MAX_PATTERN`].
    #[error("the pattern is longer than 4096 bytes")]
    TooLong,
    /// `{` without `}`.
    #[error("`{{` is not closed")]
    OpenBrace,
    /// `}` without `{`, `]` without `[`.
    #[error("`{0}` closes nothing")]
    Stray(char),
    /// Braces nested too deeply.
    #[error("braces are nested deeper than 8")]
    TooDeep,
    /// `[` without `]`.
    #[error("`[` is not closed")]
    OpenClass,
    /// `[]`
    #[error("the class is empty")]
    EmptyClass,
    /// `[z-a]`
    #[error("the range is backwards")]
    BackwardRange,
    /// `/` in a class: no class matches it.
    #[error("a class cannot hold `/`")]
    SlashInClass,
    /// A character of several bytes in a class, which matches one byte.
    #[error("a class holds only ASCII characters")]
    WideClass,
    /// A backslash with nothing behind it.
    #[error("the backslash quotes nothing")]
    TrailingBackslash,
    /// NUL cannot be in a path.
    #[error("the pattern holds a NUL byte")]
    Nul,
}

/// A set of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    fn remove(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] &= !(1 << (byte & 63));
    }
    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }
    fn of(byte: u8) -> ByteSet {
        let mut set = ByteSet::default();
        set.insert(byte);
        set
    }
    fn all() -> ByteSet {
        ByteSet([u64::MAX; 4])
    }
    fn no_slash() -> ByteSet {
        let mut set = ByteSet::all();
        set.remove(b'/');
        set
    }
}

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// One byte of the set.
    One(ByteSet),
    /// Bytes of the set, at least `min` (0 or 1).
    Many(ByteSet, usize),
    /// Any of these.
    Either(Vec<Vec<Piece>>),
}

struct Reader<'p> {
    text: &'p [u8],
    at: usize,
}

fn read(pattern: &[u8]) -> Result<Vec<Piece>, GlobError> {
    if pattern.len() > MAX_PATTERN {
        return Err(GlobError { at: MAX_PATTERN, problem: Problem::TooLong });
    }
    if let Some(at) = pattern.iter().position(|b| *b == 0) {
        return Err(GlobError { at, problem: Problem::Nul });
    }
    let mut reader = Reader { text: pattern, at: 0 };
    let mut pieces = reader.sequence(0)?;
    if reader.at < pattern.len() {
        return Err(GlobError { at: reader.at, problem: Problem::Stray('}') });
    }
    // `/d/**` is what lies below /d: a final run of stars right behind a `/` is not empty.
    if let [.., Piece::One(before), Piece::Many(_, min)] = &mut pieces[..]
        && *before == ByteSet::of(b'/')
    {
        *min = 1;
    }
    Ok(pieces)
}

impl Reader<'_> {
    /// Up to the end, or within braces (`depth` > 0) up to `,` or `}`, or up to a stray `}`.
    fn sequence(&mut self, depth: usize) -> Result<Vec<Piece>, GlobError> {
        let mut pieces = Vec::new();
        while let Some(&byte) = self.text.get(self.at) {
            let start = self.at;
            match byte {
                b'}' => break,
                b',' if depth > 0 => break,
                b']' => return Err(GlobError { at: start, problem: Problem::Stray(']') }),
                b'*' => {
                    let stars = self.text[start..].iter().take_while(|b| **b == b'*').count();
                    self.at += stars;
                    pieces.push(Piece::Many(if stars > 1 { ByteSet::all() } else { ByteSet::no_slash() }, 0));
                }
                b'?' => {
                    self.at += 1;
                    pieces.push(Piece::One(ByteSet::no_slash()));
                }
                b'[' => pieces.push(Piece::One(self.class()?)),
                b'{' => pieces.push(self.either(depth)?),
                b'\\' => {
                    let quoted = self.text.get(start + 1);
                    let quoted = quoted.ok_or(GlobError { at: start, problem: Problem::TrailingBackslash })?;
                    self.at += 2;
                    pieces.push(Piece::One(ByteSet::of(*quoted)));
                }
                _ => {
                    self.at += 1;
                    pieces.push(Piece::One(ByteSet::of(byte)));
                }
            }
        }
        Ok(pieces)
    }

    fn either(&mut self, depth: usize) -> Result<Piece, GlobError> {
        let start = self.at;
        if depth == MAX_BRACES {
            return Err(GlobError { at: start, problem: Problem::TooDeep });
        }
        let mut options = Vec::new();
        loop {
            self.at += 1; // `{` or `,`
            options.push(self.sequence(depth + 1)?);
            match self.text.get(self.at) {
                Some(b',') => {}
                Some(_) => break,
                None => return Err(GlobError { at: start, problem: Problem::OpenBrace }),
            }
        }
        self.at += 1; // `}`
        Ok(Piece::Either(options))
    }

    fn class(&mut self) -> Result<ByteSet, GlobError> {
        let start = self.at;
        let open = GlobError { at: start, problem: Problem::OpenClass };
        self.at += 1;
        let negated = self.text.get(self.at) == Some(&b'!');
        self.at += usize::from(negated);
        let mut set = ByteSet::default();
        let mut empty = true;
        loop {
            match self.text.get(self.at) {
                None => return Err(open),
                Some(b']') if empty => return Err(GlobError { at: start, problem: Problem::EmptyClass }),
                Some(b']') => break,
                Some(_) => {}
            }
            let first = self.class_byte(start)?;
            let mut last = first;
            let range = self.text.get(self.at) == Some(&b'-') && self.text.get(self.at + 1).is_some_and(|b| *b != b']');
            if range {
                self.at += 1;
                last = self.class_byte(start)?;
            }
            if last < first {
                return Err(GlobError { at: start, problem: Problem::BackwardRange });
            }
            if (first..=last).contains(&b'/') {
                return Err(GlobError { at: start, problem: Problem::SlashInClass });
            }
            (first..=last).for_each(|b| set.insert(b));
            empty = false;
        }
        self.at += 1;
        if negated {
            let mut rest = ByteSet::no_slash();
            (0..=255).filter(|b| set.contains(*b)).for_each(|b| rest.remove(b));
            set = rest;
        }
        Ok(set)
    }

    fn class_byte(&mut self, start: usize) -> Result<u8, GlobError> {
        let quoted = usize::from(self.text.get(self.at) == Some(&b'\\'));
        let byte = self.text.get(self.at + quoted).ok_or(GlobError { at: start, problem: Problem::OpenClass })?;
        if !byte.is_ascii() {
            return Err(GlobError { at: start, problem: Problem::WideClass });
        }
        self.at += 1 + quoted;
        Ok(*byte)
    }
}
