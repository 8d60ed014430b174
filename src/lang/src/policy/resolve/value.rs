//! Values: strings, numbers, ranges, lists and variables, flattened.

use kiln_base::model::{Cidr, PortRange};

use crate::pdl::ast::{self, inner, token_span};
use crate::pdl::{Code, Diagnostic};

use super::super::glob::{GlobError, Matcher, witness};
use super::super::normal::Glob;
use super::*;

impl Resolver<'_> {
    /// Adds what a value comes to.
    pub(super) fn value(&mut self, scope: Scope<'_>, value: &ast::Value, out: &mut Vec<Item>) {
        let module = scope.module;
        match value {
            ast::Value::Literal(literal) => {
                let Some(token) = literal.token() else { return };
                if !self.count(module, literal.span(), 0, 1) {
                    return;
                }
                out.push(Item { kind: ItemKind::Text(inner(&token).to_owned()), module, span: token_span(&token) });
            }
            ast::Value::Range(range) => {
                if !self.count(module, range.span(), 0, 1) {
                    return;
                }
                // A number beyond 64 bits is beyond every place for a number.
                let numbers: Vec<u64> = range.numbers().iter().map(|t| t.text().parse().unwrap_or(u64::MAX)).collect();
                let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return };
                out.push(Item { kind: ItemKind::Range(*first, *last), module, span: range.span() });
            }
            ast::Value::Var(var) => {
                let Some(items) = self.variable(scope, var) else { return };
                if self.count(module, var.span(), 0, items.len()) {
                    out.extend(items.iter().cloned());
                }
            }
            // The parser bounds the depth of lists.
            ast::Value::List(list) => list.values().for_each(|v| self.value(scope, &v, out)),
        }
    }

    /// The values of terms; says so if there are none although something was written.
    pub(super) fn terms(&mut self, scope: Scope<'_>, terms: Option<ast::Terms>) -> Vec<Item> {
        let Some(terms) = terms else { return Vec::new() };
        let before = self.mistakes();
        let mut items = Vec::new();
        for value in terms.terms().flat_map(|t| t.values()) {
            self.value(scope, &value, &mut items);
        }
        let written = terms.terms().any(|t| t.values().next().is_some());
        if items.is_empty() && written && self.mistakes() == before {
            let why = "a rule with nothing in its list matches nothing";
            self.error(
                scope.module,
                Code::EmptyValue,
                terms.span(),
                "the list is empty",
                why,
                "put a value into the list, or remove the rule",
            );
        }
        items
    }

    fn wrong_type(&mut self, item: &Item, wanted: &str, mend: &str) {
        let what = match item.kind {
            ItemKind::Text(_) => "a string",
            ItemKind::Range(..) => "a number",
        };
        let message = format!("{wanted} is needed, this is {what}");
        self.error(
            item.module,
            Code::WrongType,
            item.span.clone(),
            message,
            &format!("this is used where {wanted} belongs"),
            mend,
        );
    }

    /// A value as a pattern of normalised absolute paths.
    pub(super) fn path(&mut self, item: &Item) -> Option<Glob> {
        let ItemKind::Text(text) = &item.kind else {
            self.wrong_type(item, "a path", "write the path in quotes");
            return None;
        };
        let matcher = self.pattern(item.module, &item.span, text)?;
        let absolute = text.starts_with('/') || (text.starts_with('{') && matcher.absolute());
        if !absolute {
            let why = "the kernel reports paths from the root of the subject's mount namespace";
            let mend = absolute_mend(text);
            self.error(
                item.module,
                Code::NotAbsolute,
                item.span.clone(),
                format!("`{text}` is not absolute"),
                why,
                mend,
            );
            return None;
        }
        let tidy = normalised(text);
        let cannot_match = text.contains(['{', '[']) && !witness(&[&matcher], &[], true, &mut self.budget).possible();
        if tidy != *text || text.split('/').any(|part| part == "..") || cannot_match {
            let why = "the kernel reports paths without empty, `.` or `..` parts and without a `/` at the end";
            let mend = if tidy == *text || tidy.contains("..") {
                "write the path as the kernel reports it".to_owned()
            } else {
                format!(
                    "write \"{tidy}\"{}",
                    if text.ends_with('/') {
                        format!(", or \"{tidy}/**\" for what lies below it")
                    } else {
                        String::new()
                    }
                )
            };
            self.error(
                item.module,
                Code::NotNormalised,
                item.span.clone(),
                format!("`{text}` is not normalised and would never match"),
                why,
                mend,
            );
            return None;
        }
        for dead in dead_alternatives(text) {
            self.found.push(
                Diagnostic::warning(
                    Code::NotNormalised,
                    self.modules[item.module].file,
                    item.span.clone(),
                    format!("the alternative `{dead}` of `{text}` would never match"),
                )
                .because("the kernel reports paths without empty, `.` or `..` parts and without a `/` at the end")
                .mend(format!("remove it, or write it as \"{}\"", normalised(&dead))),
            );
        }
        Some(Glob(text.clone()))
    }

    /// Checks a pattern; messages point into the string.
    pub(super) fn pattern(&mut self, module: usize, span: &Range<usize>, text: &str) -> Option<Matcher> {
        if let Some((at, c)) = text.char_indices().find(|(_, c)| hides(*c)) {
            let at = span.start + 1 + at;
            let why = match c.is_control() {
                true => "control characters hide what a policy says",
                false => "characters that nobody sees hide what a policy says",
            };
            self.error(
                module,
                Code::BadText,
                at..at + c.len_utf8(),
                format!("the character {c:?} cannot stand in a string"),
                why,
                "remove it",
            );
            return None;
        }
        if text.is_empty() {
            self.error(
                module,
                Code::EmptyValue,
                span.clone(),
                "the string is empty",
                "an empty pattern matches nothing",
                "write what it should match, `*` for any name",
            );
            return None;
        }
        if let Some((at, problem, mend)) = other_class(text) {
            let start = span.start + 1 + at;
            let message = format!("the pattern is malformed: {problem}");
            let why = "patterns know * ** ? [a-z] [!a-z] {a,b} and \\";
            self.error(module, Code::BadGlob, start..start + 1, message, why, mend);
            return None;
        }
        match Matcher::new(text) {
            Ok(matcher) => Some(matcher),
            Err(GlobError { at, problem }) => {
                let start = (span.start + 1 + at).min(span.end.saturating_sub(1));
                let mend = "quote a character that is meant as itself with a backslash";
                self.error(
                    module,
                    Code::BadGlob,
                    start..start + 1,
                    format!("the pattern is malformed: {problem}"),
                    "patterns know * ** ? [a-z] [!a-z] {a,b} and \\",
                    mend,
                );
                None
            }
        }
    }

    /// A value as an address block.
    pub(super) fn cidr(&mut self, item: &Item) -> Option<Cidr> {
        let ItemKind::Text(text) = &item.kind else {
            self.wrong_type(item, "an address", "write the address in quotes: \"10.0.0.0/8\"");
            return None;
        };
        match text.parse::<Cidr>() {
            Ok(cidr) => Some(cidr),
            Err(error) => {
                let mend = match &error {
                    kiln_base::model::ParseCidrError::HostBits(_, fix) => format!("write \"{fix}\""),
                    kiln_base::model::ParseCidrError::Length(_) => "use 0 to 32 for IPv4, 0 to 128 for IPv6".to_owned(),
                    kiln_base::model::ParseCidrError::Address(_) => {
                        "write \"10.0.0.0/8\" or \"fd00::/8\"; for a name write `dns \"…\"`".to_owned()
                    }
                };
                self.error(
                    item.module,
                    Code::BadAddress,
                    item.span.clone(),
                    error.to_string(),
                    "an IP address or address block belongs here",
                    mend,
                );
                None
            }
        }
    }

    /// A value as ports.
    pub(super) fn port(&mut self, item: &Item) -> Option<PortRange> {
        let ItemKind::Range(first, last) = item.kind else {
            self.wrong_type(item, "a port", "write the number without quotes: 443");
            return None;
        };
        match (u16::try_from(first), u16::try_from(last)) {
            (Ok(first), Ok(last)) if first <= last => Some(PortRange { first, last }),
            (Ok(_), Ok(_)) => {
                let message = format!("the range {first}-{last} is backwards");
                self.error(
                    item.module,
                    Code::BadPort,
                    item.span.clone(),
                    message,
                    "the first port is the lower one",
                    format!("write {last}-{first}"),
                );
                None
            }
            _ => {
                self.error(
                    item.module,
                    Code::BadPort,
                    item.span.clone(),
                    "this is not a port",
                    "ports are 0 to 65535",
                    "write a number up to 65535",
                );
                None
            }
        }
    }

    /// A value as a name of a class (a capability, for example).
    pub(super) fn text_name(&mut self, item: &Item) -> Option<String> {
        match &item.kind {
            ItemKind::Text(text) => Some(text.clone()),
            ItemKind::Range(..) => {
                self.wrong_type(item, "a name", "write the name in quotes");
                None
            }
        }
    }
}

/// Alternatives of one pattern that are looked at.
const MAX_ALTERNATIVES: usize = 64;

/// The texts that the braces of a pattern stand for and that are in no form that the kernel reports.
fn dead_alternatives(text: &str) -> Vec<String> {
    let mut todo = vec![text.to_owned()];
    let mut out = Vec::new();
    let mut seen = 0;
    while let Some(text) = todo.pop() {
        match braces(&text) {
            Some((open, close, commas)) => {
                let mut from = open + 1;
                for at in commas.into_iter().chain([close]) {
                    todo.push(format!("{}{}{}", &text[..open], &text[from..at], &text[close + 1..]));
                    from = at + 1;
                }
            }
            None if text != "/" && (normalised(&text) != text || text.split('/').any(|part| part == "..")) => {
                out.push(text);
            }
            None => {}
        }
        seen += 1;
        if seen > 4 * MAX_ALTERNATIVES || todo.len() > MAX_ALTERNATIVES {
            return Vec::new();
        }
    }
    out.sort();
    out
}

/// The first braces of a pattern: where they open and close, and the commas between them.
fn braces(text: &str) -> Option<(usize, usize, Vec<usize>)> {
    let (mut open, mut depth, mut commas) = (None, 0usize, Vec::new());
    let (mut quoted, mut class) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if quoted => quoted = false,
            '\\' => quoted = true,
            ']' => class = false,
            _ if class => {}
            '[' => class = true,
            '{' => {
                open.get_or_insert(at);
                depth += 1;
            }
            ',' if depth == 1 => commas.push(at),
            '}' if depth == 1 => return open.map(|o| (o, at, commas)),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The pattern without empty and `.` parts and without a final `/`. `..` is resolved only over a plain part.
pub(in crate::policy) fn normalised(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| !p.contains(['*', '?', '[', '{', '}', ',', '\\'])) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let lead = if text.starts_with('/') { "/" } else { "" };
    format!("{lead}{}", parts.join("/"))
}

/// What helps where a path does not begin with `/`.
fn absolute_mend(text: &str) -> String {
    let bytes = text.as_bytes();
    // A home folder, a variable, a specifier of systemd, a folder of another system.
    if matches!(bytes, [b'~' | b'$' | b'%' | b'{', ..] | [_, b':', ..]) || text.starts_with("../") {
        return "write the whole path: a policy knows no home folders, variables or specifiers".to_owned();
    }
    format!("start it with `/`: \"/{}\"", text.trim_start_matches("./"))
}

/// Whether a reader does not see a character, or sees others in another order because of it.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A class in the words of another language, which would mean something else here: where, what it is, and what helps.
fn other_class(text: &str) -> Option<(usize, &'static str, &'static str)> {
    let mut rest = text.bytes().enumerate().peekable();
    let mut within = None;
    while let Some((at, byte)) = rest.next() {
        match byte {
            b'\\' => _ = rest.next(),
            b'[' if within.is_none() => {
                within = Some(at);
                if rest.peek().is_some_and(|(_, b)| *b == b'^') {
                    return Some((at, "`[^` does not negate a class", "write `[!…]`, or `[\\^…]` for the sign itself"));
                }
            }
            b'[' if rest.peek().is_some_and(|(_, b)| matches!(b, b':' | b'.' | b'=')) => {
                return Some((at, "classes have no names", "write the characters, as in `[a-zA-Z]`"));
            }
            b']' => within = None,
            _ => {}
        }
    }
    None
}
