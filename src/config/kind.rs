//! The kinds of sources and sinks, as tables of the file.

use super::diagnostics::Diagnostics;
use super::key::{Keys, Rows};
use super::reader::{Places, TableReader};

/// A kind of source or sink: the keys of its table, and how to read it.
pub(super) struct Kind<T> {
    /// Name in the file: `[[source.NAME]]`.
    pub(super) name: &'static str,
    /// Description for the operator, in one sentence.
    pub(super) doc: &'static str,
    /// True if there can be only one table of this kind.
    pub(super) single: bool,
    /// Keys of this kind, in addition to those that all kinds have.
    pub(super) rows: Rows,
    /// Reads these keys and checks everything that concerns this kind alone; `None` after an error.
    pub(super) read: fn(&mut TableReader<'_, '_>) -> Option<T>,
}

/// Keys of which a setting of the program is made.
pub(super) trait Section: Keys {
    /// The setting.
    type Config;

    /// Checks the values against each other and returns the setting; `None` after an error.
    fn config(self, found: &mut Diagnostics) -> Option<Self::Config>;
}

/// A source or sink, and the positions of its keys.
pub(super) struct Placed<T> {
    pub(super) config: T,
    pub(super) places: Places,
}

impl<T> Kind<T> {
    /// Returns a kind with the keys `K`.
    pub(super) const fn of<K: Section<Config = T>>(name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, single: false, rows: K::rows, read: read::<K> }
    }

    /// Allows only one table of this kind.
    pub(super) const fn single(mut self) -> Self {
        self.single = true;
        self
    }
}

fn read<K: Section>(reader: &mut TableReader<'_, '_>) -> Option<K::Config> {
    let keys = K::read(reader);
    keys.config(reader.found())
}
