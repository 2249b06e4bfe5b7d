//! The record's JSON Schema in the words of a store, for whoever wants its types fixed rather than inferred from the
//! first records.
//!
//! The schema is the only list of fields: it is walked, and each store writes what it finds.

use serde_json::Value;

use crate::encode::SCHEMA;

mod bigquery;
mod clickhouse;
mod duckdb;
mod elasticsearch;
#[cfg(test)]
mod tests;

/// In whose words the schema is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The schema itself.
    JsonSchema,
    /// A table of ClickHouse.
    ClickHouse,
    /// A table of DuckDB, and how it is loaded.
    DuckDb,
    /// An index template of Elasticsearch.
    Elasticsearch,
    /// A table schema of BigQuery.
    BigQuery,
}

/// A field of a record, or of an object in it.
#[derive(Debug)]
struct Field<'s> {
    name: &'s str,
    description: Option<&'s str>,
    is_required: bool,
    kind: Kind<'s>,
}

/// What the values of a field are.
#[derive(Debug)]
enum Kind<'s> {
    /// One of few words, of which there may be more in a later version.
    Word,
    /// A name, an address, an id: what is asked for as a whole.
    Name,
    /// What people or programs wrote, in which words are looked for.
    Text,
    /// An address of IPv4 or IPv6.
    Ip,
    /// RFC 3339.
    Time,
    Integer,
    Decimal,
    Boolean,
    Object(Vec<Field<'s>>),
    List(Box<Self>),
}

impl Dialect {
    /// The names on the command line.
    pub const NAMES: [&str; 5] = ["json-schema", "clickhouse", "duckdb", "elasticsearch", "bigquery"];

    /// The format with this name.
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

    /// The schema of a record in these words.
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

/// The fields of an object of the schema, in the order in which records have them.
fn fields<'s>(schema: &'s Value, object: &'s Value) -> Vec<Field<'s>> {
    let required = object["required"].as_array();
    let field = |(name, property): (&'s String, &'s Value)| Field {
        name,
        description: property["description"].as_str(),
        is_required: required.is_some_and(|required| required.iter().any(|field| field == name)),
        kind: kind(schema, property),
    };
    object["properties"].as_object().into_iter().flatten().map(field).collect()
}

fn kind<'s>(schema: &'s Value, property: &'s Value) -> Kind<'s> {
    if let Some(name) = property["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        return match name {
            "time" => Kind::Time,
            "ip" => Kind::Ip,
            "text" => Kind::Text,
            _ => kind(schema, &schema["$defs"][name]),
        };
    }
    match property["type"].as_str() {
        Some("object") => Kind::Object(fields(schema, property)),
        Some("array") => Kind::List(Box::new(kind(schema, &property["items"]))),
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Decimal,
        Some("boolean") => Kind::Boolean,
        Some(_) => Kind::Name,
        None if property["const"].is_boolean() => Kind::Boolean,
        None => Kind::Word,
    }
}
