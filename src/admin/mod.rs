//! The admin server: tells the state of the daemon over HTTP, on loopback or with a token, and over a unix socket.
//!
//! ```text
//! TCP, unix socket --> limits (serve.rs) --> rules (guard.rs) --> paths (routes.rs) --question--> app: a snapshot
//! ```
//!
//! It costs nothing per line. Nothing of it waits for the pipeline, and the pipeline for nothing of it: the app answers
//! with a snapshot between two of its own events. Whoever connects controls nothing without a limit.

pub mod client;
mod guard;
pub mod health;
mod listen;
mod routes;
mod serve;

pub use self::listen::{AdminError, AdminListeners};
pub use self::routes::AdminState;
pub use self::serve::{MOST_TCP, MOST_UNIX};

use tokio::sync::oneshot;

use crate::status::Snapshot;

/// A question to the app, with the place for its answer.
#[derive(Debug)]
pub enum AdminQuestion {
    /// The state of the daemon now.
    Status(oneshot::Sender<Snapshot>),
}

/// Path of the unix socket unless the configuration names another one.
pub const SOCKET: &str = "/var/lib/postrider/admin.sock";
