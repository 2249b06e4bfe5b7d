//! How connections end.

use std::io;

use super::proxy;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum ConnectionEnd {
    /// The peer closed it.
    Closed,
    /// The peer closed it without the `close_notify` of TLS, by which it says that this was all.
    Cut,
    /// It was silent for too long.
    Idle,
    /// The peer may not send.
    Denied,
    /// The peer has as many connections as it may.
    TooMany,
    /// The header of the PROXY protocol is missing or wrong.
    Header(proxy::Error),
    /// Postrider stops.
    Stopped,
    /// Reading failed.
    Failed(io::Error),
    /// There was no TLS connection, for this reason.
    Handshake(String),
    /// What came was the beginning of TLS, where there is none.
    UnexpectedTls,
    /// Its message was not whole in time, while others needed the memory.
    Evicted,
}
