//! Syslog over TCP (RFC 6587).

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::accept::{self, Accept, Ended};
use super::{Intake, stream};
use crate::config::{StreamConfig, TcpConfig};
use crate::net;

/// A bound listener.
#[derive(Debug)]
pub(super) struct Tcp {
    listener: TcpListener,
    config: StreamConfig,
}

impl Tcp {
    pub(super) fn bind(config: &TcpConfig) -> io::Result<Self> {
        Ok(Self { listener: net::tcp_listener(config.listen)?, config: config.stream.clone() })
    }

    pub(super) fn address(&self) -> String {
        self.listener.local_addr().map_or_else(|_| "tcp".to_owned(), |address| format!("tcp {address}"))
    }

    pub(super) async fn run(self, intake: Intake) {
        let config = self.config.clone();
        accept::run(self, &config, &intake).await;
    }
}

impl Accept for Tcp {
    type Connection = (tokio::net::TcpStream, SocketAddr);

    async fn accept(&self) -> io::Result<Self::Connection> {
        self.listener.accept().await
    }

    async fn serve((socket, address): Self::Connection, config: StreamConfig, intake: Intake) -> Ended {
        if let Err(error) = net::keep_alive(&socket) {
            tracing::debug!(source = intake.name(), peer = %address, %error, "cannot set TCP keepalive");
        }
        let peer = net::canonical(address).to_string();
        let end = stream::read(&socket, Some(&peer), config.framing, config.idle_timeout, &intake).await;
        Ended { peer, end }
    }
}
