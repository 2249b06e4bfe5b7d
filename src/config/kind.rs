//! The kinds of sources and sinks, as tables of the file.

use super::key::Key;
use super::reader::{Places, Reader};

/// A kind of source or sink: the keys of its table, and how to read it.
pub(super) struct Kind<T> {
    /// Name in the file: `[[source.NAME]]`.
    pub(super) name: &'static str,
    /// Description for the operator, in one sentence.
    pub(super) doc: &'static str,
    /// True if there can be only one table of this kind.
    pub(super) single: bool,
    /// Keys of this kind, in addition to those that all kinds have.
    pub(super) keys: &'static [Key],
    /// Reads these keys and checks everything that concerns this kind alone; `None` after an error.
    pub(super) read: fn(&mut Reader<'_, '_>) -> Option<T>,
}

/// A source or sink, and the positions of its keys.
pub(super) struct Placed<T> {
    pub(super) config: T,
    pub(super) places: Places,
}
