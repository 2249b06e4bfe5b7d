//! Reads the keys of one table one by one. Errors are collected with their positions, and never stop the reading.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::diagnostics::Diagnostics;
use super::form::{Form, Spot};
use super::key::{Given, Key, Presence, Rows, ValueOrigin};
use super::unknown::Known;
use super::value::Fault;

/// One table that is being read.
pub(super) struct TableReader<'r, 'd> {
    table: &'r DeTable<'d>,
    known: Known,
    places: Places,
    found: &'r mut Diagnostics,
}

/// Positions of a table and its keys in the file.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// Position of the header.
    header: Range<usize>,
    /// Position of each key that was read: that of its value, or of the header if the key is absent.
    keys: HashMap<&'static str, Range<usize>>,
}

// === impl Places ===

impl Places {
    /// Returns the position of a key's value, or of the table's header if the key is absent. The table must have such a
    /// key.
    pub(super) fn of(&self, key: &str) -> Range<usize> {
        let place = self.keys.get(key);
        debug_assert!(place.is_some(), "no key `{key}` was read from this table");
        place.unwrap_or(&self.header).clone()
    }
}

// === impl TableReader: a table ===

impl<'r, 'd> TableReader<'r, 'd> {
    /// Returns a reader for a table whose header is at `header`.
    pub(super) fn new(table: &'r DeTable<'d>, header: Range<usize>, known: Known, found: &'r mut Diagnostics) -> Self {
        Self { table, known, places: Places { header, keys: HashMap::new() }, found }
    }

    /// Returns a reader for the table of the key `name`, or one of its tables, which has the keys `rows`.
    pub(super) fn within<'t>(
        &'t mut self,
        name: &str,
        table: &'t DeTable<'t>,
        header: Range<usize>,
        rows: Rows,
    ) -> TableReader<'t, 't> {
        TableReader::new(table, header, self.known.within(name, rows), self.found)
    }

    /// Reports the keys that were not read, and returns the positions of the keys in the file.
    pub(super) fn finish(self) -> Places {
        let Self { table, known, places, found } = self;
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if !places.keys.contains_key(name) {
                found.push_with(|| known.unknown(key, value.get_ref()));
            }
        }
        places
    }

    /// Returns the name of the table in errors.
    pub(super) fn title(&self) -> &str {
        self.known.title()
    }

    /// Returns the errors, to add others.
    pub(super) fn found(&mut self) -> &mut Diagnostics {
        self.found
    }
}

// === impl TableReader: a key ===

impl TableReader<'_, '_> {
    /// Reads a key.
    pub(super) fn get<F: Form>(&mut self, name: &'static str, key: &Key<F>) -> Given<F::Value> {
        let Key { form, presence } = key;
        let spot = Spot { name, presence: *presence };
        let value = self.table.get(name);
        let place = value.map_or_else(|| self.places.header.clone(), Spanned::span);
        self.places.keys.insert(name, place.clone());
        let Some(value) = value else {
            if let Presence::Required(example) = presence {
                let error = Diagnostic::at(place.clone(), format!("{} has no `{name}`", self.title()));
                self.found.push(error.help(format!("add e.g. {name} = {example}")).of_absence());
            }
            return Given { value: self.default(spot, form), place, origin: ValueOrigin::Absent };
        };
        match form.read(spot, value, self) {
            Some(value) => Given { value: Some(value), place, origin: ValueOrigin::File },
            None => Given { value: self.default(spot, form), place, origin: ValueOrigin::Wrong },
        }
    }

    fn default<F: Form>(&mut self, key: Spot, form: &F) -> Option<F::Value> {
        let Presence::Default(text) = key.presence else { return None };
        form.read(key, &DeValue::parse(text).ok()?, self)
    }

    /// Reads a value; reports the fault if there is one.
    pub(super) fn judge<T>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Option<T> {
        let fault = match read(value.get_ref()) {
            Ok(result) => return Some(result),
            Err(fault) => fault,
        };
        self.fault(&value.span(), value.get_ref().as_str(), fault);
        None
    }

    /// Reports a fault of the value at `span`; `text` is the content of its string.
    pub(super) fn fault(&mut self, span: &Range<usize>, text: Option<&str>, fault: Fault) {
        // Offsets within the string are offsets in the file if the string contains no escapes.
        let inner = span.start + 1..span.end.saturating_sub(1);
        let verbatim = text.is_some() && self.found.text().get(inner.clone()) == text;
        let span = match fault.within {
            Some(within) if verbatim => inner.start + within.start..inner.start + within.end,
            _ => span.clone(),
        };
        let mut error = Diagnostic::at(span, fault.message);
        error.help = fault.help;
        self.found.push(error);
    }

    /// True if these bytes of the file contain no line end.
    pub(super) fn one_line(&self, span: Range<usize>) -> bool {
        self.found.text().get(span).is_some_and(|text| !text.contains('\n'))
    }
}
