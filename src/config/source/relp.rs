//! `[[source.relp]]`: syslog over RELP, which acknowledges each message.

use std::net::SocketAddr;
use std::time::Duration;

use super::listener::{ListenerConfig, ListenerKeys};
use super::stream::{ConnectionKeys, DESCRIPTORS, TIMEOUT};
use super::{SourceEndpoint, SourceFacts, SourceKind};
use crate::config::diagnostics::Diagnostics;
use crate::config::form::{ADDRESS, Choice, Count, Span};
use crate::config::key::{default, keys, required};
use crate::config::kind::{Kind, Section};
use crate::frame::relp::Oversize;
use crate::record::Transport;

static OVERSIZE: Choice<Oversize, 2> = Choice::new([("truncate", Oversize::Truncate), ("close", Oversize::Close)]);

keys! {
    /// Keys of `[[source.relp]]`.
    struct RelpKeys {
        /// Address and port. The address `[::]` accepts IPv4 too.
        listen: SocketAddr = required(ADDRESS, r#""[::]:20514""#),
        /// Maximum number of messages of one connection that wait for their acknowledgement. At the limit, the
        /// connection is not read.
        window: usize = default(Count(1, 65536), "128"),
        /// Maximum time from reading a message to its delivery. After that, the session ends, and the sender sends the
        /// message again. The session also ends if the sender does not read an answer within this time. Keep it below
        /// the sender's own timeout, which is 90 s for rsyslog.
        acknowledge_timeout: Duration = default(Span, r#""80s""#),
        /// Treatment of a message over `max_frame_size`. `truncate` accepts its beginning. `close` ends the session
        /// without an acknowledgement: the sender sends the message again.
        oversize: Oversize = default(&OVERSIZE, r#""truncate""#),
        /// Time of silence after which a connection is closed. The sender opens another one for its next message.
        idle_timeout: Option<Duration> = default(TIMEOUT, r#""never""#),
        ..limit: ConnectionKeys,
        ..listener: ListenerKeys,
    }
}

pub(super) const KIND: Kind<SourceKind> = Kind::of::<RelpKeys>(
    "relp",
    "Syslog over RELP, or RELP over TLS. A message is acknowledged when every sink has it durably. See docs/relp.md.",
);

/// `[[source.relp]]`: syslog over RELP, which acknowledges each message, plain or over TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct RelpConfig {
    /// Address to listen on, and peers that may send.
    pub listener: ListenerConfig,
    /// Limits and options of its sessions.
    pub session: SessionConfig,
}

/// Settings that the sessions of a RELP source share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionConfig {
    /// Maximum number of connections at a time; further ones are closed at once and counted.
    pub max_connections: usize,
    /// Time of silence after which a connection is closed; `None` keeps it open for ever.
    pub idle_timeout: Option<Duration>,
    /// Maximum number of unacknowledged messages of one connection; at the limit, the connection is not read.
    pub window: usize,
    /// Maximum time that a message may wait for its delivery after it was read, and then that an answer may wait to be
    /// read by the sender. After that, the session ends. It should be less than the sender's own timeout.
    pub acknowledge_timeout: Duration,
    /// Treatment of a message over `max_frame_size`.
    pub oversize: Oversize,
}

impl Section for RelpKeys {
    type Config = SourceKind;

    fn config(self, found: &mut Diagnostics) -> Option<SourceKind> {
        let listener = self.listener.config(self.listen.value, found);
        let session = SessionConfig {
            max_connections: self.limit.max_connections.value?,
            idle_timeout: self.idle_timeout.value?,
            window: self.window.value?,
            acknowledge_timeout: self.acknowledge_timeout.value?,
            oversize: self.oversize.value?,
        };
        Some(SourceKind::Relp(RelpConfig { listener: listener?, session }))
    }
}

impl SourceFacts for RelpConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> SourceEndpoint<'_> {
        SourceEndpoint::Tcp(self.listener.listen)
    }

    fn transport(&self) -> Transport {
        Transport::Relp
    }

    fn acknowledges_by(&self) -> Option<&'static str> {
        Some("listen")
    }

    fn max_connections(&self) -> usize {
        self.session.max_connections
    }

    fn descriptors(&self) -> usize {
        DESCRIPTORS
    }

    fn warnings(&self, now: jiff::Timestamp) -> Vec<String> {
        self.listener.warnings(now)
    }
}
