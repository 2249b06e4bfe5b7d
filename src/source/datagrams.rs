//! The reading of datagrams, for every kind of socket that carries them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nix::sys::socket::SockaddrLike;
use tokio::time::MissedTickBehavior;
use tracing::Level;

use super::Intake;
use super::batch::Batch;
use crate::crash::panic_point;
use crate::ledger::Reason;
use crate::pipeline::Arrival;
use crate::record::Peer;
use crate::throttle::{Owner, Throttle};

/// After a stop, so many datagrams that the kernel already holds are still read.
const LAST_WORDS: usize = 100_000;

/// After so many datagrams a socket lets others have the thread: about a millisecond. Each time wakes another thread,
/// which looks whether it can take the work over.
const TURN: usize = 1024;

/// The kernel is asked so often how many datagrams it dropped.
const DROPS_INTERVAL: Duration = Duration::from_secs(1);

const KERNEL_DROPS: &str = "the kernel dropped datagrams because the receive buffer was full; raise receive_buffer and the \
                            sysctl net.core.rmem_max, or workers if one core is too few";
const FAILED: &str = "cannot receive; trying again in 100 ms";

/// A socket that gives datagrams without waiting.
pub(super) trait Receive: AsFd {
    /// The sender's address.
    type Address: SockaddrLike + Copy + PartialEq;

    async fn readable(&self) -> io::Result<()>;

    /// Calls `receive` if the socket may have a datagram. Its [`io::ErrorKind::WouldBlock`] says that there is no
    /// other, so that `readable` waits for the next.
    fn try_receive(&self, receive: impl FnOnce() -> io::Result<()>) -> io::Result<()>;

    /// The sender as the record shows it.
    fn name(&self, address: Option<Self::Address>) -> String;

    /// How many datagrams the kernel dropped because the receive buffer was full, since somebody asked last. 0 for
    /// sockets whose senders wait instead.
    fn new_kernel_drops(&self) -> u32 {
        0
    }

    /// Says of each datagram of a batch, by its sender, whether it is dropped and why: one verdict for each of
    /// `senders`. All at once, so that what several sockets share is locked once for a batch.
    fn judge(&self, senders: impl Iterator<Item = Option<Self::Address>>, verdicts: &mut Vec<Option<Reason>>) {
        verdicts.extend(senders.map(|_| None));
    }
}

/// Reads datagrams until told to stop.
pub(super) async fn read<S: Receive>(socket: &S, intake: &Intake) {
    let mut reader = Reader::new(socket, intake);
    let of_source = |what| Throttle::new(Level::WARN, Owner::Source(intake.name().to_owned()), what);
    let drops = KernelDrops { warned: of_source(KERNEL_DROPS) };
    let failed = of_source(FAILED);
    let mut tick = tokio::time::interval(DROPS_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0;
    loop {
        let received = tokio::select! {
            biased;
            () = intake.stop().cancelled() => break,
            () = intake.succeeded().cancelled() => {
                drops.count(socket, intake);
                intake.tell_drops();
                return;
            }
            _ = tick.tick() => {
                drops.count(socket, intake);
                intake.tell_drops();
                continue;
            }
            ready = socket.readable() => ready.and_then(|()| reader.burst()),
        };
        match received {
            Ok(count) => turn += count,
            Err(error) => pause(&error, &failed, intake).await,
        }
        // A flood on this socket must not keep the thread from the others.
        if turn >= TURN {
            turn = 0;
            tokio::task::yield_now().await;
        }
    }
    let mut read = 0;
    while read < LAST_WORDS {
        // When the time is over in which they can be delivered, they are still counted.
        let rest = if intake.is_over() { reader.drop_rest() } else { reader.rest() };
        match rest {
            Ok(0) | Err(_) => break,
            Ok(more) => read += more,
        }
        tokio::task::yield_now().await;
    }
    drops.count(socket, intake);
    intake.tell_drops();
}

async fn pause(error: &io::Error, failed: &Throttle, intake: &Intake) {
    intake.ledger().errors.fetch_add(1, Relaxed);
    if let Some(suppressed) = failed.pass(Instant::now()) {
        tracing::warn!(source = intake.name(), %error, suppressed, "{FAILED}");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// What the kernel dropped of one socket.
///
/// Its counter is asked for, instead of having it sent with each datagram (`SO_RXQ_OVFL`): it is the same counter, it
/// costs one call a second, and it also tells of drops that no datagram followed.
struct KernelDrops {
    warned: Throttle,
}

impl KernelDrops {
    fn count<S: Receive>(&self, socket: &S, intake: &Intake) {
        let dropped = socket.new_kernel_drops();
        if dropped == 0 {
            return;
        }
        let all = intake.ledger().kernel_drops.fetch_add(u64::from(dropped), Relaxed) + u64::from(dropped);
        if let Some(suppressed) = self.warned.pass_with(dropped.into(), Instant::now()) {
            tracing::warn!(source = intake.name(), dropped, kernel_drops = all, suppressed, "{KERNEL_DROPS}");
        }
    }
}

/// Reads batches from one socket and hands them on.
struct Reader<'a, S: Receive> {
    socket: &'a S,
    intake: &'a Intake,
    batch: Batch<S::Address>,
    /// For each datagram of this batch why it is dropped, if it is.
    verdicts: Vec<Option<Reason>>,
    /// The senders of this batch, each once, so that a name is not made for every datagram.
    peers: Vec<(Option<S::Address>, String)>,
    /// For each datagram of this batch the place of its sender in `peers`; `None` for one that goes no further.
    senders: Vec<Option<usize>>,
}

impl<'a, S: Receive> Reader<'a, S> {
    fn new(socket: &'a S, intake: &'a Intake) -> Self {
        let batch = Batch::new(intake.max_frame_size());
        Self { socket, intake, batch, verdicts: Vec::new(), peers: Vec::new(), senders: Vec::new() }
    }

    /// Reads what is there, as much as one batch takes, and hands it on; gives how many datagrams it was. The socket
    /// was readable.
    fn burst(&mut self) -> io::Result<usize> {
        let socket = self.socket;
        let batch = &mut self.batch;
        let received = socket.try_receive(|| {
            // With fewer than the batch has room for, the socket is empty: no need to ask once more to hear so.
            if batch.receive(socket.as_fd().as_raw_fd())? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        panic_point("datagrams");
        let count = self.hand_on();
        match received {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    /// The same for a socket of which nobody knows whether it is readable; gives how many datagrams it was.
    fn rest(&mut self) -> io::Result<usize> {
        self.batch.receive(self.socket.as_fd().as_raw_fd())?;
        Ok(self.hand_on())
    }

    /// The same, but counts them as dropped.
    fn drop_rest(&mut self) -> io::Result<usize> {
        self.batch.receive(self.socket.as_fd().as_raw_fd())?;
        let mut count = 0;
        for datagram in self.batch.datagrams() {
            self.intake.refuse(datagram.frame(self.intake.max_frame_size()).bytes.len(), Reason::Shutdown);
            count += 1;
        }
        self.batch.clear();
        Ok(count)
    }

    fn hand_on(&mut self) -> usize {
        // The last sender is kept: it is the likeliest to send again.
        self.peers.drain(..self.peers.len().saturating_sub(1));
        self.senders.clear();
        self.verdicts.clear();
        let max = self.intake.max_frame_size();
        self.socket.judge(self.batch.datagrams().map(|datagram| datagram.address), &mut self.verdicts);
        for (datagram, verdict) in self.batch.datagrams().zip(&self.verdicts) {
            if let Some(reason) = *verdict {
                self.intake.refuse(datagram.frame(max).bytes.len(), reason);
                self.senders.push(None);
                continue;
            }
            // From the end: who has sent just now is the likeliest to send again.
            let known = self.peers.iter().rposition(|(address, _)| *address == datagram.address);
            self.senders.push(Some(known.unwrap_or_else(|| {
                self.peers.push((datagram.address, self.socket.name(datagram.address)));
                self.peers.len() - 1
            })));
        }
        let arrivals: Vec<_> = self
            .batch
            .datagrams()
            .zip(&self.senders)
            .filter_map(|(datagram, sender)| {
                let peer = Peer::at(&self.peers[(*sender)?].1);
                Some(Arrival { frame: datagram.frame(max), peer, line: None })
            })
            .collect();
        let count = self.senders.len();
        self.intake.offer(arrivals);
        self.batch.clear();
        count
    }
}
