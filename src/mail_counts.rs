//! Counts of what the lines of Postfix say of the mail: deliveries, their delays, decisions, logins and TLS.
//!
//! The records of one read are counted in a [`MailTally`], which is plain numbers on the stack. It is then added to the
//! [`MailTotals`] at once: no lock, no allocation and no look-up by name for a line. Each count has its place by closed
//! sets of words, and a word that is none of them counts as `other`: nothing that a sender writes makes a new count.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::correlate::is_final;
use crate::record::{Cause, Decimal, Delivery, Event, Record, Verdict};

/// Word for what is none of the known words.
const OTHER: &str = "other";
/// Words for the first digit of the enhanced status code of a delivery.
const CLASSES: [&str; 4] = ["2", "4", "5", "none"];
/// Statuses whose deliveries are counted by cause.
const FAILED: [&str; 2] = ["deferred", "bounced"];
/// Mechanisms of SASL that are told apart.
const METHODS: [&str; 10] = [
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "DIGEST-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "XOAUTH2",
    "OAUTHBEARER",
    "GSSAPI",
    "EXTERNAL",
];
const DIRECTIONS: [&str; 2] = ["inbound", "outbound"];
const PROTOCOLS: [&str; 5] = ["TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3"];
const STAGES: [&str; 4] = ["before_queue_manager", "in_queue_manager", "connection_setup", "transmission"];

/// Upper limits of the buckets of a delay, in milliseconds. Postfix writes two digits, from 0.01 s. 30 s is its time
/// for a connection, 300 s its first wait for another attempt, and 432,000 s (5 days) its longest stay in the queue.
const LIMITS: [u64; 15] = [
    10,
    50,
    100,
    500,
    1_000,
    5_000,
    10_000,
    30_000,
    60_000,
    300_000,
    900_000,
    3_600_000,
    14_400_000,
    86_400_000,
    432_000_000,
];

/// Number of buckets of a delay: the last one is without a limit.
const BUCKETS: usize = LIMITS.len() + 1;

// The places of the counts in the list of all.
const DELIVERIES: usize = 0;
const FAILURES: usize = DELIVERIES + (Event::STATUS_WORDS.len() + 1) * CLASSES.len();
const VERDICTS: usize = FAILURES + FAILED.len() * Cause::ALL.len();
const SASL: usize = VERDICTS + Verdict::ACTIONS.len() + 1;
const TLS: usize = SASL + METHODS.len() + 1;
const DELAYS: usize = TLS + DIRECTIONS.len() * (PROTOCOLS.len() + 1);
const COUNTS: usize = DELAYS + STAGES.len() * BUCKETS;

/// Counts of the records of one read.
#[derive(Debug)]
pub struct MailTally {
    counts: [u32; COUNTS],
    /// Sum of the delays of each stage, in milliseconds.
    sums: [u64; STAGES.len()],
    is_empty: bool,
}

/// Counts since the start, which all pipelines share.
#[derive(Debug)]
pub struct MailTotals {
    counts: [AtomicU64; COUNTS],
    sums: [AtomicU64; STAGES.len()],
}

/// The counts at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailCounts {
    counts: Box<[u64]>,
    sums: [u64; STAGES.len()],
}

/// Delays of one stage, of the final deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayCounts {
    /// Stage of the delivery, as the record names it.
    pub stage: &'static str,
    /// Sum of the delays, in milliseconds.
    pub sum: u64,
    /// Upper limit of each bucket, in milliseconds, and the number of delays that are in it and in no lower one. The
    /// last bucket has no limit.
    pub buckets: [(Option<u64>, u64); BUCKETS],
}

// === impl MailTally ===

impl MailTally {
    /// Begins with nothing.
    pub const fn new() -> Self {
        Self { counts: [0; COUNTS], sums: [0; STAGES.len()], is_empty: true }
    }

    /// Counts what the record of a line says.
    pub fn count(&mut self, record: &Record<'_>) {
        let Some(postfix) = &record.postfix else { return };
        match &postfix.event {
            Event::Delivery(delivery) => self.deliver(delivery),
            Event::Verdict(verdict) => self.add(VERDICTS + place(&Verdict::ACTIONS, verdict.action)),
            Event::SaslFailure(failure) => {
                let method = failure.sasl.method.unwrap_or_default();
                let place = METHODS.iter().position(|known| known.eq_ignore_ascii_case(method));
                self.add(SASL + place.unwrap_or(METHODS.len()));
            }
            Event::Tls(summary) => {
                let direction = usize::from(summary.tls.direction == DIRECTIONS[1]);
                let protocol = place(&PROTOCOLS, summary.tls.protocol.unwrap_or_default());
                self.add(TLS + direction * (PROTOCOLS.len() + 1) + protocol);
            }
            _ => {}
        }
    }

    fn deliver(&mut self, delivery: &Delivery<'_>) {
        let class = delivery.dsn.as_ref().map_or(3, |dsn| match dsn.class().code() {
            2 => 0,
            4 => 1,
            _ => 2,
        });
        self.add(DELIVERIES + place(&Event::STATUS_WORDS, delivery.status) * CLASSES.len() + class);
        let failed = FAILED.iter().position(|status| *status == delivery.status);
        if let (Some(failed), Some(cause)) = (failed, delivery.cause) {
            self.add(FAILURES + failed * Cause::ALL.len() + cause as usize);
        }
        // A delivery that is repeated would count the time in the queue once more.
        if let Some(delays) = delivery.delays.filter(|_| is_final(delivery.status)) {
            let stages =
                [delays.before_queue_manager, delays.in_queue_manager, delays.connection_setup, delays.transmission];
            for (stage, delay) in stages.into_iter().map(Decimal::thousandths).enumerate() {
                self.add(DELAYS + stage * BUCKETS + LIMITS.partition_point(|limit| *limit < delay));
                self.sums[stage] = self.sums[stage].saturating_add(delay);
            }
        }
    }

    fn add(&mut self, place: usize) {
        self.counts[place] += 1;
        self.is_empty = false;
    }
}

impl Default for MailTally {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the place of a word in a list, or the one behind it.
fn place(words: &[&str], word: &str) -> usize {
    words.iter().position(|known| *known == word).unwrap_or(words.len())
}

// === impl MailTotals ===

impl MailTotals {
    /// Adds the counts of one read.
    pub fn add(&self, tally: &MailTally) {
        if tally.is_empty {
            return;
        }
        for (total, count) in self.counts.iter().zip(tally.counts).filter(|(_, count)| *count > 0) {
            total.fetch_add(count.into(), Relaxed);
        }
        for (total, sum) in self.sums.iter().zip(tally.sums).filter(|(_, sum)| *sum > 0) {
            total.fetch_add(sum, Relaxed);
        }
    }

    /// Returns the counts now.
    pub fn now(&self) -> MailCounts {
        let now = |count: &AtomicU64| count.load(Relaxed);
        MailCounts { counts: self.counts.iter().map(now).collect(), sums: self.sums.each_ref().map(now) }
    }
}

impl Default for MailTotals {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; COUNTS], sums: [const { AtomicU64::new(0) }; STAGES.len()] }
    }
}

// === impl MailCounts ===

impl MailCounts {
    /// Returns the deliveries by status, and by the class of their enhanced status code.
    pub fn deliveries(&self) -> impl Iterator<Item = ([&'static str; 2], u64)> {
        self.by_two(DELIVERIES, with_other(&Event::STATUS_WORDS), CLASSES.into_iter())
    }

    /// Returns the failed deliveries by status, and by cause.
    pub fn failures(&self) -> impl Iterator<Item = ([&'static str; 2], u64)> {
        self.by_two(FAILURES, FAILED.into_iter(), Cause::ALL.into_iter().map(Cause::name))
    }

    /// Returns the decisions by action.
    pub fn verdicts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        with_other(&Verdict::ACTIONS).zip(self.from(VERDICTS))
    }

    /// Returns the failed logins by mechanism of SASL.
    pub fn sasl_failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        with_other(&METHODS).zip(self.from(SASL))
    }

    /// Returns the TLS connections by direction, and by protocol.
    pub fn tls_connections(&self) -> impl Iterator<Item = ([&'static str; 2], u64)> {
        self.by_two(TLS, DIRECTIONS.into_iter(), with_other(&PROTOCOLS))
    }

    /// Returns the delays of final deliveries by stage.
    pub fn delays(&self) -> [DelayCounts; STAGES.len()] {
        std::array::from_fn(|stage| {
            let counts = &self.counts[DELAYS + stage * BUCKETS..][..BUCKETS];
            let buckets = std::array::from_fn(|bucket| (LIMITS.get(bucket).copied(), counts[bucket]));
            DelayCounts { stage: STAGES[stage], sum: self.sums[stage], buckets }
        })
    }

    fn from(&self, place: usize) -> impl Iterator<Item = u64> {
        self.counts[place..].iter().copied()
    }

    fn by_two(
        &self,
        place: usize,
        first: impl Iterator<Item = &'static str>,
        second: impl Iterator<Item = &'static str> + Clone,
    ) -> impl Iterator<Item = ([&'static str; 2], u64)> {
        first.flat_map(move |one| second.clone().map(move |other| [one, other])).zip(self.from(place))
    }
}

fn with_other(words: &'static [&'static str]) -> impl Iterator<Item = &'static str> + Clone {
    words.iter().copied().chain([OTHER])
}

impl DelayCounts {
    /// Returns the number of deliveries.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
