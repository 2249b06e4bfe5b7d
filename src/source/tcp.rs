//! Syslog over TCP (RFC 6587) and TLS (RFC 5425).

use std::io;
use std::sync::{Arc, Weak};

use tokio::net::TcpListener;

use super::accept::{Accept, Ended, Refusal};
use super::listener::{self, Incoming, Listener};
use super::{Intake, stream};
use crate::config::{StreamConfig, TcpConfig};
use crate::systemd::Passed;

/// A bound listener.
#[derive(Debug)]
pub(super) struct Tcp {
    listener: Listener,
    config: StreamConfig,
}

impl Tcp {
    pub(super) fn bind(
        config: &TcpConfig,
        passed: &mut Passed,
        inherited: Option<Arc<TcpListener>>,
        source: &str,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: Listener::bind(&config.listener, passed, inherited, source)?,
            config: config.stream.clone(),
        })
    }

    pub(super) fn listener(&self) -> Weak<TcpListener> {
        self.listener.handle()
    }

    pub(super) fn address(&self) -> String {
        self.listener.address("tcp", "tls")
    }

    pub(super) async fn run(self, intake: Intake) {
        let (tls, config) = (self.listener.tls(), self.config.clone());
        listener::run(self, tls, config.max_connections, &config, &intake).await;
    }
}

impl Accept for Tcp {
    type Connection = Incoming;
    type Config = StreamConfig;

    async fn accept(&self) -> io::Result<Incoming> {
        self.listener.accept().await
    }

    fn refusal(&self, incoming: &Incoming) -> Option<Refusal> {
        incoming.refusal()
    }

    fn busiest(&self) -> Option<(String, usize)> {
        self.listener.busiest()
    }

    async fn serve(incoming: Incoming, config: StreamConfig, intake: Intake) -> Ended {
        let connection = match incoming.open(&intake).await {
            Ok(connection) => connection,
            Err(ended) => return ended,
        };
        let mut wire = &connection.wire;
        let end = stream::read(&mut wire, connection.peer(), &config, connection.pace.as_ref(), &intake).await;
        wire.close().await;
        Ended { peer: connection.address, end }
    }
}
