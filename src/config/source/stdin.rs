//! `[[source.stdin]]`: the standard input.

use super::stream::FRAMINGS;
use super::{SourceEndpoint, SourceFacts, SourceKind};
use crate::config::diagnostics::Diagnostics;
use crate::config::key::{default, keys};
use crate::config::kind::{Kind, Section};
use crate::frame::Framing;
use crate::record::Transport;

keys! {
    /// Keys of `[[source.stdin]]`.
    struct StdinKeys {
        /// Framing: how messages are separated (RFC 6587). `auto` decides at the start of each message.
        framing: Framing = default(&FRAMINGS, r#""auto""#),
    }
}

pub(super) const KIND: Kind<SourceKind> = Kind::of::<StdinKeys>(
    "stdin",
    "The standard input. When it ends and no other source is left, Postrider delivers what it has and exits.",
)
.single();

/// `[[source.stdin]]`: the standard input. When it ends and no other source is left, Postrider drains and exits.
#[derive(Clone, Debug, PartialEq)]
pub struct StdinConfig {
    /// Framing of the messages.
    pub framing: Framing,
}

impl Section for StdinKeys {
    type Config = SourceKind;

    fn config(self, _: &mut Diagnostics) -> Option<SourceKind> {
        Some(SourceKind::Stdin(StdinConfig { framing: self.framing.value? }))
    }
}

impl SourceFacts for StdinConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn endpoint(&self) -> SourceEndpoint<'_> {
        SourceEndpoint::Stdin
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
