//! Syslog over TCP (RFC 6587) and over TLS (RFC 5425).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use super::accept::{self, Accept, Ended};
use super::tls::{self, Offer, Tls};
use super::{Intake, stream};
use crate::config::{StreamConfig, TcpConfig};
use crate::net;
use crate::record::Peer;

/// A bound listener.
#[derive(Debug)]
pub(super) struct Tcp {
    listener: TcpListener,
    config: StreamConfig,
    tls: Option<Arc<Tls>>,
}

/// An accepted connection, and what its handshake is made with.
pub(super) struct Connection {
    socket: TcpStream,
    address: SocketAddr,
    tls: Option<Offer>,
}

impl Tcp {
    pub(super) fn bind(config: &TcpConfig) -> io::Result<Self> {
        let tls = config.tls.as_ref().map(Tls::new).transpose().map_err(io::Error::other)?.map(Arc::new);
        Ok(Self { listener: net::tcp_listener(config.listen)?, config: config.stream.clone(), tls })
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
        Ok(Connection { socket, address, tls: self.tls.as_ref().map(|tls| tls.offer()) })
    }

    async fn serve(Connection { mut socket, address, tls }: Connection, config: StreamConfig, intake: Intake) -> Ended {
        keep_alive(&socket, address, &intake);
        let peer = net::canonical(address).to_string();
        let (framing, idle_timeout) = (config.framing, config.idle_timeout);
        let end = match tls {
            None => stream::read(&mut socket, Peer::at(&peer), framing, idle_timeout, &intake).await,
            Some(offer) => match tls::handshake(socket, offer, &intake).await {
                Ok((mut session, subject)) => {
                    let peer = Peer { address: Some(&peer), tls_subject: subject.as_deref() };
                    let end = stream::read(&mut session, peer, framing, idle_timeout, &intake).await;
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
