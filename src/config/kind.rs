//! The kinds of sources and sinks, as tables of the file.

use super::key::Key;
use super::reader::{Places, Reader};

/// A kind of source or sink: what may stand in its table, and what is made of it.
pub(super) struct Kind<T> {
    /// The name in the file: `[[source.NAME]]`.
    pub(super) name: &'static str,
    /// One sentence for the operator.
    pub(super) doc: &'static str,
    /// Whether there can be only one.
    pub(super) single: bool,
    /// Its keys, besides those that all kinds have.
    pub(super) keys: &'static [Key],
    /// Takes its keys and checks what belongs to this kind alone; `None` after an error.
    pub(super) read: fn(&mut Reader<'_, '_>) -> Option<T>,
}

/// A source or sink, and where its keys stand.
pub(super) struct Placed<T> {
    pub(super) config: T,
    pub(super) places: Places,
}
