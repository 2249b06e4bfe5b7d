//! `[[source.stdin]]`: the standard input.

use super::SourceKind;
use super::stream::{FRAMING, framing};
use crate::config::kind::Kind;
use crate::frame::Framing;

/// `[[source.stdin]]`: the standard input; when it ends and no other source is left, Postrider drains and leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct StdinConfig {
    /// How messages are told apart.
    pub framing: Framing,
}

pub(super) const KIND: Kind<SourceKind> = Kind {
    name: "stdin",
    doc: "The standard input; when it ends and no other source is left, Postrider delivers what it has and leaves.",
    single: true,
    keys: &[FRAMING],
    read: |table| Some(SourceKind::Stdin(StdinConfig { framing: framing(table)? })),
};
