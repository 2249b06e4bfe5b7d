//! The sinks: one destination each. A sink never retries, buffers or spools by itself; its worker does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::buffer::{Batch, Receiver};
use crate::config::{SinkConfig, SinkKind};
use crate::ledger::SinkLedger;

pub(crate) mod dead_letter;
mod fault;
pub mod file;
mod flight;
pub mod kafka;
mod routes;
mod spooled;
pub mod stdout;
mod turn;
#[cfg(test)]
mod testing;
pub mod worker;

pub use turn::{Before, Held, Turn};
pub use worker::{Control, End, Worker};

/// What every sink does. Calls come from the sink's own thread, so they may block, but not for much longer than a
/// second: between two calls the worker looks whether it has to stop.
pub trait Sink: Send {
    /// Takes batches from the front of `batches` and sees to it that each is resolved, now or when the destination has
    /// answered. What it could not take it leaves there, whole and in order, and says why; what it leaves there and
    /// says nothing waits for a destination that is slow. At the next call the same batches stand in front, so a sink
    /// may remember how far it came. A batch that it has taken in part and keeps inside is no longer in `batches`.
    fn write(&mut self, batches: &mut VecDeque<Batch>) -> Result<(), Error>;

    /// Called at least once in a second while the sink waits for batches or for its destination.
    fn tick(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether [`Sink::tick`] has something to do now. Whoever makes it so unparks the sink's thread.
    fn is_due(&self) -> bool {
        false
    }

    /// Closes what must be closed for another program to rename or remove it; the next write opens it anew (SIGHUP).
    fn reopen(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// How many records of `front`, the batch in front at the last call of [`Sink::write`], the destination has
    /// already.
    fn taken(&self, _front: &Batch) -> usize {
        0
    }

    /// Hands over everything that is still inside, as far as that is possible before `deadline`, and resolves all of
    /// it.
    fn finish(&mut self, deadline: Instant) -> Result<(), Error>;
}

/// Why a sink could not write.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It may work later; the batches are still there, or inside the sink.
    #[error("{0}")]
    Retry(String),
    /// The reader of the output has gone and wants no more.
    #[error("{0}")]
    Closed(String),
    /// To go on would hide a loss: what was written may not be there. The program must end and say so.
    #[error("{0}")]
    Fatal(String),
}

/// A sink whose threads run.
#[derive(Debug)]
pub struct Started {
    /// Its threads: one, or two where it has a spool.
    pub workers: Vec<Worker>,
    /// Whether it has its destination still.
    pub destination: Held,
    /// Whether it has its spool still.
    pub spool: Option<Held>,
}

/// Makes the sink that `config` describes and starts its threads, which empty `receiver` when all `before` them have
/// ended. `most_in_flight` is what the sources may have in flight, in bytes. The error is for the operator: what cannot
/// be used, why, and what to do.
pub fn build(
    config: &SinkConfig,
    receiver: Receiver,
    most_in_flight: usize,
    before: &Before,
    control: &Control,
    ledger: &Arc<SinkLedger>,
) -> Result<Started, String> {
    let turn = Turn::behind(before.start.iter().chain(&before.destination));
    let destination = turn.held();
    let Some(spool) = &config.spool else {
        let workers = vec![start(config, receiver, turn, control, ledger)?];
        return Ok(Started { workers, destination, spool: None });
    };
    let (stage, receiver) = spooled::Entrance::new(config, spool, receiver, most_in_flight, control, ledger);
    let stage_turn = Turn::behind(before.start.iter().chain(&before.spool));
    let held = stage_turn.held();
    let worker = start(config, receiver, turn, control, ledger)?;
    // What another sink of this process has cannot be opened yet.
    let stage = if before.spool.is_empty() { stage.open(stage_turn)? } else { stage.open_later(stage_turn)? };
    let workers = vec![worker, stage];
    Ok(Started { workers, destination, spool: Some(held) })
}

/// The same without its spool: starts the thread that empties `receiver` into the sink.
pub(crate) fn start(
    config: &SinkConfig,
    receiver: Receiver,
    turn: Turn,
    control: &Control,
    ledger: &Arc<SinkLedger>,
) -> Result<Worker, String> {
    let name = config.name.as_str();
    for warning in config.kind.facts().warnings() {
        tracing::warn!(sink = name, "{warning}");
    }
    match &config.kind {
        SinkKind::Stdout(_) => worker::start(stdout::Stdout::new()?, name, receiver, turn, control, ledger),
        SinkKind::File(file) => worker::start(file::File::new(file, name)?, name, receiver, turn, control, ledger),
        SinkKind::Kafka(kafka) => worker::start(kafka::Kafka::new(kafka, name)?, name, receiver, turn, control, ledger),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::buffer::queue;
    use crate::config::{FileConfig, Fsync};
    use crate::select::Select;
    use crate::template::Template;

    fn build_file(directory: &std::path::Path) -> Result<Started, String> {
        let file = FileConfig {
            directory: directory.to_owned(),
            path: Template::parse("mail.json").unwrap(),
            max_routes: 1000,
            mode: 0o640,
            rotate_size: None,
            rotate_age: None,
            rotate_keep: None,
            gzip: false,
            fsync: Fsync::Never,
            dead_letter: None,
            owner: true,
        };
        let kind = SinkKind::File(file);
        let config = SinkConfig {
            name: "archive".to_owned(),
            select: Select::default(),
            queue_size: 1 << 20,
            spool: None,
            kind,
        };
        let (_, receiver) = queue(config.queue_size);
        build(&config, receiver, 1 << 20, &Before::default(), &Control::new(Duration::from_secs(10)), &Arc::default())
    }

    #[tokio::test]
    async fn a_sink_starts_and_ends_with_its_senders() {
        let directory = tempfile::tempdir().unwrap();
        let mut worker = build_file(directory.path()).unwrap().workers.remove(0);
        assert_eq!(worker.name(), "archive");
        assert_eq!(worker.ended().await, End::Finished);
    }

    #[test]
    fn what_cannot_be_used_is_an_error_at_the_start() {
        let error = build_file(std::path::Path::new("/proc/no/such")).unwrap_err();
        assert!(error.starts_with("cannot use the directory /proc/no/such: "), "{error}");
    }
}
