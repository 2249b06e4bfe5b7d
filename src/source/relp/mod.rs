//! Syslog over RELP, which acknowledges each message (librelp's `doc/relp.md`; no RFC), plain or over TLS.
//!
//! A sender keeps a message until it reads `200`. Without that answer, it sends the message again in its next session.
//! Therefore `200` is written only when every sink has the message durably, in the order in which the messages came. A
//! message that is not delivered in time, or not at all, ends the session instead. `500` is no answer to a slow sink:
//! senders lose messages over it.
//!
//! One task serves a connection, in two halves that run concurrently: one reads and hands on messages, the other waits
//! for the receipts (`source/outcomes.rs`) and writes the answers in order. The window bounds the number of messages
//! between them.

mod answers;
mod patience;
mod session;

use std::io;
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use self::answers::{Answer, AnswerWriter, HandedOnMessages, Queued};
use self::patience::Patience;
use self::session::{FrameAction, Session};
use super::accept::{Accept, Ended, Refusal};
use super::end::ConnectionEnd;
use super::listener::{self, Incoming, Listener};
use super::rate::Pace;
use super::sizes::READ_SIZE;
use super::stream::{self, Readable};
use super::unfinished::{self, UnfinishedPlace};
use super::wire::Wire;
use super::{Bound, Intake, Running, Sockets};
use crate::config::{RelpConfig, SessionConfig};
use crate::frame::relp::{Parser, RelpStep};
use crate::ledger::Reason;
use crate::pipeline::Arrival;
use crate::receipt::{Outcome, receipt};
use crate::record::Peer;
use crate::systemd::Passed;
use crate::tls;

/// How long the peer has to read the last answers. If the socket were closed at once with unread bytes in it, those
/// answers would be lost.
const LINGER: Duration = Duration::from_secs(1);

/// A bound listener.
#[derive(Debug)]
pub(super) struct Relp {
    listener: Listener,
    config: SessionConfig,
}

impl Relp {
    pub(super) fn bind(
        config: &RelpConfig,
        passed: &mut Passed,
        inherited: Option<&Sockets>,
        source: &str,
    ) -> io::Result<Self> {
        Ok(Self { listener: Listener::bind(&config.listener, passed, inherited, source)?, config: config.session })
    }
}

impl Bound for Relp {
    fn address(&self) -> String {
        self.listener.address("relp", "relp over tls")
    }

    fn sockets(&self) -> Sockets {
        self.listener.sockets()
    }

    fn run(self: Box<Self>, intake: Intake) -> Running {
        let (tls, config) = (self.listener.tls(), self.config);
        Box::pin(async move {
            listener::run(*self, tls, config.max_connections, &config, &intake).await;
            Ok(())
        })
    }
}

impl Accept for Relp {
    type Connection = Incoming;
    type Config = SessionConfig;

    async fn accept(&self) -> io::Result<Incoming> {
        self.listener.accept().await
    }

    fn refusal(&self, incoming: &Incoming) -> Option<Refusal> {
        incoming.refusal()
    }

    fn busiest(&self) -> Option<(String, usize)> {
        self.listener.busiest()
    }

    async fn serve(incoming: Incoming, config: SessionConfig, intake: Intake) -> Ended {
        let connection = match incoming.open(&intake).await {
            Ok(connection) => connection,
            Err(ended) => return ended,
        };
        let wire = &connection.wire;
        // Disables Nagle's algorithm: an answer is short, and would be delayed while the sender's window waits for it.
        let _ = wire.socket().set_nodelay(true);
        let end = converse(wire, connection.peer(), connection.pace.as_ref(), &config, &intake).await;
        wire.close().await;
        linger(wire.socket()).await;
        Ended { peer: connection.address, end }
    }
}

/// The half of a connection that reads.
struct SessionReader<'c> {
    wire: &'c Wire,
    peer: Peer<'c>,
    pace: Option<&'c Pace>,
    intake: &'c Intake,
    config: &'c SessionConfig,
    parser: Parser,
    session: Session,
    buffer: BytesMut,
    /// The place of an incomplete message of which more than [`stream::IDLE_SIZE`] is kept between two reads.
    place: Option<UnfinishedPlace>,
    window: Arc<Semaphore>,
    answers: mpsc::Sender<Queued>,
    /// The limit for the time in which the peer does not read its answers.
    patience: &'c Patience<'c>,
    /// Cancelled when no acknowledgement will be written any more.
    over: &'c CancellationToken,
}

/// The frames of one turn.
struct Taken<'b> {
    messages: Vec<Arrival<'b>>,
    /// The number of the first message.
    first: u32,
    /// The answer to write after the messages.
    then: Option<SessionReply>,
    consumed: usize,
    /// If the parser needs more bytes: the end of the bytes in the buffer that are still needed.
    keep: Option<usize>,
}

/// Serves a connection to its end.
async fn converse(
    wire: &Wire,
    peer: Peer<'_>,
    pace: Option<&Pace>,
    config: &SessionConfig,
    intake: &Intake,
) -> ConnectionEnd {
    // Each delivery holds a place of the window, so the writing half never has more than that. The other two entries
    // are for the answers to `open` and to the last frame.
    let (answers, queue) = mpsc::channel(config.window + 2);
    let (over, patience) = (CancellationToken::new(), Patience::new(intake));
    let reader = SessionReader {
        wire,
        peer,
        pace,
        intake,
        config,
        parser: Parser::new(intake.max_frame_size(), config.oversize),
        session: Session::default(),
        buffer: BytesMut::new(),
        place: None,
        window: Arc::new(Semaphore::new(config.window)),
        answers,
        patience: &patience,
        over: &over,
    };
    // Neither half is ever cancelled, so what the reading half has handed on stays in the ledger.
    let limit = config.acknowledge_timeout;
    let writer = AnswerWriter { wire, limit, patience: &patience, stopped: intake.over(), over: &over };
    let (read, written) = tokio::join!(reader.run(), writer.run(queue));
    written.unwrap_or(read)
}

// === impl SessionReader ===

impl SessionReader<'_> {
    async fn run(mut self) -> ConnectionEnd {
        let end = self.read().await;
        if matches!(end, ConnectionEnd::Stopped | ConnectionEnd::Idle | ConnectionEnd::Evicted) {
            self.answer(Answer::Text(session::server_close()), None).await;
        }
        end
    }

    async fn read(&mut self) -> ConnectionEnd {
        let (mut hungry, mut first) = (true, true);
        // The permit to read, held until all frames of a read are handed on. That waits only for the sinks, and for the
        // peer at most as long as `patience` allows.
        let mut turn = None;
        loop {
            let place = tokio::select! {
                biased;
                () = self.intake.stop().cancelled() => return ConnectionEnd::Stopped,
                () = self.over.cancelled() => return ConnectionEnd::Closed,
                place = Arc::clone(&self.window).acquire_owned() => place,
            };
            if hungry {
                drop(turn.take());
                if let Some(end) = self.wait().await {
                    return end;
                }
                // A connection with a place has the memory already, and must not wait for those that wait for a place.
                turn = if self.place.is_some() { None } else { self.intake.turn().await };
                self.patience.renew();
                self.buffer.reserve(READ_SIZE);
                let mut wire = self.wire;
                match wire.try_read(&mut self.buffer) {
                    Ok(0) => return ConnectionEnd::Closed,
                    Ok(read) if first && self.buffer.starts_with(&tls::HANDSHAKE) => {
                        self.intake.refuse(read, Reason::UnexpectedTls);
                        return ConnectionEnd::UnexpectedTls;
                    }
                    Ok(_) => first = false,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return ConnectionEnd::Cut,
                    Err(error) => return self.failed(error),
                }
            }
            // The semaphore is never closed.
            let Ok(place) = place else { return ConnectionEnd::Closed };
            match self.hand_on(place).await {
                ControlFlow::Continue(more) => hungry = more,
                ControlFlow::Break(end) => return end,
            }
            // A flood on this connection must not keep the thread from the others.
            tokio::task::yield_now().await;
        }
    }

    /// Waits for bytes. Returns how the connection ends if it ends first.
    async fn wait(&mut self) -> Option<ConnectionEnd> {
        let mut wire = self.wire;
        loop {
            tokio::select! {
                biased;
                () = self.intake.stop().cancelled() => return Some(ConnectionEnd::Stopped),
                () = self.over.cancelled() => return Some(ConnectionEnd::Closed),
                () = unfinished::overdue(&mut self.place) => return Some(ConnectionEnd::Evicted),
                ready = stream::paced_ready(&mut wire, self.config.idle_timeout, self.pace, self.intake) => match ready {
                    Ok(true) => return None,
                    // A sender that waits for answers is not idle. One place of the window belongs to the caller.
                    Ok(false) if self.window.available_permits() + 1 < self.config.window => {}
                    Ok(false) => return Some(ConnectionEnd::Idle),
                    Err(error) => return Some(self.failed(error)),
                },
            }
        }
    }

    /// Tells the writing half that the peer is gone, and returns the end of the connection.
    fn failed(&self, error: io::Error) -> ConnectionEnd {
        self.over.cancel();
        ConnectionEnd::Failed(error)
    }

    /// Hands on the messages in the buffer that fit into the window, whose first place is `place`, and answers what
    /// comes after them. Returns true if more bytes are needed now.
    async fn hand_on(&mut self, place: OwnedSemaphorePermit) -> ControlFlow<ConnectionEnd, bool> {
        let most = 1 + self.window.available_permits();
        let taken = take(&mut self.parser, &mut self.session, &self.buffer, most, self.peer);
        let Taken { messages, first, then, consumed, keep } = taken;
        if !messages.is_empty() {
            self.submit(messages, first, place).await;
        }
        if !self.consume(consumed, keep).await {
            return ControlFlow::Break(ConnectionEnd::Evicted);
        }
        if let Some(SessionReply { text, end }) = then {
            self.answer(Answer::Text(text), None).await;
            if let Some(end) = end {
                return ControlFlow::Break(end);
            }
        }
        ControlFlow::Continue(keep.is_some())
    }

    /// Hands on `messages`, and queues their acknowledgement. `place` is the place of the first one in the window.
    async fn submit(&self, messages: Vec<Arrival<'_>>, first: u32, mut place: OwnedSemaphorePermit) {
        let count = messages.len();
        let others = u32::try_from(count - 1).unwrap_or(u32::MAX);
        // The places were free, and no other task takes any.
        if let Ok(others) = Arc::clone(&self.window).try_acquire_many_owned(others) {
            place.merge(others);
        }
        let (receipt, outcome) = receipt();
        let due = Instant::now() + self.config.acknowledge_timeout;
        let delivery = HandedOnMessages { first, count, due, places: place };
        self.answer(Answer::Delivery(delivery), Some(outcome)).await;
        self.intake.submit_until(messages, Some(receipt), self.over).await;
        self.pace.inspect(|pace| pace.charge(count));
    }

    /// Removes the bytes that were read from the buffer. With `keep`, the bytes up to there are kept until the next
    /// read. Returns false if there is no memory for them.
    async fn consume(&mut self, consumed: usize, keep: Option<usize>) -> bool {
        self.buffer.truncate(keep.unwrap_or(self.buffer.len()));
        self.buffer.advance(consumed);
        if keep.is_none() {
            return true;
        }
        stream::shrink(&mut self.buffer);
        self.has_room(consumed > 0).await
    }

    /// Reserves memory for the bytes that are kept until the next read. Returns false if there is none: the sender then
    /// has to send the message again.
    async fn has_room(&mut self, is_new: bool) -> bool {
        if self.buffer.len() <= stream::IDLE_SIZE {
            self.place = None;
            return true;
        }
        match &mut self.place {
            Some(_) if !is_new => return true,
            Some(place) => place.renew(),
            None => self.place = self.intake.place().await,
        }
        if self.place.is_some() {
            self.buffer = stream::place_buffer(self.parser.max_buffer(), &self.buffer);
        }
        self.place.is_some()
    }

    async fn answer(&self, answer: Answer, outcome: Option<oneshot::Receiver<Outcome>>) {
        // The writing half ends early only if nothing can be written any more.
        let _ = self.answers.send((answer, outcome)).await;
    }
}

/// An answer that is not an acknowledgement, and how it ends the session, if it does.
struct SessionReply {
    text: Vec<u8>,
    end: Option<ConnectionEnd>,
}

// === impl SessionReply ===

impl SessionReply {
    const fn go_on(text: Vec<u8>) -> Self {
        Self { text, end: None }
    }

    fn violation(text: Vec<u8>, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { text, end: Some(ConnectionEnd::Failed(io::Error::new(io::ErrorKind::InvalidData, error))) }
    }
}

/// Reads up to `most` messages from the buffer. It stops after the first frame that needs a different answer.
fn take<'b>(parser: &mut Parser, session: &mut Session, buffer: &'b [u8], most: usize, peer: Peer<'b>) -> Taken<'b> {
    let mut taken = Taken { messages: Vec::new(), first: 0, then: None, consumed: 0, keep: None };
    while taken.then.is_none() && taken.messages.len() < most {
        let request = match parser.next(&buffer[taken.consumed..]) {
            Ok(RelpStep::Request { request, consumed }) => {
                taken.consumed += consumed;
                request
            }
            Ok(RelpStep::More { keep }) => {
                taken.keep = Some(taken.consumed + keep);
                break;
            }
            Err(error) => {
                taken.then = Some(SessionReply::violation(session::server_close(), error));
                break;
            }
        };
        taken.then = match session.judge(&request) {
            FrameAction::Message(frame) => {
                if taken.messages.is_empty() {
                    taken.first = session.last();
                }
                taken.messages.push(Arrival { frame, peer, line: None });
                None
            }
            FrameAction::Answer(text) => Some(SessionReply::go_on(text)),
            FrameAction::Last(text, None) => Some(SessionReply { text, end: Some(ConnectionEnd::Closed) }),
            FrameAction::Last(text, Some(violation)) => Some(SessionReply::violation(text, violation)),
        };
    }
    taken
}

/// Gives the peer time to read the last answers before the socket is closed.
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
    // After that time, the socket is closed even if the peer continues to send.
    let _ = timeout(LINGER, closed).await;
}
