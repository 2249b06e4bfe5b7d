//! Reading a byte stream into frames: what TCP connections, unix streams and the standard input have in common.

use std::io;
use std::mem;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::sync::SemaphorePermit;

use super::Intake;
use super::end::ConnectionEnd;
use super::rate::Pace;
use super::unfinished::{self, Place};
use crate::config::StreamConfig;
use crate::crash::panic_point;
use crate::frame::{Framer, Framing, Step};
use crate::ledger::Reason;
use crate::pipeline::Arrival;
use crate::record::Peer;
use crate::tls;

/// Asked of the kernel at a time.
pub(super) const READ_SIZE: usize = 64 * 1024;

/// The most that a read gives: over TLS the record comes to it of which a part was there before.
pub(super) const MOST_READ: usize = READ_SIZE + READ_SIZE / 2;

/// So many frames at most are handed on together. A read of the shortest lines holds 32 times as many, and their
/// records take a hundred times the room of the read.
pub(super) const MOST_FRAMES: usize = 1024;

/// After so many bytes a stream lets others have the thread: about a millisecond. Each time wakes another thread, which
/// looks whether it can take the work over.
const TURN: usize = 4 * READ_SIZE;

/// A connection that has begun no longer message than this keeps nothing else between two reads. With a longer one it
/// needs a [`Place`], and the whole buffer stays: a peer that sends bytes one by one would have it copied for each.
pub(super) const IDLE_SIZE: usize = 16 * 1024;

/// After a stop, so much of what the kernel already holds for one connection is still read.
const LAST_WORDS: usize = 8 * 1024 * 1024;

/// After a stop, a connection that has just been accepted is asked for so long whether it has anything to read: the
/// runtime does not know yet.
const LAST_READY: Duration = Duration::from_millis(50);

/// A socket that can be asked for bytes without waiting.
pub(super) trait Readable {
    /// Waits until there is something to read, or the end.
    async fn readable(&mut self) -> io::Result<()>;
    /// Appends what is there, at most [`READ_SIZE`]; 0 at the end.
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

/// The bytes of one stream that are not yet a whole frame.
pub(super) struct Stream {
    framer: Framer,
    buffer: BytesMut,
    /// Whether nothing was read yet.
    fresh: bool,
    /// The bytes handed on since it last let others have the thread.
    turn: usize,
    /// For a message of which more than [`IDLE_SIZE`] is kept between two reads.
    place: Option<Place>,
}

/// Reads `socket` until it ends, not faster than its `pace`, and hands on its frames.
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
        end = stream.last_words(socket, peer, intake).await;
    }
    // Only a peer that closes in an orderly way has said all of its last message.
    let whole = matches!(end, ConnectionEnd::Closed);
    stream.finish(whole, peer, intake).await;
    end
}

/// The same as [`ready`], not before the pace allows it.
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

/// True when there is something to read, false when there was nothing for `idle_timeout`.
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
        Self { framer, buffer: BytesMut::new(), fresh: true, turn: 0, place: None }
    }

    /// Waits until it may read, unless it has the memory for it already. So those who have a place wait for nobody who
    /// waits for one.
    async fn turn<'i>(&self, intake: &'i Intake) -> Option<SemaphorePermit<'i>> {
        if self.place.is_some() { None } else { intake.turn().await }
    }

    fn fill(&mut self, socket: &mut impl Readable) -> io::Result<usize> {
        self.buffer.reserve(READ_SIZE);
        socket.try_read(&mut self.buffer)
    }

    /// A load balancer that only looks whether somebody listens may reset its connection: nothing was said, nothing is
    /// lost.
    fn failed(&self, error: io::Error) -> ConnectionEnd {
        if self.fresh && error.kind() == io::ErrorKind::ConnectionReset {
            ConnectionEnd::Closed
        } else {
            ConnectionEnd::Failed(error)
        }
    }

    /// Whether the first read has brought the beginning of TLS.
    fn is_tls(&mut self) -> bool {
        mem::take(&mut self.fresh) && self.buffer.starts_with(&tls::HANDSHAKE)
    }

    fn refuse_tls(&mut self, intake: &Intake) -> ConnectionEnd {
        intake.refuse(self.buffer.len(), Reason::UnexpectedTls);
        self.buffer.clear();
        ConnectionEnd::UnexpectedTls
    }

    /// Appends bytes that were read by other means.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Hands on every whole frame, gives their number, and sees that there is memory for what is kept until the next
    /// read.
    async fn hand_on(&mut self, peer: Peer<'_>, intake: &Intake) -> usize {
        let frames = self.submit(peer, intake).await;
        if self.buffer.len() <= IDLE_SIZE {
            self.place = None;
            return frames;
        }
        match &mut self.place {
            // Its message goes on, in the same buffer.
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

    /// Gives up the message that is not whole, and hands on what there is of it.
    async fn cut(&mut self, peer: Peer<'_>, intake: &Intake) {
        intake.log_cut(peer.address, self.buffer.len());
        if let Some(frame) = self.framer.cut(&self.buffer) {
            intake.submit(vec![Arrival { frame, peer, line: None }]).await;
        }
        self.buffer = BytesMut::new();
        self.place = None;
    }

    /// Hands on every whole frame, and gives their number.
    pub(super) async fn submit(&mut self, peer: Peer<'_>, intake: &Intake) -> usize {
        let mut more = true;
        let mut frames = 0;
        while more {
            let mut arrivals = Vec::new();
            let mut position = 0;
            while more && arrivals.len() < MOST_FRAMES {
                match self.framer.next(&self.buffer[position..]) {
                    Step::Frame { frame, consumed } => {
                        arrivals.push(Arrival { frame, peer, line: None });
                        position += consumed;
                    }
                    Step::More { consumed } => {
                        position += consumed;
                        more = false;
                    }
                }
            }
            frames += arrivals.len();
            intake.submit(arrivals).await;
            self.buffer.advance(position);
            self.shrink();
            self.turn += position;
            // A flood on this stream must not keep the thread from the others.
            if self.turn >= TURN {
                self.turn = 0;
                tokio::task::yield_now().await;
            }
        }
        frames
    }

    /// After a stop: hands on what the kernel already holds, as long as there is time to deliver it.
    async fn last_words(&mut self, socket: &mut impl Readable, peer: Peer<'_>, intake: &Intake) -> ConnectionEnd {
        // An error shows again when it is read.
        let _ = tokio::time::timeout(LAST_READY, socket.readable()).await;
        let mut read = 0;
        while read < LAST_WORDS && !intake.is_over() {
            let _turn = self.turn(intake).await;
            match self.fill(socket) {
                Ok(0) => return ConnectionEnd::Closed,
                Ok(_) if self.is_tls() => return self.refuse_tls(intake),
                Ok(more) => read += more,
                // Of a record of TLS only the beginning has come yet.
                Err(_) => break,
            }
            self.hand_on(peer, intake).await;
        }
        ConnectionEnd::Stopped
    }

    /// The stream has ended: hands on what is left as a frame, which is truncated unless the stream is `whole`.
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

/// The buffer of a message that has begun with `bytes`, for the `most` that is kept of one. It never grows.
pub(super) fn place_buffer(most: usize, bytes: &[u8]) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(most + MOST_READ);
    buffer.extend_from_slice(bytes);
    buffer
}

/// Gives back the memory of a read, before another connection takes its turn.
pub(super) fn shrink(buffer: &mut BytesMut) {
    if buffer.len() <= IDLE_SIZE {
        *buffer = BytesMut::from(&buffer[..]);
    }
}
