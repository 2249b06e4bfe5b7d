//! The sinks, one for each destination. A sink never backs off, buffers or spools by itself: its worker and the stage
//! of its spool do. The worker retries batches too; only a sink whose client has records in flight (Kafka) retries
//! those.

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

pub use fault::{LastingOutage, OutageReport};
pub use turn::{Before, Turn, TurnWatch};
pub use worker::{Control, Worker, WorkerEnd};

/// Interface of every sink. The sink's own thread makes the calls, so a call may block, but not much longer than a
/// second: between two calls the worker checks whether it has to stop.
pub trait Sink: Send {
    /// Takes batches from the front of `batches` and makes sure that each is resolved, now or when the destination has
    /// answered. A batch that the sink could not take stays in `batches`, whole and in order, and the error says why.
    /// `Ok` with batches left over means that the destination is slow. The next call has the same batches in front, so
    /// a sink may remember its position. A batch that the sink took in part and keeps inside is no longer in `batches`.
    fn write(&mut self, batches: &mut VecDeque<Batch>) -> Result<(), Error>;

    /// Does periodic work. The worker calls it at least once a second while the sink waits for batches or for its
    /// destination.
    fn tick(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns true if [`Sink::tick`] has work to do now. The thread that causes this unparks the sink's thread.
    fn is_due(&self) -> bool {
        false
    }

    /// Closes the files of the sink, so that another program can rename or remove them; the next write opens them again
    /// (SIGHUP).
    fn reopen(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns how many records of `front`, the front batch at the last call of [`Sink::write`], the destination
    /// already has.
    fn taken(&self, _front: &Batch) -> usize {
        0
    }

    /// Hands over every record that is still inside, as far as possible before `deadline`, and resolves every batch.
    fn finish(&mut self, deadline: Instant) -> Result<(), Error>;
}

/// Reason why a sink could not write.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A later attempt may succeed; the batches are still in the queue, or inside the sink.
    #[error("{0}")]
    Retry(String),
    /// The reader of the output is gone and wants no more.
    #[error("{0}")]
    Closed(String),
    /// Going on would hide a loss: records that were written may not be there. The program must end and report it.
    #[error("{0}")]
    Fatal(String),
}

/// A sink whose threads run.
#[derive(Debug)]
pub struct Started {
    /// The threads of the sink: one, or two if it has a spool.
    pub workers: Vec<Worker>,
    /// Tells whether the sink still holds its destination.
    pub destination: TurnWatch,
    /// Tells whether the sink still holds its spool.
    pub spool: Option<TurnWatch>,
}

/// Makes the sink that `config` describes and starts its threads, which empty `receiver` when all threads in `before`
/// have ended. `most_in_flight` is the number of bytes that the sources may have in flight. The error is for the
/// operator: what cannot be used, why, and what to do.
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
    // A spool that another sink of this process still holds cannot be opened yet.
    let stage = if before.spool.is_empty() { stage.open(stage_turn)? } else { stage.open_later(stage_turn)? };
    let workers = vec![worker, stage];
    Ok(Started { workers, destination, spool: Some(held) })
}

/// Like [`build`], without a spool: starts the thread that empties `receiver` into the sink.
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
            language: None,
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
        assert_eq!(worker.ended().await, WorkerEnd::Finished);
    }

    #[test]
    fn what_cannot_be_used_is_an_error_at_the_start() {
        let error = build_file(std::path::Path::new("/proc/no/such")).unwrap_err();
        assert!(error.starts_with("cannot use the directory /proc/no/such: "), "{error}");
    }
}
