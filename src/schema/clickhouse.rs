//! A table of ClickHouse.

use super::{SchemaField, ValueType};

/// Returns the table, and how records are loaded into it.
pub(super) fn table(fields: &[SchemaField<'_>]) -> String {
    let column = |field: &SchemaField<'_>| {
        let kind = if field.is_required { of_required(&field.kind, 1) } else { of(&field.kind, 1) };
        format!("    `{}` {kind}", field.name)
    };
    let columns: Vec<String> = fields.iter().map(column).collect();
    format!(
        "-- Records of Postrider, version 1. To load them:
--   INSERT INTO postrider
--   SETTINGS date_time_input_format = 'best_effort', input_format_skip_unknown_fields = 1
--   FORMAT JSONEachRow
-- FINAL shows one of several records with the same id: SELECT count() FROM postrider FINAL
CREATE TABLE IF NOT EXISTS postrider
(
{}
)
ENGINE = ReplacingMergeTree(`received_at`)
ORDER BY `id`;
",
        columns.join(",\n")
    )
}

/// Returns the type of an optional field. A tuple cannot be null, so its elements are; an array is empty instead.
fn of(kind: &ValueType<'_>, depth: usize) -> String {
    match kind {
        ValueType::Word => "LowCardinality(Nullable(String))".to_owned(),
        ValueType::Object(_) | ValueType::List(_) => of_required(kind, depth),
        _ => format!("Nullable({})", of_required(kind, depth)),
    }
}

fn of_required(kind: &ValueType<'_>, depth: usize) -> String {
    let name = match kind {
        ValueType::Word => "LowCardinality(String)",
        // The type for addresses would show them as ::ffff:192.0.2.1.
        ValueType::Name | ValueType::Text | ValueType::Ip => "String",
        ValueType::Time => "DateTime64(6, 'UTC')",
        ValueType::Integer => "Int64",
        ValueType::Decimal => "Float64",
        ValueType::Boolean => "Bool",
        ValueType::Object(fields) => return tuple(fields, depth),
        ValueType::List(of) => return format!("Array({})", of_required(of, depth)),
    };
    name.to_owned()
}

fn tuple(fields: &[SchemaField<'_>], depth: usize) -> String {
    let indent = "    ".repeat(depth);
    let element = |field: &SchemaField<'_>| format!("{indent}    `{}` {}", field.name, of(&field.kind, depth + 1));
    let elements: Vec<String> = fields.iter().map(element).collect();
    format!("Tuple(\n{}\n{indent})", elements.join(",\n"))
}
