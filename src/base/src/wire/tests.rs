//! What goes over the wire, byte by byte, and what is taken of a peer of another version.

use super::*;

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn stream(line: &str) -> serde_json::Result<StreamMessage> {
    serde_json::from_str(line)
}

#[test]
fn stream_lines() {
    let hello = r#"{"type":"hello","instance":"i-1","time":"2026-01-05T09:00:00Z","heartbeat_seconds":7,"more":1}"#;
    assert!(matches!(stream(hello).unwrap(), StreamMessage::Hello { heartbeat_seconds: 7, .. }));
    let hello = r#"{"type":"hello","instance":"i-1","time":"2026-01-05T09:00:00Z"}"#;
    assert!(matches!(stream(hello).unwrap(), StreamMessage::Hello { heartbeat_seconds: HEARTBEAT_SECONDS, .. }));
    assert!(matches!(stream(r#"{"type":"news","x":[]}"#).unwrap(), StreamMessage::Unknown));
    assert!(matches!(stream(r#"{"type":"heartbeat","time":"x"}"#).unwrap(), StreamMessage::Heartbeat { .. }));
    let close = r#"{"type":"close","reason":"shutdown","retry_after_ms":1000}"#;
    let message = stream(close).unwrap();
    assert!(
        matches!(&message, StreamMessage::Close { retry_after_ms: 1000, reason } if *reason == CloseReason::Shutdown)
    );
    assert_eq!(text(&message), close);
    let later = r#"{"type":"close","reason":"moved","retry_after_ms":1000}"#;
    assert_eq!(text(&stream(later).unwrap()), later);
    for bad in ["", "{}", "[]", r#"{"type":1}"#, r#"{"type":"assignment","sequence":-1}"#] {
        assert!(stream(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_acknowledgement_is_as_the_protocol_says() {
    let refused =
        AckRequest { outcome: AckOutcome::Refused, sequence: 3, serial: 4, evidence: None, reason: Some("x".into()) };
    assert_eq!(text(&refused), r#"{"outcome":"refused","sequence":3,"serial":4,"reason":"x"}"#);
}

#[test]
fn what_is_sent_byte_by_byte() {
    let facts = Facts {
        boot_id: "b".into(),
        kernel: "6.1".into(),
        hostname: Some("h".into()),
        machine_id: None,
        agent: Some("0.1.0".into()),
        serial: None,
        tables: None,
    };
    assert_eq!(
        text(&EnrolRequest { token: "t".into(), csr: "c".into(), facts }),
        r#"{"token":"t","csr":"c","facts":{"boot_id":"b","kernel":"6.1","hostname":"h","agent":"0.1.0"}}"#
    );
    assert_eq!(text(&RenewRequest { csr: "c".into() }), r#"{"csr":"c"}"#);
    assert_eq!(
        text(&ViolationsRequest { boot_id: "b".into(), dropped: 7, violations: Vec::new() }),
        r#"{"boot_id":"b","dropped":7,"violations":[]}"#
    );
}

#[test]
fn a_problem_of_something_between_is_read_as_far_as_it_goes() {
    let problem: ProblemBody = serde_json::from_str(r#"{"title":"Bad Gateway","hint":1}"#).unwrap();
    assert_eq!((problem.title.as_str(), problem.code.as_str(), problem.detail.as_str()), ("Bad Gateway", "", ""));
}
