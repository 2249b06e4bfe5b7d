//! Events: what happened, one struct for each `event` of the record.

mod client;
mod queue;
mod system;

pub use client::{
    Client, Connect, ConnectionLost, Disconnect, Dnsbl, HostnameMismatch, Postscreen, ProtocolError, RateLimit,
    SaslFailure, Verdict,
};
pub use queue::{
    AttemptFailed, Delivery, Expired, MessageId, Notification, NotificationFailed, Passing, Pickup, QueueActive,
    QueueAdmin, Removed,
};
pub use system::{CacheCleanup, CacheStatistics, Lifecycle, Notice, Statistics, Text, TlsError, TlsReport, TlsSummary};

use super::mail::MessageSummary;
use super::session::SessionSummary;
use super::shape::{Commands, Decimal};
use crate::decimal;

/// Event that a Postfix message reports.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The line with `to=` and `status=`, which every delivery agent and qmgr write (`src/global/log_adhoc.c`).
    Delivery(Delivery<'a>),
    /// qmgr took a message into the active queue (`src/global/opened.c`).
    QueueActive(QueueActive<'a>),
    /// A message stayed in the queue for too long, or was made to expire (`src/qmgr/qmgr_active.c`).
    Expired(Expired<'a>),
    /// A message left the queue.
    Removed(Removed<'a>),
    /// qmgr skipped a message that is still being delivered.
    Skipped,
    /// A delivery agent handed a recipient on to another transport (`src/global/deliver_pass.c`).
    Passing(Passing<'a>),
    /// pickup took a message that a local user had submitted (`src/pickup/pickup.c`).
    Pickup(Pickup<'a>),
    /// cleanup read a message id (`src/cleanup/cleanup_message.c`).
    MessageId(MessageId<'a>),
    /// The bounce daemon sent a notification.
    Notification(Notification<'a>),
    /// A notification could not be sent (`src/global/bounce.c`, `src/global/abounce.c`).
    NotificationFailed(NotificationFailed<'a>),
    /// The client that submits a message (`src/smtpd/smtpd.c`).
    Client(Client<'a>),
    /// A client connected.
    Connect(Connect<'a>),
    /// A client disconnected.
    Disconnect(Disconnect<'a>),
    /// A session ended prematurely.
    ConnectionLost(ConnectionLost<'a>),
    /// A decision to accept or to refuse.
    Verdict(Verdict<'a>),
    /// A server failed, and the next will be tried (`src/smtp/smtp_trouble.c`).
    AttemptFailed(AttemptFailed<'a>),
    /// The TLS summary line (`src/tls/tls_misc.c`).
    Tls(TlsSummary<'a>),
    /// A TLS handshake or verification failed.
    TlsError(TlsError<'a>),
    /// A result for a TLS report (`src/tls/tlsrpt_wrapper.c`).
    TlsReport(TlsReport<'a>),
    /// A client's SASL authentication failed (`src/smtpd/smtpd_sasl_glue.c`).
    SaslFailure(SaslFailure<'a>),
    /// A client's name does not resolve to its address (`src/smtpd/smtpd_peer.c`).
    HostnameMismatch(HostnameMismatch<'a>),
    /// A client exceeded a rate or concurrency limit (`src/smtpd/smtpd.c`).
    RateLimit(RateLimit<'a>),
    /// A client violated the protocol.
    ProtocolError(ProtocolError<'a>),
    /// A test or a cache decision of postscreen.
    Postscreen(Postscreen<'a>),
    /// dnsblog found an address in a DNS list (`src/dnsblog/dnsblog.c`).
    Dnsbl(Dnsbl<'a>),
    /// A highest rate or count since the last report (`src/anvil/anvil.c`).
    Statistics(Statistics<'a>),
    /// Counts of the connection cache since the last report (`src/scache/scache.c`).
    CacheStatistics(CacheStatistics<'a>),
    /// A cache was cleaned up (`src/util/dict_cache.c`).
    CacheCleanup(CacheCleanup<'a>),
    /// An administrator changed the queue (`src/postsuper/postsuper.c`).
    QueueAdmin(QueueAdmin),
    /// Postfix started, stopped or reloaded (`src/master/master.c`, `conf/postfix-script`).
    Lifecycle(Lifecycle<'a>),
    /// An informational line of a known kind without fields of its own, except a server.
    Notice(Notice<'a>),
    /// A line with a level that no other event describes, or a problem that a library logs without a level.
    Warning(Text<'a>),
    /// Verbose output (`-v`, `debug_peer_list`).
    Debug(Text<'a>),
    /// A Postfix line that nothing here describes.
    Other(Text<'a>),
    /// Result of a message, joined from its lines.
    Message(&'a MessageSummary<'a>),
    /// Actions of a client in one connection, joined from its lines.
    Session(&'a SessionSummary<'a>),
}

impl Event<'_> {
    /// Every event name, in the order of the record's documentation.
    pub const NAMES: [&'static str; 35] = [
        "delivery",
        "queue_active",
        "expired",
        "removed",
        "skipped",
        "passing",
        "pickup",
        "message_id",
        "notification",
        "notification_failed",
        "client",
        "connect",
        "disconnect",
        "connection_lost",
        "verdict",
        "attempt_failed",
        "tls",
        "tls_error",
        "tls_report",
        "sasl_failure",
        "hostname_mismatch",
        "rate_limit",
        "protocol_error",
        "postscreen",
        "dnsbl",
        "statistics",
        "cache_cleanup",
        "queue_admin",
        "lifecycle",
        "notice",
        "warning",
        "debug",
        "other",
        "message",
        "session",
    ];

    /// Names of the events that one line gives: those before [`Self::JOINED`] in [`Self::NAMES`].
    pub const OF_LINES: &'static [&'static str] = {
        const NAMES: &[&str] = &Event::NAMES;
        NAMES.split_at(NAMES.len() - Event::JOINED.len()).0
    };

    /// Names of the events that join several lines: no line alone gives them.
    pub const JOINED: [&'static str; 2] = ["message", "session"];

    /// The name in the record.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delivery(_) => "delivery",
            Self::QueueActive(_) => "queue_active",
            Self::Expired(_) => "expired",
            Self::Removed(_) => "removed",
            Self::Skipped => "skipped",
            Self::Passing(_) => "passing",
            Self::Pickup(_) => "pickup",
            Self::MessageId(_) => "message_id",
            Self::Notification(_) => "notification",
            Self::NotificationFailed(_) => "notification_failed",
            Self::Client(_) => "client",
            Self::Connect(_) => "connect",
            Self::Disconnect(_) => "disconnect",
            Self::ConnectionLost(_) => "connection_lost",
            Self::Verdict(_) => "verdict",
            Self::AttemptFailed(_) => "attempt_failed",
            Self::Tls(_) => "tls",
            Self::TlsError(_) => "tls_error",
            Self::TlsReport(_) => "tls_report",
            Self::SaslFailure(_) => "sasl_failure",
            Self::HostnameMismatch(_) => "hostname_mismatch",
            Self::RateLimit(_) => "rate_limit",
            Self::ProtocolError(_) => "protocol_error",
            Self::Postscreen(_) => "postscreen",
            Self::Dnsbl(_) => "dnsbl",
            Self::Statistics(_) | Self::CacheStatistics(_) => "statistics",
            Self::CacheCleanup(_) => "cache_cleanup",
            Self::QueueAdmin(_) => "queue_admin",
            Self::Lifecycle(_) => "lifecycle",
            Self::Notice(_) => "notice",
            Self::Warning(_) => "warning",
            Self::Debug(_) => "debug",
            Self::Other(_) => "other",
            Self::Message(_) => "message",
            Self::Session(_) => "session",
        }
    }

    /// Every status word that Postfix writes, as the record shows it.
    pub const STATUS_WORDS: [&'static str; 9] = [
        "sent",
        "deferred",
        "bounced",
        "expired",
        "force_expired",
        "softbounce",
        "deliverable",
        "undeliverable",
        "undeliverable_but_not_cached",
    ];

    /// True if the event joins several lines. Its texts are then no parts of the record's message.
    pub const fn is_joined(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Session(_))
    }

    /// True if the event holds a number that the record omits because no data store can hold it.
    pub fn exceeds(&self) -> bool {
        let too_large = |number: Option<u64>| number.is_some_and(|number| number > decimal::LARGEST);
        let too_long = |seconds: Option<Decimal<'_>>| seconds.is_some_and(|seconds| !seconds.fits());
        match self {
            Self::Delivery(delivery) => delivery.exceeds(),
            Self::QueueActive(QueueActive { size, nrcpt, .. }) => too_large(*size) || too_large(*nrcpt),
            Self::Pickup(Pickup { uid: number, .. })
            | Self::ConnectionLost(ConnectionLost { bytes: number, .. })
            | Self::RateLimit(RateLimit { value: number, .. })
            | Self::QueueAdmin(QueueAdmin { messages: number, .. })
            | Self::Lifecycle(Lifecycle { signal: number, .. }) => too_large(*number),
            Self::Disconnect(Disconnect { commands, .. }) => commands.is_some_and(Commands::exceed),
            Self::CacheStatistics(CacheStatistics { figures, .. }) => figures.exceed(),
            Self::Tls(TlsSummary { tls, .. }) => tls.exceeds(),
            Self::Postscreen(Postscreen { rank, after, bytes, .. }) => {
                *rank == Some(i64::MIN) || too_long(*after) || too_large(*bytes)
            }
            Self::Statistics(Statistics { value, period, .. }) => too_large(*value) || too_large(*period),
            Self::CacheCleanup(CacheCleanup { retained, dropped, .. }) => too_large(*retained) || too_large(*dropped),
            Self::Message(message) => message.exceeds(),
            Self::Session(session) => session.exceeds(),
            Self::Expired(_)
            | Self::Removed(_)
            | Self::Skipped
            | Self::Passing(_)
            | Self::MessageId(_)
            | Self::Notification(_)
            | Self::NotificationFailed(_)
            | Self::Client(_)
            | Self::Connect(_)
            | Self::Verdict(_)
            | Self::AttemptFailed(_)
            | Self::TlsError(_)
            | Self::TlsReport(_)
            | Self::SaslFailure(_)
            | Self::HostnameMismatch(_)
            | Self::ProtocolError(_)
            | Self::Dnsbl(_)
            | Self::Notice(_)
            | Self::Warning(_)
            | Self::Debug(_)
            | Self::Other(_) => false,
        }
    }

    /// The status word of what has one: a delivery, an expired message, a notification that failed.
    pub const fn status(&self) -> Option<&str> {
        match self {
            Self::Delivery(delivery) => Some(delivery.status),
            Self::Expired(expired) => Some(expired.status),
            Self::NotificationFailed(failed) => failed.status,
            Self::QueueActive(_)
            | Self::Removed(_)
            | Self::Skipped
            | Self::Passing(_)
            | Self::Pickup(_)
            | Self::MessageId(_)
            | Self::Notification(_)
            | Self::Client(_)
            | Self::Connect(_)
            | Self::Disconnect(_)
            | Self::ConnectionLost(_)
            | Self::Verdict(_)
            | Self::AttemptFailed(_)
            | Self::Tls(_)
            | Self::TlsError(_)
            | Self::TlsReport(_)
            | Self::SaslFailure(_)
            | Self::HostnameMismatch(_)
            | Self::RateLimit(_)
            | Self::ProtocolError(_)
            | Self::Postscreen(_)
            | Self::Dnsbl(_)
            | Self::Statistics(_)
            | Self::CacheStatistics(_)
            | Self::CacheCleanup(_)
            | Self::QueueAdmin(_)
            | Self::Lifecycle(_)
            | Self::Notice(_)
            | Self::Warning(_)
            | Self::Debug(_)
            | Self::Other(_)
            | Self::Message(_)
            | Self::Session(_) => None,
        }
    }
}
