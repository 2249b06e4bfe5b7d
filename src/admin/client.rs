//! The client of the commands: asks a running daemon over its unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONNECTION, HOST};
use axum::http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Maximum time for an answer.
const TIME: Duration = Duration::from_secs(30);
/// Maximum size of an answer, in bytes.
const SIZE: usize = 64 << 20;

/// Answer of the daemon.
#[derive(Debug)]
pub struct AdminAnswer {
    /// Status of HTTP.
    pub status: StatusCode,
    /// The body, which is JSON.
    pub body: Vec<u8>,
}

/// Reason why the daemon cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens at the socket.
    #[error("cannot ask the daemon at {}: {error}{}", path.display(), cure(error))]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Cause.
        error: io::Error,
    },
    /// The daemon refuses the request.
    #[error("the daemon at {} refuses: {reason}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// Its reason.
        reason: String,
    },
    /// The daemon did not give a whole answer.
    #[error("the daemon at {} gave no answer: {reason}; `ps` and its log say more", path.display())]
    Answer {
        /// The socket.
        path: PathBuf,
        /// Cause.
        reason: String,
    },
}

/// Returns what to do about a socket to which nobody can connect.
fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; start it, or name its `socket` of [admin] with `--socket`",
        io::ErrorKind::ConnectionRefused => "; it has ended: start it again",
        io::ErrorKind::PermissionDenied => "; run the command as the daemon's user or group, or as root",
        _ => "",
    }
}

/// Asks the daemon at the socket `path` for `request`: a path of the admin server, with its query.
///
/// # Errors
///
/// The daemon does not run, or gives no answer in time.
pub fn ask(path: &Path, request: &str) -> Result<AdminAnswer, AskError> {
    let failed = |reason: String| AskError::Answer { path: path.to_owned(), reason };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    runtime.block_on(async {
        let connect = timeout(TIME, UnixStream::connect(path)).await;
        let stream = connect.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|error| AskError::Connect { path: path.to_owned(), error })?;
        match timeout(TIME, exchange(stream, request)).await {
            Ok(answer) => answer.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed(format!("it took longer than {} s", TIME.as_secs()))),
        }
    })
}

async fn exchange(stream: UnixStream, request: &str) -> Result<AdminAnswer, axum::BoxError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder().uri(request).header(HOST, "localhost").header(CONNECTION, "close");
    let request = request.body(Body::empty())?;
    // The connection ends with its answer.
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), SIZE).await?;
    connection.abort();
    Ok(AdminAnswer { status, body: body.into() })
}

impl AdminAnswer {
    /// Returns the error that the daemon names; its status if it names none.
    pub fn error(&self) -> String {
        let error = self.json().and_then(|body| Some(body.get("error")?.as_str()?.to_owned()));
        error.unwrap_or_else(|| format!("the daemon answers {}", self.status))
    }

    /// Returns the body, if it is JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}
