//! Syslog over UDP (RFC 5426), and the reading of datagrams in general.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::Intake;
use crate::config::UdpConfig;
use crate::frame::Frame;
use crate::net;
use crate::pipeline::Arrival;
use crate::record::Peer;
use crate::throttle::Throttle;

/// No datagram that IP can carry is larger; a unix datagram may be.
const MAX_DATAGRAM: usize = 65_536;

/// The buffer of a burst has so much more than the largest datagram needs.
const SPARE: usize = 3 * MAX_DATAGRAM;

/// So many datagrams at most are one read.
const BURST: usize = 512;

/// After a stop, so many datagrams that the kernel already holds are still read.
const LAST_WORDS: usize = 100_000;

/// A bound socket.
#[derive(Debug)]
pub(super) struct Udp {
    socket: UdpSocket,
}

/// A socket that gives datagrams without waiting.
pub(super) trait Receive {
    /// What tells one sender from another.
    type Peer: Copy + PartialEq;
    async fn readable(&self) -> io::Result<()>;
    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Self::Peer)>;
    /// The sender as the record shows it.
    fn name(&self, peer: Self::Peer) -> String;
}

impl Udp {
    pub(super) fn bind(config: &UdpConfig) -> io::Result<Self> {
        Ok(Self { socket: net::udp_socket(config.listen, config.receive_buffer)? })
    }

    pub(super) fn address(&self) -> String {
        self.socket.local_addr().map_or_else(|_| "udp".to_owned(), |address| format!("udp {address}"))
    }

    pub(super) async fn run(self, intake: Intake) {
        read(&self.socket, &intake).await;
    }
}

impl Receive for UdpSocket {
    type Peer = SocketAddr;

    async fn readable(&self) -> io::Result<()> {
        Self::readable(self).await
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.try_recv_from(buffer)
    }

    fn name(&self, peer: SocketAddr) -> String {
        net::canonical(peer).to_string()
    }
}

/// Reads datagrams until told to stop.
pub(super) async fn read<S: Receive>(socket: &S, intake: &Intake) {
    let mut reader = Reader::new(intake.max_frame_size());
    let mut failed = Throttle::default();
    loop {
        tokio::select! {
            biased;
            () = intake.stop().cancelled() => break,
            ready = socket.readable() => {
                if let Err(error) = ready {
                    pause(&error, &mut failed, intake).await;
                    continue;
                }
            }
        }
        if let Err(error) = reader.burst(socket, intake) {
            pause(&error, &mut failed, intake).await;
        }
        // A flood on this socket must not keep the thread from the others.
        tokio::task::yield_now().await;
    }
    let mut read = 0;
    while read < LAST_WORDS && !intake.is_over() {
        match reader.burst(socket, intake) {
            Ok(0) | Err(_) => break,
            Ok(more) => read += more,
        }
        tokio::task::yield_now().await;
    }
}

async fn pause(error: &io::Error, failed: &mut Throttle, intake: &Intake) {
    intake.ledger().errors.fetch_add(1, Relaxed);
    if let Some(suppressed) = failed.pass(Instant::now()) {
        tracing::warn!(source = intake.name(), %error, suppressed, "cannot receive; trying again in 100 ms");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// The buffer of a burst, and where its datagrams lie.
struct Reader<P> {
    /// Datagrams are read into it, one behind the other, until less than `largest` is left.
    buffer: Vec<u8>,
    /// One that does not fit into this is over the frame limit also as far as it fits.
    largest: usize,
    datagrams: Vec<Datagram>,
    /// The senders of this burst, each once, so that a name is not made for every datagram.
    peers: Vec<(P, String)>,
}

struct Datagram {
    end: usize,
    peer: usize,
}

impl<P: Copy + PartialEq> Reader<P> {
    fn new(max_frame_size: usize) -> Self {
        let largest = MAX_DATAGRAM.max(max_frame_size + 1);
        Self { buffer: vec![0; largest + SPARE], largest, datagrams: Vec::new(), peers: Vec::new() }
    }

    /// Reads what is there and hands it on; gives how many datagrams it was.
    fn burst<S: Receive<Peer = P>>(&mut self, socket: &S, intake: &Intake) -> io::Result<usize> {
        self.datagrams.clear();
        // The last sender is kept: it is the likeliest to send again.
        self.peers.drain(..self.peers.len().saturating_sub(1));
        let received = self.receive(socket);
        let max = intake.max_frame_size();
        let mut start = 0;
        let arrivals = self.datagrams.iter().map(|datagram| {
            let bytes = &self.buffer[start..datagram.end];
            start = datagram.end;
            Arrival { frame: Frame::datagram(bytes, max), peer: Peer::at(&self.peers[datagram.peer].1) }
        });
        intake.offer(arrivals.collect());
        received.map(|()| self.datagrams.len())
    }

    fn receive<S: Receive<Peer = P>>(&mut self, socket: &S) -> io::Result<()> {
        let mut end = 0;
        while self.datagrams.len() < BURST && self.buffer.len() - end >= self.largest {
            match socket.try_receive(&mut self.buffer[end..]) {
                Ok((size, peer)) => {
                    end += size;
                    // From the end: who has sent just now is the likeliest to send again.
                    let known = self.peers.iter().rposition(|(known, _)| *known == peer);
                    let peer = known.unwrap_or_else(|| {
                        self.peers.push((peer, socket.name(peer)));
                        self.peers.len() - 1
                    });
                    self.datagrams.push(Datagram { end, peer });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Datagrams that wait in a kernel; what does not fit into the reader's buffer is cut off in silence.
    struct Waiting(RefCell<Vec<Vec<u8>>>);

    impl Receive for Waiting {
        type Peer = ();

        async fn readable(&self) -> io::Result<()> {
            Ok(())
        }

        fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, ())> {
            let datagram = self.0.borrow_mut().pop().ok_or(io::ErrorKind::WouldBlock)?;
            let size = datagram.len().min(buffer.len());
            buffer[..size].copy_from_slice(&datagram[..size]);
            Ok((size, ()))
        }

        fn name(&self, (): ()) -> String {
            String::new()
        }
    }

    #[test]
    fn a_datagram_is_whole_or_seen_to_be_over_the_limit() {
        const LIMIT: usize = 150_000;
        for size in [LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT] {
            let socket = Waiting(RefCell::new(vec![vec![b'x'; size]; 5]));
            let mut reader = Reader::new(LIMIT);
            let mut seen = 0;
            while !socket.0.borrow().is_empty() {
                reader.datagrams.clear();
                reader.receive(&socket).unwrap();
                let mut start = 0;
                for datagram in &reader.datagrams {
                    let frame = Frame::datagram(&reader.buffer[start..datagram.end], LIMIT);
                    assert_eq!((frame.bytes.len(), frame.truncated), (size.min(LIMIT), size > LIMIT));
                    start = datagram.end;
                    seen += 1;
                }
            }
            assert_eq!(seen, 5);
        }
    }
}
