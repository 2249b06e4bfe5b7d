//! Settings of the sources whose connections are streams.

use std::time::Duration;

use crate::config::key::{Choice, Key, Type};
use crate::config::reader::{Reader, Time};
use crate::frame::Framing;

static FRAMINGS: Choice<Framing, 4> = Choice::new([
    ("auto", Framing::Auto),
    ("octet_counting", Framing::OctetCounting),
    ("lf", Framing::Lf),
    ("nul", Framing::Nul),
]);

pub(super) const FRAMING: Key = Key::default(
    "framing",
    Type::Word(FRAMINGS.words()),
    r#""auto""#,
    "How messages are told apart (RFC 6587); `auto` decides at the start of each.",
);

pub(super) const MAX_CONNECTIONS: Key = Key::default(
    "max_connections",
    Type::Count(1, 1_000_000),
    "2000",
    "More connections at a time are closed at once and counted.",
);

pub(super) const IDLE_TIMEOUT: Key = Key::default(
    "idle_timeout",
    Type::Duration(&["never"]),
    r#""never""#,
    "A connection that is silent for so long is closed. A sender notices only when its next message is lost.",
);

/// Number of file descriptors of a listener: its socket, and one connection that is accepted, and closed at once if
/// there are too many.
pub(super) const DESCRIPTORS: usize = 2;

/// Settings that the connections of a stream source share.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamConfig {
    /// Framing of the messages.
    pub framing: Framing,
    /// Maximum number of connections at a time; further ones are closed at once and counted.
    pub max_connections: usize,
    /// Time of silence after which a connection is closed; `None` keeps it open for ever.
    pub idle_timeout: Option<Duration>,
}

pub(super) fn read(table: &mut Reader<'_, '_>) -> Option<StreamConfig> {
    let framing = framing(table);
    let (max_connections, idle_timeout) = (table.count("max_connections"), idle_timeout(table));
    Some(StreamConfig { framing: framing?, max_connections: max_connections?, idle_timeout: idle_timeout? })
}

/// Reads `idle_timeout`; `Some(None)` for a connection that may be silent for ever.
#[allow(clippy::option_option)]
pub(super) fn idle_timeout(table: &mut Reader<'_, '_>) -> Option<Option<Duration>> {
    Some(match table.time("idle_timeout")? {
        Time::Span(duration) => Some(duration),
        Time::Word(_) => None,
    })
}

pub(super) fn framing(table: &mut Reader<'_, '_>) -> Option<Framing> {
    table.choice("framing", &FRAMINGS)
}
