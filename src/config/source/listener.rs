//! Settings that the sources that listen on a network share: the address, and the peers that may send.

use std::net::SocketAddr;

use crate::config::diagnostics::Diagnostics;
use crate::config::form::{CountOr, List, NETWORK, Table};
use crate::config::key::{default, keys, optional};
use crate::config::kind::Section;
use crate::config::tls::TlsKeys;
use crate::network::{Access, Network};
use crate::tls::TlsConfig;

keys! {
    /// Keys that say which peers may send, and how much.
    pub(super) struct PeerKeys {
        /// Networks whose peers may send. Without this key, all peers may. Datagrams from other peers are dropped and
        /// counted; their connections are closed at once and counted.
        allow: Vec<Network> = optional(List(NETWORK), r#"["192.0.2.0/24", "2001:db8::/32"]"#),
        /// Networks whose peers may not send, even if `allow` contains them.
        deny: Vec<Network> = optional(List(NETWORK), r#"["192.0.2.66"]"#),
        /// Maximum number of messages per second from one peer. A peer may send the messages of one second at once, and
        /// at least 100. Datagrams above the limit are dropped and counted. Connections above the limit are read more
        /// slowly, and lose nothing.
        max_rate_per_peer: Option<u32> = default(CountOr(1, 1_000_000, "none"), r#""none""#),
    }
}

keys! {
    /// Keys that the sources that listen on TCP share, apart from the address.
    pub(super) struct ListenerKeys {
        /// Maximum number of connections from one address, or from one /64 network of IPv6. Further ones are closed at
        /// once and counted. Behind a PROXY header, the address in the header counts. Connections from this machine are
        /// not limited.
        max_connections_per_peer: Option<u32> = default(CountOr(1, 1_000_000, "none"), "200"),
        /// Networks of proxies. A connection from these networks must begin with a PROXY header, version 1 or 2; the
        /// peer is the one that the header names. Postrider looks for no header in other connections.
        proxy_protocol: Vec<Network> = optional(List(NETWORK), r#"["10.0.0.0/8"]"#),
        /// TLS instead of plain TCP (RFC 5425, RFC 9662). docs/tls.md has the settings of senders.
        tls: TlsKeys = optional(Table::<TlsKeys>::NEW, "{}"),
        ..peers: PeerKeys,
    }
}

/// Settings that the sources that listen on TCP share.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// Address; `[::]` accepts IPv4 too.
    pub listen: SocketAddr,
    /// Peers that may send.
    pub access: Access,
    /// Networks whose connections begin with a header of the PROXY protocol; the peer is the one that the header names.
    pub proxy_protocol: Vec<Network>,
    /// Maximum number of connections of one peer at a time; further ones are closed at once and counted. `None` means
    /// no limit.
    pub max_connections_per_peer: Option<usize>,
    /// Maximum number of messages per second from one peer; above it, its connections are not read for a while.
    pub max_rate_per_peer: Option<u32>,
    /// `[source.KIND.tls]`; `None` for plain TCP.
    pub tls: Option<TlsConfig>,
}

impl ListenerConfig {
    /// Returns warnings about certificates that are not valid, or will not be valid for long.
    pub(super) fn warnings(&self, now: jiff::Timestamp) -> Vec<String> {
        self.tls.iter().flat_map(|tls| tls.warnings(now)).collect()
    }
}

impl ListenerKeys {
    /// Returns the settings of a source that listens on `listen`; `None` after an error.
    pub(super) fn config(self, listen: Option<SocketAddr>, found: &mut Diagnostics) -> Option<ListenerConfig> {
        let tls = match self.tls.value {
            Some(tls) => Some(tls.config(found)?),
            None => None,
        };
        let max_connections_per_peer = self.max_connections_per_peer.value?;
        Some(ListenerConfig {
            listen: listen?,
            max_rate_per_peer: self.peers.max_rate_per_peer.value?,
            access: self.peers.access(),
            proxy_protocol: self.proxy_protocol.value.unwrap_or_default(),
            max_connections_per_peer: max_connections_per_peer.map(|count| count as usize),
            tls,
        })
    }
}

impl PeerKeys {
    pub(super) fn access(self) -> Access {
        Access { allow: self.allow.value.unwrap_or_default(), deny: self.deny.value.unwrap_or_default() }
    }
}
