//! Syslog over UDP (RFC 5426).

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use nix::sys::socket::SockaddrStorage;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::rate::Rates;
use super::{Intake, datagrams};
use crate::config::UdpConfig;
use crate::ledger::Reason;
use crate::net;
use crate::network::Access;
use crate::systemd::Passed;
use crate::throttle::Throttle;

/// The sockets of one address, each read by its own task. The kernel spreads senders over them (`SO_REUSEPORT`), by the
/// addresses and ports of both ends: what one sender sends from one port stays on one socket, however much it is.
#[derive(Debug)]
pub(super) struct Udp {
    sockets: Vec<UdpSocket>,
    /// `None` where everybody may send as much as he likes: then nothing is locked.
    gate: Option<Arc<Mutex<Gate>>>,
}

/// Says no to a peer, and throttles what it logs about that.
#[derive(Debug)]
struct Gate {
    access: Access,
    denied: Throttle,
    rates: Option<Rates>,
}

impl Udp {
    pub(super) fn bind(config: &UdpConfig, passed: &mut Passed) -> io::Result<Self> {
        let (listen, receive_buffer) = (config.listen, config.receive_buffer);
        let sockets = match passed.udp(listen) {
            // The service manager has bound one, and so there is one worker.
            Some(socket) => vec![net::passed_udp_socket(socket, receive_buffer, listen)?],
            None => net::udp_sockets(listen, receive_buffer, config.workers)?,
        };
        let gate = Gate {
            access: config.access.clone(),
            denied: Throttle::default(),
            rates: config.max_rate_per_peer.map(Rates::new),
        };
        let gate = (!gate.is_open()).then(|| Arc::new(Mutex::new(gate)));
        Ok(Self { sockets, gate })
    }

    pub(super) fn address(&self) -> String {
        let address = self.sockets.first().and_then(|socket| socket.local_addr().ok());
        address.map_or_else(|| "udp".to_owned(), |address| format!("udp {address}"))
    }

    pub(super) async fn run(self, intake: Intake) {
        let mut workers = JoinSet::new();
        for socket in self.sockets {
            let (intake, gate) = (intake.clone(), self.gate.clone());
            workers.spawn(async move {
                let judge = |peer: Option<SockaddrStorage>| match (&gate, peer.and_then(internet)) {
                    (Some(gate), Some(peer)) => {
                        gate.lock().unwrap_or_else(PoisonError::into_inner).judge(peer, intake.name())
                    }
                    _ => Ok(()),
                };
                datagrams::read(&socket, judge, &intake).await;
            });
        }
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(source = intake.name(), %error, "the reading of a socket failed; the others go on");
            }
        }
    }
}

impl Gate {
    fn is_open(&self) -> bool {
        self.rates.is_none() && self.access == Access::default()
    }

    /// Why a datagram of `peer` goes no further, if it does not.
    fn judge(&mut self, peer: SocketAddr, source: &str) -> Result<(), Reason> {
        if !self.access.admits(peer.ip()) {
            if let Some(suppressed) = self.denied.pass(Instant::now()) {
                let peer = net::canonical(peer);
                tracing::warn!(source, %peer, suppressed, "datagram dropped: allow and deny do not let its sender send");
            }
            return Err(Reason::Denied);
        }
        let Some(rates) = &mut self.rates else { return Ok(()) };
        let now = Instant::now();
        if rates.admit(peer.ip(), now) {
            return Ok(());
        }
        if let Some(suppressed) = rates.log.pass(now) {
            let peer = net::canonical(peer);
            tracing::warn!(source, %peer, suppressed, "datagram dropped: its sender is over max_rate_per_peer");
        }
        Err(Reason::RateLimited)
    }
}

impl datagrams::Receive for UdpSocket {
    type Address = SockaddrStorage;

    async fn readable(&self) -> io::Result<()> {
        Self::readable(self).await
    }

    fn try_receive(&self, receive: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.try_io(Interest::READABLE, receive)
    }

    fn name(&self, address: Option<SockaddrStorage>) -> String {
        address.and_then(internet).map(|address| net::canonical(address).to_string()).unwrap_or_default()
    }

    fn kernel_drops(&self) -> io::Result<u32> {
        net::kernel_drops(self)
    }
}

fn internet(address: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddrV4::from(*address).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddrV6::from(*address).into()))
}
