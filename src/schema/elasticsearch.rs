//! An index template of Elasticsearch.

use serde_json::{Map, Value, json};

use super::{Field, Kind};

/// What Lucene takes as one term: 32,766 bytes, of which a character has four at most.
const TERM: u32 = 8191;

/// The template of the indices that keep records.
pub(super) fn template(fields: &[Field<'_>]) -> Value {
    let mut properties = properties(fields);
    // What Kibana takes for the time of a document.
    properties.insert("@timestamp".to_owned(), json!({ "type": "alias", "path": "timestamp" }));
    json!({
        "index_patterns": ["postrider-*"],
        "priority": 200,
        "_meta": { "description": "Records of Postrider, version 1. The id of a document is that of the record." },
        "template": {
            // What a value cannot be indexed as is kept in _source: no record is refused.
            "settings": { "index.mapping.ignore_malformed": true },
            // So are the fields of a later version.
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
            // So that a query can ask for fields of the same one.
            Kind::Object(fields) => json!({ "type": "nested", "properties": properties(fields) }),
            kind => of(kind),
        },
    }
}
