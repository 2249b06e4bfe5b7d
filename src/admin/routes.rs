//! The paths and their answers.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::AdminQuestion;
use super::guard::RequestRefusal;
use super::trace::{self, AnswerLimits};
use crate::metrics::{self, MetricsFormat};
use crate::status::Snapshot;

/// Maximum time in which the app answers. It does at once, unless the machine is overloaded.
const APP: Duration = Duration::from_secs(5);
/// Number of questions that wait for the app. Each connection has one at most.
const QUESTIONS: usize = 64;

/// Type of every answer but that of `/metrics`.
const JSON: &str = "application/json";

/// The paths, for an error that lists them.
const PATHS: [(&str, &str); 6] = [
    ("/live", "whether the process runs"),
    ("/ready", "whether each source and sink does its work"),
    ("/ledger", "the counts of the ledger"),
    ("/metrics", "metrics for Prometheus, as text"),
    ("/api/status", "the state of the daemon"),
    ("/trace?q=QUERY", "messages with a queue id, a Message-ID or an address"),
];

/// Source of the answers.
#[derive(Clone, Debug)]
pub struct AdminState {
    questions: mpsc::Sender<AdminQuestion>,
}

impl AdminState {
    /// Returns the state for all listeners, and the questions that the app has to answer.
    pub fn new() -> (Self, mpsc::Receiver<AdminQuestion>) {
        let (questions, asked) = mpsc::channel(QUESTIONS);
        (Self { questions }, asked)
    }

    /// Asks the app.
    pub(super) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> AdminQuestion,
    ) -> Result<T, AdminFailure> {
        let ask = async {
            let (place, answer) = oneshot::channel();
            self.questions.send(question(place)).await.ok()?;
            answer.await.ok()
        };
        let busy = (StatusCode::SERVICE_UNAVAILABLE, "the daemon ends, or is too busy to answer; try again".to_owned());
        timeout(APP, ask).await.ok().flatten().ok_or(busy)
    }
}

/// Status of an error, and its text for the operator.
pub(super) type AdminFailure = (StatusCode, String);
type AdminResponse = Response<Body>;

/// Returns the paths of one listener, with limits of its own: clients of another listener do not use them up.
pub(super) fn router(state: AdminState) -> Router {
    let limits = AnswerLimits::default();
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/ledger", get(ledger))
        .route("/metrics", get(metrics))
        .route("/api/status", get(status))
        .route("/trace", get(move |State(state): State<AdminState>, uri: Uri| trace(state, limits, uri)))
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .with_state(state)
}

async fn live() -> AdminResponse {
    as_json(StatusCode::OK, &json!({ "live": true }))
}

async fn ready(State(state): State<AdminState>) -> AdminResponse {
    of_snapshot(&state, |snapshot| {
        let readiness = snapshot.readiness();
        let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        as_json(status, &readiness.json())
    })
    .await
}

async fn ledger(State(state): State<AdminState>) -> AdminResponse {
    of_snapshot(&state, |snapshot| as_json(StatusCode::OK, &snapshot.ledger_json())).await
}

async fn status(State(state): State<AdminState>) -> AdminResponse {
    of_snapshot(&state, |snapshot| as_json(StatusCode::OK, &snapshot.json())).await
}

/// Answers in the format that the request asks for.
async fn metrics(State(state): State<AdminState>, headers: HeaderMap) -> AdminResponse {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = MetricsFormat::accepted(accepted);
    of_snapshot(&state, |snapshot| with_body(StatusCode::OK, format.content_type(), metrics::text(snapshot, format)))
        .await
}

async fn of_snapshot(state: &AdminState, show: impl FnOnce(Snapshot) -> AdminResponse) -> AdminResponse {
    state.ask(AdminQuestion::Status).await.map_or_else(failed, show)
}

async fn trace(state: AdminState, limits: AnswerLimits, uri: Uri) -> AdminResponse {
    match trace::answer(&state, &limits, uri.query().unwrap_or_default()).await {
        Ok(body) => with_body(StatusCode::OK, JSON, body),
        Err(failure) => failed(failure),
    }
}

async fn no_path(uri: Uri) -> AdminResponse {
    let paths: Value = PATHS.iter().map(|(path, what)| ((*path).to_owned(), Value::from(*what))).collect();
    let error = format!("there is nothing at {}; ask for one of the paths", uri.path());
    as_json(StatusCode::NOT_FOUND, &json!({ "error": error, "paths": paths }))
}

async fn no_method() -> AdminResponse {
    let mut response = failed((StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here; use GET or HEAD".into()));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// Returns the answer to a request that is refused.
pub(super) fn refused(refusal: RequestRefusal) -> AdminResponse {
    let mut response = failed((refusal.status(), refusal.text().to_owned()));
    if refusal == RequestRefusal::NoToken {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Adds the headers that every answer has: browsers show it as what it is, run nothing in it, keep nothing of it, and
/// give nothing of it to other sites.
pub(super) fn protected(mut response: AdminResponse) -> AdminResponse {
    const ALWAYS: [(HeaderName, &str); 4] = [
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn failed((status, error): AdminFailure) -> AdminResponse {
    as_json(status, &json!({ "error": error }))
}

fn as_json(status: StatusCode, value: &Value) -> AdminResponse {
    with_body(status, JSON, format!("{value:#}\n"))
}

/// Returns an answer with a body of this type.
fn with_body(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> AdminResponse {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests;
