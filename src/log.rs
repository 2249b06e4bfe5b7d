//! The log: lines for the standard error, written by a separate thread. Code that logs never blocks and never fails.
//!
//! Lines wait in a queue of at most 1 MiB. If the standard error does not take them (its reader hangs or has gone, or
//! its disk is full), the queue fills. Further lines are then lost, and counted. As soon as the log works again, it
//! tells how many were lost. The log retries as long as the program runs.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::poison;
use crate::shown;

/// Maximum number of bytes that wait to be written.
const ROOM: usize = 1 << 20;

/// Maximum memory in bytes that the queue keeps when it is empty.
const KEPT: usize = 64 << 10;

/// Time between two attempts to write, after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Maximum time that the end of the program waits for the last lines.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Maximum time that one write waits, in milliseconds, if another process has made the standard error non-blocking.
const PATIENCE: u16 = 100;

/// The log of the process, once it is started.
static LOG: OnceLock<Log> = OnceLock::new();

/// A queue of lines and the thread that writes them. Clones share the same queue.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<SharedLog>);

#[derive(Debug, Default)]
struct SharedLog {
    state: Mutex<LogState>,
    /// Signals that there is something to write.
    more: Condvar,
    /// Signals that the program is leaving.
    leaving: Condvar,
    /// Signals that the writer has written all that it took, or has given up.
    written: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    /// Whole lines that wait to be written.
    waiting: Vec<u8>,
    /// Number of lost lines that the log has not reported yet.
    lost: u64,
    /// True if the writer has lines that are not written yet.
    is_writing: bool,
    is_leaving: bool,
    /// True if the writer has ended, because the program is leaving and a write failed.
    has_given_up: bool,
}

/// Starts the log of the process: log lines of at least `level` go to the standard error from now on.
///
/// # Errors
///
/// The system refuses another thread.
pub fn start(level: LevelFilter) -> io::Result<()> {
    let log = LOG.get_or_init(Log::default);
    log.write_to(StandardError)?;
    let colours = io::stderr().is_terminal() && has_colours(|name| std::env::var_os(name));
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(Events { log: log.clone(), colours })
        .with_ansi(colours)
        .with_target(false)
        // The library would write its errors to the standard error itself, and panic if it cannot.
        .log_internal_errors(false)
        .init();
    Ok(())
}

/// Returns true if the terminal has colours, and its user wants them (<https://no-color.org>).
pub(crate) fn has_colours(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let no_color = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color && variable("TERM").is_some_and(|terminal| terminal != "dumb")
}

/// Prints a line as it is to the standard error: after the queued lines, if the process has a log. An error is ignored,
/// since there is no other place to report it.
pub fn say(line: &str) {
    match LOG.get() {
        Some(log) => log.push(&shown::shown(format!("{line}\n").as_bytes(), true)),
        None => drop(io::stderr().write_all(&shown::shown(format!("{line}\n").as_bytes(), true))),
    }
}

/// Waits until the lines so far are written, for at most half a second. To be called when the program leaves: later
/// lines may be lost.
pub fn finish() {
    if let Some(log) = LOG.get() {
        log.finish(LAST_LINES);
    }
}

// === impl Log ===

impl Log {
    /// Starts the thread that writes the lines to `out`. Each call of `write` is one write; it may block for any time.
    fn write_to(&self, out: impl Write + Send + 'static) -> io::Result<()> {
        let log = self.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || log.run(out)).map(drop)
    }

    /// Adds a whole line to the queue, or counts it as lost.
    fn push(&self, line: &[u8]) {
        let mut state = self.state();
        // After the first lost line, all lines are lost until the writer takes the queue: the log then has one gap, and
        // reports it in its place.
        if state.lost > 0 || state.waiting.len() + line.len() > ROOM {
            state.lost += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        self.0.more.notify_one();
    }

    /// Waits until everything is written, for at most `time`.
    fn finish(&self, time: Duration) {
        let mut state = self.state();
        state.is_leaving = true;
        self.0.leaving.notify_one();
        let open = |state: &mut LogState| !state.has_given_up && (state.is_writing || state.has_lines());
        drop(self.0.written.wait_timeout_while(state, time, open));
    }

    /// Runs the writer thread.
    fn run(&self, mut out: impl Write) {
        let mut taken = Vec::new();
        loop {
            self.take(&mut taken);
            let mut rest = &taken[..];
            while !rest.is_empty() {
                match out.write(rest) {
                    Ok(size) if size > 0 => rest = &rest[size..],
                    Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                    // There is no place to report the error.
                    Ok(_) | Err(_) => {
                        if self.is_over_after(PAUSE) {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Waits for lines and takes all of them.
    fn take(&self, taken: &mut Vec<u8>) {
        taken.clear();
        taken.shrink_to(KEPT);
        let mut state = self.state();
        state.is_writing = false;
        if !state.has_lines() {
            self.0.written.notify_all();
        }
        state = poison::ignore(self.0.more.wait_while(state, |state| !state.has_lines()));
        mem::swap(&mut state.waiting, taken);
        state.is_writing = true;
        let lost = mem::take(&mut state.lost);
        drop(state);
        if lost > 0 {
            taken.extend_from_slice(told(lost).as_bytes());
        }
    }

    /// Waits after an error. Returns true if the program is leaving: there is no further attempt then.
    fn is_over_after(&self, pause: Duration) -> bool {
        let waited = self.0.leaving.wait_timeout_while(self.state(), pause, |state| !state.is_leaving);
        let (mut state, _) = poison::ignore(waited);
        state.has_given_up = state.is_leaving;
        self.0.written.notify_all();
        state.has_given_up
    }

    fn state(&self) -> MutexGuard<'_, LogState> {
        poison::ignore(self.0.state.lock())
    }
}

impl LogState {
    fn has_lines(&self) -> bool {
        !self.waiting.is_empty() || self.lost > 0
    }
}

/// Returns the line that tells how many lines were lost.
fn told(lost: u64) -> String {
    let mut line = String::new();
    // Writing to a string can't fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut line));
    let lines = if lost == 1 { "line was" } else { "lines were" };
    line + &format!(" ERROR {lost} log {lines} lost: the standard error did not take them in time\n")
}

/// Adapter that passes log events to the log.
#[derive(Clone, Debug)]
struct Events {
    log: Log,
    colours: bool,
}

// === impl MakeWriter ===

impl MakeWriter<'_> for Events {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The formatter passes each event in one call.
impl Write for Events {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.log.push(&shown::event(line, self.colours));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The standard error, without the lock of the standard library: a thread that blocks in a write must not block a
/// thread that only inspects the standard error. Its open file keeps its flags, as other processes may share it.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let stderr = io::stderr();
        let result = nix::unistd::write(stderr.as_fd(), text);
        if result == Err(Errno::EAGAIN) {
            // The result does not matter: the next write shows whether it works.
            let _ = poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], PATIENCE);
        }
        Ok(result?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A standard error that a test opens and closes: what it says to the next writes, and what was written.
    struct Out {
        answers: Receiver<io::Result<()>>,
        written: SyncSender<Vec<u8>>,
    }

    impl Write for Out {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.answers.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
            // No more at a time, as a pipe that is nearly full.
            let taken = &text[..text.len().min(100_000)];
            self.written.send(taken.to_vec()).unwrap();
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> (Log, SyncSender<io::Result<()>>, Receiver<Vec<u8>>) {
        let (log, (answer, answers), (written, text)) = (Log::default(), sync_channel(100), sync_channel(100));
        log.write_to(Out { answers, written }).unwrap();
        (log, answer, text)
    }

    #[test]
    fn who_logs_never_waits_and_what_is_lost_is_counted() {
        let (log, answer, text) = log();
        let line = |n: usize| format!("{n:0999}\n");
        log.push(line(0).as_bytes());
        // The writer has the first and stands in the write.
        while !log.state().is_writing {
            thread::yield_now();
        }
        for n in 1..=3000 {
            log.push(line(n).as_bytes());
        }
        // One that would still fit does not come before those that did not.
        log.push(b"short\n");
        let kept = ROOM / 1000;
        assert_eq!(log.state().lost, 3000 - kept as u64 + 1);
        for _ in 0..50 {
            answer.send(Ok(())).unwrap();
        }
        log.finish(Duration::from_secs(20));
        log.push(b"works again\n");
        log.finish(Duration::from_secs(20));
        let all = String::from_utf8(text.try_iter().flatten().collect()).unwrap();
        let mut lines: VecDeque<&str> = all.lines().collect();
        assert_eq!(lines.pop_back(), Some("works again"));
        let told = lines.pop_back().unwrap();
        let expected =
            format!(" ERROR {} log lines were lost: the standard error did not take them in time", 3001 - kept);
        assert!(told.ends_with(&expected), "{told}");
        assert_eq!(lines.len(), 1 + kept);
        assert!(lines.iter().enumerate().all(|(n, text)| text.parse() == Ok(n)));
    }

    #[test]
    fn colours_are_for_capable_terminals_without_no_color() {
        let colours = |variables: &[(&str, &str)]| {
            let value = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into());
            has_colours(value)
        };
        assert!(colours(&[("TERM", "xterm-256color")]));
        assert!(colours(&[("TERM", "xterm"), ("NO_COLOR", "")]));
        assert!(!colours(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
        assert!(!colours(&[("TERM", "dumb")]));
        assert!(!colours(&[]));
    }

    #[test]
    fn an_error_is_not_the_end() {
        let (log, answer, text) = log();
        answer.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        answer.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
        answer.send(Ok(())).unwrap();
        log.push(b"kept\n");
        assert_eq!(text.recv_timeout(Duration::from_secs(20)), Ok(b"kept\n".to_vec()));
    }

    #[test]
    fn the_end_does_not_wait_for_who_takes_nothing() {
        let (log, answer, _text) = log();
        log.push(b"never\n");
        log.finish(Duration::from_millis(1));
        assert!(log.state().is_writing || log.state().has_lines());
        // An error is enough to give up, long before this time is over.
        answer.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        log.finish(Duration::from_secs(60));
        assert!(log.state().has_given_up);
    }
}
