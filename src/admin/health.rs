//! The command `health`: whether a running daemon does its work.

use std::path::Path;

use serde_json::Value;

use super::client::{self, AdminAnswer, AskError};

/// Asks the daemon at a socket, and returns what keeps it from its work; empty if nothing does.
///
/// # Errors
///
/// The daemon cannot be asked.
pub fn ask(socket: &Path) -> Result<Vec<String>, AskError> {
    let answer = client::ask(socket, "/ready")?;
    Ok(if answer.status.is_success() { Vec::new() } else { reasons(&answer) })
}

/// Returns the reasons in an answer; there is one at least.
fn reasons(answer: &AdminAnswer) -> Vec<String> {
    let body = answer.json().unwrap_or_default();
    let phase =
        body["phase"].as_str().filter(|phase| *phase != "running").map(|phase| format!("the daemon is {phase}"));
    let parts = [("source", "sources"), ("sink", "sinks")].into_iter().flat_map(|(what, list)| {
        let parts = body[list].as_array().map_or(&[][..], Vec::as_slice);
        parts.iter().filter_map(move |part| reason(what, part))
    });
    let reasons: Vec<_> = phase.into_iter().chain(parts).collect();
    if reasons.is_empty() { vec![answer.error()] } else { reasons }
}

fn reason(what: &str, part: &Value) -> Option<String> {
    Some(format!("{what} {}: {}", part["name"].as_str()?, part["reason"].as_str()?))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn reasons_in(body: &str) -> Vec<String> {
        reasons(&AdminAnswer { status: StatusCode::SERVICE_UNAVAILABLE, body: body.into() })
    }

    #[test]
    fn reasons_have_the_names_of_their_parts() {
        let body = r#"{"ready": false, "phase": "running", "sources": [{"name": "tcp", "ready": true, "reason": null}],
            "sinks": [{"name": "a", "ready": false, "reason": "no"}, {"name": "b", "ready": false, "reason": "away"}]}"#;
        assert_eq!(reasons_in(body), ["sink a: no", "sink b: away"]);
        let body = r#"{"ready": false, "phase": "stopping", "sources": [], "sinks": []}"#;
        assert_eq!(reasons_in(body), ["the daemon is stopping"]);
    }

    #[test]
    fn another_answer_is_a_reason_too() {
        assert_eq!(reasons_in(r#"{"error": "try again"}"#), ["try again"]);
        assert_eq!(reasons_in("nonsense"), ["the daemon answers 503 Service Unavailable"]);
    }
}
