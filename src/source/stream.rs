//! Reading a byte stream into frames: the code that TCP connections, unix streams and the standard input share.

use std::io;
use std::mem;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::sync::SemaphorePermit;

use super::Intake;
use super::end::ConnectionEnd;
use super::frames::next_frames;
use super::rate::Pace;
use super::sizes::{MOST_READ, READ_SIZE};
use super::unfinished::{self, UnfinishedPlace};
use crate::config::StreamConfig;
use crate::crash::panic_point;
use crate::frame::{Framer, Framing};
use crate::ledger::Reason;
use crate::pipeline::Arrival;
use crate::record::Peer;
use crate::tls;

/// Number of bytes after which a stream yields the thread: about a millisecond of work. Each yield wakes another
/// thread, which looks whether it can take the work over.
const BEFORE_YIELD: usize = 4 * READ_SIZE;

/// Maximum length of an incomplete message that a connection keeps between two reads without an [`UnfinishedPlace`]; it
/// then keeps no other memory. A longer message needs a place and keeps its whole buffer: otherwise a peer that sends
/// single bytes would have the buffer copied for each byte.
pub(super) const IDLE_SIZE: usize = 16 * 1024;

/// Maximum number of bytes that are still read from one connection after a stop, if the kernel already holds them.
const MOST_DRAINED: usize = 8 * 1024 * 1024;

/// How long to wait, after a stop, for a connection to become readable. If it has just been accepted, the runtime does
/// not know yet whether it has anything to read.
const LAST_READY: Duration = Duration::from_millis(50);

/// A socket that can be read without waiting.
pub(super) trait Readable {
    /// Waits until there is something to read or the stream has ended.
    async fn readable(&mut self) -> io::Result<()>;
    /// Appends the available bytes, at most [`READ_SIZE`]. Returns 0 at the end.
    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize>;
}

impl Readable for tokio::net::UnixStream {
    async fn readable(&mut self) -> io::Result<()> {
        Self::readable(self).await
    }
    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.try_read_buf(buffer)
    }
}

/// The state of one stream: its framer, and the bytes that are not yet a complete frame.
pub(super) struct Stream {
    framer: Framer,
    buffer: BytesMut,
    /// True if nothing has been read yet.
    fresh: bool,
    /// Number of bytes handed on since the stream last yielded the thread.
    since_yield: usize,
    /// The place of an incomplete message of which more than [`IDLE_SIZE`] is kept between two reads.
    place: Option<UnfinishedPlace>,
}

/// Reads `socket` until it ends, at most as fast as `pace` allows, and hands on its frames.
pub(super) async fn read(
    socket: &mut impl Readable,
    peer: Peer<'_>,
    config: &StreamConfig,
    pace: Option<&Pace>,
    intake: &Intake,
) -> ConnectionEnd {
    let mut stream = Stream::new(config.framing, intake.max_frame_size());
    let mut end = loop {
        tokio::select! {
            biased;
            () = intake.stop().cancelled() => break ConnectionEnd::Stopped,
            () = unfinished::overdue(&mut stream.place) => {
                stream.cut(peer, intake).await;
                continue;
            }
            ready = paced_ready(socket, config.idle_timeout, pace, intake) => match ready {
                Ok(true) => {}
                Ok(false) => break ConnectionEnd::Idle,
                Err(error) => break stream.failed(error),
            },
        }
        let _turn = stream.turn(intake).await;
        match stream.fill(socket) {
            Ok(0) => break ConnectionEnd::Closed,
            Ok(_) if stream.is_tls() => return stream.refuse_tls(intake),
            Ok(_) => {
                panic_point("connection");
                let frames = stream.hand_on(peer, intake).await;
                pace.inspect(|pace| pace.charge(frames));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.shrink(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break ConnectionEnd::Cut,
            Err(error) => break stream.failed(error),
        }
    };
    if matches!(end, ConnectionEnd::Stopped) {
        end = stream.drain(socket, peer, intake).await;
    }
    // The last message is complete only if the peer has closed the connection in an orderly way.
    let whole = matches!(end, ConnectionEnd::Closed);
    stream.finish(whole, peer, intake).await;
    end
}

/// Waits like [`ready`], after waiting until `pace` allows another read.
pub(super) async fn paced_ready(
    socket: &mut impl Readable,
    idle_timeout: Option<Duration>,
    pace: Option<&Pace>,
    intake: &Intake,
) -> io::Result<bool> {
    if let Some(pace) = pace {
        pace.wait(intake.name()).await;
    }
    ready(socket, idle_timeout).await
}

/// Waits until there is something to read. Returns true if there is, and false if nothing came for `idle_timeout`.
async fn ready(socket: &mut impl Readable, idle_timeout: Option<Duration>) -> io::Result<bool> {
    match idle_timeout {
        None => socket.readable().await.map(|()| true),
        Some(limit) => match tokio::time::timeout(limit, socket.readable()).await {
            Ok(ready) => ready.map(|()| true),
            Err(_) => Ok(false),
        },
    }
}

impl Stream {
    pub(super) fn new(framing: Framing, max_frame_size: usize) -> Self {
        let framer = Framer::new(framing, max_frame_size);
        Self { framer, buffer: BytesMut::new(), fresh: true, since_yield: 0, place: None }
    }

    /// Waits for the permit to read, unless the stream has a place, and so the memory for it, already. A stream with a
    /// place therefore never waits for streams that wait for one.
    async fn turn<'i>(&self, intake: &'i Intake) -> Option<SemaphorePermit<'i>> {
        if self.place.is_some() { None } else { intake.turn().await }
    }

    fn fill(&mut self, socket: &mut impl Readable) -> io::Result<usize> {
        self.buffer.reserve(READ_SIZE);
        socket.try_read(&mut self.buffer)
    }

    /// Returns how the connection ended with `error`. A reset before the first byte counts as closed and loses nothing:
    /// a load balancer may check in this way whether the port is open.
    fn failed(&self, error: io::Error) -> ConnectionEnd {
        if self.fresh && error.kind() == io::ErrorKind::ConnectionReset {
            ConnectionEnd::Closed
        } else {
            ConnectionEnd::Failed(error)
        }
    }

    /// Returns true if this was the first read and it begins with a TLS handshake.
    fn is_tls(&mut self) -> bool {
        mem::take(&mut self.fresh) && self.buffer.starts_with(&tls::HANDSHAKE)
    }

    fn refuse_tls(&mut self, intake: &Intake) -> ConnectionEnd {
        intake.refuse(self.buffer.len(), Reason::UnexpectedTls);
        self.buffer.clear();
        ConnectionEnd::UnexpectedTls
    }

    /// Appends bytes that the caller has read itself.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Hands on every complete frame, reserves memory for the bytes that are kept until the next read, and returns the
    /// number of frames.
    async fn hand_on(&mut self, peer: Peer<'_>, intake: &Intake) -> usize {
        let frames = self.submit(peer, intake).await;
        if self.buffer.len() <= IDLE_SIZE {
            self.place = None;
            return frames;
        }
        match &mut self.place {
            // The same message continues in the same buffer.
            Some(_) if frames == 0 => return frames,
            Some(place) => place.renew(),
            None => self.place = intake.place().await,
        }
        if self.place.is_some() {
            self.buffer = place_buffer(self.framer.max_buffer(), &self.buffer);
        } else {
            self.cut(peer, intake).await;
        }
        frames
    }

    /// Gives up the incomplete message and hands on the part that has arrived.
    async fn cut(&mut self, peer: Peer<'_>, intake: &Intake) {
        intake.log_cut(peer.address, self.buffer.len());
        if let Some(frame) = self.framer.cut(&self.buffer) {
            intake.submit(vec![Arrival { frame, peer, line: None }]).await;
        }
        self.buffer = BytesMut::new();
        self.place = None;
    }

    /// Hands on every complete frame, and returns their number.
    pub(super) async fn submit(&mut self, peer: Peer<'_>, intake: &Intake) -> usize {
        let mut more = true;
        let mut frames = 0;
        while more {
            let next = next_frames(&mut self.framer, &self.buffer, |frame| Arrival { frame, peer, line: None });
            let consumed = next.consumed;
            more = next.more;
            frames += next.arrivals.len();
            intake.submit(next.arrivals).await;
            self.buffer.advance(consumed);
            self.shrink();
            self.since_yield += consumed;
            // A flood on this stream must not keep the thread from the others.
            if self.since_yield >= BEFORE_YIELD {
                self.since_yield = 0;
                tokio::task::yield_now().await;
            }
        }
        frames
    }

    /// Drains the connection after a stop: hands on what the kernel already holds, until the shutdown deadline.
    async fn drain(&mut self, socket: &mut impl Readable, peer: Peer<'_>, intake: &Intake) -> ConnectionEnd {
        // An error shows up again at the next read.
        let _ = tokio::time::timeout(LAST_READY, socket.readable()).await;
        let mut read = 0;
        while read < MOST_DRAINED && !intake.is_over() {
            let _turn = self.turn(intake).await;
            match self.fill(socket) {
                Ok(0) => return ConnectionEnd::Closed,
                Ok(_) if self.is_tls() => return self.refuse_tls(intake),
                Ok(more) => read += more,
                // Nothing more is available, or only the beginning of a TLS record has arrived.
                Err(_) => break,
            }
            self.hand_on(peer, intake).await;
        }
        ConnectionEnd::Stopped
    }

    /// Hands on what is left of an ended stream as a frame. The frame is marked as truncated unless the stream is
    /// `whole`.
    pub(super) async fn finish(mut self, whole: bool, peer: Peer<'_>, intake: &Intake) {
        self.submit(peer, intake).await;
        if let Some(mut frame) = self.framer.finish(&self.buffer) {
            frame.truncated |= !whole;
            intake.submit(vec![Arrival { frame, peer, line: None }]).await;
        }
    }

    fn shrink(&mut self) {
        shrink(&mut self.buffer);
    }
}

/// Returns a buffer for the message that has begun with `bytes`. It is large enough for the `most` bytes that are kept
/// of one message, and never grows.
pub(super) fn place_buffer(most: usize, bytes: &[u8]) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(most + MOST_READ);
    buffer.extend_from_slice(bytes);
    buffer
}

/// Frees the memory of a read if at most [`IDLE_SIZE`] of it is kept, before another connection takes its turn.
pub(super) fn shrink(buffer: &mut BytesMut) {
    if buffer.len() <= IDLE_SIZE {
        *buffer = BytesMut::from(&buffer[..]);
    }
}

#[cfg(test)]
mod tests;
