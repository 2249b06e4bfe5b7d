//! `[[source.relp]]`: syslog over RELP, which acknowledges each message.

use std::time::Duration;

use super::listener::{self, ALLOW, DENY, ListenerConfig, MAX_CONNECTIONS_PER_PEER, MAX_RATE_PER_PEER, PROXY_PROTOCOL};
use super::stream::{DESCRIPTORS, MAX_CONNECTIONS, idle_timeout};
use super::{Endpoint, SourceFacts, SourceKind};
use crate::config::key::{Choice, Key, Type};
use crate::config::kind::Kind;
use crate::config::tls;
use crate::frame::relp::Oversize;
use crate::record::Transport;

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

static OVERSIZE: Choice<Oversize, 2> = Choice::new([("truncate", Oversize::Truncate), ("close", Oversize::Close)]);

pub(super) const KIND: Kind<SourceKind> = Kind {
    name: "relp",
    doc: "Syslog over RELP, or RELP over TLS: a message is acknowledged when every sink has it durably.",
    single: false,
    keys: &[
        Key::required("listen", Type::Address, r#""[::]:20514""#, "Address and port; `[::]` takes IPv4 too."),
        MAX_CONNECTIONS,
        MAX_CONNECTIONS_PER_PEER,
        Key::default(
            "idle_timeout",
            Type::Duration(&["never"]),
            r#""never""#,
            "A connection that is silent for so long is closed; its sender opens another for its next message.",
        ),
        Key::default(
            "window",
            Type::Count(1, 65536),
            "128",
            "So many messages of one connection may wait for their acknowledgement; then it is not read.",
        ),
        Key::default(
            "acknowledge_timeout",
            Type::Duration(&[]),
            r#""80s""#,
            "A message that is not delivered so long after it was read ends its session, and is sent again; so does an answer \
             that is not read. Keep it below the sender's own `timeout`, 90 s for rsyslog.",
        ),
        Key::default(
            "oversize",
            Type::Word(OVERSIZE.words()),
            r#""truncate""#,
            "What becomes of a message over max_frame_size: `close` never acknowledges it, so its sender sends it again.",
        ),
        ALLOW,
        DENY,
        PROXY_PROTOCOL,
        MAX_RATE_PER_PEER,
        tls::TLS,
    ],
    read: |table| {
        let (listener, max_connections) = (listener::read(table), table.count("max_connections"));
        let (idle_timeout, window) = (idle_timeout(table), table.count("window"));
        let acknowledge_timeout = table.duration("acknowledge_timeout");
        let oversize = table.choice("oversize", &OVERSIZE);
        let session = SessionConfig {
            max_connections: max_connections?,
            idle_timeout: idle_timeout?,
            window: window?,
            acknowledge_timeout: acknowledge_timeout?,
            oversize: oversize?,
        };
        Some(SourceKind::Relp(RelpConfig { listener: listener?, session }))
    },
};

impl SourceFacts for RelpConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Tcp(self.listener.listen)
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
