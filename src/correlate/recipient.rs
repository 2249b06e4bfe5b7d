//! The recipients of a message, and the attempts to deliver to each.

use std::sync::Arc;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::fields::{Fields, FieldsRef, KeptField, text};
use super::hash::KeyedHash;
use super::line::JoinLine;
use super::pattern::OwnTexts;
use super::patterns::{PatternKey, PatternTable};
use super::pool::BufferPool;
use super::tls::KeptTls;
use crate::record::Delivery;

/// Number of recipients from which on they are found by an index.
const INDEXED: usize = 32;
/// Number of attempts to one recipient of which repeated lines are recognised, the last ones.
const PRINTS: usize = 1000;

/// The recipients of a message, in the order of their first attempts.
#[derive(Debug, Default)]
pub(super) enum JoinedRecipients {
    #[default]
    None,
    /// The texts are among those of the message.
    One(JoinedRecipient),
    Many(Box<RecipientList>),
}

/// A recipient: one address, with one address before aliasing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JoinedRecipient {
    pub(super) first_at: i64,
    pub(super) last_at: i64,
    pub(super) attempts: u32,
    /// Number of final deliveries after another one: `.forward` has several addresses, or a message has the recipient
    /// twice.
    again: u32,
    pub(super) status: RecipientStatus,
    /// Pattern of the last delivery, if it is in the table. Otherwise it is among the texts.
    #[serde(skip)]
    pattern: PatternKey,
    /// TLS of the last attempt.
    pub(super) tls: Option<Arc<KeptTls>>,
}

/// A recipient in a checkpoint.
#[derive(Debug, Serialize)]
pub(super) struct SavedRecipient<'m> {
    recipient: &'m JoinedRecipient,
    /// Its texts, if they are not among those of the message.
    texts: Option<&'m Fields>,
    /// Pattern of the last delivery, if it is not among the texts.
    pattern: Option<&'m [u8]>,
}

/// A recipient from a checkpoint.
#[derive(Debug, Deserialize)]
pub(super) struct LoadedRecipient {
    recipient: JoinedRecipient,
    texts: Option<Fields>,
    pattern: Option<Vec<u8>>,
}

/// Several recipients.
#[derive(Debug, Default)]
pub(super) struct RecipientList {
    list: Vec<RecipientEntry>,
    /// Places in the list, by the hash of the addresses; empty while the list is short.
    index: HashTable<u32>,
    /// Memory to which the entries point, in bytes.
    held: usize,
}

#[derive(Debug)]
struct RecipientEntry {
    recipient: JoinedRecipient,
    texts: Fields,
}

/// Status of the last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum RecipientStatus {
    Sent,
    Bounced,
    /// Postfix will try again, unless the message expires.
    Deferred,
    /// Postfix does not try again, and nothing was sent: `undeliverable`, `deliverable`.
    OtherFinal,
}

/// The line of an attempt, and what is needed to keep it.
pub(super) struct NewAttempt<'k, 'r, 'a> {
    pub(super) line: &'k JoinLine<'r, 'a>,
    pub(super) delivery: &'k Delivery<'a>,
    pub(super) tls: Option<&'k Arc<KeptTls>>,
    pub(super) hash: KeyedHash,
    pub(super) patterns: &'k mut PatternTable,
    /// Room for fields while they are collected.
    pub(super) room: &'k mut Fields,
}

/// Returns true for a status after which Postfix does not try again.
pub fn is_final(status: &str) -> bool {
    RecipientStatus::of(status).is_final()
}

impl RecipientStatus {
    pub(super) fn of(word: &str) -> Self {
        match word {
            "sent" => Self::Sent,
            "bounced" => Self::Bounced,
            "deliverable" | "undeliverable" => Self::OtherFinal,
            _ => Self::Deferred,
        }
    }

    /// Returns true if Postfix does not try again.
    pub(super) const fn is_final(self) -> bool {
        !matches!(self, Self::Deferred)
    }
}

impl JoinedRecipients {
    /// Adds an attempt, unless it is a repeated line. Returns its number. `texts` are those of the message.
    pub(super) fn deliver(&mut self, attempt: &mut NewAttempt<'_, '_, '_>, texts: &mut Fields) -> u32 {
        match self {
            Self::One(recipient) if attempt.is_to(texts.as_ref()) => recipient.again(attempt, texts),
            Self::One(_) => {
                let mut list = Box::<RecipientList>::default();
                if let Self::One(recipient) = std::mem::take(self) {
                    list.push(
                        RecipientEntry { recipient, texts: texts.split_off(&KeptField::OF_RECIPIENT) },
                        attempt.hash,
                    );
                }
                let number = list.deliver(attempt);
                *self = Self::Many(list);
                number
            }
            Self::Many(list) => list.deliver(attempt),
            Self::None => {
                *self = Self::One(JoinedRecipient::new(attempt, texts));
                1
            }
        }
    }

    /// Sets TLS of the recipients whose last attempts have these times.
    pub(super) fn set_tls(&mut self, times: &[i64], tls: Option<&Arc<KeptTls>>) {
        let is_it = |recipient: &JoinedRecipient| times.contains(&recipient.last_at);
        match self {
            Self::One(recipient) if is_it(recipient) => recipient.tls = tls.cloned(),
            Self::None | Self::One(_) => {}
            Self::Many(many) => {
                for entry in many.list.iter_mut().filter(|entry| is_it(&entry.recipient)) {
                    let before = entry.held();
                    entry.recipient.tls = tls.cloned();
                    many.held = many.held + entry.held() - before;
                }
            }
        }
    }

    /// Returns the recipients, each with its texts. `texts` are those of the message.
    pub(super) fn iter<'m>(
        &'m self,
        texts: FieldsRef<'m>,
    ) -> impl Iterator<Item = (&'m JoinedRecipient, FieldsRef<'m>)> {
        let (one, list) = match self {
            Self::None => (None, &[][..]),
            Self::One(recipient) => (Some((recipient, texts)), &[][..]),
            Self::Many(many) => (None, many.list.as_slice()),
        };
        one.into_iter().chain(list.iter().map(|entry| (&entry.recipient, entry.texts.as_ref())))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(many) => many.list.len(),
        }
    }

    /// Returns the number of attempts for all of them.
    pub(super) fn attempts(&self) -> u32 {
        self.heads().map(|recipient| recipient.attempts).sum()
    }

    /// Returns true if Postfix will try again to reach one of them.
    pub(super) fn are_left(&self) -> bool {
        self.heads().any(|recipient| !recipient.status.is_final())
    }

    /// Returns the number of recipients that the queue manager counts.
    pub(super) fn counted(&self) -> u64 {
        self.heads().map(|recipient| 1 + u64::from(recipient.again)).sum()
    }

    /// Returns the recipients without their texts.
    pub(super) fn heads(&self) -> impl Iterator<Item = &JoinedRecipient> {
        self.iter(FieldsRef::default()).map(|(recipient, _)| recipient)
    }

    /// Returns the memory that the recipients hold beside the texts of the message, in bytes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(recipient) => recipient.held(),
            Self::Many(many) => many.held(),
        }
    }

    /// Returns the recipients as a checkpoint has them.
    pub(super) fn save<'m>(&'m self, patterns: &'m PatternTable) -> Vec<SavedRecipient<'m>> {
        let save = |recipient: &'m JoinedRecipient, texts| {
            let pattern = patterns.get(recipient.pattern);
            SavedRecipient { recipient, texts, pattern }
        };
        match self {
            Self::None => Vec::new(),
            Self::One(recipient) => vec![save(recipient, None)],
            Self::Many(many) => many.list.iter().map(|entry| save(&entry.recipient, Some(&entry.texts))).collect(),
        }
    }

    /// Returns the recipients that a checkpoint has. `texts` are those of the message.
    pub(super) fn load(
        loaded: Vec<LoadedRecipient>,
        texts: &mut Fields,
        patterns: &mut PatternTable,
        hash: KeyedHash,
    ) -> Self {
        let mut list = Box::<RecipientList>::default();
        for LoadedRecipient { mut recipient, texts: own, pattern } in loaded {
            let Some(mut own) = own else {
                recipient.take_pattern(pattern, texts, patterns, hash);
                return Self::One(recipient);
            };
            recipient.take_pattern(pattern, &mut own, patterns, hash);
            list.push(RecipientEntry { recipient, texts: own }, hash);
        }
        if list.list.is_empty() { Self::None } else { Self::Many(list) }
    }

    /// Gives back the patterns.
    pub(super) fn release(&self, patterns: &mut PatternTable) {
        self.heads().for_each(|recipient| patterns.release(recipient.pattern));
    }
}

impl NewAttempt<'_, '_, '_> {
    /// Returns true if the delivery is to the recipient with these texts.
    fn is_to(&self, texts: FieldsRef<'_>) -> bool {
        texts.value(KeptField::To) == Some(self.delivery.to.as_bytes())
            && texts.value(KeptField::OrigTo) == self.delivery.orig_to.map(str::as_bytes)
    }

    fn print(&self) -> [u8; 4] {
        self.line.print(self.hash).to_le_bytes()
    }
}

impl JoinedRecipient {
    fn new(attempt: &mut NewAttempt<'_, '_, '_>, texts: &mut Fields) -> Self {
        let at = attempt.line.at;
        texts.push(KeptField::To, attempt.delivery.to.as_bytes());
        if let Some(orig_to) = attempt.delivery.orig_to {
            texts.push(KeptField::OrigTo, orig_to.as_bytes());
        }
        texts.push(KeptField::Print, &attempt.print());
        let (status, pattern) = (RecipientStatus::Deferred, PatternKey::NONE);
        let mut new = Self { first_at: at, last_at: at, attempts: 1, again: 0, status, pattern, tls: None };
        new.add_last(attempt, texts);
        new
    }

    /// Adds an attempt, unless it is a repeated line. Returns its number.
    fn again(&mut self, attempt: &mut NewAttempt<'_, '_, '_>, texts: &mut Fields) -> u32 {
        let print = attempt.print();
        let prints = texts.as_ref().values(KeptField::Print).count();
        if let Some(place) = texts.as_ref().values(KeptField::Print).position(|known| *known == print) {
            return self.attempts - (prints - place) as u32 + 1;
        }
        if prints >= PRINTS {
            texts.remove_first(KeptField::Print);
        }
        texts.push(KeptField::Print, &print);
        self.attempts = self.attempts.saturating_add(1);
        let status = RecipientStatus::of(attempt.delivery.status);
        self.again += u32::from(self.status.is_final() && status.is_final());
        let at = attempt.line.at;
        self.first_at = self.first_at.min(at);
        if at >= self.last_at {
            self.last_at = at;
            texts.remove_all(&KeptField::OF_LAST);
            self.add_last(attempt, texts);
        }
        self.attempts
    }

    /// Keeps the delivery as the last one, of which `texts` have nothing yet.
    fn add_last(&mut self, attempt: &mut NewAttempt<'_, '_, '_>, texts: &mut Fields) {
        let own = OwnTexts::of(attempt.line, attempt.delivery);
        let pattern = attempt.patterns.acquire(attempt.line, &own, attempt.hash);
        attempt.patterns.release(std::mem::replace(&mut self.pattern, pattern));
        if pattern == PatternKey::NONE {
            texts.push(KeptField::Pattern, attempt.patterns.last());
        }
        let own = [own.delay, own.delays, own.remote_id].map(|text| text.map(str::as_bytes));
        for (field, text) in [KeptField::Delay, KeptField::Delays, KeptField::RemoteId].into_iter().zip(own) {
            if let Some(text) = text {
                texts.push(field, text);
            }
        }
        self.status = RecipientStatus::of(attempt.delivery.status);
        self.tls = attempt.tls.cloned();
    }

    /// Returns the memory that the recipient holds beside its texts, in bytes.
    fn held(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.held())
    }

    /// Takes the pattern that a checkpoint has of the last delivery.
    fn take_pattern(
        &mut self,
        pattern: Option<Vec<u8>>,
        texts: &mut Fields,
        patterns: &mut PatternTable,
        hash: KeyedHash,
    ) {
        let Some(pattern) = pattern else { return };
        self.pattern = patterns.add(&pattern, hash);
        if self.pattern == PatternKey::NONE {
            texts.push(KeptField::Pattern, &pattern);
        }
    }

    /// Appends the line of the last delivery to `line`, as [`event`](super::line::event) reads it. `texts` are those
    /// of the recipient.
    pub(super) fn write_last(&self, queue_id: &str, texts: FieldsRef<'_>, patterns: &PatternTable, line: &mut Vec<u8>) {
        let mut own = OwnTexts { queue_id: Some(queue_id), ..OwnTexts::default() };
        let mut pattern = patterns.get(self.pattern);
        for (field, value) in texts.entries() {
            match field {
                KeptField::To => own.to = text(value),
                KeptField::OrigTo => own.orig_to = text(value),
                KeptField::Delay => own.delay = text(value),
                KeptField::Delays => own.delays = text(value),
                KeptField::RemoteId => own.remote_id = text(value),
                KeptField::Pattern => pattern = pattern.or(Some(value)),
                _ => {}
            }
        }
        own.fill(pattern.unwrap_or_default(), line);
    }
}

impl RecipientList {
    fn deliver(&mut self, attempt: &mut NewAttempt<'_, '_, '_>) -> u32 {
        let Some(place) = self.place(attempt) else {
            let mut texts = std::mem::take(attempt.room);
            texts.clear();
            let recipient = JoinedRecipient::new(attempt, &mut texts);
            let entry = RecipientEntry { recipient, texts: texts.clone() };
            *attempt.room = texts;
            self.push(entry, attempt.hash);
            return 1;
        };
        let entry = &mut self.list[place];
        let before = entry.held();
        let number = entry.recipient.again(attempt, &mut entry.texts);
        self.held = self.held + entry.held() - before;
        number
    }

    fn place(&self, attempt: &NewAttempt<'_, '_, '_>) -> Option<usize> {
        if self.index.is_empty() {
            return self.list.iter().position(|entry| attempt.is_to(entry.texts.as_ref()));
        }
        let hash = identity(attempt.hash, attempt.delivery.to, attempt.delivery.orig_to);
        let is_it = |place: &u32| attempt.is_to(self.list[*place as usize].texts.as_ref());
        self.index.find(hash, is_it).map(|place| *place as usize)
    }

    fn push(&mut self, entry: RecipientEntry, hash: KeyedHash) {
        self.held += entry.held();
        self.list.push(entry);
        let (list, index) = (&self.list, &mut self.index);
        let of_place = |place: &u32| list[*place as usize].identity(hash);
        let new = match list.len() {
            ..INDEXED => return,
            INDEXED => 0..INDEXED,
            len => len - 1..len,
        };
        for place in new {
            index.insert_unique(list[place].identity(hash), place as u32, of_place);
        }
    }

    fn held(&self) -> usize {
        let lists = self.list.capacity() * size_of::<RecipientEntry>() + self.index.allocation_size();
        size_of::<Self>() + lists + self.held
    }
}

impl RecipientEntry {
    fn identity(&self, hash: KeyedHash) -> u64 {
        let texts = self.texts.as_ref();
        identity(hash, texts.get(KeptField::To).unwrap_or_default(), texts.get(KeptField::OrigTo))
    }

    fn held(&self) -> usize {
        self.recipient.held() + self.texts.held() + BufferPool::EACH
    }
}

/// Returns the hash of a recipient.
fn identity(hash: KeyedHash, to: &str, orig_to: Option<&str>) -> u64 {
    let to = to.as_bytes();
    orig_to.map_or_else(|| hash.of(&[to]), |orig_to| hash.of(&[to, orig_to.as_bytes()]))
}
