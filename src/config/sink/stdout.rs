//! `[[sink.stdout]]`: JSON lines on the standard output.

use super::{DeadLetterConfig, SinkFacts, SinkKind};
use crate::config::kind::Kind;

/// `[[sink.stdout]]`: JSON lines on the standard output. It has no keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StdoutConfig;

pub(super) const KIND: Kind<SinkKind> = Kind {
    name: "stdout",
    doc: "JSON lines on the standard output.",
    single: true,
    keys: &[],
    read: |_| Some(SinkKind::Stdout(StdoutConfig)),
};

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
