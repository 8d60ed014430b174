//! What Tetragon's events say, by its API (tetragon.io/docs/reference/grpc-api): the operation, and what it is done to.

use serde_json::{Value, json};

use super::gate;

/// The events of hooks: the function, its arguments as Tetragon writes them, and what is right.
const HOOKS: [(&str, &str, &str, &str); 20] = [
    ("sys_openat", r#"[{"int_arg":-100},{"string_arg":"/etc/shadow"},{"int_arg":0}]"#, "open", "/etc/shadow"),
    (
        "sys_openat",
        r#"[{"string_arg":"/etc/shadow","label":"path"},{"int_arg":577,"label":"flags"}]"#,
        "write",
        "/etc/shadow",
    ),
    (
        "sys_openat",
        r#"[{"error_arg":{"message":"e","arg_index":1}},{"string_arg":"/etc/shadow"}]"#,
        "open",
        "/etc/shadow",
    ),
    (
        "fd_install",
        r#"[{"int_arg":3},{"file_arg":{"mount":"/","path":"/etc/shadow","permission":"-rw-r-----"}}]"#,
        "open",
        "/etc/shadow",
    ),
    ("security_file_permission", r#"[{"file_arg":{"path":"/srv/x"}},{"int_arg":2}]"#, "write", "/srv/x"),
    ("security_path_unlink", r#"[{"path_arg":{"path":"/var/log/auth.log"}}]"#, "delete", "/var/log/auth.log"),
    ("security_inode_setattr", r#"[{"path_arg":{"path":"/etc/shadow"}}]"#, "chmod", "/etc/shadow"),
    (
        "security_socket_connect",
        r#"[{"sockaddr_arg":{"family":"AF_INET","addr":"198.51.100.7","port":443}}]"#,
        "network_connect",
        "198.51.100.7:443",
    ),
    (
        "tcp_connect",
        r#"[{"sock_arg":{"family":"AF_INET","saddr":"10.0.0.2","daddr":"198.51.100.7","sport":4444,"dport":443}}]"#,
        "network_connect",
        "198.51.100.7:443",
    ),
    (
        "inet_csk_listen_start",
        r#"[{"sock_arg":{"family":"AF_INET","saddr":"10.0.0.2","daddr":"0.0.0.0","sport":4444,"dport":0}}]"#,
        "network_connect",
        "10.0.0.2:4444",
    ),
    (
        "unix_stream_connect",
        r#"[{"sockaddrun_arg":{"family":"AF_UNIX","path":"/run/docker.sock"}}]"#,
        "network_connect",
        "/run/docker.sock",
    ),
    (
        "security_socket_bind",
        r#"[{"sockaddr_arg":{"family":"AF_INET6","addr":"::1","port":53}}]"#,
        "network_connect",
        "::1:53",
    ),
    ("security_bprm_check", r#"[{"linux_binprm_arg":{"path":"/tmp/x","permission":"-rwxr-xr-x"}}]"#, "exec", "/tmp/x"),
    (
        "security_bpf_prog_load",
        r#"[{"bpf_prog_arg":{"ProgType":"BPF_PROG_TYPE_KPROBE","InsnCnt":12,"ProgName":"x"}}]"#,
        "bpf",
        "x",
    ),
    ("sys_write", r#"[{"int_arg":1},{"truncated_bytes_arg":{"orig_size":"5000","bytes_arg":"aGVs"}}]"#, "write", ""),
    (
        "cap_capable",
        r#"[{"user_ns_arg":{"level":0}},{"capability_arg":{"value":21,"name":"CAP_SYS_ADMIN"}}]"#,
        "capability",
        "CAP_SYS_ADMIN",
    ),
    ("create_user_ns", r#"[{"user_namespace_arg":{"level":0,"ns":{"is_host":true}}}]"#, "namespace", ""),
    ("sys_setuid", r#"[{"int_arg":0}]"#, "setuid", "0"),
    ("sys_enter_ptrace", r#"[{"long_arg":"16"},{"long_arg":"1"}]"#, "process_inject", ""),
    ("security_kernel_module_request", r#"[{"string_arg":"net-pf-10"}]"#, "module_request", "net-pf-10"),
];

/// The events of other kinds, and of kinds that are not there yet.
const KINDS: [(&str, &str, &str, &str); 6] = [
    ("process_loader", r#"{"path":"/tmp/e.so","buildid":"AA=="}"#, "load", "/tmp/e.so"),
    (
        "process_uprobe",
        r#"{"path":"/bin/bash","symbol":"readline","return":{"string_arg":"ls"},"offset":"12"}"#,
        "uprobe",
        "/bin/bash:readline",
    ),
    (
        "process_usdt",
        r#"{"path":"/usr/lib/libc.so.6","provider":"libc","name":"setjmp","args":[]}"#,
        "usdt",
        "/usr/lib/libc.so.6:libc:setjmp",
    ),
    ("process_exec", r#"{"parent":null}"#, "exec", "/usr/bin/x"),
    ("process_exit", r#"{"signal":"SIGKILL","status":137,"time":"2026-05-28T19:00:02Z"}"#, "exit", ""),
    ("process_of_tomorrow", r#"{"more":[{"a":null}]}"#, "", ""),
];

pub const EVENTS: usize = HOOKS.len() + KINDS.len();

#[test]
fn events_say_what_is_done_and_to_what() {
    let event = |kind: &str, more: Value| {
        let process =
            json!({"exec_id": "a", "pid": 42, "uid": 0, "binary": "/usr/bin/x", "start_time": "2026-05-28T19:00:00Z"});
        let mut body = json!({"process": process, "parent": {"exec_id": "p", "pid": 10, "binary": "/bin/bash"}});
        more.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
        json!({kind: body, "node_name": "n", "time": "2026-05-28T19:00:02.123456789Z", "node_labels": {"a": "b"}})
            .to_string()
    };
    let mut lines = Vec::new();
    for (function, args, operation, target) in HOOKS {
        let args: Value = serde_json::from_str(args).unwrap();
        let hook =
            |name: &str| json!({name: function, "args": args, "policy_name": "p", "action": "KPROBE_ACTION_POST"});
        lines.push((event("process_kprobe", hook("function_name")), operation, target));
        lines.push((event("process_lsm", hook("function_name")), operation, target));
        lines.push((event("process_tracepoint", hook("event")), operation, target));
    }
    for (kind, more, operation, target) in KINDS {
        lines.push((event(kind, serde_json::from_str(more).unwrap()), operation, target));
    }
    let input: Vec<&str> = lines.iter().map(|(line, ..)| &**line).collect();
    let output = gate().write_stdin(input.join("\n")).output().expect("kiln runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("\"errors\": 0"), "{told}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.lines().count(), lines.len(), "{told}");
    for (said, (line, operation, target)) in said.lines().zip(&lines) {
        let said: Value = serde_json::from_str(said).unwrap();
        assert_eq!((said["operation"].as_str(), said["target"].as_str()), (Some(*operation), Some(*target)), "{line}");
    }
}
