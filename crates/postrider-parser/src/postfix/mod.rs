//! The `postfix` stage: what a Postfix program said, as a typed event.
//!
//! ```text
//! app_name: INSTANCE[/SERVICE]/DAEMON        text: [LEVEL: ][QUEUE-ID: ]what happened
//!           tag                                    queue_id            a reader
//! ```
//!
//! Every function here is total: a line that is cut, munged or forged still gives an event, and a part that could not
//! be read is `None`. Time is linear in the length of the text, and nothing is allocated.

mod address;
mod agent;
mod anvil;
mod bounce;
mod cache;
mod cause;
mod cleanup;
mod debug;
mod delivery;
mod divide;
mod dnsblog;
mod endpoint;
mod general;
mod infer;
mod library;
mod master;
mod pickup;
mod postscreen;
mod postsuper;
mod provider;
mod qmgr;
mod qmqpd;
mod queue_id;
mod reader;
mod remote_id;
mod reply;
mod scache;
mod shape;
mod smtp;
mod smtpd;
mod status;
mod tag;
mod tls;
mod tlsproxy;
mod unrecognised;
mod verdict;
mod words;

use self::queue_id::QueueId;
use self::reader::Writers::{Any, Of, Only};
use self::reader::{Line, Reader, Writers};
use crate::record::{
    AttemptFailed, ConnectionLost, Delivery, Event, Flags, Level, Notice, Postfix, QueueActive, Reply, Text,
};
use crate::syslog::Message;

/// Readers, from top to bottom: the first event counts. A line of an unknown program goes to every reader, except those
/// of [`Writers::Only`].
const READERS: &[Reader] = &[
    postscreen::READER,
    dnsblog::READER,
    tlsproxy::READER,
    tls::READER,
    verdict::READER,
    verdict::OUTBOUND,
    smtp::READER,
    smtpd::READER,
    qmqpd::READER,
    cleanup::READER,
    qmgr::READER,
    pickup::READER,
    bounce::READER,
    agent::READER,
    anvil::READER,
    scache::READER,
    cache::READER,
    postsuper::READER,
    master::READER,
    delivery::READER,
    general::POSTLOG,
    general::TLS_SCRIPT,
    general::TABLE_MIGRATION,
    general::READER,
    library::READER,
    debug::READER,
];

/// Reads a reply that a person has in front of them, without the server that said it.
pub fn read_reply(text: &str) -> Reply<'_> {
    provider::noted(reply::read_reply(text), None)
}

/// Returns what a Postfix program said.
///
/// `None` if no Postfix program wrote the message. The tag alone decides this: see `tag.rs` for which tags count.
/// The order of level, queue id and text is that of `src/util/msg_output.c` and of the callers of `msg_info()`.
pub fn parse<'a>(message: &Message<'a>) -> Option<Postfix<'a>> {
    let tag = tag::read(message)?;
    let (level, text) = split_level(message.text());
    let (mut id, mut text) = queue_id::split(text);
    let line = Line { level, has_queue_id: id.is_some(), text };

    let mut flags = Flags::empty();
    let named = match tag.daemon {
        tag::Daemon::Named(name) => Some(name),
        tag::Daemon::Lost { .. } => None,
    };
    let mut event = event(&line, named, &mut flags);
    if matches!(event, Event::Other(_))
        && let Some((other, rest, what)) = behind_unusual_id(&line, named, &mut flags)
    {
        (id, text, event) = (Some(other), rest, what);
    }

    let daemon = match tag.daemon {
        tag::Daemon::Named(name) => Some(name),
        tag::Daemon::Lost { start } => {
            let fits = |name: &&str| name.starts_with(start);
            let inferred = tag::complete(start).or_else(|| infer::daemon(&event, text).filter(fits));
            if inferred.is_some() {
                flags |= Flags::DAEMON_INFERRED;
            }
            inferred.or_else(|| tag::PROGRAMS.contains(&start).then_some(start))
        }
    };
    // The record is built only here, so the compiler builds it where it will stay.
    Some(Postfix {
        event,
        instance: tag.instance,
        service: tag.service,
        daemon,
        level,
        queue_id: id.map(|id| id.text),
        queued_at: id.and_then(|id| id.queued_at),
        flags,
    })
}

/// True if the tag of a Postfix program stands anywhere in `text`, from which `message` was read. If [`parse`] returns
/// `None` for such a message, its line was not understood.
pub fn has_tag(message: &Message<'_>, text: &str) -> bool {
    unrecognised::has_tag(message, text)
}

/// Reads a line that no reader takes, with a placeholder in place of its queue id: `XXXXXXXXXX` or `<queueid>`, as
/// people write it in published lines and in tests. Returns this id, the text behind it and the event of that text. The
/// event must be as it is behind a real id.
///
/// Skips verbose output, which has a reader: the text after a word there comes from a stranger.
fn behind_unusual_id<'a>(
    line: &Line<'a>,
    daemon: Option<&str>,
    flags: &mut Flags,
) -> Option<(QueueId<'a>, &'a str, Event<'a>)> {
    if line.has_queue_id || line.level.is_some() {
        return None;
    }
    let (id, text) = queue_id::split_unusual(line.text)?;
    let mut added = Flags::QUEUE_ID_UNUSUAL;
    let event = event(&Line { level: None, has_queue_id: true, text }, daemon, &mut added);
    let is_whole = match &event {
        Event::MessageId(_) => text.contains("message-id=<"),
        Event::QueueActive(QueueActive { size, .. }) => size.is_some(),
        Event::Client(_) => text.contains(']'),
        Event::AttemptFailed(AttemptFailed { server, .. }) => server.is_some(),
        Event::Notice(Notice { kind, server, .. }) => server.is_some() || *kind == delivery::CUT,
        Event::ConnectionLost(ConnectionLost { client, .. }) => client.is_some(),
        Event::Delivery(_)
        | Event::Expired(_)
        | Event::Removed(_)
        | Event::Skipped
        | Event::Passing(_)
        | Event::Pickup(_)
        | Event::Notification(_)
        | Event::NotificationFailed(_)
        | Event::QueueAdmin(_)
        | Event::Verdict(_) => true,
        Event::Connect(_)
        | Event::Disconnect(_)
        | Event::Tls(_)
        | Event::TlsError(_)
        | Event::TlsReport(_)
        | Event::SaslFailure(_)
        | Event::HostnameMismatch(_)
        | Event::RateLimit(_)
        | Event::ProtocolError(_)
        | Event::Postscreen(_)
        | Event::Dnsbl(_)
        | Event::Statistics(_)
        | Event::CacheStatistics(_)
        | Event::CacheCleanup(_)
        | Event::Lifecycle(_)
        | Event::Warning(_)
        | Event::Debug(_)
        | Event::Other(_)
        | Event::Message(_)
        | Event::Session(_) => false,
    };
    is_whole.then(|| {
        *flags = added;
        (id, text, event)
    })
}

/// Returns the event of a line. Its reader may add to `flags`.
fn event<'a>(line: &Line<'a>, daemon: Option<&str>, flags: &mut Flags) -> Event<'a> {
    let reads = |writers: &Writers| match (writers, daemon) {
        (Any, _) | (Of(_), None) => true,
        (Only(_), None) => false,
        (Of(programs) | Only(programs), Some(daemon)) => programs.contains(&daemon),
    };
    if line.level.is_none() && reads(&Of(delivery::WRITERS)) {
        let mut delivery = Delivery::default();
        if delivery::read(line.text, &mut delivery, flags) {
            return Event::Delivery(delivery);
        }
    }
    let read = READERS.iter().filter(|reader| reads(&reader.writers)).find_map(|reader| (reader.read)(line));
    read.unwrap_or(match line.level {
        Some(_) => Event::Warning(Text { text: line.text }),
        None => Event::Other(Text { text: line.text }),
    })
}

/// Splits the level in front of a text from what follows it.
fn split_level(text: &str) -> (Option<Level>, &str) {
    // First letters of the levels: this check alone settles nearly every text.
    if !text.starts_with(['w', 'e', 'f', 'p']) {
        return (None, text);
    }
    for level in [Level::Warning, Level::Error, Level::Fatal, Level::Panic] {
        if let Some(rest) = text.strip_prefix(level.name()).and_then(|rest| rest.strip_prefix(": ")) {
            return (Some(level), rest);
        }
    }
    (None, text)
}

#[cfg(test)]
mod tests;
