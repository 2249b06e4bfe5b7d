//! The `encode` stage: a record to one JSON object. The names and the order of the fields stand here and nowhere else.

mod buffer;
mod domain;
mod event;
mod json;
mod record;
mod shape;

pub use buffer::Buffer;
pub(crate) use json::{needs_escape, string as json_string};
pub use record::{Encoder, Writer};

/// The JSON Schema (draft 2020-12) of a record, version 1.
pub const SCHEMA: &str = include_str!("record.schema.json");
