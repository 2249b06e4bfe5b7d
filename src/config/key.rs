//! Keys of the configuration file. [`keys!`] declares the keys of a table: each has one row with its explanation, its
//! name, the form of its value, and its default or an example. Reading, hints, the JSON Schema and
//! `config/postrider.toml` all come from these rows.

use std::ops::Range;

use serde_json::Value as Json;

use super::form::Form;
use super::reader::TableReader;

/// One key of a table: the form of its value, and whether it may be omitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<F> {
    pub(super) form: F,
    pub(super) presence: Presence,
}

/// Requirement of a key: whether it may be omitted. The text is TOML.
#[derive(Clone, Copy, Debug)]
pub(super) enum Presence {
    /// The key is required; the text is an example.
    Required(&'static str),
    /// The key is optional and has no default; the text is an example.
    Optional(&'static str),
    /// The key is optional; the text is its default.
    Default(&'static str),
}

/// Value of a key after reading.
pub(super) struct Given<T> {
    /// Value in the file, or the default. `None` for an optional key that is absent, and after an error in a key
    /// without a default. After an error, the default allows the rest of the file to be checked.
    pub(super) value: Option<T>,
    /// Position of the value in the file, or of the table's header if the key is absent.
    pub(super) place: Range<usize>,
    pub(super) origin: ValueOrigin,
}

/// Where the value of a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueOrigin {
    /// The file.
    File,
    /// The key is absent from the file.
    Absent,
    /// The file has the key with a wrong value, which is reported.
    Wrong,
}

/// The keys of a table, which can be read together. [`keys!`] implements it.
pub(super) trait Keys: Sized {
    /// Adds the rows of the keys, in the order of the declaration.
    fn rows(rows: &mut Vec<KeyRow>);

    /// Reads every key. Errors are collected by the reader.
    fn read(reader: &mut TableReader<'_, '_>) -> Self;
}

/// Function that adds the rows of a table: [`Keys::rows`].
pub(super) type Rows = fn(&mut Vec<KeyRow>);

/// A key without the type of its value: all that a reader of the file needs to know.
pub(super) struct KeyRow {
    pub(super) name: &'static str,
    pub(super) presence: Presence,
    /// Explanation for the operator.
    pub(super) doc: String,
    /// Limits of the value, as a sentence; empty if there are none.
    pub(super) limits: String,
    /// JSON Schema of the value.
    pub(super) schema: Json,
    /// The table or tables within the key.
    pub(super) inner: Inner,
}

/// Tables within a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Inner {
    /// None: the key has a value.
    Value,
    /// One table with these keys.
    Table(Rows),
    /// An array of tables, each with these keys.
    Tables(Rows),
    /// The tables of every kind of source or sink.
    Kinds,
}

// === impl Given ===

/// Returns a required key; `example` is TOML.
pub(super) const fn required<F>(form: F, example: &'static str) -> Key<F> {
    Key { form, presence: Presence::Required(example) }
}

/// Returns an optional key without a default; `example` is TOML.
pub(super) const fn optional<F>(form: F, example: &'static str) -> Key<F> {
    Key { form, presence: Presence::Optional(example) }
}

/// Returns an optional key with a default, which is TOML.
pub(super) const fn default<F>(form: F, default: &'static str) -> Key<F> {
    Key { form, presence: Presence::Default(default) }
}

// === impl Given ===

impl<T> Given<T> {
    /// True if the file has the key.
    pub(super) fn is_written(&self) -> bool {
        self.origin != ValueOrigin::Absent
    }

    /// Returns the position of the value if the file has the key.
    pub(super) fn written(&self) -> Option<Range<usize>> {
        self.is_written().then(|| self.place.clone())
    }

    /// Returns the value unless the file has a wrong one: for a value that decides the meaning of other keys.
    pub(super) fn certain(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.origin != ValueOrigin::Wrong)
    }
}

// === impl KeyRow ===

impl KeyRow {
    /// Returns the row of a key; `doc` has its doc comment by lines.
    pub(super) fn new<F: Form>(name: &'static str, key: &Key<F>, doc: &[&str]) -> Self {
        let doc = doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        let Key { form, presence } = key;
        let limits = form.limits().unwrap_or_default();
        Self { name, presence: *presence, doc, limits, schema: form.schema(), inner: form.inner() }
    }

    pub(super) const fn is_required(&self) -> bool {
        matches!(self.presence, Presence::Required(_))
    }

    /// Returns the default or an example, as TOML.
    pub(super) const fn shown(&self) -> &'static str {
        match self.presence {
            Presence::Required(text) | Presence::Optional(text) | Presence::Default(text) => text,
        }
    }
}

/// Returns the rows of a table.
pub(super) fn rows(of: Rows) -> Vec<KeyRow> {
    let mut rows = Vec::new();
    of(&mut rows);
    rows
}

/// Declares the keys of a table as a struct with the values that were read. The doc comment of a field is the
/// explanation for the operator. After the keys, `..field: Group` adds the keys of another such struct.
///
/// A key stands here alone: it has no other name and no other type, and every key of the table is read.
macro_rules! keys {
    (
        $(#[$about:meta])*
        $visible:vis struct $Keys:ident {
            $($(#[doc = $doc:literal])* $field:ident: $T:ty = $key:expr,)*
            $(..$group:ident: $Group:ty,)*
        }
    ) => {
        $(#[$about])*
        $visible struct $Keys {
            $($(#[doc = $doc])* $visible $field: $crate::config::key::Given<$T>,)*
            $($visible $group: $Group,)*
        }

        // A table may have no keys.
        #[allow(unused_variables)]
        impl $crate::config::key::Keys for $Keys {
            fn rows(rows: &mut Vec<$crate::config::key::KeyRow>) {
                $(rows.push($crate::config::key::KeyRow::new(stringify!($field), &$key, &[$($doc),*]));)*
                $(<$Group as $crate::config::key::Keys>::rows(rows);)*
            }

            fn read(reader: &mut $crate::config::reader::TableReader<'_, '_>) -> Self {
                Self {
                    $($field: reader.get(stringify!($field), &$key),)*
                    $($group: <$Group as $crate::config::key::Keys>::read(reader),)*
                }
            }
        }
    };
}

pub(super) use keys;
