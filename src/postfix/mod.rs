//! The `postfix` stage: what a Postfix program said, as a typed event.
//!
//! ```text
//! app_name: INSTANCE[/SERVICE]/DAEMON        text: [LEVEL: ][QUEUE-ID: ]what happened
//!           tag                                    queue_id            delivery, …
//! ```
//!
//! Every function here is total: a line that is cut, munged or forged still gives an event, and what could not be read is
//! `None`. Time is linear in the length of the text, and nothing is allocated.

mod address;
mod cause;
mod delivery;
pub mod dsn;
mod endpoint;
mod infer;
mod queue_id;
mod remote_id;
mod reply;
mod tag;

use crate::record::{Event, Flags, Level, Postfix};
use crate::syslog::Message;

/// What a Postfix program said, and the flags that this stage adds: `daemon_inferred` and `reason_truncated`.
///
/// `None` if no Postfix program wrote the message, which the tag alone decides: see `tag.rs` for which count.
/// The order of level, queue id and text is that of `src/util/msg_output.c` and of the callers of `msg_info()`.
pub fn parse<'a>(message: &Message<'a>) -> (Option<Postfix<'a>>, Flags) {
    let Some(tag) = tag::read(message) else { return (None, Flags::empty()) };
    let (level, text) = split_level(message.text());
    let (id, text) = queue_id::split(text);

    let mut flags = Flags::empty();
    let event = match level {
        Some(_) => Event::Warning { text },
        None => match delivery::read(text) {
            Some((delivery, delivery_flags)) => {
                flags |= delivery_flags;
                Event::Delivery(delivery)
            }
            None => Event::Other { text },
        },
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

/// The level in front of a text, and what follows it.
fn split_level(text: &str) -> (Option<Level>, &str) {
    for level in [Level::Warning, Level::Error, Level::Fatal, Level::Panic] {
        if let Some(rest) = text.strip_prefix(level.name()).and_then(|rest| rest.strip_prefix(": ")) {
            return (Some(level), rest);
        }
    }
    (None, text)
}

#[cfg(test)]
mod tests;
