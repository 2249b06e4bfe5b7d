//! A dead-letter file that one replay has claimed for itself.
//!
//! `FILE` is renamed to `FILE.replaying` under the lock that every writer to it takes, so that a daemon continues with
//! a new `FILE`. The replay keeps the lock. A finished line is marked in place, by a `#` as its first byte. The mark
//! needs no space on the disk, and the next replay skips the line, however this replay ended. When every line is
//! finished, the file is removed.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::sink::dead_letter::{is_at, sync_directory};

/// First byte of a finished line.
pub(super) const DONE: u8 = b'#';
/// Maximum length of a line. A longer line is damaged: it is not a record, and must not fill the memory.
const LONGEST_LINE: usize = 64 << 20;
/// Maximum time to wait for a lock that a daemon holds.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);
const REPLAYING: &str = ".replaying";
const DAMAGED: &str = ".damaged";

#[derive(Debug)]
pub(super) struct Claim {
    file: Flock<fs::File>,
    /// `FILE.replaying`.
    path: PathBuf,
    /// `FILE`.
    base: PathBuf,
}

/// The lines of a file, one after the other.
#[derive(Debug)]
pub(super) struct ClaimedLines<R> {
    input: BufReader<R>,
    number: u64,
    end: u64,
}

/// Position of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinePosition {
    /// Number, counted from 1.
    pub(super) number: u64,
    /// Offset of its first byte.
    pub(super) start: u64,
    /// Offset of the byte after its LF.
    pub(super) end: u64,
    /// True if the line is too long and its text was not kept.
    pub(super) too_long: bool,
}

/// Returns the name of a file without the ending that a replay appended.
pub(super) fn base_of(path: &Path) -> PathBuf {
    let name = path.as_os_str().as_bytes();
    name.strip_suffix(REPLAYING.as_bytes()).map_or_else(|| path.to_owned(), |base| OsStr::from_bytes(base).into())
}

/// Returns the name of the file that a replay is processing, or was processing when it was interrupted.
pub(super) fn replaying(base: &Path) -> PathBuf {
    with(base, REPLAYING)
}

/// Returns the name of the file for damaged lines; for such a file itself, that is a new one of the same name.
pub(super) fn damaged(base: &Path) -> PathBuf {
    if base.as_os_str().as_bytes().ends_with(DAMAGED.as_bytes()) { base.to_owned() } else { with(base, DAMAGED) }
}

fn with(base: &Path, end: &str) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(end);
    name.into()
}

// === impl Claim ===

impl Claim {
    /// Claims the file that an interrupted replay left; `None` if there is none.
    pub(super) fn resume(base: &Path) -> io::Result<Option<Self>> {
        let path = replaying(base);
        let Some(file) = open(&path)? else { return Ok(None) };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(is_at(&path, &file).then(|| Self { file, path, base: base.to_owned() })),
            Err((_, Errno::EWOULDBLOCK)) => Err(at_work()),
            Err((_, errno)) => Err(errno.into()),
        }
    }

    /// Takes the file away from its writers; `None` if there is none.
    pub(super) fn take(base: &Path) -> io::Result<Option<Self>> {
        let path = replaying(base);
        let until = Instant::now() + PATIENCE;
        loop {
            let Some(file) = open(base)? else { return Ok(None) };
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) if is_at(base, &file) => {
                    // Every process that creates that name holds this lock.
                    if path.try_exists()? {
                        return Err(at_work());
                    }
                    fs::rename(base, &path)?;
                    sync_directory(base)?;
                    return Ok(Some(Self { file, path, base: base.to_owned() }));
                }
                Ok(_) | Err((_, Errno::EWOULDBLOCK)) => {}
                Err((_, errno)) => return Err(errno.into()),
            }
            if Instant::now() >= until {
                return Err(io::Error::other("another process has locked it"));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// `FILE.replaying`.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn lines(&self) -> io::Result<ClaimedLines<fs::File>> {
        Ok(ClaimedLines::new(fs::File::open(&self.path)?))
    }

    /// Marks the line that begins at `start` as finished.
    pub(super) fn mark(&self, start: u64) -> io::Result<()> {
        self.file.write_all_at(&[DONE], start)
    }

    /// Moves a line that cannot be sent to the file of damaged lines, and returns the name of that file.
    pub(super) fn set_aside(&self, line: LinePosition) -> io::Result<PathBuf> {
        let path = damaged(&self.base);
        let mut out = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let size = out.metadata()?.len();
        let mut from = fs::File::open(&self.path)?;
        from.seek(SeekFrom::Start(line.start))?;
        let copied = io::copy(&mut from.take(line.end - line.start), &mut out).and_then(|_| {
            let mut last = [0];
            self.file.read_exact_at(&mut last, line.end - 1)?;
            if last == *b"\n" { Ok(()) } else { out.write_all(b"\n") }
        });
        copied.inspect_err(|_| drop(out.set_len(size)))?;
        out.sync_data()?;
        sync_directory(&path)?;
        self.mark(line.start)?;
        Ok(path)
    }

    /// Removes the file; every line must be finished.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        sync_directory(&self.path)
    }
}

fn open(path: &Path) -> io::Result<Option<fs::File>> {
    match fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) if !file.metadata()?.is_file() => Err(io::Error::other("it is not a regular file")),
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn at_work() -> io::Error {
    io::Error::other("another replay uses it")
}

// === impl ClaimedLines ===

impl<R: Read> ClaimedLines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(64 << 10, input), number: 0, end: 0 }
    }

    /// Reads the next line into `text`, with its LF if it has one; `None` at the end.
    pub(super) fn next(&mut self, text: &mut Vec<u8>) -> io::Result<Option<LinePosition>> {
        text.clear();
        let start = self.end;
        let mut too_long = false;
        loop {
            let part = self.input.fill_buf()?;
            let taken = memchr::memchr(b'\n', part).map_or(part.len(), |end| end + 1);
            let ended = taken == 0 || part[taken - 1] == b'\n';
            too_long |= text.len() + taken > LONGEST_LINE;
            if too_long {
                text.clear();
            } else {
                text.extend_from_slice(&part[..taken]);
            }
            self.input.consume(taken);
            self.end += taken as u64;
            if ended {
                break;
            }
        }
        self.number += 1;
        Ok((self.end > start).then_some(LinePosition { number: self.number, start, end: self.end, too_long }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_places() {
        let mut lines = ClaimedLines::new(&b"one\n\ntwo"[..]);
        let mut text = Vec::new();
        let mut found = Vec::new();
        while let Some(line) = lines.next(&mut text).unwrap() {
            found.push((line.number, line.start, line.end, String::from_utf8(text.clone()).unwrap()));
        }
        assert_eq!(found, [(1, 0, 4, "one\n".to_owned()), (2, 4, 5, "\n".to_owned()), (3, 5, 8, "two".to_owned())]);
    }

    #[test]
    fn a_line_that_is_too_long_does_not_fill_the_memory() {
        let size = LONGEST_LINE as u64 + 1;
        let input = io::repeat(b'x').take(size).chain(&b"\nnext\n"[..]);
        let mut lines = ClaimedLines::new(input);
        let mut text = Vec::new();
        let line = lines.next(&mut text).unwrap().unwrap();
        assert_eq!(line, LinePosition { number: 1, start: 0, end: size + 1, too_long: true });
        assert!(text.is_empty());
        assert!(!lines.next(&mut text).unwrap().unwrap().too_long);
        assert_eq!(text, b"next\n");
    }

    #[test]
    fn one_replay_at_a_time_and_what_was_begun_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("dead.jsonl");
        assert!(Claim::take(&base).unwrap().is_none() && Claim::resume(&base).unwrap().is_none());
        fs::write(&base, "one\ntwo\n").unwrap();
        let claim = Claim::take(&base).unwrap().unwrap();
        assert!(!base.exists());
        fs::write(&base, "new\n").unwrap();
        assert!(Claim::resume(&base).unwrap_err().to_string().contains("another replay"));
        assert!(Claim::take(&base).unwrap_err().to_string().contains("another replay"));
        claim.mark(0).unwrap();
        drop(claim);
        let claim = Claim::resume(&base).unwrap().unwrap();
        assert_eq!(fs::read(claim.path()).unwrap(), b"#ne\ntwo\n");
        assert_eq!(base_of(claim.path()), base);
        claim.remove().unwrap();
        assert_eq!(fs::read(&base).unwrap(), b"new\n");
        assert!(Claim::resume(&base).unwrap().is_none());
    }

    #[test]
    fn damaged_lines_are_set_aside_whole() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("dead.jsonl");
        fs::write(&base, "bad\n{\"torn").unwrap();
        let claim = Claim::take(&base).unwrap().unwrap();
        let mut lines = claim.lines().unwrap();
        let mut text = Vec::new();
        while let Some(line) = lines.next(&mut text).unwrap() {
            claim.set_aside(line).unwrap();
        }
        assert_eq!(fs::read(directory.path().join("dead.jsonl.damaged")).unwrap(), b"bad\n{\"torn\n");
        assert_eq!(fs::read(claim.path()).unwrap(), b"#ad\n#\"torn");
        assert_eq!(damaged(&directory.path().join("dead.jsonl.damaged")), directory.path().join("dead.jsonl.damaged"));
    }
}
