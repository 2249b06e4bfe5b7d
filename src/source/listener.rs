//! Listening on TCP for any protocol: access lists, rate limits, the PROXY protocol, TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::accept::{self, Accept, Ended, Refusal};
use super::end::ConnectionEnd;
use super::peers::{Peers, Share};
use super::rate::{Pace, Rates};
use super::tls::{self, Offer, SourceTls};
use super::wire::Wire;
use super::{Intake, Sockets, proxy};
use crate::config::ListenerConfig;
use crate::network::{self, Access, Network};
use crate::record::Peer;
use crate::sockets;
use crate::systemd::Passed;

/// Maximum time to wait, after a stop, for a header of the PROXY protocol that has not arrived yet.
const LAST_HEADER: Duration = Duration::from_millis(200);

/// A bound socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Arc<TcpListener>,
    guard: Arc<Guard>,
    tls: Option<Arc<SourceTls>>,
}

/// The limits on who may send, and how much.
#[derive(Debug)]
struct Guard {
    access: Access,
    proxies: Vec<Network>,
    rates: Option<Arc<Mutex<Rates>>>,
    peers: Arc<Peers>,
}

/// An accepted connection, and the settings of its handshake.
pub(super) struct Incoming {
    socket: TcpStream,
    /// Address of the peer; an IPv4 address is not mapped to IPv6.
    peer: SocketAddr,
    guard: Arc<Guard>,
    tls: Option<Offer>,
    /// `None` for the connection of a proxy: the PROXY header names the real peer.
    admission: Option<Result<Share, Denial>>,
}

/// Reason why a peer gets no connection.
#[derive(Clone, Copy, Debug)]
enum Denial {
    Access,
    TooMany,
}

/// A connection of a peer that may send, after its PROXY header and its handshake.
pub(super) struct Connection {
    pub(super) wire: Wire,
    /// Address of the peer; the real one if there is a proxy in between.
    pub(super) address: String,
    /// Subject of the client's certificate.
    pub(super) tls_subject: Option<String>,
    pub(super) pace: Option<Pace>,
    _share: Option<Share>,
}

// === impl Listener ===

impl Listener {
    /// Listens for `source` at the configured address. Takes the socket of a predecessor if there is one, or a socket
    /// that was `passed`.
    pub(super) fn bind(
        config: &ListenerConfig,
        passed: &mut Passed,
        inherited: Option<&Sockets>,
        source: &str,
    ) -> io::Result<Self> {
        let guard = Guard {
            access: config.access.clone(),
            proxies: config.proxy_protocol.clone(),
            rates: config.max_rate_per_peer.map(|rate| Arc::new(Mutex::new(Rates::new(rate, Pace::log(source))))),
            peers: Arc::new(Peers::new(config.max_connections_per_peer)),
        };
        let tls = config.tls.as_ref().map(SourceTls::new).transpose().map_err(io::Error::other)?.map(Arc::new);
        let socket = match (inherited.and_then(Sockets::upgrade_one), passed.tcp(config.listen)) {
            (Some(socket), _) => socket,
            (None, Some(socket)) => Arc::new(sockets::passed_tcp_listener(socket)?),
            (None, None) => Arc::new(sockets::tcp_listener(config.listen)?),
        };
        Ok(Self { socket, guard: Arc::new(guard), tls })
    }

    /// Returns the socket, for a successor.
    pub(super) fn sockets(&self) -> Sockets {
        Sockets::one(&self.socket)
    }

    /// Returns the address of the listener, after the name of its protocol: `plain` or `over_tls`.
    pub(super) fn address(&self, plain: &str, over_tls: &str) -> String {
        let protocol = if self.tls.is_some() { over_tls } else { plain };
        self.socket.local_addr().map_or_else(|_| protocol.to_owned(), |address| format!("{protocol} {address}"))
    }

    /// Returns the peer with the most connections, and how many connections it has.
    pub(super) fn busiest(&self) -> Option<(String, usize)> {
        self.guard.peers.busiest().map(|(peer, connections)| (peer.to_string(), connections))
    }

    /// Returns the TLS configuration whose files [`run`] follows.
    pub(super) fn tls(&self) -> Option<Arc<SourceTls>> {
        self.tls.clone()
    }

    pub(super) async fn accept(&self) -> io::Result<Incoming> {
        let (socket, address) = self.socket.accept().await?;
        let tls = self.tls.as_ref().map(|tls| tls.offer());
        let (peer, guard) = (sockets::canonical(address), Arc::clone(&self.guard));
        let admission = (!guard.is_proxy(peer)).then(|| guard.admit(peer));
        Ok(Incoming { socket, peer, guard, tls, admission })
    }
}

/// Accepts and serves the connections of `source`, and reloads the files of `tls` when they change.
pub(super) async fn run<A: Accept>(
    source: A,
    tls: Option<Arc<SourceTls>>,
    max_connections: usize,
    config: &A::Config,
    intake: &Intake,
) {
    let serve = accept::run(source, max_connections, config, intake);
    let Some(tls) = tls else { return serve.await };
    let follow_files = async {
        tokio::select! {
            () = tls.follow_files(intake.name()) => {}
            // There are no new connections any more for which the files would be reloaded.
            () = intake.succeeded().cancelled() => std::future::pending().await,
        }
    };
    tokio::select! {
        () = serve => {}
        () = follow_files => {}
    }
}

// === impl Incoming ===

impl Incoming {
    /// Returns the reason to close the connection at once, if there is one.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self.admission {
            Some(Err(Denial::Access)) => Some(Refusal::Denied(self.peer.to_string())),
            Some(Err(Denial::TooMany)) => Some(Refusal::TooMany(self.peer.to_string())),
            Some(Ok(_)) | None => None,
        }
    }

    /// Reads the PROXY header and performs the handshake, if they are configured. Returns how the connection ended if
    /// one of them failed.
    pub(super) async fn open(self, intake: &Intake) -> Result<Connection, Ended> {
        let Self { socket, peer, guard, tls, admission } = self;
        if let Err(error) = sockets::keep_alive(&socket) {
            tracing::debug!(source = intake.name(), %peer, %error, "cannot set TCP keepalive");
        }
        let ended = |peer: SocketAddr, end| Ended { peer: peer.to_string(), end };
        let (peer, share) = match admission {
            Some(Ok(share)) => (peer, Some(share)),
            Some(Err(denial)) => return Err(ended(peer, denial.into())),
            None => guard.real_peer(&socket, peer, intake).await.map_err(|(peer, end)| ended(peer, end))?,
        };
        let pace = guard.rates.as_ref().map(|rates| Pace::new(Arc::clone(rates), peer.ip()));
        let (wire, tls_subject) = match tls {
            None => (Wire::Plain(socket), None),
            Some(offer) => {
                let (session, subject) = tls::handshake(socket, offer, intake).await.map_err(|end| ended(peer, end))?;
                (Wire::Tls(Box::new(session)), subject)
            }
        };
        Ok(Connection { wire, address: peer.to_string(), tls_subject, pace, _share: share })
    }
}

impl From<Denial> for ConnectionEnd {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Access => Self::Denied,
            Denial::TooMany => Self::TooMany,
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Returns the peer as shown in the record.
    pub(super) fn peer(&self) -> Peer<'_> {
        Peer { address: Some(&self.address), tls_subject: self.tls_subject.as_deref() }
    }
}

// === impl Guard ===

impl Guard {
    fn is_proxy(&self, peer: SocketAddr) -> bool {
        network::holds(&self.proxies, peer.ip())
    }

    /// Admits one more connection of `peer`, and returns its share of the peer's limit.
    fn admit(&self, peer: SocketAddr) -> Result<Share, Denial> {
        if self.access.admits(peer.ip()) {
            self.peers.admit(peer.ip()).map_err(|_| Denial::TooMany)
        } else {
            Err(Denial::Access)
        }
    }

    /// Returns the real peer of a connection of the proxy `peer`, or how the connection ended before its first message.
    /// A proxy that speaks for itself does not count towards the limits of peers.
    async fn real_peer(
        &self,
        socket: &TcpStream,
        peer: SocketAddr,
        intake: &Intake,
    ) -> Result<(SocketAddr, Option<Share>), (SocketAddr, ConnectionEnd)> {
        let stopped = async {
            intake.stop().cancelled().await;
            tokio::time::sleep(LAST_HEADER).await;
        };
        let header = tokio::select! {
            biased;
            header = proxy::read(socket) => header,
            () = stopped => return Err((peer, ConnectionEnd::Stopped)),
        };
        match header {
            Ok(Some(real)) => match self.admit(real) {
                Ok(share) => Ok((real, Some(share))),
                Err(denial) => Err((real, denial.into())),
            },
            Ok(None) if self.access.admits(peer.ip()) => Ok((peer, None)),
            Ok(None) => Err((peer, ConnectionEnd::Denied)),
            Err(proxy::Error::Silent) => Err((peer, ConnectionEnd::Closed)),
            Err(proxy::Error::Failed(error)) => Err((peer, ConnectionEnd::Failed(error))),
            Err(error) => Err((peer, ConnectionEnd::Header(error))),
        }
    }
}
