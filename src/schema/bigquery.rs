//! A table schema of BigQuery.

use serde_json::{Value, json};

use super::{SchemaField, ValueType};

/// Returns the columns.
pub(super) fn columns(fields: &[SchemaField<'_>]) -> Value {
    fields.iter().map(column).collect()
}

fn column(field: &SchemaField<'_>) -> Value {
    let (mode, kind) = match &field.kind {
        ValueType::List(kind) => ("REPEATED", &**kind),
        kind if field.is_required => ("REQUIRED", kind),
        kind => ("NULLABLE", kind),
    };
    let mut column = json!({ "name": field.name, "type": name(kind), "mode": mode });
    if let ValueType::Object(fields) = kind {
        column["fields"] = columns(fields);
    }
    if let Some(description) = field.description {
        column["description"] = json!(description);
    }
    column
}

const fn name(kind: &ValueType<'_>) -> &'static str {
    match kind {
        // A list of lists cannot be expressed in this schema, and no record has one.
        ValueType::Word | ValueType::Name | ValueType::Text | ValueType::Ip | ValueType::List(_) => "STRING",
        ValueType::Time => "TIMESTAMP",
        ValueType::Integer => "INTEGER",
        ValueType::Decimal => "FLOAT",
        ValueType::Boolean => "BOOLEAN",
        ValueType::Object(_) => "RECORD",
    }
}
