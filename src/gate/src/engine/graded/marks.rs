//! What operators have looked at and found to be benign: it stays so, however often it comes.

use serde::Deserialize;

use crate::engine::event::Event;

/// The marks cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MarksError {
    /// Not the expected TOML.
    #[error("the marks are not valid: {0}")]
    Syntax(String),
    /// A mark without a reason.
    #[error("mark {0} does not say because of what; write because = \"...\"")]
    Because(usize),
    /// A mark that fits too much.
    #[error(
        "mark {0} ({1}) names only one thing; a mark needs two: what was reported (rule, operation, target) and by whom \
         (program, executable, parent, user, container, image, namespace, pod, host)"
    )]
    Wide(usize, String),
    /// More marks than can be told apart.
    #[error("there are more than 65,535 marks")]
    Many,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    benign: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    because: String,
    rule: Option<String>,
    operation: Option<String>,
    target: Option<String>,
    command_line: Option<String>,
    program: Option<String>,
    executable: Option<String>,
    parent: Option<String>,
    user: Option<String>,
    container: Option<String>,
    image: Option<String>,
    namespace: Option<String>,
    pod: Option<String>,
    host: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Of {
    Rule,
    Operation,
    Target,
    CommandLine,
    Program,
    Executable,
    Parent,
    User,
    Container,
    Image,
    Namespace,
    Pod,
    Host,
}

#[derive(Debug)]
struct Mark {
    because: String,
    conditions: Vec<(Of, Vec<u8>)>,
}

/// All marks.
#[derive(Debug, Default)]
pub struct Marks {
    list: Vec<Mark>,
}

impl Marks {
    /// Marks from TOML text: tables `[[benign]]`.
    ///
    /// # Errors
    /// The text says what it may not.
    pub fn from_toml(text: &str) -> Result<Marks, MarksError> {
        let file: File = toml::from_str(text).map_err(|e| MarksError::Syntax(e.to_string()))?;
        if file.benign.len() > usize::from(u16::MAX) {
            return Err(MarksError::Many);
        }
        let mut list = Vec::new();
        for (number, text) in file.benign.into_iter().enumerate().map(|(at, text)| (at + 1, text)) {
            if text.because.trim().is_empty() {
                return Err(MarksError::Because(number));
            }
            let what = [
                (Of::Rule, text.rule),
                (Of::Operation, text.operation),
                (Of::Target, text.target),
                (Of::CommandLine, text.command_line),
            ];
            let who = [
                (Of::Program, text.program),
                (Of::Executable, text.executable),
                (Of::Parent, text.parent),
                (Of::User, text.user),
                (Of::Container, text.container),
                (Of::Image, text.image),
                (Of::Namespace, text.namespace),
                (Of::Pod, text.pod),
                (Of::Host, text.host),
            ];
            // A pattern that fits everything says nothing.
            let given = |list: &[(Of, Option<String>)]| -> Vec<(Of, Vec<u8>)> {
                let said = list.iter().filter_map(|(of, text)| Some((*of, text.clone()?.into_bytes())));
                said.filter(|(_, text)| text.iter().any(|b| *b != b'*')).collect()
            };
            let (what, who) = (given(&what), given(&who));
            if what.is_empty() || who.is_empty() {
                return Err(MarksError::Wide(number, text.because));
            }
            list.push(Mark { because: text.because, conditions: [what, who].concat() });
        }
        Ok(Marks { list })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The first mark that the event fits.
    pub(super) fn find(&self, event: &Event<'_>) -> Option<u16> {
        let place = self
            .list
            .iter()
            .position(|mark| mark.conditions.iter().all(|(of, pattern)| fits(pattern, of.of(event))))?;
        u16::try_from(place).ok()
    }

    /// Why an operator has set a mark.
    pub(super) fn because(&self, mark: u16) -> &str {
        self.list.get(usize::from(mark)).map_or("", |mark| &mark.because)
    }
}

impl Of {
    fn of<'e>(self, event: &'e Event<'_>) -> &'e [u8] {
        match self {
            Of::Rule => &event.rule,
            Of::Operation => &event.operation,
            Of::Target => &event.target,
            Of::CommandLine => &event.command_line,
            Of::Program => &event.name,
            Of::Executable => &event.exe,
            Of::Parent => &event.parent,
            Of::User => &event.user,
            Of::Container => &event.container,
            Of::Image => &event.image,
            Of::Namespace => &event.namespace,
            Of::Pod => &event.pod,
            Of::Host => &event.host,
        }
    }
}

/// Whether a text fits a pattern, in which `*` stands for anything.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|b| *b == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&[u8]> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match memchr::memmem::find(rest, part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, wanted) in [
            ("/srv/wal/*", "/srv/wal/0001", true),
            ("/srv/wal/*", "/srv/wa", false),
            ("*/wal/*", "/srv/wal/0", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "ab", false),
            ("ab*ba", "aba", false),
            ("sh", "sh", true),
            ("sh", "bash", false),
            ("", "", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn a_mark_says_why_what_and_who() {
        let error = |text: &str| Marks::from_toml(text).expect_err("refused").to_string();
        assert!(error("[[benign]]\nrule = \"r\"\nprogram = \"p\"").contains("because"));
        assert!(error("[[benign]]\nbecause = \"x\"\nprogram = \"p\"\nparent = \"q\"").contains("needs two"));
        assert!(error("[[benign]]\nbecause = \"x\"\nrule = \"*\"\nprogram = \"p\"").contains("needs two"));
        assert!(error("[[benign]]\nbecause = \"x\"\nrules = \"*\"").contains("not valid"));
        let marks = Marks::from_toml("[[benign]]\nbecause = \"x\"\nrule = \"r\"\nprogram = \"p*\"").expect("marks");
        let event = |rule: &'static str, name: &'static str| Event {
            rule: rule.as_bytes().into(),
            name: name.as_bytes().into(),
            ..Event::default()
        };
        assert_eq!(marks.find(&event("r", "p1")), Some(0));
        assert_eq!(marks.find(&event("r", "q")), None);
        assert_eq!(marks.because(0), "x");
        assert!(Marks::from_toml("").expect("none").is_empty());
    }
}
