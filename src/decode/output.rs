//! The output: chunks are written in the order in which they were read.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::encode::Buffer;
use crate::panics::Panic;
use crate::poison;

/// Output for the records of all inputs.
pub(super) struct Output {
    state: Mutex<OutputState>,
    /// Notified when the turn passes to another chunk.
    turned: Condvar,
    /// Notified when the input has ended.
    ended: Condvar,
}

struct OutputState {
    out: Box<dyn Write + Send>,
    records: u64,
    damaged: u64,
    /// Number of the next chunk to be written.
    turn: u64,
    end: Option<Result<(), InputFailed>>,
}

/// Reason why an input was not decoded to its end.
pub(super) enum InputFailed {
    Input(io::Error),
    Output(io::Error),
    Panic(Panic),
}

/// Right to write the records of one chunk; the next chunk waits.
pub(super) struct OutputTurn<'o> {
    output: &'o Output,
    state: MutexGuard<'o, OutputState>,
}

// === impl Output ===

impl Output {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        let state = OutputState { out, records: 0, damaged: 0, turn: 0, end: None };
        Self { state: Mutex::new(state), turned: Condvar::new(), ended: Condvar::new() }
    }

    /// Waits for the turn of a chunk; `None` once decoding has failed.
    pub(super) fn turn(&self, number: u64) -> Option<OutputTurn<'_>> {
        let others = |state: &mut OutputState| state.turn != number && state.end.is_none();
        let state = poison::ignore(self.turned.wait_while(self.state(), others));
        state.end.is_none().then_some(OutputTurn { output: self, state })
    }

    /// Ends the input.
    pub(super) fn end(&self, end: Result<(), InputFailed>) {
        OutputTurn { output: self, state: self.state() }.end(end);
    }

    /// Waits for the end of the input, and then prepares for another input.
    pub(super) fn wait(&self) -> Result<(), InputFailed> {
        let open = |state: &mut OutputState| state.end.is_none();
        let mut state = poison::ignore(self.ended.wait_while(self.state(), open));
        match &state.end {
            Some(Ok(())) => {
                (state.turn, state.end) = (0, None);
                Ok(())
            }
            // The workers have ended with the input: no chunk is in progress.
            Some(Err(InputFailed::Input(_))) => {
                state.turn = 0;
                state.end.take().unwrap_or(Ok(()))
            }
            // Later callers still see that decoding is over.
            _ => state.end.replace(Ok(())).unwrap_or(Ok(())),
        }
    }

    /// Returns the number of records that were written, and how many of them are damaged.
    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.records, state.damaged)
    }

    fn state(&self) -> MutexGuard<'_, OutputState> {
        poison::ignore(self.state.lock())
    }
}

// === impl OutputTurn ===

impl OutputTurn<'_> {
    /// Writes `lines` and empties them. Returns false after an error, which ends the input.
    pub(super) fn write(&mut self, lines: &mut Buffer) -> bool {
        let result = self.state.out.write_all(lines).and_then(|()| self.state.out.flush());
        lines.clear();
        result.map_err(|error| self.end(Err(InputFailed::Output(error)))).is_ok()
    }

    /// Passes the turn to the next chunk, or ends the input.
    pub(super) fn pass(mut self, records: u64, damaged: u64, end: Option<io::Result<()>>) {
        self.state.records += records;
        self.state.damaged += damaged;
        if let Some(end) = end {
            self.end(end.map_err(InputFailed::Input));
        } else {
            self.state.turn += 1;
            self.output.turned.notify_all();
        }
    }

    fn end(&mut self, end: Result<(), InputFailed>) {
        // The first failure is the one that a single worker would have encountered.
        self.state.end.get_or_insert(end);
        self.output.turned.notify_all();
        self.output.ended.notify_all();
    }
}
