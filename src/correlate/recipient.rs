//! The recipients of a message, and the attempts to deliver to each.

use std::sync::Arc;

use super::hash::KeyedHash;
use super::line::{JoinLine, KeptLine};
use super::tls::KeptTls;
use crate::record::Delivery;

/// Number of recipients from which on they are found by an index.
const INDEXED: usize = 32;

/// The recipients of a message, in the order of their first attempts.
#[derive(Clone, Debug, Default)]
pub(super) struct JoinedRecipients {
    list: Vec<JoinedRecipient>,
    /// Places in the list, by identity; empty while the list is short.
    index: hashbrown::HashTable<u32>,
    /// Memory of the texts and the attempts, in bytes.
    held: usize,
    /// Number of final deliveries to a recipient that had one before: `.forward` has several addresses, or a message
    /// has the recipient twice.
    again: u32,
}

/// A recipient: one address, with one address before aliasing.
#[derive(Clone, Debug)]
pub(super) struct JoinedRecipient {
    /// Hash of both addresses.
    identity: u64,
    /// Prints of the attempts in the order in which they were seen, so that a repeated line is recognised.
    attempts: Vec<u32>,
    pub(super) first_at: i64,
    /// The last attempt.
    pub(super) last: KeptLine,
    pub(super) status: RecipientStatus,
    /// TLS of the last attempt.
    pub(super) tls: Option<Arc<KeptTls>>,
}

/// Status of the last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecipientStatus {
    Sent,
    Bounced,
    /// Postfix will try again, unless the message expires.
    Deferred,
    /// Postfix does not try again, and nothing was sent: `undeliverable`, `deliverable`.
    OtherFinal,
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
    /// Adds an attempt, unless it is a repeated line. Returns its number.
    pub(super) fn deliver(
        &mut self,
        line: &JoinLine<'_, '_>,
        delivery: &Delivery<'_>,
        tls: Option<&Arc<KeptTls>>,
        hash: KeyedHash,
    ) -> u32 {
        let (to, orig_to) = (delivery.to.as_bytes(), delivery.orig_to.map(str::as_bytes));
        let identity = orig_to.map_or_else(|| hash.of(&[to]), |orig_to| hash.of(&[to, orig_to]));
        let print = line.print(hash);
        let Some(place) = self.place(identity) else {
            self.push(JoinedRecipient {
                identity,
                attempts: vec![print],
                first_at: line.at,
                last: line.keep(),
                status: RecipientStatus::of(delivery.status),
                tls: tls.cloned(),
            });
            return 1;
        };
        let recipient = &mut self.list[place];
        if let Some(attempt) = recipient.attempts.iter().position(|known| *known == print) {
            return attempt as u32 + 1;
        }
        let (before, status) = (recipient.held(), RecipientStatus::of(delivery.status));
        self.again += u32::from(recipient.status.is_final() && status.is_final());
        recipient.attempts.push(print);
        recipient.first_at = recipient.first_at.min(line.at);
        if line.at >= recipient.last.at {
            recipient.last = line.keep();
            recipient.status = status;
            recipient.tls = tls.cloned();
        }
        let (attempts, after) = (recipient.attempts(), recipient.held());
        self.held = self.held + after - before;
        attempts
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, JoinedRecipient> {
        self.list.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the number of attempts for all of them.
    pub(super) fn attempts(&self) -> u32 {
        self.list.iter().map(JoinedRecipient::attempts).sum()
    }

    /// Returns true if Postfix will try again to reach one of them.
    pub(super) fn are_left(&self) -> bool {
        self.list.iter().any(|recipient| !recipient.status.is_final())
    }

    /// Returns the number of recipients that the queue manager counts.
    pub(super) fn counted(&self) -> u64 {
        self.list.len() as u64 + u64::from(self.again)
    }

    /// Returns the memory that the recipients hold, in bytes.
    pub(super) const fn held(&self) -> usize {
        self.list.capacity() * size_of::<JoinedRecipient>() + self.held
    }

    fn place(&self, identity: u64) -> Option<usize> {
        if self.index.is_empty() {
            return self.list.iter().position(|recipient| recipient.identity == identity);
        }
        self.index.find(identity, |place| self.list[*place as usize].identity == identity).map(|place| *place as usize)
    }

    fn push(&mut self, recipient: JoinedRecipient) {
        let identity = recipient.identity;
        if self.list.is_empty() {
            self.list.reserve_exact(1);
        }
        self.held += recipient.held();
        self.list.push(recipient);
        let list = &self.list;
        if list.len() == INDEXED {
            for (place, recipient) in list.iter().enumerate() {
                self.index.insert_unique(recipient.identity, place as u32, |place| list[*place as usize].identity);
            }
        } else if list.len() > INDEXED {
            self.index.insert_unique(identity, list.len() as u32 - 1, |place| list[*place as usize].identity);
        }
    }
}

impl JoinedRecipient {
    /// Returns the memory beside its place in the list, in bytes.
    fn held(&self) -> usize {
        self.last.held() + self.attempts.capacity() * size_of::<u32>()
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts.len() as u32
    }
}
