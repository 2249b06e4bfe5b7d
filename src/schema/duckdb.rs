//! A table of DuckDB, and how it is loaded.

use super::{SchemaField, ValueType};

/// Returns the table, and how records are loaded into it.
pub(super) fn table(fields: &[SchemaField<'_>]) -> String {
    let column = |field: &SchemaField<'_>| {
        let constraint = match field.name {
            "id" => " PRIMARY KEY",
            _ if field.is_required => " NOT NULL",
            _ => "",
        };
        format!("    \"{}\" {}{constraint}", field.name, of(&field.kind, 1))
    };
    let columns: Vec<String> = fields.iter().map(column).collect();
    let read = |field: &SchemaField<'_>| format!("    '{}': '{}'", field.name, of(&field.kind, 1));
    let reads: Vec<String> = fields.iter().map(read).collect();
    format!(
        "-- Records of Postrider, version 1. Times are in UTC.
CREATE TABLE IF NOT EXISTS postrider (
{}
);
-- Records that are already in the table are not loaded again.
INSERT OR IGNORE INTO postrider BY NAME
SELECT * FROM read_json('postrider.jsonl', format = 'newline_delimited', columns = {{
{}
}});
",
        columns.join(",\n"),
        reads.join(",\n")
    )
}

fn of(kind: &ValueType<'_>, depth: usize) -> String {
    let name = match kind {
        // An ENUM would refuse the new words of a later version.
        ValueType::Word | ValueType::Name | ValueType::Text | ValueType::Ip => "VARCHAR",
        ValueType::Time => "TIMESTAMP",
        ValueType::Integer => "BIGINT",
        ValueType::Decimal => "DOUBLE",
        ValueType::Boolean => "BOOLEAN",
        ValueType::Object(fields) => {
            let indent = "    ".repeat(depth);
            let field =
                |field: &SchemaField<'_>| format!("{indent}    \"{}\" {}", field.name, of(&field.kind, depth + 1));
            let fields: Vec<String> = fields.iter().map(field).collect();
            return format!("STRUCT(\n{}\n{indent})", fields.join(",\n"));
        }
        ValueType::List(kind) => return format!("{}[]", of(kind, depth)),
    };
    name.to_owned()
}
