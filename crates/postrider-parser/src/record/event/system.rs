//! Events of Postfix itself: TLS, statistics, start and stop, and lines that have a text and little else.

use crate::record::shape::{Endpoint, Figures, Tls};

/// The TLS summary line (`src/tls/tls_misc.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct TlsSummary<'a> {
    /// The other end.
    pub peer: Option<Endpoint<'a>>,
    /// The connection's properties.
    pub tls: Tls<'a>,
}

/// A TLS handshake or verification failed.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsError<'a> {
    /// The other end.
    pub peer: Option<Endpoint<'a>>,
    /// Description of the failure.
    pub reason: &'a str,
}

/// A result for a TLS report (`src/tls/tlsrpt_wrapper.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct TlsReport<'a> {
    /// `success` or `failure`.
    pub status: &'a str,
    /// Domain to which the TLS policy belongs.
    pub domain: Option<&'a str>,
    /// The server.
    pub server: Option<Endpoint<'a>>,
    /// The result type of RFC 8460, section 4.3.
    pub failure_type: Option<&'a str>,
    /// Further details.
    pub reason: Option<&'a str>,
}

/// A highest rate or count since the last report (`src/anvil/anvil.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics<'a> {
    /// `connection_rate`, `message_rate`, `recipient_rate`, `newtls_rate`, `auth_rate`, `tlstrace_rate`,
    /// `connection_count`, `cache_size`.
    pub kind: &'static str,
    /// The number.
    pub value: Option<u64>,
    /// For a rate: the period, in seconds, over which it counts.
    pub period: Option<u64>,
    /// The service of master.cf.
    pub limited_service: Option<&'a str>,
    /// The client, or its network.
    pub ip: Option<&'a str>,
    /// Time as logged: `Nov 24 02:10:35`. The record shows the result of
    /// [`Record::moment`](crate::record::Record::moment).
    pub at: Option<&'a str>,
}

/// Counts of the connection cache since the last report (`src/scache/scache.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct CacheStatistics<'a> {
    /// `interval`, `domain_lookup`, `address_lookup`, `simultaneous`.
    pub kind: &'static str,
    /// The figures by name.
    pub figures: Figures<'a>,
    /// For `interval`: the time at which it began, as logged.
    pub at: Option<&'a str>,
}

/// A cache was cleaned up (`src/util/dict_cache.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct CacheCleanup<'a> {
    /// The cache: `TYPE:PATH`.
    pub cache: &'a str,
    /// Number of entries that remained.
    pub retained: Option<u64>,
    /// Number of entries that were removed.
    pub dropped: Option<u64>,
    /// True if the whole cache was scanned.
    pub full: bool,
}

/// Postfix started, stopped or reloaded (`src/master/master.c`, `conf/postfix-script`).
#[derive(Clone, Debug, PartialEq)]
pub struct Lifecycle<'a> {
    /// `start`, `reload`, `stop`, `abort`, `terminate`, `running`, `not_running`.
    pub action: &'static str,
    /// The version of Postfix.
    pub version: Option<&'a str>,
    /// The configuration directory.
    pub config_directory: Option<&'a str>,
    /// Signal that ended Postfix.
    pub signal: Option<u64>,
}

/// An informational line of a known kind without fields of its own, except a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice<'a> {
    /// Kind, in one word: `ehlo_keywords_discarded`, `table_changed`, ….
    pub kind: &'static str,
    /// Server that the line is about, in lines of smtp and lmtp about problems that they work around.
    pub server: Option<Endpoint<'a>>,
    /// The text after the queue id.
    pub text: &'a str,
}

/// A line of which only the text is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Text<'a> {
    /// Text after the level, if there is one, and the queue id.
    pub text: &'a str,
}
