//! Forms of values: how each is read from TOML, which Rust type results, and what the JSON Schema and the operator are
//! told about it.

mod list;
mod number;
mod table;
mod word;

pub(super) use self::list::List;
pub(super) use self::number::{Count, CountOr, Memory, Size, Span, SpanOr};
pub(super) use self::table::{Property, PropertyTable, Table, Tables};
pub(super) use self::word::{Choice, Named, Word};

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::key::{Inner, Presence};
use super::reader::TableReader;
use super::value::{self, Fault};
use crate::network::Network;
use crate::template::Template;

/// Form of a value.
pub(super) trait Form {
    /// The value in Rust.
    type Value;

    /// Reads a value; reports an error to the reader and returns `None`.
    fn read(&self, key: Spot, value: &Spanned<DeValue<'_>>, reader: &mut TableReader<'_, '_>) -> Option<Self::Value>;

    /// Returns the JSON Schema of the value.
    fn schema(&self) -> Json;

    /// Returns the limits of the value for the operator, as a sentence.
    fn limits(&self) -> Option<String> {
        None
    }

    /// Returns the tables within the value.
    fn inner(&self) -> Inner {
        Inner::Value
    }
}

/// The key whose value is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) name: &'static str,
    pub(super) presence: Presence,
}

/// Form of a value that is neither a list nor a table.
pub(super) trait Scalar {
    /// The value in Rust.
    type Value;

    /// Reads a value.
    fn parse(&self, value: &DeValue<'_>) -> Result<Self::Value, Fault>;

    /// Returns the JSON Schema of the value.
    fn schema(&self) -> Json;

    /// Returns the limits of the value for the operator, as a sentence.
    fn limits(&self) -> Option<String> {
        None
    }
}

impl<S: Scalar> Form for S {
    type Value = S::Value;

    fn read(&self, _: Spot, value: &Spanned<DeValue<'_>>, reader: &mut TableReader<'_, '_>) -> Option<S::Value> {
        reader.judge(value, |value| self.parse(value))
    }

    fn schema(&self) -> Json {
        Scalar::schema(self)
    }

    fn limits(&self) -> Option<String> {
        Scalar::limits(self)
    }
}

/// Form without parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain<T> {
    /// Reads a value.
    pub(super) parse: fn(&DeValue<'_>) -> Result<T, Fault>,
    /// Returns the JSON Schema of the value.
    pub(super) schema: fn() -> Json,
    /// Limits of the value for the operator, as a sentence.
    pub(super) limits: Option<&'static str>,
}

impl<T> Scalar for Plain<T> {
    type Value = T;

    fn parse(&self, value: &DeValue<'_>) -> Result<T, Fault> {
        (self.parse)(value)
    }

    fn schema(&self) -> Json {
        (self.schema)()
    }

    fn limits(&self) -> Option<String> {
        self.limits.map(str::to_owned)
    }
}

/// `true` or `false`.
pub(super) const BOOL: Plain<bool> =
    Plain { parse: value::bool, schema: || json!({ "type": "boolean" }), limits: Some("Values: true, false.") };

/// Permission bits in octal, as text.
pub(super) const MODE: Plain<u32> =
    Plain { parse: value::mode, schema: || text("^0?[0-7]{3}$"), limits: Some("Octal digits, in quotes.") };

/// A name for records and logs.
pub(super) const NAME: Plain<String> = Plain {
    parse: value::name,
    schema: || text("^[A-Za-z0-9._-]{1,64}$"),
    limits: Some("Limits: 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
};

/// `ADDRESS:PORT`.
pub(super) const ADDRESS: Plain<SocketAddr> =
    Plain { parse: value::address, schema: || text("^.+:[0-9]+$"), limits: None };

/// `ADDRESS:PORT`, or none.
pub(super) const ADDRESS_OR_NONE: Plain<Option<SocketAddr>> = Plain {
    parse: value::address_or_none,
    schema: || text("^(.+:[0-9]+|none)$"),
    limits: Some("ADDRESS:PORT, or \"none\"."),
};

/// A name in the IANA time zone database.
pub(super) const ZONE: Plain<jiff::tz::TimeZone> =
    Plain { parse: value::zone, schema: any, limits: Some("A name of the IANA time zone database.") };

/// A path, used as written.
pub(super) const PATH: Plain<PathBuf> = Plain { parse: value::path, schema: any, limits: None };

/// A path from the root on.
pub(super) const ABSOLUTE_PATH: Plain<PathBuf> =
    Plain { parse: value::absolute_path, schema: || text("^/"), limits: None };

/// A path from the root on, or none.
pub(super) const PATH_OR_NONE: Plain<Option<PathBuf>> = Plain {
    parse: value::path_or_none,
    schema: || text("^(/.*|none)$"),
    limits: Some("An absolute path, or \"none\"."),
};

/// Text with placeholders.
pub(super) const TEMPLATE: Plain<Template> = Plain { parse: value::template, schema: any, limits: None };

/// `HOST:PORT`.
pub(super) const BROKER: Plain<String> = Plain { parse: value::broker, schema: any, limits: None };

/// A network or an address.
pub(super) const NETWORK: Plain<Network> = Plain { parse: value::network, schema: any, limits: None };

/// Returns the JSON Schema of a text that matches a regular expression.
fn text(pattern: &str) -> Json {
    json!({ "type": "string", "pattern": pattern })
}

/// Returns the JSON Schema of a text that is not empty.
pub(super) fn any() -> Json {
    json!({ "type": "string", "minLength": 1 })
}

/// Returns the words in quotes, with `last` before the last one.
fn quoted(words: &[&str], last: &str) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(last)
}
