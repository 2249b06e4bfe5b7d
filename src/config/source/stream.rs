//! Settings of the sources whose connections are streams.

use std::time::Duration;

use crate::config::form::{Choice, Count, SpanOr};
use crate::config::key::{default, keys};
use crate::frame::Framing;

pub(super) static FRAMINGS: Choice<Framing, 4> = Choice::new([
    ("auto", Framing::Auto),
    ("octet_counting", Framing::OctetCounting),
    ("lf", Framing::Lf),
    ("nul", Framing::Nul),
]);

static NEVER: Choice<Option<Duration>, 1> = Choice::new([("never", None)]);

/// A duration, or `never`, which gives `None`.
pub(super) const TIMEOUT: SpanOr<Option<Duration>, 1> = SpanOr { span: Some, words: &NEVER };

keys! {
    /// Keys of the sources whose connections are streams.
    pub(super) struct StreamKeys {
        /// Framing: how messages are separated (RFC 6587). `auto` decides at the start of each message.
        framing: Framing = default(&FRAMINGS, r#""auto""#),
        /// Time of silence after which a connection is closed. The sender notices this only when its next message is
        /// lost. Senders such as rsyslog keep silent connections open for days; TCP keepalive finds dead peers without
        /// this key.
        idle_timeout: Option<Duration> = default(TIMEOUT, r#""never""#),
        ..limit: ConnectionKeys,
    }
}

keys! {
    /// Key of every source with connections.
    pub(super) struct ConnectionKeys {
        /// Maximum number of connections at a time. Further ones are closed at once and counted.
        max_connections: usize = default(Count(1, 1_000_000), "2000"),
    }
}

/// Number of file descriptors of a listener: its socket, and one connection that is accepted, and closed at once if
/// there are too many.
pub(super) const DESCRIPTORS: usize = 2;

/// Settings that the connections of a stream source share.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamConfig {
    /// Framing of the messages.
    pub framing: Framing,
    /// Maximum number of connections at a time; further ones are closed at once and counted.
    pub max_connections: usize,
    /// Time of silence after which a connection is closed; `None` keeps it open for ever.
    pub idle_timeout: Option<Duration>,
}

impl StreamKeys {
    /// Returns the settings; `None` after an error.
    pub(super) fn config(self) -> Option<StreamConfig> {
        Some(StreamConfig {
            framing: self.framing.value?,
            max_connections: self.limit.max_connections.value?,
            idle_timeout: self.idle_timeout.value?,
        })
    }
}
