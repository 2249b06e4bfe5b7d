//! `[[source.tcp]]`: syslog over TCP (RFC 6587), or over TLS (RFC 5425).

use std::net::SocketAddr;

use super::listener::{ListenerConfig, ListenerKeys};
use super::stream::{self, StreamConfig, StreamKeys};
use super::{SourceEndpoint, SourceFacts, SourceKind};
use crate::config::diagnostics::Diagnostics;
use crate::config::form::ADDRESS;
use crate::config::key::{keys, required};
use crate::config::kind::{Kind, Section};
use crate::record::Transport;

keys! {
    /// Keys of `[[source.tcp]]`.
    struct TcpKeys {
        /// Address and port. The address `[::]` accepts IPv4 too.
        listen: SocketAddr = required(ADDRESS, r#""[::]:514""#),
        ..stream: StreamKeys,
        ..listener: ListenerKeys,
    }
}

pub(super) const KIND: Kind<SourceKind> =
    Kind::of::<TcpKeys>("tcp", "Syslog over TCP (RFC 6587), or over TLS (RFC 5425).");

/// `[[source.tcp]]`: syslog over TCP (RFC 6587), or over TLS (RFC 5425).
#[derive(Clone, Debug, PartialEq)]
pub struct TcpConfig {
    /// Address to listen on, and peers that may send.
    pub listener: ListenerConfig,
    /// Framing and limits of its connections.
    pub stream: StreamConfig,
}

impl Section for TcpKeys {
    type Config = SourceKind;

    fn config(self, found: &mut Diagnostics) -> Option<SourceKind> {
        let (listener, stream) = (self.listener.config(self.listen.value, found), self.stream.config());
        Some(SourceKind::Tcp(TcpConfig { listener: listener?, stream: stream? }))
    }
}

impl SourceFacts for TcpConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> SourceEndpoint<'_> {
        SourceEndpoint::Tcp(self.listener.listen)
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
