//! `[[sink.stdout]]`: JSON lines on the standard output.

use super::SinkKind;
use crate::config::kind::Kind;

pub(super) const KIND: Kind<SinkKind> = Kind {
    name: "stdout",
    doc: "JSON lines on the standard output.",
    single: true,
    keys: &[],
    read: |_| Some(SinkKind::Stdout),
};
