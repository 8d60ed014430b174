//! What the directives of redis.conf declare.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kiln_base::model::{PortRange, Proto};

use super::config::{Config, Directive};
use super::error::ConfigError;
use crate::manifest::net::{At, Endpoint, Listen, To};
use crate::manifest::{Command, Declared, Origin, PathFact};

/// Files that are read where TLS is on.
const TLS: [&str; 6] = [
    "tls-cert-file",
    "tls-key-file",
    "tls-client-cert-file",
    "tls-client-key-file",
    "tls-dh-params-file",
    "tls-ca-cert-file",
];

/// The other directives that are read here.
const READ: &str = "port tls-port bind bind-source-addr unixsocket pidfile daemonize logfile syslog-enabled dir dbfilename \
    appendonly appendfilename appenddirname aclfile loadmodule tls-ca-cert-dir tls-replication tls-cluster replicaof \
    cluster-enabled cluster-port cluster-config-file oom-score-adj";

/// Directives from which no rule follows. `supervised` speaks to systemd only where the unit has it by Type=notify.
const NEUTRAL: &str = "supervised unixsocketperm protected-mode tcp-backlog timeout tcp-keepalive loglevel syslog-ident \
    syslog-facility crash-log-enabled crash-memcheck-enabled databases always-show-logo set-proc-title proc-title-template \
    locale-collate save stop-writes-on-bgsave-error rdbcompression rdbchecksum rdb-del-sync-files rdb-save-incremental-fsync \
    sanitize-dump-payload masterauth masteruser primaryauth primaryuser requirepass user rename-command \
    enable-protected-configs enable-debug-command enable-module-command oom-score-adj-values disable-thp appendfsync \
    no-appendfsync-on-rewrite hz dynamic-hz jemalloc-bg-thread activerehashing activedefrag proto-max-bulk-len \
    notify-keyspace-events tracking-table-max-keys port-announce server-threads ignore-warnings socket-mark-id \
    busy-reply-threshold close-on-replica-write close-on-slave-write hide-user-data-from-log events-per-io-thread \
    shutdown-timeout shutdown-on-sigint shutdown-on-sigterm extended-redis-compatibility availability-zone";

/// Beginnings of the names of others.
const NEUTRAL_FAMILIES: &str = "tls- repl- replica- slave- min-replicas- min-slaves- cluster- acllog- acl- client- hash- list- \
    set- zset- stream- hll- lazyfree- maxmemory maxclients lfu- io-threads auto-aof- aof- lua- slowlog- latency- active-defrag- \
    max-new- server_cpulist bio_cpulist aof_rewrite_cpulist bgsave_cpulist";

/// What the server reads of the machine whatever its configuration says, and what for.
const OF_THE_MACHINE: [(&str, &str); 10] = [
    ("/dev/urandom", "the seed of its hash tables"),
    ("/proc/[0-9]*/smaps", "the memory that a save copies"),
    ("/proc/[0-9]*/stat", "its own memory"),
    ("/proc/sys/net/core/somaxconn", "tcp-backlog is held against it"),
    ("/proc/sys/vm/overcommit_memory", "whether a save can fork"),
    ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "whether the clock is slow"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "whether huge pages slow a save"),
    ("/usr/lib{,64,/*}/gconv/gconv-modules{,.cache,.d,.d/*.conf}", "the letters of its language (setlocale(3))"),
    ("/usr/lib/locale/*/LC_COLLATE", "the order of words (setlocale(3))"),
    ("/usr/lib/locale/locale-archive", "the order of words (setlocale(3))"),
];

struct Facts<'c, 'a> {
    config: Config<'a>,
    /// Of each name the last: it counts.
    last: BTreeMap<&'c str, &'c Directive>,
    declared: Declared,
}

/// What the configuration declares.
pub(super) fn of(mut config: Config<'_>, command: &Command) -> Result<Declared, ConfigError> {
    let directives = std::mem::take(&mut config.directives);
    let last = directives.iter().map(|d| (d.name.as_str(), d)).collect();
    let declared = Declared { reads: std::mem::take(&mut config.reads), ..Declared::default() };
    let mut facts = Facts { config, last, declared };
    for (path, what) in OF_THE_MACHINE {
        let origin = Origin::known(&command.line.program, what);
        let fact = PathFact { path: path.to_owned(), pattern: path.contains(['[', '*', '{']), origin };
        facts.declared.reads.push(fact);
    }
    directives.iter().for_each(|d| facts.each(d));
    facts.sockets(command)?;
    facts.files(command);
    facts.data(command);
    facts.peers();
    Ok(facts.declared)
}

impl Facts<'_, '_> {
    /// The first word of a directive, and where it stands; None where it is not there or has no word, or not a known one.
    fn word(&self, name: &str) -> Option<(String, Origin)> {
        let d = self.last.get(name).filter(|d| d.known)?;
        d.args.first().filter(|w| !w.is_empty()).map(|w| (w.clone(), d.origin.clone()))
    }

    /// The same with what Redis takes where the directive is not there.
    fn word_or(&self, name: &str, default: &str, command: &Command) -> Option<(String, Origin)> {
        match self.last.contains_key(name) {
            true => self.word(name),
            false => Some((default.to_owned(), Origin::known(&command.line.program, format!("{name} {default}")))),
        }
    }

    fn yes(&self, name: &str) -> Option<Origin> {
        self.word(name).filter(|(w, _)| w.eq_ignore_ascii_case("yes")).map(|(_, origin)| origin)
    }

    fn path(&mut self, name: &str) -> Option<PathFact> {
        let (text, origin) = self.word(name)?;
        self.config.path(&text, &origin)
    }

    /// Directives that count each time, and those that are not understood.
    fn each(&mut self, d: &Directive) {
        let has = |list: &str| list.split_ascii_whitespace().any(|n| n == d.name);
        let neutral = has(NEUTRAL) || NEUTRAL_FAMILIES.split_ascii_whitespace().any(|f| d.name.starts_with(f));
        if d.name == "loadmodule" {
            let Some(path) = d.args.first().filter(|_| d.known) else { return };
            self.config.note(&d.origin, "what the module opens and connects to is not known: add its rules by hand");
            let fact = self.config.path(path, &d.origin);
            self.declared.loads.extend(fact);
        } else if !has(READ)
            && !TLS.contains(&d.name.as_str())
            && (!neutral || d.args.iter().any(|a| a.starts_with('/')))
        {
            let text = format!("`{}` is not known: add the rules that it needs by hand", d.name);
            self.config.note(&d.origin, text);
        }
    }

    /// A port; 0 is none.
    fn port(&self, name: &str, default: &str, command: &Command) -> Result<Option<(u16, Origin)>, ConfigError> {
        let Some((text, origin)) = self.word_or(name, default, command) else { return Ok(None) };
        let why = "a port is a number from 0 to 65535; Redis refuses this one";
        let port: u16 = text.parse().map_err(|_| ConfigError::Syntax { origin: origin.clone(), why })?;
        Ok((port > 0).then_some((port, origin)))
    }

    fn sockets(&mut self, command: &Command) -> Result<(), ConfigError> {
        let plain = self.port("port", "6379", command)?;
        let tls = self.port("tls-port", "0", command)?;
        let mut ports: Vec<(u16, Origin)> = plain.iter().chain(&tls).cloned().collect();
        if let Some(origin) = self.yes("cluster-enabled") {
            let base = if self.yes("tls-cluster").is_some() { &tls } else { &plain };
            let base = base.as_ref().and_then(|(p, _)| p.checked_add(10_000));
            let own = self.port("cluster-port", "0", command)?;
            ports.extend(own.or(base.map(|p| (p, origin.clone()))));
            let text = "which nodes the cluster has is known only on the running machine: add `connect` to their ports by hand";
            self.config.note(&origin, text);
        }
        let bind = self.last.get("bind").copied();
        for (port, origin) in ports {
            let range = PortRange { first: port, last: port };
            let mut listen = |at, origin: &Origin| {
                self.declared.listens.push(Listen { at, proto: Proto::Tcp, origin: origin.clone() });
            };
            match bind {
                None => listen(At::Any(range), &origin),
                // A directive of no words, or of one that is empty, takes TCP away.
                Some(d) if d.known => {
                    d.args.iter().filter(|a| !a.is_empty()).for_each(|a| listen(address(a, range), &d.origin));
                }
                Some(_) => {}
            }
        }
        for d in bind.iter().filter(|d| d.known) {
            let names = d.args.iter().filter(|a| matches!(address(a, PortRange::ANY), At::Name(..)));
            for name in names.filter(|n| !n.is_empty()) {
                let text = format!(
                    "`{name}` is resolved on the running machine, so any address is allowed: write the address"
                );
                self.config.note(&d.origin, text);
            }
        }
        if let Some(path) = self.path("unixsocket") {
            self.declared.listens.push(Listen { at: At::Unix(path.path), proto: Proto::Tcp, origin: path.origin });
        }
        if let Some((text, origin)) = self.word("bind-source-addr") {
            let at = address(&text, PortRange::ANY);
            self.declared.binds.push(Listen { at, proto: Proto::Tcp, origin });
        }
        Ok(())
    }

    fn files(&mut self, command: &Command) {
        if self.last.contains_key("pidfile") {
            let pid = self.path("pidfile");
            self.declared.makes.extend(pid);
        } else if let Some(origin) = self.yes("daemonize") {
            let name = command.line.program.rsplit('/').next().unwrap_or_default().trim_end_matches("-server");
            let pid = self.config.path(&format!("/var/run/{name}.pid"), &origin);
            self.declared.makes.extend(pid);
        }
        let log = self.path("logfile");
        self.declared.appends.extend(log);
        let acl = self.path("aclfile");
        self.declared.reads.extend(acl);
        let port = self.word("tls-port").is_some_and(|(p, _)| p != "0");
        if port || self.yes("tls-replication").is_some() || self.yes("tls-cluster").is_some() {
            for name in TLS {
                let file = self.path(name);
                self.declared.reads.extend(file);
            }
            let folder = self.path("tls-ca-cert-dir");
            self.declared.trees.extend(folder);
        }
        if let Some((_, origin)) = self.word("oom-score-adj").filter(|(w, _)| !w.eq_ignore_ascii_case("no")) {
            self.config.note(&origin, "`oom-score-adj` writes /proc/PID/oom_score_adj: add that rule by hand");
        }
    }

    /// What Redis keeps in `dir`: single names, never the whole folder.
    fn data(&mut self, command: &Command) {
        if self.config.folder.is_none() {
            let text = "`dir` names no folder that is known here: what the server keeps there has no rule; write an absolute one";
            let origin = self.last.get("dir").map_or(&command.origin, |d| &d.origin).clone();
            return self.config.note(&origin, text);
        }
        let mut made = vec![self.word_or("dbfilename", "dump.rdb", command)];
        let mut temporary = vec!["temp-*.rdb"];
        if self.yes("appendonly").is_some() {
            // Redis before 7 has the file, later ones a folder, into which they move it.
            made.push(self.word_or("appendfilename", "appendonly.aof", command));
            temporary.push("temp-rewriteaof-*.aof");
            if let Some((name, origin)) = self.word_or("appenddirname", "appendonlydir", command) {
                let folder = self.config.path(&name, &origin);
                self.declared.fills.extend(folder);
            }
        }
        // After it renamed a file the server opens the folder, to have the name written to the disk.
        let origin = self.last.get("dir").map_or(&command.origin, |d| &d.origin).clone();
        let folder = self.config.path(".", &origin);
        self.declared.reads.extend(folder.clone());
        for (name, origin) in made.into_iter().flatten() {
            let file = self.config.path(&name, &origin);
            self.declared.makes.extend(file);
        }
        if let Some(folder) = folder {
            for name in temporary {
                let path = format!("{}/{name}", folder.glob().trim_end_matches('/'));
                self.declared.makes.push(PathFact { path, pattern: true, origin: origin.clone() });
            }
        }
        if self.yes("cluster-enabled").is_some()
            && let Some((name, origin)) = self.word_or("cluster-config-file", "nodes.conf", command)
        {
            let file = self.config.path(&name, &origin);
            self.declared.replaces.extend(file);
        }
    }

    fn peers(&mut self) {
        if let Some(d) = self.last.get("replicaof").copied().filter(|d| d.known)
            && !matches!(d.args.as_slice(), [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one"))
        {
            let [host, port] = d.args.as_slice() else {
                return self.config.note(&d.origin, "`replicaof` has a host and a port: this one has no rule");
            };
            let Ok(port) = port.parse::<u16>() else {
                return self.config.note(&d.origin, format!("`{port}` is not a port: `replicaof` has no rule"));
            };
            let to = match host.parse::<IpAddr>() {
                Ok(ip) => To::Address(ip, port),
                Err(_) if host == "localhost" => To::Loopback(port),
                Err(_) => To::Name(host.clone(), port),
            };
            self.declared.connects.push(Endpoint { to, proto: Proto::Tcp, origin: d.origin.clone() });
        }
        if let Some(origin) = self.yes("syslog-enabled") {
            self.declared.connects.push(Endpoint { to: To::Unix("/dev/log".into()), proto: Proto::Udp, origin });
        }
    }
}

/// An address of `bind`. The `-` in front says only that it may be missing from the machine.
fn address(text: &str, ports: PortRange) -> At {
    let text = text.strip_prefix('-').unwrap_or(text);
    match text.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => At::Any(ports),
        Ok(ip) => At::Address(ip, ports),
        Err(_) if matches!(text, "*" | "::*") => At::Any(ports),
        Err(_) if text == "localhost" => At::Loopback(ports),
        Err(_) => At::Name(text.to_owned(), ports),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Redis;
    use super::*;
    use crate::manifest::Note;
    use crate::manifest::readers::{ReadError, Reader};
    use crate::manifest::root::tests_support::image;
    use crate::manifest::systemd::CommandLine;

    fn read(files: &[(&str, &str)], args: &[&str]) -> Result<(Declared, Vec<Note>), ReadError> {
        let (_dir, root) = image(files);
        let arguments = args.iter().map(|a| (*a).to_owned()).collect();
        let line = CommandLine { program: "/usr/bin/redis-server".into(), arguments, ..CommandLine::default() };
        let origin = Origin::line("/u", 3);
        let command = Command { key: "ExecStart".into(), line, program: "/usr/bin/redis-check-rdb".into(), origin };
        assert!(Redis.knows(&command));
        let mut notes = Vec::new();
        Redis.read(&root, &command, &mut notes).map(|d| (d.unwrap_or_default(), notes))
    }

    fn paths(list: &[PathFact]) -> Vec<&str> {
        list.iter().map(|f| f.path.as_str()).filter(|p| !p.starts_with("/proc") && !p.starts_with("/sys")).collect()
    }

    const MAIN: &str = "bind 127.0.0.1 -::1\nport 6379\npidfile /run/redis/r.pid\nlogfile /var/log/redis/r.log\n\
        dir /var/lib/redis\naclfile /etc/redis/users.acl\ninclude /etc/redis/conf.d/*.conf\nunixsocket /run/redis/r.sock\n";

    #[test]
    fn debians_configuration() {
        let files = [("etc/redis/redis.conf", MAIN), ("etc/redis/conf.d/a.conf", "APPENDONLY yes\nmaxmemory 1gb\n")];
        let (d, notes) = read(&files, &["/etc/redis/redis.conf"]).unwrap();
        let conf = [
            "/dev/urandom",
            "/etc/redis/redis.conf",
            "/etc/redis/conf.d/a.conf",
            "/etc/redis/conf.d",
            "/etc/redis/users.acl",
        ];
        for path in conf {
            assert!(paths(&d.reads).contains(&path), "{path}: {:?}", paths(&d.reads));
        }
        assert_eq!(paths(&d.appends), ["/var/log/redis/r.log"]);
        assert_eq!(
            paths(&d.makes),
            [
                "/run/redis/r.pid",
                "/var/lib/redis/dump.rdb",
                "/var/lib/redis/appendonly.aof",
                "/var/lib/redis/temp-*.rdb",
                "/var/lib/redis/temp-rewriteaof-*.aof"
            ]
        );
        assert_eq!(paths(&d.fills), ["/var/lib/redis/appendonlydir"]);
        let port = PortRange { first: 6379, last: 6379 };
        let at: Vec<&At> = d.listens.iter().map(|l| &l.at).collect();
        assert_eq!(
            at,
            [
                &At::Address("127.0.0.1".parse().unwrap(), port),
                &At::Address("::1".parse().unwrap(), port),
                &At::Unix("/run/redis/r.sock".into())
            ]
        );
        assert!(notes.is_empty(), "{notes:?}");
    }

    #[test]
    fn the_command_line_counts_last() {
        let args =
            ["/etc/redis/redis.conf", "--port", "0", "--tls-port", "6380", "--tls-cert-file", "/c.pem", "--bind", "*"];
        let (d, _) = read(&[("etc/redis/redis.conf", MAIN), ("etc/redis/conf.d/x", "")], &args).unwrap();
        let port = PortRange { first: 6380, last: 6380 };
        assert_eq!(d.listens[0].at, At::Any(port));
        assert_eq!(d.listens.len(), 2);
        assert!(paths(&d.reads).contains(&"/c.pem"));
        let (d, notes) = read(&[], &["--port", "7000", "--replicaof", "10.0.0.1", "6379"]).unwrap();
        assert_eq!(d.listens[0].at, At::Any(PortRange { first: 7000, last: 7000 }));
        assert_eq!(d.connects[0].to, To::Address("10.0.0.1".parse().unwrap(), 6379));
        // Without `dir` the server keeps its data where it was started.
        assert_eq!((d.makes.len(), notes.len()), (0, 1));
    }

    #[test]
    fn what_redis_refuses() {
        for (text, why) in
            [("port 70000", "a port is"), ("dir \"/x", "quotes"), ("include /etc/redis/redis.conf", "itself")]
        {
            let error = read(&[("etc/redis/redis.conf", text)], &["/etc/redis/redis.conf"]).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("/etc/redis/redis.conf:1"), "{error}");
        }
    }

    #[test]
    fn what_is_not_known_costs_a_note() {
        let conf =
            "dir /var/lib/redis\nloadmodule /usr/lib/redis/m.so\nfuture-thing /etc/shadow\ncluster-enabled yes\n";
        let (d, notes) = read(&[("etc/r.conf", conf)], &["/etc/r.conf"]).unwrap();
        assert_eq!(paths(&d.loads), ["/usr/lib/redis/m.so"]);
        assert_eq!(paths(&d.replaces), ["/var/lib/redis/nodes.conf"]);
        assert!(!paths(&d.reads).contains(&"/etc/shadow"));
        assert_eq!(notes.len(), 3, "{notes:?}");
    }
}
