//! A line that was found. Its bytes are kept, and parsed again where its fields are needed.

use std::hash::{BuildHasher, RandomState};

use jiff::tz::TimeZone;
use memchr::memmem;

use super::source::LogText;
use crate::frame::Frame;
use crate::read_frame;
use crate::record::{LineHash, NewId, Origin, Peer, Record, Transport};
use crate::syslog::{Context, Format};
use crate::time::Timestamp;

/// A line, and its place.
#[derive(Debug)]
pub(super) struct FoundLine {
    /// Number of its log.
    pub(super) log: usize,
    /// Offset in the text of the log.
    pub(super) at: u64,
    pub(super) bytes: Box<[u8]>,
    pub(super) truncated: bool,
    /// Time of the line, in microseconds.
    pub(super) time: i64,
    /// Hash of its host.
    pub(super) host: u64,
    /// Hash of what equal lines have in common, whatever their headers look like.
    pub(super) print: u64,
    /// Hash from which its id is made, if hashes were asked for.
    hash: u64,
}

/// How lines are read.
pub(super) struct LineReader {
    /// True if the lines need the hashes from which their ids are made.
    pub(super) is_hashed: bool,
    origins: [Origin; 2],
    paths: Vec<Option<String>>,
    pub(super) now: Timestamp,
    hasher: RandomState,
}

impl FoundLine {
    /// Returns the part of the line that names its process, with the byte behind it: `postfix/smtpd[4242]`.
    pub(super) fn header(&self, record: &Record<'_>) -> Option<Box<[u8]>> {
        let (name, id) = (record.message.app_name?, record.message.procid?);
        let start = memmem::find(&self.bytes, name.as_bytes())?;
        let rest = &self.bytes[start + name.len()..];
        let end = memmem::find(rest.get(..(id.len() + 2).min(rest.len()))?, id.as_bytes())? + id.len() + 1;
        self.bytes.get(start..start + name.len() + end).map(Into::into)
    }

    /// Returns the memory that the line holds, in bytes.
    pub(super) const fn held(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}

impl LineReader {
    pub(super) fn new(zone: &TimeZone, format: Format, logs: &[LogText], is_hashed: bool, now: Timestamp) -> Self {
        let origin = |transport| Origin { name: "trace".to_owned(), transport, zone: zone.clone(), format };
        let paths = logs.iter().map(|log| log.path.as_ref().map(|path| path.to_string_lossy().into_owned())).collect();
        let origins = [origin(Transport::File), origin(Transport::Stdin)];
        Self { is_hashed, origins, paths, now, hasher: RandomState::new() }
    }

    /// Keeps a line with its record: the number of its log, its offset and its hash.
    pub(super) fn found(
        &self,
        frame: &Frame<'_>,
        record: &Record<'_>,
        (log, at, LineHash(hash)): (usize, u64, LineHash),
    ) -> FoundLine {
        let (message, time) = (&record.message, micros(record.timestamp()));
        let host = self.hasher.hash_one(message.hostname);
        let print = self.hasher.hash_one((message.hostname, message.app_name, message.procid, message.text(), time));
        FoundLine { log, at, bytes: frame.bytes.into(), truncated: frame.truncated, time, host, print, hash }
    }

    /// Parses a frame of a log, and passes its record to `use_record`.
    pub(super) fn read<R>(
        &self,
        log: usize,
        frame: &Frame<'_>,
        hash: LineHash,
        use_record: impl FnOnce(&Record<'_>) -> R,
    ) -> R {
        let path = self.paths.get(log).and_then(Option::as_deref);
        let origin = &self.origins[usize::from(path.is_none())];
        let context = Context::new(self.now, &origin.zone).with_format(origin.format);
        let peer = Peer { address: path, tls_subject: None };
        read_frame(frame, peer, origin, &context, NewId::Line(hash), use_record)
    }

    /// Parses a line that was found.
    pub(super) fn read_line<R>(&self, line: &FoundLine, use_record: impl FnOnce(&Record<'_>) -> R) -> R {
        self.read(line.log, &Frame { bytes: &line.bytes, truncated: line.truncated }, LineHash(line.hash), use_record)
    }
}

/// Returns a time in microseconds since 1970.
pub(super) fn micros(time: Timestamp) -> i64 {
    time.seconds().saturating_mul(1_000_000).saturating_add(i64::from(time.micros()))
}
