//! `[[source.tcp]]`: syslog over TCP (RFC 6587), or over TLS (RFC 5425).

use super::listener::{
    self, ALLOW, DENY, LISTEN, ListenerConfig, MAX_CONNECTIONS_PER_PEER, MAX_RATE_PER_PEER, PROXY_PROTOCOL,
};
use super::stream::{self, FRAMING, IDLE_TIMEOUT, MAX_CONNECTIONS, StreamConfig};
use super::{Endpoint, SourceFacts, SourceKind};
use crate::config::kind::Kind;
use crate::config::tls;
use crate::record::Transport;

/// `[[source.tcp]]`: syslog over TCP (RFC 6587), or over TLS (RFC 5425).
#[derive(Clone, Debug, PartialEq)]
pub struct TcpConfig {
    /// Address to listen on, and peers that may send.
    pub listener: ListenerConfig,
    /// Framing and limits of its connections.
    pub stream: StreamConfig,
}

pub(super) const KIND: Kind<SourceKind> = Kind {
    name: "tcp",
    doc: "Syslog over TCP (RFC 6587), or over TLS (RFC 5425).",
    single: false,
    keys: &[
        LISTEN,
        FRAMING,
        MAX_CONNECTIONS,
        MAX_CONNECTIONS_PER_PEER,
        IDLE_TIMEOUT,
        ALLOW,
        DENY,
        PROXY_PROTOCOL,
        MAX_RATE_PER_PEER,
        tls::TLS,
    ],
    read: |table| {
        let (listener, stream) = (listener::read(table), stream::read(table));
        Some(SourceKind::Tcp(TcpConfig { listener: listener?, stream: stream? }))
    },
};

impl SourceFacts for TcpConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Tcp(self.listener.listen)
    }

    fn transport(&self) -> Transport {
        if self.listener.tls.is_some() { Transport::Tls } else { Transport::Tcp }
    }

    fn max_connections(&self) -> usize {
        self.stream.max_connections
    }

    fn descriptors(&self) -> usize {
        stream::DESCRIPTORS
    }

    fn warnings(&self, now: jiff::Timestamp) -> Vec<String> {
        self.listener.warnings(now)
    }
}
