//! Holds `bpf/include/abi.h` and [`super::layout`] together: a C compiler says what the header has.

use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use super::layout;
use crate::model::{KernelOp, Verb};

/// A C expression and what Rust has for it.
type Claim = (String, u64);

macro_rules! same {
    ($claims:ident, $rust:ty = $c:literal : $($field:ident),*) => {
        $claims.push((format!("sizeof(struct {})", $c), size_of::<$rust>() as u64));
        $($claims.push((
            format!("offsetof(struct {}, {})", $c, stringify!($field)),
            offset_of!($rust, $field) as u64,
        ));)*
        // Every field is named: together they fill the struct.
        let filled: usize = [$(size_of_field(|s: &$rust| &raw const s.$field)),*].iter().sum();
        assert_eq!(filled, size_of::<$rust>(), "{} has fields that are not compared", $c);
    };
}

fn size_of_field<S, F>(_: fn(&S) -> *const F) -> usize {
    size_of::<F>()
}

fn claims() -> Vec<Claim> {
    let mut c: Vec<Claim> = Vec::new();
    same!(c, layout::Outcome = "kiln_outcome": rule, severity, action, mode, reason);
    same!(c, layout::Decision = "kiln_decision": deny, would, watch, pad, outcome);
    same!(c, layout::Subject = "kiln_subject": path_start, net_start, exec_start, unit_start, path_default, net_default,
        fail, cap_off, kernel_off, verbs, cap_deny, cap_would, cap_watch, kernel_deny, kernel_would, kernel_watch, flags,
        net4_tcp, net4_udp, any_tcp, any_udp, kernel_detour, fail_net, guard_verbs, guard_start, guard_fail, window, row,
        quarantine);
    same!(c, layout::Header = "kiln_header": magic, abi_version, words, subjects_off, n_subjects, decisions_off,
        n_decisions, outcomes_off, n_outcomes, outcome_refs_off, n_outcome_refs, host_verbs, required_hooks_lo,
        required_hooks_hi, n_variants, n_rows, path_class, net_class, names_start, n_names, names_key,
        users_off, n_users);
    same!(c, layout::Resolvers = "kiln_resolvers": netns, n, server);
    same!(c, layout::State = "kiln_state": active, serial, turn, strays, moves, moving, backing, quarantines,
        audit_until, audit_serial, audit_labels, audit_unit, throttles);
    same!(c, layout::Schedule = "kiln_schedule": from, until, n, entry);
    same!(c, layout::Clock = "kiln_clock": timekeeper, trial, seen, turn, schedule);
    same!(c, layout::Mark = "kiln_mark": group, pass, label, pad, reserved);
    same!(c, layout::Groups = "kiln_groups": look, mark);
    same!(c, layout::Limit = "kiln_limit": files, rate);
    same!(c, layout::Traffic = "kiln_traffic": due, passed, dropped);
    same!(c, layout::Task = "kiln_task": label, flags);
    same!(c, layout::QuarantineKey = "kiln_quarantine_key": id, start);
    same!(c, layout::Quarantine = "kiln_quarantine": time_ns, serial, label, rule, pid, pad);
    same!(c, layout::Throttle = "kiln_throttle": time_ns, until_ns, serial, label, rule, pid, pad);
    let event = |field: &str, at: usize| (format!("offsetof(struct kiln_event, {field})"), at as u64);
    macro_rules! event {
        ($($field:ident),*) => { $(c.push(event(stringify!($field), offset_of!(layout::EventHeader, $field)));)* };
    }
    event!(
        time_ns,
        start_time_ns,
        generation,
        cgroup_id,
        pid,
        tid,
        ppid,
        uid,
        label,
        rule,
        verb,
        verdict,
        reason,
        object_kind,
        severity,
        action,
        mode,
        protocol,
        port,
        object_len,
        bit,
        comm,
        address
    );
    c.push(event("object", size_of::<layout::EventHeader>()));
    for (name, value) in [
        ("KILN_ABI_VERSION", u64::from(layout::ABI_VERSION)),
        ("KILN_ABI_MAGIC", u64::from(layout::ABI_MAGIC)),
        ("KILN_TABLES_BYTES", layout::TABLES_BYTES as u64),
        ("sizeof(struct kiln_tables)", layout::TABLES_BYTES as u64),
        ("KILN_WORDS", layout::WORDS as u64),
        ("KILN_SLOTS", layout::SLOTS as u64),
        ("KILN_SUBJECTS", layout::SUBJECTS as u64),
        ("KILN_GENERATIONS", u64::from(layout::GENERATIONS)),
        ("KILN_PATH_MAX", layout::PATH_MAX as u64),
        ("KILN_DEPTH_MAX", layout::DEPTH_MAX as u64),
        ("KILN_SCRATCHES", u64::from(layout::SCRATCHES)),
        ("KILN_NET_KEY", layout::NET_KEY as u64),
        ("KILN_OBJECT_VERBS", layout::OBJECT_VERBS as u64),
        ("KILN_VERBS", Verb::ALL.len() as u64),
        ("KILN_K_OPS", KernelOp::ALL.len() as u64),
        ("KILN_INACTIVE", u64::from(layout::INACTIVE)),
        ("KILN_TURN_SHIFT", u64::from(layout::TURN_SHIFT)),
        ("KILN_LABEL_HOST", u64::from(layout::LABEL_HOST)),
        ("KILN_LABEL_SENTINEL", u64::from(layout::LABEL_SENTINEL)),
        ("KILN_HOST_EXEC", u64::from(layout::HOST_EXEC)),
        ("KILN_FINAL", u64::from(layout::FINAL)),
        ("KILN_AUDIT_PIECE", layout::AUDIT_PIECE as u64),
        ("KILN_AUDIT_PIECES", layout::AUDIT_PIECES as u64),
        ("KILN_S_PROFILE", u64::from(layout::S_PROFILE)),
        ("KILN_S_SENTINEL", u64::from(layout::S_SENTINEL)),
        ("KILN_S_TIMED", u64::from(layout::S_TIMED)),
        ("KILN_S_USER", u64::from(layout::S_USER)),
        ("KILN_S_VARIES", u64::from(layout::S_VARIES)),
        ("KILN_UNSURE_WINDOW", u64::from(layout::UNSURE_WINDOW)),
        ("KILN_USER_SELECTORS", layout::USER_SELECTORS as u64),
        ("KILN_USERS", layout::USERS as u64),
        ("KILN_SUBJECT_WINDOWS", layout::SUBJECT_WINDOWS as u64),
        ("KILN_NO_WINDOW", u64::from(layout::NO_WINDOW)),
        ("KILN_WINDOWS", layout::WINDOWS as u64),
        ("KILN_OPENINGS", layout::OPENINGS as u64),
        ("KILN_H_EXEC", u64::from(layout::H_EXEC)),
        ("KILN_H_UNIT", u64::from(layout::H_UNIT)),
        ("KILN_H_PEER", u64::from(layout::H_PEER)),
        ("KILN_H_DATAGRAM", u64::from(layout::H_DATAGRAM)),
        ("KILN_H_RATES", u64::from(layout::H_RATES)),
        ("KILN_H_THROTTLE", u64::from(layout::H_THROTTLE)),
        ("KILN_THROTTLES", u64::from(layout::THROTTLES)),
        ("KILN_THROTTLE_NS", layout::THROTTLE_NS),
        ("KILN_THROTTLE_RATE", layout::THROTTLE_RATE),
        ("KILN_H_DNS", u64::from(layout::H_DNS)),
        ("KILN_S_DNS", u64::from(layout::S_DNS)),
        ("KILN_NAME_SETS", layout::NAME_SETS as u64),
        ("KILN_SERVERS", layout::SERVERS as u64),
        ("KILN_T_STARTING", u64::from(layout::T_STARTING)),
        ("KILN_T_EXEMPT", u64::from(layout::T_EXEMPT)),
        ("KILN_PLACES", layout::PLACES as u64),
        ("KILN_A_PID", u64::from(layout::agent_word::PID)),
        ("KILN_A_INODE", u64::from(layout::agent_word::INODE)),
        ("KILN_A_DEVICE", u64::from(layout::agent_word::DEVICE)),
        ("KILN_A_START", u64::from(layout::agent_word::START)),
        ("KILN_A_KEEPER_PID", u64::from(layout::agent_word::KEEPER_PID)),
        ("KILN_A_KEEPER_START", u64::from(layout::agent_word::KEEPER_START)),
        ("KILN_A_TELLING", u64::from(layout::agent_word::TELLING)),
        ("KILN_A_WORDS", u64::from(layout::agent_word::WORDS)),
        ("KILN_TICK", layout::TICK),
        ("sizeof(struct kiln_own_key)", size_of::<layout::OwnKey>() as u64),
        ("KILN_AT_MOUNT", u64::from(layout::AT_MOUNT)),
        ("KILN_AT_PEERS", u64::from(layout::AT_PEERS)),
        ("KILN_AT_NAMESPACE", u64::from(layout::AT_NAMESPACE)),
        ("KILN_OWN_TREE", u64::from(layout::OWN_TREE)),
        ("KILN_OWN_WAY", u64::from(layout::OWN_WAY)),
        ("KILN_OWN_GROUP", u64::from(layout::OWN_GROUP)),
        ("KILN_OWN_BITS", u64::from(layout::OWN_BITS)),
        ("KILN_HELPERS", u64::from(layout::HELPERS)),
        ("KILN_IN", 0),
        ("KILN_OUT", 1),
        ("KILN_LOOK_AGENT", u64::from(layout::LOOK_AGENT)),
        ("KILN_LOOK_STRAYS", u64::from(layout::LOOK_STRAYS)),
        ("KILN_LOOK_AGENT - 1", u64::from(layout::LOOK_VERBS)),
    ] {
        c.push((name.to_owned(), value));
    }
    for verb in Verb::ALL {
        c.push((format!("KILN_{}", verb.to_string().to_uppercase()), verb as u64));
    }
    for op in KernelOp::ALL {
        c.push((format!("KILN_K_{}", op.name().to_uppercase()), *op as u64));
    }
    c
}

#[test]
fn the_header_says_the_same() {
    let claims = claims();
    let dir = tempfile::tempdir().unwrap();
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf/include/abi.h");
    let mut source = format!("#include <linux/types.h>\n#include <stddef.h>\n#include {header:?}\n");
    for (expression, value) in &claims {
        source += &format!("_Static_assert({expression} == {value}ull, \"here {value}\");\n");
    }
    let file = dir.path().join("mirror.c");
    std::fs::write(&file, source).unwrap();
    let compiler = std::env::var_os("CLANG").unwrap_or("clang".into());
    let said =
        Command::new(compiler).args(["-fsyntax-only", "-ferror-limit=0"]).arg(&file).output().expect("clang is there");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
