//! Number of connections of each peer, and its limit.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::poison;

/// Returns the address that counts as one peer: an IPv4 address, or the /64 network of an IPv6 address, within which a
/// host chooses its addresses as it likes.
pub(super) fn host(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

/// The connections of a source by their peers. It holds no peer without a connection, so `max_connections` bounds it.
#[derive(Debug)]
pub(super) struct Peers {
    /// Maximum number of connections per peer; `None` for no limit.
    most: Option<usize>,
    connections: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of a peer, counted until this value is dropped.
#[derive(Debug)]
pub(super) struct Share {
    peers: Arc<Peers>,
    host: IpAddr,
}

/// Error: the peer has its maximum number of connections already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Peers {
    /// Returns counts that allow each peer `most` connections; connections from this machine itself are not limited.
    pub(super) fn new(most: Option<usize>) -> Self {
        Self { most, connections: Mutex::default() }
    }

    /// Counts one more connection of `peer`, unless it has reached its limit.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Share, TooMany> {
        let host = host(peer);
        let mut connections = self.connections();
        let count = connections.entry(host).or_default();
        // A local connection is a tunnel or a proxy, through which other hosts send. `::1` is the only host of its
        // network.
        let is_local = peer.to_canonical().is_loopback();
        if !is_local && self.most.is_some_and(|most| *count >= most) {
            return Err(TooMany);
        }
        *count += 1;
        drop(connections);
        Ok(Share { peers: Arc::clone(self), host })
    }

    /// Returns the peer with the most connections, and how many connections it has.
    pub(super) fn busiest(&self) -> Option<(IpAddr, usize)> {
        self.connections().iter().map(|(host, count)| (*host, *count)).max_by_key(|(_, count)| *count)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        poison::ignore(self.connections.lock())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut connections = self.peers.connections();
        if let Some(count) = connections.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_has_no_more_connections_than_it_may() {
        let peers = Arc::new(Peers::new(Some(2)));
        let shares = [(); 2].map(|()| peers.admit(address("192.0.2.1")).unwrap());
        assert_eq!(peers.admit(address("192.0.2.1")).unwrap_err(), TooMany);
        assert_eq!(peers.admit(address("::ffff:192.0.2.1")).unwrap_err(), TooMany, "the same by another name");
        let other = peers.admit(address("192.0.2.2")).unwrap();
        assert_eq!(peers.busiest(), Some((address("192.0.2.1"), 2)));
        drop(shares);
        assert_eq!(peers.busiest(), Some((address("192.0.2.2"), 1)));
        let again = peers.admit(address("192.0.2.1")).unwrap();
        drop((other, again));
        assert!(peers.connections().is_empty(), "who has none is forgotten");
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let peers = Arc::new(Peers::new(Some(1)));
        let _one = peers.admit(address("2001:db8::1")).unwrap();
        assert_eq!(peers.admit(address("2001:db8::ffff:1")).unwrap_err(), TooMany);
        assert!(peers.admit(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn this_machine_and_no_limit() {
        let peers = Arc::new(Peers::new(Some(1)));
        let _local: Vec<_> =
            ["127.0.0.1", "127.0.0.1", "::1", "::1"].map(|local| peers.admit(address(local)).unwrap()).into();
        let unlimited = Arc::new(Peers::new(None));
        let _all: Vec<_> = (0..10).map(|_| unlimited.admit(address("192.0.2.1")).unwrap()).collect();
    }
}
