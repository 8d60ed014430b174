//! Directives that name files: keys and certificates, data of modules, programs in other languages.

use super::directive::Directive;
use super::modsecurity;
use super::walk::Walk;
use crate::manifest::PathFact;

/// Endings of directives whose word is a file to read, relative to the folder of the configuration: `ssl_…` of the server's
/// side, and the same of every module that speaks TLS to a peer (`proxy_ssl_…`, `grpc_ssl_…`, `lua_ssl_…`).
const TLS: [&str; 11] = [
    "ssl_certificate",
    "ssl_certificate_key",
    "ssl_client_certificate",
    "ssl_trusted_certificate",
    "ssl_crl",
    "ssl_dhparam",
    "ssl_password_file",
    "ssl_session_ticket_key",
    "ssl_stapling_file",
    "ssl_ech_file",
    "fetch_trusted_certificate",
];

/// Others relative to that folder.
const CONF_FILES: [&str; 7] = [
    "auth_basic_user_file",
    "auth_digest_user_file",
    "auth_jwt_key_file",
    "quic_host_key",
    "modsecurity_rules_file",
    "js_include",
    "js_import",
];

/// Files relative to the prefix.
const PREFIX_FILES: [&str; 15] = [
    "geoip_country",
    "geoip_city",
    "geoip_org",
    "geoip2",
    "xslt_stylesheet",
    "xml_entities",
    "perl_require",
    "auth_gss_keytab",
    "auth_pam_service_file",
    "fancyindex_header_file",
    "opentracing_load_tracer",
    "opentelemetry_config",
    "vhost_traffic_status_dump",
    "upload_progress_file",
    "rtmp_stat_stylesheet",
];

/// Folders of which everything is read, relative to the prefix.
const FOLDERS: [&str; 2] = ["perl_modules", "js_path"];

/// Folders that are filled, relative to the prefix.
const FILLED: [&str; 6] =
    ["upload_store", "upload_state_store", "record_path", "hls_path", "dash_path", "hls_fragment_path"];

/// Directives that run other programs.
const RUNS: [&str; 8] =
    ["exec", "exec_push", "exec_pull", "exec_static", "exec_record_done", "exec_publish", "exec_play", "exec_options"];

impl Walk<'_> {
    /// Reads a directive that names a file; false if it is none.
    pub(super) fn file(&mut self, d: &Directive) -> bool {
        let (prefix, conf) = (self.compiled.prefix.clone(), self.conf.clone());
        match d.name.as_str() {
            name if TLS.iter().any(|t| name.strip_suffix(t).is_some_and(|p| p.is_empty() || p.ends_with('_'))) => {
                self.secret(d, &conf);
            }
            "ssl_stapling" if d.has("on") => self.note(
                d,
                "nginx asks the responders that the certificates name: add their rules by hand, or set \
                 ssl_stapling_file or ssl_stapling_responder",
            ),
            "ssl_ocsp" if !d.has("off") => self.note(
                d,
                "nginx asks the responders that clients' certificates name: add their rules by hand, or set \
                 ssl_ocsp_responder",
            ),
            "ssl_engine" => self.note(d, "an OpenSSL engine is a library of its own: add its rules by hand"),
            "modsecurity_rules_file" => {
                if let Some(fact) = self.path(d, d.arg(), &conf) {
                    let found = modsecurity::read(self.root, &fact, self.notes);
                    self.facts.files.extend(found.files);
                    self.facts.logs.extend(found.logs);
                    self.facts.temp.extend(found.folders);
                    self.facts.files.push(fact);
                }
            }
            // `zone=NAME:SIZE state=FILE`
            "js_shared_dict_zone" | "keyval_zone" => {
                for word in d.args.iter().filter_map(|a| a.strip_prefix("state=")) {
                    self.state(d, Some(word));
                }
            }
            "js_import" | "js_preload_object" => {
                // `FILE` or `NAME from FILE`.
                let fact = self.path(d, d.args.last().map(String::as_str), &conf);
                self.facts.files.extend(fact);
            }
            name if CONF_FILES.contains(&name) => {
                if d.arg() != Some("off") {
                    let fact = self.path(d, d.arg(), &conf);
                    self.facts.files.extend(fact);
                }
            }
            name if PREFIX_FILES.contains(&name) => {
                let fact = self.path(d, d.arg(), &prefix);
                self.facts.files.extend(fact);
            }
            name if FOLDERS.contains(&name) => {
                let fact = self.path(d, d.arg(), &prefix);
                self.facts.trees.extend(fact);
            }
            name if FILLED.contains(&name) => {
                let fact = self.path(d, d.arg(), &prefix);
                self.facts.temp.extend(fact);
            }
            name if RUNS.contains(&name) => self.note(d, format!("`{name}` runs programs: add their rules by hand")),
            "perl" | "perl_set" => self.note(d, "Perl within nginx: what it opens and runs is not known"),
            "lua_package_path" => self.lua_path(d, &prefix, false),
            "lua_package_cpath" => self.lua_path(d, &prefix, true),
            name if name.ends_with("_by_lua_file") => {
                let word = if name.starts_with("set_by") { d.args.get(1) } else { d.args.first() };
                let fact = self.path(d, word.map(String::as_str), &prefix);
                self.facts.files.extend(fact);
                self.note(d, "Lua within nginx: what it opens, runs and connects to is not known");
            }
            name if name.ends_with("_by_lua") || name.ends_with("_by_lua_block") => {
                self.note(d, "Lua within nginx: what it opens, runs and connects to is not known");
            }
            _ => return false,
        }
        true
    }

    /// A key, certificate or list.
    pub(super) fn secret(&mut self, d: &Directive, conf: &str) {
        let Some(text) = d.arg().filter(|t| !t.is_empty() && *t != "off") else { return };
        // `data:` holds the key itself, `engine:` a name within an OpenSSL engine.
        if text.starts_with("data:") {
            return;
        }
        if text.starts_with("engine:") || text.starts_with("store:") {
            return self.note(d, "a key of an engine or store: add the rules that it needs by hand");
        }
        let fact = self.path(d, Some(text), conf);
        if let Some(fact) = &fact
            && !fact.pattern
        {
            let named = if text.starts_with('/') { text.to_owned() } else { format!("{conf}/{text}") };
            self.renewed(d, &named, &fact.path);
        }
        self.facts.files.extend(fact);
    }

    /// A certificate that is renewed gets a new name, to which the link is turned: `archive/a/fullchain1.pem`, then `2`.
    fn renewed(&mut self, d: &Directive, named: &str, real: &str) {
        // certbot's layout, whether the image has the certificate already or not.
        if let Some((folder, file)) = named.strip_prefix("/etc/letsencrypt/live/").and_then(|r| r.split_once('/'))
            && let Some((stem, ending)) = file.rsplit_once('.')
        {
            let (folder, stem, ending) = (PathFact::quote(folder), PathFact::quote(stem), PathFact::quote(ending));
            let path = format!("/etc/letsencrypt/archive/{folder}/{stem}[0-9]*.{ending}");
            self.facts.files.push(PathFact { path, pattern: true, origin: d.origin.clone() });
            return;
        }
        let is_link = matches!(self.root.link(named), Ok(Some(_)));
        let (Some((folder, target)), Some((_, name))) = (real.rsplit_once('/'), named.rsplit_once('/')) else { return };
        if !is_link || target == name {
            return;
        }
        // The same name with a number in it: `cert.pem` -> `cert-1700000000.pem`.
        let numbered = name.rsplit_once('.').and_then(|(stem, ending)| {
            let number = target.strip_prefix(stem)?.strip_suffix(ending)?.strip_suffix('.')?;
            let digits = number.trim_start_matches(['-', '_', '.']);
            let sign = &number[..number.len() - digits.len()];
            let numeric = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            numeric.then(|| format!("{}{sign}[0-9]*.{}", PathFact::quote(stem), PathFact::quote(ending)))
        });
        match numbered {
            Some(pattern) => {
                let path = format!("{}/{pattern}", PathFact::quote(folder));
                self.facts.files.push(PathFact { path, pattern: true, origin: d.origin.clone() });
            }
            None => {
                let text = format!(
                    "`{named}` leads to `{real}`: when a renewal turns the link to another name, derive the policy anew \
                     or write a pattern"
                );
                self.note(d, text);
            }
        }
    }

    /// `/usr/share/lua/?.lua;;`: where Lua looks for what a program asks for by name.
    fn lua_path(&mut self, d: &Directive, prefix: &str, libraries: bool) {
        for part in d.arg().unwrap_or_default().split(';').filter(|p| !p.is_empty()) {
            let part = part.replace("$prefix", prefix).replace("${prefix}", prefix);
            let Some((folder, _)) = part.split_once('?').map_or(part.rsplit_once('/'), |(f, _)| f.rsplit_once('/'))
            else {
                continue;
            };
            if !folder.starts_with('/') || folder.len() < 2 {
                self.note(d, format!("`{part}`: add the rules that it needs by hand"));
                continue;
            }
            let Some(real) = self.resolved(folder, &d.origin) else { continue };
            let rest = part[folder.len()..].split('?').map(PathFact::quote).collect::<Vec<_>>().join("**");
            let path = format!("{}{rest}", PathFact::quote(&real.path));
            let fact = PathFact { path, pattern: true, origin: d.origin.clone() };
            if libraries { self.facts.libraries.push(fact) } else { self.facts.files.push(fact) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Origin;
    use crate::manifest::readers::nginx::Compiled;
    use crate::manifest::root::tests_support::image;

    fn files(directive: &str, words: &[&str], more: &[(&str, &str)]) -> (Vec<String>, usize) {
        let (_dir, root) = image(more);
        let compiled = Compiled::of("/n", b"");
        let mut notes = Vec::new();
        let mut walk = Walk::new(&root, &compiled, "/etc/nginx".into(), &mut notes);
        let args = words.iter().map(|w| (*w).to_owned()).collect();
        let d = Directive { name: directive.into(), args, block: vec![], origin: Origin::line("/n", 1) };
        assert!(walk.file(&d), "{directive}");
        let found = walk.facts.files.iter().map(PathFact::glob).collect();
        (found, notes.len())
    }

    #[test]
    fn every_module_that_speaks_tls() {
        for name in
            ["proxy_ssl_crl", "uwsgi_ssl_certificate", "lua_ssl_trusted_certificate", "js_fetch_trusted_certificate"]
        {
            assert_eq!(files(name, &["c.pem"], &[]).0, ["/etc/nginx/c.pem"], "{name}");
        }
        assert!(files("ssl_certificate_key", &["data:$x"], &[]).0.is_empty());
        assert_eq!(files("ssl_certificate_key", &["engine:pkcs11:x"], &[]), (vec![], 1));
    }

    #[test]
    fn renewals_turn_links() {
        let live = "/etc/letsencrypt/live/a.example/fullchain.pem";
        let archive = "/etc/letsencrypt/archive/a.example/fullchain[0-9]*.pem";
        assert_eq!(files("ssl_certificate", &[live], &[]).0, [archive, live]);
        let image = [
            ("etc/tls/cert.pem", "-> cert-1700000000.pem"),
            ("etc/tls/cert-1700000000.pem", "x"),
            ("etc/tls/other.pem", "-> ../pki/current"),
            ("etc/pki/current", "x"),
        ];
        let (found, notes) = files("ssl_certificate", &["/etc/tls/cert.pem"], &image);
        assert_eq!(found, ["/etc/tls/cert-[0-9]*.pem", "/etc/tls/cert-1700000000.pem"]);
        assert_eq!(notes, 0);
        let (found, notes) = files("ssl_certificate", &["/etc/tls/other.pem"], &image);
        assert_eq!((found, notes), (vec!["/etc/pki/current".to_owned()], 1));
    }

    #[test]
    fn other_languages() {
        assert_eq!(files("js_import", &["m", "from", "m.js"], &[]).0, ["/etc/nginx/m.js"]);
        assert_eq!(
            files("lua_package_path", &["/opt/l/?.lua;/opt/l/?/init.lua;;"], &[]).0,
            ["/opt/l/**.lua", "/opt/l/**/init.lua"]
        );
        assert_eq!(files("lua_package_path", &["/?.lua"], &[]), (vec![], 1));
    }
}
