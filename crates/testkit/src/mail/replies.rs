//! Reasons in delivery lines: what servers reply, and what the agents of Postfix report (grammar of `status=`, the text
//! in the last parentheses).

use fastrand::Rng;

use super::message::MailStatus;
use super::names::{domain, once_in, pick};

/// Way on which a recipient gets its mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agent {
    /// smtp, to a server on the Internet.
    Remote,
    /// lmtp, over a unix socket.
    Lmtp,
    /// local, into a mailbox.
    Mailbox,
    /// local, to the addresses of an alias.
    Alias,
    /// virtual, into a mailbox.
    Virtual,
    /// pipe, to a command.
    Pipe,
    /// error, which delivers nothing.
    Error,
    /// discard.
    Discard,
    /// smtp, to the content filter of the instance.
    Filter,
    /// smtp, to another instance of the history.
    Relay,
}

/// Outcome of one attempt.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) daemon: &'static str,
    pub(super) relay: String,
    pub(super) dsn: &'static str,
    pub(super) reason: String,
    pub(super) remote_queue_id: Option<String>,
}

/// Name and address of the server for an address.
#[derive(Debug)]
pub(super) struct Exchanger {
    pub(super) name: String,
    pub(super) ip: String,
}

impl Agent {
    /// Returns the program that delivers.
    pub(super) const fn daemon(self) -> &'static str {
        match self {
            Self::Remote | Self::Filter | Self::Relay => "smtp",
            Self::Lmtp => "lmtp",
            Self::Mailbox | Self::Alias => "local",
            Self::Virtual => "virtual",
            Self::Pipe => "pipe",
            Self::Error => "error",
            Self::Discard => "discard",
        }
    }
}

impl Exchanger {
    /// Returns one of the servers for an address.
    pub(super) fn of(address: &str, rng: &mut Rng) -> Self {
        let domain = domain(address).to_lowercase();
        let number = domain.bytes().fold(1, |sum: u8, byte| sum.wrapping_add(byte)) % 100;
        let ip = if once_in(rng, 5) { format!("2001:db8:25::{number:x}") } else { format!("203.0.113.{number}") };
        Self { name: format!("mx{}.{domain}", rng.u8(1..=2)), ip }
    }

    /// Returns the name and the address, without a port.
    pub(super) fn server(&self) -> String {
        format!("{}[{}]", self.name, self.ip)
    }
}

impl Answer {
    /// Returns a random answer with this status. `hostname` is the name of the host itself.
    pub(super) fn new(agent: Agent, status: MailStatus, to: &str, hostname: &str, rng: &mut Rng) -> Self {
        match agent {
            Agent::Remote => Self::of_server(status, to, rng),
            Agent::Lmtp => Self::of_lmtp(status, to, hostname, rng),
            agent => Self::of_agent(agent, status, to, rng),
        }
    }

    /// Returns the answer where nobody listens at `relay`.
    pub(super) fn refused(relay: &str) -> Self {
        Self::simple("smtp", "none", "4.4.1", &format!("connect to {relay}: Connection refused"))
    }

    /// Returns the answer of qmgr's error agent for a destination that it does not try for a while.
    pub(super) fn suspended(to: &str, rng: &mut Rng) -> Self {
        let server = Exchanger::of(to, rng).server();
        let reason = format!("delivery temporarily suspended: connect to {server}:25: Connection timed out");
        Self::simple("error", "none", "4.4.1", &reason)
    }

    fn simple(daemon: &'static str, relay: &str, dsn: &'static str, reason: &str) -> Self {
        Self { daemon, relay: relay.to_owned(), dsn, reason: reason.to_owned(), remote_queue_id: None }
    }

    fn of_server(status: MailStatus, to: &str, rng: &mut Rng) -> Self {
        let exchanger = Exchanger::of(to, rng);
        let server = exchanger.server();
        let relay = format!("{server}:25");
        let (dsn, reason) = match status {
            MailStatus::Sent => {
                let (dsn, reason, id) = acceptance(rng);
                return Self { remote_queue_id: id, ..Self::simple("smtp", &relay, dsn, &reason) };
            }
            MailStatus::Deferred => match rng.u32(..8) {
                0 => {
                    return Self::simple("smtp", "none", "4.4.1", &format!("connect to {relay}: Connection timed out"));
                }
                1 => return Self::refused(&relay),
                2 => {
                    let name = domain(to);
                    let reason = format!(
                        "Host or domain name not found. Name service error for name={name} type=MX: Host not found, \
                         try again"
                    );
                    return Self::simple("smtp", "none", "4.4.3", &reason);
                }
                3 => ("4.4.2", format!("lost connection with {server} while receiving the initial server greeting")),
                4 => ("4.4.2", format!("conversation with {server} timed out while sending message body")),
                5 => (
                    "4.2.2",
                    format!("host {server} said: 452 4.2.2 <{to}>: Mailbox full (in reply to RCPT TO command)"),
                ),
                6 => ("4.7.0", format!("host {server} refused to talk to me: 421 4.7.0 Too many connections")),
                _ => (
                    "4.2.0",
                    format!(
                        "host {server} said: 450 4.2.0 <{to}>: Recipient address rejected: Greylisted, see \
                         https://example.com/help (in reply to RCPT TO command)"
                    ),
                ),
            },
            MailStatus::Bounced => match rng.u32(..3) {
                0 => (
                    "5.1.1",
                    format!(
                        "host {server} said: 550 5.1.1 <{to}>: Recipient address rejected: User unknown (in reply to \
                         RCPT TO command)"
                    ),
                ),
                1 => (
                    "5.7.1",
                    format!("host {server} said: 554 5.7.1 Spam message rejected (in reply to end of DATA command)"),
                ),
                _ => {
                    return Self::simple(
                        "smtp",
                        "none",
                        "5.1.10",
                        &format!("Domain {} does not accept mail (nullMX)", domain(to)),
                    );
                }
            },
        };
        Self::simple("smtp", &relay, dsn, &reason)
    }

    fn of_lmtp(status: MailStatus, to: &str, hostname: &str, rng: &mut Rng) -> Self {
        let relay = format!("{hostname}[private/dovecot-lmtp]");
        let (dsn, reason) = match status {
            MailStatus::Sent => ("2.0.0", format!("250 2.0.0 <{to}> {} Saved", word(rng, 22))),
            MailStatus::Deferred => (
                "4.2.2",
                format!(
                    "host {relay} said: 452 4.2.2 <{to}> Quota exceeded (mailbox for user is full) (in reply to end of DATA command)"
                ),
            ),
            MailStatus::Bounced => (
                "5.1.1",
                format!("host {relay} said: 550 5.1.1 <{to}> User doesn't exist: {to} (in reply to RCPT TO command)"),
            ),
        };
        Self::simple("lmtp", &relay, dsn, &reason)
    }

    fn of_agent(agent: Agent, status: MailStatus, to: &str, rng: &mut Rng) -> Self {
        let daemon = agent.daemon();
        let relay = match agent {
            Agent::Pipe => "dovecot",
            Agent::Error | Agent::Discard => "none",
            _ => daemon,
        };
        let user = to.split('@').next().unwrap_or(to).trim_matches('"');
        let (dsn, reason) = match (agent, status) {
            (Agent::Pipe, MailStatus::Sent) => ("2.0.0", "delivered via dovecot service".to_owned()),
            (Agent::Pipe, MailStatus::Deferred) => ("4.3.0", "temporary failure".to_owned()),
            (Agent::Pipe, MailStatus::Bounced) => ("5.1.1", "user unknown".to_owned()),
            (Agent::Discard, _) => ("2.0.0", domain(to).to_owned()),
            (Agent::Error, MailStatus::Deferred) => ("4.3.0", "mail transport unavailable".to_owned()),
            (Agent::Error, _) => ("5.1.1", "User unknown in virtual alias table".to_owned()),
            (Agent::Virtual, MailStatus::Sent) => ("2.0.0", "delivered to maildir".to_owned()),
            (_, MailStatus::Sent) => {
                ("2.0.0", pick(rng, &["delivered to mailbox", "delivered to command: /usr/bin/procmail"]).to_owned())
            }
            (_, MailStatus::Deferred) => (
                "4.2.0",
                format!(
                    "cannot update mailbox /var/mail/{user} for user {user}. unable to lock for exclusive access: \
                     Resource temporarily unavailable"
                ),
            ),
            (_, MailStatus::Bounced) => ("5.1.1", format!("unknown user: \"{user}\"")),
        };
        Self::simple(daemon, relay, dsn, &reason)
    }
}

/// Returns what a server says when it has taken a message: status code, text, its queue id.
fn acceptance(rng: &mut Rng) -> (&'static str, String, Option<String>) {
    let id = match rng.u32(..6) {
        0 => return ("2.0.0", "250 2.0.0 Message received".to_owned(), None),
        1 => {
            let id = format!("1{}-{}-{}", word(rng, 5), word(rng, 6), word(rng, 2));
            return ("2.0.0", format!("250 OK id={id}"), Some(id));
        }
        2 => {
            let id = format!("{}.{}", word(rng, 12), rng.u32(100..999));
            return ("2.0.0", format!("250 2.0.0 OK  1795489200 {id} - gsmtp"), Some(id));
        }
        3 => format!("4g{}z{}", word(rng, 8), word(rng, 4).replace('z', "y")),
        _ => format!("{:05X}{:X}", rng.u32(..1_000_000), rng.u32(0x1_0000..0x100_0000)),
    };
    ("2.0.0", format!("250 2.0.0 Ok: queued as {id}"), Some(id))
}

fn word(rng: &mut Rng, length: usize) -> String {
    (0..length).map(|_| rng.alphanumeric()).collect()
}
