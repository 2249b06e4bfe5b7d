//! The `encode` stage: writes a record as one JSON object. Only this module defines the names and the order of the
//! fields.

mod buffer;
mod domain;
mod event;
mod json;
mod record;
mod shape;

pub use buffer::Buffer;
pub(crate) use json::needs_escape;
pub use json::string as json_string;
pub use record::{Encoder, Writer};

/// The JSON Schema (draft 2020-12) of a record, version 1.
pub const SCHEMA: &str = include_str!("record.schema.json");
