//! An index template of Elasticsearch.

use serde_json::{Map, Value, json};

use super::{Field, Kind};

/// Maximum number of characters in a term of Lucene: a term has at most 32,766 bytes, and a character at most four.
const TERM: u32 = 8191;

/// Returns the template of the indices that keep records.
pub(super) fn template(fields: &[Field<'_>]) -> Value {
    let mut properties = properties(fields);
    // Kibana takes this field as the time of a document.
    properties.insert("@timestamp".to_owned(), json!({ "type": "alias", "path": "timestamp" }));
    json!({
        "index_patterns": ["postrider-*"],
        "priority": 200,
        "_meta": { "description": "Records of Postrider, version 1. The id of a document is that of the record." },
        "template": {
            // Values that cannot be indexed are kept in _source: no record is refused.
            "settings": { "index.mapping.ignore_malformed": true },
            // Fields of a later version are kept in _source too.
            "mappings": { "dynamic": false, "properties": properties }
        }
    })
}

fn properties(fields: &[Field<'_>]) -> Map<String, Value> {
    fields.iter().map(|field| (field.name.to_owned(), of(&field.kind))).collect()
}

fn of(kind: &Kind<'_>) -> Value {
    match kind {
        Kind::Word | Kind::Name => json!({ "type": "keyword", "ignore_above": TERM }),
        Kind::Text => {
            json!({ "type": "match_only_text", "fields": { "keyword": { "type": "keyword", "ignore_above": TERM } } })
        }
        Kind::Ip => json!({ "type": "ip" }),
        Kind::Time => json!({ "type": "date_nanos", "format": "strict_date_optional_time_nanos" }),
        Kind::Integer => json!({ "type": "long" }),
        Kind::Decimal => json!({ "type": "double" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Object(fields) => json!({ "properties": properties(fields) }),
        Kind::List(kind) => match &**kind {
            // A nested type: queries can require that fields belong to the same object.
            Kind::Object(fields) => json!({ "type": "nested", "properties": properties(fields) }),
            kind => of(kind),
        },
    }
}
