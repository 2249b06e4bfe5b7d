//! The admin server: tells the state of the daemon over HTTP, on loopback or with a token, and over a unix socket.
//!
//! ```text
//! TCP, unix socket --> limits (serve.rs) --> rules (guard.rs) --> paths (routes.rs) --question--> app: a snapshot
//!                                                                        \\---------------------> the joins: messages
//! ```
//!
//! It costs nothing per line. Nothing of it waits for the pipeline, and the pipeline for nothing of it: the app answers
//! with a snapshot between two of its own events, and the joins are searched in parts (`trace.rs`). Whoever connects
//! controls nothing without a limit.

pub mod client;
mod guard;
pub mod health;
mod listen;
mod routes;
mod serve;
pub mod trace;

pub use self::listen::{AdminError, AdminListeners};
pub use self::routes::AdminState;
pub use self::serve::{MOST_TCP, MOST_UNIX};

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::correlate::Correlator;
use crate::status::Snapshot;

/// A question to the app, with the place for its answer.
#[derive(Debug)]
pub enum AdminQuestion {
    /// The state of the daemon now.
    Status(oneshot::Sender<Snapshot>),
    /// The joins; `None` if lines are not joined.
    Joins(oneshot::Sender<Option<Arc<Correlator>>>),
}

/// Path of the unix socket unless the configuration names another one.
pub const SOCKET: &str = "/var/lib/postrider/admin.sock";
