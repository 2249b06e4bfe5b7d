//! The way from a frame to its record: the stages `syslog` and `postfix` in one call.

use std::borrow::Cow;

use crate::encode;
use crate::frame::Frame;
use crate::postfix;
use crate::record::{Flags, Level, NewId, Origin, Peer, Record};
use crate::syslog::{self, Context, DockerEntry, Format, Severity};

/// Reads a frame and passes the record to `use_record`; succeeds whatever the frame holds.
pub fn read_frame<R>(
    frame: &Frame<'_>,
    peer: Peer<'_>,
    origin: &Origin,
    context: &Context<'_>,
    id: impl Into<NewId>,
    use_record: impl FnOnce(&Record<'_>) -> R,
) -> R {
    // The strict check is several times as fast as the lossy one, and nearly every frame passes it.
    let text = std::str::from_utf8(frame.bytes).map_or_else(|_| String::from_utf8_lossy(frame.bytes), Cow::Borrowed);
    let (mut entry, id) = (None, id.into());
    let message = syslog::parse(&text, context);
    let mut record = Record {
        id: id.of(message.timestamp),
        received_at: context.received_at(),
        origin,
        peer,
        flags: message.flags,
        plain: !encode::needs_escape(&text),
        postfix: postfix::parse(&message),
        message,
    };
    if record.postfix.is_none() && context.format() != Format::Plain {
        look_inside(&mut record, &mut entry, context);
        record.id = id.of(record.message.timestamp);
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
    if matches!(text, Cow::Owned(_)) {
        record.flags |= Flags::INVALID_UTF8;
    }
    if frame.truncated {
        record.flags |= Flags::TRUNCATED;
    }
    if record.postfix.is_none() && postfix::has_tag(&record.message, &text) {
        record.flags |= Flags::HEADER_UNRECOGNISED;
    }
    use_record(&record)
}

/// Looks for the message of a Postfix program inside a message of another program: after a second header, or in an
/// entry of a Docker log file. Messages that a Postfix program wrote are not searched, because they contain text from
/// strangers.
fn look_inside<'a>(record: &mut Record<'a>, entry: &'a mut Option<DockerEntry>, context: &Context<'_>) {
    let mut severity = record.message.severity;
    *entry = DockerEntry::read(&record.message, context.format());
    let mut inner = match entry {
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
