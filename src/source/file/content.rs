//! The content of a file, plain or compressed: its first bytes, and the bytes before an offset.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::cursor::{CursorEntry, FINGERPRINT, FileIdentity, Fingerprint};
use super::system::{Content, Sequential, System};
use crate::gzip::GzipReader;
use crate::source::sizes::READ_SIZE;

/// Age of the last change from which a compressed file counts as completely written.
const YOUNG: Duration = Duration::from_secs(60);
/// Maximum lag of the kernel's clock for files.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// Size and time of change, which tell whether a closed file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChangeStamp {
    pub(super) len: u64,
    pub(super) modified: Option<SystemTime>,
}

/// An open file.
pub(super) enum FollowedInput {
    Plain(Rc<dyn Content>),
    Gzip(Box<Gzip>),
}

/// A compressed file.
pub(super) struct Gzip {
    content: Rc<dyn Content>,
    pub(super) decoder: GzipReader<BufReader<Sequential>>,
    /// Number of decompressed bytes that have been read.
    pub(super) at: u64,
}

/// The beginning of a file.
pub(super) struct Head {
    pub(super) identity: FileIdentity,
    /// The first bytes, decompressed: enough for a fingerprint, or as many as can be read.
    pub(super) bytes: Vec<u8>,
    /// True if the file is compressed and ends too early: it may still be being written.
    pub(super) is_torn: bool,
}

impl ChangeStamp {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }

    /// Returns a stamp from a size and a time of change as the kernel gives it.
    pub(super) fn new(len: u64, seconds: i64, nanoseconds: i64) -> Self {
        let since = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
        let since = since.map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds));
        Self { len, modified: since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)) }
    }

    /// Returns true if the last change was within the last tick, or in the future, as set by the clock of another
    /// machine.
    pub(super) fn is_of_now(&self, now: SystemTime) -> bool {
        self.age(now).is_none_or(|age| age < TICK)
    }

    /// Returns true if a compressed file with this stamp may still be being written.
    pub(super) fn is_young(&self, now: SystemTime) -> bool {
        self.age(now).is_some_and(|age| age < YOUNG)
    }

    fn age(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(self.modified?).ok()
    }
}

/// Returns true if a file is compressed, according to its name.
pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// Returns the beginning of the file at `path`. Damage in the file is not an error.
pub(super) fn head(system: &dyn System, path: &Path) -> io::Result<Head> {
    let file = system.open(path)?;
    let (identity, _) = file.status()?;
    let (bytes, is_torn) = first_bytes(&file, is_gzip(path))?;
    Ok(Head { identity, bytes, is_torn })
}

/// Returns the first bytes of a file, decompressed, and whether it is compressed and ends too early.
pub(super) fn first_bytes(file: &Rc<dyn Content>, is_gzip: bool) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::with_capacity(FINGERPRINT);
    let file = Sequential::new(Rc::clone(file));
    let read = if is_gzip {
        GzipReader::new(BufReader::new(file)).take(FINGERPRINT as u64).read_to_end(&mut bytes)
    } else {
        file.take(FINGERPRINT as u64).read_to_end(&mut bytes)
    };
    let is_torn = match read {
        Err(error) if is_gzip && is_damage(&error) => error.kind() == io::ErrorKind::UnexpectedEof,
        read => read.map(|_| false)?,
    };
    Ok((bytes, is_torn))
}

/// Returns true if the error is due to the content of a compressed file.
pub(super) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

/// Returns true if the file at `path` has the delivered content before the offset of `entry`, so that it can be read on
/// from there.
pub(super) fn holds(system: &dyn System, path: &Path, entry: &CursorEntry) -> io::Result<bool> {
    let file = system.open(path)?;
    if is_gzip(path) {
        Gzip::new(file).pass(entry.offset, &entry.mark, entry.offset, &mut io::sink())
    } else {
        has_before(&*file, entry.offset, &entry.mark)
    }
}

/// Returns true if the bytes before `end` match `mark`.
pub(super) fn has_before(file: &dyn Content, end: u64, mark: &Fingerprint) -> io::Result<bool> {
    let mut bytes = [0; FINGERPRINT];
    let bytes = &mut bytes[..mark.len()];
    let Some(from) = end.checked_sub(mark.len() as u64) else { return Ok(false) };
    Ok(file.fill_at(bytes, from)? == bytes.len() && mark.begins(bytes))
}

/// Returns the offset of the last, unterminated line of a file, and the fingerprint of the bytes before it. The line
/// begins after the last LF if that is within `most` bytes of the end.
pub(super) fn last_line(system: &dyn System, path: &Path, most: usize) -> io::Result<(u64, Fingerprint)> {
    let file = system.open(path)?;
    let (_, ChangeStamp { len, .. }) = file.status()?;
    let mut end = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(most + FINGERPRINT)];
    let from = len - end.len() as u64;
    if file.fill_at(&mut end, from)? < end.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = match memchr::memrchr(b'\n', &end) {
        Some(lf) => lf + 1,
        None if from == 0 => 0,
        None => end.len(),
    };
    Ok((from + line as u64, Fingerprint::before_end(&end[..line])))
}

// === impl Gzip ===

impl Gzip {
    pub(super) fn new(content: Rc<dyn Content>) -> Self {
        let input = BufReader::with_capacity(READ_SIZE, Sequential::new(Rc::clone(&content)));
        Self { content, decoder: GzipReader::new(input), at: 0 }
    }

    /// Skips the content before `end`, and writes the part of it from `from` on to `lines`. Returns true if the last
    /// bytes before `end` match `mark`.
    pub(super) fn pass(&mut self, end: u64, mark: &Fingerprint, from: u64, lines: &mut impl Write) -> io::Result<bool> {
        let Some(marked) = end.checked_sub(mark.len() as u64) else { return Ok(false) };
        self.skip_to(from.min(marked))?;
        self.at += io::copy(&mut (&mut self.decoder).take(marked.saturating_sub(from)), lines)?;
        let mut bytes = Vec::with_capacity(mark.len());
        self.at += (&mut self.decoder).take(mark.len() as u64).read_to_end(&mut bytes)? as u64;
        let skipped = from.saturating_sub(marked).min(bytes.len() as u64) as usize;
        lines.write_all(&bytes[skipped..])?;
        Ok(self.at == end && mark.begins(&bytes))
    }

    pub(super) fn skip_to(&mut self, position: u64) -> io::Result<()> {
        let rest = position.saturating_sub(self.at);
        self.at += io::copy(&mut (&mut self.decoder).take(rest), &mut io::sink())?;
        Ok(())
    }
}

impl FollowedInput {
    /// Makes the next read of a compressed file begin at its beginning. A plain file is read at an offset.
    pub(super) fn rewind(&mut self) {
        if let Self::Gzip(gzip) = self {
            **gzip = Gzip::new(Rc::clone(&gzip.content));
        }
    }
}

/// Appends the bytes of one read, and returns their number. After an error nothing is appended.
pub(super) fn append(tail: &mut Vec<u8>, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
    let before = tail.len();
    tail.resize(before + READ_SIZE, 0);
    let result = read(&mut tail[before..]);
    tail.truncate(before + *result.as_ref().unwrap_or(&0));
    result
}
