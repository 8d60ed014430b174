//! The output line.

use super::model::{Judged, Outcome};
use super::options::Options;
use super::preview;
use crate::engine::json::write_ascii_escaped;
use crate::engine::python::write_round4;
use crate::engine::{Action, Applied, Arena, PlanOptions, Span};

/// Appends one line, without its newline. `suppressed` says that the cooldown swallowed the plan.
pub fn render(
    judged: &Judged,
    outcome: &Outcome,
    suppressed: bool,
    applied: Option<&Applied>,
    options: &Options,
    arena: &Arena,
    out: &mut Vec<u8>,
) {
    let text = |name: &str, value: Span, out: &mut Vec<u8>| {
        out.extend_from_slice(name.as_bytes());
        if judged.plain {
            out.push(b'"');
            arena.append(value, out);
            out.push(b'"');
        } else {
            write_ascii_escaped(arena.get(value), out);
        }
    };
    let word = |name: &str, value: &str, out: &mut Vec<u8>| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    };
    text("{\"host\":", judged.host, out);
    out.extend_from_slice(b",\"pid\":");
    arena.append(judged.pid, out);
    text(",\"process_name\":", judged.process_name, out);
    text(",\"operation\":", judged.operation, out);
    text(",\"target\":", judged.target, out);
    word(",\"decision\":\"", judged.decision.as_str(), out);
    word(",\"kernel_action\":\"", outcome.action.as_str(), out);
    word(",\"cell_state\":\"", outcome.state.as_str(), out);
    out.extend_from_slice(b",\"suspicion\":");
    write_round4(judged.suspicion, out);
    out.extend_from_slice(b",\"antibody_load_prev\":");
    write_round4(outcome.before, out);
    out.extend_from_slice(b",\"antibody_load_now\":");
    write_round4(outcome.now, out);
    out.extend_from_slice(b",\"membrane_stress\":");
    write_round4(judged.stress, out);
    out.extend_from_slice(b",\"notes\":");
    judged.notes.write(arena.get(judged.operation), outcome, out);
    if options.include_kernel_event {
        out.extend_from_slice(b",\"kernel_event\":");
        out.extend_from_slice(arena.get(judged.event));
    }
    if let Some(enforcement) = &options.enforcement {
        out.extend_from_slice(b",\"enforcement\":");
        plan(judged, outcome, suppressed, applied, enforcement, arena, out);
    }
    out.push(b'}');
}

fn list(name: &str, items: impl Iterator<Item = impl AsRef<[u8]>>, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_ascii_escaped(item.as_ref(), out);
    }
    out.push(b']');
}

fn plan(
    judged: &Judged,
    outcome: &Outcome,
    suppressed: bool,
    applied: Option<&Applied>,
    plan: &PlanOptions,
    arena: &Arena,
    out: &mut Vec<u8>,
) {
    let text = |name: &str, value: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(name.as_bytes());
        write_ascii_escaped(value, out);
    };
    let bool = |name: &str, value: bool, out: &mut Vec<u8>| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(if value { b"true" } else { b"false" });
    };
    let acts = outcome.action != Action::Allow && !suppressed;
    let rationale = match (outcome.action, suppressed) {
        (Action::Allow, _) => "no enforcement needed for ALLOW".to_owned(),
        (_, true) => "cooldown active; duplicate enforcement suppressed".to_owned(),
        (action, false) => format!("enforcement mapped from kernel_action={}", action.as_str()),
    };
    let none = Applied::default();
    let applied = applied.unwrap_or(&none);
    text("{\"process_key\":", arena.get(judged.key), out);
    text(",\"kernel_action\":", outcome.action.as_str().as_bytes(), out);
    let commands = if acts { preview::commands(judged, outcome, plan, arena) } else { Vec::new() };
    list(",\"commands\":", commands.iter(), out);
    text(",\"rationale\":", rationale.as_bytes(), out);
    bool(",\"dry_run\":", !plan.apply, out);
    bool(",\"applied\":", applied.applied, out);
    list(",\"failures\":", applied.failures.iter(), out);
    bool(",\"cooldown_skipped\":", suppressed && outcome.action != Action::Allow, out);
    list(",\"backend_names\":", plan.backends.iter(), out);
    list(",\"backend_details\":", applied.details.iter(), out);
    out.extend_from_slice(b",\"action\":");
    if !acts {
        out.extend_from_slice(b"null}");
        return;
    }
    text("{\"process_key\":", arena.get(judged.key), out);
    text(",\"kernel_action\":", outcome.action.as_str().as_bytes(), out);
    text(",\"host\":", arena.get(judged.host), out);
    out.extend_from_slice(b",\"pid\":");
    out.extend_from_slice(arena.get(judged.pid));
    text(",\"process_name\":", arena.get(judged.process_name), out);
    text(",\"operation\":", arena.get(judged.operation), out);
    text(",\"target\":", arena.get(judged.target), out);
    text(",\"rationale\":", rationale.as_bytes(), out);
    text(",\"quarantine_dir\":", plan.quarantine_dir.as_bytes(), out);
    text(",\"metadata\":{\"decision\":", judged.decision.as_str().as_bytes(), out);
    text(",\"cell_state\":", outcome.state.as_str().as_bytes(), out);
    out.extend_from_slice(b",\"suspicion\":");
    write_round4(judged.suspicion, out);
    bool(",\"block_execution\":", outcome.block, out);
    bool(",\"isolate_process\":", outcome.isolate, out);
    bool(",\"quarantine_target\":", outcome.quarantine_target, out);
    out.extend_from_slice(b"}}}");
}
