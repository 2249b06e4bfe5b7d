//! Syslog over TCP (RFC 6587) and TLS (RFC 5425).

use std::io;

use super::accept::{Accept, Ended, Refusal};
use super::listener::{self, Incoming, Listener};
use super::{Bound, Intake, Running, Sockets, stream};
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
        inherited: Option<&Sockets>,
        source: &str,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: Listener::bind(&config.listener, passed, inherited, source)?,
            config: config.stream.clone(),
        })
    }
}

impl Bound for Tcp {
    fn address(&self) -> String {
        self.listener.address("tcp", "tls")
    }

    fn sockets(&self) -> Sockets {
        self.listener.sockets()
    }

    fn run(self: Box<Self>, intake: Intake) -> Running {
        let (tls, config) = (self.listener.tls(), self.config.clone());
        Box::pin(async move {
            listener::run(*self, tls, config.max_connections, &config, &intake).await;
            Ok(())
        })
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
