//! The keys of the configuration file as data. Parsing, suggestions, defaults, the JSON Schema and the test of
//! `config/postrider.toml` all read these tables.

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// What its value must be.
    pub(super) kind: Type,
    /// Whether it may be left out.
    pub(super) presence: Presence,
    /// One sentence for the operator.
    pub(super) doc: &'static str,
}

/// Whether a key may be left out. The text is TOML.
#[derive(Clone, Copy, Debug)]
pub(super) enum Presence {
    /// It must be there; the text is an example.
    Required(&'static str),
    /// Without it there is nothing; the text is an example.
    Optional(&'static str),
    /// Without it the text holds.
    Default(&'static str),
}

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    /// `true` or `false`.
    Bool,
    /// A whole number, both ends included.
    Count(u64, u64),
    /// A whole number, both ends included, or the word.
    CountOr(u64, u64, &'static str),
    /// Bytes with a unit, both ends included.
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
    /// A path as it is.
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

/// The words of a key, each with what it stands for: one table for the reader, the schema and the hints.
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

    /// The words, for [`Type::Word`].
    pub(super) const fn words(&'static self) -> &'static [&'static str] {
        &self.words
    }

    /// What a word of the table stands for.
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

    /// The default or an example, as TOML.
    pub(super) const fn shown(&self) -> &'static str {
        match self.presence {
            Presence::Required(text) | Presence::Optional(text) | Presence::Default(text) => text,
        }
    }
}
