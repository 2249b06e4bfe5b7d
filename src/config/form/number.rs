//! Numbers: counts, sizes and durations.

use std::time::Duration;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{Choice, Scalar, quoted, text};
use crate::config::value::{self, Fault, print_size};

/// A whole number between two bounds, both inclusive.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Count(pub(in crate::config) u32, pub(in crate::config) u32);

/// A whole number between two bounds, both inclusive, or the word, which gives `None`.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct CountOr(
    pub(in crate::config) u32,
    pub(in crate::config) u32,
    pub(in crate::config) &'static str,
);

/// A number of bytes with a unit, between two bounds, both inclusive.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Size(pub(in crate::config) u64, pub(in crate::config) u64);

/// The same for a number of bytes that must fit into memory.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Memory(pub(in crate::config) u32, pub(in crate::config) u32);

/// A time with a unit, not zero.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Span;

/// A time with a unit, not zero, or one of the words.
#[derive(Debug)]
pub(in crate::config) struct SpanOr<T: 'static, const N: usize> {
    /// Returns the value of a time.
    pub(in crate::config) span: fn(Duration) -> T,
    /// The words and their values.
    pub(in crate::config) words: &'static Choice<T, N>,
}

/// Regular expression of a time.
const TIME: &str = "0*[1-9][0-9]* *(ms|s|m|h|d)";

impl Scalar for Count {
    type Value = usize;

    fn parse(&self, value: &DeValue<'_>) -> Result<usize, Fault> {
        value::count(value, self.0, self.1).map(|count| count as usize)
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": self.0, "maximum": self.1 })
    }

    fn limits(&self) -> Option<String> {
        Some(format!("Range: {} to {}.", self.0, self.1))
    }
}

impl Scalar for CountOr {
    type Value = Option<u32>;

    fn parse(&self, value: &DeValue<'_>) -> Result<Option<u32>, Fault> {
        let Self(least, most, word) = *self;
        if value.as_str() == Some(word) {
            return Ok(None);
        }
        let count = value::count(value, least, most).map(Some);
        count.map_err(|fault| fault.help(format!("write {least} to {most}, or \"{word}\"")))
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [Count(self.0, self.1).schema(), { "const": self.2 }] })
    }

    fn limits(&self) -> Option<String> {
        Some(format!("Range: {} to {}, or \"{}\".", self.0, self.1, self.2))
    }
}

impl Scalar for Size {
    type Value = u64;

    fn parse(&self, value: &DeValue<'_>) -> Result<u64, Fault> {
        value::size(value, self.0, self.1)
    }

    fn schema(&self) -> Json {
        text("^[0-9]+ *(B|KiB|MiB|GiB|TiB)$")
    }

    fn limits(&self) -> Option<String> {
        Some(match (self.0, self.1) {
            (0, u64::MAX) => return None,
            (least, u64::MAX) => format!("Minimum: {}.", print_size(least)),
            (least, most) => format!("Range: {} to {}.", print_size(least), print_size(most)),
        })
    }
}

impl Memory {
    const fn size(self) -> Size {
        Size(self.0 as u64, self.1 as u64)
    }
}

impl Scalar for Memory {
    type Value = usize;

    fn parse(&self, value: &DeValue<'_>) -> Result<usize, Fault> {
        // At most `self.1`, which has 32 bits.
        self.size().parse(value).map(|size| usize::try_from(size).unwrap_or(usize::MAX))
    }

    fn schema(&self) -> Json {
        self.size().schema()
    }

    fn limits(&self) -> Option<String> {
        self.size().limits()
    }
}

impl Scalar for Span {
    type Value = Duration;

    fn parse(&self, value: &DeValue<'_>) -> Result<Duration, Fault> {
        value::duration(value)
    }

    fn schema(&self) -> Json {
        text(&format!("^({TIME})$"))
    }
}

impl<T: Copy, const N: usize> Scalar for SpanOr<T, N> {
    type Value = T;

    fn parse(&self, value: &DeValue<'_>) -> Result<T, Fault> {
        if let Some(value) = value.as_str().and_then(|word| self.words.value(word)) {
            return Ok(value);
        }
        value::duration(value).map(self.span).map_err(|mut fault| {
            let before = fault.help.map(|help| format!("{help}; or ")).unwrap_or_default();
            fault.help = Some(format!("{before}write {}", quoted(self.words.words(), " or ")));
            fault
        })
    }

    fn schema(&self) -> Json {
        let forms: Vec<&str> = self.words.words().iter().copied().chain([TIME]).collect();
        text(&format!("^({})$", forms.join("|")))
    }

    fn limits(&self) -> Option<String> {
        Some(format!("Values: a duration, {}.", quoted(self.words.words(), ", ")))
    }
}
