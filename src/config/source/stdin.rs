//! `[[source.stdin]]`: the standard input.

use super::stream::{FRAMING, framing};
use super::{Endpoint, SourceFacts, SourceKind};
use crate::config::kind::Kind;
use crate::frame::Framing;
use crate::record::Transport;

/// `[[source.stdin]]`: the standard input. When it ends and no other source is left, Postrider drains and exits.
#[derive(Clone, Debug, PartialEq)]
pub struct StdinConfig {
    /// Framing of the messages.
    pub framing: Framing,
}

pub(super) const KIND: Kind<SourceKind> = Kind {
    name: "stdin",
    doc: "The standard input; when it ends and no other source is left, Postrider delivers what it has and leaves.",
    single: true,
    keys: &[FRAMING],
    read: |table| Some(SourceKind::Stdin(StdinConfig { framing: framing(table)? })),
};

impl SourceFacts for StdinConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Stdin
    }

    fn transport(&self) -> Transport {
        Transport::Stdin
    }

    fn failure(&self) -> String {
        "cannot read the standard input".to_owned()
    }

    fn descriptors(&self) -> usize {
        0
    }
}
