//! JSON lines on the standard output, for a pipe or a container's log.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::Instant;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Error, Sink};
use crate::buffer::Batch;
use crate::standard;

/// Maximum time that one call waits for a slow reader, in milliseconds.
const PATIENCE: u16 = 100;

/// Sink that writes each run of adjacent lines with one system call. A record is delivered when the kernel has it, also
/// for a source that acknowledges: what a pipe's reader does with it cannot be known.
#[derive(Debug)]
pub struct Stdout<W: Write + AsFd = fs::File> {
    out: W,
    /// Position within the front batch: the kernel has the whole lines and the bytes of the next line before it.
    at: OutputPosition,
    /// The rest of the last line, which the reader has in part, while the reader takes nothing.
    torn: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
struct OutputPosition {
    entry: usize,
    byte: usize,
}

// === impl Stdout ===

impl Stdout {
    /// Opens the standard output of the process, without a buffer of its own.
    pub fn new() -> Result<Self, String> {
        standard::output().map_err(|error| format!("cannot write to the standard output: {error}"))?;
        let out = io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| format!("cannot use the standard output: {error}"))?;
        Ok(Self::to(patient_pipe(&out).unwrap_or_else(|| fs::File::from(out))))
    }
}

impl<W: Write + AsFd> Stdout<W> {
    /// Makes a sink that writes to any other output.
    pub fn to(out: W) -> Self {
        Self { out, at: OutputPosition::default(), torn: Vec::new() }
    }

    /// Writes the rest of `batch`. Returns false if the reader took nothing for a while.
    fn write_batch(&mut self, batch: &Batch) -> io::Result<bool> {
        self.torn.clear();
        let entries = batch.entries();
        while let Some(first) = entries.get(self.at.entry) {
            let run = contiguous(batch, self.at.entry);
            let lines = batch.lines(first, &entries[self.at.entry + run - 1]);
            while self.at.byte < lines.len() {
                match self.out.write(&lines[self.at.byte..]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(written) => self.at.byte += written,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        if !self.writable(PATIENCE.into())? {
                            self.torn.extend_from_slice(rest_of_line(lines, self.at.byte));
                            return Ok(false);
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
            self.at = OutputPosition { entry: self.at.entry + run, byte: 0 };
        }
        Ok(true)
    }

    /// Waits until the output takes more, for at most `patience`.
    fn writable(&self, patience: PollTimeout) -> io::Result<bool> {
        let mut descriptors = [PollFd::new(self.out.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut descriptors, patience) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::errno::Errno::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the line that the reader has in part, as soon as the reader takes more: another sink may write behind it.
    /// Stops when the reader has taken nothing for `patience`.
    fn end_line(&mut self, patience: PollTimeout) -> io::Result<()> {
        while !self.torn.is_empty() {
            match self.out.write(&self.torn) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.torn.drain(..written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.writable(patience)? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<W: Write + AsFd + Send> Sink for Stdout<W> {
    fn write(&mut self, batches: &mut VecDeque<Batch>) -> Result<(), Error> {
        while let Some(batch) = batches.front() {
            match self.write_batch(batch) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    return Err(Error::Closed("the reader of the standard output has gone".to_owned()));
                }
                Err(error) => return Err(Error::Retry(format!("cannot write to the standard output: {error}"))),
            }
            self.at = OutputPosition::default();
            if let Some(batch) = batches.pop_front() {
                batch.delivered();
            }
        }
        Ok(())
    }

    fn taken(&self, front: &Batch) -> usize {
        let run = &front.entries()[self.at.entry..];
        let end = run.first().map_or(0, |first| first.line.range().start + self.at.byte);
        self.at.entry + run.iter().take_while(|entry| entry.line.range().end <= end).count()
    }

    fn finish(&mut self, deadline: Instant) -> Result<(), Error> {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let patience = u16::try_from(left).unwrap_or(u16::MAX).max(PATIENCE);
        // The record counts as dropped, and is sent again if a spool or a source keeps it.
        let _ = self.end_line(patience.into());
        Ok(())
    }
}

impl<W: Write + AsFd> Drop for Stdout<W> {
    fn drop(&mut self) {
        // The record counts as dropped already, and no caller is left to get an error.
        let _ = self.end_line(PollTimeout::NONE);
    }
}

/// Returns the rest of a line whose bytes before `at` are written; empty if `at` is at the start of a line.
fn rest_of_line(lines: &[u8], at: usize) -> &[u8] {
    if at == 0 || lines[at - 1] == b'\n' {
        return &[];
    }
    let rest = &lines[at..];
    &rest[..memchr::memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1)]
}

/// Opens the same pipe again so that a write does not block: a sink whose reader is stuck can then be removed. The open
/// file that this process inherited stays as it is, because other processes may share it. Returns `None` if the output
/// is no pipe, or is another user's.
fn patient_pipe(out: &OwnedFd) -> Option<fs::File> {
    let path = format!("/proc/self/fd/{}", out.as_raw_fd());
    let is_pipe = fs::metadata(&path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    is_pipe.then(|| fs::OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).ok()).flatten()
}

/// Returns how many lines from `first` on are adjacent; at least one.
fn contiguous(batch: &Batch, first: usize) -> usize {
    let entries = &batch.entries()[first..];
    let gap = entries.windows(2).position(|pair| pair[0].line.end != pair[1].line.start);
    gap.map_or(entries.len(), |gap| gap + 1)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::ledger::{Reason, SinkLedger};
    use crate::sink::testing::{lines, settled};

    fn write_all(sink: &mut Stdout<UnixStream>, batches: &mut VecDeque<Batch>) {
        while !batches.is_empty() {
            sink.write(batches).unwrap();
        }
    }

    #[test]
    fn leaves_out_what_is_not_of_the_batch() {
        let ledger: Arc<SinkLedger> = Arc::default();
        let (out, mut reader) = UnixStream::pair().unwrap();
        let mut sink = Stdout::to(out);
        let mut batches = VecDeque::from([lines(&ledger, &["one", "two", "gap", "three"]), lines(&ledger, &["four"])]);
        write_all(&mut sink, &mut batches);
        drop(sink);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\nthree\nfour\n");
        assert_eq!(settled(&ledger), (4, 0));
    }

    #[test]
    fn a_slow_reader_of_a_non_blocking_output_gets_each_line_once() {
        let ledger: Arc<SinkLedger> = Arc::default();
        let (out, mut reader) = UnixStream::pair().unwrap();
        out.set_nonblocking(true).unwrap();
        let line = "x".repeat(5000);
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            let mut part = [0; 777];
            while let Ok(read @ 1..) = reader.read(&mut part) {
                all.extend_from_slice(&part[..read]);
            }
            all
        });
        let mut batches: VecDeque<_> = (0..200).map(|_| lines(&ledger, &[&line, "gap", &line])).collect();
        let mut sink = Stdout::to(out);
        write_all(&mut sink, &mut batches);
        drop(sink);
        let all = reader.join().unwrap();
        assert_eq!(all, format!("{line}\n").repeat(400).into_bytes());
        assert_eq!(settled(&ledger), (400, 0));
    }

    #[test]
    fn a_reader_that_stands_still_is_no_error() {
        let ledger: Arc<SinkLedger> = Arc::default();
        let (out, reader) = UnixStream::pair().unwrap();
        out.set_nonblocking(true).unwrap();
        let mut batches = VecDeque::from([lines(&ledger, &["x".repeat(2_000_000).as_str()])]);
        let mut sink = Stdout::to(out);
        assert!(sink.write(&mut batches).is_ok());
        assert_eq!(batches.len(), 1);
        drop(reader);
        batches.drain(..).for_each(Batch::delivered);
    }

    #[test]
    fn a_line_given_up_half_written_is_ended_when_somebody_reads() {
        let ledger: Arc<SinkLedger> = Arc::default();
        let (out, mut reader) = UnixStream::pair().unwrap();
        out.set_nonblocking(true).unwrap();
        let line = "x".repeat(2_000_000);
        let mut batches = VecDeque::from([lines(&ledger, &["first", "gap", "second", &line, "never begun"])]);
        let mut sink = Stdout::to(out);
        assert!(sink.write(&mut batches).is_ok());
        assert_eq!(sink.taken(&batches[0]), 2);
        batches.drain(..).for_each(|batch| batch.dropped(Reason::Shutdown));
        let dropped = thread::spawn(move || drop(sink));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        dropped.join().unwrap();
        assert!(text == format!("first\nsecond\n{line}\n"), "{} bytes", text.len());
        assert_eq!(settled(&ledger), (0, 4));
    }

    #[test]
    fn a_reader_that_has_gone_closes_it() {
        let ledger: Arc<SinkLedger> = Arc::default();
        let (out, reader) = UnixStream::pair().unwrap();
        drop(reader);
        let mut batches = VecDeque::from([lines(&ledger, &["one"])]);
        assert!(matches!(Stdout::to(out).write(&mut batches), Err(Error::Closed(_))));
        assert_eq!(batches.len(), 1);
        batches.drain(..).for_each(Batch::delivered);
    }

    #[test]
    fn a_full_device_is_tried_again() {
        let ledger: Arc<SinkLedger> = Arc::default();
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut batches = VecDeque::from([lines(&ledger, &["one"])]);
        assert!(matches!(Stdout::to(full).write(&mut batches), Err(Error::Retry(_))));
        batches.drain(..).for_each(Batch::delivered);
    }
}
