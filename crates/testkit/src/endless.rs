//! A sender that goes on until it is told to end, for a test that has a sink hold it up.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::status::StatusFile;

const DEADLINE: Duration = Duration::from_secs(60);

/// Sender on a thread of its own.
pub struct Endless<W> {
    thread: JoinHandle<W>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    sent: AtomicUsize,
    ends: AtomicBool,
}

impl<W: Write + Send + 'static> Endless<W> {
    /// Starts to write messages to `to`: `message` returns the one with a number, which counts from 0.
    pub fn start(mut to: W, message: impl Fn(usize) -> String + Send + 'static) -> Self {
        let progress = Arc::<Progress>::default();
        let mine = Arc::clone(&progress);
        let thread = thread::spawn(move || {
            // An error says that the other side has gone.
            while !mine.ends.load(SeqCst) && to.write_all(message(mine.sent.load(SeqCst)).as_bytes()).is_ok() {
                mine.sent.fetch_add(1, SeqCst);
            }
            to
        });
        Self { thread, progress }
    }

    /// Waits until the standard output, which nobody reads, holds it up at the source named `source`.
    #[track_caller]
    pub fn wait_held_up(&self, status: &StatusFile, source: &str) {
        status.wait_held_up(DEADLINE, source, "stdout", || self.progress.sent.load(SeqCst));
    }

    /// Has it end after its present message, which must find room. Returns the number of messages sent.
    pub fn end(self) -> (W, usize) {
        self.progress.ends.store(true, SeqCst);
        let to = self.thread.join().expect("the sender");
        (to, self.progress.sent.load(SeqCst))
    }
}
