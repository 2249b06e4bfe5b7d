//! The figures of pflogsumm's "Grand Totals", from the truth.
//!
//! # The rules of pflogsumm
//!
//! These rules are those of pflogsumm 1.1.5. They differ from what happened:
//!
//! - A message of the services `submissions` and `content-filter` is not received, and their verdicts are not counted:
//!   pflogsumm knows `smtps` and `submission` alone. Bounces and forwards are not received either.
//! - A verdict of a milter counts only if cleanup logs it.
//! - A queue id has one size, that of the first message with it. The sender of a later message is not counted.
//! - Expired messages are not counted as bounced.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::MailHistory;
use super::message::{MailMessage, MailOrigin, MailRecipient, MailStatus, MailVerdict};

/// Figures of one instance, as pflogsumm counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailFigures {
    /// Messages received.
    pub received: u64,
    /// Recipients that got a message.
    pub delivered: u64,
    /// Recipients that were replaced by the addresses of an alias.
    pub forwarded: u64,
    /// Queue ids with a delivery that was deferred.
    pub deferred: u64,
    /// Deliveries that were deferred.
    pub deferrals: u64,
    /// Recipients that were refused for good.
    pub bounced: u64,
    /// Clients, recipients and messages that were refused.
    pub rejected: u64,
    /// The same, with a warning only.
    pub reject_warnings: u64,
    /// Messages that were put on hold on arrival.
    pub held: u64,
    /// Messages that were discarded on arrival.
    pub discarded: u64,
    /// Sum of the sizes of the messages received.
    pub bytes_received: u64,
    /// Sum of the sizes of the messages delivered, for each recipient.
    pub bytes_delivered: u64,
    /// Different senders of messages received.
    pub senders: u64,
    /// Different recipients that got a message.
    pub recipients: u64,
}

/// The facts that pflogsumm keeps for a queue id.
#[derive(Default)]
struct Remembered {
    /// True if a message was received whose size is not known yet.
    is_received: bool,
    size: Option<u64>,
}

impl MailHistory {
    /// Returns the figures that pflogsumm prints for the whole log of an instance.
    pub fn figures(&self, instance: usize) -> MailFigures {
        let mut figures = MailFigures::default();
        let mut remembered: HashMap<&str, Remembered> = HashMap::new();
        let (mut senders, mut recipients) = (BTreeSet::new(), BTreeSet::new());
        let mut messages: Vec<_> = self.messages.iter().filter(|message| message.instance == instance).collect();
        messages.sort_by_key(|message| message.first_seen);
        for message in &messages {
            let memory = remembered.entry(&message.queue_id).or_default();
            if self.is_received(message) {
                figures.received += 1;
                memory.is_received = true;
            }
            if memory.size.is_none() {
                memory.size = message.size;
                if let (true, Some(size), Some(from)) = (memory.is_received, message.size, &message.from) {
                    memory.is_received = false;
                    figures.bytes_received += size;
                    senders.insert(with_lower_domain(from));
                }
            }
            for recipient in &message.recipients {
                if figures.count_attempts(recipient, memory.size) {
                    recipients.insert(with_lower_domain(&recipient.to));
                }
            }
        }
        let is_deferred = |one: &MailRecipient| one.attempts.iter().any(|one| one.status == MailStatus::Deferred);
        let deferred = messages.iter().filter(|message| message.recipients.iter().any(is_deferred));
        figures.deferred = deferred.map(|message| &message.queue_id).collect::<HashSet<_>>().len() as u64;
        figures.count_verdicts(self.counted_verdicts(instance));
        (figures.senders, figures.recipients) = (senders.len() as u64, recipients.len() as u64);
        figures
    }

    fn is_received(&self, message: &MailMessage) -> bool {
        match message.origin {
            MailOrigin::Pickup | MailOrigin::Requeue => true,
            MailOrigin::Smtp => message.session.is_some_and(|session| is_known(self.sessions[session].service)),
            MailOrigin::Bounce | MailOrigin::Delay | MailOrigin::Success | MailOrigin::Forward => false,
        }
    }

    fn counted_verdicts(&self, instance: usize) -> impl Iterator<Item = &MailVerdict> {
        let sessions = self.sessions.iter().filter(move |one| one.instance == instance && is_known(one.service));
        let by_smtpd = sessions.flat_map(|session| &session.verdicts).filter(|verdict| verdict.by == "restriction");
        let messages = self.messages.iter().filter(move |message| message.instance == instance);
        let by_cleanup = messages.flat_map(|message| &message.verdicts).filter(|verdict| verdict.daemon == "cleanup");
        let screenings = self.screenings.iter().filter(move |screening| screening.instance == instance);
        by_smtpd.chain(by_cleanup).chain(screenings.flat_map(|screening| &screening.verdicts))
    }
}

impl MailFigures {
    /// Counts the attempts for a recipient. Returns true if it got the message.
    fn count_attempts(&mut self, recipient: &MailRecipient, size: Option<u64>) -> bool {
        let delivered = self.delivered;
        for attempt in &recipient.attempts {
            match attempt.status {
                MailStatus::Sent if attempt.forwarded_as.is_some() => self.forwarded += 1,
                MailStatus::Sent => {
                    self.delivered += 1;
                    self.bytes_delivered += size.unwrap_or_default();
                }
                MailStatus::Deferred => self.deferrals += 1,
                MailStatus::Bounced => self.bounced += 1,
            }
        }
        self.delivered > delivered
    }

    fn count_verdicts<'h>(&mut self, verdicts: impl Iterator<Item = &'h MailVerdict>) {
        for verdict in verdicts {
            match verdict.action {
                "reject" => self.rejected += 1,
                "reject_warning" | "warn" => self.reject_warnings += 1,
                "hold" => self.held += 1,
                "discard" => self.discarded += 1,
                action => unreachable!("no verdict has the action {action}"),
            }
        }
    }
}

/// Returns true if pflogsumm reads the lines of smtpd in a service.
fn is_known(service: &str) -> bool {
    matches!(service, "" | "submission" | "smtps")
}

fn with_lower_domain(address: &str) -> String {
    let (local, domain) = address.split_at(address.find('@').unwrap_or(address.len()));
    format!("{local}{}", domain.to_lowercase())
}
