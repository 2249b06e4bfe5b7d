//! `[[source.udp]]`: syslog over UDP (RFC 5426).

use std::net::SocketAddr;

use super::listener::PeerKeys;
use super::{SourceEndpoint, SourceFacts, SourceKind};
use crate::config::diagnostics::Diagnostics;
use crate::config::form::{ADDRESS, Count, Memory};
use crate::config::key::{default, keys, required};
use crate::config::kind::{Kind, Section};
use crate::network::Access;
use crate::record::Transport;

keys! {
    /// Keys of `[[source.udp]]`.
    struct UdpKeys {
        /// Address and port. The address `[::]` accepts IPv4 too.
        listen: SocketAddr = required(ADDRESS, r#""[::]:514""#),
        /// Size of the kernel's receive buffer for each worker. Without root, the kernel grants at most
        /// `net.core.rmem_max`.
        receive_buffer: usize = default(Memory(4096, 1 << 30), r#""8MiB""#),
        /// Number of sockets at the address, each read by a task of its own. The kernel distributes the senders among
        /// them; datagrams that come from one port of a sender stay on one socket.
        workers: usize = default(Count(1, 64), "1"),
        ..peers: PeerKeys,
    }
}

pub(super) const KIND: Kind<SourceKind> = Kind::of::<UdpKeys>("udp", "Syslog over UDP (RFC 5426).");

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

impl Section for UdpKeys {
    type Config = SourceKind;

    fn config(self, _: &mut Diagnostics) -> Option<SourceKind> {
        Some(SourceKind::Udp(UdpConfig {
            listen: self.listen.value?,
            receive_buffer: self.receive_buffer.value?,
            workers: self.workers.value?,
            max_rate_per_peer: self.peers.max_rate_per_peer.value?,
            access: self.peers.access(),
        }))
    }
}

impl SourceFacts for UdpConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> SourceEndpoint<'_> {
        SourceEndpoint::Udp(self.listen)
    }

    fn transport(&self) -> Transport {
        Transport::Udp
    }

    fn descriptors(&self) -> usize {
        self.workers
    }
}
