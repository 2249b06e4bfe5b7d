//! The `postfix` stage: what a Postfix program said, as a typed event.
//!
//! ```text
//! app_name: INSTANCE[/SERVICE]/DAEMON        text: [LEVEL: ][QUEUE-ID: ]what happened
//!           tag                                    queue_id            a reader
//! ```
//!
//! Every function here is total: a line that is cut, munged or forged still gives an event, and what could not be read is
//! `None`. Time is linear in the length of the text, and nothing is allocated.

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
pub mod dsn;
mod dnsblog;
mod endpoint;
mod general;
mod infer;
mod master;
mod pickup;
mod postscreen;
mod postsuper;
mod qmgr;
mod qmqpd;
mod queue_id;
mod remote_id;
mod reply;
mod scache;
mod smtp;
mod smtpd;
mod tag;
mod tls;
mod tlsproxy;
mod verdict;

use crate::record::{Event, Flags, Level, Postfix};
use crate::syslog::Message;

/// A line of a Postfix program as the readers of events get it.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    /// The level in front of the text.
    level: Option<Level>,
    /// Whether a queue id stood before the text; false for NOQUEUE.
    has_queue_id: bool,
    /// What follows the level and the queue id.
    text: &'a str,
}

/// Reads the event that a line is; `None` if it is none of the reader's.
type Reader = for<'a> fn(&Line<'a>) -> Option<Event<'a>>;

/// Which file reads the lines of which programs, from top to bottom: the first event counts. A line whose program is not
/// known is shown to every reader.
const READERS: &[(Writers, Reader)] = &[
    (Of(&["postscreen"]), postscreen::read),
    (Of(&["dnsblog"]), dnsblog::read),
    (Of(&["tlsproxy"]), tlsproxy::read),
    (Of(&["smtp", "lmtp", "smtpd", "tlsproxy", "posttls-finger"]), tls::read),
    (Of(&["smtpd", "cleanup", "postscreen"]), verdict::read),
    (Of(&["smtp", "lmtp"]), verdict::read_outbound),
    (Of(&["smtp", "lmtp"]), smtp::read),
    (Of(&["smtpd"]), smtpd::read),
    (Of(&["qmqpd"]), qmqpd::read),
    (Of(&["cleanup"]), cleanup::read),
    (Of(&["qmgr", "nqmgr", "oqmgr"]), qmgr::read),
    (Of(&["pickup"]), pickup::read),
    (Of(&["bounce", "defer", "trace"]), bounce::read),
    (Of(&["local", "virtual", "pipe", "error", "retry", "discard"]), agent::read),
    (Of(&["anvil"]), anvil::read),
    (Of(&["scache"]), scache::read),
    (Of(&["postscreen", "verify"]), cache::read),
    (Of(&["postsuper"]), postsuper::read),
    (Of(&["master", "postfix-script"]), master::read),
    (Only(&["postlog"]), general::read_postlog),
    (Only(&["postfix-tls-script"]), general::read_tls_script),
    (Only(&["postfix-non-bdb-script", "nbdb_reindexd"]), general::read_table_migration),
    (Any, general::read),
    (Any, debug::read),
];

/// The programs that write the lines of a reader.
enum Writers {
    Any,
    Of(&'static [&'static str]),
    /// Their lines have no shape: such a reader takes all of them, and sees none whose program is not known.
    Only(&'static [&'static str]),
}

use Writers::{Any, Of, Only};

/// What a Postfix program said, and the flags that this stage adds: `daemon_inferred`, `reason_truncated` and `status_ambiguous`.
///
/// `None` if no Postfix program wrote the message, which the tag alone decides: see `tag.rs` for which count.
/// The order of level, queue id and text is that of `src/util/msg_output.c` and of the callers of `msg_info()`.
pub fn parse<'a>(message: &Message<'a>) -> (Option<Postfix<'a>>, Flags) {
    let Some(tag) = tag::read(message) else { return (None, Flags::empty()) };
    let (level, text) = split_level(message.text());
    let (id, text) = queue_id::split(text);
    let line = Line { level, has_queue_id: id.is_some(), text };

    let mut flags = Flags::empty();
    let named = match tag.daemon {
        tag::Daemon::Named(name) => Some(name),
        tag::Daemon::Lost { .. } => None,
    };
    let delivery = if level.is_none() { delivery::read(text) } else { None };
    let event = match delivery {
        Some((delivery, delivery_flags)) => {
            flags |= delivery_flags;
            Event::Delivery(delivery)
        }
        None => event(&line, named),
    };

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

    let postfix = Postfix {
        event,
        instance: tag.instance,
        service: tag.service,
        daemon,
        level,
        queue_id: id.map(|id| id.text),
        queued_at: id.and_then(|id| id.queued_at),
    };
    (Some(postfix), flags)
}

/// Whether the tag of a Postfix program stands anywhere in a text. Where [`parse`] gives nothing, its line was not understood.
pub fn has_tag(text: &str) -> bool {
    tag::stands_in(text)
}

/// The event of a line that is no delivery.
fn event<'a>(line: &Line<'a>, daemon: Option<&str>) -> Event<'a> {
    let reads = |writers: &Writers| match (writers, daemon) {
        (Any, _) | (Of(_), None) => true,
        (Only(_), None) => false,
        (Of(programs) | Only(programs), Some(daemon)) => programs.contains(&daemon),
    };
    let read = READERS.iter().filter(|(writers, _)| reads(writers)).find_map(|(_, read)| read(line));
    read.unwrap_or(match line.level {
        Some(_) => Event::Warning { text: line.text },
        None => Event::Other { text: line.text },
    })
}

/// The level in front of a text, and what follows it.
fn split_level(text: &str) -> (Option<Level>, &str) {
    // How the levels begin, so that nearly every text is done with at once.
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
