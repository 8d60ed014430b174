//! Profiles, guards and the abstractions that they use.

use kiln_base::model::{Because, Mode, Outcome, RefKind, Verb, VerbSet};

use crate::pdl::ast::{self, token_span};
use crate::pdl::{Code, Diagnostic, SyntaxToken};

use super::super::normal::{Active, Block, BlockKind, Condition, Effect, Glob, Never, Rule, Selector, SelectorKey};
use super::super::print;
use super::modules::clean_text;
use super::*;

/// A block of the tree.
pub(super) enum Source {
    Profile(ast::Profile),
    Guard(ast::Guard),
}

impl Source {
    fn name(&self) -> Option<ast::Name> {
        match self {
            Source::Profile(p) => p.name(),
            Source::Guard(g) => g.name(),
        }
    }
    fn statements(&self) -> Vec<ast::Statement> {
        match self {
            Source::Profile(p) => p.statements().collect(),
            Source::Guard(g) => g.statements().collect(),
        }
    }
    fn span(&self) -> Range<usize> {
        match self {
            Source::Profile(p) => p.span(),
            Source::Guard(g) => g.span(),
        }
    }
}

/// How a statement came into a block.
struct Via<'v> {
    scope: Scope<'v>,
    /// The outermost use, if any.
    origin: Option<&'v str>,
    /// Of all uses, innermost first.
    because: &'v [Because],
    /// Abstractions being expanded.
    stack: &'v [(usize, String)],
}

impl Resolver<'_> {
    pub(super) fn block(&mut self, module: usize, source: &Source) -> (Block, BlockPlaces) {
        let kind = match source {
            Source::Profile(_) => BlockKind::Profile,
            Source::Guard(_) => BlockKind::Guard,
        };
        let file = self.modules[module].file;
        let name = source.name();
        let span = name.as_ref().map_or(source.span(), |n| n.span());
        let mut block = Block {
            kind,
            name: name.map(|n| n.text()).unwrap_or_default(),
            mode: Mode::Enforce,
            subjects: Vec::new(),
            governs: VerbSet::ALL,
            active: None,
            on_violation: Outcome::default(),
            on_violation_of: BTreeMap::new(),
            rules: Vec::new(),
            nevers: Vec::new(),
            limits: Vec::new(),
        };
        let mut places = BlockPlaces {
            name: Place { file, span: span.clone() },
            subjects: Vec::new(),
            rules: Vec::new(),
            nevers: Vec::new(),
            limits: Vec::new(),
        };
        let statements = source.statements();
        self.heads(module, &statements, &mut block, &mut places);
        let wrote_subject = statements.iter().any(|s| matches!(s, ast::Statement::Subject(_)));
        if block.subjects.is_empty() && !wrote_subject {
            let message = format!("`{}` has no subject", block.name);
            let why = "without a subject it would apply to nothing";
            self.error(
                module,
                Code::NoSubject,
                span,
                message,
                why,
                "add a line such as `subject unit \"nginx.service\";`, or `subject host \"*\";` for every task",
            );
        }
        let via = Via { scope: Scope { module, params: None }, origin: None, because: &[], stack: &[] };
        for statement in statements.iter().filter(|s| !s.is_head()) {
            self.statement(&via, statement, &mut block, &mut places);
        }
        (block, places)
    }

    fn heads(&mut self, module: usize, statements: &[ast::Statement], block: &mut Block, places: &mut BlockPlaces) {
        let file = self.modules[module].file;
        let mut once: BTreeMap<String, Range<usize>> = BTreeMap::new();
        let mut rule_seen = false;
        for statement in statements {
            rule_seen |= !statement.is_head();
            let span = statement.span();
            if !statement.is_head() {
                continue;
            }
            if rule_seen {
                let why = "who a block is about is read before what it says";
                self.error(
                    module,
                    Code::HeadAfterRule,
                    span.clone(),
                    "this line stands after the first rule",
                    why,
                    "move it to the top of the block",
                );
            }
            let mut repeated = |this: &mut Self, what: &str| {
                let previous = once.insert(what.to_owned(), span.clone());
                if let Some(first) = &previous {
                    let error =
                        Diagnostic::error(Code::RepeatedHead, file, span.clone(), format!("`{what}` is said twice"));
                    this.found.push(error.because("it can have one value").mend("keep one of the lines").see(
                        file,
                        first.clone(),
                        "first said here",
                    ));
                }
                previous.is_some()
            };
            match statement {
                ast::Statement::Subject(subject) => {
                    let selectors = self.selectors(module, subject.selectors());
                    if !selectors.is_empty() {
                        block.subjects.push(selectors);
                        places.subjects.push(Place { file, span });
                    }
                }
                ast::Statement::Mode(mode) => {
                    if !repeated(self, "mode")
                        && let Some(word) = mode.word()
                    {
                        block.mode = word.text().parse().unwrap_or(Mode::Enforce);
                    }
                }
                ast::Statement::Governs(governs) => {
                    if block.kind == BlockKind::Guard {
                        let why = "a guard denies what its rules say and nothing else";
                        self.error(module, Code::HeadInGuard, span, "a guard governs nothing", why, "remove the line");
                    } else if !repeated(self, "governs") {
                        block.governs = governs.classes().map(|v| classes(&v)).unwrap_or_default();
                    }
                }
                ast::Statement::Active(active) => {
                    let first = !repeated(self, "active during");
                    if first {
                        self.active(module, active, block);
                    }
                }
                ast::Statement::OnViolation(line) => {
                    let outcome = outcome(line.outcome().as_ref());
                    if outcome == Outcome::default() {
                        let why = "the line changes nothing";
                        self.error(
                            module,
                            Code::Contradiction,
                            span,
                            "the violation has no outcome",
                            why,
                            "add `severity high` or `then kill`, or both",
                        );
                        continue;
                    }
                    match line.classes() {
                        None => {
                            if !repeated(self, "on violation") {
                                block.on_violation = outcome;
                            }
                        }
                        Some(list) => {
                            for verb in classes(&list).iter() {
                                if !repeated(self, &format!("on violation of {verb}")) {
                                    block.on_violation_of.insert(verb, outcome);
                                }
                            }
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn active(&mut self, module: usize, active: &ast::Active, block: &mut Block) {
        let otherwise = active.otherwise();
        if let Some(word) = otherwise.as_ref().filter(|_| block.kind == BlockKind::Guard) {
            let why = "outside its window a guard denies nothing, so nothing can follow";
            self.error(
                module,
                Code::HeadInGuard,
                token_span(word),
                "`else` has no meaning in a guard",
                why,
                "remove `else` and the action",
            );
        }
        let because = self.because(module, active.because().as_ref());
        let Some(window) = active.window().and_then(|w| self.window(module, &w)) else { return };
        block.active = Some(Active { window, otherwise: otherwise.and_then(|w| w.text().parse().ok()), because });
    }

    fn statement(&mut self, via: &Via<'_>, statement: &ast::Statement, block: &mut Block, places: &mut BlockPlaces) {
        let module = via.scope.module;
        let span = statement.span();
        if !self.count(module, span.clone(), 1, 0) {
            return;
        }
        let file = self.modules[module].file;
        let origin = via.origin.map_or_else(|| self.origin(module, span.start), str::to_owned);
        match statement {
            ast::Statement::Rule(rule) => {
                let Some(made) = self.rule(via, rule, block, origin) else { return };
                block.rules.push(made);
                let span = rule.object().map_or(span, |o| o.span());
                places.rules.push(Place { file, span });
            }
            ast::Statement::Never(never) => {
                if block.kind == BlockKind::Profile || via.origin.is_some() {
                    let why = "only a guard can bind all profiles";
                    return self.error(
                        module,
                        Code::Misplaced,
                        span,
                        "`never` stands outside a guard",
                        why,
                        "move it into a `guard`",
                    );
                }
                let Some(written) = never.object() else { return };
                let Some(object) = self.object(via.scope, &written, Effect::Allow) else { return };
                let because = self.reasons(via, never.because().as_ref());
                block.nevers.push(Never { object, because, origin });
                places.nevers.push(Place { file, span: written.span() });
            }
            ast::Statement::Limit(limit) => {
                let because = self.reasons(via, limit.because().as_ref());
                if let Some(made) = self.limit(module, limit, because, origin) {
                    block.limits.push(made);
                    places.limits.push(Place { file, span });
                }
            }
            ast::Statement::Use(line) => self.expand(via, line, &origin, block, places),
            _ => {
                let why = "who it applies to is said by the block that uses the abstraction";
                self.error(
                    module,
                    Code::Misplaced,
                    span,
                    "a head line stands in an abstraction",
                    why,
                    "move it into the profile or guard",
                );
            }
        }
    }

    fn expand(&mut self, via: &Via<'_>, line: &ast::Use, origin: &str, block: &mut Block, places: &mut BlockPlaces) {
        let module = via.scope.module;
        let Some(name) = line.target() else { return };
        let Some((target, last, abstraction)) = self.abstraction(module, &name) else { return };
        let key = (target, last);
        if via.stack.contains(&key) || via.stack.len() >= MAX_DEPTH {
            let message = format!("`{}` uses itself", name.text());
            let why = "an abstraction is replaced by its statements, which would never end";
            return self.error(
                module,
                Code::Recursion,
                line.span(),
                message,
                why,
                "remove this use, or split the abstraction",
            );
        }
        let because = self.reasons(via, line.because().as_ref());
        let Some(params) = self.bind(via.scope, line, target, &abstraction) else { return };
        let stack = [via.stack, &[key]].concat();
        let inner = Via {
            scope: Scope { module: target, params: Some(&params) },
            origin: Some(origin),
            because: &because,
            stack: &stack,
        };
        for statement in abstraction.statements() {
            self.statement(&inner, &statement, block, places);
        }
    }

    /// The parameters of an abstraction for one use.
    fn bind(
        &mut self,
        scope: Scope<'_>,
        line: &ast::Use,
        target: usize,
        abstraction: &ast::Abstraction,
    ) -> Option<Bindings> {
        let params = abstraction.params();
        let args: Vec<ast::Value> = line.args().map(|a| a.values().collect()).unwrap_or_default();
        let signature = params
            .iter()
            .map(|p| {
                format!(
                    "{}: {}",
                    p.name().map(|n| n.text()).unwrap_or_default(),
                    p.kind().map(|k| k.text().to_owned()).unwrap_or_default()
                )
            })
            .collect::<Vec<_>>()
            .join(", ");
        let required = params.iter().rposition(|p| p.values().next().is_none()).map_or(0, |last| last + 1);
        if args.len() > params.len() || args.len() < required {
            let span = line.args().map_or(line.span(), |a| a.span());
            let message = format!(
                "{} arguments are given, {} are needed",
                args.len(),
                if args.len() < required { required } else { params.len() }
            );
            self.error(
                scope.module,
                Code::Arguments,
                span,
                message,
                &format!("the parameters are ({signature})"),
                "give one value for each parameter without a default",
            );
            return None;
        }
        let mut bound = Bindings::new();
        for (n, param) in params.iter().enumerate() {
            let (Some(name), Some(kind)) = (param.name(), param.kind()) else { continue };
            let mut items = Vec::new();
            match args.get(n) {
                Some(value) => self.value(scope, value, &mut items),
                None => {
                    let defaults = Scope { module: target, params: Some(&bound) };
                    param.values().take(1).for_each(|v| self.value(defaults, &v, &mut items));
                }
            }
            let numbers = kind.text() == "port";
            if let Some(wrong) = items.iter().find(|i| matches!(i.kind, ItemKind::Range(..)) != numbers) {
                let (wrong_module, span) = (wrong.module, wrong.span.clone());
                let message = format!("the parameter `{}` is a {}", name.text(), kind.text());
                let mend = if numbers { "give a number or range without quotes" } else { "give a quoted string" };
                self.error(
                    wrong_module,
                    Code::WrongType,
                    span,
                    message,
                    &format!("the parameters are ({signature})"),
                    mend,
                );
                return None;
            }
            if bound.insert(name.text(), Rc::new(items)).is_some() {
                let message = format!("the parameter `{}` is named twice", name.text());
                self.error(
                    target,
                    Code::Duplicate,
                    name.span(),
                    message,
                    "a name means one thing",
                    "rename one of them",
                );
            }
        }
        Some(bound)
    }

    fn rule(&mut self, via: &Via<'_>, rule: &ast::Rule, block: &Block, origin: String) -> Option<Rule> {
        let module = via.scope.module;
        let effect = match rule.effect()?.text() {
            "allow" => Effect::Allow,
            "deny" => Effect::Deny,
            _ => Effect::Watch,
        };
        let written = rule.object()?;
        let object = self.object(via.scope, &written, effect)?;
        if effect == Effect::Allow && block.kind == BlockKind::Guard {
            let why = "a guard only denies, so that adding one never permits anything";
            self.error(
                module,
                Code::AllowInGuard,
                rule.span(),
                "a guard cannot allow",
                why,
                "move the rule into a profile, or write what must be denied",
            );
            return None;
        }
        let mut conditions = Vec::new();
        for during in rule.during() {
            conditions.push(Condition::During(self.window(module, &during.window()?)?));
        }
        for by in rule.by() {
            conditions.push(Condition::By(self.selectors(module, by.selectors())));
        }
        let outcome = outcome(rule.outcome().as_ref());
        if effect == Effect::Allow && outcome != Outcome::default() {
            let span = rule.outcome().map_or(rule.span(), |o| o.span());
            let why = "what is allowed is not a violation";
            self.error(
                module,
                Code::Contradiction,
                span,
                "an `allow` has an outcome",
                why,
                "remove it; use `on violation of …` for what is refused, `watch` to observe",
            );
            return None;
        }
        let because = self.reasons(via, rule.because().as_ref());
        let mut made = Rule { effect, object, conditions, outcome, because, text: String::new(), origin };
        made.text = print::rule_text(&made);
        Some(made)
    }

    /// A statement's own reasons, then those of the uses it came by.
    fn reasons(&mut self, via: &Via<'_>, because: Option<&ast::Because>) -> Vec<Because> {
        let mut all = self.because(via.scope.module, because);
        for more in via.because {
            if !all.contains(more) {
                all.push(more.clone());
            }
        }
        all
    }

    pub(super) fn because(&mut self, module: usize, because: Option<&ast::Because>) -> Vec<Because> {
        let mut refs = Vec::new();
        for reference in because.iter().flat_map(|b| b.refs()) {
            let (Some(kind), Some(token)) = (reference.kind(), reference.text()) else { continue };
            let kind = match kind.text() {
                "manifest" => RefKind::Manifest,
                "control" => RefKind::Control,
                "trace" => RefKind::Trace,
                _ => RefKind::Ticket,
            };
            if let Some(text) = self.text(module, &token) {
                refs.push(Because { kind, text });
            }
        }
        refs
    }

    /// A string that is not a pattern: not empty, no control characters.
    pub(super) fn text(&mut self, module: usize, token: &SyntaxToken) -> Option<String> {
        match clean_text(token) {
            Some(text) if !text.is_empty() => Some(text),
            Some(_) => {
                self.error(
                    module,
                    Code::EmptyValue,
                    token_span(token),
                    "the string is empty",
                    "nothing is named",
                    "write what is meant",
                );
                None
            }
            None => {
                let why = "control characters hide what a policy says";
                self.error(
                    module,
                    Code::BadText,
                    token_span(token),
                    "a control character is in the string",
                    why,
                    "remove it",
                );
                None
            }
        }
    }

    pub(super) fn selectors(&mut self, module: usize, selectors: impl Iterator<Item = ast::Selector>) -> Vec<Selector> {
        let mut list = Vec::new();
        for selector in selectors {
            let (Some(key), Some(token)) = (selector.key(), selector.pattern()) else { continue };
            let item = Item { kind: ItemKind::Text(ast::inner(&token).to_owned()), module, span: token_span(&token) };
            let (key, pattern) = match key.text() {
                "exec" => (SelectorKey::Exec, self.path(&item)),
                "unit" => (SelectorKey::Unit, self.name_pattern(&item)),
                "image" => (SelectorKey::Image, self.name_pattern(&item)),
                "user" => (SelectorKey::User, self.name_pattern(&item)),
                "host" => (SelectorKey::Host, self.name_pattern(&item)),
                _ => (SelectorKey::Label, self.name_pattern(&item)),
            };
            list.extend(pattern.map(|pattern| Selector { key, pattern }));
        }
        list.sort();
        list.dedup();
        list
    }

    fn name_pattern(&mut self, item: &Item) -> Option<Glob> {
        let ItemKind::Text(text) = &item.kind else { return None };
        self.pattern(item.module, &item.span, text).map(|_| Glob(text.clone()))
    }
}

/// The verbs of a list of classes; `write` is four.
pub(super) fn classes(verbs: &ast::Verbs) -> VerbSet {
    verbs.words().fold(VerbSet::EMPTY, |set, word| set.union(verb_set(word.text())))
}

/// The verbs of a word, none if it is not a verb.
pub(super) fn verb_set(word: &str) -> VerbSet {
    match word {
        "write" => VerbSet::WRITE,
        _ => word.parse::<Verb>().into_iter().collect(),
    }
}

pub(super) fn outcome(outcome: Option<&ast::Outcome>) -> Outcome {
    let parse_word = |token: Option<SyntaxToken>| token.map(|t| t.text().to_owned());
    Outcome {
        severity: parse_word(outcome.and_then(|o| o.severity())).and_then(|w| w.parse().ok()),
        action: parse_word(outcome.and_then(|o| o.action())).and_then(|w| w.parse().ok()),
    }
}
