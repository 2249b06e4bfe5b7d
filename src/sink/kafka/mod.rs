//! Apache Kafka through librdkafka.
//!
//! **Delivered** means that Kafka has acknowledged the record, as `acks` asks for it; only librdkafka's delivery report
//! counts. The topic is the record's route, the key its key, and the value its JSON without the LF. The timestamp is
//! the earlier of its `timestamp` and its receipt, and the header `id` is its id as text. A broker refuses a record
//! that is dated more than an hour ahead of the broker's clock. A record from a spool or a dead-letter file that is
//! ahead of our clock is sent with the time of sending.
//!
//! **Retries** are librdkafka's: with `message.timeout.ms` at 0 it never drops a record for its age, and with
//! idempotence it keeps the order. The sink handles the rest:
//! - If librdkafka's queue is full, the rest of the batch waits until the queue has room again. No later record
//!   overtakes it.
//! - If the only topic of the sink does not exist or is not permitted, every record waits for it (`topic.rs`).
//! - Kafka refuses a record for good if it is too large, or if the topic that it chose does not exist or is not
//!   permitted. The record is appended to the dead-letter file, dropped as `rejected`, and logged with its topic and
//!   id. librdkafka's thread only notes the refusal. The sink's own thread writes the file, and hands over no more
//!   records before that is done.
//! - Kafka may refuse a request with many records because of one of them, and librdkafka does not say which. The
//!   records are sent again in smaller requests. Those that are then refused are sent one in a request. Only a record
//!   that is refused alone is dropped. Records of other requests in flight may overtake these records. In no other case
//!   is the order within a key lost.
//! - After any other error (the producer failed as a whole, or properties limit the retries), the records that
//!   librdkafka still has are purged, and the client is replaced. Every record without an answer is then sent again in
//!   order. A record that Kafka had stored without an answer is then stored twice, with the same `id`.
//!
//! Kafka drops the duplicates that librdkafka itself sends, as long as the broker remembers the producer:
//! `docs/promises.md` says when it does not.
//!
//! At a stop, the sink waits for answers until the deadline. Records without an answer by then are dropped as
//! `shutdown`, though Kafka may have stored some of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{Producer, PurgeConfig, ThreadedProducer};
use tracing::{Level, debug, warn};

use super::dead_letter::DeadLetters;
use super::flight;
use super::routes::Routes;
use super::{Error, Sink};
use crate::buffer::Batch;
use crate::config::KafkaConfig;
use crate::ledger::Reason;
use crate::throttle::{LineOwner, Throttle};
use crate::time::Timestamp;

mod blame;
mod client;
mod delivery;
mod state;
mod topic;

use blame::{Blame, blame};
use client::{client_config, create, record, text};
use delivery::{ClientCallbacks, PATIENCE, Shared};
use state::{BackOffCause, ClientEvent, ClientWait, RequestLimit, Task};
use topic::Topic;

/// Maximum number of records handed over under one lock, while the polling thread has to wait.
const CHUNK: usize = 128;
/// Maximum time to wait at a stop for the reports on purged records.
const LAST_REPORTS: Duration = Duration::from_secs(1);

/// Sends each record to the topic of its route.
pub struct Kafka {
    name: String,
    config: ClientConfig,
    producer: ThreadedProducer<ClientCallbacks>,
    shared: Arc<Shared>,
    topic: Topic,
    /// The topics that records have chosen; `None` if the sink has one topic.
    routes: Option<Routes>,
    dead_letters: DeadLetters,
    /// Throttle for log lines on refused requests.
    groups: Throttle,
    /// Throttle for log lines on topics that records have chosen and that cannot be used.
    missing: Throttle,
}

enum WriteProgress {
    /// librdkafka has every record that the sink took.
    Done,
    /// librdkafka is slow; the batches that the sink did not take wait.
    Busy,
}

enum HandOver {
    /// The state of the client tells what to do next.
    Next,
    QueueFull {
        bytes: usize,
    },
    /// The sink has to ask Kafka for the topic first.
    Doubt,
}

// === impl Kafka ===

impl Kafka {
    /// Makes the client. The brokers need not be reachable. The error is about the properties.
    pub fn new(config: &KafkaConfig, name: &str) -> Result<Self, String> {
        let dead_letters = DeadLetters::new(config.dead_letter.as_ref(), name)?;
        let topic = Topic::new(config);
        let routes = topic.name().is_none().then(|| Routes::new(name, &config.topic, config.max_routes));
        let shared = Arc::new(Shared::new(name, topic.name()));
        let config = client_config(config);
        let producer = create(&config, &shared, RequestLimit::Many)
            .map_err(|error| format!("cannot create the kafka client of the sink {name}: {}", text(&error)))?;
        let name = name.to_owned();
        let lines = |what| Throttle::new(Level::WARN, LineOwner::Sink(name.clone()), what);
        let (groups, missing) = (lines("requests refused because of one record"), lines("topics that cannot be used"));
        Ok(Self { name, config, producer, shared, topic, routes, dead_letters, groups, missing })
    }

    /// Hands over the records that the sink took, as far as possible until `until`.
    fn advance(&mut self, until: Instant) -> Result<WriteProgress, Error> {
        self.shared.enlist();
        loop {
            self.keep_refused()?;
            self.ask_whether_it_failed();
            let task = self.shared.state().next();
            match task {
                Task::Take => return Ok(WriteProgress::Done),
                Task::Recall { sent } => {
                    if !self.recall(sent, until) {
                        return Ok(WriteProgress::Busy);
                    }
                }
                Task::Replace { group, cause } => self.replace(group, cause)?,
                Task::HandOver => match self.hand_over()? {
                    HandOver::Next => {}
                    HandOver::Doubt => self.topic.ask(self.producer.client(), until)?,
                    HandOver::QueueFull { bytes } => {
                        if !self.wait_for_room(bytes, until)? {
                            return Ok(WriteProgress::Busy);
                        }
                    }
                },
                Task::Wait { outstanding, cause } => {
                    if !self.shared.wait(ClientWait { outstanding, or_recall: true }, until) {
                        return cause.map_or(Ok(WriteProgress::Busy), |cause| Err(self.retry(cause)));
                    }
                }
            }
        }
    }

    /// Appends the refused records to the dead-letter file and settles them.
    fn keep_refused(&mut self) -> Result<(), Error> {
        let Self { name, shared, topic, dead_letters, missing, .. } = self;
        flight::keep_refused(&**shared, dead_letters, |kept| {
            if let Some(refusal) = kept.iter().find(|refusal| blame(refusal.reason) == Blame::Topic)
                && missing.pass(Instant::now()).is_some()
            {
                let help = topic.commands().explain(refusal.records.route(&refusal.entry), refusal.reason);
                warn!(sink = name, "{help}; until then, its records are refused");
            }
        })
    }

    /// Asks whether the producer has failed as a whole: such a producer takes no more records and need not report on
    /// one to say so.
    fn ask_whether_it_failed(&self) {
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            let reason = format!("the kafka producer failed: {code}: {reason}");
            self.shared.state().apply(ClientEvent::Failed(reason));
        }
    }

    fn hand_over(&mut self) -> Result<HandOver, Error> {
        let (now, now_ms) = (Instant::now(), Timestamp::now().millis());
        let mut state = self.shared.state();
        for _ in 0..CHUNK {
            if state.is_recalling() {
                break;
            }
            let Some((ticket, batch, entry)) = state.next_record() else { break };
            let own = batch.route(&entry);
            let diverted = self.routes.as_mut().is_some_and(|routes| !routes.admit(own, now));
            let route = self.routes.as_ref().filter(|_| diverted).map_or(own, Routes::common);
            if self.topic.is_in_doubt(route) {
                return Ok(HandOver::Doubt);
            }
            let Err((error, _)) = self.producer.send(record(batch, &entry, route, ticket, now_ms)) else {
                if let Some(routes) = self.routes.as_ref().filter(|_| diverted) {
                    routes.diverted(own, 1, now);
                }
                state.handed_over();
                continue;
            };
            let code = match &error {
                KafkaError::MessageProduction(code) => *code,
                // The topic contains a NUL.
                _ => RDKafkaErrorCode::InvalidTopic,
            };
            match (code, blame(code)) {
                (RDKafkaErrorCode::QueueFull, _) => return Ok(HandOver::QueueFull { bytes: batch.line(&entry).len() }),
                // The next call asks for the reason.
                (RDKafkaErrorCode::Fatal, _) => return Err(Error::Retry("the kafka producer failed".to_owned())),
                (_, Blame::Topic) if self.shared.waits_for(route) => {
                    state.apply(ClientEvent::TopicRefused(code));
                }
                // An error from librdkafka itself concerns this record alone.
                (_, Blame::Record | Blame::Topic | Blame::OneOfThem) => state.refuse(ticket, code),
                (_, Blame::Another | Blame::Nobody) => {
                    return Err(Error::Retry(format!("cannot pass a record to librdkafka: {code}")));
                }
            }
        }
        Ok(HandOver::Next)
    }

    /// Waits until librdkafka has room for some more records. Returns false if that takes longer than `until`.
    fn wait_for_room(&self, bytes: usize, until: Instant) -> Result<bool, Error> {
        let outstanding = self.shared.state().outstanding();
        if outstanding == 0 {
            return Err(Error::Retry(format!(
                "a record of {bytes} bytes does not fit into librdkafka's queue; raise queue.buffering.max.kbytes"
            )));
        }
        // A wake-up for each record would be too frequent.
        let wait = ClientWait { outstanding: outstanding - outstanding.div_ceil(8), or_recall: true };
        Ok(self.shared.wait(wait, until))
    }

    /// Purges the records that librdkafka has, and waits for the reports on them. Returns false if that takes longer
    /// than `until`.
    fn recall(&self, sent: bool, until: Instant) -> bool {
        let purge = PurgeConfig::default().queue();
        // A record that a broker has gets its answer, unless the producer has failed.
        self.producer.purge(if sent { purge.inflight() } else { purge });
        self.shared.wait(ClientWait { outstanding: 0, or_recall: false }, until)
    }

    /// Replaces the client. The error is that of the old client, or of making the new one.
    fn replace(&mut self, group: RequestLimit, cause: Option<BackOffCause>) -> Result<(), Error> {
        self.producer = create(&self.config, &self.shared, group)
            .map_err(|error| Error::Retry(format!("cannot replace the kafka client: {}", text(&error))))?;
        let before = {
            let mut state = self.shared.state();
            let before = state.group();
            state.replaced();
            before
        };
        if group == RequestLimit::Many && before != RequestLimit::Many {
            debug!(sink = self.name, "sending many records to a request again");
        } else if group != before
            && let Some(suppressed) = self.groups.pass(Instant::now())
        {
            let most = group.records();
            warn!(
                sink = self.name,
                most,
                suppressed,
                "kafka refused a request because of one record; sending fewer records at a time to find it"
            );
        }
        let Some(cause) = cause else { return Ok(()) };
        self.topic.doubt();
        Err(self.retry(cause))
    }

    /// Returns the error after which the sink backs off, in words for the operator.
    fn retry(&self, cause: BackOffCause) -> Error {
        Error::Retry(match cause {
            BackOffCause::Trouble(text) => text,
            BackOffCause::Topic(code) => self.topic.commands().explain(self.topic.name().unwrap_or_default(), code),
        })
    }

    /// Hands over records and waits for answers until every record has one or the deadline passes. Only a fatal error
    /// is returned.
    fn drain(&mut self, deadline: Instant) -> Result<(), Error> {
        let mut told = String::new();
        while Instant::now() < deadline {
            let until = deadline.min(Instant::now() + PATIENCE);
            match self.advance(until) {
                Ok(WriteProgress::Done) if self.shared.state().is_drained() => return Ok(()),
                Ok(WriteProgress::Done) => {
                    self.shared.wait(ClientWait { outstanding: 0, or_recall: true }, until);
                }
                Ok(WriteProgress::Busy) => {}
                Err(Error::Retry(reason)) => {
                    if reason != told {
                        warn!(sink = self.name, "{reason}; retrying until the stop");
                        told = reason;
                    }
                    // With no record outstanding, there is nothing to wait for but time.
                    let left = deadline.saturating_duration_since(Instant::now());
                    std::thread::sleep(Duration::from_millis(100).min(left));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Sink for Kafka {
    fn write(&mut self, batches: &mut VecDeque<Batch>) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.advance(until)? {
                WriteProgress::Busy => return Ok(()),
                WriteProgress::Done => match batches.pop_front() {
                    Some(batch) => self.shared.state().push(batch),
                    None => return Ok(()),
                },
            }
        }
    }

    fn tick(&mut self) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        self.advance(until)?;
        // The topic is asked for before the first record comes, so that a fault is logged at the start.
        self.topic.ask(self.producer.client(), until)
    }

    fn is_due(&self) -> bool {
        self.shared.state().has_refused()
    }

    fn finish(&mut self, deadline: Instant) -> Result<(), Error> {
        let drained = self.drain(deadline);
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.shared.wait(ClientWait { outstanding: 0, or_recall: false }, Instant::now() + LAST_REPORTS);
        let records = self.shared.state().drop_all(Reason::Shutdown);
        if records > 0 {
            warn!(sink = self.name, records, "dropped records that kafka did not acknowledge before the stop");
        }
        drained
    }
}

#[cfg(test)]
mod tests;
