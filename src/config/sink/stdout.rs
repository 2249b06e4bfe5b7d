//! `[[sink.stdout]]`: JSON lines on the standard output.

use super::{DeadLetterConfig, SinkFacts, SinkKind};
use crate::config::diagnostics::Diagnostics;
use crate::config::key::keys;
use crate::config::kind::{Kind, Section};

keys! {
    /// Keys of `[[sink.stdout]]`: none.
    struct StdoutKeys {}
}

pub(super) const KIND: Kind<SinkKind> = Kind::of::<StdoutKeys>("stdout", "JSON lines on the standard output.").single();

/// `[[sink.stdout]]`: JSON lines on the standard output. It has no keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StdoutConfig;

impl Section for StdoutKeys {
    type Config = SinkKind;

    fn config(self, _: &mut Diagnostics) -> Option<SinkKind> {
        Some(SinkKind::Stdout(StdoutConfig))
    }
}

impl SinkFacts for StdoutConfig {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn destination(&self) -> String {
        "the standard output".to_owned()
    }

    fn shares_destination(&self, other: &SinkKind) -> bool {
        matches!(other, SinkKind::Stdout(_))
    }

    fn descriptors(&self) -> (usize, usize) {
        (1, 1)
    }

    fn for_replay(&self, _: DeadLetterConfig) -> SinkKind {
        SinkKind::Stdout(*self)
    }
}
