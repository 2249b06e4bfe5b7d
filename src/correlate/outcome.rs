//! Results of the lines of a block. They are copied under the lock of their mail system, and written after it.

use std::ops::Range;
use std::sync::Arc;

use super::fields::{FieldsRef, KeptField};
use super::message::JoinedMessage;
use super::session::JoinedSession;
use super::tls::KeptTls;
use super::uid;
use crate::record::{DeliveryJoin, Mail, Uid};
use crate::time::Timestamp;

/// Room for what the lines of a block give. It is used again for the next block.
#[derive(Default)]
pub(super) struct Scratch {
    /// Number of the current record in the block.
    pub(super) at: usize,
    /// Room for the key of a message.
    pub(super) key: String,
    /// Outcomes, in order, with the record after which each stands.
    outcomes: Vec<(usize, JoinOutcome)>,
    /// Fields of the messages of the deliveries.
    fields: Vec<u8>,
}

/// Result of a line.
pub(super) enum JoinOutcome {
    /// The line itself is a delivery.
    Delivery(DeliveryCopy),
    /// A message whose summary is due.
    Message(Box<MessageCopy>),
    /// A session that is over.
    Session(Box<JoinedSession>),
}

/// Facts of a message that its delivery shows.
pub(super) struct DeliveryCopy {
    fields: Range<usize>,
    tls: Option<Arc<KeptTls>>,
    uid: Uid,
    size: Option<u64>,
    nrcpt: Option<u64>,
    received_at: i64,
    attempt: u32,
    is_final: bool,
}

/// A message with its key.
pub(super) struct MessageCopy {
    pub(super) message: JoinedMessage,
    pub(super) key: String,
    pub(super) uid: Uid,
}

impl Scratch {
    pub(super) fn clear(&mut self) {
        self.outcomes.clear();
        self.fields.clear();
    }

    pub(super) fn push(&mut self, outcome: JoinOutcome) {
        self.outcomes.push((self.at, outcome));
    }

    /// Adds a message of the mail system `HOSTNAME/INSTANCE` whose summary is due. Its id must be known.
    pub(super) fn summarize(&mut self, system: &str, message: JoinedMessage) {
        uid::write_key(system, &message, &mut self.key);
        let (key, uid) = (self.key.clone(), message.uid.unwrap_or_default());
        self.push(JoinOutcome::Message(Box::new(MessageCopy { message, key, uid })));
    }

    /// Adds the delivery in the current line.
    pub(super) fn deliver(&mut self, message: &JoinedMessage, uid: Uid, attempt: u32, is_final: bool) {
        let start = self.fields.len();
        self.fields.extend_from_slice(message.fields.bytes());
        self.push(JoinOutcome::Delivery(DeliveryCopy {
            fields: start..self.fields.len(),
            tls: message.tls.clone(),
            uid,
            size: message.size,
            nrcpt: message.nrcpt,
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
        let DeliveryCopy { fields, tls, uid, size, nrcpt, received_at, attempt, is_final } = copy;
        let fields = FieldsRef::of(&self.fields[fields.clone()]);
        let mail = mail(fields, *uid, tls.as_deref(), (*size, *nrcpt), *received_at);
        DeliveryJoin { mail, attempt: *attempt, is_final: *is_final }
    }
}

/// Returns the facts of a message.
pub(super) fn mail<'f>(
    fields: FieldsRef<'f>,
    uid: Uid,
    tls: Option<&'f KeptTls>,
    (size, nrcpt): (Option<u64>, Option<u64>),
    received_at: i64,
) -> Mail<'f> {
    Mail {
        uid,
        from: fields.get(KeptField::From),
        client: fields.client(),
        sasl: fields.sasl(),
        message_id: fields.get(KeptField::MessageId),
        size,
        nrcpt,
        helo: fields.get(KeptField::Helo),
        proto: fields.get(KeptField::Proto),
        tls: tls.map(KeptTls::get),
        received_at: Timestamp::from_micros(received_at),
    }
}
