//! What rules are about: files, sockets, names of the other classes.

use kiln_base::model::{Cidr, KernelOp, PortRange, Proto, Verb, VerbSet, capability_names, capability_number};

use crate::pdl::ast::{self, token_span};
use crate::pdl::{Code, SyntaxToken, closest};

use super::super::normal::{Addresses, Effect, Glob, Object};
use super::super::syscalls;
use super::block::verb_set;
use super::*;

impl Resolver<'_> {
    pub(super) fn object(&mut self, scope: Scope<'_>, object: &ast::Object, effect: Effect) -> Option<Object> {
        match object {
            ast::Object::File(file) => self.file_object(scope, file, effect),
            ast::Object::Net(net) => self.net_object(scope, net),
            ast::Object::Unix(unix) => {
                let verbs = self.verbs(scope.module, unix.verbs())?;
                let paths = self.sockets(scope, unix.terms())?;
                let except = match unix.except() {
                    Some(except) => self.sockets(scope, except.terms())?,
                    None => Vec::new(),
                };
                Some(Object::Unix { verbs, paths, except })
            }
            ast::Object::Names(names) => self.names_object(scope, names),
        }
    }

    /// The verbs of a rule; the same one twice is a mistake.
    fn verbs(&mut self, module: usize, verbs: Option<ast::Verbs>) -> Option<VerbSet> {
        let mut set = VerbSet::EMPTY;
        for word in verbs?.words() {
            let more = verb_set(word.text());
            if !set.intersection(more).is_empty() {
                let message = format!("`{}` is named twice", word.text());
                let why = if word.text() == "write" || VerbSet::WRITE.intersection(more) == more {
                    "write is modify, create, delete and setattr"
                } else {
                    "a verb is named once"
                };
                self.error(module, Code::Contradiction, token_span(&word), message, why, "remove one of the two");
            }
            set = set.union(more);
        }
        (!set.is_empty()).then_some(set)
    }

    fn file_object(&mut self, scope: Scope<'_>, file: &ast::FileObject, effect: Effect) -> Option<Object> {
        let module = scope.module;
        let verbs = self.verbs(module, file.verbs())?;
        let paths = self.paths(scope, file.terms());
        let except = match file.except() {
            Some(except) => self.paths(scope, except.terms()),
            None => Some(Vec::new()),
        };
        let mut switch = None;
        if let Some(written) = file.switch() {
            let name = written.profile()?;
            if verbs != [Verb::Exec].into_iter().collect() || effect != Effect::Allow {
                let why = "a task changes its profile when it executes a program that it may execute";
                self.error(
                    module,
                    Code::Contradiction,
                    written.span(),
                    "`as` needs `allow exec` alone",
                    why,
                    "write a rule of its own: `allow exec \"/usr/bin/x\" as other;`",
                );
                return None;
            }
            switch = Some(name.text().to_owned());
        }
        Some(Object::File { verbs, paths: paths?, except: except?, switch })
    }

    /// Patterns of paths, sorted; none if one is wrong or there is none.
    fn paths(&mut self, scope: Scope<'_>, terms: Option<ast::Terms>) -> Option<Vec<Glob>> {
        let items = self.terms(scope, terms);
        let mut paths: Vec<Glob> = items.iter().filter_map(|i| self.path(i)).collect();
        let complete = paths.len() == items.len();
        paths.sort();
        paths.dedup();
        (complete && !paths.is_empty()).then_some(paths)
    }

    /// Unix sockets: paths and abstract names.
    fn sockets(&mut self, scope: Scope<'_>, terms: Option<ast::Terms>) -> Option<Vec<Glob>> {
        let items = self.terms(scope, terms);
        let mut paths = Vec::new();
        for item in &items {
            match &item.kind {
                ItemKind::Text(text) if text.starts_with('@') => {
                    self.pattern(item.module, &item.span, text)?;
                    paths.push(Glob(text.clone()));
                }
                _ => paths.push(self.path(item)?),
            }
        }
        paths.sort();
        paths.dedup();
        (!paths.is_empty()).then_some(paths)
    }

    fn net_object(&mut self, scope: Scope<'_>, net: &ast::NetObject) -> Option<Object> {
        let module = scope.module;
        let verbs = self.verbs(module, net.verbs())?;
        let proto: Proto = net.protocol()?.text().parse().ok()?;
        let addresses = match net.address() {
            None => Addresses::Blocks(vec![Cidr::ANY]),
            Some(address) => {
                self.preposition(module, verbs, &address)?;
                self.addresses(scope, &address)?
            }
        };
        let mut ports = Vec::new();
        match net.ports() {
            None => ports.push(PortRange::ANY),
            Some(written) if proto == Proto::Icmp => {
                let why = "ICMP has no ports";
                self.error(module, Code::Contradiction, written.span(), "`icmp` has a `port`", why, "remove the ports");
                return None;
            }
            Some(written) => {
                let mut items = Vec::new();
                let before = self.mistakes();
                written.ports().flat_map(|p| p.values()).for_each(|v| self.value(scope, &v, &mut items));
                if items.is_empty() && self.mistakes() == before && written.ports().any(|p| p.values().next().is_some())
                {
                    let why = "a rule with no port matches nothing";
                    self.error(
                        module,
                        Code::EmptyValue,
                        written.span(),
                        "the list of ports is empty",
                        why,
                        "put a port into the list, or leave `port` out for any",
                    );
                }
                for item in &items {
                    ports.push(self.port(item)?);
                }
            }
        }
        (!ports.is_empty()).then(|| Object::Net { verbs, proto, addresses, ports: merged(ports) })
    }

    fn preposition(&mut self, module: usize, verbs: VerbSet, address: &ast::Address) -> Option<()> {
        let word = address.preposition()?;
        let (verb, right) = verbs.iter().find_map(|verb| Some((verb, verb.preposition()?)))?;
        if word.text() == right {
            return Some(());
        }
        let message = format!("`{verb}` goes with `{right}`, not `{}`", word.text());
        let why = "connect to the peer, accept from the peer, bind on an own address";
        self.error(module, Code::Contradiction, token_span(&word), message, why, format!("write `{right}`"));
        None
    }

    fn addresses(&mut self, scope: Scope<'_>, address: &ast::Address) -> Option<Addresses> {
        if let Some(dns) = address.dns() {
            let token = dns.pattern()?;
            let pattern = self.text(scope.module, &token)?;
            self.pattern(scope.module, &token_span(&token), &pattern)?;
            return Some(Addresses::Dns(looked_up(&pattern)));
        }
        let mut blocks = match address.word().as_ref().map(SyntaxToken::text) {
            Some("any") => vec![Cidr::ANY],
            Some("loopback") => vec![Cidr::LOOPBACK_V4, Cidr::LOOPBACK_V6],
            _ => {
                let items = self.terms(scope, address.terms());
                let mut blocks = Vec::new();
                for item in &items {
                    blocks.push(self.cidr(item)?);
                }
                blocks
            }
        };
        blocks.sort();
        blocks.dedup();
        (!blocks.is_empty()).then_some(Addresses::Blocks(blocks))
    }

    fn names_object(&mut self, scope: Scope<'_>, names: &ast::NamesObject) -> Option<Object> {
        let class = names.class()?;
        let mut words: Vec<(usize, Range<usize>, String)> = Vec::new();
        for name in names.names()?.names() {
            match name.var() {
                Some(var) => {
                    let items = self.variable(scope, &var)?;
                    if items.is_empty() {
                        let why = "a rule with nothing in its list matches nothing";
                        self.error(
                            scope.module,
                            Code::EmptyValue,
                            var.span(),
                            "the list is empty",
                            why,
                            "put a name into the list",
                        );
                        return None;
                    }
                    for item in items.iter() {
                        let text = self.text_name(item)?;
                        words.push((item.module, item.span.clone(), text));
                    }
                }
                None => words.push((scope.module, name.span(), name.word()?.text().to_owned())),
            }
        }
        if !self.count(scope.module, names.span(), 0, words.len()) {
            return None;
        }
        let any = words.iter().any(|(_, _, w)| w == "any");
        if any && words.len() > 1 {
            self.error(
                scope.module,
                Code::Contradiction,
                names.span(),
                "`any` stands beside other names",
                "any is all of them",
                "keep `any` alone, or remove it",
            );
            return None;
        }
        match class.text() {
            "capability" => {
                let mut numbers = Vec::new();
                for word in &words {
                    match any {
                        true => numbers.extend(0..64),
                        false => numbers.push(self.known(word, "capability", capability_names(), capability_number)?),
                    }
                }
                numbers.sort_unstable();
                numbers.dedup();
                Some(Object::Capability { numbers })
            }
            "kernel" => {
                let all = KernelOp::ALL.iter().map(|op| op.name());
                let mut ops = Vec::new();
                for word in &words {
                    match any {
                        true => ops.extend(KernelOp::ALL),
                        false => ops.push(self.known(word, "kernel operation", all.clone(), |w| w.parse().ok())?),
                    }
                }
                ops.sort_unstable();
                ops.dedup();
                Some(Object::Kernel { ops })
            }
            _ => {
                let mut list = Vec::new();
                for word in &words {
                    match any {
                        true => list.push("any".to_owned()),
                        false => {
                            list.push(self.known(word, "system call or group", syscalls::all(), syscalls::canonical)?)
                        }
                    }
                }
                list.sort_unstable();
                list.dedup();
                Some(Object::Syscall { names: list })
            }
        }
    }

    /// The value of a name of a class; says which was meant if there is none.
    fn known<'n, T>(
        &mut self,
        (module, span, word): &(usize, Range<usize>, String),
        what: &str,
        all: impl Iterator<Item = &'n str>,
        find: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        if let Some(found) = find(word) {
            return Some(found);
        }
        let lower = word.to_ascii_lowercase();
        let bare = lower.strip_prefix("cap_").unwrap_or(&lower).to_owned();
        let mend = match find(&bare) {
            Some(_) => format!("write `{bare}`"),
            None => match closest(&bare, all) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "docs/pdl.md lists the names".to_owned(),
            },
        };
        self.error(
            *module,
            Code::UnknownName,
            span.clone(),
            format!("`{word}` is not a {what}"),
            &format!("a {what} or `any` belongs here"),
            mend,
        );
        None
    }
}

/// Ranges sorted, overlapping and touching ones joined.
fn merged(mut ports: Vec<PortRange>) -> Vec<PortRange> {
    ports.sort();
    let mut out: Vec<PortRange> = Vec::new();
    for range in ports {
        match out.last_mut() {
            Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => last.last = last.last.max(range.last),
            _ => out.push(range),
        }
    }
    out
}

/// A pattern of names as they are matched: in lower case, without a final dot (quoted or not).
fn looked_up(pattern: &str) -> String {
    let name = pattern.to_ascii_lowercase();
    match name.strip_suffix('.').filter(|rest| !rest.is_empty()) {
        Some(rest) if rest.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1 => {
            rest[..rest.len() - 1].to_owned()
        }
        Some(rest) => rest.to_owned(),
        None => name,
    }
}
