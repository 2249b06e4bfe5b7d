//! The ways in which connections end.

use std::io;

use super::proxy;

/// Reason why a connection ended.
#[derive(Debug)]
pub(super) enum ConnectionEnd {
    /// The peer closed it.
    Closed,
    /// The peer closed it without the `close_notify` of TLS, which marks the end of the data.
    Cut,
    /// The connection was silent for too long.
    Idle,
    /// The peer may not send.
    Denied,
    /// The peer has its maximum number of connections already.
    TooMany,
    /// The header of the PROXY protocol is missing or wrong.
    Header(proxy::Error),
    /// Postrider stops.
    Stopped,
    /// Reading failed.
    Failed(io::Error),
    /// There was no TLS connection, for this reason.
    Handshake(String),
    /// The peer began a TLS handshake, but the port does not use TLS.
    UnexpectedTls,
    /// The message was not complete in time, while other connections needed the memory.
    Evicted,
}
