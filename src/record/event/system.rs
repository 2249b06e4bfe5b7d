//! Events of Postfix itself: TLS, statistics, its start and its end, and lines that have a text and little else.

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
    /// What failed.
    pub reason: &'a str,
}

/// A result for a TLS report (`src/tls/tlsrpt_wrapper.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct TlsReport<'a> {
    /// `success` or `failure`.
    pub status: &'a str,
    /// The domain whose policy it is.
    pub domain: Option<&'a str>,
    /// The server.
    pub server: Option<Endpoint<'a>>,
    /// The result type of RFC 8460, section 4.3.
    pub failure_type: Option<&'a str>,
    /// More about it.
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
    /// For a rate: the seconds that it counts in.
    pub period: Option<u64>,
    /// The service of master.cf.
    pub limited_service: Option<&'a str>,
    /// The client, or its network.
    pub ip: Option<&'a str>,
    /// When, as logged: `Nov 24 02:10:35`. [`Record::moment`](crate::record::Record::moment) is what the record shows.
    pub at: Option<&'a str>,
}

/// What the connection cache did since the last report (`src/scache/scache.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct CacheStatistics<'a> {
    /// `interval`, `domain_lookup`, `address_lookup`, `simultaneous`.
    pub kind: &'static str,
    /// The figures by name.
    pub figures: Figures<'a>,
    /// For `interval`: when it began, as logged.
    pub at: Option<&'a str>,
}

/// A cache was cleaned up (`src/util/dict_cache.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct CacheCleanup<'a> {
    /// The cache: `TYPE:PATH`.
    pub cache: &'a str,
    /// Entries that stayed.
    pub retained: Option<u64>,
    /// Entries that went.
    pub dropped: Option<u64>,
    /// Whether the whole of it was looked at.
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
    /// The signal that ended it.
    pub signal: Option<u64>,
}

/// An informational line of a known kind that carries no fields of its own, save a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice<'a> {
    /// Which, in one word: `ehlo_keywords_discarded`, `table_changed`, ….
    pub kind: &'static str,
    /// The server that it is about, for what smtp and lmtp make the best of.
    pub server: Option<Endpoint<'a>>,
    /// The text after the queue id.
    pub text: &'a str,
}

/// A line of which nothing but the text is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Text<'a> {
    /// The text after the level, where there is one, and the queue id.
    pub text: &'a str,
}
