//! OCSF Detection Finding (schema.ocsf.io, version 1.5.0): class 2004 of category 2.

use super::item::Item;
use super::options::Graded;
use super::render::{Members, array, reason, terms};
use crate::engine::{Action, Arena, Decision, State};

/// Numbers of the OCSF schema.
const CATEGORY_FINDINGS: u32 = 2;
const CLASS_DETECTION_FINDING: u32 = 2004;
const ACTIVITY_CREATE: u32 = 1;

/// OCSF's `severity_id`.
fn severity(state: State) -> (u32, &'static str) {
    match state {
        State::Healthy => (1, "Informational"),
        State::Primed => (3, "Medium"),
        State::Inflamed => (4, "High"),
        State::Necrotic => (5, "Critical"),
    }
}

/// OCSF's `action_id` and `disposition_id`. A dry run has done nothing: the disposition says what was detected.
fn response(action: Action, applied: bool) -> (u32, &'static str, u32, &'static str) {
    match (action, applied) {
        (Action::Allow, _) => (1, "Allowed", 1, "Allowed"),
        (_, false) => (3, "Observed", 15, "Detected"),
        (Action::Throttle, true) => (4, "Modified", 14, "Delayed"),
        (Action::Quarantine | Action::Honeypot, true) => (2, "Denied", 3, "Quarantined"),
        (Action::Kill, true) => (2, "Denied", 2, "Blocked"),
    }
}

/// Appends the finding.
pub(super) fn render(item: &Item, profile: &Graded, arena: &Arena, out: &mut Vec<u8>) {
    let o = &item.outcome;
    let applied = item.applied.as_ref().is_some_and(|applied| applied.applied);
    let (severity_id, severity) = severity(o.state);
    let (action_id, action, disposition_id, disposition) = response(o.action, applied);
    let time = (o.time / 1_000_000).max(0);
    let heaviest = item.terms.iter().max_by(|a, b| a.weight.total_cmp(&b.weight));
    let title = heaviest.map_or("ordinary activity", |term| reason(term, profile));

    let mut m = Members::open(out);
    m.integer("activity_id", ACTIVITY_CREATE);
    m.text("activity_name", b"Create");
    m.integer("category_uid", CATEGORY_FINDINGS);
    m.text("category_name", b"Findings");
    m.integer("class_uid", CLASS_DETECTION_FINDING);
    m.text("class_name", b"Detection Finding");
    m.integer("type_uid", CLASS_DETECTION_FINDING * 100 + ACTIVITY_CREATE);
    m.text("type_name", b"Detection Finding: Create");
    m.integer("time", time);
    m.integer("severity_id", severity_id);
    m.text("severity", severity.as_bytes());
    m.integer("status_id", 1u32);
    m.text("status", b"New");
    m.integer("action_id", action_id);
    m.text("action", action.as_bytes());
    m.integer("disposition_id", disposition_id);
    m.text("disposition", disposition.as_bytes());
    m.integer("risk_score", (o.signal * 100.0) as u32);
    m.integer("confidence_score", (o.suspicion * 100.0) as u32);
    m.boolean("is_alert", o.decision != Decision::Allow);
    m.text("message", title.as_bytes());

    let mut info = Members::open(m.name("finding_info"));
    let uid = format!("{:032x}-{}", item.key_hash, o.time);
    info.text("uid", uid.as_bytes());
    info.text("title", title.as_bytes());
    info.integer("created_time", time);
    if !arena.get(item.rule).is_empty() {
        let mut analytic = Members::open(info.name("analytic"));
        analytic.integer("type_id", 1u32);
        analytic.text("type", b"Rule");
        analytic.text("name", arena.get(item.rule));
        analytic.close();
    }
    info.close();

    array(m.name("evidences"), std::iter::once(()), |(), out| {
        let mut evidence = Members::open(out);
        let mut actor = Members::open(evidence.name("actor"));
        let mut process = Members::open(actor.name("process"));
        process.text("name", arena.get(item.name));
        process.integer("pid", item.pid);
        process.text("uid", arena.get(item.key));
        process.close();
        actor.close();
        let mut data = Members::open(evidence.name("data"));
        data.text("operation", arena.get(item.operation));
        data.text("target", arena.get(item.target));
        terms(item, profile, data.name("terms"));
        data.close();
        evidence.close();
    });

    let mut device = Members::open(m.name("device"));
    device.text("hostname", arena.get(item.host));
    device.integer("type_id", 0u32);
    device.text("type", b"Unknown");
    device.close();

    let mut metadata = Members::open(m.name("metadata"));
    metadata.text("version", b"1.5.0");
    metadata.name("profiles").extend_from_slice(b"[\"host\",\"security_control\"]");
    metadata.text("log_name", item.source.as_str().as_bytes());
    let mut product = Members::open(metadata.name("product"));
    product.text("name", b"Kiln");
    product.text("vendor_name", b"Kiln");
    product.text("version", env!("CARGO_PKG_VERSION").as_bytes());
    let mut feature = Members::open(product.name("feature"));
    feature.text("name", b"gate");
    feature.close();
    product.close();
    metadata.close();

    let mut unmapped = Members::open(m.name("unmapped"));
    unmapped.text("decision", o.decision.as_str().as_bytes());
    unmapped.text("kernel_action", o.action.as_str().as_bytes());
    unmapped.text("cell_state", o.state.as_str().as_bytes());
    unmapped.share("antibody_load_prev", o.before);
    unmapped.share("antibody_load_now", o.now);
    unmapped.share("membrane_stress", o.tissue);
    unmapped.text("identity", item.identity.as_str().as_bytes());
    unmapped.some("priority", arena.get(item.priority));
    unmapped.close();
    m.close();
}
