//! The record's JSON Schema in the language of a store, for people who want its types fixed rather than inferred from
//! the first records.
//!
//! The schema is the only list of fields: the code walks it, and each store writes its types.

use serde_json::Value;

use crate::encode::SCHEMA;

mod bigquery;
mod clickhouse;
mod duckdb;
mod elasticsearch;
#[cfg(test)]
mod tests;

/// Store in whose language the schema is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The schema itself.
    JsonSchema,
    /// Table of ClickHouse.
    ClickHouse,
    /// Table of DuckDB, and how it is loaded.
    DuckDb,
    /// Index template of Elasticsearch.
    Elasticsearch,
    /// Table schema of BigQuery.
    BigQuery,
}

/// Field of a record, or of an object in it.
#[derive(Debug)]
struct SchemaField<'s> {
    name: &'s str,
    description: Option<&'s str>,
    is_required: bool,
    kind: ValueType<'s>,
}

/// Type of the values of a field.
#[derive(Debug)]
enum ValueType<'s> {
    /// One of a few words; a later version may have more of them.
    Word,
    /// Name, address or id: a value that is queried as a whole.
    Name,
    /// Text that people or programs wrote: queries search it for words.
    Text,
    /// Address of IPv4 or IPv6.
    Ip,
    /// Time in RFC 3339.
    Time,
    Integer,
    Decimal,
    Boolean,
    Object(Vec<SchemaField<'s>>),
    List(Box<Self>),
}

impl Dialect {
    /// Names on the command line.
    pub const NAMES: [&str; 5] = ["json-schema", "clickhouse", "duckdb", "elasticsearch", "bigquery"];

    /// Returns the format with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "json-schema" => Self::JsonSchema,
            "clickhouse" => Self::ClickHouse,
            "duckdb" => Self::DuckDb,
            "elasticsearch" => Self::Elasticsearch,
            "bigquery" => Self::BigQuery,
            _ => return None,
        })
    }

    /// Returns the schema of a record in this format.
    pub fn text(self) -> String {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap_or_default();
        let fields = || fields(&schema, &schema);
        match self {
            Self::JsonSchema => SCHEMA.to_owned(),
            Self::ClickHouse => clickhouse::table(&fields()),
            Self::DuckDb => duckdb::table(&fields()),
            Self::Elasticsearch => format!("{:#}\n", elasticsearch::template(&fields())),
            Self::BigQuery => format!("{:#}\n", bigquery::columns(&fields())),
        }
    }
}

/// Returns the fields of an object of the schema, in the order in which records have them.
fn fields<'s>(schema: &'s Value, object: &'s Value) -> Vec<SchemaField<'s>> {
    let required = object["required"].as_array();
    let field = |(name, property): (&'s String, &'s Value)| SchemaField {
        name,
        description: property["description"].as_str(),
        is_required: required.is_some_and(|required| required.iter().any(|field| field == name)),
        kind: kind(schema, property),
    };
    object["properties"].as_object().into_iter().flatten().map(field).collect()
}

fn kind<'s>(schema: &'s Value, property: &'s Value) -> ValueType<'s> {
    if let Some(pointer) = property["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        return match pointer {
            "/$defs/time" => ValueType::Time,
            "/$defs/ip" => ValueType::Ip,
            "/$defs/text" => ValueType::Text,
            _ => kind(schema, schema.pointer(pointer).unwrap_or(&Value::Null)),
        };
    }
    match property["type"].as_str() {
        Some("object") => ValueType::Object(fields(schema, property)),
        Some("array") => ValueType::List(Box::new(kind(schema, &property["items"]))),
        Some("integer") => ValueType::Integer,
        Some("number") => ValueType::Decimal,
        Some("boolean") => ValueType::Boolean,
        Some(_) => ValueType::Name,
        None if property["const"].is_boolean() => ValueType::Boolean,
        None => ValueType::Word,
    }
}
