//! The configuration file as a JSON Schema, for editors and other programs.

use serde_json::{Map, Value, json};

use super::file::Top;
use super::key::{KeyRow, Keys, Presence, Rows, rows};
use super::kind::Kind;

/// Returns the JSON Schema (draft 2020-12) of the configuration file after conversion to JSON.
pub fn schema() -> Value {
    let mut schema = table(&[Top::rows]);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Postrider's configuration file");
    schema["required"] = json!(["source", "sink"]);
    schema
}

/// Returns the schema of a table with the keys of all lists.
pub(super) fn table(lists: &[Rows]) -> Value {
    let keys: Vec<KeyRow> = lists.iter().flat_map(|list| rows(*list)).collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.is_required()).map(|key| key.name).collect();
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn property(key: &KeyRow) -> Value {
    let mut property = key.schema.clone();
    property["description"] = json!(key.doc);
    match key.presence {
        Presence::Default(_) => property["default"] = from_toml(key.shown()),
        // A table has no example of its own: its keys have examples.
        Presence::Required(_) | Presence::Optional(_) if matches!(key.shown(), "{}" | "[]") => {}
        Presence::Required(_) | Presence::Optional(_) => property["examples"] = json!([from_toml(key.shown())]),
    }
    property
}

/// Returns the schema of a table with one array of tables for each kind.
pub(super) fn kinds<T>(kinds: &[Kind<T>], common: Rows) -> Value {
    let of_kind = |kind: &Kind<T>| {
        let mut array = json!({ "type": "array", "description": kind.doc, "items": table(&[kind.rows, common]) });
        if kind.single {
            array["maxItems"] = json!(1);
        }
        (kind.name.to_owned(), array)
    };
    let properties: Map<String, Value> = kinds.iter().map(of_kind).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false, "minProperties": 1 })
}

/// Converts a TOML value in a table of keys to JSON.
fn from_toml(text: &str) -> Value {
    let value = toml::de::DeValue::parse(text).map(toml::Spanned::into_inner);
    value.map_or(Value::Null, |value| to_json(&value))
}

/// Converts a TOML value to JSON.
pub(super) fn to_json(value: &toml::de::DeValue<'_>) -> Value {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(_) => json!(super::value::integer(value)),
        DeValue::Float(number) => json!(number.as_str().parse::<f64>().ok()),
        DeValue::Boolean(value) => json!(value),
        DeValue::Datetime(time) => json!(time.to_string()),
        DeValue::Array(array) => array.iter().map(|element| to_json(element.get_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref()))).collect()
        }
    }
}
