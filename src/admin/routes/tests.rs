use axum::body::to_bytes;
use axum::http::Request;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::*;
use crate::ledger::{SinkCounts, SourceCounts};
use crate::mail_counts::MailTotals;
use crate::status::{Balance, Ledger, Phase, Program, Reload};

fn snapshot(phase: Phase) -> Snapshot {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let (sources, sinks) = (SourceCounts::default(), SinkCounts::default());
    Snapshot {
        at,
        phase,
        program: Program { version: "1.2.3", commit: None, pid: 7, started_at: at },
        reload: Reload::default(),
        ledger: Ledger { balance: Balance::Holds, unparsed: 0, created: 0, sources, sinks },
        correlate: None,
        mail: MailTotals::default().now(),
        sources: Vec::new(),
        sinks: Vec::new(),
    }
}

/// Asks a server whose app is in `phase` and joins no lines. Returns the status, the value of `Allow`, and the body.
async fn ask(method: &str, path: &str, phase: Phase) -> (u16, Option<String>, Value) {
    let (state, mut asked) = AdminState::new();
    let app = tokio::spawn(async move {
        while let Some(question) = asked.recv().await {
            match question {
                AdminQuestion::Status(place) => place.send(snapshot(phase)).unwrap(),
                AdminQuestion::Joins(place) => assert!(place.send(None).is_ok()),
            }
        }
    });
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let response = TowerToHyperService::new(router(state)).call(request).await.unwrap();
    app.abort();
    let (status, allow) = (response.status().as_u16(), response.headers().get(ALLOW).cloned());
    let allow = allow.map(|allow| allow.to_str().unwrap().to_owned());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, allow, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
}

#[tokio::test]
async fn each_path_has_its_answer() {
    let state = snapshot(Phase::Running);
    let get = |path| ask("GET", path, Phase::Running);
    assert_eq!(get("/live").await.2, json!({ "live": true }));
    assert_eq!(get("/ready").await.2, state.readiness().json());
    assert_eq!(get("/ledger").await.2, state.ledger_json());
    assert_eq!(get("/api/status?x").await.2, state.json());
    for path in ["/live", "/ready", "/ledger", "/api/status"] {
        assert_eq!(get(path).await.0, 200, "{path}");
    }
    let (status, _, body) = ask("GET", "/ready", Phase::Stopping).await;
    assert_eq!((status, &body["phase"]), (503, &json!("stopping")));
}

#[tokio::test]
async fn nothing_but_get_and_head_is_permitted() {
    for (path, _) in PATHS {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let (status, allow, body) = ask(method, path, Phase::Running).await;
            assert_eq!((status, allow.as_deref()), (405, Some("GET, HEAD")), "{method} {path}");
            assert!(body["error"].as_str().unwrap().contains("use GET or HEAD"));
        }
    }
    assert_eq!(ask("HEAD", "/ready", Phase::Running).await.0, 200);
    assert_eq!(ask("HEAD", "/ready", Phase::Stopping).await.0, 503);
}

#[tokio::test]
async fn an_unknown_path_lists_the_paths() {
    for path in ["/", "/metric", "/live/", "//live", "/../live", "/%6cive"] {
        let (status, _, body) = ask("GET", path, Phase::Running).await;
        assert_eq!(status, 404, "{path}");
        assert!(body["error"].as_str().unwrap().contains(&format!("nothing at {path};")), "{body}");
        assert_eq!(body["paths"].as_object().unwrap().len(), PATHS.len());
    }
}

#[tokio::test]
async fn a_wrong_query_says_what_is_wrong() {
    for (query, said) in [
        ("", "q=QUERY"),
        ("?q=", "q=QUERY"),
        ("?q=%20%3C%3E", "q=QUERY"),
        ("?q=a&last=0", "last"),
        ("?q=a&last=1001", "last"),
        ("?q=a&lang=fr", "lang"),
        ("?q=a&zone=Mars/Olympus", "zone"),
        ("?q=a&limit=1", "limit"),
        ("?q=a&width=1", "width"),
    ] {
        let (status, _, body) = ask("GET", &format!("/trace{query}"), Phase::Running).await;
        assert!(status == 400 && body["error"].as_str().unwrap().contains(said), "{query}: {body}");
    }
    let (status, _, body) = ask("GET", "/trace?q=4jYR9Q2wTjz18T", Phase::Running).await;
    assert!(status == 404 && body["error"].as_str().unwrap().contains("`enabled` in [correlate]"), "{body}");
}

#[tokio::test]
async fn an_app_that_ends_gives_an_error() {
    let (state, asked) = AdminState::new();
    drop(asked);
    assert_eq!(state.ask(AdminQuestion::Status).await.unwrap_err().0, StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn each_answer_protects_its_reader() {
    let response = protected(failed((StatusCode::NOT_FOUND, String::new())));
    let header = |name| response.headers()[name].to_str().unwrap();
    assert!(header("content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!((header("cache-control"), header("content-type")), ("no-store", "application/json"));
    assert!(!response.headers().keys().any(|name| name.as_str().starts_with("access-control")));
    let refused = refused(RequestRefusal::NoToken);
    assert_eq!(
        (refused.status(), &refused.headers()[WWW_AUTHENTICATE]),
        (StatusCode::UNAUTHORIZED, &HeaderValue::from_static("Bearer"))
    );
}
