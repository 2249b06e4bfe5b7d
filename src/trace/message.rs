//! The messages that were found, and their lines.

use super::line::FoundLine;
use super::line::micros;
use crate::record::{ClosedBy, Event, MessageResult, MessageState, MessageSummary, Postfix, Tls, Uid};

/// Number of recipients of a message whose addresses are shown in its heading.
const SHOWN: usize = 5;

/// A line, and its part in a story.
#[derive(Debug)]
pub(super) struct JoinedLine<'f> {
    pub(super) line: &'f FoundLine,
    /// Time in microseconds.
    pub(super) at: i64,
    /// Its record, if records are printed.
    pub(super) json: Box<[u8]>,
    /// `HOSTNAME/INSTANCE/QUEUE-ID`, if it has a queue id.
    pub(super) key: Option<Box<str>>,
    /// Hostname, tag and process id.
    pub(super) process: Box<str>,
    /// Text that names the process in the lines of its log: of smtpd with a message, and of an agent that delivers to
    /// another server.
    pub(super) header: Option<Box<[u8]>>,
    pub(super) role: LineRole,
    pub(super) mention: Option<Mention>,
    /// True if it matches the query.
    pub(super) is_sought: bool,
    /// Number of the message with its queue id.
    pub(super) message: Option<usize>,
}

/// Role of a line in the history of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineRole {
    /// A session begins.
    Connect,
    /// A session ends.
    Disconnect,
    /// The message of a session begins.
    Client,
    /// A delivery agent has tried to deliver a message.
    Delivery,
    /// A message leaves the queue.
    Removed,
    Other,
}

/// Another message of the chain, as a line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) id: Box<str>,
    pub(super) made: Made,
    /// True if the message of the line was made from the other one, not the other one from it.
    pub(super) is_parent: bool,
}

/// How a message was made of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// A notice of this kind to the sender or the postmaster.
    Notice(&'static str),
    Forward,
    /// The next server or a content filter queued it.
    Hop,
    /// `postsuper -r`
    Requeue,
}

/// A message.
#[derive(Debug)]
pub(super) struct TracedMessage {
    pub(super) uid: Uid,
    pub(super) revision: u32,
    /// `HOSTNAME/INSTANCE/QUEUE-ID`.
    pub(super) key: Box<str>,
    pub(super) hostname: Box<str>,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) result: MessageResult,
    /// True if it left the queue.
    pub(super) is_removed: bool,
    pub(super) is_incomplete: bool,
    pub(super) parent: Option<Uid>,
    pub(super) from: Option<Box<str>>,
    pub(super) message_id: Option<Box<str>>,
    /// The first recipients.
    pub(super) to: Vec<Box<str>>,
    /// Number of recipients by their last status.
    pub(super) counts: Vec<(Box<str>, usize)>,
    /// Protocol and cipher of the session that brought it.
    pub(super) tls: Option<Box<str>>,
    /// Its record, if records are printed.
    pub(super) json: Box<[u8]>,
    /// Numbers of its lines, and of those of its session and of its delivery agents, in order.
    pub(super) lines: Vec<usize>,
    /// True if one of its own lines matches the query.
    pub(super) is_sought: bool,
}

impl JoinedLine<'_> {
    pub(super) fn queue_id(&self) -> Option<&str> {
        self.key.as_ref().and_then(|key| key.rsplit_once('/')).map(|(_, id)| id)
    }
}

impl LineRole {
    pub(super) const fn of(postfix: &Postfix<'_>) -> Self {
        match &postfix.event {
            Event::Connect(_) => Self::Connect,
            Event::Disconnect(_) => Self::Disconnect,
            Event::Client(_) => Self::Client,
            Event::Delivery(_) => Self::Delivery,
            Event::Removed(_) => Self::Removed,
            _ => Self::Other,
        }
    }
}

impl TracedMessage {
    pub(super) fn new(summary: &MessageSummary<'_>, hostname: &str, key: Box<str>, json: Box<[u8]>) -> Self {
        let mail = &summary.mail;
        let text = |text: Option<&str>| text.map(Into::into);
        let mut counts: Vec<(Box<str>, usize)> = Vec::new();
        for recipient in summary.recipients {
            let status = recipient.delivery.status;
            match counts.iter_mut().find(|(known, _)| **known == *status) {
                Some((_, count)) => *count += 1,
                None => counts.push((status.into(), 1)),
            }
        }
        Self {
            uid: mail.uid,
            revision: summary.revision,
            key,
            hostname: hostname.into(),
            first_seen: micros(summary.first_seen),
            last_seen: micros(summary.last_seen),
            result: summary.result,
            is_removed: summary.state == MessageState::Closed(ClosedBy::Removed),
            is_incomplete: summary.incomplete,
            parent: summary.parent_uid,
            from: text(mail.from),
            message_id: text(mail.message_id),
            to: summary.recipients.iter().take(SHOWN).map(|recipient| recipient.delivery.to.into()).collect(),
            counts,
            tls: mail.tls.as_ref().and_then(tls_text),
            json,
            lines: Vec::new(),
            is_sought: false,
        }
    }

    pub(super) fn queue_id(&self) -> &str {
        self.key.rsplit_once('/').map_or(&*self.key, |(_, id)| id)
    }

    /// Returns the number of its recipients.
    pub(super) fn recipients(&self) -> usize {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

/// Returns the protocol and the cipher of a TLS connection.
pub(super) fn tls_text(tls: &Tls<'_>) -> Option<Box<str>> {
    let protocol = tls.protocol?;
    Some(tls.cipher.map_or_else(|| protocol.into(), |cipher| format!("{protocol} {cipher}").into()))
}
