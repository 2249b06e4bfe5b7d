//! Settings that the sources that listen on a network share: the address, and the peers that may send.

use std::net::SocketAddr;

use crate::config::key::{Key, Type};
use crate::config::reader::Reader;
use crate::config::tls;
use crate::network::{Access, Network};
use crate::tls::TlsConfig;

pub(super) const LISTEN: Key =
    Key::required("listen", Type::Address, r#""[::]:514""#, "Address and port; `[::]` takes IPv4 too.");

pub(super) const MAX_CONNECTIONS_PER_PEER: Key = Key::default(
    "max_connections_per_peer",
    Type::CountOr(1, 1_000_000, "none"),
    "200",
    "Maximum number of connections of one address, or of one /64 network of IPv6; more are closed at once and counted. Behind a \
     PROXY header the address in it counts. Those of this machine itself are not limited.",
);

pub(super) const ALLOW: Key = Key::optional(
    "allow",
    Type::Networks,
    r#"["192.0.2.0/24", "2001:db8::/32"]"#,
    "Only peers in these networks may send; without it all may. Others are closed or dropped at once, and counted.",
);

pub(super) const DENY: Key = Key::optional(
    "deny",
    Type::Networks,
    r#"["192.0.2.66"]"#,
    "Peers in these networks may not send, even if `allow` holds them.",
);

pub(super) const MAX_RATE_PER_PEER: Key = Key::default(
    "max_rate_per_peer",
    Type::CountOr(1, 1_000_000, "none"),
    r#""none""#,
    "Messages per second that one peer may send, and one second's worth, at least 100, at once. Datagrams over it are \
     dropped and counted; connections are read more slowly.",
);

pub(super) const PROXY_PROTOCOL: Key = Key::optional(
    "proxy_protocol",
    Type::Networks,
    r#"["10.0.0.0/8"]"#,
    "The proxies: a connection from these networks must begin with a PROXY header, version 1 or 2, and is of the peer that it \
     names; from elsewhere none is looked for.",
);

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

pub(super) fn read(table: &mut Reader<'_, '_>) -> Option<ListenerConfig> {
    let listen = table.address("listen");
    let (access, max_rate_per_peer) = (access(table), max_rate(table));
    let max_connections_per_peer = table.count_or_word("max_connections_per_peer");
    let max_connections_per_peer = max_connections_per_peer.and_then(|count| usize::try_from(count).ok());
    let proxy_protocol = table.networks("proxy_protocol");
    // After an error in this table, no configuration results at all.
    let tls = table.inner(tls::TLS.name, tls::read).flatten();
    Some(ListenerConfig { listen: listen?, access, proxy_protocol, max_connections_per_peer, max_rate_per_peer, tls })
}

pub(super) fn access(table: &mut Reader<'_, '_>) -> Access {
    Access { allow: table.networks("allow"), deny: table.networks("deny") }
}

/// Reads `max_rate_per_peer`; `None` means no limit.
pub(super) fn max_rate(table: &mut Reader<'_, '_>) -> Option<u32> {
    table.count_or_word("max_rate_per_peer").and_then(|rate| u32::try_from(rate).ok())
}
