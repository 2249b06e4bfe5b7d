//! A pass over all logs, on all cores. Each worker reads a chunk while it holds the lock of its log, and then searches
//! it. A worker prefers a log of its own, because a compressed one is read by one worker at a time.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::sync::Mutex;
use std::thread;

use super::source::LogText;
use crate::input::{Chunk, Input, LONGEST_LINE, READ_SIZE};
use crate::poison;

/// The lines of a chunk, and its place.
pub(super) struct LogChunk<'c> {
    /// Number of the log.
    pub(super) log: usize,
    /// Offset of the chunk in the text.
    pub(super) offset: u64,
    pub(super) frames: &'c Chunk,
}

/// State that the workers share.
struct Pass<'l> {
    logs: &'l [LogText],
    /// True if the lines get the hashes from which their ids are made.
    is_hashed: bool,
    next: Mutex<VecDeque<usize>>,
    /// Sizes of the texts of logs, up to which they are read.
    sizes: &'l HashMap<usize, u64>,
    /// Logs that are read, at most one for each worker.
    open: Vec<Mutex<Option<OpenLog>>>,
    result: Mutex<PassResult>,
}

/// How far the logs were read.
#[derive(Debug, Default)]
pub(super) struct PassResult {
    /// Logs that could not be read to their end.
    pub(super) errors: Vec<(usize, io::Error)>,
    /// Sizes of the texts of all others, in bytes.
    pub(super) sizes: HashMap<usize, u64>,
}

struct OpenLog {
    log: usize,
    input: Input,
}

/// Passes all chunks of the logs to `use_chunk`, in any order. A log with a size in `sizes` ends there.
pub(super) fn run(
    logs: &[LogText],
    workers: usize,
    is_hashed: bool,
    sizes: &HashMap<usize, u64>,
    use_chunk: &(impl Fn(&LogChunk<'_>) + Sync),
) -> PassResult {
    let open = (0..workers.max(1)).map(|_| Mutex::default()).collect();
    let next = Mutex::new((0..logs.len()).collect());
    let pass = Pass { logs, is_hashed, next, sizes, open, result: Mutex::default() };
    thread::scope(|scope| {
        for number in 1..pass.open.len() {
            let pass = &pass;
            // Without another thread, this one does the work.
            let _ = thread::Builder::new().name("trace".to_owned()).spawn_scoped(scope, move || {
                pass.work(number, use_chunk);
            });
        }
        pass.work(0, use_chunk);
    });
    let mut result = poison::ignore(pass.result.into_inner());
    result.errors.sort_by_key(|(log, _)| *log);
    result
}

impl Pass<'_> {
    /// Searches chunks until there are no more.
    fn work(&self, worker: usize, use_chunk: &impl Fn(&LogChunk<'_>)) {
        let mut chunk = Chunk::new(LONGEST_LINE, READ_SIZE);
        let count = self.open.len();
        while let Some((log, offset)) = (0..count).find_map(|more| self.next((worker + more) % count, &mut chunk)) {
            use_chunk(&LogChunk { log, offset, frames: &chunk });
        }
    }

    /// Reads the next chunk of an open log, or of the next log.
    fn next(&self, place: usize, chunk: &mut Chunk) -> Option<(usize, u64)> {
        let mut place = poison::ignore(self.open[place].lock());
        loop {
            if place.is_none() {
                *place = Some(self.open_next()?);
            }
            let OpenLog { log, input } = place.as_mut()?;
            let (log, frames, size) = (*log, input.next(chunk), input.offset());
            if frames.as_ref().is_none_or(|frames| frames.end.is_some()) {
                *place = None;
            }
            if let Some(frames) = frames {
                match frames.end {
                    Some(Err(error)) => self.failed(log, error),
                    Some(Ok(())) => _ = poison::ignore(self.result.lock()).sizes.insert(log, size),
                    None => {}
                }
                return Some((log, frames.offset));
            }
        }
    }

    fn open_next(&self) -> Option<OpenLog> {
        loop {
            let log = poison::ignore(self.next.lock()).pop_front()?;
            let text = match self.logs[log].read() {
                Ok(text) => text,
                Err(error) => {
                    self.failed(log, error);
                    continue;
                }
            };
            let text = match self.sizes.get(&log) {
                Some(size) => Box::new(text.take(*size)),
                None => text,
            };
            let input = if self.is_hashed { Input::new } else { Input::unhashed };
            return Some(OpenLog { log, input: input(text, LONGEST_LINE, READ_SIZE) });
        }
    }

    fn failed(&self, log: usize, error: io::Error) {
        poison::ignore(self.result.lock()).errors.push((log, error));
    }
}
