//! A connection of a client, joined from all its lines.

use super::shape::{Commands, Endpoint, Reply, Sasl, Tls};
use crate::time::Timestamp;

/// Actions of one client in one connection.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSummary<'a> {
    /// The client.
    pub client: Option<Endpoint<'a>>,
    /// The address that the client connected to, if postscreen logged it.
    pub server: Option<Endpoint<'a>>,
    /// Name that the client gives itself.
    pub helo: Option<&'a str>,
    /// `SMTP` or `ESMTP`.
    pub proto: Option<&'a str>,
    /// The TLS connection.
    pub tls: Option<Tls<'a>>,
    /// SASL authentication of the client.
    pub sasl: Sasl<'a>,
    /// Number of failed authentications.
    pub sasl_failures: u32,
    /// Number of uses of each command.
    pub commands: Option<Commands<'a>>,
    /// Number of verdicts by action, of [`Verdict::ACTIONS`](super::Verdict::ACTIONS).
    pub verdicts: &'a [(&'static str, u32)],
    /// Reply of the last verdict that has one.
    pub last_reply: Option<Reply<'a>>,
    /// The queue ids of accepted messages.
    pub queue_ids: &'a [&'a str],
    /// Tests of postscreen for this client just before the session.
    pub postscreen: &'a [&'static str],
    /// Score of the client in DNS lists, if postscreen logged it.
    pub dnsbl_rank: Option<i64>,
    /// Domains of the block lists that have the address of the client, if dnsblog logged them.
    pub blocklists: &'a [&'a str],
    /// Time of the connection.
    pub started_at: Option<Timestamp>,
    /// Time of the end.
    pub ended_at: Option<Timestamp>,
    /// End of the session.
    pub ended_by: SessionEnd,
    /// True if a line that must exist was not seen.
    pub incomplete: bool,
}

/// End of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The client disconnected.
    Quit,
    /// The connection broke.
    ConnectionLost,
    /// The client was silent for too long.
    Timeout,
    /// The client made too many errors.
    TooManyErrors,
    /// The lines do not tell.
    Unknown,
}

impl SessionSummary<'_> {
    /// True if a number is too large for a record.
    pub fn exceeds(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::exceeds) || self.commands.is_some_and(Commands::exceed)
    }
}

impl SessionEnd {
    /// Every end, in the order of the record's documentation.
    pub const ALL: [Self; 5] = [Self::Quit, Self::ConnectionLost, Self::Timeout, Self::TooManyErrors, Self::Unknown];

    /// The name in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::ConnectionLost => "connection_lost",
            Self::Timeout => "timeout",
            Self::TooManyErrors => "too_many_errors",
            Self::Unknown => "unknown",
        }
    }
}
