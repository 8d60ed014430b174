//! From the directive tree to facts: what nginx reads, writes, listens on and connects to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::compiled::Compiled;
use super::config::{Config, ConfigError};
use super::context::{Named, named};
use super::directive::Directive;
use super::links;
use super::listen::{At, Listen};
use super::upstream::{self, Endpoint, To};
use crate::manifest::root::Root;
use crate::manifest::{Note, Origin, PathFact};
use crate::model::Proto;

/// What nginx's configuration and its binary declare. Paths are resolved in the image.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NginxFacts {
    /// Configuration files.
    pub config: Vec<PathFact>,
    /// Folders that an `include` with wildcards lists.
    pub directories: Vec<PathFact>,
    /// Sockets it listens on.
    pub listens: Vec<Listen>,
    /// Peers it connects to.
    pub endpoints: Vec<Endpoint>,
    /// `root` and `alias`: folders that are served.
    pub trees: Vec<PathFact>,
    /// Single files read: keys, certificates, password files.
    pub files: Vec<PathFact>,
    /// `load_module`.
    pub modules: Vec<PathFact>,
    /// Logs, appended to.
    pub logs: Vec<PathFact>,
    /// The file of the process id.
    pub pid: Option<PathFact>,
    /// Folders that nginx makes and fills.
    pub temp: Vec<PathFact>,
    /// Served folders that clients may change (`dav_methods`, `proxy_store`).
    pub uploads: Vec<PathFact>,
    /// The workers' user, where it is not root.
    pub user: Option<(String, Origin)>,
    /// `pcre_jit on`.
    pub jit: Option<Origin>,
    /// `worker_rlimit_nofile`.
    pub rlimit: Option<Origin>,
    /// `worker_priority`.
    pub priority: Option<Origin>,
}

/// Directives whose word is a file to read, relative to the folder of the configuration.
const FILES: [&str; 19] = [
    "ssl_certificate",
    "ssl_certificate_key",
    "ssl_client_certificate",
    "ssl_trusted_certificate",
    "ssl_crl",
    "ssl_dhparam",
    "ssl_password_file",
    "ssl_session_ticket_key",
    "ssl_stapling_file",
    "proxy_ssl_certificate",
    "proxy_ssl_certificate_key",
    "proxy_ssl_trusted_certificate",
    "proxy_ssl_password_file",
    "proxy_ssl_crl",
    "grpc_ssl_certificate",
    "grpc_ssl_certificate_key",
    "grpc_ssl_trusted_certificate",
    "uwsgi_ssl_trusted_certificate",
    "auth_basic_user_file",
];

/// The same, relative to the prefix.
const PREFIX_FILES: [&str; 4] = ["geoip_country", "geoip_city", "geoip_org", "xslt_stylesheet"];

struct Walk<'a> {
    root: &'a Root,
    compiled: &'a Compiled,
    /// The folder of the configuration.
    conf: String,
    facts: NginxFacts,
    notes: &'a mut Vec<Note>,
}

/// Reads the configuration that `arguments` (of a command line at `origin`) make nginx use.
pub fn read(
    root: &Root,
    compiled: &Compiled,
    arguments: &[String],
    origin: &Origin,
    notes: &mut Vec<Note>,
) -> Result<NginxFacts, ConfigError> {
    let mut conf = compiled.conf.clone();
    let mut named_by = compiled.origin.clone();
    let mut compiled = compiled.clone();
    let mut globals = Vec::new();
    let mut args = arguments.iter();
    while let Some(arg) = args.next() {
        // nginx takes `-c FILE` and `-cFILE`.
        let Some(flag) = arg.strip_prefix('-').and_then(|a| a.chars().next()) else { continue };
        let mut operand = || if arg.len() > 2 { Some(&arg[2..]) } else { args.next().map(String::as_str) };
        match flag {
            'c' => conf = operand().unwrap_or_default().to_owned(),
            'p' => compiled.prefix = operand().unwrap_or_default().trim_end_matches('/').to_owned(),
            'e' => compiled.error_log = operand().unwrap_or_default().to_owned(),
            'g' => globals.push(operand().unwrap_or_default().to_owned()),
            's' => {
                args.next();
            }
            _ => continue,
        }
        if flag == 'c' {
            named_by = origin.clone();
        }
    }
    if !conf.starts_with('/') {
        conf = format!("{}/{conf}", compiled.prefix);
    }
    let mut config = Config::read(root, &conf, named_by, notes)?;
    for text in globals {
        config.main.extend(Config::globals(root, &text, &conf, origin)?);
    }
    let folder = conf.rsplit_once('/').map_or("", |(d, _)| d).to_owned();
    let mut walk = Walk { root, compiled: &compiled, conf: folder, facts: NginxFacts::default(), notes };
    walk.facts.config = config.files;
    walk.facts.directories = config.directories;
    walk.main(&config.main);
    Ok(walk.finish())
}

impl Walk<'_> {
    fn main(&mut self, main: &[Directive]) {
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
                "http" => self.http(d),
                "stream" | "mail" => self.context(d, Proto::Tcp),
                _ => {}
            }
        }
        if self.facts.user.is_none() {
            self.facts.user = Some((compiled.user.clone(), compiled.origin.clone()));
        }
        if self.facts.pid.is_none() {
            self.facts.pid = self.known(&compiled.pid.clone());
        }
        // Opened before the configuration is read, whatever that says (ngx_log_init() of nginx).
        if !compiled.error_log.is_empty() && compiled.error_log != "stderr" {
            let fact = self.known(&compiled.error_log.clone());
            self.facts.logs.extend(fact);
        }
    }

    /// A compiled-in path.
    fn known(&mut self, path: &str) -> Option<PathFact> {
        let full = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.compiled.prefix) };
        self.resolved(&full, &self.compiled.origin.clone())
    }

    fn resolved(&mut self, path: &str, origin: &Origin) -> Option<PathFact> {
        match self.root.resolve(path) {
            Ok(resolved) => Some(PathFact::new(resolved.path, origin.clone())),
            Err(e) => {
                self.notes.push(Note::new(origin.clone(), e.to_string()));
                None
            }
        }
    }

    /// The path that a word of a directive names.
    fn path(&mut self, d: &Directive, word: Option<&str>, base: &str) -> Option<PathFact> {
        match named(word?, base) {
            Named::Path(path) => self.resolved(&path, &d.origin),
            Named::Pattern { folder, glob } => {
                let real = self.resolved(&folder, &d.origin)?;
                let below = glob.strip_prefix(PathFact::quote(&folder).as_str())?;
                let quoted = PathFact::quote(real.path.trim_end_matches('/'));
                Some(PathFact { path: format!("{quoted}{below}"), pattern: true, origin: d.origin.clone() })
            }
            Named::Unknown => {
                let why = format!(
                    "`{} {}` begins with a variable: add the rule that it needs by hand",
                    d.name,
                    d.args.join(" ")
                );
                self.notes.push(Note::new(d.origin.clone(), why));
                None
            }
        }
    }

    fn log(&mut self, d: &Directive) {
        match d.arg() {
            None | Some("off" | "stderr") => {}
            Some(text) if text.starts_with("syslog:") => {
                let endpoint = upstream::of_syslog(text, &d.origin);
                self.facts.endpoints.extend(endpoint);
            }
            Some(text) if text.starts_with("memory:") => {}
            word => {
                let fact = self.path(d, word, &self.compiled.prefix.clone());
                self.facts.logs.extend(fact);
            }
        }
    }

    fn http(&mut self, http: &Directive) {
        let compiled = self.compiled;
        for (directive, path) in &compiled.temp {
            if !http.block.iter().any(|d| d.name == *directive) {
                let fact = self.known(path);
                self.facts.temp.extend(fact);
            }
        }
        if !http.block.iter().any(|d| d.name == "access_log") {
            let fact = self.known(&compiled.access_log.clone());
            self.facts.logs.extend(fact);
        }
        let has = |block: &[Directive], name: &str| block.iter().any(|d| d.name == name);
        for server in http.block.iter().filter(|d| d.name == "server") {
            if !has(&server.block, "listen") {
                self.facts.listens.push(Listen::default_of(server));
            }
            if !has(&http.block, "root") && !has(&server.block, "root") && !has(&server.block, "return") {
                let fact = self.resolved(&format!("{}/html", compiled.prefix), &server.origin);
                self.facts.trees.extend(fact);
            }
        }
        self.context(http, Proto::Tcp);
    }

    /// A context of servers, `http`, `stream` or `mail`.
    fn context(&mut self, context: &Directive, proto: Proto) {
        let upstreams: BTreeMap<&str, &Directive> =
            context.block.iter().filter(|d| d.name == "upstream").filter_map(|d| Some((d.arg()?, d))).collect();
        for d in upstreams.values() {
            self.facts.endpoints.extend(upstream::of_upstream(d, proto));
        }
        self.block(context, &upstreams, proto);
    }

    fn block(&mut self, block: &Directive, upstreams: &BTreeMap<&str, &Directive>, proto: Proto) {
        let prefix = self.compiled.prefix.clone();
        let conf = self.conf.clone();
        for d in &block.block {
            match d.name.as_str() {
                "listen" if block.name == "server" => match Listen::of(d) {
                    Some(listen) => self.facts.listens.push(listen),
                    None => self.notes.push(Note::new(d.origin.clone(), "this address is not understood".to_owned())),
                },
                "root" | "alias" => {
                    let fact = self.path(d, d.arg(), &prefix);
                    self.facts.trees.extend(fact);
                }
                "access_log" | "error_log" => self.log(d),
                "resolver" => self.facts.endpoints.extend(upstream::of_resolver(d)),
                "dav_methods" if !d.has("off") => self.uploads(block, d),
                "proxy_store" | "fastcgi_store" | "uwsgi_store" | "scgi_store" if d.has("on") => self.uploads(block, d),
                name if upstream::is_pass(name) => {
                    let udp = block.block.iter().any(|l| l.name == "listen" && (l.has("udp")));
                    let proto = if udp { Proto::Udp } else { proto };
                    self.facts.endpoints.extend(upstream::of_pass(d, upstreams, proto));
                }
                name if name.ends_with("_temp_path") || name.ends_with("_cache_path") => {
                    let fact = self.path(d, d.arg(), &prefix);
                    self.facts.temp.extend(fact);
                }
                name if FILES.contains(&name) || PREFIX_FILES.contains(&name) => self.file(d, name, &conf, &prefix),
                _ => {}
            }
            if !d.block.is_empty() && d.name != "upstream" {
                self.block(d, upstreams, proto);
            }
        }
    }

    fn file(&mut self, d: &Directive, name: &str, conf: &str, prefix: &str) {
        match d.arg() {
            // `data:` holds the key itself, `engine:` a name within an OpenSSL engine.
            None | Some("off") => {}
            Some(text) if text.starts_with("data:") => {}
            Some(text) if text.starts_with("engine:") || text.starts_with("store:") => {
                let why = "a key of an engine or store: add the rules that it needs by hand".to_owned();
                self.notes.push(Note::new(d.origin.clone(), why));
            }
            word => {
                let fact = self.path(d, word, if PREFIX_FILES.contains(&name) { prefix } else { conf });
                self.facts.files.extend(fact);
            }
        }
    }

    /// The folder that the block's `root` or `alias` names can be written to.
    fn uploads(&mut self, block: &Directive, d: &Directive) {
        match block.block.iter().find(|r| r.name == "root" || r.name == "alias") {
            Some(at) => {
                let fact = self.path(at, at.arg(), &self.compiled.prefix.clone());
                self.facts.uploads.extend(fact.map(|f| PathFact { origin: d.origin.clone(), ..f }));
            }
            None => {
                let why = format!("`{}` without a `root` beside it: add the write rule by hand", d.name);
                self.notes.push(Note::new(d.origin.clone(), why));
            }
        }
    }

    fn finish(self) -> NginxFacts {
        let mut facts = self.facts;
        // The kernel knows a socket by its real path.
        let real = |path: &mut String| {
            if let Ok(resolved) = self.root.resolve(path) {
                *path = resolved.path;
            }
        };
        for listen in &mut facts.listens {
            if let At::Unix(path) = &mut listen.at {
                real(path);
            }
        }
        for endpoint in &mut facts.endpoints {
            if let To::Unix(path) = &mut endpoint.to {
                real(path);
            }
        }
        let lists = [
            &mut facts.trees,
            &mut facts.files,
            &mut facts.modules,
            &mut facts.logs,
            &mut facts.temp,
            &mut facts.uploads,
        ];
        for list in lists {
            list.sort();
            list.dedup_by(|a, b| a.path == b.path && a.pattern == b.pattern);
        }
        let linked = links::outside(self.root, &facts.trees, self.notes);
        facts.trees.extend(linked.folders);
        facts.files.extend(linked.files);
        facts.user = facts.user.filter(|(name, _)| name != "root");
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::root::tests_support::image;

    fn facts(conf: &str, args: &[&str]) -> (NginxFacts, Vec<Note>) {
        let (_dir, root) = image(&[("etc/nginx/nginx.conf", conf), ("var/run", "-> /run"), ("run/x", "")]);
        let compiled = Compiled::of("/usr/sbin/nginx", b"");
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        let mut notes = Vec::new();
        let facts = read(&root, &compiled, &args, &Origin::line("/u", 9), &mut notes).unwrap();
        (facts, notes)
    }
    fn paths(list: &[PathFact]) -> Vec<&str> {
        list.iter().map(|f| f.path.as_str()).collect()
    }

    #[test]
    fn a_server_with_everything() {
        let (f, notes) = facts(
            "user www-data; pid /var/run/n.pid; load_module modules/a.so; pcre_jit on;
             http { upstream app { server 10.0.0.7:81; server unix:/run/app.sock backup; }
               server { listen 80; listen [::1]:443 ssl; root /srv/www; ssl_certificate c.pem; access_log logs/$host.log;
                 location / { proxy_pass http://app; } location /d { alias /srv/$uri/d; }
                 location /up { root /srv/up; dav_methods PUT; } location /x { root $document_root; } }
               server { return 301 https://$host; } }",
            &[],
        );
        assert_eq!(f.pid.unwrap().path, "/run/n.pid");
        assert_eq!(paths(&f.modules), ["/usr/share/nginx/modules/a.so"]);
        assert_eq!(paths(&f.files), ["/etc/nginx/c.pem"]);
        assert_eq!(paths(&f.trees), ["/srv/**/d", "/srv/up", "/srv/www"]);
        assert_eq!(paths(&f.uploads), ["/srv/up"]);
        assert_eq!(
            paths(&f.logs),
            ["/usr/share/nginx/logs/*.log", "/var/log/nginx/access.log", "/var/log/nginx/error.log"]
        );
        assert_eq!(f.temp.len(), 5);
        assert_eq!((f.listens.len(), f.endpoints.len()), (3, 2));
        assert_eq!(f.user.unwrap().0, "www-data");
        assert!(f.jit.is_some());
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn the_command_line_counts() {
        let (f, _) = facts("user a;", &["-g", "user root; pid /x.pid;", "-s", "reload"]);
        assert_eq!(f.user, None);
        assert_eq!(f.pid.unwrap().origin.to_string(), "/u:9");
    }
}
