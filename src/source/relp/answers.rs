//! The half of a connection that writes the answers, in order, each when it is due.

use std::io;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::super::end::ConnectionEnd;
use super::super::wire::Wire;
use super::patience::Patience;
use super::session;
use crate::crash::crash_point;
use crate::receipt::Outcome;

/// An answer to the sender.
pub(super) enum Answer {
    /// `200` for each message of one read, once they are delivered.
    Delivery(Delivery),
    /// An answer that waits only for the answers before it.
    Text(Vec<u8>),
}

/// Messages that were handed on together.
pub(super) struct Delivery {
    /// The number of the first message.
    pub(super) first: u32,
    pub(super) count: usize,
    pub(super) outcome: oneshot::Receiver<Outcome>,
    pub(super) due: Instant,
    /// The places of the messages in the window, which are freed by the acknowledgement.
    pub(super) places: OwnedSemaphorePermit,
}

/// Writes the answers in order until the reading half has ended and all answers are written, or until the sender has
/// gone. If this half has to end the session, it returns the reason and cancels `over`; the reading half cancels `over`
/// in the same way. A sender must take an answer within `limit`, and sooner if `patience` ends. After `stopped`, no
/// delivery is waited for.
pub(super) async fn write(
    wire: &Wire,
    mut answers: mpsc::Receiver<Answer>,
    limit: Duration,
    patience: &Patience<'_>,
    stopped: &CancellationToken,
    over: &CancellationToken,
) -> Option<ConnectionEnd> {
    while let Some(answer) = answers.recv().await {
        let (text, places, mut end) = match answer {
            Answer::Text(text) => (text, None, None),
            Answer::Delivery(Delivery { first, count, outcome, due, places }) => {
                let end = tokio::select! {
                    biased;
                    () = over.cancelled() => return None,
                    error = broken(wire.socket()) => Some(ConnectionEnd::Failed(error)),
                    end = wait(outcome, due, limit, stopped) => end,
                };
                if end.is_none() {
                    crash_point("before-answer");
                }
                let text = if end.is_none() { session::acknowledge(first, count) } else { session::server_close() };
                (text, Some(places), end)
            }
        };
        if let Err(error) = send(wire, &text, limit, patience).await {
            end = end.or(Some(ConnectionEnd::Failed(error)));
        }
        if places.is_some() {
            crash_point("after-answer");
        }
        drop(places);
        if end.is_some() {
            over.cancel();
            return end;
        }
    }
    None
}

/// Waits for a delivery. Returns `None` if it can be acknowledged, otherwise the reason why not.
async fn wait(
    outcome: oneshot::Receiver<Outcome>,
    due: Instant,
    limit: Duration,
    stopped: &CancellationToken,
) -> Option<ConnectionEnd> {
    tokio::select! {
        biased;
        outcome = timeout_at(due, outcome) => match outcome {
            Ok(Ok(Outcome::Delivered)) => None,
            Ok(_) => Some(ConnectionEnd::Failed(io::Error::other("a sink did not take its messages; it has to send them again"))),
            Err(_) => Some(ConnectionEnd::Failed(late(format!(
                "a sink has not delivered its messages within acknowledge_timeout, {limit:?}; it has to send them again"
            )))),
        },
        () = stopped.cancelled() => Some(ConnectionEnd::Stopped),
    }
}

/// Waits until the connection is reset, and returns the error. The reading half would not notice while it waits for its
/// window or for a sink.
async fn broken(socket: &TcpStream) -> io::Error {
    let error = match socket.ready(Interest::ERROR).await {
        Ok(_) => socket.take_error(),
        Err(error) => Err(error),
    };
    error.unwrap_or_else(Some).unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
}

async fn send(wire: &Wire, bytes: &[u8], limit: Duration, patience: &Patience<'_>) -> io::Result<()> {
    match patience.wait(timeout(limit, wire.write(bytes))).await {
        Some(Ok(written)) => written,
        Some(Err(_)) => Err(late(format!("it has not read its answers within acknowledge_timeout, {limit:?}"))),
        None => Err(late("it did not read its answers while other connections waited to be read".to_owned())),
    }
}

fn late(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests;
