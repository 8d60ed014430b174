//! The walk over the directive tree.

use std::collections::{BTreeMap, BTreeSet};

use kiln_base::model::Proto;

use super::compiled::Compiled;
use super::constants::Constants;
use super::context::{Named, named};
use super::directive::Directive;
use super::facts::NginxFacts;
use super::known::{self, Holds};
use super::listen;
use super::upstream::{self, Pass};
use crate::manifest::net::{Endpoint, Listen, To};
use crate::manifest::root::Root;
use crate::manifest::{Note, Origin, PathFact};

/// What the walk is in.
struct Context<'a> {
    upstreams: BTreeMap<&'a str, &'a Directive>,
    /// The protocols over which each upstream is asked.
    asked: BTreeMap<&'a str, BTreeSet<Proto>>,
    constants: Constants,
}

pub(super) struct Walk<'a> {
    pub root: &'a Root,
    pub compiled: &'a Compiled,
    /// The folder of the configuration.
    pub conf: String,
    pub facts: NginxFacts,
    pub notes: &'a mut Vec<Note>,
    /// Directives that are not known, each said once.
    unknown: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    pub fn new(root: &'a Root, compiled: &'a Compiled, conf: String, notes: &'a mut Vec<Note>) -> Walk<'a> {
        Walk { root, compiled, conf, facts: NginxFacts::default(), notes, unknown: BTreeSet::new() }
    }

    pub fn main(&mut self, main: &[Directive]) {
        let compiled = self.compiled;
        for d in main {
            match d.name.as_str() {
                "user" => self.facts.user = d.arg().map(|u| (u.to_owned(), d.origin.clone())),
                "load_module" => {
                    let fact = self.path(d, d.arg(), &compiled.prefix);
                    self.facts.modules.extend(fact);
                }
                "pid" => self.facts.pid = self.path(d, d.arg(), &compiled.prefix),
                "pcre_jit" if d.has("on") => self.facts.jit = Some(d.origin.clone()),
                "worker_rlimit_nofile" => self.facts.rlimit = Some(d.origin.clone()),
                "worker_priority" => self.facts.priority = Some(d.origin.clone()),
                "error_log" => self.log(d),
                "google_perftools_profiles" => {
                    let fact = self.path(d, d.arg(), &compiled.prefix);
                    self.facts.logs.extend(fact.map(|f| PathFact {
                        path: format!("{}.*", f.glob()),
                        pattern: true,
                        ..f
                    }));
                }
                "http" => self.http(d),
                "stream" | "mail" | "rtmp" => {
                    self.context(d);
                    if d.name == "mail" {
                        self.note(d, "the servers behind the mail proxy are those that auth_http's answers name: add `allow connect tcp to … port …` for them by hand");
                    }
                }
                _ => self.strange(d),
            }
        }
        if self.facts.user.is_none() {
            self.facts.user = Some((compiled.user.clone(), compiled.origin.clone()));
        }
        if self.facts.pid.is_none() {
            self.facts.pid = self.known(&compiled.pid);
        }
        // Opened before the configuration is read, whatever that says (ngx_log_init() of nginx).
        if !compiled.error_log.is_empty() && compiled.error_log != "stderr" {
            let fact = self.known(&compiled.error_log);
            self.facts.logs.extend(fact);
        }
    }

    /// Says of a directive that is not known here that it is not.
    fn strange(&mut self, d: &Directive) {
        let block = !d.block.is_empty() && known::holds(&d.name) == Holds::Unknown;
        if (known::is_known(&d.name) && !block) || !self.unknown.insert(d.name.clone()) {
            return;
        }
        let text = format!(
            "`{}` is a directive of a module that is not known here: what it opens, listens on and connects to is not \
             derived",
            d.name
        );
        self.notes.push(Note::new(d.origin.clone(), text));
    }

    pub fn note(&mut self, d: &Directive, text: impl Into<String>) {
        self.notes.push(Note::new(d.origin.clone(), text));
    }

    /// A compiled-in path.
    fn known(&mut self, path: &str) -> Option<PathFact> {
        let full = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.compiled.prefix) };
        self.resolved(&full, &self.compiled.origin.clone())
    }

    pub fn resolved(&mut self, path: &str, origin: &Origin) -> Option<PathFact> {
        match self.root.resolve(path) {
            Ok(resolved) => Some(PathFact::new(resolved.path, origin.clone())),
            Err(e) => {
                self.notes.push(Note::new(origin.clone(), e.to_string()));
                None
            }
        }
    }

    /// The path that a word of a directive names.
    pub fn path(&mut self, d: &Directive, word: Option<&str>, base: &str) -> Option<PathFact> {
        match named(word?, base) {
            Named::Path(path) => self.resolved(&path, &d.origin),
            Named::Pattern { folder, glob } => {
                let real = self.resolved(&folder, &d.origin)?;
                let below = glob.strip_prefix(PathFact::quote(&folder).as_str())?;
                let quoted = PathFact::quote(real.path.trim_end_matches('/'));
                Some(PathFact { path: format!("{quoted}{below}"), pattern: true, origin: d.origin.clone() })
            }
            Named::Unknown => {
                let words = d.args.join(" ");
                self.note(
                    d,
                    format!("`{} {words}` begins with a variable: add the rule that it needs by hand", d.name),
                );
                None
            }
        }
    }

    fn log(&mut self, d: &Directive) {
        match d.arg() {
            // `error_log` has no `off`: it is a file of that name.
            None | Some("stderr") => {}
            Some("off") if d.name == "access_log" => {}
            Some(text) if text.starts_with("syslog:") => {
                let endpoint = upstream::of_syslog(text, &d.origin);
                self.facts.endpoints.extend(endpoint);
            }
            Some(text) if text.starts_with("memory:") => {}
            word => {
                let fact = self.path(d, word, &self.compiled.prefix);
                self.facts.logs.extend(fact);
            }
        }
    }

    fn http(&mut self, http: &Directive) {
        let compiled = self.compiled;
        let own: BTreeSet<&str> = http.block.iter().map(|d| d.name.as_str()).collect();
        for (directive, path) in &compiled.temp {
            if !own.contains(directive) {
                let fact = self.known(path);
                self.facts.temp.extend(fact);
            }
        }
        if !own.contains("access_log") {
            let fact = self.known(&compiled.access_log);
            self.facts.logs.extend(fact);
        }
        let has = |block: &[Directive], name: &str| block.iter().any(|d| d.name == name);
        for server in http.block.iter().filter(|d| d.name == "server") {
            if !has(&server.block, "listen") {
                self.facts.listens.push(listen::default_of(server));
            }
            if !own.contains("root") && !has(&server.block, "root") && !has(&server.block, "return") {
                let fact = self.resolved(&format!("{}/html", compiled.prefix), &server.origin);
                self.facts.trees.extend(fact);
            }
        }
        self.context(http);
    }

    /// A context of servers: `http`, `stream`, `mail`, `rtmp`.
    fn context(&mut self, context: &Directive) {
        let upstreams = context.block.iter().filter(|d| d.name == "upstream").filter_map(|d| Some((d.arg()?, d)));
        let mut inside =
            Context { upstreams: upstreams.collect(), asked: BTreeMap::new(), constants: Constants::of(context) };
        self.block(context, &mut inside);
        for (name, upstream) in &inside.upstreams {
            for state in upstream.block.iter().filter(|d| d.name == "state") {
                self.state(state, state.arg());
            }
            // One that nothing names may be chosen by a variable or a module.
            let protos = inside.asked.remove(name).unwrap_or_else(|| BTreeSet::from([Proto::Tcp]));
            for proto in protos {
                self.facts.endpoints.extend(upstream::of_upstream(upstream, proto));
            }
        }
    }

    fn block(&mut self, block: &Directive, inside: &mut Context<'_>) {
        let (prefix, conf) = (self.compiled.prefix.clone(), self.conf.clone());
        let udp = block.name == "server" && block.block.iter().any(|l| l.name == "listen" && l.has("udp"));
        let proto = if udp { Proto::Udp } else { Proto::Tcp };
        let uploads = block.block.iter().find(|r| r.name == "root" || r.name == "alias");
        for d in &block.block {
            match d.name.as_str() {
                "listen" if block.name == "server" => match listen::of(d) {
                    Some(listen) => self.facts.listens.push(listen),
                    None => self.note(d, "this address is not understood"),
                },
                "root" | "alias" => {
                    let fact = self.path(d, d.arg(), &prefix);
                    self.facts.trees.extend(fact);
                }
                "access_log" | "error_log" => self.log(d),
                "resolver" => {
                    self.facts.endpoints.extend(upstream::of_resolver(d));
                    if d.args.iter().any(|a| a.starts_with("local=")) {
                        self.note(d, "the name servers are those of the running machine: add their rules by hand");
                    }
                }
                "dav_methods" if !d.has("off") => self.uploads(uploads, d),
                "proxy_store" | "fastcgi_store" | "uwsgi_store" | "scgi_store" => match d.arg() {
                    None | Some("off") => {}
                    Some("on") => self.uploads(uploads, d),
                    // A path of its own, most often with variables.
                    word => {
                        let fact = self.path(d, word, &prefix);
                        self.facts.logs.extend(fact);
                    }
                },
                "endpoint" if block.name == "otel_exporter" => match upstream::of_endpoint(d) {
                    Some(endpoint) => self.facts.endpoints.push(endpoint),
                    None => self.note(d, "this address is not understood: add the rule by hand"),
                },
                "trusted_certificate" if block.name == "otel_exporter" => self.secret(d, &conf),
                "interval" | "batch_size" | "batch_count" | "header" if block.name == "otel_exporter" => {}
                name if upstream::is_pass(name) => self.pass(d, inside, proto),
                name if name.ends_with("_bind") && known::is_known(name) => self.bind(d, proto),
                name if name.ends_with("_temp_path") || name.ends_with("_cache_path") => {
                    let fact = self.path(d, d.arg(), &prefix);
                    self.facts.temp.extend(fact);
                }
                _ if self.file(d) => {}
                _ => self.strange(d),
            }
            if !d.block.is_empty() && d.name != "upstream" && known::holds(&d.name) == Holds::Directives {
                self.block(d, inside);
            }
        }
    }

    fn pass(&mut self, d: &Directive, inside: &mut Context<'_>, proto: Proto) {
        let Some(text) = d.arg() else { return };
        for text in inside.constants.expand(text) {
            match upstream::of_pass(&d.name, &text, |u| inside.upstreams.contains_key(u)) {
                Some(Pass::To(To::Variable(_))) if text != d.args[0] => {
                    let to = To::Variable(d.args[0].clone());
                    self.facts.endpoints.push(Endpoint { to, proto, origin: d.origin.clone() });
                }
                Some(Pass::To(to)) => self.facts.endpoints.push(Endpoint { to, proto, origin: d.origin.clone() }),
                Some(Pass::Upstream(name)) => {
                    if let Some((name, _)) = inside.upstreams.get_key_value(name.as_str()) {
                        inside.asked.entry(name).or_default().insert(proto);
                    }
                }
                None if d.name == "push" || d.name == "pull" || text.is_empty() => {}
                None => self.note(d, format!("`{text}` is not an address that is understood: add the rule by hand")),
            }
        }
    }

    /// A file that nginx keeps what it knows in: it is read, written anew beside itself, and renamed.
    pub(super) fn state(&mut self, d: &Directive, word: Option<&str>) {
        let prefix = self.compiled.prefix.clone();
        if let Some(fact) = self.path(d, word, &prefix) {
            self.facts.states.push(fact);
        }
    }

    /// `proxy_bind` and its kin.
    fn bind(&mut self, d: &Directive, proto: Proto) {
        match d.arg() {
            None | Some("off") => return,
            Some(text) => match upstream::of_bind(text) {
                Some(at) => self.facts.binds.push(Listen { at, proto, origin: d.origin.clone() }),
                None => {
                    let text = format!(
                        "`{} {text}` binds connections to an address that is not known here: add \
                                        `allow bind {} on …` by hand",
                        d.name,
                        proto.name()
                    );
                    self.note(d, text);
                }
            },
        }
        if d.has("transparent") {
            self.facts.transparent = Some(d.origin.clone());
        }
    }

    /// The folder that `root` or `alias` beside it names can be written to.
    fn uploads(&mut self, at: Option<&Directive>, d: &Directive) {
        match at {
            Some(at) => {
                let fact = self.path(at, at.arg(), &self.compiled.prefix);
                self.facts.uploads.extend(fact.map(|f| PathFact { origin: d.origin.clone(), ..f }));
            }
            None => self.note(d, format!("`{}` without a `root` beside it: add the write rule by hand", d.name)),
        }
    }
}
