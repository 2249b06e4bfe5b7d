//! The callbacks of librdkafka: the fate of each record, errors of the whole client, and log lines. They run on
//! librdkafka's polling thread, which must not block.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, ProducerContext};
use tracing::{Level, debug, error, info, warn};

use super::state::{Again, Group, State};
use crate::poison;
use crate::sink::flight::{Fate, Ticket};
use crate::throttle::{Owner, Throttle};

/// State that the sink and librdkafka's polling thread share.
#[derive(Debug)]
pub(super) struct Shared {
    name: String,
    /// The topic that records wait for; `None` if records choose theirs.
    topic: Option<String>,
    state: Mutex<State>,
    changed: Condvar,
    /// The sink's thread, which writes the dead-letter file, once it runs.
    sink: OnceLock<Thread>,
    log: Mutex<Log>,
}

/// The part that librdkafka calls.
#[derive(Clone, Debug)]
pub(super) struct Context(pub(super) Arc<Shared>);

#[derive(Debug)]
struct Log {
    down: bool,
    /// Throttle of its own, apart from `errors`: an unreachable broker must not suppress the line that another broker
    /// refuses the password.
    unreachable: Throttle,
    errors: Throttle,
}

/// The party at fault for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The record, or another one in the same request: librdkafka reports the error for all of them, even if the broker
    /// has named one.
    OneOfThem,
    /// Other records in the same request: the broker has named several.
    Another,
    /// The record: it will be refused again.
    Record,
    /// The topic of the record: no record for that topic is taken until somebody has made or permitted it.
    Topic,
    /// Neither the record nor the topic: the record can be sent again.
    Nobody,
}

/// Returns the party at fault for an error code. Retriable codes never arrive while `message.timeout.ms` is 0.
pub(super) fn blame(code: RDKafkaErrorCode) -> Blame {
    use RDKafkaErrorCode::*;
    match code {
        MessageSizeTooLarge
        | MessageBatchTooLarge
        | InvalidTimestamp
        | InvalidRecord
        | InvalidMessage
        | InvalidMessageSize
        | UnsupportedForMessageFormat => Blame::OneOfThem,
        InvalidDifferentRecord => Blame::Another,
        UnknownTopic | UnknownTopicOrPartition | InvalidTopic | TopicAuthorizationFailed => Blame::Topic,
        PolicyViolation => Blame::Record,
        _ => Blame::Nobody,
    }
}

const UNREACHABLE: &str = "kafka: a broker cannot be reached";
const ERRORS: &str = "kafka: errors";

/// Name that librdkafka gives to the state of a connection until the first answer.
const FIRST_REQUEST: &str = "APIVERSION_QUERY";

// === impl Shared ===

impl Shared {
    /// Makes the state of the sink `name`; without `topic`, records choose theirs.
    pub(super) fn new(name: &str, topic: Option<&str>) -> Self {
        let of_sink = |what| Throttle::new(Level::WARN, Owner::Sink(name.to_owned()), what);
        Self {
            name: name.to_owned(),
            topic: topic.map(str::to_owned),
            state: Mutex::default(),
            changed: Condvar::new(),
            sink: OnceLock::new(),
            log: Mutex::new(Log { down: false, unreachable: of_sink(UNREACHABLE), errors: of_sink(ERRORS) }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        poison::ignore(self.state.lock())
    }

    /// Waits until at most `outstanding` records are with librdkafka, or, with `or_again`, until a record has come
    /// back. Returns false if `until` came first.
    pub(super) fn wait(&self, outstanding: usize, or_again: bool, until: Instant) -> bool {
        let mut state = self.state();
        loop {
            if state.flight.outstanding() <= outstanding || (or_again && state.again.is_some()) {
                state.wake_at = None;
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.wake_at = None;
                return false;
            }
            state.wake_at = Some(outstanding);
            state = poison::ignore(self.changed.wait_timeout(state, left)).0;
        }
    }

    /// Registers the calling thread to be woken when a record was refused.
    pub(super) fn enlist(&self) {
        self.sink.get_or_init(std::thread::current);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        poison::ignore(self.log.lock())
    }

    /// Notes why records have to be handed over again, and wakes the sink.
    pub(super) fn note(&self, state: &mut State, note: impl FnOnce(&mut Again)) {
        note(state.again.get_or_insert_default());
        self.changed.notify_all();
    }

    fn all_down(&self) {
        if !std::mem::replace(&mut self.log().down, true) {
            warn!(sink = self.name, "no kafka broker can be reached; records wait until one can");
            // The next delivery logs the end of the outage.
            self.state().delivered = false;
        }
    }

    /// Logs why a broker cannot be reached, unless it is known that none can.
    fn unreachable(&self, reason: &str) {
        let log = self.log();
        if !log.down
            && let Some(suppressed) = log.unreachable.pass(Instant::now())
        {
            // A broker closes the connection of a client whose first bytes it does not expect.
            let help = if reason.contains(FIRST_REQUEST) { "; is `security.protocol` the broker's?" } else { "" };
            warn!(sink = self.name, suppressed, "kafka: {reason}{help}");
        }
    }

    fn other_error(&self, reason: &str) {
        let passed = self.log().errors.pass(Instant::now());
        if let Some(suppressed) = passed {
            warn!(sink = self.name, suppressed, "kafka: {reason}");
        }
    }

    fn delivered(&self) {
        let mut log = self.log();
        if std::mem::take(&mut log.down) {
            info!(sink = self.name, "kafka takes records again");
        }
    }

    /// Returns true if records wait for this topic, whatever is wrong with it.
    pub(super) fn waits_for(&self, topic: &str) -> bool {
        self.topic.as_deref() == Some(topic)
    }

    fn failed(&self, state: &mut State, error: &KafkaError, topic: &str) -> Fate<RDKafkaErrorCode> {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        match blame(code) {
            Blame::Topic if self.waits_for(topic) => {
                self.note(state, |again| again.topic = Some(code));
                Fate::Back
            }
            Blame::OneOfThem if state.group != Group::One => {
                self.note(state, |again| again.fewer = true);
                Fate::Back
            }
            Blame::Another => {
                self.note(state, |_| {});
                Fate::Back
            }
            Blame::OneOfThem | Blame::Record | Blame::Topic => Fate::Refused(code),
            Blame::Nobody => {
                // Records are purged by the sink before it starts again, and by librdkafka when the producer fails.
                let purged = matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight);
                self.note(state, |again| {
                    if !purged {
                        again.trouble = Some(format!("kafka did not take a record: {code}"));
                    }
                });
                Fate::Back
            }
        }
    }
}

// === impl Context ===

impl ProducerContext<NoCustomPartitioner> for Context {
    /// The [`Ticket`] of the record.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let ticket = Ticket::from_opaque(opaque);
        let mut state = self.0.state();
        let first = !state.delivered;
        let fate = match result {
            Ok(_) => Fate::Delivered,
            Err((error, message)) => self.0.failed(&mut state, error, message.topic()),
        };
        state.delivered |= fate == Fate::Delivered;
        state.flight.report(ticket, fate);
        if state.wake_at.is_some_and(|outstanding| state.flight.outstanding() <= outstanding) {
            self.0.changed.notify_all();
        }
        drop(state);
        match fate {
            Fate::Delivered if first => self.0.delivered(),
            Fate::Refused(_) => self.0.sink.get().into_iter().for_each(Thread::unpark),
            Fate::Delivered | Fate::Back => {}
        }
    }
}

impl ClientContext for Context {
    /// Logs librdkafka's own lines. [`Context::error`] logs what librdkafka also reports as an error. A closed
    /// connection is not an error for librdkafka, though a broker may say no more than that to a client that speaks no
    /// TLS.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::*;
        let sink = self.0.name.as_str();
        match level {
            Warning | Notice | Info if facility == "FAIL" => {
                // `[thrd:NAME]: NAME: what happened`
                self.0.unreachable(message.split_once("]: ").map_or(message, |(_, message)| message));
            }
            _ if matches!(facility, "FAIL" | "ERROR" | "FATAL") => debug!(sink, facility, "librdkafka: {message}"),
            Emerg | Alert | Critical | Error => error!(sink, facility, "librdkafka: {message}"),
            Warning => warn!(sink, facility, "librdkafka: {message}"),
            Notice => info!(sink, facility, "librdkafka: {message}"),
            Info | Debug => debug!(sink, facility, "librdkafka: {message}"),
        }
    }

    /// Logs an error of the client. librdkafka calls this twice for each error, and again and again while a broker is
    /// down: then only other news is logged, for example that the broker is back and refuses the password. The sink
    /// itself asks whether the producer as a whole has failed.
    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
        match error.rdkafka_error_code() {
            Some(AllBrokersDown) => self.0.all_down(),
            Some(BrokerTransportFailure | OperationTimedOut | Resolve) => self.0.unreachable(reason),
            _ => self.0.other_error(reason),
        }
    }
}

/// Maximum time that the sink waits for librdkafka in one call.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
