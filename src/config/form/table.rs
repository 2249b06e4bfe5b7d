//! Tables within a table.

use std::marker::PhantomData;
use std::ops::Range;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Form, Spot};
use crate::config::key::{Inner, Keys};
use crate::config::reader::TableReader;
use crate::config::schema;
use crate::config::value::{self, Fault};

/// A table with keys of its own.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Table<K>(PhantomData<K>);

/// An array of tables with keys of their own.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Tables<K>(PhantomData<K>);

/// A table of librdkafka properties. `a.b = 1` and `"a.b" = 1` are the same property.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct PropertyTable;

/// One librdkafka property as written.
#[derive(Clone)]
pub(in crate::config) struct Property {
    pub(in crate::config) name: String,
    pub(in crate::config) value: String,
    pub(in crate::config) key_span: Range<usize>,
    pub(in crate::config) value_span: Range<usize>,
}

impl<K> Table<K> {
    pub(in crate::config) const NEW: Self = Self(PhantomData);
}

impl<K> Tables<K> {
    pub(in crate::config) const NEW: Self = Self(PhantomData);
}

impl<K: Keys> Form for Table<K> {
    type Value = K;

    fn read(&self, key: Spot, value: &Spanned<DeValue<'_>>, reader: &mut TableReader<'_, '_>) -> Option<K> {
        let table = table(key, value, reader)?;
        let mut inner = reader.within(key.name, table, value.span(), K::rows);
        let keys = K::read(&mut inner);
        inner.finish();
        Some(keys)
    }

    fn schema(&self) -> Json {
        schema::table(&[K::rows])
    }

    fn inner(&self) -> Inner {
        Inner::Table(K::rows)
    }
}

impl<K: Keys> Form for Tables<K> {
    type Value = Vec<K>;

    fn read(&self, key: Spot, value: &Spanned<DeValue<'_>>, reader: &mut TableReader<'_, '_>) -> Option<Vec<K>> {
        let wrong = |value: &DeValue<'_>, expected| {
            Fault::wrong_type(value, expected).help(format!("write its header with two brackets: [[….{}]]", key.name))
        };
        let Some(elements) = value.get_ref().as_array() else {
            reader.fault(&value.span(), None, wrong(value.get_ref(), "an array of tables"));
            return None;
        };
        let mut all = Vec::new();
        for element in elements {
            let DeValue::Table(table) = element.get_ref() else {
                reader.fault(&element.span(), None, wrong(element.get_ref(), "a table"));
                continue;
            };
            let mut inner = reader.within(key.name, table, element.span(), K::rows);
            all.push(K::read(&mut inner));
            inner.finish();
        }
        Some(all)
    }

    fn schema(&self) -> Json {
        json!({ "type": "array", "items": schema::table(&[K::rows]) })
    }

    fn inner(&self) -> Inner {
        Inner::Tables(K::rows)
    }
}

impl Form for PropertyTable {
    type Value = Vec<Property>;

    fn read(&self, key: Spot, value: &Spanned<DeValue<'_>>, reader: &mut TableReader<'_, '_>) -> Option<Vec<Property>> {
        let mut properties = Vec::new();
        flatten(table(key, value, reader)?, "", None, &mut properties, reader);
        properties.sort_by_key(|property| property.key_span.start);
        Some(properties)
    }

    /// A dotted key is a table within a table.
    fn schema(&self) -> Json {
        json!({ "type": "object" })
    }
}

/// Returns the table of a key; reports a value of another type.
fn table<'t, 'd>(
    key: Spot,
    value: &'t Spanned<DeValue<'d>>,
    reader: &mut TableReader<'_, '_>,
) -> Option<&'t DeTable<'d>> {
    if let DeValue::Table(table) = value.get_ref() {
        return Some(table);
    }
    let own = format!("write its keys below [{}.{}]", reader.title().trim_matches(['[', ']']), key.name);
    reader.fault(&value.span(), None, Fault::wrong_type(value.get_ref(), "a table").help(own));
    None
}

fn flatten(
    table: &DeTable<'_>,
    prefix: &str,
    before: Option<&Range<usize>>,
    properties: &mut Vec<Property>,
    reader: &mut TableReader<'_, '_>,
) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        // The whole dotted key, if it is on one line.
        let from = before.map_or_else(|| key.span().start, |before| before.start);
        let whole = from..key.span().end;
        let key_span = if from <= key.span().start && reader.one_line(whole.clone()) { whole } else { key.span() };
        let value_span = value.span();
        let value = match value.get_ref() {
            DeValue::Table(inner) => {
                flatten(inner, &format!("{name}."), Some(&key_span), properties, reader);
                continue;
            }
            DeValue::String(text) => text.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Float(value) => value.as_str().to_owned(),
            other => {
                let Some(number) = value::integer(other) else {
                    let wanted = "a string, a number or a boolean";
                    reader.fault(&value_span, None, Fault::no_integer(other, wanted, i64::MIN, i64::MAX));
                    continue;
                };
                number.to_string()
            }
        };
        properties.push(Property { name, value, key_span, value_span });
    }
}
