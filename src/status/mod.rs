//! The state of the daemon at one time, as owned data. The app builds it in one place; the ledgers in the log, the
//! status file and the answers of the admin server are made from it.
//!
//! A new field needs a name in `json.rs`, or the program does not compile. It also needs a row in `docs/operation.md`,
//! or a test fails.

mod counts;
mod json;
mod ready;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use jiff::Timestamp;

pub use self::ready::{PartReadiness, Readiness};

use crate::ledger::{SinkCounts, SourceCounts};
use crate::mail_counts::MailCounts;

/// State of the daemon at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Time when the snapshot was made.
    pub at: Timestamp,
    /// Phase of the run.
    pub phase: Phase,
    /// The process.
    pub program: Program,
    /// The configurations that were read.
    pub reload: Reload,
    /// Sums over all sources and sinks.
    pub ledger: Ledger,
    /// The joins of lines; `None` if lines are not joined.
    pub correlate: Option<JoinStatus>,
    /// Counts of what the lines say of the mail.
    pub mail: MailCounts,
    /// The sources: those of the configuration first, then those of earlier ones whose connections live on.
    pub sources: Vec<SourceStatus>,
    /// The sinks: those of the configuration first, then those of earlier ones that still deliver.
    pub sinks: Vec<SinkStatus>,
}

/// Phase of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The sources read.
    Running,
    /// The sources have stopped, and the sinks deliver what is left.
    Stopping,
    /// The program exits at once, while records move: the counts are those of the end, with nothing in flight.
    Leaving,
    /// Nothing moves any more, or the time for it is over: the counts are those of the end, with nothing in flight.
    Ended,
}

/// The process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Version of Postrider.
    pub version: &'static str,
    /// Commit from which it was built, if that is known.
    pub commit: Option<&'static str>,
    /// Process id.
    pub pid: u32,
    /// Time of the start.
    pub started_at: Timestamp,
}

/// The configurations that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Number of configurations that were put into use, with that of the start.
    pub generation: u64,
    /// Number of configurations that were refused.
    pub refused: u64,
    /// Time since when the present configuration is in use.
    pub in_use_since: Option<Timestamp>,
    /// The last attempt to put a configuration into use.
    pub last: Option<Attempt>,
}

/// An attempt to put a configuration into use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Time when it ended.
    pub at: Timestamp,
    /// Reason why the configuration was refused; `None` if it is in use.
    pub error: Option<String>,
}

/// Sums over all sources and sinks since the start, with those that a reload has removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Result of the comparison of all counts.
    pub balance: Balance,
    /// Number of Postfix lines that Postrider does not understand.
    pub unparsed: u64,
    /// Number of records of messages and sessions, which Postrider has made from several lines.
    pub created: u64,
    /// Sums over the sources.
    pub sources: SourceCounts,
    /// Sums over the sinks.
    pub sinks: SinkCounts,
}

/// The joins of the lines of messages and sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinStatus {
    /// Number of messages that are remembered.
    pub messages: usize,
    /// Maximum number of them.
    pub max_messages: usize,
    /// Memory for messages and sessions, in bytes.
    pub memory: usize,
    /// Maximum of it.
    pub max_memory: usize,
    /// Number of mail systems: instances of Postfix on a host.
    pub systems: usize,
    /// Number of messages that were closed before their end, because a limit was reached.
    pub evicted: u64,
    /// The checkpoint; `None` if open messages are in memory only.
    pub checkpoint: Option<CheckpointStatus>,
}

/// The checkpoint of the joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointStatus {
    /// The file.
    pub path: String,
    /// Time of the last one that this program put in place.
    pub written_at: Option<Timestamp>,
    /// Reason why writing fails.
    pub error: Option<String>,
}

/// Result of comparing the counts of a sink with those of the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Every record is accounted for.
    Holds,
    /// The counts were read one after the other while records moved, and do not agree.
    Unknown,
    /// The counts do not agree although nothing moves any more: a defect.
    Broken,
}

/// State of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// Name in the configuration.
    pub name: String,
    /// Kind in the configuration.
    pub kind: &'static str,
    /// Address or path that the source reads, with the port that the kernel chose.
    pub endpoint: String,
    /// State of the source.
    pub state: SourceState,
    /// Counts of the source.
    pub counts: SourceCounts,
}

/// State of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// The source reads.
    Running,
    /// The source stops, or is no longer in the configuration and only reads from its old connections.
    Leaving,
    /// The source has ended.
    Ended,
    /// The source cannot continue, for this reason.
    Failed(String),
}

/// State of one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkStatus {
    /// Name in the configuration.
    pub name: String,
    /// Kind in the configuration.
    pub kind: &'static str,
    /// Where the records go.
    pub destination: String,
    /// State of the sink.
    pub state: SinkState,
    /// The stall that the log has reported, and that lasts.
    pub stall: Option<StalledSink>,
    /// The outage of the destination that lasts.
    pub outage: Option<OutageStatus>,
    /// Names of the sources that wait for the sink.
    pub waiting: Vec<String>,
    /// The spool, if the sink has one.
    pub spool: Option<SpoolStatus>,
    /// Counts of the sink.
    pub counts: SinkCounts,
    /// Result of comparing the counts.
    pub balance: Balance,
}

/// State of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkState {
    /// The sink receives records through its queue.
    Running(Queue),
    /// The sink receives nothing more, and delivers what it has.
    Leaving,
    /// The sink has ended.
    Ended,
}

/// The queue before a sink, or before its spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Bytes in the queue, with those that the sink has taken and not delivered.
    pub bytes: usize,
    /// Maximum number of bytes in the queue.
    pub limit: usize,
    /// True if the queue has no room: a source waits, or would have to.
    pub is_full: bool,
}

/// A destination, or the disk of a spool, that fails. Attempts are repeated until one works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutageStatus {
    /// Time of the first failed attempt.
    pub since: Timestamp,
    /// The reason of the last failed attempt.
    pub reason: String,
}

/// A sink that does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StalledSink {
    /// Kind of the stall.
    pub kind: StallKind,
    /// Time when it began.
    pub since: Timestamp,
}

/// Kind of a stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StallKind {
    /// Nothing leaves the sink.
    Still,
    /// The queue of the sink is full, because records arrive faster than they leave.
    Full,
}

/// Settings of a spool. Its records and bytes are counts of its sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Directory of the spool.
    pub directory: PathBuf,
    /// Key `mode` of the configuration.
    pub mode: &'static str,
    /// Key `when_full` of the configuration.
    pub when_full: &'static str,
    /// Maximum size on the disk, in bytes.
    pub limit: u64,
    /// The outage of its disk that lasts.
    pub outage: Option<OutageStatus>,
}

// === impl Snapshot ===

impl Snapshot {
    /// Returns true if the two say the same, perhaps of different times.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let Self { at: _, phase, program, reload, ledger, correlate, mail, sources, sinks } = self;
        let Self { at: _, phase: b_phase, program: b_program, reload: b_reload, ledger: b_ledger, .. } = other;
        (phase, program, reload, ledger) == (b_phase, b_program, b_reload, b_ledger)
            && (correlate, mail) == (&other.correlate, &other.mail)
            && (sources, sinks) == (&other.sources, &other.sinks)
    }
}

// === impl Phase ===

impl Phase {
    /// Returns true if the counts are those of the end.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Leaving | Self::Ended)
    }

    /// Returns the name in the status file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Leaving => "leaving",
            Self::Ended => "ended",
        }
    }
}

// === impl Balance ===

impl Balance {
    /// Returns the result for all when `self` is the result for some and `other` for the rest.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Broken, _) | (_, Self::Broken) => Self::Broken,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Holds, Self::Holds) => Self::Holds,
        }
    }
}

// === impl JoinStatus ===

impl JoinStatus {
    /// Returns the line of the joins in the log's ledger, or `None` if there is nothing to tell. `created` is the
    /// number of records that were made.
    pub fn ledger_line(&self, created: u64) -> Option<String> {
        let Self { messages, memory, systems, evicted, max_messages: _, max_memory: _, checkpoint: _ } = *self;
        let named = [
            ("created", created),
            ("open", messages as u64),
            ("memory", memory as u64),
            ("systems", systems as u64),
            ("evicted", evicted),
        ];
        (systems > 0 || created > 0).then(|| format!("ledger correlate{}", counts::text(&named)))
    }
}

// === impl SourceStatus ===

impl SourceStatus {
    /// Returns the line of the source in the log's ledger: its counts that are not zero.
    pub fn ledger_line(&self) -> String {
        format!("ledger source={:?}{}", self.name, counts::text(&counts::of_source(&self.counts)))
    }
}

// === impl SinkStatus ===

impl SinkStatus {
    /// Returns the line of the sink in the log's ledger: its counts that are not zero, and whether they balance.
    pub fn ledger_line(&self) -> String {
        let balanced = match self.balance {
            Balance::Holds => " balanced=true",
            Balance::Unknown => "",
            Balance::Broken => " balanced=false",
        };
        format!("ledger sink={:?}{}{balanced}", self.name, counts::text(&counts::of_sink(&self.counts)))
    }
}
