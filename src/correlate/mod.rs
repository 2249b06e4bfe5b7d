//! The stage `correlate`: joins the lines of one message, and those of one SMTP session.
//!
//! ```text
//!                         +-- message: host, instance, queue id --> mail, attempt, final of each delivery
//! records of a block -----|                                         a record `message` when it is closed
//!                         +-- session: host, tag, process id -----> a record `session` when it is over
//! ```
//!
//! Nothing is withheld: each line still gives its own record. The state is divided by mail systems, one instance of
//! Postfix on one host, because all that is joined lies within one. A connection nearly always carries the lines of one
//! system, so a block takes one lock. The results are copied under the lock, and written after it.

mod budget;
mod fields;
mod hash;
mod line;
mod message;
mod outcome;
mod past;
mod recipient;
mod session;
mod slab;
mod summary;
mod system;
mod tls;
mod uid;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use self::budget::Budget;
use self::line::{JoinLine, micros};
use self::outcome::{JoinOutcome, Scratch};
use self::summary::SummaryFrame;
use self::system::MailJoins;
use crate::poison;
use crate::record::{DeliveryJoin, Origin, Record, RecordId};
use crate::time::Timestamp;

/// Limits of the joins.
#[derive(Clone, Copy, Debug)]
pub struct JoinSettings {
    /// Maximum number of messages that are remembered.
    pub max_messages: usize,
    /// Maximum memory for messages and sessions, in bytes.
    pub max_memory: usize,
    /// Time after its last line at which a message is closed, in microseconds.
    pub max_age: i64,
    /// Time after its end in which late lines of a message give a new revision, in microseconds. Lines that come later
    /// change nothing.
    pub grace: i64,
}

impl JoinSettings {
    /// The limits that suit a mail system of usual size. Postfix gives up a message after five days.
    pub const DEFAULT: Self =
        Self { max_messages: 1_000_000, max_memory: 512 << 20, max_age: 6 * 86_400 * 1_000_000, grace: 30 * 1_000_000 };
}

/// The open messages and sessions of all mail systems.
pub struct Correlator {
    settings: JoinSettings,
    budget: Arc<Budget>,
    /// Mail systems by `HOSTNAME/INSTANCE`.
    systems: RwLock<HashMap<Box<str>, Arc<MailSystem>>>,
}

/// A mail system and its name.
struct MailSystem {
    hostname: Box<str>,
    instance: Box<str>,
    system: Mutex<SystemState>,
}

struct SystemState {
    system: MailJoins,
    /// Source of its last line.
    origin: Origin,
}

/// The way of the records of one read through the stage. It remembers the mail system of the last record.
pub struct Joiner<'c> {
    correlator: &'c Correlator,
    recent: Option<Arc<MailSystem>>,
    scratch: Scratch,
    name: String,
}

impl Correlator {
    /// Starts without any message.
    pub fn new(settings: JoinSettings) -> Self {
        let budget = Arc::new(Budget::new(settings.max_messages, settings.max_memory));
        Self { settings, budget, systems: RwLock::default() }
    }

    /// Returns the way through the stage for the records of one read.
    pub fn joiner(&self) -> Joiner<'_> {
        Joiner { correlator: self, recent: None, scratch: Scratch::default(), name: String::new() }
    }

    /// Makes the summaries that are due at `now`, and passes their records to `use_record`.
    pub fn tick(&self, now: Timestamp, new_id: &mut dyn FnMut() -> RecordId, use_record: &mut dyn FnMut(&Record<'_>)) {
        self.each(now, |system, scratch| system.tick(micros(now), scratch), new_id, use_record);
    }

    /// Makes the summaries of all open messages and sessions, and forgets them.
    pub fn finish(
        &self,
        now: Timestamp,
        new_id: &mut dyn FnMut() -> RecordId,
        use_record: &mut dyn FnMut(&Record<'_>),
    ) {
        self.each(now, MailJoins::finish, new_id, use_record);
    }

    /// Returns the number of messages that are remembered.
    pub fn messages(&self) -> usize {
        self.budget.messages()
    }

    /// Returns the memory that messages and sessions hold, in bytes.
    pub fn memory(&self) -> usize {
        self.budget.bytes()
    }

    /// Returns the number of messages that were closed before their end, because a limit was reached.
    pub fn evicted(&self) -> u64 {
        self.budget.evicted()
    }

    fn each(
        &self,
        now: Timestamp,
        act: impl Fn(&mut MailJoins, &mut Scratch),
        new_id: &mut dyn FnMut() -> RecordId,
        use_record: &mut dyn FnMut(&Record<'_>),
    ) {
        let systems: Vec<_> = poison::ignore(self.systems.read()).values().cloned().collect();
        let mut scratch = Scratch::default();
        for system in systems {
            scratch.clear();
            let mut state = poison::ignore(system.system.lock());
            act(&mut state.system, &mut scratch);
            let origin = state.origin.clone();
            drop(state);
            for (_, outcome) in scratch.outcomes() {
                let frame = system.frame(&origin, now, new_id());
                make(outcome, &frame, use_record);
            }
        }
    }

    fn system(&self, name: &str, hostname: &str, instance: &str, origin: &Origin) -> Arc<MailSystem> {
        if let Some(system) = poison::ignore(self.systems.read()).get(name) {
            return Arc::clone(system);
        }
        let mut systems = poison::ignore(self.systems.write());
        let new = || {
            let system = MailJoins::new(name, self.settings, Arc::clone(&self.budget));
            let state = Mutex::new(SystemState { system, origin: origin.clone() });
            Arc::new(MailSystem { hostname: hostname.into(), instance: instance.into(), system: state })
        };
        Arc::clone(systems.entry(name.into()).or_insert_with(new))
    }
}

impl Joiner<'_> {
    /// Joins the records of a block. Passes each of them to `use_record`, a delivery with its join, and behind it the
    /// records that it closes.
    pub fn join(
        &mut self,
        records: &[Record<'_>],
        new_id: &mut dyn FnMut() -> RecordId,
        use_record: &mut dyn FnMut(&Record<'_>, Option<&DeliveryJoin<'_>>),
    ) {
        let mut rest = records;
        while let Some(first) = rest.first() {
            let Some(system) = self.find(first) else {
                use_record(first, None);
                rest = &rest[1..];
                continue;
            };
            let (run, behind) = rest.split_at(rest.iter().take_while(|record| system.wrote(record)).count());
            self.join_run(&system, run, new_id, use_record);
            rest = behind;
        }
    }

    /// Joins records of one mail system.
    fn join_run(
        &mut self,
        system: &MailSystem,
        records: &[Record<'_>],
        new_id: &mut dyn FnMut() -> RecordId,
        use_record: &mut dyn FnMut(&Record<'_>, Option<&DeliveryJoin<'_>>),
    ) {
        self.scratch.clear();
        {
            let mut state = poison::ignore(system.system.lock());
            if let Some(last) = records.last().filter(|last| last.origin.name != state.origin.name) {
                state.origin = last.origin.clone();
            }
            for (number, record) in records.iter().enumerate() {
                self.scratch.at = number;
                if let Some(line) = JoinLine::of(record) {
                    state.system.join(&line, &mut self.scratch);
                }
            }
        }
        let mut rest = self.scratch.outcomes();
        for (number, record) in records.iter().enumerate() {
            let outcomes = Scratch::of(&mut rest, number);
            let delivery = outcomes.iter().find_map(|(_, outcome)| match outcome {
                JoinOutcome::Delivery(copy) => Some(self.scratch.join(copy)),
                JoinOutcome::Message(_) | JoinOutcome::Session(_) => None,
            });
            use_record(record, delivery.as_ref());
            for (_, outcome) in outcomes.iter().filter(|(_, outcome)| !matches!(outcome, JoinOutcome::Delivery(_))) {
                let frame = system.frame(record.origin, record.received_at, new_id());
                make(outcome, &frame, &mut |record| use_record(record, None));
            }
        }
    }

    /// Returns the mail system that wrote the record, if Postfix did.
    fn find(&mut self, record: &Record<'_>) -> Option<Arc<MailSystem>> {
        let postfix = record.postfix.as_ref()?;
        if self.recent.as_ref().is_none_or(|recent| !recent.wrote(record)) {
            let hostname = record.message.hostname.unwrap_or_default();
            self.name.clear();
            self.name.extend([hostname, "/", postfix.instance]);
            self.recent = Some(self.correlator.system(&self.name, hostname, postfix.instance, record.origin));
        }
        self.recent.clone()
    }
}

impl MailSystem {
    fn wrote(&self, record: &Record<'_>) -> bool {
        record.postfix.as_ref().is_some_and(|postfix| *postfix.instance == *self.instance)
            && record.message.hostname.unwrap_or_default() == &*self.hostname
    }

    fn frame<'a>(&'a self, origin: &'a Origin, received_at: Timestamp, id: RecordId) -> SummaryFrame<'a> {
        SummaryFrame { id, received_at, origin, hostname: &self.hostname, instance: &self.instance }
    }
}

/// Makes the record of a summary.
fn make(outcome: &JoinOutcome, frame: &SummaryFrame<'_>, use_record: &mut dyn FnMut(&Record<'_>)) {
    match outcome {
        JoinOutcome::Delivery(_) => {}
        JoinOutcome::Message(copy) => summary::of_message(copy, frame, use_record),
        JoinOutcome::Session(session) => summary::of_session(session, frame, use_record),
    }
}
