//! Syslog over RELP, which acknowledges each message (librelp's `doc/relp.md`; no RFC).
//!
//! A sender keeps a message until it reads `200`, and sends it again in its next session if that does not come. So `200` goes
//! out when every sink has the message durably and not before, in the order in which the messages came; a message that is not
//! delivered, or not in time, ends the session instead. `500` is no answer to a sink that is slow: senders lose messages
//! over it.
//!
//! One task serves a connection, in two halves that run side by side: one reads and hands on, the other waits for the
//! receipts and writes answers. Between them stands the queue of the answers in order, which is bounded by the window.

mod session;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use self::session::{Session, Verdict};
use super::accept::{self, Accept, Ended};
use super::stream::{self, End, READ_SIZE};
use super::{Intake, tcp};
use crate::config::RelpConfig;
use crate::frame::relp::{Parser, Step};
use crate::net;
use crate::pipeline::Arrival;
use crate::receipt::{Outcome, receipt};
use crate::record::Peer;

/// So long after it was read a message may wait for its delivery. librelp's senders give up after 90 s.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(80);
/// A sender that takes no answer for so long has gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the last words may take to be read. Closed at once, a socket with unread bytes would take them back.
const LINGER: Duration = Duration::from_secs(1);

/// A bound listener.
#[derive(Debug)]
pub(super) struct Relp {
    listener: TcpListener,
    config: RelpConfig,
}

impl Relp {
    pub(super) fn bind(config: &RelpConfig) -> io::Result<Self> {
        Ok(Self { listener: net::tcp_listener(config.listen)?, config: config.clone() })
    }

    pub(super) fn address(&self) -> String {
        self.listener.local_addr().map_or_else(|_| "relp".to_owned(), |address| format!("relp {address}"))
    }

    pub(super) async fn run(self, intake: Intake) {
        let config = self.config.clone();
        accept::run(self, config.max_connections, &config, &intake).await;
    }
}

impl Accept for Relp {
    type Connection = (TcpStream, SocketAddr);
    type Config = RelpConfig;

    async fn accept(&self) -> io::Result<Self::Connection> {
        self.listener.accept().await
    }

    async fn serve((socket, address): Self::Connection, config: RelpConfig, intake: Intake) -> Ended {
        tcp::keep_alive(&socket, address, &intake);
        // An answer is short, and the sender's window waits for it. Without this it only comes later.
        let _ = socket.set_nodelay(true);
        let peer = net::canonical(address).to_string();
        let end = converse(&socket, &peer, &config, &intake).await;
        linger(&socket).await;
        Ended { peer, end }
    }
}

/// What is written to the sender.
enum Answer {
    /// `200` for each message of one read, when they are delivered.
    Delivery(Delivery),
    /// Waits for nothing but its turn.
    Text(Vec<u8>),
}

/// Messages that were handed on together.
struct Delivery {
    /// The number of the first.
    first: u32,
    count: usize,
    outcome: oneshot::Receiver<Outcome>,
    due: Instant,
    /// Their places in the window, free again when they are acknowledged.
    places: OwnedSemaphorePermit,
}

/// The half that reads.
struct Reader<'c> {
    socket: &'c TcpStream,
    peer: &'c str,
    intake: &'c Intake,
    config: &'c RelpConfig,
    parser: Parser,
    session: Session,
    buffer: BytesMut,
    window: Arc<Semaphore>,
    answers: mpsc::Sender<Answer>,
    /// No acknowledgement will be written any more.
    over: &'c CancellationToken,
}

/// The frames of one turn.
struct Taken<'b> {
    messages: Vec<Arrival<'b>>,
    /// The number of the first of them.
    first: u32,
    /// What is answered after them.
    then: Option<Reply>,
    consumed: usize,
    /// If only more bytes help: where those end that are still needed.
    keep: Option<usize>,
}

/// Serves a connection to its end.
async fn converse(socket: &TcpStream, peer: &str, config: &RelpConfig, intake: &Intake) -> End {
    // Each delivery holds a place of the window; besides there are the answers to `open` and to the last frame.
    let (answers, queue) = mpsc::channel(config.window + 2);
    let over = CancellationToken::new();
    let reader = Reader {
        socket,
        peer,
        intake,
        config,
        parser: Parser::new(intake.max_frame_size(), config.oversize),
        session: Session::default(),
        buffer: BytesMut::new(),
        window: Arc::new(Semaphore::new(config.window)),
        answers,
        over: &over,
    };
    // Neither half is ever broken off: what the first one has handed on stays in the ledger.
    let (read, written) = tokio::join!(reader.run(), write(socket, queue, intake.over(), &over));
    written.unwrap_or(read)
}

// === impl Reader ===

impl Reader<'_> {
    async fn run(mut self) -> End {
        let end = self.read().await;
        if matches!(end, End::Stopped | End::Idle) {
            self.answer(Answer::Text(session::server_close())).await;
        }
        end
    }

    async fn read(&mut self) -> End {
        let mut hungry = true;
        // Held until all frames of a read are handed on. What that waits for is the sinks, never the peer for long.
        let mut turn = None;
        loop {
            let place = tokio::select! {
                biased;
                () = self.intake.stop().cancelled() => return End::Stopped,
                () = self.over.cancelled() => return End::Closed,
                place = Arc::clone(&self.window).acquire_owned() => place,
            };
            if hungry {
                drop(turn.take());
                if let Some(end) = self.wait().await {
                    return end;
                }
                turn = self.intake.turn().await;
                self.buffer.reserve(READ_SIZE);
                match self.socket.try_read_buf(&mut self.buffer) {
                    Ok(0) => return End::Closed,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        self.over.cancel();
                        return End::Failed(error);
                    }
                }
            }
            // It is never closed.
            let Ok(place) = place else { return End::Closed };
            match self.hand_on(place).await {
                ControlFlow::Continue(more) => hungry = more,
                ControlFlow::Break(end) => return end,
            }
            // A flood on this connection must not keep the thread from the others.
            tokio::task::yield_now().await;
        }
    }

    /// Waits for bytes, or for the reason to end.
    async fn wait(&self) -> Option<End> {
        let mut socket = self.socket;
        loop {
            tokio::select! {
                biased;
                () = self.intake.stop().cancelled() => return Some(End::Stopped),
                () = self.over.cancelled() => return Some(End::Closed),
                ready = stream::ready(&mut socket, self.config.idle_timeout) => match ready {
                    Ok(true) => return None,
                    // A sender that waits for answers is not idle. One place is the caller's.
                    Ok(false) if self.window.available_permits() + 1 < self.config.window => {}
                    Ok(false) => return Some(End::Idle),
                    Err(error) => return Some(End::Failed(error)),
                },
            }
        }
    }

    /// Hands on the messages in the buffer as far as they fit into the window, of which the first `place` is taken. True if
    /// it needs more bytes now.
    async fn hand_on(&mut self, mut place: OwnedSemaphorePermit) -> ControlFlow<End, bool> {
        let most = 1 + self.window.available_permits();
        let taken = take(&mut self.parser, &mut self.session, &self.buffer, most, self.peer);
        let Taken { messages, first, then, consumed, keep } = taken;
        if !messages.is_empty() {
            let count = messages.len();
            let others = u32::try_from(count - 1).unwrap_or(u32::MAX);
            // They were there, and nobody else takes any.
            if let Ok(others) = Arc::clone(&self.window).try_acquire_many_owned(others) {
                place.merge(others);
            }
            let (receipt, outcome) = receipt();
            let due = Instant::now() + ACKNOWLEDGE_WITHIN;
            self.answer(Answer::Delivery(Delivery { first, count, outcome, due, places: place })).await;
            self.intake.submit_until(messages, Some(receipt), self.over).await;
        }
        self.buffer.truncate(keep.unwrap_or(self.buffer.len()));
        self.buffer.advance(consumed);
        if keep.is_some() {
            stream::shrink(&mut self.buffer);
        }
        if let Some(Reply { text, end }) = then {
            self.answer(Answer::Text(text)).await;
            if let Some(end) = end {
                return ControlFlow::Break(end);
            }
        }
        ControlFlow::Continue(keep.is_some())
    }

    async fn answer(&self, answer: Answer) {
        // The other half has ended only if nothing can be written any more.
        let _ = self.answers.send(answer).await;
    }
}

/// An answer that is no acknowledgement, and how the session ends with it, if it does.
struct Reply {
    text: Vec<u8>,
    end: Option<End>,
}

// === impl Reply ===

impl Reply {
    const fn go_on(text: Vec<u8>) -> Self {
        Self { text, end: None }
    }

    fn violation(text: Vec<u8>, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { text, end: Some(End::Failed(io::Error::new(io::ErrorKind::InvalidData, error))) }
    }
}

/// Reads up to `most` messages from the buffer, and no further than what has another answer than they.
fn take<'b>(parser: &mut Parser, session: &mut Session, buffer: &'b [u8], most: usize, peer: &'b str) -> Taken<'b> {
    let mut taken = Taken { messages: Vec::new(), first: 0, then: None, consumed: 0, keep: None };
    while taken.then.is_none() && taken.messages.len() < most {
        let request = match parser.next(&buffer[taken.consumed..]) {
            Ok(Step::Request { request, consumed }) => {
                taken.consumed += consumed;
                request
            }
            Ok(Step::More { keep }) => {
                taken.keep = Some(taken.consumed + keep);
                break;
            }
            Err(error) => {
                taken.then = Some(Reply::violation(session::server_close(), error));
                break;
            }
        };
        taken.then = match session.judge(&request) {
            Verdict::Message(frame) => {
                if taken.messages.is_empty() {
                    taken.first = session.last();
                }
                taken.messages.push(Arrival { frame, peer: Peer::at(peer) });
                None
            }
            Verdict::Answer(text) => Some(Reply::go_on(text)),
            Verdict::Last(text, None) => Some(Reply { text, end: Some(End::Closed) }),
            Verdict::Last(text, Some(violation)) => Some(Reply::violation(text, violation)),
        };
    }
    taken
}

// === the half that writes ===

/// Writes the answers in order until the other half has ended and all is written. If it has to break the session off, it
/// says why, and lets the other half know by `over`. After `stopped` no delivery is waited for.
async fn write(
    socket: &TcpStream,
    mut answers: mpsc::Receiver<Answer>,
    stopped: &CancellationToken,
    over: &CancellationToken,
) -> Option<End> {
    while let Some(answer) = answers.recv().await {
        let (text, places, mut end) = match answer {
            Answer::Text(text) => (text, None, None),
            Answer::Delivery(Delivery { first, count, outcome, due, places }) => {
                let end = wait(outcome, due, stopped).await;
                let text = if end.is_none() { session::acknowledge(first, count) } else { session::server_close() };
                (text, Some(places), end)
            }
        };
        if let Err(error) = send(socket, &text).await {
            end = end.or(Some(End::Failed(error)));
        }
        drop(places);
        if end.is_some() {
            over.cancel();
            return end;
        }
    }
    None
}

/// Waits for a delivery; otherwise gives the reason why there is none to acknowledge.
async fn wait(outcome: oneshot::Receiver<Outcome>, due: Instant, stopped: &CancellationToken) -> Option<End> {
    tokio::select! {
        biased;
        outcome = timeout_at(due, outcome) => match outcome {
            Ok(Ok(Outcome::Delivered)) => None,
            Ok(_) => Some(End::Failed(io::Error::other("a sink did not take its messages; it has to send them again"))),
            Err(_) => {
                let text = format!("a sink has not delivered its messages in {ACKNOWLEDGE_WITHIN:?}; it has to send them again");
                Some(End::Failed(io::Error::new(io::ErrorKind::TimedOut, text)))
            }
        },
        () = stopped.cancelled() => Some(End::Stopped),
    }
}

async fn send(socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let all = async {
        while !bytes.is_empty() {
            socket.writable().await?;
            match socket.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    timeout(WRITE_TIMEOUT, all).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Lets the peer read the last words before the socket is closed.
async fn linger(socket: &TcpStream) {
    if SockRef::from(socket).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let mut unread = [0; 4096];
    let closed = async {
        while socket.readable().await.is_ok() {
            match socket.try_read(&mut unread) {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    };
    // A peer that goes on sending is not waited for.
    let _ = timeout(LINGER, closed).await;
}

#[cfg(test)]
mod tests;
