//! Results of the lines of a block. They are copied under the lock of their mail system, and written after it.

use std::ops::Range;
use std::sync::Arc;

use super::fields::{Fields, FieldsRef, KeptField, number, set_client_part, text};
use super::message::{Closing, JoinedMessage};
use super::patterns::PatternTable;
use super::session::JoinedSession;
use super::tls::KeptTls;
use super::uid;
use crate::record::{DeliveryJoin, Endpoint, Mail, MessageResult, Sasl, Uid};
use crate::time::Timestamp;

/// Room for what the lines of a block give. It is used again for the next block.
#[derive(Default)]
pub(super) struct Scratch {
    /// Number of the current record in the block.
    pub(super) at: usize,
    /// Room for the key of a message.
    pub(super) key: Vec<u8>,
    /// Room for the fields of a message to which a line is applied.
    pub(super) texts: Fields,
    /// Room for fields while they are collected.
    pub(super) room: Fields,
    /// Outcomes, in order, with the record after which each stands.
    outcomes: Vec<(usize, JoinOutcome)>,
    messages: Vec<MessageCopy>,
    recipients: Vec<RecipientCopy>,
    /// Sessions, with the places of their texts.
    sessions: Vec<(JoinedSession, Range<usize>)>,
    /// Texts of the outcomes.
    bytes: Vec<u8>,
}

/// Result of a line.
pub(super) enum JoinOutcome {
    /// The line itself is a delivery.
    Delivery(DeliveryCopy),
    /// A message whose summary is due, by its number.
    Message(usize),
    /// A session that is over, by its number.
    Session(usize),
}

/// Facts of a message that its delivery shows.
pub(super) struct DeliveryCopy {
    fields: Range<usize>,
    tls: Option<Arc<KeptTls>>,
    uid: Uid,
    received_at: i64,
    attempt: u32,
    is_final: bool,
}

/// A message, as its summary shows it.
pub(super) struct MessageCopy {
    fields: Range<usize>,
    key: Range<usize>,
    recipients: Range<usize>,
    tls: Option<Arc<KeptTls>>,
    pub(super) uid: Uid,
    pub(super) parent: Option<Uid>,
    pub(super) trace: Option<Uid>,
    pub(super) queued_at: Option<i64>,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) completed_at: Option<i64>,
    pub(super) closed: Option<Closing>,
    pub(super) result: MessageResult,
    pub(super) revision: u32,
    pub(super) is_incomplete: bool,
}

/// A recipient, as the summary of its message shows it.
pub(super) struct RecipientCopy {
    /// Line of the last delivery.
    line: Range<usize>,
    pub(super) tls: Option<Arc<KeptTls>>,
    pub(super) attempts: u32,
    pub(super) first_at: i64,
    pub(super) last_at: i64,
}

impl Scratch {
    pub(super) fn clear(&mut self) {
        self.outcomes.clear();
        self.messages.clear();
        self.recipients.clear();
        self.sessions.clear();
        self.bytes.clear();
    }

    pub(super) fn push(&mut self, outcome: JoinOutcome) {
        self.outcomes.push((self.at, outcome));
    }

    /// Adds a message of the mail system `HOSTNAME/INSTANCE` whose summary is due, with the recipients for which
    /// `is_told` is true. Its id must be known.
    pub(super) fn summarize(
        &mut self,
        system: &str,
        message: &JoinedMessage,
        patterns: &PatternTable,
        mut is_told: impl FnMut(FieldsRef<'_>) -> bool,
    ) {
        uid::write_key(system, message, &mut self.key);
        let (key, fields) = (append(&mut self.bytes, &self.key), append(&mut self.bytes, message.fields.bytes()));
        let first = self.recipients.len();
        for (recipient, texts) in message.recipients.iter(message.fields.as_ref()) {
            if !is_told(texts) {
                continue;
            }
            let start = self.bytes.len();
            recipient.write_last(message.queue_id(), texts, patterns, &mut self.bytes);
            self.recipients.push(RecipientCopy {
                line: start..self.bytes.len(),
                tls: recipient.tls.clone(),
                attempts: recipient.attempts,
                first_at: recipient.first_at,
                last_at: recipient.last_at,
            });
        }
        self.push(JoinOutcome::Message(self.messages.len()));
        self.messages.push(MessageCopy {
            fields,
            key,
            recipients: first..self.recipients.len(),
            tls: message.tls.clone(),
            uid: message.uid().unwrap_or_default(),
            parent: message.parent(),
            trace: message.trace(),
            queued_at: message.queued_at.get(),
            first_seen: message.first_seen,
            last_seen: message.last_seen,
            completed_at: message.completed_at(),
            closed: message.closed(),
            result: message.result(),
            revision: message.revision,
            is_incomplete: message.is_incomplete(),
        });
    }

    /// Gives the last message the id and the revision that its first record would have.
    pub(super) fn identify_last(&mut self, uid: Uid) {
        if let Some(copy) = self.messages.last_mut() {
            (copy.uid, copy.revision) = (uid, copy.revision.max(1));
        }
    }

    /// Returns the size of all texts, in bytes.
    pub(super) const fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a session that is over, unless only repeated lines tell of it. `room` has what its lines say.
    pub(super) fn end(&mut self, session: JoinedSession) {
        if session.is_repeat {
            return;
        }
        let texts = append(&mut self.bytes, self.room.bytes());
        self.push(JoinOutcome::Session(self.sessions.len()));
        self.sessions.push((session, texts));
    }

    /// Adds the delivery in the current line.
    pub(super) fn deliver(&mut self, message: &JoinedMessage, uid: Uid, attempt: u32, is_final: bool) {
        let fields = append(&mut self.bytes, message.fields.bytes());
        self.push(JoinOutcome::Delivery(DeliveryCopy {
            fields,
            tls: message.tls.clone(),
            uid,
            received_at: message.first_seen,
            attempt,
            is_final,
        }));
    }

    /// Returns the outcomes of the record with this number, from the first of `rest`, which then begins behind them.
    pub(super) fn of<'s>(rest: &mut &'s [(usize, JoinOutcome)], record: usize) -> &'s [(usize, JoinOutcome)] {
        let (own, behind) = rest.split_at(rest.iter().take_while(|(at, _)| *at == record).count());
        *rest = behind;
        own
    }

    pub(super) fn outcomes(&self) -> &[(usize, JoinOutcome)] {
        &self.outcomes
    }

    /// Returns the join of a delivery.
    pub(super) fn join<'s>(&'s self, copy: &'s DeliveryCopy) -> DeliveryJoin<'s> {
        let DeliveryCopy { fields, tls, uid, received_at, attempt, is_final } = copy;
        let mail = mail(self.fields(fields), *uid, tls.as_deref(), *received_at);
        DeliveryJoin { mail, attempt: *attempt, is_final: *is_final }
    }

    /// Returns a message by its number.
    pub(super) fn message(&self, number: usize) -> &MessageCopy {
        &self.messages[number]
    }

    /// Returns a session by its number, with what its lines say.
    pub(super) fn session(&self, number: usize) -> (&JoinedSession, FieldsRef<'_>) {
        let (session, texts) = &self.sessions[number];
        (session, self.fields(texts))
    }

    /// Returns the facts of a message, its key, and its texts.
    pub(super) fn mail<'s>(&'s self, copy: &'s MessageCopy) -> (Mail<'s>, &'s str, FieldsRef<'s>) {
        let fields = self.fields(&copy.fields);
        let key = std::str::from_utf8(&self.bytes[copy.key.clone()]).unwrap_or_default();
        (mail(fields, copy.uid, copy.tls.as_deref(), copy.first_seen), key, fields)
    }

    /// Returns the recipients of a message, each with the line of its last delivery.
    pub(super) fn recipients(&self, copy: &MessageCopy) -> impl Iterator<Item = (&RecipientCopy, &[u8])> {
        self.recipients[copy.recipients.clone()].iter().map(|one| (one, &self.bytes[one.line.clone()]))
    }

    fn fields(&self, range: &Range<usize>) -> FieldsRef<'_> {
        FieldsRef::of(&self.bytes[range.clone()])
    }
}

/// Appends a text, and returns its place.
fn append(bytes: &mut Vec<u8>, text: &[u8]) -> Range<usize> {
    let start = bytes.len();
    bytes.extend_from_slice(text);
    start..bytes.len()
}

/// Returns the facts of a message.
fn mail<'f>(fields: FieldsRef<'f>, uid: Uid, tls: Option<&'f KeptTls>, received_at: i64) -> Mail<'f> {
    let mut mail = Mail {
        uid,
        from: None,
        client: None,
        sasl: Sasl::default(),
        message_id: None,
        size: None,
        nrcpt: None,
        helo: None,
        proto: None,
        tls: tls.map(KeptTls::get),
        received_at: Timestamp::from_micros(received_at),
    };
    let mut client = Endpoint::default();
    for (field, value) in fields.entries() {
        match field {
            KeptField::From => mail.from = text(value),
            KeptField::SaslMethod => mail.sasl.method = text(value),
            KeptField::SaslUsername => mail.sasl.username = text(value),
            KeptField::SaslSender => mail.sasl.sender = text(value),
            KeptField::MessageId => mail.message_id = text(value),
            KeptField::Size => mail.size = number(value),
            KeptField::Nrcpt => mail.nrcpt = number(value),
            KeptField::Helo => mail.helo = text(value),
            KeptField::Proto => mail.proto = text(value),
            _ => set_client_part(&mut client, field, value),
        }
    }
    mail.client = (client != Endpoint::default()).then_some(client);
    mail
}
