//! What is in a file, plain or compressed: how it begins, and what stands before a place in it.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::cursor::{Entry, FINGERPRINT, Fingerprint, Identity};
use super::links::open;
use crate::config::Links;
use crate::gzip::GzipReader;
use crate::source::stream::READ_SIZE;

/// A compressed file that was not changed for so long is not being written any more.
const YOUNG: Duration = Duration::from_secs(60);
/// The kernel's clock for files is behind by up to a tick.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// What tells whether a closed file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) len: u64,
    pub(super) modified: Option<SystemTime>,
}

/// An open file.
pub(super) enum Input {
    Plain(File),
    Gzip(Box<Gzip>),
}

/// A compressed file.
pub(super) struct Gzip {
    pub(super) decoder: GzipReader<BufReader<File>>,
    /// How many bytes have been taken out of it.
    pub(super) at: u64,
}

/// How a file begins.
pub(super) struct Head {
    pub(super) identity: Identity,
    /// The first bytes, decompressed, as many as make a fingerprint or can be read.
    pub(super) bytes: Vec<u8>,
    /// It is compressed, and ends before it should: it may be being written.
    pub(super) is_torn: bool,
}

impl Stamp {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }

    /// Of a size, and a time of change as the kernel counts it.
    pub(super) fn new(len: u64, seconds: i64, nanoseconds: i64) -> Self {
        let since = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
        let since = since.map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds));
        Self { len, modified: since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)) }
    }

    /// Whether it was changed within the last tick, or in the future, as a clock goes that is not this machine's.
    pub(super) fn is_of_now(&self) -> bool {
        self.modified.and_then(|modified| modified.elapsed().ok()).is_none_or(|age| age < TICK)
    }

    /// Whether a compressed file may still be being written.
    pub(super) fn is_young(&self) -> bool {
        self.modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age < YOUNG)
    }
}

/// Whether a file is compressed, which its name says.
pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// How the file at `path` begins. That it is damaged is no error.
pub(super) fn head(path: &Path, links: Links) -> io::Result<Head> {
    let mut file = open(path, links)?;
    let identity = Identity::of(&file.metadata()?);
    let (bytes, is_torn) = first_bytes(&mut file, is_gzip(path))?;
    Ok(Head { identity, bytes, is_torn })
}

pub(super) fn first_bytes(file: &mut File, is_gzip: bool) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::with_capacity(FINGERPRINT);
    file.rewind()?;
    let read = if is_gzip {
        GzipReader::new(BufReader::new(&mut *file)).take(FINGERPRINT as u64).read_to_end(&mut bytes)
    } else {
        (&mut *file).take(FINGERPRINT as u64).read_to_end(&mut bytes)
    };
    let is_torn = match read {
        Err(error) if is_gzip && is_damage(&error) => error.kind() == io::ErrorKind::UnexpectedEof,
        read => read.map(|_| false)?,
    };
    file.rewind()?;
    Ok((bytes, is_torn))
}

/// Whether the content of a compressed file is the reason.
pub(super) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

/// Whether the file at `path` has before the offset of `entry` what was delivered, so that it can be read on from
/// there.
pub(super) fn holds(path: &Path, entry: &Entry, links: Links) -> io::Result<bool> {
    let file = open(path, links)?;
    if is_gzip(path) {
        Gzip::new(file).pass(entry.offset, &entry.mark, entry.offset, &mut io::sink())
    } else {
        has_before(&file, entry.offset, &entry.mark)
    }
}

/// Whether what stands before `end` is what `mark` was taken of.
pub(super) fn has_before(file: &File, end: u64, mark: &Fingerprint) -> io::Result<bool> {
    let mut bytes = [0; FINGERPRINT];
    let bytes = &mut bytes[..mark.len()];
    let Some(from) = end.checked_sub(mark.len() as u64) else { return Ok(false) };
    match file.read_exact_at(bytes, from) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| mark.begins(bytes)),
    }
}

/// Where the last line of a file begins that has no end yet: after the last LF, if that is within `most` bytes of the
/// end; and what stands before it.
pub(super) fn last_line(path: &Path, most: usize, links: Links) -> io::Result<(u64, Fingerprint)> {
    let file = open(path, links)?;
    let len = file.metadata()?.len();
    let mut end = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(most + FINGERPRINT)];
    let from = len - end.len() as u64;
    file.read_exact_at(&mut end, from)?;
    let line = match memchr::memrchr(b'\n', &end) {
        Some(lf) => lf + 1,
        None if from == 0 => 0,
        None => end.len(),
    };
    Ok((from + line as u64, Fingerprint::before_end(&end[..line])))
}

// === impl Gzip ===

impl Gzip {
    pub(super) fn new(file: File) -> Self {
        Self { decoder: GzipReader::new(BufReader::with_capacity(READ_SIZE, file)), at: 0 }
    }

    /// The same from the beginning; none if that fails.
    pub(super) fn again(self) -> Option<Self> {
        let mut file = self.decoder.into_inner()?.into_inner();
        file.rewind().ok()?;
        Some(Self::new(file))
    }

    /// Passes over what stands before `end`, and gives `lines` what of it begins at `from`; whether `mark` was taken of
    /// the last of it.
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

impl Input {
    /// The same file, to be read from its beginning; none if that fails.
    pub(super) fn again(self) -> Option<Self> {
        match self {
            Self::Plain(file) => Some(Self::Plain(file)),
            Self::Gzip(gzip) => Some(Self::Gzip(Box::new(gzip.again()?))),
        }
    }
}

/// Appends one read, and gives its size; after an error nothing is appended.
pub(super) fn append(tail: &mut Vec<u8>, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
    let before = tail.len();
    tail.resize(before + READ_SIZE, 0);
    let result = read(&mut tail[before..]);
    tail.truncate(before + *result.as_ref().unwrap_or(&0));
    result
}
