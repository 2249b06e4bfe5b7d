//! Words, each with a meaning.

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::{Scalar, quoted};
use crate::config::value::{self, Fault};

/// The words of a key, each with its value: one table for the reader, the schema and the hints.
#[derive(Debug)]
pub(in crate::config) struct Choice<T: 'static, const N: usize> {
    values: [T; N],
    words: [&'static str; N],
}

/// One of the names of a type.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Named<T> {
    pub(in crate::config) names: &'static [&'static str],
    /// Returns the value of a name.
    pub(in crate::config) value: fn(&str) -> Option<T>,
}

/// One of the words, which is its own value.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Word(pub(in crate::config) &'static [&'static str]);

/// Maximum number of words that the operator is told; a page in `docs/` lists those of a longer table.
const MOST_WORDS: usize = 24;

impl<T: Copy, const N: usize> Choice<T, N> {
    pub(in crate::config) const fn new(pairs: [(&'static str, T); N]) -> Self {
        let (mut values, mut words) = ([pairs[0].1; N], [""; N]);
        let mut index = 0;
        while index < N {
            (words[index], values[index]) = pairs[index];
            index += 1;
        }
        Self { values, words }
    }

    pub(super) const fn words(&self) -> &[&'static str] {
        &self.words
    }

    /// Returns the value of a word in the table.
    pub(super) fn value(&self, word: &str) -> Option<T> {
        self.words.iter().position(|known| *known == word).map(|index| self.values[index])
    }
}

impl<T: Copy, const N: usize> Scalar for &'static Choice<T, N> {
    type Value = T;

    fn parse(&self, value: &DeValue<'_>) -> Result<T, Fault> {
        value::word(value, &self.words, |word| self.value(word))
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.words() })
    }

    fn limits(&self) -> Option<String> {
        listed(&self.words)
    }
}

impl<T> Scalar for Named<T> {
    type Value = T;

    fn parse(&self, value: &DeValue<'_>) -> Result<T, Fault> {
        value::word(value, self.names, |word| self.names.contains(&word).then(|| (self.value)(word)).flatten())
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.names })
    }

    fn limits(&self) -> Option<String> {
        listed(self.names)
    }
}

impl Scalar for Word {
    type Value = &'static str;

    fn parse(&self, value: &DeValue<'_>) -> Result<&'static str, Fault> {
        value::word(value, self.0, |word| self.0.iter().find(|known| **known == word).copied())
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.0 })
    }

    fn limits(&self) -> Option<String> {
        listed(self.0)
    }
}

/// Returns the words as a sentence if they are few.
fn listed(words: &[&str]) -> Option<String> {
    (words.len() <= MOST_WORDS).then(|| format!("Values: {}.", quoted(words, ", ")))
}
