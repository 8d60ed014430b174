//! What is wrong with a text: where, why, and how to mend it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use super::code::Code;
use super::source::Source;

/// A source's place in [`Diagnostics::sources`].
pub type FileId = usize;

/// At most this many are kept of one run; the rest would not be read.
const MAX_KEPT: usize = 200;
/// Longer lines are named, not drawn.
const LINE_SHOWN: usize = 1000;

/// Whether the text can be used in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The policy is refused.
    Error,
    /// The policy is taken.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its number.
    pub code: Code,
    /// Error or warning.
    pub level: Level,
    /// The source.
    pub file: FileId,
    /// Bytes of the source.
    pub span: Range<usize>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// Why it is wrong, shown at the span.
    pub reason: String,
    /// How to mend it.
    pub help: String,
    /// Another place that has to do with it.
    pub related: Option<(FileId, Range<usize>, String)>,
}

impl Diagnostic {
    /// An error; `reason` and `help` say why and how to mend it.
    pub fn error(code: Code, file: FileId, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            level: Level::Error,
            file,
            span,
            message: message.into(),
            reason: String::new(),
            help: String::new(),
            related: None,
        }
    }
    /// A warning.
    pub fn warning(code: Code, file: FileId, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic { level: Level::Warning, ..Diagnostic::error(code, file, span, message) }
    }
    /// Says why.
    pub fn because(mut self, reason: impl Into<String>) -> Diagnostic {
        self.reason = reason.into();
        self
    }
    /// Says how to mend it.
    pub fn mend(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = help.into();
        self
    }
    /// Points at another place.
    pub fn see(mut self, file: FileId, span: Range<usize>, label: impl Into<String>) -> Diagnostic {
        self.related = Some((file, span, label.into()));
        self
    }
}

/// All that is wrong, with the texts. Sorted by file and place; empty if nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics {
    /// The texts, imports included.
    pub sources: Vec<Source>,
    list: Vec<Diagnostic>,
    /// How many more there were than are kept.
    pub omitted: usize,
}

impl Diagnostics {
    /// Adds one. Where there are more than are kept, an error takes the place of a warning: so no number of warnings
    /// hides an error, and none makes one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < MAX_KEPT {
            self.list.push(diagnostic);
            return;
        }
        self.omitted += 1;
        if diagnostic.level == Level::Error
            && let Some(warning) = self.list.iter_mut().rfind(|d| d.level == Level::Warning)
        {
            *warning = diagnostic;
        }
    }
    /// Adds several.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Diagnostic>) {
        more.into_iter().for_each(|d| self.push(d));
    }
    /// All, sorted once [`Diagnostics::sort`] was called.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    /// How many are kept.
    pub fn len(&self) -> usize {
        self.list.len()
    }
    /// Whether any refuses the policy.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.level == Level::Error)
    }
    /// Sorts by place and drops repetitions (an abstraction used twice is wrong once).
    pub fn sort(&mut self) {
        self.list.sort_by(|a, b| {
            (a.file, a.span.start, a.code, &a.message).cmp(&(b.file, b.span.start, b.code, &b.message))
        });
        self.list.dedup();
    }
    /// Line and column of a byte, from 1; columns count characters.
    pub fn position(&self, file: FileId, byte: usize) -> (usize, usize) {
        let text = self.sources.get(file).map_or("", |s| &*s.text);
        position(text, byte)
    }
    /// Each as a value with all its parts, for machines.
    pub fn records(&self) -> Vec<Record> {
        self.list
            .iter()
            .map(|d| {
                let (line, column) = self.position(d.file, d.span.start);
                let name = |file: FileId| self.sources.get(file).map_or(String::new(), |s| s.name.to_string());
                Record {
                    code: d.code.number(),
                    level: d.level,
                    file: name(d.file),
                    line,
                    column,
                    start: d.span.start,
                    end: d.span.end,
                    message: d.message.clone(),
                    reason: d.reason.clone(),
                    help: d.help.clone(),
                    related: d.related.as_ref().map(|(file, span, label)| RelatedRecord {
                        file: name(*file),
                        line: self.position(*file, span.start).0,
                        label: label.clone(),
                    }),
                }
            })
            .collect()
    }
    /// The text that people read: source excerpts with marks. `fancy` draws in Unicode and colour.
    pub fn render(&self, fancy: bool) -> String {
        let theme = if fancy { miette::GraphicalTheme::unicode() } else { miette::GraphicalTheme::none() };
        let handler = miette::GraphicalReportHandler::new_themed(theme).with_width(110).with_context_lines(1);
        let mut text = String::new();
        for d in &self.list {
            if !self.drawable(d) {
                let (line, column) = self.position(d.file, d.span.start);
                let name = self.sources.get(d.file).map_or("", |s| &*s.name);
                let Diagnostic { code, message, reason, help, .. } = d;
                text.push_str(&format!("{code}: {message}\n  {name}:{line}:{column}: {reason}\n  help: {help}\n"));
                continue;
            }
            let report = Shown { diagnostic: d, source: self.source(d.file), other: self.other(d) };
            // Writing to a string cannot fail; a report that miette cannot draw is at least named.
            if handler.render_report(&mut text, &report).is_err() {
                text.push_str(&format!("{}: {}\n", d.code, d.message));
            }
        }
        if self.omitted > 0 {
            text.push_str(&format!("… and {} more\n", self.omitted));
        }
        text
    }
    /// Whether the lines to be shown are of a length that a person reads.
    fn drawable(&self, d: &Diagnostic) -> bool {
        let Some(source) = self.sources.get(d.file) else { return false };
        let spans = d.related.iter().filter(|(file, ..)| *file == d.file).map(|(_, span, _)| span);
        spans.chain([&d.span]).all(|span| {
            let bytes = source.text.as_bytes();
            let (start, end) = (span.start.min(bytes.len()), span.end.min(bytes.len()));
            let before = bytes[..start].iter().rev().take_while(|b| **b != b'\n').take(LINE_SHOWN).count();
            let after = bytes[end..].iter().take_while(|b| **b != b'\n').take(LINE_SHOWN).count();
            before + after + end.saturating_sub(start) < LINE_SHOWN
        })
    }
    fn source(&self, file: FileId) -> miette::NamedSource<Arc<str>> {
        match self.sources.get(file) {
            Some(s) => miette::NamedSource::new(&s.name, s.text.clone()),
            None => miette::NamedSource::new("", Arc::from("")),
        }
    }
    /// A related place in another file cannot be a label; it becomes a sentence.
    fn other(&self, d: &Diagnostic) -> Option<String> {
        let (file, span, label) = d.related.as_ref().filter(|(file, ..)| *file != d.file)?;
        let name = self.sources.get(*file).map_or("", |s| &*s.name);
        Some(format!("{label}: {name}:{}", self.position(*file, span.start).0))
    }
}

/// Line and column (in characters) of a byte of a text, from 1.
pub(super) fn position(text: &str, byte: usize) -> (usize, usize) {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    (before.bytes().filter(|b| *b == b'\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A diagnostic for machines.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the fields are those of `Diagnostic`")]
pub struct Record {
    pub code: &'static str,
    pub level: Level,
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub start: usize,
    pub end: usize,
    pub message: String,
    pub reason: String,
    pub help: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<RelatedRecord>,
}

/// Another place, for machines.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "plain names")]
pub struct RelatedRecord {
    pub file: String,
    pub line: usize,
    pub label: String,
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, d) in self.list.iter().enumerate() {
            let (line, column) = self.position(d.file, d.span.start);
            let name = self.sources.get(d.file).map_or("", |s| &*s.name);
            let newline = if n == 0 { "" } else { "\n" };
            write!(f, "{newline}{name}:{line}:{column}: {} [{}]", d.message, d.code)?;
            if !d.help.is_empty() {
                write!(f, "; {}", d.help)?;
            }
        }
        Ok(())
    }
}

/// A diagnostic with its text, as miette wants it.
#[derive(Debug)]
struct Shown<'d> {
    diagnostic: &'d Diagnostic,
    source: miette::NamedSource<Arc<str>>,
    other: Option<String>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code))
    }
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.level {
            Level::Error => miette::Severity::Error,
            Level::Warning => miette::Severity::Warning,
        })
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = &self.diagnostic.help;
        match &self.other {
            Some(other) => Some(Box::new(format!("{help}\n{other}"))),
            None if help.is_empty() => None,
            None => Some(Box::new(help)),
        }
    }
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let d = self.diagnostic;
        let mark = |span: &Range<usize>, label: &str| {
            let label = (!label.is_empty()).then(|| label.to_owned());
            miette::LabeledSpan::new(label, span.start, span.end.saturating_sub(span.start))
        };
        let related = d.related.as_ref().filter(|(file, ..)| *file == d.file).map(|(_, span, label)| mark(span, label));
        Some(Box::new(std::iter::once(mark(&d.span, &d.reason)).chain(related)))
    }
}
