//! Apache Kafka through librdkafka.
//!
//! **Delivered** means that Kafka has acknowledged the record, as `acks` asks for it; librdkafka's delivery report is the
//! only thing that counts. The topic is the record's route, the key its key, the value its JSON without the LF, the
//! timestamp the earlier of its `timestamp` and its receipt, and the header `id` its id as text. A broker refuses what is dated more
//! than an hour ahead of its clock: what waited in a spool or a dead-letter file and is ahead of ours is sent with the time of sending.
//!
//! **Retries** are librdkafka's: with `message.timeout.ms` at 0 it never gives a record up for its age, and with
//! idempotence it keeps their order. What is left to do here:
//! - Its queue is full: the rest of the batch waits until it has room again. Nothing later overtakes it.
//! - Kafka refuses a record for good (it is too large, its topic does not exist or is not permitted): the record is
//!   buried, which is to say appended to the dead-letter file, dropped as `rejected`, and logged with its topic and id.
//!   librdkafka's thread only notes the refusal; the sink's own thread buries, and hands nothing over before it has.
//! - Kafka refuses a request with many records because of one of them, and does not say which: they are sent again, one
//!   to a request, and only the one that is refused then is dropped. Records of other requests that were on their way
//!   may overtake those: the only case in which the order within a key is not kept.
//! - Any other error (the producer failed as a whole, or properties limit the retries): what is still with librdkafka is
//!   called back, the client is made anew, and everything without an answer is sent again in order. What Kafka had stored
//!   without an answer is there twice then, with the same `id`.
//!
//! Kafka drops what librdkafka itself sends a second time, as long as the broker remembers the producer: `docs/promises.md`
//! says when it does not.
//!
//! At the stop it waits for the answers until the deadline; what has none by then is dropped as `shutdown`, though Kafka
//! may have stored some of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig, ThreadedProducer};
use tracing::{info, warn};

use super::dead_letter::{DeadLetters, Letter};
use super::{Error, Sink};
use crate::buffer::{Batch, Entry};
use crate::config::KafkaConfig;
use crate::ledger::Reason;
use crate::time::Timestamp;

mod delivery;
mod flight;

use delivery::{Blame, Context, PATIENCE, Shared, blame};
use flight::{Again, Ticket};

/// Records handed over while the polling thread has to wait.
const CHUNK: usize = 128;
/// Records of one write to the dead-letter file.
const BURIED_AT_ONCE: usize = 1000;
/// How long the reports of records that are called back may take at the stop.
const LAST_REPORTS: Duration = Duration::from_secs(1);

/// Sends each record to the topic of its route.
pub struct Kafka {
    name: String,
    config: ClientConfig,
    producer: ThreadedProducer<Context>,
    shared: Arc<Shared>,
    dead_letters: DeadLetters,
    /// Whether what came back is being waited for.
    calling_back: bool,
    /// Why the client was made anew; until a record is delivered again, no new ones are taken.
    probation: Option<String>,
}

enum Step {
    /// librdkafka has all that was taken.
    Done,
    /// It is slow; what was not taken waits.
    Busy,
}

enum HandOver {
    All,
    Some,
    QueueFull { bytes: usize },
    Again,
}

/// The properties of the client: what delivery is promised upon, then those of the configuration, which win.
fn client_config(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("enable.idempotence", "true").set("message.timeout.ms", "0");
    for (name, value) in &config.properties {
        client.set(name.as_str(), value.as_str());
    }
    client.set("bootstrap.servers", config.brokers.join(","));
    client
}

// === impl Kafka ===

impl Kafka {
    /// Makes the client. Brokers need not be reachable; the error is about the properties.
    pub fn new(config: &KafkaConfig, name: &str) -> Result<Self, String> {
        let dead_letters = DeadLetters::new(config.dead_letter.as_ref(), name)?;
        let shared = Arc::new(Shared::new(name));
        let config = client_config(config);
        let producer = create(&config, &shared, false)
            .map_err(|error| format!("cannot make the kafka client of the sink {name}: {}", text(&error)))?;
        let name = name.to_owned();
        Ok(Self { name, config, producer, shared, dead_letters, calling_back: false, probation: None })
    }

    /// Hands over what was taken, as far as possible until `until`.
    fn advance(&mut self, until: Instant) -> Result<Step, Error> {
        self.shared.enlist();
        loop {
            self.bury()?;
            self.ask_whether_it_failed();
            let again = self.shared.flight().again.clone();
            if let Some(again) = again
                && !self.start_over(&again, until)?
            {
                return Ok(Step::Busy);
            }
            match self.hand_over()? {
                HandOver::Some | HandOver::Again => {}
                HandOver::All => {
                    if let Some(step) = self.settle_down(until)? {
                        return Ok(step);
                    }
                }
                HandOver::QueueFull { bytes } => {
                    if !self.wait_for_room(bytes, until)? {
                        return Ok(Step::Busy);
                    }
                }
            }
        }
    }

    /// Appends what was refused to the dead-letter file and lets go of it.
    fn bury(&mut self) -> Result<(), Error> {
        loop {
            let refused = self.shared.flight().refused(BURIED_AT_ONCE);
            if refused.is_empty() {
                return Ok(());
            }
            let reasons: Vec<String> = refused.iter().map(|refusal| refusal.code.to_string()).collect();
            let letters = refused.iter().zip(&reasons).map(|(refusal, reason)| Letter {
                reason,
                records: &refusal.records,
                entry: refusal.entry,
            });
            let (done, result) = self.dead_letters.append(letters);
            self.dead_letters.sync()?;
            self.shared.flight().bury(done);
            result?;
        }
    }

    /// A producer that has failed as a whole takes no more records and need not report on one to say so.
    fn ask_whether_it_failed(&self) {
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            let reason = format!("the kafka producer failed: {code}: {reason}");
            self.shared.note(&mut self.shared.flight(), |again| (again.fatal, again.trouble) = (true, Some(reason)));
        }
    }

    fn hand_over(&mut self) -> Result<HandOver, Error> {
        let now_ms = Timestamp::now().millis();
        let mut flight = self.shared.flight();
        for _ in 0..CHUNK {
            if flight.again.is_some() {
                return Ok(HandOver::Again);
            }
            let Some((ticket, batch, entry)) = flight.next() else { return Ok(HandOver::All) };
            let Err((error, _)) = self.producer.send(record(batch, &entry, ticket, now_ms)) else {
                flight.handed_over();
                continue;
            };
            let code = match &error {
                KafkaError::MessageProduction(code) => *code,
                // A topic with a NUL.
                _ => RDKafkaErrorCode::InvalidTopic,
            };
            match (code, blame(code)) {
                (RDKafkaErrorCode::QueueFull, _) => return Ok(HandOver::QueueFull { bytes: batch.line(&entry).len() }),
                // The next call asks why.
                (RDKafkaErrorCode::Fatal, _) => return Err(Error::Retry("the kafka producer failed".to_owned())),
                // librdkafka itself looks at one record at a time.
                (_, Blame::Record | Blame::OneOfThem) => flight.refuse(ticket, code),
                (_, Blame::Nobody) => return Err(Error::Retry(format!("cannot hand a record to librdkafka: {code}"))),
            }
        }
        Ok(HandOver::Some)
    }

    /// After everything is handed over: `None` if there is more to do now. No new records are taken while records go alone
    /// or a new client has not proved itself.
    fn settle_down(&mut self, until: Instant) -> Result<Option<Step>, Error> {
        let (alone, empty) = {
            let flight = self.shared.flight();
            if flight.delivered || flight.is_empty() {
                self.probation = None;
            }
            (flight.alone, flight.is_empty())
        };
        if alone && empty {
            info!(sink = self.name, "sending many records to a request again");
            self.renew(false)?;
            return Ok(None);
        }
        if !alone && self.probation.is_none() {
            return Ok(Some(Step::Done));
        }
        let outstanding = self.shared.flight().outstanding;
        let goal = if alone { 0 } else { outstanding.saturating_sub(1) };
        if self.shared.wait(goal, true, until) {
            return Ok(None);
        }
        match &self.probation {
            Some(reason) => Err(Error::Retry(reason.clone())),
            None => Ok(Some(Step::Busy)),
        }
    }

    /// Waits until there is room for some more records.
    fn wait_for_room(&self, bytes: usize, until: Instant) -> Result<bool, Error> {
        let outstanding = self.shared.flight().outstanding;
        if outstanding == 0 {
            return Err(Error::Retry(format!(
                "librdkafka's queue takes no record of {bytes} bytes; raise queue.buffering.max.kbytes"
            )));
        }
        // One record at a time would wake this thread too often.
        Ok(self.shared.wait(outstanding - outstanding.div_ceil(8), true, until))
    }

    /// Calls back what librdkafka has, and when all is back, makes the client anew and begins at the oldest record. False
    /// if that takes longer.
    fn start_over(&mut self, again: &Again, until: Instant) -> Result<bool, Error> {
        if !self.calling_back {
            let purge = PurgeConfig::default().queue();
            // What is on its way to a broker gets its answer, unless the producer has failed.
            self.producer.purge(if again.fatal { purge.inflight() } else { purge });
            self.calling_back = true;
        }
        if !self.shared.wait(0, false, until) {
            // Meanwhile the producer may have failed as well.
            self.calling_back = false;
            return Ok(false);
        }
        // The last reports may have brought news.
        let again = self.shared.flight().again.take().unwrap_or_default();
        let alone = again.alone || self.shared.flight().alone;
        if again.alone {
            warn!(sink = self.name, "kafka refused a request because of one of its records; sending each alone");
        }
        self.calling_back = false;
        if let Err(error) = self.renew(alone) {
            self.shared.flight().again = Some(again);
            return Err(error);
        }
        let Some(reason) = again.trouble else { return Ok(true) };
        self.probation = Some(reason.clone());
        Err(Error::Retry(reason))
    }

    /// Makes the client anew; nothing may be outstanding.
    fn renew(&mut self, alone: bool) -> Result<(), Error> {
        self.producer = create(&self.config, &self.shared, alone)
            .map_err(|error| Error::Retry(format!("cannot make the kafka client anew: {}", text(&error))))?;
        let mut flight = self.shared.flight();
        flight.alone = alone;
        flight.delivered = false;
        flight.rewind();
        Ok(())
    }

    /// Hands over and waits for answers until everything has one or the time is over. Only what ends the program is an error.
    fn drain(&mut self, deadline: Instant) -> Result<(), Error> {
        while Instant::now() < deadline {
            let until = deadline.min(Instant::now() + PATIENCE);
            match self.advance(until) {
                Ok(Step::Done) if self.shared.flight().is_empty() => return Ok(()),
                Ok(Step::Done) => {
                    self.shared.wait(0, true, until);
                }
                Ok(Step::Busy) => {}
                Err(Error::Retry(reason)) => {
                    warn!(sink = self.name, "{reason}; tried again until the stop");
                    // Nothing outstanding means nothing to wait for but time.
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
                Step::Busy => return Ok(()),
                Step::Done => match batches.pop_front() {
                    Some(batch) => self.shared.flight().push(batch),
                    None => return Ok(()),
                },
            }
        }
    }

    fn tick(&mut self) -> Result<(), Error> {
        self.advance(Instant::now() + PATIENCE).map(|_| ())
    }

    fn is_due(&self) -> bool {
        self.shared.flight().has_refused()
    }

    fn finish(&mut self, deadline: Instant) -> Result<(), Error> {
        let drained = self.drain(deadline);
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.shared.wait(0, false, Instant::now() + LAST_REPORTS);
        let records = self.shared.flight().drop_all(Reason::Shutdown);
        if records > 0 {
            warn!(sink = self.name, records, "kafka gave no answer before the stop; they are dropped");
        }
        drained
    }
}

fn create(config: &ClientConfig, shared: &Arc<Shared>, alone: bool) -> Result<ThreadedProducer<Context>, KafkaError> {
    let mut config = config.clone();
    if alone {
        config.set("batch.num.messages", "1");
    }
    ThreadedProducer::from_config_and_context(&config, Context(Arc::clone(shared)))
}

fn record<'b>(batch: &'b Batch, entry: &Entry, ticket: Ticket, now_ms: i64) -> BaseRecord<'b, str, [u8], usize> {
    let line = batch.line(entry);
    let id = entry.id.text();
    let headers = OwnedHeaders::new_with_capacity(1).insert(Header { key: "id", value: Some(&id[..]) });
    let mut record = BaseRecord::with_opaque_to(batch.route(entry), ticket.to_opaque())
        .payload(line.strip_suffix(b"\n").unwrap_or(line))
        .headers(headers);
    record.key = batch.key(entry);
    // librdkafka takes 0 for "now", and brokers refuse what is negative.
    record.timestamp = Some(entry.timestamp_ms.min(now_ms)).filter(|timestamp| *timestamp > 0);
    record
}

/// What librdkafka says about a property or a client, without the words around it. The property is named as the user named
/// it: `linger.ms` is an alias there.
fn text(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, text, name, _) if !text.contains(name.as_str()) => format!("{name}: {text}"),
        KafkaError::ClientConfig(_, text, ..) | KafkaError::ClientCreation(text) => text.clone(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
