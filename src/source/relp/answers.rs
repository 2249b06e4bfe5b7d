//! The half of a connection that writes the answers, in order, each when it is due.

use std::io;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::super::end::ConnectionEnd;
use super::super::outcomes::Outcomes;
use super::super::wire::Wire;
use super::patience::Patience;
use super::session;
use crate::crash::crash_point;
use crate::receipt::Outcome;

/// An answer to the sender, and the outcome that it waits for. An answer without one waits only for the answers before
/// it.
pub(super) type Queued = (Answer, Option<oneshot::Receiver<Outcome>>);

/// An answer to the sender.
#[derive(Debug)]
pub(super) enum Answer {
    /// `200` for each message of one read, once they are delivered.
    Delivery(HandedOnMessages),
    /// Any other answer.
    Text(Vec<u8>),
}

/// Messages that were handed on together.
#[derive(Debug)]
pub(super) struct HandedOnMessages {
    /// The number of the first message.
    pub(super) first: u32,
    pub(super) count: usize,
    pub(super) due: Instant,
    /// The places of the messages in the window, which are freed by the acknowledgement.
    pub(super) places: OwnedSemaphorePermit,
}

/// The half of a connection that writes the answers.
pub(super) struct AnswerWriter<'c> {
    pub(super) wire: &'c Wire,
    /// Maximum time in which the sinks must deliver messages, and in which the sender must take an answer. It has less
    /// time for the latter if `patience` ends.
    pub(super) limit: Duration,
    pub(super) patience: &'c Patience<'c>,
    /// Cancelled when no delivery is to be waited for any more.
    pub(super) stopped: &'c CancellationToken,
    /// Cancelled by the half that ends the session.
    pub(super) over: &'c CancellationToken,
}

/// Next event for an [`AnswerWriter`].
enum Next {
    /// The reading half queued an answer; `None` if it has ended.
    Queued(Option<Queued>),
    /// The first answer has to be written.
    Answer(Answer),
    /// The messages of the first answer cannot be acknowledged, and the session ends.
    End(ConnectionEnd),
    /// The reading half has ended the session.
    Over,
}

// === impl AnswerWriter ===

impl AnswerWriter<'_> {
    /// Writes the answers in order until the reading half has ended and all answers are written, or until the sender
    /// has gone. If this half has to end the session, it returns the reason and cancels `over`.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Queued>) -> Option<ConnectionEnd> {
        // As many as the window and the queue allow.
        let mut answers = Outcomes::default();
        let mut is_reading = true;
        while is_reading || !answers.is_empty() {
            let end = match self.next(&mut queue, &mut answers, is_reading).await {
                Next::Queued(Some((answer, outcome))) => {
                    answers.push(answer, outcome);
                    continue;
                }
                Next::Queued(None) => {
                    is_reading = false;
                    continue;
                }
                Next::Over => return None,
                Next::Answer(answer) => self.write(answer).await,
                Next::End(end) => self.close(end).await,
            };
            if end.is_some() {
                self.over.cancel();
                return end;
            }
        }
        None
    }

    async fn next(&self, queue: &mut mpsc::Receiver<Queued>, answers: &mut Outcomes<Answer>, is_reading: bool) -> Next {
        // The time of the first answer, if it waits for a delivery.
        let due = match answers.front() {
            Some(Answer::Delivery(delivery)) => Some(delivery.due),
            Some(Answer::Text(_)) | None => None,
        };
        let (is_waiting, has_answer) = (due.is_some(), !answers.is_empty());
        tokio::select! {
            biased;
            () = self.over.cancelled(), if is_waiting => Next::Over,
            error = broken(self.wire.socket()), if is_waiting => Next::End(ConnectionEnd::Failed(error)),
            queued = queue.recv(), if is_reading => Next::Queued(queued),
            next = answers.next(), if has_answer => match next {
                Some((answer, Outcome::Delivered)) => Next::Answer(answer),
                _ => Next::End(ConnectionEnd::Failed(io::Error::other(
                    "a sink did not take the messages; the sender must send them again",
                ))),
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if is_waiting => {
                Next::End(ConnectionEnd::Failed(late(format!(
                    "a sink has not delivered the messages within acknowledge_timeout ({:?}); the sender must send them again",
                    self.limit
                ))))
            }
            () = self.stopped.cancelled(), if is_waiting => Next::End(ConnectionEnd::Stopped),
        }
    }

    /// Writes an answer. Returns the end of the session if the sender does not take it.
    async fn write(&self, answer: Answer) -> Option<ConnectionEnd> {
        match answer {
            Answer::Text(text) => self.send(&text).await,
            Answer::Delivery(HandedOnMessages { first, count, places, .. }) => {
                crash_point("before-answer");
                let end = self.send(&session::acknowledge(first, count)).await;
                crash_point("after-answer");
                drop(places);
                end
            }
        }
    }

    /// Tells the sender that the session ends, and returns why.
    async fn close(&self, end: ConnectionEnd) -> Option<ConnectionEnd> {
        // `end` is what the log has to say, even if the sender has gone.
        let _ = self.send(&session::server_close()).await;
        Some(end)
    }

    async fn send(&self, bytes: &[u8]) -> Option<ConnectionEnd> {
        let error = match self.patience.wait(timeout(self.limit, self.wire.write(bytes))).await {
            Some(Ok(Ok(()))) => return None,
            Some(Ok(Err(error))) => error,
            Some(Err(_)) => {
                late(format!("the sender has not read its answers within acknowledge_timeout ({:?})", self.limit))
            }
            None => late("the sender did not read its answers while other connections waited for memory".to_owned()),
        };
        Some(ConnectionEnd::Failed(error))
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

fn late(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests;
