//! The thread before it has its spool: after a reload, another sink may have that still.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{Level, info, warn};

use super::{BATCHES_PER_COMMIT, GIVEN_UP, Stage, TICK_BEHIND};
use crate::buffer::{Received, Receiver, Sender, queue};
use crate::config::{SinkConfig, SpoolConfig};
use crate::ledger::{Reason, SinkLedger};
use crate::sink::Turn;
use crate::sink::fault::Fault;
use crate::sink::worker::{self, Control, End, Worker};
use crate::spool::{CursorState, Disk, Recovery, Settings, Spool};
use crate::throttle::{Owner, Throttle};

/// How long a sender that already has room may take to use it, when the spool cannot be had.
const LAST_SENDERS: Duration = Duration::from_secs(1);

/// What a stage is made of, without its spool.
pub(in crate::sink) struct Entrance {
    name: String,
    spool: SpoolConfig,
    input: Receiver,
    output: Sender,
    control: Control,
    ledger: Arc<SinkLedger>,
}

impl Entrance {
    /// What there is without the spool, and the queue that the sink's worker empties. The sources have at most `most_in_flight`
    /// bytes in flight; the sink is given less, because otherwise it would hold up the sources before it is behind.
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
        (Self { name, spool, input, output, control, ledger }, receiver)
    }

    /// Opens the spool and starts the thread, named `spool-NAME`, which begins when it is its turn.
    pub(in crate::sink) fn open(self, turn: Turn) -> Result<Worker, String> {
        let (spool, found) = self.open_spool()?;
        self.start(move |mut entrance| {
            if !turn.wait(&entrance.control) {
                entrance.drop_all();
                return End::Finished;
            }
            entrance.stage(spool, &found).run()
        })
    }

    /// Starts the thread, which opens the spool when it is its turn.
    pub(in crate::sink) fn open_later(self, turn: Turn) -> Result<Worker, String> {
        self.start(move |mut entrance| {
            if !turn.wait(&entrance.control) {
                entrance.drop_all();
                return End::Finished;
            }
            match entrance.open_spool() {
                Ok((spool, found)) => entrance.stage(spool, &found).run(),
                Err(reason) => {
                    entrance.drop_all();
                    End::Failed(reason)
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
        Spool::open(Disk::new(&self.spool.directory), settings).map_err(|error| error.to_string())
    }

    fn start(self, work: impl FnOnce(Self) -> End + Send + 'static) -> Result<Worker, String> {
        let name = self.name.clone();
        worker::spawn(format!("spool-{name}"), &name, move || (work(self), ()))
    }

    fn stage(self, spool: Spool, found: &Recovery) -> Stage {
        let Self { name, spool: config, input, output, control, ledger } = self;
        let (pending, damaged) = (spool.figures().pending_records, spool.figures().damaged_records);
        report(&name, found, pending);
        let losses = Throttle::new(Level::WARN, Owner::Sink(name.clone()), GIVEN_UP);
        ledger.recover(pending + damaged);
        ledger.drop_spooled(damaged, Reason::Damaged);
        Stage {
            fault: Fault::new(&name),
            name,
            mode: config.mode,
            spool,
            input,
            output: Some(output),
            control,
            ledger,
            stopping: None,
            progress: Instant::now(),
            saved: Instant::now(),
            waiting: VecDeque::new(),
            appended: VecDeque::new(),
            given: VecDeque::new(),
            first: 0,
            passed: 0,
            done: 0,
            outcomes: Arc::default(),
            closed: false,
            in_part: false,
            unwritten: false,
            unsettled: false,
            when_full: config.when_full,
            losses,
            damaged,
        }
    }

    /// Drops what waits in the queue.
    fn drop_all(&mut self) {
        self.input.close();
        let mut batches = VecDeque::new();
        let until = Instant::now() + LAST_SENDERS;
        // A sender that has room already may still use it.
        while self.input.receive(&mut batches, BATCHES_PER_COMMIT, TICK_BEHIND) != Received::Closed
            && Instant::now() < until
        {
            batches.drain(..).for_each(|batch| batch.dropped(Reason::Shutdown));
        }
    }
}

/// Says what the last run has left.
fn report(sink: &str, found: &Recovery, records: u64) {
    let damaged = found.torn.is_some()
        || found.missing > 0
        || matches!(found.cursor, CursorState::Missing | CursorState::Damaged);
    if damaged {
        warn!(sink, "the spool was not closed in good order: {found}");
    } else if records > 0 {
        info!(sink, "the spool has records of an earlier run, which come first: {found}");
    }
}
