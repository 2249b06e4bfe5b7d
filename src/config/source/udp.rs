//! `[[source.udp]]`: syslog over UDP (RFC 5426).

use std::net::SocketAddr;

use super::listener::{ALLOW, DENY, LISTEN, MAX_RATE_PER_PEER, access, max_rate};
use super::{Endpoint, SourceFacts, SourceKind};
use crate::config::key::{Key, Type};
use crate::config::kind::Kind;
use crate::network::Access;
use crate::record::Transport;

/// `[[source.udp]]`: syslog over UDP (RFC 5426).
#[derive(Clone, Debug, PartialEq)]
pub struct UdpConfig {
    /// Address; `[::]` accepts IPv4 too.
    pub listen: SocketAddr,
    /// Size in bytes requested from the kernel for the receive buffer of each socket.
    pub receive_buffer: usize,
    /// Number of sockets at the address, each read by its own task; at least one.
    pub workers: usize,
    /// Peers that may send.
    pub access: Access,
    /// Maximum number of messages per second from one peer; further ones are dropped and counted.
    pub max_rate_per_peer: Option<u32>,
}

pub(super) const KIND: Kind<SourceKind> = Kind {
    name: "udp",
    doc: "Syslog over UDP (RFC 5426).",
    single: false,
    keys: &[
        LISTEN,
        Key::default(
            "receive_buffer",
            Type::Size(4096, 1 << 30),
            r#""8MiB""#,
            "Asked of the kernel for each worker; without root it grants at most net.core.rmem_max.",
        ),
        Key::default(
            "workers",
            Type::Count(1, 64),
            "1",
            "Sockets at the address, each read by its own task. What one sender sends from one port stays on one socket.",
        ),
        ALLOW,
        DENY,
        MAX_RATE_PER_PEER,
    ],
    read: |table| {
        let (listen, receive_buffer, workers) =
            (table.address("listen"), table.memory("receive_buffer"), table.count("workers"));
        let (access, max_rate_per_peer) = (access(table), max_rate(table));
        Some(SourceKind::Udp(UdpConfig {
            listen: listen?,
            receive_buffer: receive_buffer?,
            workers: workers?,
            access,
            max_rate_per_peer,
        }))
    },
};

impl SourceFacts for UdpConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Udp(self.listen)
    }

    fn transport(&self) -> Transport {
        Transport::Udp
    }

    fn descriptors(&self) -> usize {
        self.workers
    }
}
