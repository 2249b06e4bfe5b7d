//! Events: what happened, one type for each `event` of the record.

use super::cause::Cause;
use super::shape::{Commands, Decimal, Delays, Endpoint, Figures, Reply, Sasl, Tls};
use crate::decimal;
use crate::postfix::dsn::Dsn;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The line with `to=` and `status=`, which every delivery agent and qmgr write (`src/global/log_adhoc.c`).
    Delivery(Delivery<'a>),
    /// qmgr took a message into the active queue (`src/global/opened.c`).
    QueueActive {
        /// The envelope sender.
        from: &'a str,
        /// The size of the message in bytes.
        size: Option<u64>,
        /// The number of recipients still to be delivered to.
        nrcpt: Option<u64>,
    },
    /// A message was too long in the queue, or was made to expire (`src/qmgr/qmgr_active.c`).
    Expired {
        /// The envelope sender.
        from: &'a str,
        /// `expired` or `force_expired`.
        status: &'a str,
        /// What followed: `returned to sender`.
        reason: Option<&'a str>,
    },
    /// A message left the queue.
    Removed {
        /// `canceled` or `discarded`, where it was not delivered (Postfix 3.10).
        reason: Option<&'a str>,
    },
    /// qmgr left a message alone that is still being delivered.
    Skipped,
    /// A delivery agent handed a recipient on to another transport (`src/global/deliver_pass.c`).
    Passing {
        /// The recipient.
        to: &'a str,
        /// The transport.
        transport: &'a str,
    },
    /// pickup took a message that a local user had submitted (`src/pickup/pickup.c`).
    Pickup {
        /// The user's id.
        uid: Option<u64>,
        /// The envelope sender.
        from: &'a str,
        /// The queue id before `postsuper -r`.
        orig_queue_id: Option<&'a str>,
    },
    /// cleanup read a message id (`src/cleanup/cleanup_message.c`).
    MessageId {
        /// The id without its brackets; whatever else the header held where it was none.
        message_id: &'a str,
        /// Whether it is that of a Resent-Message-ID header.
        resent: bool,
    },
    /// The bounce daemon sent a notification.
    Notification {
        /// `non_delivery`, `delay` or `delivery_status`.
        kind: &'static str,
        /// `sender` or `postmaster`.
        recipient: &'a str,
        /// The queue id of the notification.
        notification_queue_id: &'a str,
    },
    /// A notification could not be sent (`src/global/bounce.c`, `src/global/abounce.c`).
    NotificationFailed {
        /// The status word, where one is logged.
        status: Option<&'a str>,
        /// What failed.
        reason: Option<&'a str>,
    },
    /// Who submits a message (`src/smtpd/smtpd.c`).
    Client(Client<'a>),
    /// A client connected.
    Connect {
        /// The client.
        client: Option<Endpoint<'a>>,
        /// The address that it connected to, which postscreen logs.
        local: Option<Endpoint<'a>>,
        /// The server, where tlsproxy is the client.
        server: Option<Endpoint<'a>>,
    },
    /// A client disconnected.
    Disconnect {
        /// The client.
        client: Option<Endpoint<'a>>,
        /// How often it used each command.
        commands: Option<Commands<'a>>,
        /// What was odd about the session: `bare_lf`.
        notes: Option<&'a str>,
    },
    /// A session ended before its time.
    ConnectionLost {
        /// The client.
        client: Option<Endpoint<'a>>,
        /// How it ended.
        cause: Cause,
        /// The command after which it ended.
        stage: Option<&'a str>,
        /// The bytes of the message that had come by then.
        bytes: Option<u64>,
    },
    /// A decision to accept or to refuse.
    Verdict(Verdict<'a>),
    /// A server failed, and the next will be tried (`src/smtp/smtp_trouble.c`).
    AttemptFailed {
        /// The server.
        server: Option<Endpoint<'a>>,
        /// What it said.
        reply: Option<Reply<'a>>,
        /// Why it failed.
        cause: Cause,
        /// The text, whole.
        reason: &'a str,
    },
    /// The TLS summary line (`src/tls/tls_misc.c`).
    Tls {
        /// The other end.
        peer: Option<Endpoint<'a>>,
        /// The connection's properties.
        tls: Tls<'a>,
    },
    /// A TLS handshake or verification failed.
    TlsError {
        /// The other end.
        peer: Option<Endpoint<'a>>,
        /// What failed.
        reason: &'a str,
    },
    /// A result for a TLS report (`src/tls/tlsrpt_wrapper.c`).
    TlsReport {
        /// `success` or `failure`.
        status: &'a str,
        /// The domain whose policy it is.
        domain: Option<&'a str>,
        /// The server.
        server: Option<Endpoint<'a>>,
        /// The result type of RFC 8460, section 4.3.
        failure_type: Option<&'a str>,
        /// More about it.
        reason: Option<&'a str>,
    },
    /// A client's SASL authentication failed (`src/smtpd/smtpd_sasl_glue.c`).
    SaslFailure {
        /// The client.
        client: Option<Endpoint<'a>>,
        /// The mechanism and the user.
        sasl: Sasl<'a>,
        /// Why.
        reason: Option<&'a str>,
    },
    /// A client's name does not resolve to its address (`src/smtpd/smtpd_peer.c`).
    HostnameMismatch {
        /// The client.
        client: Option<Endpoint<'a>>,
        /// Why the look-up failed.
        reason: Option<&'a str>,
    },
    /// A client did something too often (`src/smtpd/smtpd.c`).
    RateLimit {
        /// The client.
        client: Option<Endpoint<'a>>,
        /// Which limit: `connection_concurrency`, `connection_rate`, `message_rate`, `recipient_rate`, `new_tls_session_rate`,
        /// `auth_rate`.
        limit: &'static str,
        /// How often.
        value: Option<u64>,
        /// The service of master.cf.
        limited_service: Option<&'a str>,
    },
    /// A client broke the protocol.
    ProtocolError {
        /// The client.
        client: Option<Endpoint<'a>>,
        /// How, in one word: `command_pipelining`, `non_smtp_command`, `illegal_address_syntax`, `bare_newline`, ….
        kind: &'static str,
        /// The command.
        stage: Option<&'a str>,
        /// What it sent.
        text: Option<&'a str>,
    },
    /// A test or a cache decision of postscreen.
    Postscreen(Postscreen<'a>),
    /// dnsblog found an address in a DNS list (`src/dnsblog/dnsblog.c`).
    Dnsbl {
        /// The address.
        ip: &'a str,
        /// The list.
        domain: &'a str,
        /// What the list answered.
        result: &'a str,
    },
    /// A highest rate or count since the last report (`src/anvil/anvil.c`).
    Statistics {
        /// `connection_rate`, `message_rate`, `recipient_rate`, `newtls_rate`, `auth_rate`, `tlstrace_rate`,
        /// `connection_count`, `cache_size`.
        kind: &'static str,
        /// The number.
        value: Option<u64>,
        /// For a rate: the seconds that it counts in.
        period: Option<u64>,
        /// The service of master.cf.
        limited_service: Option<&'a str>,
        /// The client, or its network.
        ip: Option<&'a str>,
        /// When, as logged: `Nov 24 02:10:35`. [`Record::moment`](super::Record::moment) is what the record shows.
        at: Option<&'a str>,
    },
    /// What the connection cache did since the last report (`src/scache/scache.c`).
    CacheStatistics {
        /// `interval`, `domain_lookup`, `address_lookup`, `simultaneous`.
        kind: &'static str,
        /// The figures by name.
        figures: Figures<'a>,
        /// For `interval`: when it began, as logged.
        at: Option<&'a str>,
    },
    /// A cache was cleaned up (`src/util/dict_cache.c`).
    CacheCleanup {
        /// The cache: `TYPE:PATH`.
        cache: &'a str,
        /// Entries that stayed.
        retained: Option<u64>,
        /// Entries that went.
        dropped: Option<u64>,
        /// Whether the whole of it was looked at.
        full: bool,
    },
    /// An administrator changed the queue (`src/postsuper/postsuper.c`).
    QueueAdmin {
        /// `removed`, `requeued`, `hold`, `release`, `expire`, `renamed`.
        action: &'static str,
        /// The number of messages, in the summary line.
        messages: Option<u64>,
    },
    /// Postfix started, stopped or reloaded (`src/master/master.c`, `conf/postfix-script`).
    Lifecycle {
        /// `start`, `reload`, `stop`, `abort`, `terminate`, `running`, `not_running`.
        action: &'static str,
        /// The version of Postfix.
        version: Option<&'a str>,
        /// The configuration directory.
        config_directory: Option<&'a str>,
        /// The signal that ended it.
        signal: Option<u64>,
    },
    /// An informational line of a known kind that carries no fields of its own, save a server.
    Notice {
        /// Which, in one word: `ehlo_keywords_discarded`, `table_changed`, ….
        kind: &'static str,
        /// The server that it is about, for what smtp and lmtp make the best of.
        server: Option<Endpoint<'a>>,
        /// The text after the queue id.
        text: &'a str,
    },
    /// A line with a level that no other event names, or a problem that a library logs without one.
    Warning {
        /// The text after the level and the queue id.
        text: &'a str,
    },
    /// Verbose output (`-v`, `debug_peer_list`).
    Debug {
        /// The text after the queue id.
        text: &'a str,
    },
    /// A Postfix line that nothing here describes.
    Other {
        /// The text after the queue id.
        text: &'a str,
    },
}

/// One attempt to deliver to one recipient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery<'a> {
    /// The recipient, without its brackets.
    pub to: &'a str,
    /// The recipient before aliasing, where it differs.
    pub orig_to: Option<&'a str>,
    /// Where it went; `None` for `relay=none`.
    pub relay: Option<Endpoint<'a>>,
    /// How often the connection has been used, from 2; `None` for a fresh one.
    pub conn_use: Option<u64>,
    /// Seconds since the message arrived.
    pub delay: Option<Decimal<'a>>,
    /// The delay by stage.
    pub delays: Option<Delays<'a>>,
    /// The TLS feature status of Postfix 3.11, as logged.
    pub tls_feature: Option<&'a str>,
    /// The enhanced status code.
    pub dsn: Option<Dsn<'a>>,
    /// The status word, one of [`Event::STATUS_WORDS`]; any other as logged.
    pub status: &'a str,
    /// The text in the last parentheses, whole.
    pub reason: Option<&'a str>,
    /// What a server said.
    pub reply: Option<Reply<'a>>,
    /// The queue id that the next server gave.
    pub remote_queue_id: Option<&'a str>,
    /// The queue id of the new message that a forward made.
    pub forwarded_as: Option<&'a str>,
    /// Why it was not delivered, as one word.
    pub cause: Option<Cause>,
    /// The cause beneath that one: why Postfix suspended delivery.
    pub cause_detail: Option<Cause>,
}

/// Who submits a message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Client<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// How it authenticated.
    pub sasl: Sasl<'a>,
    /// The queue id before a content filter (XFORWARD).
    pub orig_queue_id: Option<&'a str>,
    /// The client before a content filter (XFORWARD).
    pub orig_client: Option<Endpoint<'a>>,
}

/// A decision to accept or to refuse.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict<'a> {
    /// `reject`, `reject_warning`, `hold`, `discard`, `warn`, `filter`, `redirect`, `prepend`, …; `accept` for `proxy-accept`.
    pub action: &'static str,
    /// `restriction`, `milter`, `header_check`, `body_check`, `mime_check`, `proxy`, `postscreen`.
    pub by: &'static str,
    /// `RCPT`, `END-OF-MESSAGE`, ….
    pub stage: Option<&'a str>,
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// The codes and the text.
    pub reply: Option<Reply<'a>>,
    /// The header or line that matched.
    pub trigger: Option<&'a str>,
    /// The envelope sender.
    pub from: Option<&'a str>,
    /// The recipient.
    pub to: Option<&'a str>,
    /// `SMTP` or `ESMTP`.
    pub proto: Option<&'a str>,
    /// What the client calls itself.
    pub helo: Option<&'a str>,
    /// How it authenticated.
    pub sasl: Sasl<'a>,
    /// Why it refuses, as one word.
    pub cause: Option<Cause>,
    /// The domain of the block list that is why.
    pub blocklist: Option<&'a str>,
}

/// A test or a cache decision of postscreen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Postscreen<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// `pass_new`, `pass_old`, `allowlisted`, `denylisted`, `allowlist_veto`, `dnsbl`, `pregreet`, `hangup`, `bare_newline`,
    /// `command_time_limit`, ….
    pub test: &'static str,
    /// The score of the DNS lists; [`i64::MIN`] for one that no record can show.
    pub rank: Option<i64>,
    /// Seconds since the connection.
    pub after: Option<Decimal<'a>>,
    /// The command, or where in the tests it was.
    pub stage: Option<&'a str>,
    /// What the client sent.
    pub text: Option<&'a str>,
    /// How many bytes it sent.
    pub bytes: Option<u64>,
}

impl Event<'_> {
    /// Every event name, in the order of the record's documentation.
    pub const NAMES: [&'static str; 33] = [
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
    ];

    /// The name in the record.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delivery(_) => "delivery",
            Self::QueueActive { .. } => "queue_active",
            Self::Expired { .. } => "expired",
            Self::Removed { .. } => "removed",
            Self::Skipped => "skipped",
            Self::Passing { .. } => "passing",
            Self::Pickup { .. } => "pickup",
            Self::MessageId { .. } => "message_id",
            Self::Notification { .. } => "notification",
            Self::NotificationFailed { .. } => "notification_failed",
            Self::Client(_) => "client",
            Self::Connect { .. } => "connect",
            Self::Disconnect { .. } => "disconnect",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::Verdict(_) => "verdict",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::Tls { .. } => "tls",
            Self::TlsError { .. } => "tls_error",
            Self::TlsReport { .. } => "tls_report",
            Self::SaslFailure { .. } => "sasl_failure",
            Self::HostnameMismatch { .. } => "hostname_mismatch",
            Self::RateLimit { .. } => "rate_limit",
            Self::ProtocolError { .. } => "protocol_error",
            Self::Postscreen(_) => "postscreen",
            Self::Dnsbl { .. } => "dnsbl",
            Self::Statistics { .. } | Self::CacheStatistics { .. } => "statistics",
            Self::CacheCleanup { .. } => "cache_cleanup",
            Self::QueueAdmin { .. } => "queue_admin",
            Self::Lifecycle { .. } => "lifecycle",
            Self::Notice { .. } => "notice",
            Self::Warning { .. } => "warning",
            Self::Debug { .. } => "debug",
            Self::Other { .. } => "other",
        }
    }

    /// Every status word that Postfix writes, as the record has it.
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

    /// Whether it holds a number that the record leaves out because no store has such a one.
    pub fn exceeds(&self) -> bool {
        let too_large = |number: Option<u64>| number.is_some_and(|number| number > decimal::LARGEST);
        let too_long = |seconds: Option<Decimal<'_>>| seconds.is_some_and(|seconds| !seconds.fits());
        match self {
            Self::Delivery(Delivery { conn_use, delay, delays, .. }) => {
                too_large(*conn_use) || too_long(*delay) || delays.is_some_and(|delays| !delays.fit())
            }
            Self::QueueActive { size, nrcpt, .. } => too_large(*size) || too_large(*nrcpt),
            Self::Pickup { uid: number, .. }
            | Self::ConnectionLost { bytes: number, .. }
            | Self::RateLimit { value: number, .. }
            | Self::QueueAdmin { messages: number, .. }
            | Self::Lifecycle { signal: number, .. } => too_large(*number),
            Self::Disconnect { commands: Some(commands), .. } => commands.exceed(),
            Self::CacheStatistics { figures, .. } => figures.exceed(),
            Self::Tls { tls, .. } => too_large(tls.bits) || too_large(tls.algorithm_bits),
            Self::Postscreen(Postscreen { rank, after, bytes, .. }) => {
                *rank == Some(i64::MIN) || too_long(*after) || too_large(*bytes)
            }
            Self::Statistics { value, period, .. } => too_large(*value) || too_large(*period),
            Self::CacheCleanup { retained, dropped, .. } => too_large(*retained) || too_large(*dropped),
            _ => false,
        }
    }

    /// The status word of what has one: a delivery, an expired message, a notification that failed.
    pub const fn status(&self) -> Option<&str> {
        match self {
            Self::Delivery(delivery) => Some(delivery.status),
            Self::Expired { status, .. } => Some(status),
            Self::NotificationFailed { status, .. } => *status,
            _ => None,
        }
    }
}
