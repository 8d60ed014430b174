//! Lines on standard output, which the journal reads.

use std::io::Write;

/// Writes one JSON line; a closed or full standard output must not stop the agent.
pub fn print_line<T: serde::Serialize>(value: &T) {
    if let Ok(mut line) = serde_json::to_vec(value) {
        line.push(b'\n');
        let _ = std::io::stdout().lock().write_all(&line);
    }
}

/// Writes text and a line end; as [`print_line`], whoever reads may be gone.
pub fn print_text(text: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// What a command found: for machines or for people.
pub fn print<T: serde::Serialize + std::fmt::Display>(value: &T, json: bool) {
    if json { print_line(value) } else { print_text(value) }
}

/// A line of the agent's own words.
pub fn notice(text: &dyn std::fmt::Display) {
    print_line(&serde_json::json!({"schema": "kiln.notice.v1", "notice": text.to_string()}));
}

/// A line about what failed and was survived.
pub fn error(error: &dyn std::fmt::Display) {
    print_line(&serde_json::json!({"schema": "kiln.error.v1", "error": error.to_string()}));
}
