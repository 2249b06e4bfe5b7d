//! Reading datagrams, for every kind of socket that carries them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nix::sys::socket::SockaddrLike;
use tokio::time::MissedTickBehavior;
use tracing::Level;

use super::Intake;
use super::batch::ReceivedDatagrams;
use crate::crash::panic_point;
use crate::ledger::Reason;
use crate::pipeline::Arrival;
use crate::record::Peer;
use crate::throttle::{LineOwner, Throttle};

/// Maximum number of datagrams that are still read after a stop, if the kernel already holds them.
const MOST_DRAINED: usize = 100_000;

/// Number of datagrams after which a socket yields the thread: about a millisecond of work. Each yield wakes another
/// thread, which looks whether it can take the work over.
const TURN: usize = 1024;

/// How often the kernel is asked for the number of datagrams that it dropped.
const DROPS_INTERVAL: Duration = Duration::from_secs(1);

const KERNEL_DROPS: &str = "the kernel dropped datagrams because the receive buffer was full; raise receive_buffer and the \
                            sysctl net.core.rmem_max, or workers if one core is not enough";
const FAILED: &str = "cannot receive; retrying in 100 ms";

/// A socket that can receive datagrams without waiting.
pub(super) trait Receive: AsFd {
    /// The sender's address.
    type Address: SockaddrLike + Copy + PartialEq;

    async fn readable(&self) -> io::Result<()>;

    /// Calls `receive` if the socket may have a datagram. If `receive` returns [`io::ErrorKind::WouldBlock`], the
    /// socket is empty, and `readable` waits for the next datagram.
    fn try_receive(&self, receive: impl FnOnce() -> io::Result<()>) -> io::Result<()>;

    /// Returns the name of the sender, as in the record.
    fn name(&self, address: Option<Self::Address>) -> String;

    /// Returns the number of datagrams that the kernel dropped since the last call because the receive buffer was full.
    /// 0 for sockets whose senders wait instead.
    fn new_kernel_drops(&self) -> u32 {
        0
    }

    /// Decides for each datagram of a batch, by its sender, whether it is dropped and why: one verdict for each of
    /// `senders`. One call judges the whole batch, so that a lock shared by several sockets is taken once per batch.
    fn judge(&self, senders: impl Iterator<Item = Option<Self::Address>>, verdicts: &mut Vec<Option<Reason>>) {
        verdicts.extend(senders.map(|_| None));
    }
}

/// Reads datagrams until told to stop.
pub(super) async fn read<S: Receive>(socket: &S, intake: &Intake) {
    let mut reader = DatagramReader::new(socket, intake);
    let of_source = |what| Throttle::new(Level::WARN, LineOwner::Source(intake.name().to_owned()), what);
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
    while read < MOST_DRAINED {
        // After the shutdown deadline, datagrams can no longer be delivered, but are still counted.
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

/// The datagrams of one socket that the kernel dropped.
///
/// The kernel's counter is polled, instead of being sent with each datagram (`SO_RXQ_OVFL`). It is the same counter,
/// polling costs one call a second, and it also shows drops that no later datagram followed.
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
struct DatagramReader<'a, S: Receive> {
    socket: &'a S,
    intake: &'a Intake,
    batch: ReceivedDatagrams<S::Address>,
    /// For each datagram of this batch, the reason why it is dropped, if it is.
    verdicts: Vec<Option<Reason>>,
    /// The senders of this batch, each once, so that the name is not made anew for every datagram.
    peers: Vec<(Option<S::Address>, String)>,
    /// For each datagram of this batch, the index of its sender in `peers`; `None` if it is dropped.
    senders: Vec<Option<usize>>,
}

impl<'a, S: Receive> DatagramReader<'a, S> {
    fn new(socket: &'a S, intake: &'a Intake) -> Self {
        let batch = ReceivedDatagrams::new(intake.max_frame_size());
        Self { socket, intake, batch, verdicts: Vec::new(), peers: Vec::new(), senders: Vec::new() }
    }

    /// Reads the available datagrams, at most one batch, from a socket that was readable. Hands them on, and returns
    /// their number.
    fn burst(&mut self) -> io::Result<usize> {
        let socket = self.socket;
        let batch = &mut self.batch;
        let received = socket.try_receive(|| {
            // If the batch is not full, the socket is empty, and need not be asked again.
            if batch.receive(socket.as_fd().as_raw_fd())? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        panic_point("datagrams");
        let count = self.hand_on();
        match received {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    /// Reads and hands on one batch from a socket that may not be readable. Returns the number of datagrams.
    fn rest(&mut self) -> io::Result<usize> {
        self.batch.receive(self.socket.as_fd().as_raw_fd())?;
        Ok(self.hand_on())
    }

    /// Reads one batch and counts it as dropped. Returns the number of datagrams.
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
        // The last sender is kept, because it is the most likely one to send again.
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
            // The search begins at the end: the latest sender is the most likely one to send again.
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
