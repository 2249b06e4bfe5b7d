//! The truth about one SMTP session.

use std::fmt::{self, Display, Formatter};

use super::message::{MailSasl, MailTls, MailVerdict};

/// One connection to smtpd. Times are microseconds since 1970.
#[derive(Clone, Debug)]
pub struct MailSession {
    /// Index of its instance.
    pub instance: usize,
    /// Service in the tag: `submission`; empty if there is none.
    pub service: &'static str,
    /// Process of smtpd. It has one session at a time.
    pub pid: u32,
    /// The client.
    pub client: MailClient,
    /// Name that the client gave itself, if a verdict of smtpd shows it.
    pub helo: Option<String>,
    /// `SMTP` or `ESMTP`, if a verdict of smtpd shows it.
    pub proto: Option<&'static str>,
    /// TLS of the connection.
    pub tls: Option<MailTls>,
    /// SASL authentication of the client, if it succeeded and a line shows it.
    pub sasl: Option<MailSasl>,
    /// Number of failed SASL authentications.
    pub sasl_failures: u32,
    /// Each command with the number of its successes and of its uses, in the order of the line; the sum is not in it.
    pub commands: Vec<(&'static str, u32, u32)>,
    /// Decisions of smtpd, in the order of time, those with a queue id included.
    pub verdicts: Vec<MailVerdict>,
    /// Indices of the messages that it opened, those that were not accepted included.
    pub messages: Vec<usize>,
    /// Index of what postscreen saw of the client just before.
    pub screening: Option<usize>,
    /// Time of the line `connect from`.
    pub started_at: i64,
    /// Time of the line `disconnect from`.
    pub ended_at: i64,
    /// How it ended.
    pub ended_by: MailSessionEnd,
}

/// One client at which postscreen looked before smtpd got it, or in its place. Times are microseconds since 1970.
#[derive(Clone, Debug)]
pub struct MailScreening {
    /// Index of its instance.
    pub instance: usize,
    /// Address of the client.
    pub ip: String,
    /// Port of the client.
    pub port: u16,
    /// The tests and their results, in the words of the record: `pass_old`, `dnsbl`.
    pub tests: Vec<&'static str>,
    /// Address of the host that the client connected to.
    pub server: String,
    /// Score of the DNS lists, if a line shows it.
    pub rank: Option<i64>,
    /// Domains of the block lists that have the address, if dnsblog logged them.
    pub blocklists: Vec<&'static str>,
    /// TLS of the connection to postscreen.
    pub tls: Option<MailTls>,
    /// Name that the client gave itself, if a verdict of postscreen shows it.
    pub helo: Option<&'static str>,
    /// Decisions of postscreen.
    pub verdicts: Vec<MailVerdict>,
    /// Time of its first line.
    pub started_at: i64,
    /// Time of its last line.
    pub ended_at: i64,
    /// Index of the session, if smtpd got the client.
    pub session: Option<usize>,
    /// How the connection ended, in the word of the record, if postscreen ended it.
    pub ended_by: Option<&'static str>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailSessionEnd {
    /// The client said QUIT.
    Quit,
    /// The connection broke.
    ConnectionLost,
    /// The client said nothing for too long.
    Timeout,
    /// Postfix closed it after too many errors.
    TooManyErrors,
}

/// A client as Postfix logs it: `name[ip]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailClient {
    /// The name; `None` for `unknown`.
    pub name: Option<String>,
    /// The address.
    pub ip: String,
}

impl MailSessionEnd {
    /// The name in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::ConnectionLost => "connection_lost",
            Self::Timeout => "timeout",
            Self::TooManyErrors => "too_many_errors",
        }
    }

    /// The words of the line about an end that is not orderly.
    pub(super) const fn words(self) -> Option<&'static str> {
        match self {
            Self::Quit => None,
            Self::ConnectionLost => Some("lost connection"),
            Self::Timeout => Some("timeout"),
            Self::TooManyErrors => Some("too many errors"),
        }
    }
}

impl Display for MailClient {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name.as_deref().unwrap_or("unknown"), self.ip)
    }
}
