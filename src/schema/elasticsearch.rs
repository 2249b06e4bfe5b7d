//! An index template of Elasticsearch.

use serde_json::{Map, Value, json};

use super::{SchemaField, ValueType};

/// Maximum number of characters in a term of Lucene: a term has at most 32,766 bytes, and a character at most four.
const TERM: u32 = 8191;

/// Returns the template of the indices that keep records.
pub(super) fn template(fields: &[SchemaField<'_>]) -> Value {
    let mut properties = properties(fields);
    // Kibana takes this field as the time of a document.
    properties.insert("@timestamp".to_owned(), json!({ "type": "alias", "path": "timestamp" }));
    json!({
        "index_patterns": ["postrider-*"],
        "priority": 200,
        "_meta": { "description": "Records of Postrider, version 1. The id of a record is the id of its document." },
        "template": {
            // Values that cannot be indexed are kept in _source: no record is refused.
            "settings": { "index.mapping.ignore_malformed": true },
            // Fields of a later version are kept in _source too.
            "mappings": { "dynamic": false, "properties": properties }
        }
    })
}

fn properties(fields: &[SchemaField<'_>]) -> Map<String, Value> {
    fields.iter().map(|field| (field.name.to_owned(), of(&field.kind))).collect()
}

fn of(kind: &ValueType<'_>) -> Value {
    match kind {
        ValueType::Word | ValueType::Name => json!({ "type": "keyword", "ignore_above": TERM }),
        ValueType::Text => {
            json!({ "type": "match_only_text", "fields": { "keyword": { "type": "keyword", "ignore_above": TERM } } })
        }
        ValueType::Ip => json!({ "type": "ip" }),
        ValueType::Time => json!({ "type": "date_nanos", "format": "strict_date_optional_time_nanos" }),
        ValueType::Integer => json!({ "type": "long" }),
        ValueType::Decimal => json!({ "type": "double" }),
        ValueType::Boolean => json!({ "type": "boolean" }),
        ValueType::Object(fields) => json!({ "properties": properties(fields) }),
        ValueType::List(kind) => match &**kind {
            // A nested type: queries can require that fields belong to the same object.
            ValueType::Object(fields) => json!({ "type": "nested", "properties": properties(fields) }),
            kind => of(kind),
        },
    }
}
