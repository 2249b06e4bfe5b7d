//! The command `decode`: converts log files to JSON lines, on all cores.
//!
//! All workers do the same. Each one reads a chunk and finds its frames while it holds the lock on the input, encodes
//! their records, and writes them when all chunks before have been written. Therefore there is no queue, and a worker
//! owns everything it needs:
//!
//! ```text
//! worker 1   read 0 | encode 0 ........ | write 0 | read 2 | encode 2 ........ | write 2
//! worker 2          | read 1 | encode 1 ........ | write 1 | read 3 | encode 3 ........ | write 3
//! ```
//!
//! `Limits` bound the memory for any input. Each worker needs one chunk with the beginning of a frame (320 KiB), the
//! positions of its frames (24 bytes each), and 4 MiB of records plus one more record. Postfix's lines need at most 2
//! MiB of that.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::tz::TimeZone;

use crate::correlate::{Correlator, JoinProgress};
use crate::encode::{Buffer, Encoder};
use crate::input::{self, Input};
use crate::panics::Panic;
use crate::record::{Event, Origin, Record, RecordId, RecordIds, Transport};
use crate::standard;
use crate::syslog::Format;
use crate::time::Timestamp;
use crate::unparsed::Unparsed;
use limits::Limits;
use output::{InputFailed, Output};
use worker::SharedInput;

mod limits;
mod output;
mod worker;
#[cfg(test)]
mod tests;

/// Settings for decoding.
#[derive(Debug)]
pub struct Decoder {
    /// Encoder of the records.
    pub encoder: Encoder,
    /// Zone of times that name none.
    pub zone: TimeZone,
    /// Format of the lines.
    pub format: Format,
    /// The output.
    pub prints: Printed,
}

/// The kind of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Printed {
    /// The record of each line.
    #[default]
    Records,
    /// The record of each message, joined from its lines. One thread reads the lines, because their order counts.
    Messages,
    /// The Postfix lines that are not understood, unchanged.
    Unparsed,
}

/// Counts of a decoding.
#[derive(Debug, Default)]
pub struct DecodeSummary {
    /// Number of inputs that could not be read, or not to their end.
    pub unread: u64,
    /// Number of lines that gave a record.
    pub records: u64,
    /// Number of records that have no readable time, are cut off, or contain bytes that are not UTF-8.
    pub damaged: u64,
    /// Postfix lines that are not understood.
    pub unparsed: Arc<Unparsed>,
    /// Number of messages that were closed before their end, because too many were open.
    pub evicted: u64,
}

/// Reason why decoding ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Input {
        /// The file.
        path: String,
        /// Cause.
        error: io::Error,
    },
    /// The output cannot be written; the kind is `BrokenPipe` if its reader has closed it.
    #[error("cannot write: {0}")]
    Output(io::Error),
    /// A defect.
    #[error("a defect in Postrider, please report it: {0}")]
    Panic(Panic),
}

/// All inputs of one command, one after the other.
struct Inputs {
    decoder: Arc<Decoder>,
    limits: Limits,
    output: Arc<Output>,
    unparsed: Arc<Unparsed>,
    joins: Option<Arc<Joins>>,
}

/// The joins of all inputs.
struct Joins {
    correlator: Correlator,
    ids: RecordIds,
}

impl Decoder {
    /// Decodes `files` in their order to `out`. `-`, or an empty list, is the standard input. An input that cannot be
    /// read does not affect the others: `say` is called with the error, and the summary counts the input.
    ///
    /// If `out` fails, a thread that waits for more input may be left behind.
    ///
    /// # Errors
    ///
    /// The output cannot be written, or there is a defect.
    pub fn decode(
        self,
        files: &[PathBuf],
        out: impl Write + Send + 'static,
        mut say: impl FnMut(&Error),
    ) -> Result<DecodeSummary, Error> {
        let inputs = Inputs::new(self, Limits::default(), Box::new(out));
        let stdin = [PathBuf::from("-")];
        let mut unread = 0;
        for path in if files.is_empty() { &stdin } else { files } {
            match inputs.decode_path(path) {
                Err(error @ Error::Input { .. }) => {
                    unread += 1;
                    say(&error);
                }
                result => result?,
            }
        }
        inputs.finish()?;
        Ok(DecodeSummary { unread, ..inputs.summary() })
    }
}

impl Inputs {
    fn new(decoder: Decoder, limits: Limits, out: Box<dyn Write + Send>) -> Self {
        let is_joined = decoder.prints == Printed::Messages;
        let joins =
            is_joined.then(|| Arc::new(Joins { correlator: Correlator::new(limits.joins), ids: RecordIds::default() }));
        let limits = if is_joined { Limits { workers: 1, ..limits } } else { limits };
        let (decoder, output) = (Arc::new(decoder), Arc::new(Output::new(out)));
        Self { decoder, limits, output, unparsed: Arc::default(), joins }
    }

    /// Prints the messages that are open at the end of the last input.
    fn finish(&self) -> Result<(), Error> {
        let Some(joins) = &self.joins else { return Ok(()) };
        let Some(mut turn) = self.output.turn(0) else { return Ok(()) };
        let (now, mut lines) = (Timestamp::now(), Buffer::default());
        let mut progress = JoinProgress::More;
        while progress == JoinProgress::More {
            let mut writer = self.decoder.encoder.writer(&mut lines);
            progress = joins.correlator.finish(now, &mut || joins.id(now), &mut |record| {
                if is_message(record) {
                    writer.line(record);
                }
            });
            if !turn.write(&mut lines) {
                drop(turn);
                return self.output.wait().map_err(|failed| failed.of(None));
            }
        }
        Ok(())
    }

    fn summary(self) -> DecodeSummary {
        let (records, damaged) = self.output.counts();
        let evicted = self.joins.map_or(0, |joins| joins.correlator.counts().evicted);
        DecodeSummary { unread: 0, records, damaged, unparsed: self.unparsed, evicted }
    }

    fn decode_path(&self, path: &Path) -> Result<(), Error> {
        if path == Path::new("-") {
            standard::input().map_err(|error| input_error(None, error))?;
            return self.decode(io::stdin(), None);
        }
        let file = File::open(path).map_err(|error| input_error(Some(path), error))?;
        self.decode(file, Some(path))
    }

    fn decode(&self, input: impl Read + Send + 'static, path: Option<&Path>) -> Result<(), Error> {
        let text = input::text(input, "postrider decode").map_err(|error| input_error(path, error))?;
        let transport = if path.is_some() { Transport::File } else { Transport::Stdin };
        let work = SharedInput {
            decoder: Arc::clone(&self.decoder),
            limits: self.limits,
            origin: Origin {
                name: "decode".to_owned(),
                transport,
                zone: self.decoder.zone.clone(),
                format: self.decoder.format,
            },
            peer: path.map(|path| path.to_string_lossy().into_owned()),
            input: Mutex::new(Input::new(text, self.limits.frame, self.limits.chunk)),
            output: Arc::clone(&self.output),
            unparsed: Arc::clone(&self.unparsed),
            joins: self.joins.clone(),
        };
        worker::run(&Arc::new(work)).map_err(|failed| failed.of(path))
    }
}

impl InputFailed {
    /// Returns the error for the input at `path`.
    fn of(self, path: Option<&Path>) -> Error {
        match self {
            Self::Input(error) => input_error(path, error),
            Self::Output(error) => Error::Output(error),
            Self::Panic(panic) => Error::Panic(panic),
        }
    }
}

impl Joins {
    fn id(&self, received_at: Timestamp) -> RecordId {
        self.ids.reserve(received_at, 1).take()
    }
}

fn is_message(record: &Record<'_>) -> bool {
    record.postfix.as_ref().is_some_and(|postfix| matches!(postfix.event, Event::Message(_)))
}

fn input_error(path: Option<&Path>, error: io::Error) -> Error {
    let path = path.map_or_else(|| "the standard input".to_owned(), |path| path.display().to_string());
    Error::Input { path, error }
}
