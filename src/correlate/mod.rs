//! The stage `correlate`: joins the lines of one message, and those of one SMTP session.
//!
//! ```text
//!                         +-- message: host, instance, queue id --> mail, attempt, final of each delivery
//! records of a block -----|                                         a record `message` when it is closed
//!                         +-- session: host, tag, process id -----> a record `session` when it is over
//! ```
//!
//! Nothing is withheld: each line still gives its own record. The state is divided by mail systems, one instance of
//! Postfix on one host, because the lines of a message lie within one. A connection nearly always carries the lines of
//! one system, so a block takes one lock. The results are copied under the lock, and written after it. A message that
//! goes from one system to another leaves its halves in an index that all share (`hops.rs`).

mod budget;
mod progress;
mod fields;
mod hash;
mod hops;
mod line;
mod message;
mod outcome;
mod past;
mod pattern;
mod patterns;
mod pool;
mod query;
mod recipient;
mod remembered;
mod saved;
mod screened;
mod session;
mod slab;
mod summary;
mod system;
mod systems;
mod tls;
mod uid;

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, RwLock};

use self::budget::Budget;
use self::hash::KeyedHash;
pub use self::hops::CLOCK_SKEW;
use self::hops::HopIndex;
use self::line::{JoinLine, micros};
use self::outcome::{JoinOutcome, Scratch};
pub use self::progress::{BatchToken, CheckpointProgress};
pub use self::query::{HeldLimits, HeldMessages, HeldName};
pub use self::recipient::is_final;
use self::system::{BEHIND_LINE, MailJoins};
pub use self::systems::checkpoint::CheckpointError;
use self::systems::{MailSystem, Systems, checkpoint};
use crate::poison;
use crate::record::{DeliveryJoin, Record, RecordId};
use crate::time::Timestamp;

/// Limits of the joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinSettings {
    /// Maximum number of messages that are remembered.
    pub max_messages: usize,
    /// Maximum memory for messages and sessions, in bytes.
    pub max_memory: usize,
    /// Time after its last line at which a message is closed, in microseconds.
    pub max_age: i64,
    /// Grace period after a message ends, in microseconds. A line within it makes a new revision; a later one is
    /// ignored.
    pub grace: i64,
    /// True if an open message gives a record after each round of attempts.
    pub interim: bool,
}

impl JoinSettings {
    /// The limits that suit a mail system of usual size. Postfix gives up a message after five days.
    pub const DEFAULT: Self = Self {
        max_messages: 1_000_000,
        max_memory: 512 << 20,
        max_age: 6 * 86_400 * 1_000_000,
        grace: 30 * 1_000_000,
        interim: false,
    };
}

/// The open messages and sessions of all mail systems.
pub struct Correlator {
    budget: Arc<Budget>,
    systems: RwLock<Systems>,
    hops: Arc<HopIndex>,
    progress: CheckpointProgress,
}

/// Counts of the joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinCounts {
    /// Number of messages that are remembered.
    pub messages: usize,
    /// Memory that messages and sessions hold, in bytes.
    pub memory: usize,
    /// Number of mail systems: instances of Postfix on a host.
    pub systems: usize,
    /// Number of messages that were closed before their end, because a limit was reached.
    pub evicted: u64,
}

/// Whether work that is done in parts is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum JoinProgress {
    /// Nothing more is due.
    Done,
    /// The limit of a part is reached.
    More,
}

/// Maximum number of summaries that one tick, or one step of a stop, makes.
const PART: usize = 256;

/// Maximum number of mail systems of a chain that get the id of its first message before a stop closes them.
const CHAIN: usize = 16;

/// The way of the records of one read through the stage. It remembers the mail system of the last record.
pub struct Joiner<'c> {
    correlator: &'c Correlator,
    recent: Option<Arc<MailSystem>>,
    scratch: Scratch,
    name: String,
}

impl fmt::Debug for Correlator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Correlator").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Correlator {
    /// Starts without any message.
    pub fn new(settings: JoinSettings) -> Self {
        let budget = Arc::new(Budget::new(settings));
        let hops = Arc::new(HopIndex::new(KeyedHash::random(), &budget));
        Self { budget, systems: RwLock::default(), hops, progress: CheckpointProgress::default() }
    }

    /// Starts with the messages of a checkpoint, at the time `now` of this machine.
    ///
    /// # Errors
    ///
    /// The checkpoint cannot be used.
    pub fn load(settings: JoinSettings, from: &mut dyn Read, now: Timestamp) -> Result<Self, CheckpointError> {
        let budget = Arc::new(Budget::new(settings));
        let (systems, hops) = Systems::load(from, &budget, now)?;
        Ok(Self { budget, systems: RwLock::new(systems), hops, progress: CheckpointProgress::default() })
    }

    /// Writes a checkpoint. Lines may be joined meanwhile. After a crash, a source must repeat every line that it
    /// submitted after this call began.
    ///
    /// # Errors
    ///
    /// The checkpoint cannot be written.
    pub fn save(&self, to: &mut dyn Write) -> io::Result<()> {
        let systems = poison::ignore(self.systems.read()).listed();
        checkpoint::save(&systems, &self.hops, to)
    }

    /// Returns how far the checkpoints are.
    pub const fn progress(&self) -> &CheckpointProgress {
        &self.progress
    }

    /// Replaces the limits. Messages that exceed them are evicted with the next lines.
    pub fn set(&self, settings: JoinSettings) {
        self.budget.set(settings);
    }

    /// Returns the limits.
    pub fn settings(&self) -> JoinSettings {
        self.budget.settings()
    }

    /// Returns the way through the stage for the records of one read.
    pub fn joiner(&self) -> Joiner<'_> {
        Joiner { correlator: self, recent: None, scratch: Scratch::default(), name: String::new() }
    }

    /// Makes some of the summaries that are due at `now`, and passes their records to `use_record`. The caller calls
    /// again while there are more.
    pub fn tick(
        &self,
        now: Timestamp,
        new_id: &mut dyn FnMut() -> RecordId,
        use_record: &mut dyn FnMut(&Record<'_>),
    ) -> JoinProgress {
        let act = |joins: &mut MailJoins, is_closed, most, scratch: &mut Scratch| {
            if is_closed { joins.evict_all(most, scratch) } else { joins.tick(micros(now), most, scratch) }
        };
        let progress = self.each(now, act, new_id, use_record);
        if progress == JoinProgress::Done {
            poison::ignore(self.systems.write()).forget(now, &self.budget);
        }
        progress
    }

    /// Makes some of the summaries of all open messages and sessions, and forgets these. The caller calls again while
    /// there are more.
    pub fn finish(
        &self,
        now: Timestamp,
        new_id: &mut dyn FnMut() -> RecordId,
        use_record: &mut dyn FnMut(&Record<'_>),
    ) -> JoinProgress {
        self.hear();
        let progress = self.each(now, |joins, _, most, scratch| joins.finish(most, scratch), new_id, use_record);
        if progress == JoinProgress::Done {
            self.hops.clear();
        }
        progress
    }

    /// Links all messages that went from one mail system to another, as far as that is known. A new link may
    /// also change the chain in the next mail system: this repeats until nothing changes, at most [`CHAIN`] times.
    fn hear(&self) {
        let systems = poison::ignore(self.systems.read()).all();
        let has_news = || systems.iter().filter(|system| system.hear()).count() > 0;
        (0..CHAIN).take_while(|_| has_news()).for_each(drop);
    }

    /// Returns the counts.
    pub fn counts(&self) -> JoinCounts {
        JoinCounts {
            messages: self.budget.messages(),
            memory: self.budget.bytes(),
            systems: poison::ignore(self.systems.read()).len(),
            evicted: self.budget.evicted(),
        }
    }

    /// Passes each mail system to `act`, with the maximum number of summaries that it may make.
    fn each(
        &self,
        now: Timestamp,
        act: impl Fn(&mut MailJoins, bool, usize, &mut Scratch),
        new_id: &mut dyn FnMut() -> RecordId,
        use_record: &mut dyn FnMut(&Record<'_>),
    ) -> JoinProgress {
        let systems = poison::ignore(self.systems.read()).all();
        let (mut scratch, mut most) = (Scratch::default(), PART);
        for system in systems {
            if most == 0 {
                return JoinProgress::More;
            }
            let act = |joins: &mut MailJoins, is_closed, scratch: &mut Scratch| act(joins, is_closed, most, scratch);
            system.each(act, &mut scratch, (now, new_id), use_record);
            most = most.saturating_sub(scratch.outcomes().len());
        }
        if most == 0 { JoinProgress::More } else { JoinProgress::Done }
    }

    fn system(&self, name: &str, record: &Record<'_>, instance: &str) -> Arc<MailSystem> {
        if let Some(system) = poison::ignore(self.systems.read()).get(name) {
            return system;
        }
        poison::ignore(self.systems.write()).add(name, record, instance, (&self.budget, &self.hops))
    }
}

impl Joiner<'_> {
    /// Joins the records of a block. Calls `use_record` for each record (with its join, for a delivery), then for each
    /// message or session that the record closes.
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
            if self.join_run(&system, run, new_id, use_record) {
                rest = behind;
            } else {
                self.recent = None;
            }
        }
    }

    /// Joins records of one mail system. Returns false if the system left the list.
    fn join_run(
        &mut self,
        system: &MailSystem,
        records: &[Record<'_>],
        new_id: &mut dyn FnMut() -> RecordId,
        use_record: &mut dyn FnMut(&Record<'_>, Option<&DeliveryJoin<'_>>),
    ) -> bool {
        self.scratch.clear();
        self.correlator.progress.changed();
        let Some(last) = records.last() else { return true };
        {
            let Some(mut state) = system.open(last) else { return false };
            for (number, record) in records.iter().enumerate() {
                self.scratch.at = number;
                if let Some(line) = JoinLine::of(record) {
                    state.joins.join(&line, &mut self.scratch);
                }
            }
            state.joins.keep_to_budget(BEHIND_LINE * records.len(), &mut self.scratch);
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
                let frame = (record.origin, record.received_at, new_id());
                system.make(outcome, &self.scratch, frame, &mut |record| use_record(record, None));
            }
        }
        true
    }

    /// Returns the mail system that wrote the record, if Postfix did.
    fn find(&mut self, record: &Record<'_>) -> Option<Arc<MailSystem>> {
        let postfix = record.postfix.as_ref()?;
        if self.recent.as_ref().is_none_or(|recent| !recent.wrote(record)) {
            let hostname = record.message.hostname.unwrap_or_default();
            self.name.clear();
            self.name.extend([hostname, "/", postfix.instance]);
            self.recent = Some(self.correlator.system(&self.name, record, postfix.instance));
        }
        self.recent.clone()
    }
}
