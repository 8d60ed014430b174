//! Files, their imports and what they define.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use crate::pdl::ast::{self, inner, token_span};
use crate::pdl::{Code, Diagnostic, LoadError, Source, closest, parse, standard};

use super::*;

impl Resolver<'_> {
    /// Reads a file that the user named.
    pub(in crate::policy) fn root(&mut self, source: Source) -> usize {
        match self.by_name.get(&*source.name) {
            Some(module) => *module,
            None => self.module(source, false),
        }
    }

    fn module(&mut self, source: Source, standard: bool) -> usize {
        let file = self.found.sources.len();
        self.found.sources.push(source.clone());
        let parsed = parse(&source.text, file);
        self.found.extend(parsed.errors.iter().cloned());
        // The root of a parse is always a file.
        let Some(tree) = ast::File::of(parsed.syntax()) else { return self.module(empty(&source.name), standard) };
        let line_starts = std::iter::once(0).chain(source.text.match_indices('\n').map(|(n, _)| n + 1)).collect();
        let module = self.modules.len();
        self.modules.push(Module {
            file,
            ast: tree.clone(),
            line_starts,
            standard,
            imports: BTreeMap::new(),
            lets: BTreeMap::new(),
            windows: BTreeMap::new(),
            abstractions: BTreeMap::new(),
            defined: BTreeMap::new(),
            used: BTreeSet::new(),
            poisoned: BTreeSet::new(),
        });
        self.by_name.insert(source.name.to_string(), module);
        self.reading.push(source.name.to_string());
        self.edition(module, &tree);
        for import in tree.imports() {
            self.import(module, &source.name, &import);
        }
        for (name, window) in tree.windows().filter_map(|w| Some((w.name()?, w))) {
            if self.define(module, "window", &name) {
                self.modules[module].windows.insert(name.text(), window);
            }
        }
        for (name, abstraction) in tree.abstractions().filter_map(|a| Some((a.name()?, a))) {
            if self.define(module, "abstraction", &name) {
                self.modules[module].abstractions.insert(name.text(), abstraction);
            }
        }
        for binding in tree.lets() {
            self.let_(module, &binding);
        }
        self.reading.pop();
        module
    }

    fn edition(&mut self, module: usize, tree: &ast::File) {
        let number = tree.edition().and_then(|e| e.number());
        if let Some(number) = number.filter(|n| n.text() != "1") {
            let message =
                format!("language edition {} is not known", number.text().chars().take(20).collect::<String>());
            self.error(
                module,
                Code::Edition,
                token_span(&number),
                message,
                "this program reads edition 1",
                "write `pdl 1;`",
            );
        }
    }

    fn import(&mut self, module: usize, from: &str, import: &ast::Import) {
        let Some(path) = import.path() else { return };
        let text = ast::plain(&path);
        let name = match import.name() {
            Some(name) => name.text(),
            None => match namespace(&text) {
                Some(name) => name,
                None => {
                    let message = format!("`{text}` gives no name to import under");
                    let why =
                        "the namespace is the file's name without its ending, which must be a word of the language";
                    return self.error(
                        module,
                        Code::ImportFailed,
                        token_span(&path),
                        message,
                        why,
                        "name it: `import \"…\" as common;`",
                    );
                }
            },
        };
        let Some(target) = self.open(module, from, &text, token_span(&path)) else { return };
        let span = import.name().map_or(token_span(&path), |n| n.span());
        if self.define_at(module, "import", &name, span) {
            self.modules[module].imports.insert(name, target);
        }
        // A file with blocks is used by being imported.
        let m = &self.modules[target];
        if m.ast.profiles().next().is_some() || m.ast.guards().next().is_some() {
            self.modules[module].used.insert(("import", namespace(&text).unwrap_or_default()));
            if let Some(alias) = import.name() {
                self.modules[module].used.insert(("import", alias.text()));
            }
        }
    }

    fn open(&mut self, module: usize, from: &str, path: &str, span: Range<usize>) -> Option<usize> {
        let loaded = match path.starts_with("std/") {
            true => standard(path).ok_or_else(|| LoadError("there is std/base@1".to_owned())),
            false => self.loader.load(from, path),
        };
        let source = match loaded {
            Ok(source) => source,
            Err(error) => {
                let message = format!("`{path}` cannot be imported");
                self.error(
                    module,
                    Code::ImportFailed,
                    span,
                    message,
                    &error.0,
                    "import `std/base@1` or a file by its path relative to this one",
                );
                return None;
            }
        };
        if self.reading.iter().any(|name| **name == *source.name) {
            let why = "a file that is being read cannot be imported again";
            self.error(
                module,
                Code::Recursion,
                span,
                format!("`{path}` imports itself"),
                why,
                "move what both need into a third file",
            );
            return None;
        }
        if let Some(known) = self.by_name.get(&*source.name) {
            return Some(*known);
        }
        if self.reading.len() >= MAX_DEPTH || self.modules.len() >= MAX_FILES {
            let why = "imports go at most 64 deep and 1000 files wide";
            self.error(module, Code::TooMany, span, "too many imports", why, "import fewer files");
            return None;
        }
        let standard = path.starts_with("std/");
        Some(self.module(source, standard))
    }

    fn let_(&mut self, module: usize, binding: &ast::Let) {
        let (Some(name), Some(value)) = (binding.name(), binding.values().next()) else { return };
        let scope = Scope { module, params: None };
        let mut items = Vec::new();
        let before = self.mistakes();
        self.value(scope, &value, &mut items);
        if self.mistakes() > before {
            self.modules[module].poisoned.insert(name.text());
        }
        if self.define(module, "let", &name) {
            self.modules[module].lets.insert(name.text(), Rc::new(items));
        }
    }

    fn define(&mut self, module: usize, what: &'static str, name: &ast::Name) -> bool {
        // A name that is missing was complained about by the parser.
        name.word().is_some() && self.define_at(module, what, &name.text(), name.span())
    }

    fn define_at(&mut self, module: usize, what: &'static str, name: &str, span: Range<usize>) -> bool {
        let file = self.modules[module].file;
        if let Some(first) = self.modules[module].defined.get(&(what, name.to_owned())) {
            let error = Diagnostic::error(Code::Duplicate, file, span, format!("the {what} `{name}` is defined twice"))
                .because("a name means one thing in a file")
                .mend("rename one of them")
                .see(file, first.clone(), "first defined here");
            self.found.push(error);
            return false;
        }
        self.modules[module].defined.insert((what, name.to_owned()), span);
        true
    }

    /// The module and last name of `a.b` seen from a module; says so if `a` is unknown.
    fn lookup(&mut self, module: usize, name: &ast::Dotted) -> Option<(usize, String)> {
        let parts = name.parts();
        match &parts[..] {
            [name] => Some((module, name.clone())),
            [space, last] => {
                if let Some(target) = self.modules[module].imports.get(space).copied() {
                    self.modules[module].used.insert(("import", space.clone()));
                    return Some((target, last.clone()));
                }
                let known: Vec<String> = self.modules[module].imports.keys().cloned().collect();
                let mend = match closest(space, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}.{last}`?"),
                    None if space == "base" => "add `import \"std/base@1\";`".to_owned(),
                    None => format!("import a file as `{space}`"),
                };
                let message = format!("nothing is imported as `{space}`");
                self.error(
                    module,
                    Code::UnknownNamespace,
                    name.span(),
                    message,
                    "the part before the dot names an import",
                    mend,
                );
                None
            }
            _ => {
                if !parts.is_empty() {
                    let message = format!("`{}` has too many parts", name.text());
                    let why = "a name is `name` or `import.name`; imports of imports are not seen";
                    self.error(
                        module,
                        Code::UnknownNamespace,
                        name.span(),
                        message,
                        why,
                        "import the file that defines it",
                    );
                }
                None
            }
        }
    }

    /// The value of a variable.
    pub(super) fn variable(&mut self, scope: Scope<'_>, var: &ast::Var) -> Option<Rc<Vec<Item>>> {
        let name = var.target()?;
        if let Some(items) = scope.params.and_then(|p| p.get(&name.text())) {
            return Some(items.clone());
        }
        let (module, last) = self.lookup(scope.module, &name)?;
        self.modules[module].used.insert(("let", last.clone()));
        if self.modules[module].poisoned.contains(&last) {
            self.silent += 1;
            return None;
        }
        if let Some(items) = self.modules[module].lets.get(&last) {
            return Some(items.clone());
        }
        let mut known: Vec<String> = self.modules[module].lets.keys().cloned().collect();
        known.extend(scope.params.into_iter().flatten().map(|(name, _)| name.clone()));
        let mend = match closest(&last, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `${near}`?"),
            None => format!("define it above: `let {last} = …;`"),
        };
        let why = "a variable is a parameter or a `let` further up";
        self.error(
            scope.module,
            Code::UnknownVariable,
            var.span(),
            format!("`${}` is not defined", name.text()),
            why,
            mend,
        );
        None
    }

    /// The abstraction of a name, and its module.
    pub(super) fn abstraction(
        &mut self,
        module: usize,
        name: &ast::Dotted,
    ) -> Option<(usize, String, ast::Abstraction)> {
        let (target, last) = self.lookup(module, name)?;
        self.modules[target].used.insert(("abstraction", last.clone()));
        if let Some(found) = self.modules[target].abstractions.get(&last) {
            return Some((target, last, found.clone()));
        }
        let known: Vec<String> = self.modules[target].abstractions.keys().cloned().collect();
        let mend = match closest(&last, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("define it: `abstraction {last} {{ … }}`"),
            None => format!("there are {}", known.join(", ")),
        };
        let message = format!("the abstraction `{}` is not defined", name.text());
        self.error(
            module,
            Code::UnknownAbstraction,
            name.span(),
            message,
            "a use names an abstraction of this file or of an import",
            mend,
        );
        None
    }

    /// The window of a name, and its module.
    pub(super) fn window_named(&mut self, module: usize, name: &ast::Dotted) -> Option<(usize, String, ast::Window)> {
        let (target, last) = self.lookup(module, name)?;
        self.modules[target].used.insert(("window", last.clone()));
        if let Some(found) = self.modules[target].windows.get(&last) {
            return Some((target, last, found.clone()));
        }
        let known: Vec<String> = self.modules[target].windows.keys().cloned().collect();
        let mend = match closest(&last, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("define it: `window {last} {{ daily 08:00-18:00 zone \"UTC\"; }}`"),
        };
        let message = format!("the window `{}` is not defined", name.text());
        self.error(module, Code::UnknownWindow, name.span(), message, "`during` names a window", mend);
        None
    }
}

/// The name under which a path is imported: its last part without version and ending.
fn namespace(path: &str) -> Option<String> {
    let last = path.rsplit('/').next()?;
    let stem = last.split(['@', '.']).next()?;
    let word = stem.replace('-', "_");
    let first_fits = word.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    let all_fit = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    (first_fits && all_fit).then_some(word)
}

/// The text of a string token that is not a pattern, if it has no control characters.
pub(super) fn clean_text(token: &crate::pdl::SyntaxToken) -> Option<String> {
    (!inner(token).chars().any(char::is_control)).then(|| ast::plain(token))
}
