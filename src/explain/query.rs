//! A query, split into its parts.

use super::notes::{self, Note};
use super::providers;
use super::words::{self, KnownWord};
use crate::dsn::registry;
use crate::dsn::{Class, Dsn};
use crate::record::Provider;

/// Text or code to explain.
pub(super) enum Query<'a> {
    Enhanced(CodeParts<'a>),
    Reply(ReplyCode<'a>, Option<CodeParts<'a>>),
    Provider(Provider, Option<&'a str>),
    /// Code that each of these providers has.
    CodeOf(Vec<Provider>, &'a str),
    /// All meanings of a word of the record.
    Words(Vec<KnownWord>),
}

/// Error: why a text cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    #[error(
        "{0}; write an enhanced code (4.7.1), its first parts (4.7 or 4), a reply code (450), a whole reply \
         (450 4.7.1 Try later), a provider with its code (google 4.7.28), a cause or another word of the record \
         (greylisted), or a line of the log in quotes"
    )]
    Wrong(String),
    #[error("did you mean `{0}`?")]
    Misspelt(&'static str),
    #[error("`{word}` is not a provider's code; leave out `{provider}`")]
    WordOfProvider { word: &'static str, provider: &'static str },
}

/// Enhanced status code, or its first parts.
#[derive(Clone, Copy)]
pub(super) struct CodeParts<'a> {
    pub(super) code: &'a str,
    pub(super) class: Class,
    pub(super) subject: Option<u16>,
    pub(super) detail: Option<u16>,
}

/// SMTP reply code, split into its digits.
#[derive(Clone, Copy)]
pub(super) struct ReplyCode<'a> {
    pub(super) code: &'a str,
    pub(super) digits: [u8; 3],
}

// === impl Query ===

impl<'a> Query<'a> {
    /// Reads a query, or returns what is wrong with it.
    pub(super) fn read(text: &'a str) -> Result<Self, QueryError> {
        let first =
            text.split_whitespace().next().ok_or_else(|| QueryError::Wrong("the code is missing".to_owned()))?;
        if let Some(provider) = words::provider(text) {
            return Ok(Self::Provider(provider, None));
        }
        if let Some(provider) = words::provider(first) {
            return Self::of_provider(provider, text[first.len()..].trim_start());
        }
        let words = words::named(text);
        if !words.is_empty() {
            return Ok(Self::Words(words));
        }
        if let Some(detail) = words::detail(text) {
            return Ok(Self::Words(vec![detail]));
        }
        if let Some(code) = Self::code(text)? {
            return Ok(code);
        }
        let code = bare(text);
        let providers = providers::with(code);
        if providers.is_empty() { Err(QueryError::unknown(text)) } else { Ok(Self::CodeOf(providers, code)) }
    }

    fn of_provider(provider: Provider, code: &'a str) -> Result<Self, QueryError> {
        let name = provider.name();
        if let Some(word) = words::named(code).first() {
            return Err(QueryError::WordOfProvider { word: word.name(), provider: name });
        }
        if code.contains(char::is_whitespace) {
            return Err(QueryError::Wrong(format!("write one code after {name}")));
        }
        Ok(Self::Provider(provider, Some(bare(code))))
    }

    /// Reads a numeric code; `None` if `text` does not begin like one.
    fn code(text: &'a str) -> Result<Option<Self>, QueryError> {
        let mut words = text.split_whitespace();
        let Some(first) = words.next() else { return Ok(None) };
        // In a reply of several lines, the code has a hyphen behind it in all lines but the last (RFC 5321, section
        // 4.2.1).
        let (first, glued) = match first.split_once('-') {
            Some((reply, rest)) if reply.len() == 3 => (reply, Some(rest)),
            _ => (first, None),
        };
        if !first.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Ok(None);
        }
        if first.len() > 1 && !first.contains('.') {
            let reply = ReplyCode::read(first).map_err(QueryError::Wrong)?;
            let second = glued.or_else(|| words.next()).and_then(Dsn::parse);
            return Ok(Some(Self::Reply(reply, second.map(CodeParts::from))));
        }
        CodeParts::read(first).map(|parts| Some(Self::Enhanced(parts))).map_err(QueryError::Wrong)
    }
}

/// Returns a code without the brackets that providers print around theirs.
fn bare(code: &str) -> &str {
    let inside = |(open, close)| code.strip_prefix(open)?.strip_suffix(close);
    [('[', ']'), ('(', ')')].into_iter().find_map(inside).unwrap_or(code)
}

impl QueryError {
    /// Returns the fault of a text that is nothing that can be explained. It suggests a word only if the text has one
    /// or two words.
    fn unknown(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let (first, is_short) = (words.next().unwrap_or_default(), words.nth(1).is_none());
        match words::nearest(text).or_else(|| words::nearest(first)).filter(|_| is_short) {
            Some(word) => Self::Misspelt(word),
            None => Self::Wrong("not a known code, word or line".to_owned()),
        }
    }
}

impl<'a> CodeParts<'a> {
    pub(super) fn read(code: &'a str) -> Result<Self, String> {
        if let Some(dsn) = Dsn::parse(code) {
            return Ok(dsn.into());
        }
        // The missing parts are filled with 0, so that one parser reads all codes.
        let parts = code.split('.').count();
        if let Some(whole) = [".0.0", ".0"].get(parts - 1).map(|missing| format!("{code}{missing}"))
            && let Some(dsn) = Dsn::parse(&whole)
        {
            return Ok(Self { code, class: dsn.class(), subject: (parts > 1).then(|| dsn.subject()), detail: None });
        }
        match code.split_once('.').map_or(code, |(class, _)| class) {
            "2" | "4" | "5" => Err("a class is followed by at most two numbers of one to three digits".to_owned()),
            "" => Err("the class is missing".to_owned()),
            class => Err(format!("a class is 2 (success), 4 (transient) or 5 (permanent), not {class}")),
        }
    }

    /// Returns the document that defines the last part that is registered.
    pub(super) fn reference(self) -> &'static str {
        let Some(subject) = self.subject.and_then(registry::subject) else { return registry::CLASSES };
        self.detail.and_then(|detail| subject.detail(detail)).map_or(subject.reference, |detail| detail.reference)
    }

    pub(super) fn note(self) -> Option<&'static Note> {
        let (subject, detail) = (self.subject?, self.detail?);
        let class = self.class.code();
        notes::find(&format!("{class}.{subject}.{detail}")).or_else(|| notes::find(&format!("X.{subject}.{detail}")))
    }
}

impl<'a> From<Dsn<'a>> for CodeParts<'a> {
    fn from(dsn: Dsn<'a>) -> Self {
        Self { code: dsn.code(), class: dsn.class(), subject: Some(dsn.subject()), detail: Some(dsn.detail()) }
    }
}

impl<'a> ReplyCode<'a> {
    pub(super) fn read(code: &'a str) -> Result<Self, String> {
        let &[first, second, third] = code.as_bytes() else {
            return Err("a reply code has three digits".to_owned());
        };
        let digits = [first - b'0', second - b'0', third - b'0'];
        match digits {
            [2..=5, 0..=5, _] => Ok(Self { code, digits }),
            [2..=5, second, _] => Err(format!("the second digit of a reply code is 0 to 5, not {second}")),
            [first, ..] => Err(format!("the first digit of a reply code is 2 to 5, not {first}")),
        }
    }
}
