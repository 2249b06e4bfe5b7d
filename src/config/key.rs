//! The keys of the configuration file as data. Parsing, suggestions, defaults, the JSON Schema and the test of
//! `config/postrider.toml` all read these tables.

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Name of the key.
    pub(super) name: &'static str,
    /// Type of its value.
    pub(super) kind: Type,
    /// Requirement: whether the key may be omitted.
    pub(super) presence: Presence,
    /// Description for the operator, in one sentence.
    pub(super) doc: &'static str,
}

/// Requirement of a key: whether it may be omitted. The text is TOML.
#[derive(Clone, Copy, Debug)]
pub(super) enum Presence {
    /// The key is required; the text is an example.
    Required(&'static str),
    /// The key is optional and has no default; the text is an example.
    Optional(&'static str),
    /// The key is optional; the text is its default.
    Default(&'static str),
}

/// Type of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    /// `true` or `false`.
    Bool,
    /// A whole number between two bounds, both inclusive.
    Count(u64, u64),
    /// A whole number between two bounds, both inclusive, or the word.
    CountOr(u64, u64, &'static str),
    /// A number of bytes with a unit, between two bounds, both inclusive.
    Size(u64, u64),
    /// A time with a unit, not zero, or one of the words.
    Duration(&'static [&'static str]),
    /// Permission bits in octal, as text.
    Mode,
    /// A name for records and logs.
    Name,
    /// `ADDRESS:PORT`.
    Address,
    /// A name in the IANA time zone database.
    Zone,
    /// A path, used as written.
    Path,
    /// A list of absolute paths.
    Paths,
    /// Text with placeholders.
    Template,
    /// One of the words.
    Word(&'static [&'static str]),
    /// A list of the words.
    Words(&'static [&'static str]),
    /// A list of any words.
    AnyWords,
    /// A list of `HOST:PORT`.
    Brokers,
    /// A list of networks or addresses.
    Networks,
    /// A table of librdkafka properties.
    Properties,
    /// A table with keys of its own.
    Table(&'static [Key]),
    /// An array of such tables.
    Tables(&'static [Key]),
    /// The tables of every kind of source.
    Sources,
    /// The tables of every kind of sink.
    Sinks,
}

/// The words of a key, each with its value: one table for the reader, the schema and the hints.
#[derive(Debug)]
pub(super) struct Choice<T: 'static, const N: usize> {
    values: [T; N],
    words: [&'static str; N],
}

impl<T: Copy, const N: usize> Choice<T, N> {
    pub(super) const fn new(pairs: [(&'static str, T); N]) -> Self {
        let (mut values, mut words) = ([pairs[0].1; N], [""; N]);
        let mut index = 0;
        while index < N {
            (words[index], values[index]) = pairs[index];
            index += 1;
        }
        Self { values, words }
    }

    /// Returns the words, for [`Type::Word`].
    pub(super) const fn words(&'static self) -> &'static [&'static str] {
        &self.words
    }

    /// Returns the value of a word in the table.
    pub(super) fn value(&self, word: &str) -> Option<T> {
        self.words.iter().position(|known| *known == word).map(|index| self.values[index])
    }
}

impl Key {
    pub(super) const fn required(name: &'static str, kind: Type, example: &'static str, doc: &'static str) -> Self {
        Self { name, kind, presence: Presence::Required(example), doc }
    }

    pub(super) const fn optional(name: &'static str, kind: Type, example: &'static str, doc: &'static str) -> Self {
        Self { name, kind, presence: Presence::Optional(example), doc }
    }

    pub(super) const fn default(name: &'static str, kind: Type, default: &'static str, doc: &'static str) -> Self {
        Self { name, kind, presence: Presence::Default(default), doc }
    }

    /// Returns the default or an example, as TOML.
    pub(super) const fn shown(&self) -> &'static str {
        match self.presence {
            Presence::Required(text) | Presence::Optional(text) | Presence::Default(text) => text,
        }
    }
}
