//! A table of DuckDB, and how it is loaded.

use super::{Field, Kind};

/// Returns the table, and how records are loaded into it.
pub(super) fn table(fields: &[Field<'_>]) -> String {
    let column = |field: &Field<'_>| {
        let constraint = match field.name {
            "id" => " PRIMARY KEY",
            _ if field.is_required => " NOT NULL",
            _ => "",
        };
        format!("    \"{}\" {}{constraint}", field.name, of(&field.kind, 1))
    };
    let columns: Vec<String> = fields.iter().map(column).collect();
    let read = |field: &Field<'_>| format!("    '{}': '{}'", field.name, of(&field.kind, 1));
    let reads: Vec<String> = fields.iter().map(read).collect();
    format!(
        "-- Records of Postrider, version 1. Times are in UTC.
CREATE TABLE IF NOT EXISTS postrider (
{}
);
-- What is there already is not loaded again.
INSERT OR IGNORE INTO postrider BY NAME
SELECT * FROM read_json('postrider.jsonl', format = 'newline_delimited', columns = {{
{}
}});
",
        columns.join(",\n"),
        reads.join(",\n")
    )
}

fn of(kind: &Kind<'_>, depth: usize) -> String {
    let name = match kind {
        // An ENUM would refuse the new words of a later version.
        Kind::Word | Kind::Name | Kind::Text | Kind::Ip => "VARCHAR",
        Kind::Time => "TIMESTAMP",
        Kind::Integer => "BIGINT",
        Kind::Decimal => "DOUBLE",
        Kind::Boolean => "BOOLEAN",
        Kind::Object(fields) => {
            let indent = "    ".repeat(depth);
            let field = |field: &Field<'_>| format!("{indent}    \"{}\" {}", field.name, of(&field.kind, depth + 1));
            let fields: Vec<String> = fields.iter().map(field).collect();
            return format!("STRUCT(\n{}\n{indent})", fields.join(",\n"));
        }
        Kind::List(kind) => return format!("{}[]", of(kind, depth)),
    };
    name.to_owned()
}
