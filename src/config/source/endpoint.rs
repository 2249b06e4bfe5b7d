//! Endpoints of sources, and how the endpoint of one source affects another.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Endpoint from which a source reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceEndpoint<'c> {
    /// UDP sockets.
    Udp(SocketAddr),
    /// A TCP listener, for any protocol.
    Tcp(SocketAddr),
    /// A unix domain socket.
    Unix {
        /// Path at which it is created.
        path: &'c Path,
        /// True if the socket has connections.
        is_stream: bool,
    },
    /// Files; the path is the directory of the cursor, which records how far they have been delivered.
    Cursor(&'c Path),
    /// The standard input.
    Stdin,
}

impl fmt::Display for SourceEndpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) | Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } | Self::Cursor(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("the standard input"),
        }
    }
}

impl SourceEndpoint<'_> {
    /// True if a source at this endpoint takes over what a source at `old` has open.
    pub(super) fn succeeds(self, old: Self, has_same_name: bool) -> bool {
        let is_certain = match self {
            // Port 0 is a different port each time, so the name decides.
            Self::Udp(address) | Self::Tcp(address) => address.port() != 0 || has_same_name,
            Self::Unix { .. } => true,
            // The cursor's file has the name of the source.
            Self::Cursor(_) => has_same_name,
            Self::Stdin => false,
        };
        self == old && is_certain
    }

    /// True if a source at this endpoint may occupy what one at `new` needs to bind: the same port at an address that
    /// overlaps, or the path.
    pub(super) fn obstructs(self, new: Self) -> bool {
        match (self, new) {
            (Self::Udp(one), Self::Udp(other)) | (Self::Tcp(one), Self::Tcp(other)) => {
                one.port() == other.port() && one.port() != 0
            }
            (Self::Unix { path: one, .. }, Self::Unix { path: other, .. }) => one == other,
            (
                Self::Udp(_) | Self::Tcp(_) | Self::Unix { .. } | Self::Cursor(_) | Self::Stdin,
                Self::Udp(_) | Self::Tcp(_) | Self::Unix { .. } | Self::Cursor(_) | Self::Stdin,
            ) => false,
        }
    }

    /// Returns the key of the endpoint and the error, if one configuration cannot have both this endpoint and `later`.
    pub(in crate::config) fn conflict(self, later: Self) -> Option<(&'static str, String)> {
        match (self, later) {
            (Self::Udp(one), Self::Udp(other)) => Some(("listen", bound_twice("UDP", one, other)?)),
            (Self::Tcp(one), Self::Tcp(other)) => Some(("listen", bound_twice("TCP", one, other)?)),
            (Self::Unix { path: one, .. }, Self::Unix { path: other, .. }) if one == other => {
                Some(("path", format!("{} is bound twice", one.display())))
            }
            (
                Self::Udp(_) | Self::Tcp(_) | Self::Unix { .. } | Self::Cursor(_) | Self::Stdin,
                Self::Udp(_) | Self::Tcp(_) | Self::Unix { .. } | Self::Cursor(_) | Self::Stdin,
            ) => None,
        }
    }

    /// Returns a hint to be appended to the error if the endpoint is unusable; empty if there is none.
    pub(crate) const fn help(self, error: io::ErrorKind) -> &'static str {
        use io::ErrorKind::*;
        match (self, error) {
            (Self::Unix { .. }, AddrInUse) => "; another program listens there; `ss -lxp` shows it",
            (Self::Unix { .. }, PermissionDenied) => "; its directory must be writable for Postrider's user",
            (Self::Unix { .. }, NotFound) => "; create its directory first",
            (Self::Cursor(_), Unsupported) => {
                "; start that version, or remove the cursor: Postrider then begins all files as `start` says"
            }
            (Self::Cursor(_), WouldBlock) => "; another Postrider process uses it: give each process its own `state`",
            (Self::Cursor(_), _) => "; it must be a directory that Postrider's user may write to",
            (_, AddrInUse) => "; another program listens there; `ss -lntup` shows it",
            (_, PermissionDenied) => "; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE",
            (_, AddrNotAvailable) => "; this machine does not have the address; `ip addr` lists its addresses",
            _ => "",
        }
    }
}

/// Returns the error if the kernel would refuse the second address next to the first.
fn bound_twice(protocol: &str, one: SocketAddr, other: SocketAddr) -> Option<String> {
    if !overlap(one, other) {
        return None;
    }
    Some(if one == other {
        format!("{protocol} {other} is bound twice")
    } else {
        format!("{protocol} {other} and {one} overlap")
    })
}

/// True if the kernel would refuse the second address: the unspecified address covers its whole family, and `[::]` also
/// covers IPv4. Port 0 is a different port each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |a: IpAddr, b: IpAddr| match a {
        IpAddr::V4(ip) => ip.is_unspecified() && b.is_ipv4(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}
