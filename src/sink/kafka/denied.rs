//! Topics that records have chosen and may not be written to, yet: somebody may permit one in the next moment.
//!
//! The records of such a topic are set aside, and the others go on. Once in a second Kafka is asked for the topic,
//! because librdkafka does so once in five minutes, and the first of the records is tried. When Kafka takes it, the
//! rest follow in their order. When it has lasted for ten seconds **and** a record was delivered since, it is the topic
//! alone: its records are refused, from then on at once, and one is tried once in ten seconds.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::flight::Ticket;

/// The time between two attempts of a topic whose records are set aside.
const PAUSE: Duration = Duration::from_secs(1);
/// How long that may last before they are refused.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time between two attempts of a topic whose records are refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);
/// A topic that no record had for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// The topics of one sink that may not be written to. They are as many as its `max_routes` lets there be.
#[derive(Debug)]
pub(super) struct Denied {
    topics: HashMap<Box<str>, Topic>,
    /// Records to be tried now, in their order.
    ready: VecDeque<Ticket>,
    /// How long a topic may be denied before its records are refused.
    patience: Duration,
}

#[derive(Debug)]
struct Topic {
    since: Instant,
    /// When it is tried again.
    next: Instant,
    /// When a record last had it.
    seen: Instant,
    /// How many records were delivered, to whatever topic, when it was denied first.
    delivered: u64,
    refused: bool,
    told: bool,
    /// The record that is tried.
    probe: Option<Ticket>,
    /// The others, in their order.
    waiting: VecDeque<Ticket>,
}

/// What to do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Send,
    /// To set it aside.
    Wait,
    /// To refuse it for good.
    Refuse,
}

impl Default for Denied {
    fn default() -> Self {
        Self { topics: HashMap::new(), ready: VecDeque::new(), patience: PATIENCE }
    }
}

impl Denied {
    /// Whether every topic may be written to, as far as is known.
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// What to do with a record that is handed over for the first time.
    pub(super) fn verdict(&self, topic: &str, now: Instant) -> Verdict {
        match self.topics.get(topic) {
            None => Verdict::Send,
            Some(topic) if topic.refused && topic.next > now => Verdict::Refuse,
            Some(_) => Verdict::Wait,
        }
    }

    /// Sets a record of a denied topic aside.
    pub(super) fn wait(&mut self, name: &str, ticket: Ticket, now: Instant) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.seen = now;
            topic.waiting.push_back(ticket);
        }
    }

    /// Kafka does not permit a record to go to the topic; `delivered` are the records that it has taken so far. Gives
    /// the records that are refused now.
    pub(super) fn failed(&mut self, name: &str, ticket: Ticket, delivered: u64, now: Instant) -> VecDeque<Ticket> {
        if !self.topics.contains_key(name) {
            self.topics.retain(|_, topic| !topic.waiting.is_empty() || now.duration_since(topic.seen) < FORGOTTEN);
        }
        let topic = self.topics.entry(name.into()).or_insert_with(|| Topic {
            since: now,
            next: now,
            seen: now,
            delivered,
            refused: false,
            told: false,
            probe: None,
            waiting: VecDeque::new(),
        });
        topic.seen = now;
        if topic.probe.take() == Some(ticket) {
            topic.waiting.push_front(ticket);
        } else {
            topic.waiting.push_back(ticket);
        }
        let lasts = now.duration_since(topic.since) >= self.patience;
        topic.refused |= lasts && delivered > topic.delivered;
        topic.next = now + if topic.refused { REFUSED_PAUSE } else { PAUSE };
        if topic.refused { std::mem::take(&mut topic.waiting) } else { VecDeque::new() }
    }

    /// Kafka has taken a record for the topic: those that wait for it come next.
    pub(super) fn worked(&mut self, name: &str) {
        if let Some(topic) = self.topics.remove(name) {
            self.ready.extend(topic.waiting);
        }
    }

    /// The topics whose time it is.
    pub(super) fn due(&self, now: Instant) -> Vec<Box<str>> {
        let due = self.topics.iter().filter(|(_, topic)| topic.next <= now && !topic.waiting.is_empty());
        due.map(|(name, _)| name.clone()).collect()
    }

    /// Has the first record of each of these topics tried.
    pub(super) fn probe(&mut self, names: &[Box<str>], now: Instant) {
        for name in names {
            let Some(topic) = self.topics.get_mut(name) else { continue };
            if let Some(ticket) = topic.waiting.pop_front() {
                topic.next = now + PAUSE;
                topic.probe = Some(ticket);
                self.ready.push_back(ticket);
            }
        }
    }

    /// The first record that is to be tried now.
    pub(super) fn ready(&self) -> Option<Ticket> {
        self.ready.front().copied()
    }

    /// It was tried.
    pub(super) fn tried(&mut self) {
        self.ready.pop_front();
    }

    /// A topic whose records wait, which the log has not told of.
    pub(super) fn untold(&mut self) -> Option<&str> {
        let (name, topic) = self.topics.iter_mut().find(|(_, topic)| !topic.told)?;
        topic.told = true;
        (!topic.refused).then_some(name)
    }

    /// There is no time left for patience, because the program stops.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.patience = Duration::ZERO;
        self.topics.values_mut().for_each(|topic| topic.next = now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(n: usize) -> Ticket {
        Ticket::from_opaque(n)
    }

    fn probe(denied: &mut Denied, now: Instant) {
        let due = denied.due(now);
        denied.probe(&due, now);
    }

    /// Tries all that are ready, and gives their numbers.
    fn tried(denied: &mut Denied) -> Vec<usize> {
        let mut tried = Vec::new();
        while let Some(ticket) = denied.ready() {
            tried.push(ticket.to_opaque());
            denied.tried();
        }
        tried
    }

    #[test]
    fn the_first_record_is_tried_and_the_others_follow_in_their_order() {
        let (mut denied, begun) = (Denied::default(), Instant::now());
        assert_eq!(denied.verdict("mail-a", begun), Verdict::Send);
        // Two were on their way.
        for n in [1, 2] {
            assert_eq!(denied.failed("mail-a", ticket(n), 0, begun), []);
        }
        assert_eq!(denied.untold(), Some("mail-a"));
        assert_eq!(denied.untold(), None);
        assert_eq!(["mail-a", "mail-b"].map(|topic| denied.verdict(topic, begun)), [Verdict::Wait, Verdict::Send]);
        denied.wait("mail-a", ticket(3), begun);
        assert_eq!(denied.due(begun), []);
        for seconds in 1..=3 {
            let now = begun + PAUSE * seconds;
            probe(&mut denied, now);
            probe(&mut denied, now);
            assert_eq!(tried(&mut denied), [1], "one of them");
            assert_eq!(denied.failed("mail-a", ticket(1), 0, now), []);
        }
        probe(&mut denied, begun + PAUSE * 4);
        assert_eq!(tried(&mut denied), [1]);
        denied.worked("mail-a");
        assert_eq!((tried(&mut denied), denied.is_empty()), (vec![2, 3], true));
    }

    #[test]
    fn what_lasts_is_refused_when_others_are_delivered() {
        let (mut denied, begun) = (Denied::default(), Instant::now());
        denied.failed("mail-a", ticket(1), 7, begun);
        denied.wait("mail-a", ticket(2), begun);
        // Whoever may write to nothing will be permitted to.
        assert_eq!(denied.failed("mail-a", ticket(3), 7, begun + PATIENCE * 10), []);
        assert_eq!(denied.failed("mail-b", ticket(4), 8, begun + PATIENCE * 10), []);
        let now = begun + PATIENCE * 11;
        probe(&mut denied, now);
        assert_eq!(tried(&mut denied).len(), 2);
        let refused: Vec<_> = denied.failed("mail-a", ticket(1), 9, now).iter().map(|t| t.to_opaque()).collect();
        assert_eq!(refused, [1, 2, 3]);
        assert_eq!(denied.verdict("mail-a", now), Verdict::Refuse);
        assert_eq!(denied.verdict("mail-a", now + REFUSED_PAUSE), Verdict::Wait, "it may work again");
        assert_eq!(denied.failed("mail-a", ticket(5), 9, now + REFUSED_PAUSE), [ticket(5)]);
        assert_eq!(denied.verdict("mail-b", now), Verdict::Wait);
        denied.hurry(now);
        probe(&mut denied, now);
        assert_eq!(tried(&mut denied), [] as [usize; 0], "the answer to 4 is not there yet");
        assert_eq!(denied.failed("mail-b", ticket(4), 9, now), [ticket(4)]);
    }

    #[test]
    fn what_no_record_asks_for_is_forgotten() {
        let (mut denied, begun) = (Denied::default(), Instant::now());
        denied.failed("mail-a", ticket(1), 0, begun);
        assert_eq!(denied.failed("mail-a", ticket(1), 1, begun + PATIENCE).len(), 2);
        denied.failed("mail-b", ticket(2), 1, begun + PATIENCE + FORGOTTEN);
        assert_eq!(denied.verdict("mail-a", begun + PATIENCE), Verdict::Send);
    }
}
