//! The figures of pflogsumm, from the records of Postrider.
//!
//! # Differences
//!
//! The records say what happened. These rules of pflogsumm 1.1.5 say something else, and are applied to the records:
//!
//! - A service in the tag other than `smtps` and `submission` is not known: no message is received over it, and no
//!   verdict in it counts. pickup and cleanup are known without a service only.
//! - A verdict of smtpd counts if a restriction makes it, unless it is `warn`. One of cleanup counts if it is for a
//!   header, the body, or the end of the message.
//! - A message that a before-queue filter takes is received, although it has no queue id: `NOQUEUE: client=`.
//! - A queue id has one size, that of the first message with it: it counts for the bytes delivered of all later ones,
//!   and the bytes and the senders of these are not received. A message that was received and has no size makes a
//!   later one with its queue id received.
//! - An address with `>` in it is none.
//!
//! [`InstanceFigures`] has the figures by the deliveries and by the messages. They differ where one recipient gets more
//! than one delivery that is final: by a `.forward` with `\\user` and others, or because a message has equal
//! recipients. The summary of the message counts them as attempts, and shows the last.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use postrider::correlate::{Correlator, JoinSettings};
use postrider::record::{
    Delivery, DeliveryJoin, Event, MessageSummary, Postfix, RecipientSummary, Record, SessionSummary, Verdict,
};
use postrider::time::Timestamp;
use testkit::mail::MailFigures;

use crate::reader::JoinReader;

/// Figures of one instance of Postfix.
#[derive(Debug, Default)]
pub(crate) struct InstanceFigures {
    pub(crate) by_delivery: MailFigures,
    pub(crate) by_message: MailFigures,
}

/// Records of one instance of Postfix.
#[derive(Default)]
struct RecordFigures {
    /// The rest of the figures are computed at the end.
    figures: MailFigures,
    /// Begin and end of the session that opened a message, in microseconds, by its queue id. They are the same time for
    /// a message that pickup took.
    received: HashMap<String, Vec<(i64, i64)>>,
    /// The last summary of each message.
    messages: HashMap<[u8; 16], MessageFigures>,
    deliveries: Outcomes,
}

/// A message, as far as pflogsumm sees it.
struct MessageFigures {
    queue_id: String,
    first_seen: i64,
    size: Option<u64>,
    from: Option<String>,
    recipients: Vec<RecipientFigures>,
}

/// Result of the attempts for a recipient.
struct RecipientFigures {
    /// The address, if it got the message.
    sent: Option<String>,
    is_forwarded: bool,
    is_bounced: bool,
    deferrals: u32,
}

/// Results of deliveries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcomes {
    /// Recipients that got a message, with its queue id and its size.
    sent: Vec<(String, String, Option<u64>)>,
    forwarded: u64,
    /// Queue ids of messages with a deferral.
    deferred: HashSet<String>,
    deferrals: u64,
    bounced: u64,
}

/// Returns the figures of each instance in a log of one host, whose lines are read at the time `now` in microseconds.
pub(crate) fn figures_of<'t>(now: i64, lines: impl IntoIterator<Item = &'t str>) -> BTreeMap<String, InstanceFigures> {
    let (correlator, reader) = (Correlator::new(JoinSettings::DEFAULT), JoinReader::new(now));
    let mut instances: BTreeMap<String, RecordFigures> = BTreeMap::new();
    let mut note = |record: &Record<'_>, join: Option<&DeliveryJoin<'_>>| {
        let Some(postfix) = &record.postfix else { return };
        match instances.get_mut(postfix.instance) {
            Some(figures) => figures.note(record, postfix, join),
            None => instances.entry(postfix.instance.to_owned()).or_default().note(record, postfix, join),
        }
    };
    reader.join(lines, &mut correlator.joiner(), &mut note);
    reader.finish(&correlator, &mut |record| note(record, None));
    instances.into_iter().map(|(name, figures)| (name, figures.computed())).collect()
}

impl RecordFigures {
    fn note(&mut self, record: &Record<'_>, postfix: &Postfix<'_>, join: Option<&DeliveryJoin<'_>>) {
        match &postfix.event {
            Event::Delivery(delivery) => {
                let size = join.and_then(|join| join.mail.size);
                self.deliveries.deliver(postfix.queue_id.unwrap_or_default(), delivery, size);
            }
            Event::Verdict(verdict) if is_counted(postfix, verdict) => self.judge(verdict),
            Event::Client(_) if postfix.queue_id.is_none() && is_known(postfix.service) => self.figures.received += 1,
            Event::Pickup(_) if postfix.service.is_none() => {
                self.receive(postfix.queue_id, micros(record.timestamp()), None);
            }
            Event::Session(session) if is_known(postfix.service) => {
                let SessionSummary { queue_ids, started_at, ended_at, .. } = session;
                let (start, end) = (started_at.map_or(0, micros), micros(ended_at.unwrap_or(record.timestamp())));
                queue_ids.iter().for_each(|id| self.receive(Some(id), start, Some(end)));
            }
            Event::Message(summary) => self.remember(postfix.queue_id.unwrap_or_default(), summary),
            _ => {}
        }
    }

    fn receive(&mut self, queue_id: Option<&str>, start: i64, end: Option<i64>) {
        let Some(queue_id) = queue_id else { return };
        self.figures.received += 1;
        self.received.entry(queue_id.to_owned()).or_default().push((start, end.unwrap_or(start)));
    }

    fn judge(&mut self, verdict: &Verdict<'_>) {
        match verdict.action {
            "reject" => self.figures.rejected += 1,
            "reject_warning" | "warn" => self.figures.reject_warnings += 1,
            "hold" => self.figures.held += 1,
            "discard" => self.figures.discarded += 1,
            _ => {}
        }
    }

    /// Notes the last summary of a message.
    fn remember(&mut self, queue_id: &str, summary: &MessageSummary<'_>) {
        let recipients = summary.recipients.iter().filter(|one| is_read(&one.delivery)).map(|one| {
            let RecipientSummary { delivery, attempts, .. } = one;
            let (is_sent, is_forwarded) = (delivery.status == "sent", delivery.forwarded_as.is_some());
            RecipientFigures {
                sent: (is_sent && !is_forwarded).then(|| with_lower_domain(delivery.to)),
                is_forwarded: is_sent && is_forwarded,
                is_bounced: delivery.status == "bounced",
                deferrals: attempts - u32::from(delivery.status != "deferred"),
            }
        });
        let recipients = recipients.collect();
        let (size, from) = (summary.mail.size, summary.mail.from.map(str::to_owned));
        let (queue_id, first_seen) = (queue_id.to_owned(), micros(summary.first_seen));
        self.messages.insert(summary.mail.uid.0, MessageFigures { queue_id, first_seen, size, from, recipients });
    }

    fn computed(self) -> InstanceFigures {
        let Self { mut figures, received, messages, deliveries } = self;
        let mut messages: Vec<_> = messages.into_values().collect();
        messages.sort_by_key(|message| message.first_seen);
        // A message that was received without a size may give its place to one that was not received.
        let (mut sizes, mut unsized_ids) = (HashMap::<&str, u64>::new(), HashSet::new());
        let mut senders = BTreeSet::new();
        for MessageFigures { queue_id, first_seen, size, from, .. } in &messages {
            let times = received.get(queue_id).into_iter().flatten();
            if times.into_iter().any(|(start, end)| (start..=end).contains(&first_seen)) {
                unsized_ids.insert(queue_id);
            }
            let (Some(size), Some(from)) = (size, from) else { continue };
            if from.contains('>') || sizes.contains_key(&**queue_id) {
                continue;
            }
            sizes.insert(queue_id, *size);
            if unsized_ids.remove(queue_id) {
                figures.bytes_received += size;
                senders.insert(with_lower_domain(from));
            }
        }
        figures.senders = senders.len() as u64;
        let mut told = Outcomes::default();
        for message in &messages {
            told.add(message);
        }
        let [by_delivery, by_message] = [deliveries, told].map(|outcomes| {
            let mut figures = figures.clone();
            outcomes.count(&sizes, &mut figures);
            figures
        });
        InstanceFigures { by_delivery, by_message }
    }
}

impl Outcomes {
    fn deliver(&mut self, queue_id: &str, delivery: &Delivery<'_>, size: Option<u64>) {
        match delivery.status {
            _ if !is_read(delivery) => {}
            "deferred" => {
                self.deferrals += 1;
                self.deferred.insert(queue_id.to_owned());
            }
            "sent" if delivery.forwarded_as.is_some() => self.forwarded += 1,
            "sent" => self.sent.push((with_lower_domain(delivery.to), queue_id.to_owned(), size)),
            "bounced" => self.bounced += 1,
            _ => {}
        }
    }

    fn add(&mut self, message: &MessageFigures) {
        for RecipientFigures { sent, is_forwarded, is_bounced, deferrals } in &message.recipients {
            self.sent.extend(sent.iter().map(|to| (to.clone(), message.queue_id.clone(), message.size)));
            self.forwarded += u64::from(*is_forwarded);
            self.bounced += u64::from(*is_bounced);
            self.deferrals += u64::from(*deferrals);
            if *deferrals > 0 {
                self.deferred.insert(message.queue_id.clone());
            }
        }
    }

    /// Writes the figures. `sizes` has the size of the first message with each queue id.
    fn count(&self, sizes: &HashMap<&str, u64>, figures: &mut MailFigures) {
        figures.delivered = self.sent.len() as u64;
        figures.forwarded = self.forwarded;
        figures.deferred = self.deferred.len() as u64;
        figures.deferrals = self.deferrals;
        figures.bounced = self.bounced;
        let size = |(_, queue_id, size): &(String, String, Option<u64>)| {
            let first = sizes.get(&**queue_id).copied();
            size.map_or(0, |size| first.unwrap_or(size))
        };
        figures.bytes_delivered = self.sent.iter().map(size).sum();
        figures.recipients = self.sent.iter().map(|(to, _, _)| to).collect::<HashSet<_>>().len() as u64;
    }
}

fn micros(time: Timestamp) -> i64 {
    time.seconds() * 1_000_000 + i64::from(time.micros())
}

/// Returns true if pflogsumm reads the lines of smtpd in a service.
fn is_known(service: Option<&str>) -> bool {
    matches!(service, None | Some("smtps" | "submission"))
}

fn is_counted(postfix: &Postfix<'_>, verdict: &Verdict<'_>) -> bool {
    match postfix.daemon {
        _ if !is_known(postfix.service) => false,
        Some("smtpd" | "postscreen") => ["restriction", "postscreen"].contains(&verdict.by) && verdict.action != "warn",
        Some("cleanup") => match verdict.by {
            "milter" => verdict.stage == Some("END-OF-MESSAGE"),
            by => ["header_check", "body_check"].contains(&by),
        },
        _ => false,
    }
}

/// Returns true if pflogsumm can read the addresses of a delivery.
fn is_read(delivery: &Delivery<'_>) -> bool {
    !delivery.to.contains('>') && !delivery.orig_to.is_some_and(|to| to.contains('>'))
}

fn with_lower_domain(address: &str) -> String {
    let (local, domain) = address.split_at(address.find('@').unwrap_or(address.len()));
    format!("{local}{}", domain.to_lowercase())
}
