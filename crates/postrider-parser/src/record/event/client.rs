//! Events of a client: its connection, its commands, and decisions about it.

use crate::record::cause::Cause;
use crate::record::shape::{Commands, Decimal, Endpoint, Reply, Sasl};

/// The client that submits a message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Client<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// SASL authentication of the client.
    pub sasl: Sasl<'a>,
    /// The queue id before a content filter (XFORWARD).
    pub orig_queue_id: Option<&'a str>,
    /// The client before a content filter (XFORWARD).
    pub orig_client: Option<Endpoint<'a>>,
}

/// A client connected.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// Local address that the client connected to; postscreen logs it.
    pub local: Option<Endpoint<'a>>,
    /// The server, where tlsproxy is the client.
    pub server: Option<Endpoint<'a>>,
}

/// A client disconnected.
#[derive(Clone, Debug, PartialEq)]
pub struct Disconnect<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// Number of uses of each command.
    pub commands: Option<Commands<'a>>,
    /// Anything unusual about the session: `bare_lf`.
    pub notes: Option<&'a str>,
}

/// A session ended prematurely.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionLost<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// Cause of the end.
    pub cause: Cause,
    /// Command after which the session ended.
    pub stage: Option<&'a str>,
    /// Number of bytes of the message received by then.
    pub bytes: Option<u64>,
}

/// A decision to accept or to refuse.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict<'a> {
    /// `reject`, `reject_warning`, `hold`, `discard`, `warn`, `filter`, `redirect`, `prepend`, …; `accept` for
    /// `proxy-accept`.
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
    /// Name that the client gives itself.
    pub helo: Option<&'a str>,
    /// SASL authentication of the client.
    pub sasl: Sasl<'a>,
    /// Reason for the refusal, as one word.
    pub cause: Option<Cause>,
    /// Domain of the block list that caused the refusal.
    pub blocklist: Option<&'a str>,
}

impl Verdict<'_> {
    /// Every action, those first that let a message pass.
    pub const ACTIONS: [&'static str; 17] = [
        "accept",
        "permit",
        "pass",
        "reject",
        "reject_warning",
        "hangup",
        "hold",
        "discard",
        "delay",
        "warn",
        "info",
        "filter",
        "redirect",
        "bcc",
        "prepend",
        "replace",
        "strip",
    ];
}

/// A client's SASL authentication failed (`src/smtpd/smtpd_sasl_glue.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct SaslFailure<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// The mechanism and the user.
    pub sasl: Sasl<'a>,
    /// Reason of the failure.
    pub reason: Option<&'a str>,
}

/// A client's name does not resolve to its address (`src/smtpd/smtpd_peer.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct HostnameMismatch<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// Reason why the look-up failed.
    pub reason: Option<&'a str>,
}

/// A client exceeded a rate or concurrency limit (`src/smtpd/smtpd.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// Limit that was exceeded: `connection_concurrency`, `connection_rate`, `message_rate`, `recipient_rate`,
    /// `new_tls_session_rate`, `auth_rate`.
    pub limit: &'static str,
    /// Rate or count that the client reached.
    pub value: Option<u64>,
    /// The service of master.cf.
    pub limited_service: Option<&'a str>,
}

/// A client violated the protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct ProtocolError<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// Kind of violation, in one word: `command_pipelining`, `non_smtp_command`, `illegal_address_syntax`,
    /// `bare_newline`, ….
    pub kind: &'static str,
    /// The command.
    pub stage: Option<&'a str>,
    /// Text that the client sent.
    pub text: Option<&'a str>,
}

/// A test or a cache decision of postscreen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Postscreen<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// `pass_new`, `pass_old`, `allowlisted`, `denylisted`, `allowlist_veto`, `dnsbl`, `pregreet`, `hangup`,
    /// `bare_newline`, `command_time_limit`, ….
    pub test: &'static str,
    /// Score of the DNS lists; [`i64::MIN`] for a score that no record can show.
    pub rank: Option<i64>,
    /// Seconds since the connection.
    pub after: Option<Decimal<'a>>,
    /// The command, or the point reached in the tests.
    pub stage: Option<&'a str>,
    /// Text that the client sent.
    pub text: Option<&'a str>,
    /// Number of bytes that the client sent.
    pub bytes: Option<u64>,
}

impl Postscreen<'_> {
    /// Every test, in the order in which postscreen makes them.
    pub const TESTS: [&'static str; 16] = [
        "allowlisted",
        "denylisted",
        "allowlist_veto",
        "pass_old",
        "pregreet",
        "dnsbl",
        "hangup",
        "bare_newline",
        "command_pipelining",
        "non_smtp_command",
        "command_length_limit",
        "command_count_limit",
        "command_time_limit",
        "data_without_valid_rcpt",
        "bdat_without_valid_rcpt",
        "pass_new",
    ];
}

/// dnsblog found an address in a DNS list (`src/dnsblog/dnsblog.c`).
#[derive(Clone, Debug, PartialEq)]
pub struct Dnsbl<'a> {
    /// The address.
    pub ip: Option<&'a str>,
    /// The list.
    pub domain: &'a str,
    /// Answer of the list.
    pub result: &'a str,
}
