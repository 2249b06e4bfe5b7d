//! A pass over all logs, on all cores. Each worker reads a chunk while it holds the lock of its log, and then searches
//! it. A worker prefers a log of its own, because a compressed one is read by one worker at a time.

use std::collections::VecDeque;
use std::io;
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
    /// Logs that are read, at most one for each worker.
    open: Vec<Mutex<Option<OpenLog>>>,
    errors: Mutex<Vec<(usize, io::Error)>>,
}

struct OpenLog {
    log: usize,
    input: Input,
}

/// Passes all chunks of the logs to `use_chunk`, in any order. Returns the logs that could not be read to their end.
pub(super) fn run(
    logs: &[LogText],
    workers: usize,
    is_hashed: bool,
    use_chunk: &(impl Fn(&LogChunk<'_>) + Sync),
) -> Vec<(usize, io::Error)> {
    let open = (0..workers.max(1)).map(|_| Mutex::default()).collect();
    let pass = Pass { logs, is_hashed, next: Mutex::new((0..logs.len()).collect()), open, errors: Mutex::default() };
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
    let mut errors = poison::ignore(pass.errors.into_inner());
    errors.sort_by_key(|(log, _)| *log);
    errors
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
            let (log, frames) = (*log, input.next(chunk));
            if frames.as_ref().is_none_or(|frames| frames.end.is_some()) {
                *place = None;
            }
            if let Some(frames) = frames {
                if let Some(Err(error)) = frames.end {
                    self.failed(log, error);
                }
                return Some((log, frames.offset));
            }
        }
    }

    fn open_next(&self) -> Option<OpenLog> {
        loop {
            let log = poison::ignore(self.next.lock()).pop_front()?;
            match self.logs[log].read() {
                Ok(text) if self.is_hashed => {
                    return Some(OpenLog { log, input: Input::new(text, LONGEST_LINE, READ_SIZE) });
                }
                Ok(text) => return Some(OpenLog { log, input: Input::unhashed(text, LONGEST_LINE, READ_SIZE) }),
                Err(error) => self.failed(log, error),
            }
        }
    }

    fn failed(&self, log: usize, error: io::Error) {
        poison::ignore(self.errors.lock()).push((log, error));
    }
}
