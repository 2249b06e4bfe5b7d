//! The reader of a standard output, which a test can have wait.

use std::io::{BufRead, BufReader};
use std::process::ChildStdout;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use crate::messages::Seen;

/// Records that several processes in turn have printed.
#[derive(Clone, Debug, Default)]
pub struct Output(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<bool>,
    changed: Condvar,
    seen: Mutex<Seen>,
}

impl Output {
    /// Reads what one process prints, while this is open.
    pub fn read(&self, output: ChildStdout) -> JoinHandle<()> {
        let shared = Arc::clone(&self.0);
        thread::spawn(move || {
            let mut lines = BufReader::new(output);
            let mut line = Vec::new();
            loop {
                let open = shared.open.lock().expect("no panic");
                drop(shared.changed.wait_while(open, |open| !*open).expect("no panic"));
                line.clear();
                if lines.read_until(b'\n', &mut line).expect("a pipe") == 0 {
                    return;
                }
                // A process that is killed leaves half a line, which nobody takes for a record.
                if let Some(line) = line.strip_suffix(b"\n") {
                    shared.seen.lock().expect("no panic").note(&String::from_utf8_lossy(line));
                }
            }
        })
    }

    /// Reads on, or no more than what is read already.
    pub fn open(&self, open: bool) {
        *self.0.open.lock().expect("no panic") = open;
        self.0.changed.notify_all();
    }

    /// Asks about what came out so far.
    pub fn seen<T>(&self, ask: impl FnOnce(&Seen) -> T) -> T {
        ask(&self.0.seen.lock().expect("no panic"))
    }
}
