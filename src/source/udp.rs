//! Syslog over UDP (RFC 5426).

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use nix::sys::socket::SockaddrStorage;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tracing::Level;

use super::rate::Rates;
use super::{Bound, Failed, Intake, Running, Sockets, datagrams};
use crate::config::UdpConfig;
use crate::ledger::Reason;
use crate::network::Access;
use crate::panics;
use crate::poison;
use crate::sockets;
use crate::systemd::Passed;
use crate::throttle::{LineOwner, Throttle};

/// The sockets of one address, each read by its own task. The kernel distributes senders over them (`SO_REUSEPORT`), by
/// the addresses and ports of both ends. All datagrams that one sender sends from one port therefore go to one socket,
/// however many they are.
#[derive(Debug)]
pub(super) struct Udp {
    sockets: Vec<Arc<Socket>>,
    /// The configuration, if the sockets are inherited: it is still to be applied to them.
    inherited: Option<UdpConfig>,
    /// `None` if every peer may send without a limit.
    gate: Option<Arc<Gate>>,
}

/// A socket, and the number of its drops that are counted already: its reader counts the rest.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
    counted: Mutex<u32>,
}

const DENIED: &str = "datagram dropped: allow and deny do not permit its sender";
const OVER_RATE: &str = "datagram dropped: its sender is over max_rate_per_peer";

/// The access lists and the rate limit for all sockets of the address together. The lists need no lock. The rates need
/// one, which is taken once per batch and not while a line is logged.
#[derive(Debug)]
struct Gate {
    access: Access,
    denied: Throttle,
    rates: Option<Mutex<Rates>>,
}

/// The reader of one of the sockets.
struct SocketReader {
    socket: Arc<Socket>,
    gate: Option<Arc<Gate>>,
    intake: Intake,
}

impl Udp {
    pub(super) fn bind(
        config: &UdpConfig,
        passed: &mut Passed,
        inherited: Option<&Sockets>,
        source: &str,
    ) -> io::Result<Self> {
        let (listen, receive_buffer) = (config.listen, config.receive_buffer);
        let inherited = inherited.and_then(Sockets::upgrade);
        let is_inherited = inherited.is_some();
        let sockets = match (inherited, passed.udp(listen)) {
            (Some(sockets), _) => sockets,
            // The service manager has bound one socket, so there is one worker.
            (None, Some(socket)) => vec![Socket::new(sockets::passed_udp_socket(socket, receive_buffer, listen)?)],
            (None, None) => {
                sockets::udp_sockets(listen, receive_buffer, config.workers)?.into_iter().map(Socket::new).collect()
            }
        };
        let of_source = |what| Throttle::new(Level::WARN, LineOwner::Source(source.to_owned()), what);
        let gate = Gate {
            access: config.access.clone(),
            denied: of_source(DENIED),
            rates: config.max_rate_per_peer.map(|rate| Mutex::new(Rates::new(rate, of_source(OVER_RATE)))),
        };
        let gate = (!gate.is_open()).then(|| Arc::new(gate));
        Ok(Self { sockets, inherited: is_inherited.then(|| config.clone()), gate })
    }

    /// Runs the workers. If one of them ends early, the source ends, because the datagrams that the kernel gives to
    /// that worker's socket would not be read. The other workers first hand on what they have.
    async fn read(self, intake: Intake) -> Result<(), Failed> {
        let mut workers = JoinSet::new();
        for socket in self.sockets {
            let worker = SocketReader { socket, gate: self.gate.clone(), intake: intake.clone() };
            workers.spawn(panics::catch_in(async move { datagrams::read(&worker, &worker.intake).await }));
        }
        let mut result = Ok(());
        while let Some(ended) = workers.join_next().await {
            // In the other cases, the whole source is being aborted.
            if let Ok(Err(panic)) = ended {
                intake.stop().cancel();
                result = Err(panic.into());
            }
        }
        result
    }
}

impl Bound for Udp {
    fn address(&self) -> String {
        let address = self.sockets.first().and_then(|socket| socket.socket.local_addr().ok());
        address.map_or_else(|| "udp".to_owned(), |address| format!("udp {address}"))
    }

    fn sockets(&self) -> Sockets {
        Sockets::all(&self.sockets)
    }

    /// Applies the configuration to inherited sockets. Surplus sockets stay open and are read: otherwise, the datagrams
    /// that come to them until they are closed would be lost.
    fn adapt(&mut self, source: &str) {
        let Some(config) = self.inherited.take() else { return };
        let (now, asked) = (self.sockets.len(), config.workers);
        if now > asked {
            tracing::info!(
                source,
                sockets = now,
                workers = asked,
                "keeping all sockets until the next start, because closing one would lose datagrams"
            );
        }
        let Some(first) = self.sockets.first() else { return };
        for socket in &self.sockets {
            if let Err(error) = sockets::resize_receive_buffer(&socket.socket, config.receive_buffer, config.listen) {
                tracing::warn!(source, %error, "cannot change the receive buffer; keeping its size");
            }
        }
        match sockets::more_udp_sockets(&first.socket, config.receive_buffer, asked.saturating_sub(now)) {
            Ok(more) => self.sockets.extend(more.into_iter().map(Socket::new)),
            Err(error) => tracing::warn!(source, %error, "cannot add workers; continuing with {now}"),
        }
    }

    fn run(self: Box<Self>, intake: Intake) -> Running {
        Box::pin(self.read(intake))
    }
}

impl Gate {
    fn is_open(&self) -> bool {
        self.rates.is_none() && self.access == Access::default()
    }

    /// Returns one verdict for each of `senders`.
    fn judge(
        &self,
        senders: impl Iterator<Item = Option<SockaddrStorage>>,
        verdicts: &mut Vec<Option<Reason>>,
        source: &str,
    ) {
        let now = Instant::now();
        let mut denied = None;
        let mut over = None;
        let mut rates = self.rates.as_ref().map(lock);
        for sender in senders {
            let Some(peer) = sender.and_then(internet) else {
                verdicts.push(None);
                continue;
            };
            verdicts.push(if !self.access.admits(peer.ip()) {
                denied.get_or_insert((peer, 0)).1 += 1;
                Some(Reason::Denied)
            } else if rates.as_mut().is_some_and(|rates| !rates.admit(peer.ip(), now)) {
                over.get_or_insert((peer, 0)).1 += 1;
                Some(Reason::RateLimited)
            } else {
                None
            });
        }
        let over =
            over.zip(rates.as_mut()).and_then(|((peer, count), rates)| Some((peer, rates.log.pass_many(count, now)?)));
        drop(rates);
        let denied = denied.and_then(|(peer, count)| Some((peer, self.denied.pass_many(count, now)?)));
        if let Some((peer, suppressed)) = denied {
            let peer = sockets::canonical(peer);
            tracing::warn!(source, %peer, suppressed, "{DENIED}");
        }
        if let Some((peer, suppressed)) = over {
            let peer = sockets::canonical(peer);
            tracing::warn!(source, %peer, suppressed, "{OVER_RATE}");
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    poison::ignore(shared.lock())
}

impl Socket {
    fn new(socket: UdpSocket) -> Arc<Self> {
        Arc::new(Self { socket, counted: Mutex::default() })
    }
}

impl AsFd for SocketReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.socket.as_fd()
    }
}

impl datagrams::Receive for SocketReader {
    type Address = SockaddrStorage;

    async fn readable(&self) -> io::Result<()> {
        self.socket.socket.readable().await
    }

    fn try_receive(&self, receive: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.socket.socket.try_io(Interest::READABLE, receive)
    }

    fn name(&self, address: Option<SockaddrStorage>) -> String {
        address.and_then(internet).map(|address| sockets::canonical(address).to_string()).unwrap_or_default()
    }

    fn new_kernel_drops(&self) -> u32 {
        let mut counted = lock(&self.socket.counted);
        // If the kernel does not tell its count, nothing is counted.
        let total = sockets::kernel_drops(self).unwrap_or(*counted);
        total.wrapping_sub(std::mem::replace(&mut *counted, total))
    }

    fn judge(&self, senders: impl Iterator<Item = Option<SockaddrStorage>>, verdicts: &mut Vec<Option<Reason>>) {
        match &self.gate {
            Some(gate) => gate.judge(senders, verdicts, self.intake.name()),
            None => verdicts.extend(senders.map(|_| None)),
        }
    }
}

fn internet(address: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddrV4::from(*address).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddrV6::from(*address).into()))
}
