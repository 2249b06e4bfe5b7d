//! The callbacks of librdkafka: the fate of each record, errors of the whole client, and log lines. They run on
//! librdkafka's polling thread, which must not block.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, ProducerContext};
use tracing::{Level, debug, error, info, warn};

use super::client::from_opaque;
use super::state::{ClientWait, State};
use crate::poison;
use crate::sink::flight::{Fate, RefusedRecord, SharedFlight};
use crate::throttle::{LineOwner, Throttle};

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
    /// True while no broker can be reached.
    pub(super) down: AtomicBool,
    /// Throttle of its own, apart from `errors`: an unreachable broker must not suppress the line that another broker
    /// refuses the password.
    unreachable: Throttle,
    errors: Throttle,
}

/// The part that librdkafka calls.
#[derive(Clone, Debug)]
pub(super) struct ClientCallbacks(pub(super) Arc<Shared>);

const UNREACHABLE: &str = "kafka: a broker cannot be reached";
const ERRORS: &str = "kafka: errors";

/// Name that librdkafka gives to the state of a connection until the first answer.
const FIRST_REQUEST: &str = "APIVERSION_QUERY";

// === impl Shared ===

impl Shared {
    /// Makes the state of the sink `name`; without `topic`, records choose theirs.
    pub(super) fn new(name: &str, topic: Option<&str>) -> Self {
        let of_sink = |what| Throttle::new(Level::WARN, LineOwner::Sink(name.to_owned()), what);
        Self {
            name: name.to_owned(),
            topic: topic.map(str::to_owned),
            state: Mutex::default(),
            changed: Condvar::new(),
            sink: OnceLock::new(),
            down: AtomicBool::new(false),
            unreachable: of_sink(UNREACHABLE),
            errors: of_sink(ERRORS),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        poison::ignore(self.state.lock())
    }

    /// Waits until a wait is over. Returns false if `until` came first.
    pub(super) fn wait(&self, wait: ClientWait, until: Instant) -> bool {
        let mut state = self.state();
        while state.wait(wait) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.wait_no_more();
                return false;
            }
            state = poison::ignore(self.changed.wait_timeout(state, left)).0;
        }
        true
    }

    /// Registers the calling thread to be woken when a record was refused.
    pub(super) fn enlist(&self) {
        self.sink.get_or_init(std::thread::current);
    }

    fn all_down(&self) {
        if !self.down.swap(true, Relaxed) {
            warn!(sink = self.name, "no kafka broker can be reached; records wait");
        }
    }

    /// Logs why a broker cannot be reached, unless it is known that none can.
    fn unreachable(&self, reason: &str) {
        if !self.down.load(Relaxed)
            && let Some(suppressed) = self.unreachable.pass(Instant::now())
        {
            // A broker closes the connection of a client whose first bytes it does not expect.
            let help = "; check that `security.protocol` matches the broker's";
            let help = if reason.contains(FIRST_REQUEST) { help } else { "" };
            warn!(sink = self.name, suppressed, "kafka: {reason}{help}");
        }
    }

    fn other_error(&self, reason: &str) {
        if let Some(suppressed) = self.errors.pass(Instant::now()) {
            warn!(sink = self.name, suppressed, "kafka: {reason}");
        }
    }

    fn delivered(&self) {
        // A look costs less than a swap, which only the first record after an outage needs.
        if self.down.load(Relaxed) && self.down.swap(false, Relaxed) {
            info!(sink = self.name, "kafka accepts records again");
        }
    }

    /// Returns true if records wait for this topic, whatever is wrong with it.
    pub(super) fn waits_for(&self, topic: &str) -> bool {
        self.topic.as_deref() == Some(topic)
    }
}

impl SharedFlight<RDKafkaErrorCode> for Shared {
    fn refused(&self, most: usize) -> Vec<RefusedRecord<RDKafkaErrorCode>> {
        self.state().refused(most)
    }

    fn settle_refused(&self, records: usize) {
        self.state().settle_refused(records);
    }
}

// === impl ClientCallbacks ===

impl ProducerContext<NoCustomPartitioner> for ClientCallbacks {
    /// The [`FlightTicket`](crate::sink::flight::FlightTicket) of the record.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let ticket = from_opaque(opaque);
        let (error, is_awaited) = match result {
            Ok(_) => (None, false),
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                (Some(code), self.0.waits_for(message.topic()))
            }
        };
        let mut state = self.0.state();
        let fate = state.report(ticket, error, is_awaited);
        if state.wakes() {
            self.0.changed.notify_all();
        }
        drop(state);
        match fate {
            Fate::Delivered => self.0.delivered(),
            Fate::Refused(_) => self.0.sink.get().into_iter().for_each(Thread::unpark),
            Fate::Back => {}
        }
    }
}

impl ClientContext for ClientCallbacks {
    /// Logs librdkafka's own lines. [`ClientCallbacks::error`] logs what librdkafka also reports as an error. A closed
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
    /// down. Only news is logged meanwhile, for example that the broker is back and refuses the password. The sink
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
