//! The spool thread before it owns its spool, which the previous sink may still hold after a reload.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{Level, info, warn};

use super::machine::StageMachine;
use super::stage::{Stage, state};
use super::{BATCHES_PER_COMMIT, GIVEN_UP, LAST_SENDERS, TICK_BEHIND};
use crate::buffer::{Received, Receiver, Sender, queue};
use crate::config::{SinkConfig, SpoolConfig};
use crate::ledger::{Reason, SinkLedger};
use crate::sink::Turn;
use crate::sink::fault::DestinationFaults;
use crate::sink::worker::{self, Control, Worker, WorkerEnd};
use crate::spool::{self, CursorState, Disk, Recovery, Settings, Spool, Storage};
use crate::throttle::{LineOwner, Throttle};

/// The parts of a stage, without its spool.
pub(in crate::sink) struct Entrance {
    name: String,
    /// The owner that the spool is to have.
    owner: spool::Owner,
    spool: SpoolConfig,
    input: Receiver,
    output: Sender,
    control: Control,
    ledger: Arc<SinkLedger>,
}

impl Entrance {
    /// Makes the parts of the stage that need no spool, and the queue that the sink's worker empties. The sources have
    /// at most `most_in_flight` bytes in flight. The sink gets less, because otherwise it would hold up the sources
    /// before it is behind.
    pub(in crate::sink) fn new(
        config: &SinkConfig,
        spool: &SpoolConfig,
        input: Receiver,
        most_in_flight: usize,
        control: &Control,
        ledger: &Arc<SinkLedger>,
    ) -> (Self, Receiver) {
        let (output, receiver) = queue((config.queue_size - config.input_size()).min(most_in_flight / 2));
        let (name, spool) = (config.name.clone(), spool.clone());
        let (control, ledger) = (control.clone(), Arc::clone(ledger));
        let facts = config.kind.facts();
        let owner = spool::Owner::new(facts.name(), &facts.destination());
        (Self { name, owner, spool, input, output, control, ledger }, receiver)
    }

    /// Opens the spool and starts the thread, named `spool-NAME`, which begins work when its turn comes.
    pub(in crate::sink) fn open(self, turn: Turn) -> Result<Worker, String> {
        let (spool, found) = self.open_spool()?;
        self.start(move |mut entrance| {
            if !turn.wait(&entrance.control) {
                entrance.drop_all();
                return WorkerEnd::Finished;
            }
            entrance.stage(spool, &found).run()
        })
    }

    /// Starts the thread, which opens the spool when its turn comes.
    pub(in crate::sink) fn open_later(self, turn: Turn) -> Result<Worker, String> {
        self.start(move |mut entrance| {
            if !turn.wait(&entrance.control) {
                entrance.drop_all();
                return WorkerEnd::Finished;
            }
            match entrance.open_spool() {
                Ok((spool, found)) => entrance.stage(spool, &found).run(),
                Err(reason) => {
                    entrance.drop_all();
                    WorkerEnd::Failed(reason)
                }
            }
        })
    }

    fn open_spool(&self) -> Result<(Spool, Recovery), String> {
        let settings = Settings {
            segment_size: self.spool.segment_size,
            max_size: self.spool.max_size,
            free_space_floor: self.spool.min_free,
            ..Settings::default()
        };
        let (mut spool, found) =
            Spool::open(Disk::new(&self.spool.directory), settings).map_err(|error| error.to_string())?;
        self.claim(&mut spool)?;
        Ok((spool, found))
    }

    /// Checks that this sink can deliver the records in the spool, and records the sink as the owner of the spool.
    fn claim(&self, spool: &mut Spool) -> Result<(), String> {
        let (path, records) = (self.spool.directory.display(), spool.figures().pending_records);
        let before = spool.owner();
        let of_another_kind = before.as_ref().filter(|before| before.kind() != self.owner.kind());
        if let Some(before) = of_another_kind.filter(|_| records > 0) {
            return Err(format!(
                "the spool {path} has {records} records of a {} sink ({}), and a {} sink cannot deliver them; \
                 `postrider check` says what to do",
                before.kind(),
                before.destination(),
                self.owner.kind()
            ));
        }
        if let Some(before) = before.as_ref().filter(|before| records > 0 && **before != self.owner) {
            info!(
                sink = self.name,
                records,
                "the spool {path} has records for the earlier destination {}, and the sink sends them to {} now; \
                 they keep their topics, or their paths within the directory",
                before.destination(),
                self.owner.destination()
            );
        }
        match spool.set_owner(&self.owner) {
            Err(error) if of_another_kind.is_some() => Err(error.to_string()),
            // A full disk must not prevent the delivery of the records.
            Err(error) => {
                warn!(sink = self.name, "{error}; Postrider will not refuse this spool to a sink of another kind");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn start(self, work: impl FnOnce(Self) -> WorkerEnd + Send + 'static) -> Result<Worker, String> {
        let name = self.name.clone();
        worker::spawn(format!("spool-{name}"), &name, move || (work(self), ()))
    }

    pub(super) fn stage<S: Storage>(self, spool: Spool<S>, found: &Recovery) -> Stage<S> {
        let Self { name, owner: _, spool: config, input, output, control, ledger } = self;
        let (pending, damaged) = (spool.figures().pending_records, spool.figures().damaged_records);
        report(&name, found, pending);
        ledger.recover(pending + damaged);
        ledger.drop_spooled(damaged, Reason::Damaged);
        Stage {
            fault: DestinationFaults::new(&name, control.spool().clone()),
            losses: Throttle::new(Level::WARN, LineOwner::Sink(name.clone()), GIVEN_UP),
            name,
            directory: config.directory,
            machine: StageMachine::new(config.mode, config.when_full, state(&spool), Instant::now()),
            spool,
            input,
            output: Some(output),
            control,
            ledger,
            outcomes: Arc::default(),
            batches: VecDeque::new(),
            pause: Duration::ZERO,
            damaged,
        }
    }

    /// Drops the batches in the queue.
    fn drop_all(&mut self) {
        self.input.close();
        let mut batches = VecDeque::new();
        let until = Instant::now() + LAST_SENDERS;
        // A sender that already has room may still use it.
        while self.input.receive(&mut batches, BATCHES_PER_COMMIT, TICK_BEHIND) != Received::Closed
            && Instant::now() < until
        {
            batches.drain(..).for_each(|batch| batch.dropped(Reason::Shutdown));
        }
    }
}

/// Logs what the last run left in the spool.
fn report(sink: &str, found: &Recovery, records: u64) {
    let damaged = found.torn.is_some()
        || found.missing > 0
        || matches!(found.cursor, CursorState::Missing | CursorState::Damaged);
    if damaged {
        warn!(sink, "the spool was not closed properly: {found}");
    } else if records > 0 {
        info!(sink, "the spool has records of an earlier run, and delivers them first: {found}");
    }
}
