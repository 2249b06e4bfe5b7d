//! Syslog over TCP (RFC 6587) and TLS (RFC 5425).

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::accept::{self, Accept, Ended};
use super::rate::{Pace, Rates};
use super::stream::End;
use super::tls::{self, Offer, Tls};
use super::{Intake, proxy, stream};
use crate::config::{StreamConfig, TcpConfig};
use crate::net;
use crate::network::{self, Access, Network};
use crate::record::Peer;
use crate::systemd::Passed;

/// After a stop, a header of the PROXY protocol that is not here yet is not waited for any longer than this.
const LAST_HEADER: Duration = Duration::from_millis(200);

/// A bound listener.
#[derive(Debug)]
pub(super) struct Tcp {
    listener: TcpListener,
    guard: Arc<Guard>,
    config: StreamConfig,
    tls: Option<Arc<Tls>>,
}

/// Who may send, and how much.
#[derive(Debug)]
struct Guard {
    access: Access,
    proxies: Vec<Network>,
    rates: Option<Arc<Mutex<Rates>>>,
}

/// An accepted connection, and what its handshake is made with.
pub(super) struct Connection {
    socket: TcpStream,
    /// With IPv4 addresses as such.
    peer: SocketAddr,
    guard: Arc<Guard>,
    tls: Option<Offer>,
}

impl Tcp {
    pub(super) fn bind(config: &TcpConfig, passed: &mut Passed) -> io::Result<Self> {
        let guard = Guard {
            access: config.access.clone(),
            proxies: config.proxy_protocol.clone(),
            rates: config.max_rate_per_peer.map(|rate| Arc::new(Mutex::new(Rates::new(rate)))),
        };
        let tls = config.tls.as_ref().map(Tls::new).transpose().map_err(io::Error::other)?.map(Arc::new);
        let listener = match passed.tcp(config.listen) {
            Some(listener) => net::passed_tcp_listener(listener)?,
            None => net::tcp_listener(config.listen)?,
        };
        Ok(Self { listener, guard: Arc::new(guard), config: config.stream.clone(), tls })
    }

    pub(super) fn address(&self) -> String {
        let protocol = if self.tls.is_some() { "tls" } else { "tcp" };
        self.listener.local_addr().map_or_else(|_| protocol.to_owned(), |address| format!("{protocol} {address}"))
    }

    pub(super) async fn run(self, intake: Intake) {
        let config = self.config.clone();
        let Some(tls) = self.tls.clone() else {
            return accept::run(self, config.max_connections, &config, &intake).await;
        };
        tokio::select! {
            () = accept::run(self, config.max_connections, &config, &intake) => {}
            () = tls.follow_files(intake.name()) => {}
        }
    }
}

impl Accept for Tcp {
    type Connection = Connection;
    type Config = StreamConfig;

    async fn accept(&self) -> io::Result<Connection> {
        let (socket, address) = self.listener.accept().await?;
        let tls = self.tls.as_ref().map(|tls| tls.offer());
        Ok(Connection { socket, peer: net::canonical(address), guard: Arc::clone(&self.guard), tls })
    }

    fn denied(&self, connection: &Connection) -> Option<String> {
        let peer = connection.peer;
        // Whose connection a proxy brings, its header has to say first.
        let denied = !self.guard.is_proxy(peer) && !self.guard.access.admits(peer.ip());
        denied.then(|| peer.to_string())
    }

    async fn serve(connection: Connection, config: StreamConfig, intake: Intake) -> Ended {
        let Connection { mut socket, peer, guard, tls } = connection;
        keep_alive(&socket, peer, &intake);
        let peer = match guard.real_peer(&socket, peer, &intake).await {
            Ok(peer) => peer,
            Err((peer, end)) => return Ended { peer: peer.to_string(), end },
        };
        let pace = guard.rates.as_ref().map(|rates| Pace::new(Arc::clone(rates), peer.ip()));
        let peer = peer.to_string();
        let end = match tls {
            None => stream::read(&mut socket, Peer::at(&peer), &config, pace.as_ref(), &intake).await,
            Some(offer) => match tls::handshake(socket, offer, &intake).await {
                Ok((mut session, subject)) => {
                    let peer = Peer { address: Some(&peer), tls_subject: subject.as_deref() };
                    let end = stream::read(&mut session, peer, &config, pace.as_ref(), &intake).await;
                    tls::close(session).await;
                    end
                }
                Err(end) => end,
            },
        };
        Ended { peer, end }
    }
}

/// Lets the kernel find out that a silent peer has gone, where it can.
pub(super) fn keep_alive(socket: &TcpStream, peer: SocketAddr, intake: &Intake) {
    if let Err(error) = net::keep_alive(socket) {
        tracing::debug!(source = intake.name(), %peer, %error, "cannot set TCP keepalive");
    }
}

// === impl Guard ===

impl Guard {
    fn is_proxy(&self, peer: SocketAddr) -> bool {
        network::holds(&self.proxies, peer.ip())
    }

    /// Who speaks on a connection from `peer`, which may be a proxy; or whose connection ends before its first message, and why.
    async fn real_peer(
        &self,
        socket: &TcpStream,
        peer: SocketAddr,
        intake: &Intake,
    ) -> Result<SocketAddr, (SocketAddr, End)> {
        if !self.is_proxy(peer) {
            return Ok(peer);
        }
        let stopped = async {
            intake.stop().cancelled().await;
            tokio::time::sleep(LAST_HEADER).await;
        };
        let header = tokio::select! {
            biased;
            header = proxy::read(socket) => header,
            () = stopped => return Err((peer, End::Stopped)),
        };
        let real = match header {
            Ok(real) => real.unwrap_or(peer),
            Err(proxy::Error::Silent) => return Err((peer, End::Closed)),
            Err(proxy::Error::Failed(error)) => return Err((peer, End::Failed(error))),
            Err(error) => return Err((peer, End::Header(error))),
        };
        if self.access.admits(real.ip()) { Ok(real) } else { Err((real, End::Denied)) }
    }
}
