//! The units: what systemd's settings can make of one small service, in rows that have each pair of values somewhere.

use std::fmt::Write as _;

use super::Suite;

/// Rows of a suite, beside those that stand alone.
pub const ROWS: usize = 104;

/// One setting: the lines of its values; the first is mostly nothing.
struct Factor {
    name: &'static str,
    values: &'static [&'static str],
}

const fn factor(name: &'static str, values: &'static [&'static str]) -> Factor {
    Factor { name, values }
}

const ROOT: &str = "RootDirectory=/srv/kuroot\nBindPaths=/srv/ku /run/ku /run/dbus /run/systemd/journal /var/log/ku\n";
const SOCKETS: [&str; 4] = ["", "unix", "tcp", "abstract"];

const FACTORS: &[Factor] = &[
    factor("type", &["Type=notify", "Type=exec\nNotifyAccess=main", "Type=simple\nNotifyAccess=all"]),
    factor("socket", &SOCKETS),
    factor("user", &["", "User=nobody", "DynamicUser=yes"]),
    factor("system", &["", "ProtectSystem=yes", "ProtectSystem=full", "ProtectSystem=strict"]),
    factor("tmp", &["", "PrivateTmp=yes"]),
    factor("home", &["", "ProtectHome=yes", "ProtectHome=read-only", "ProtectHome=tmpfs"]),
    factor("devices", &["", "PrivateDevices=yes", "DevicePolicy=closed"]),
    factor("root", &["", "{root}MountAPIVFS=yes"]),
    factor("write", &["", "ReadWritePaths=/srv/ku/scratch", "ReadOnlyPaths=/srv"]),
    factor("bind", &["", "BindPaths=/srv/ku/real:/srv/ku/bound", "BindReadOnlyPaths=/srv/ku/real:/srv/ku/bound"]),
    factor("tmpfs", &["", "TemporaryFileSystem=/srv/ku/scratch", "TemporaryFileSystem=/var/spool:ro"]),
    factor("hidden", &["", "InaccessiblePaths=/srv/ku/never", "InaccessiblePaths=-/root -/usr/share"]),
    factor("proc", &["", "ProtectProc=invisible", "ProtectProc=noaccess\nProcSubset=pid"]),
    factor("network", &["", "PrivateNetwork=yes"]),
    factor("users", &["", "PrivateUsers=yes"]),
    factor("privileges", &["", "NoNewPrivileges=yes"]),
    factor(
        "kernel",
        &["", "ProtectKernelTunables=yes", "ProtectKernelModules=yes\nProtectKernelLogs=yes\nProtectClock=yes"],
    ),
    factor("groups", &["", "ProtectControlGroups=yes", "Delegate=yes"]),
    factor("ipc", &["", "PrivateIPC=yes"]),
    factor("host", &["", "ProtectHostname=yes"]),
    factor("mounts", &["", "PrivateMounts=yes", "MountFlags=slave"]),
    factor(
        "calls",
        &[
            "",
            "SystemCallFilter=@system-service",
            "RestrictNamespaces=yes\nLockPersonality=yes\nMemoryDenyWriteExecute=yes\nRestrictSUIDSGID=yes",
        ],
    ),
    factor("capabilities", &["", "CapabilityBoundingSet=", "AmbientCapabilities=CAP_NET_BIND_SERVICE"]),
    factor("programs", &["", "NoExecPaths=/\nExecPaths=/usr/lib/ku"]),
    factor("folders", &["", "CacheDirectory={ku}\nLogsDirectory={ku}\nRuntimeDirectory={ku}"]),
    factor("slice", &["", "Slice=ku-own.slice"]),
    factor("addresses", &["", "IPAddressDeny=any\nIPAddressAllow=localhost"]),
    factor("families", &["", "RestrictAddressFamilies=AF_UNIX AF_INET"]),
    factor("credentials", &["", "SetCredential=word:x", "LoadCredential=word:/srv/ku/open/f"]),
    factor("before", &["", "ExecStartPre=/usr/lib/ku/service note\nExecStop=/usr/lib/ku/service note"]),
    factor(
        "output",
        &[
            "StandardOutput=append:/var/log/ku/{ku}",
            "StandardOutput=journal",
            "StandardOutput=append:/var/log/ku/{ku}\nStandardInput=null\nStandardError=inherit",
        ],
    ),
    // Last: what only newer versions know.
    factor(
        "newer",
        &[
            "",
            "PrivateTmp=disconnected",
            "ProtectControlGroups=strict",
            "ProtectControlGroups=private",
            "PrivateUsers=identity",
            "BindLogSockets=yes",
        ],
    ),
];

fn factors(suite: &Suite) -> &'static [Factor] {
    if suite.newer { FACTORS } else { &FACTORS[..FACTORS.len() - 1] }
}

/// A deterministic stream of small numbers (Knuth's MMIX generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }
}

/// Which pairs of values some row has.
struct Pairs {
    starts: Vec<usize>,
    seen: Vec<bool>,
    total: usize,
}

impl Pairs {
    fn new(factors: &[Factor]) -> Pairs {
        let mut starts = Vec::new();
        let mut total = 0;
        for factor in factors {
            starts.push(total);
            total += factor.values.len();
        }
        Pairs { starts, seen: vec![false; total * total], total }
    }

    fn place(&self, a: (usize, usize), b: (usize, usize)) -> usize {
        (self.starts[a.0] + a.1) * self.total + self.starts[b.0] + b.1
    }

    fn gain(&self, row: &[Option<usize>], factor: usize, value: usize) -> usize {
        let others = row.iter().enumerate().filter_map(|(other, chosen)| Some((other, (*chosen)?)));
        others.filter(|other| other.0 != factor && !self.seen[self.place((factor, value), *other)]).count()
    }

    fn mark(&mut self, row: &[usize]) {
        for (a, &of_a) in row.iter().enumerate() {
            for (b, &of_b) in row.iter().enumerate() {
                let place = self.place((a, of_a), (b, of_b));
                self.seen[place] = true;
            }
        }
    }

    fn missing(&self, factors: &[Factor]) -> usize {
        let mut missing = 0;
        for (a, of_a) in factors.iter().enumerate() {
            for (b, of_b) in factors.iter().enumerate().skip(a + 1) {
                for va in 0..of_a.values.len() {
                    missing += (0..of_b.values.len()).filter(|vb| !self.seen[self.place((a, va), (b, *vb))]).count();
                }
            }
        }
        missing
    }
}

/// The rows, each a value of every factor: each time of several that are drawn the one that adds the most pairs.
fn rows(factors: &[Factor]) -> (Vec<Vec<usize>>, usize) {
    let mut pairs = Pairs::new(factors);
    let mut numbers = Numbers(8);
    // The first has no setting, but those that every unit has.
    let mut rows = vec![vec![0; factors.len()]];
    pairs.mark(&rows[0]);
    while rows.len() < ROWS {
        let mut best: (usize, Vec<usize>) = (0, Vec::new());
        for _ in 0..6 {
            let mut order: Vec<usize> = (0..factors.len()).collect();
            for at in (1..order.len()).rev() {
                order.swap(at, numbers.below(at + 1));
            }
            let mut row: Vec<Option<usize>> = vec![None; factors.len()];
            let mut gained = 0;
            for factor in order {
                let count = factors[factor].values.len();
                let first = numbers.below(count);
                let tried = (0..count).map(|turn| (first + turn) % count);
                let (gain, value) = tried
                    .map(|value| (pairs.gain(&row, factor, value), value))
                    .fold((0, first), |best, next| if next.0 > best.0 { next } else { best });
                row[factor] = Some(value);
                gained += gain;
            }
            if best.1.is_empty() || gained > best.0 {
                best = (gained, row.into_iter().flatten().collect());
            }
        }
        pairs.mark(&best.1);
        rows.push(best.1);
    }
    let missing = pairs.missing(factors);
    (rows, missing)
}

/// A unit of the test.
pub struct Unit {
    /// What it is known by in its own lines; its processes are called `ku` and this.
    pub number: String,
    /// What systemd calls it.
    pub name: String,
    /// Its settings, for the reader of a failure.
    pub about: String,
    /// Where it is asked to serve; the first request starts it.
    pub socket: Option<String>,
    /// Whether it is the user's manager that starts it.
    pub of_user: bool,
    /// Whether the policy binds it: a user's units are called as the user likes, and bind nobody by their names.
    pub bound: bool,
    /// Whether each connection gets an instance, so that nothing but connections start it.
    pub instances: bool,
}

/// The units of a suite, and their files: each after a line `=== PATH`.
pub fn units(suite: &Suite) -> (Vec<Unit>, String) {
    let factors = factors(suite);
    let mut units = Vec::new();
    let mut files = String::new();
    for (at, row) in rows(factors).0.iter().enumerate() {
        let number = format!("{at:03}");
        let values = || factors.iter().zip(row).map(|(factor, &value)| (factor.name, factor.values[value]));
        let kind = SOCKETS[values().position(|(name, _)| name == "socket").map_or(0, |place| row[place])];
        let mut text = "[Service]\n".to_owned();
        for (_, value) in values().filter(|(name, value)| *name != "socket" && !value.is_empty()) {
            text.push_str(&value.replace("{root}", ROOT).replace("{ku}", &format!("ku{number}")));
            text.push('\n');
        }
        text.push_str("ExecReload=/usr/lib/ku/service reload $MAINPID\n");
        text.push_str(&common(&number, "run"));
        let about: Vec<String> =
            values().filter(|(_, value)| !value.is_empty()).map(|(_, value)| value.replace('\n', " ")).collect();
        let _ = writeln!(files, "=== /etc/systemd/system/ku{number}.service\n{text}");
        let socket = address(kind, &number);
        if let Some((listen, _)) = &socket {
            let _ = writeln!(files, "=== /etc/systemd/system/ku{number}.socket\n[Socket]\nListenStream={listen}");
        }
        units.push(Unit {
            name: format!("ku{number}.service"),
            number,
            about: about.join("; "),
            socket: socket.map(|(_, asked)| asked),
            of_user: false,
            bound: true,
            instances: false,
        });
    }
    for alone in ALONE.iter().filter(|alone| suite.newer || !alone.newer) {
        let _ = writeln!(files, "=== {}\n[Service]\n{}{}", alone.file, alone.text, common(alone.number, alone.verb));
        units.push(Unit {
            number: alone.number.to_owned(),
            name: alone.name.to_owned(),
            about: alone.file.to_owned(),
            socket: (alone.verb == "once").then(|| "unix:/run/ku/instances.sock".to_owned()),
            of_user: alone.file.contains("/user/"),
            bound: !alone.file.contains("/user/"),
            instances: alone.verb == "once",
        });
    }
    files.push_str("=== /etc/systemd/system/kuacc.socket\n[Socket]\nAccept=yes\nListenStream=/run/ku/instances.sock\n");
    (units, files)
}

fn common(number: &str, verb: &str) -> String {
    format!(
        "ExecStart=/usr/lib/ku/service {verb} %n {number}\nStateDirectory=ku{number}\nRestart=on-abnormal\n\
         RestartSec=1ms\nFileDescriptorStoreMax=4\nTimeoutSec=600\n\
         [Unit]\nStartLimitIntervalSec=0\nDefaultDependencies=no\n"
    )
}

/// Where a socket listens, and how it is asked.
fn address(kind: &str, number: &str) -> Option<(String, String)> {
    match kind {
        "unix" => Some((format!("/run/ku/{number}.sock"), format!("unix:/run/ku/{number}.sock"))),
        "tcp" => Some((format!("127.0.0.1:20{number}"), format!("tcp:20{number}"))),
        "abstract" => Some((format!("@ku-{number}"), format!("unix:@ku-{number}"))),
        _ => None,
    }
}

/// A unit that is one of its kind.
struct Alone {
    number: &'static str,
    name: &'static str,
    file: &'static str,
    verb: &'static str,
    text: &'static str,
    /// Only newer versions know it.
    newer: bool,
}

const RELOAD: &str = "Type=notify\nPrivateTmp=yes\nProtectSystem=strict\nStandardOutput=journal\n\
                      ExecReload=/usr/lib/ku/service reload $MAINPID\n";

const ALONE: &[Alone] = &[
    Alone {
        number: "301",
        name: "esc@dev-my\\x2ddisk.service",
        file: "/etc/systemd/system/esc@.service",
        verb: "run",
        text: RELOAD,
        newer: false,
    },
    Alone {
        number: "302",
        name: "ku-of@one.service",
        file: "/etc/systemd/system/ku-of@.service",
        verb: "run",
        text: RELOAD,
        newer: false,
    },
    Alone {
        number: "303",
        name: "kuacc@.service",
        file: "/etc/systemd/system/kuacc@.service",
        verb: "once",
        text: "StandardInput=socket\nStandardOutput=append:/var/log/ku/ku303\nPrivateTmp=yes\nDynamicUser=yes\n",
        newer: false,
    },
    Alone {
        number: "304",
        name: "ku-user.service",
        file: "/etc/systemd/user/ku-user.service",
        verb: "run",
        text: "Type=notify\nDelegate=yes\nStandardOutput=append:/var/log/ku/ku304\n\
               ExecReload=/usr/lib/ku/service reload $MAINPID\n",
        newer: false,
    },
    // A process namespace of its own for each command: ExecReload= could not name the main one's process.
    Alone {
        number: "305",
        name: "ku-pids.service",
        file: "/etc/systemd/system/ku-pids.service",
        verb: "run",
        text: "Type=notify-reload\nPrivatePIDs=yes\nPrivateTmp=yes\nProtectSystem=strict\nStandardOutput=journal\n",
        newer: true,
    },
];

/// That the rows have each pair of values.
///
/// # Errors
/// How many pairs no row has.
pub fn prove(suite: &Suite) -> Result<(), String> {
    let (rows, missing) = rows(factors(suite));
    if rows.len() >= 100 && missing == 0 { Ok(()) } else { Err(format!("{} rows lack {missing} pairs", rows.len())) }
}
