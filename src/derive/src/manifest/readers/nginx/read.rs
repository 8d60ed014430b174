//! From the directive tree to facts: what nginx reads, writes, listens on and connects to.

use super::compiled::Compiled;
use super::config::{Config, ConfigError};
use super::facts::NginxFacts;
use super::links;
use super::options;
use super::walk::Walk;
use crate::manifest::net::{At, To};
use crate::manifest::root::Root;
use crate::manifest::systemd::CommandLine;
use crate::manifest::{Note, Origin};

/// Reads the configuration that the command line at `origin` makes nginx use.
pub fn read(
    root: &Root,
    compiled: &Compiled,
    line: &CommandLine,
    origin: &Origin,
    notes: &mut Vec<Note>,
) -> Result<NginxFacts, ConfigError> {
    let mut compiled = compiled.clone();
    let options = options::read(&line.arguments);
    let known = |option: Option<(usize, String)>| match option {
        Some((at, _)) if line.unknown.contains(&at) => {
            Err(ConfigError::Unknown { origin: origin.clone(), word: line.arguments[at].clone() })
        }
        other => Ok(other.map(|(_, text)| text)),
    };
    if !compiled.stated {
        let text = "the program does not state what it was configured with: Debian's paths are taken";
        notes.push(Note::new(origin.clone(), text));
    }
    if let Some(prefix) = known(options.prefix)? {
        prefix.trim_end_matches('/').clone_into(&mut compiled.prefix);
    }
    if let Some(log) = known(options.error_log)? {
        compiled.error_log = log;
    }
    let (mut conf, named_by) = match known(options.conf)? {
        Some(conf) => (conf, origin.clone()),
        None => (compiled.conf.clone(), compiled.origin.clone()),
    };
    if !conf.starts_with('/') {
        conf = format!("{}/{conf}", compiled.prefix);
    }
    let mut config = Config::read(root, &conf, named_by, notes)?;
    if let Some(text) = known(options.globals)? {
        config.main.extend(Config::globals(root, &text, &conf, origin)?);
    }
    let folder = conf.rsplit_once('/').map_or("", |(d, _)| d).to_owned();
    let mut walk = Walk::new(root, &compiled, folder, notes);
    walk.facts.config = config.files;
    walk.facts.directories = config.directories;
    walk.main(&config.main);
    let facts = walk.facts;
    Ok(finish(root, facts, notes))
}

fn finish(root: &Root, mut facts: NginxFacts, notes: &mut Vec<Note>) -> NginxFacts {
    // The kernel knows a socket by its real path.
    let real = |path: &mut String| {
        if let Ok(resolved) = root.resolve(path) {
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
        &mut facts.libraries,
        &mut facts.logs,
        &mut facts.temp,
        &mut facts.uploads,
        &mut facts.states,
    ];
    for list in lists {
        list.sort();
        list.dedup_by(|a, b| a.path == b.path && a.pattern == b.pattern);
    }
    let linked = links::outside(root, &facts.trees, notes);
    facts.trees.extend(linked.folders);
    facts.files.extend(linked.files);
    facts.user = facts.user.filter(|(name, _)| name != "root");
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::PathFact;
    use crate::manifest::root::tests_support::image;

    fn facts(conf: &str, args: &[&str]) -> (NginxFacts, Vec<Note>) {
        let (_dir, root) = image(&[("etc/nginx/nginx.conf", conf), ("var/run", "-> /run"), ("run/x", "")]);
        let compiled = Compiled::of("/usr/sbin/nginx", b"");
        let arguments = args.iter().map(|a| (*a).to_owned()).collect();
        let line = CommandLine { arguments, ..CommandLine::default() };
        let mut notes = Vec::new();
        let facts = read(&root, &compiled, &line, &Origin::line("/u", 9), &mut notes).unwrap();
        notes.retain(|n| !n.text.contains("Debian's paths"));
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
