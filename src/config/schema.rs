//! The configuration file as a JSON Schema, for editors and other programs.

use serde_json::{Map, Value, json};

use super::key::{Key, Presence, Type};
use super::kind::Kind;
use super::{file, sink, source};

/// Returns the JSON Schema (draft 2020-12) of the configuration file after conversion to JSON.
pub fn schema() -> Value {
    let mut schema = table(&[&file::TOP]);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Postrider's configuration file");
    schema["required"] = json!(["source", "sink"]);
    schema
}

/// Returns the schema of a table with the keys of all lists.
fn table(lists: &[&[Key]]) -> Value {
    let keys = || lists.iter().flat_map(|keys| keys.iter());
    let properties: Map<String, Value> = keys().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> =
        keys().filter(|key| matches!(key.presence, Presence::Required(_))).map(|key| key.name).collect();
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn property(key: &Key) -> Value {
    let mut property = value(key.kind);
    property["description"] = json!(key.doc);
    match key.presence {
        Presence::Default(_) => property["default"] = from_toml(key.shown()),
        // A table has no example of its own: its keys have examples.
        Presence::Required(_) | Presence::Optional(_) if matches!(key.shown(), "{}" | "[]") => {}
        Presence::Required(_) | Presence::Optional(_) => property["examples"] = json!([from_toml(key.shown())]),
    }
    property
}

fn value(kind: Type) -> Value {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let list = |items: Value| json!({ "type": "array", "minItems": 1, "items": items });
    let any = || json!({ "type": "string", "minLength": 1 });
    match kind {
        Type::Bool => json!({ "type": "boolean" }),
        Type::Count(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Type::CountOr(least, most, word) => {
            json!({ "anyOf": [{ "type": "integer", "minimum": least, "maximum": most }, { "const": word }] })
        }
        Type::Size(..) => text("^[0-9]+ *(B|KiB|MiB|GiB|TiB)$"),
        Type::Duration(words) => {
            let time = "0*[1-9][0-9]* *(ms|s|m|h|d)";
            let forms: Vec<&str> = words.iter().copied().chain([time]).collect();
            text(&format!("^({})$", forms.join("|")))
        }
        Type::Mode => text("^0?[0-7]{3}$"),
        Type::Name => text("^[A-Za-z0-9._-]{1,64}$"),
        Type::Address => text("^.+:[0-9]+$"),
        Type::Zone | Type::Path | Type::Template => any(),
        Type::Word(words) => json!({ "enum": words }),
        Type::Words(words) => list(json!({ "enum": words })),
        Type::Paths => list(text("^/")),
        Type::AnyWords | Type::Brokers | Type::Networks => list(any()),
        // A dotted key is a table within a table.
        Type::Properties => json!({ "type": "object" }),
        Type::Table(keys) => table(&[keys]),
        Type::Tables(keys) => json!({ "type": "array", "items": table(&[keys]) }),
        Type::Sources => kinds(&source::SOURCES, &source::COMMON),
        Type::Sinks => kinds(&sink::SINKS, &sink::COMMON),
    }
}

/// Returns the schema of a table with one array of tables for each kind.
fn kinds<T>(kinds: &[Kind<T>], common: &[Key]) -> Value {
    let of_kind = |kind: &Kind<T>| {
        let mut array = json!({ "type": "array", "description": kind.doc, "items": table(&[kind.keys, common]) });
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
