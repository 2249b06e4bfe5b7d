//! The way from a frame to its record: the stages `syslog` and `postfix` in one call.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::encode;
use crate::frame::Frame;
use crate::postfix;
use crate::record::{Flags, Level, NewId, Origin, Peer, Record};
use crate::syslog::{self, Context, DockerEntry, Format, Severity};

/// A frame, its sender, and where its record gets its id.
#[derive(Clone, Copy, Debug)]
pub struct Unread<'b> {
    /// Frame as it was sent.
    pub frame: Frame<'b>,
    /// Sender of the frame.
    pub peer: Peer<'b>,
    /// Source of the record's id.
    pub id: NewId,
}

/// Reads a frame and passes the record to `use_record`; succeeds whatever the frame holds.
pub fn read_frame<R>(
    frame: &Frame<'_>,
    peer: Peer<'_>,
    origin: &Origin,
    context: &Context<'_>,
    id: impl Into<NewId>,
    use_record: impl FnOnce(&Record<'_>) -> R,
) -> R {
    let (text, entry) = (text(frame), OnceCell::new());
    let unread = Unread { frame: *frame, peer, id: id.into() };
    let mut record = begin(&unread, &text, origin, context);
    complete(&mut record, &unread, &text, &entry, context);
    note_encoding(&mut record, matches!(text, Cow::Borrowed(_)));
    use_record(&record)
}

/// Reads a block of frames and passes their records, in order, to `use_records`: for a caller that looks at several
/// records at once. It costs three allocations a block.
pub fn read_block<R>(
    block: &[Unread<'_>],
    origin: &Origin,
    context: &Context<'_>,
    use_records: impl FnOnce(&mut [Record<'_>]) -> R,
) -> R {
    let texts: Vec<Cow<'_, str>> = block.iter().map(|unread| text(&unread.frame)).collect();
    let entries: Vec<OnceCell<Box<DockerEntry>>> = vec![OnceCell::new(); block.len()];
    let mut records = Vec::with_capacity(block.len());
    for ((unread, text), entry) in block.iter().zip(&texts).zip(&entries) {
        // Each part is written to its place in the list. A record that is moved as a whole costs 200 instructions more.
        records.push(begin(unread, text, origin, context));
        if let Some(record) = records.last_mut() {
            complete(record, unread, text, entry, context);
            note_encoding(record, matches!(text, Cow::Borrowed(_)));
        }
    }
    use_records(&mut records)
}

fn text<'b>(frame: &Frame<'b>) -> Cow<'b, str> {
    // The strict check is several times as fast as the lossy one, and nearly every frame passes it.
    std::str::from_utf8(frame.bytes).map_or_else(|_| String::from_utf8_lossy(frame.bytes), Cow::Borrowed)
}

/// Returns the record of a frame whose text is `text`, with the result of the `syslog` stage alone.
#[expect(clippy::inline_always, reason = "the record is then written to its place, and not moved there")]
#[inline(always)]
fn begin<'a>(unread: &Unread<'a>, text: &'a str, origin: &'a Origin, context: &Context<'_>) -> Record<'a> {
    let message = syslog::parse(text, context);
    Record {
        id: unread.id.of(message.timestamp),
        received_at: context.received_at(),
        origin,
        peer: unread.peer,
        flags: message.flags,
        plain: !encode::needs_escape(text),
        postfix: None,
        message,
    }
}

/// Adds the result of the `postfix` stage. `entry` is empty, and keeps what the record borrows from an entry of a
/// Docker log file.
fn complete<'a>(
    record: &mut Record<'a>,
    unread: &Unread<'a>,
    text: &str,
    entry: &'a OnceCell<Box<DockerEntry>>,
    context: &Context<'_>,
) {
    record.postfix = postfix::parse(&record.message);
    if record.postfix.is_none() && context.format() != Format::Plain {
        look_inside(record, entry, context);
        record.id = unread.id.of(record.message.timestamp);
    }
    if let Some(postfix) = &record.postfix {
        record.flags |= postfix.flags;
        if record.message.severity.is_none() {
            record.message.severity = Some(postfix.level.map_or(Severity::INFO, Level::severity));
            record.flags |= Flags::SEVERITY_INFERRED;
        }
        if postfix.event.exceeds() {
            record.flags |= Flags::NUMBER_OUT_OF_RANGE;
        }
    }
    if unread.frame.truncated {
        record.flags |= Flags::TRUNCATED;
    }
    if record.postfix.is_none() && postfix::has_tag(&record.message, text) {
        record.flags |= Flags::HEADER_UNRECOGNISED;
    }
}

/// Flags a record whose text had bytes that are not UTF-8.
fn note_encoding(record: &mut Record<'_>, is_utf8: bool) {
    if !is_utf8 {
        record.flags |= Flags::INVALID_UTF8;
    }
}

/// Looks for the message of a Postfix program inside a message of another program: after a second header, or in an
/// entry of a Docker log file. Messages that a Postfix program wrote are not searched, because they contain text from
/// strangers.
fn look_inside<'a>(record: &mut Record<'a>, entry: &'a OnceCell<Box<DockerEntry>>, context: &Context<'_>) {
    let mut severity = record.message.severity;
    let read = DockerEntry::read(&record.message, context.format());
    let mut inner = match read.map(|read| entry.get_or_init(|| Box::new(read))) {
        Some(entry) => Some(entry.message(&record.message, context)),
        None => record.message.inner(context),
    };
    let mut depth = 0;
    while let Some(message) = inner.take() {
        severity = message.severity.or(severity);
        record.flags = message.flags;
        record.postfix = postfix::parse(&message);
        record.message = message;
        depth += 1;
        if record.postfix.is_none() && depth < syslog::DEEPEST {
            inner = record.message.inner(context);
        }
    }
    // A log driver gives all lines the same severity.
    if record.postfix.as_ref().is_none_or(|postfix| postfix.level.is_none()) {
        record.message.severity = severity;
    }
}
