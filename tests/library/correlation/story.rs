//! The summaries that the stage made, in a form that a test can keep and compare.

use std::collections::{BTreeSet, HashMap};

use postrider::correlate::{Correlator, JoinSettings};
use postrider::record::{
    DeliveryJoin, Endpoint, Event, Mail, MessageState, MessageSummary, RecipientSummary, Record, Tls, Uid,
};
use postrider::time::Timestamp;

use super::reader::JoinReader;
use super::sessions::SessionTold;
use super::tick;

/// All that the stage told.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// The last summary of each message, by its uid.
    pub(super) messages: HashMap<u128, MessageTold>,
    pub(super) sessions: Vec<SessionTold>,
    /// Each delivery, in the order of the lines.
    pub(super) deliveries: Vec<DeliveryTold>,
}

/// A summary of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MessageTold {
    pub(super) hostname: String,
    pub(super) instance: String,
    pub(super) queue_id: String,
    pub(super) uid: u128,
    pub(super) revision: u32,
    /// The state, and the reason of a closed one.
    pub(super) state: (&'static str, Option<&'static str>),
    pub(super) result: &'static str,
    pub(super) mail: MailTold,
    pub(super) recipients: Vec<RecipientTold>,
    /// Each verdict as `by action`.
    pub(super) verdicts: Vec<String>,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) completed_at: Option<i64>,
    pub(super) parent: Option<String>,
    pub(super) parent_uid: Option<u128>,
    pub(super) children: BTreeSet<String>,
    pub(super) trace: u128,
    pub(super) incomplete: bool,
}

/// The facts of a message beside its recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MailTold {
    pub(super) from: Option<String>,
    pub(super) client: ClientTold,
    pub(super) sasl: Option<String>,
    pub(super) message_id: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) nrcpt: Option<u64>,
    pub(super) helo: Option<String>,
    pub(super) proto: Option<String>,
    pub(super) tls: TlsTold,
}

/// Name and address of a client.
pub(super) type ClientTold = Option<(Option<String>, Option<String>)>;
/// Trust, protocol and cipher of a TLS connection.
pub(super) type TlsTold = Option<String>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecipientTold {
    pub(super) to: String,
    pub(super) orig_to: Option<String>,
    pub(super) attempts: u32,
    pub(super) first_at: i64,
    pub(super) last_at: i64,
    pub(super) status: String,
    pub(super) dsn: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) remote_queue_id: Option<String>,
    pub(super) tls: TlsTold,
}

/// A delivery with its place in its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeliveryTold {
    /// The line without its header.
    pub(super) text: String,
    pub(super) uid: u128,
    pub(super) mail: MailTold,
    pub(super) attempt: u32,
    pub(super) is_final: bool,
}

impl Story {
    /// Reads lines at the time `now`: each run of lines over the connection with its number.
    pub(super) fn of<'t>(
        settings: JoinSettings,
        now: i64,
        connections: usize,
        runs: impl IntoIterator<Item = (usize, Vec<&'t str>)>,
    ) -> Self {
        let (correlator, reader) = (Correlator::new(settings), JoinReader::new(now));
        let mut joiners: Vec<_> = (0..connections).map(|_| correlator.joiner()).collect();
        let mut story = Self::default();
        for (connection, lines) in runs {
            reader.join(lines, &mut joiners[connection], &mut |record, join| story.note(record, join));
            tick(&correlator, now, &mut |record| story.note(record, None));
        }
        reader.finish(&correlator, &mut |record| story.note(record, None));
        story
    }

    /// Returns what is known after another run. It may tell a summary again, and one that this run made since its
    /// checkpoint.
    pub(super) fn followed_by(mut self, next: Self) -> Self {
        for (uid, told) in next.messages {
            if self.messages.get(&uid).is_none_or(|known| known.revision <= told.revision) {
                self.messages.insert(uid, told);
            }
        }
        for session in next.sessions {
            if !self.sessions.contains(&session) {
                self.sessions.push(session);
            }
        }
        self
    }

    /// Notes a summary, or a delivery with its join.
    pub(super) fn note(&mut self, record: &Record<'_>, join: Option<&DeliveryJoin<'_>>) {
        match record.postfix.as_ref().map(|postfix| &postfix.event) {
            Some(Event::Message(summary)) => {
                let told = MessageTold::of(record, summary);
                let known = self.messages.get(&told.uid);
                let is_later = known.is_none_or(|known| known.revision < told.revision);
                assert!(is_later, "{told:?} after {known:?}");
                self.messages.insert(told.uid, told);
            }
            Some(Event::Session(summary)) => self.sessions.push(SessionTold::of(record, summary)),
            Some(_) | None => {}
        }
        if let Some(DeliveryJoin { mail, attempt, is_final }) = join {
            let (text, mail, uid) = (record.message.msg.to_owned(), MailTold::of(mail), uid(mail.uid));
            self.deliveries.push(DeliveryTold { text, uid, mail, attempt: *attempt, is_final: *is_final });
        }
    }
}

impl MessageTold {
    fn of(record: &Record<'_>, summary: &MessageSummary<'_>) -> Self {
        let mut recipients: Vec<_> = summary.recipients.iter().map(RecipientTold::of).collect();
        recipients.sort();
        let postfix = record.postfix.as_ref().expect("a summary");
        Self {
            hostname: record.message.hostname.unwrap_or_default().to_owned(),
            instance: postfix.instance.to_owned(),
            queue_id: text(postfix.queue_id).unwrap_or_default(),
            uid: uid(summary.mail.uid),
            revision: summary.revision,
            state: match summary.state {
                MessageState::Open => (summary.state.name(), None),
                MessageState::Closed(by) => (summary.state.name(), Some(by.name())),
            },
            result: summary.result.name(),
            mail: MailTold::of(&summary.mail),
            recipients,
            verdicts: summary.verdicts.iter().map(|verdict| format!("{} {}", verdict.by, verdict.action)).collect(),
            first_seen: micros(summary.first_seen),
            last_seen: micros(summary.last_seen),
            completed_at: summary.completed_at.map(micros),
            parent: text(summary.parent_queue_id),
            parent_uid: summary.parent_uid.map(uid),
            children: summary.child_queue_ids.iter().map(|id| (*id).to_owned()).collect(),
            trace: uid(summary.trace_id),
            incomplete: summary.incomplete,
        }
    }
}

impl MailTold {
    fn of(mail: &Mail<'_>) -> Self {
        Self {
            from: text(mail.from),
            client: client(mail.client.as_ref()),
            sasl: text(mail.sasl.username),
            message_id: text(mail.message_id),
            size: mail.size,
            nrcpt: mail.nrcpt,
            helo: text(mail.helo),
            proto: text(mail.proto),
            tls: mail.tls.as_ref().map(tls),
        }
    }
}

impl RecipientTold {
    fn of(recipient: &RecipientSummary<'_>) -> Self {
        let RecipientSummary { delivery, attempts, first_attempt_at, last_attempt_at, tls: connection } = recipient;
        Self {
            to: delivery.to.to_owned(),
            orig_to: text(delivery.orig_to),
            attempts: *attempts,
            first_at: micros(*first_attempt_at),
            last_at: micros(*last_attempt_at),
            status: delivery.status.to_owned(),
            dsn: delivery.dsn.as_ref().map(|dsn| dsn.code().to_owned()),
            reason: text(delivery.reason),
            remote_queue_id: text(delivery.remote_queue_id),
            tls: connection.as_ref().map(tls),
        }
    }
}

pub(super) fn micros(time: Timestamp) -> i64 {
    time.seconds() * 1_000_000 + i64::from(time.micros())
}

fn uid(uid: Uid) -> u128 {
    u128::from_be_bytes(uid.0)
}

pub(super) fn text(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn client(client: Option<&Endpoint<'_>>) -> ClientTold {
    client.map(|client| (text(client.name), text(client.ip)))
}

pub(super) fn tls(tls: &Tls<'_>) -> String {
    [tls.trust, tls.protocol, tls.cipher].map(Option::unwrap_or_default).join(" ")
}
