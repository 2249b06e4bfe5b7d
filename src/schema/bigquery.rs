//! A table schema of BigQuery.

use serde_json::{Value, json};

use super::{Field, Kind};

/// Returns the columns.
pub(super) fn columns(fields: &[Field<'_>]) -> Value {
    fields.iter().map(column).collect()
}

fn column(field: &Field<'_>) -> Value {
    let (mode, kind) = match &field.kind {
        Kind::List(kind) => ("REPEATED", &**kind),
        kind if field.is_required => ("REQUIRED", kind),
        kind => ("NULLABLE", kind),
    };
    let mut column = json!({ "name": field.name, "type": name(kind), "mode": mode });
    if let Kind::Object(fields) = kind {
        column["fields"] = columns(fields);
    }
    if let Some(description) = field.description {
        column["description"] = json!(description);
    }
    column
}

const fn name(kind: &Kind<'_>) -> &'static str {
    match kind {
        // A list of lists cannot be expressed in this schema, and no record has one.
        Kind::Word | Kind::Name | Kind::Text | Kind::Ip | Kind::List(_) => "STRING",
        Kind::Time => "TIMESTAMP",
        Kind::Integer => "INTEGER",
        Kind::Decimal => "FLOAT",
        Kind::Boolean => "BOOLEAN",
        Kind::Object(_) => "RECORD",
    }
}
