//! Enhanced status codes (RFC 3463 and the IANA registry of RFC 5248).

/// An enhanced status code as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dsn<'a> {
    code: &'a str,
    class: Class,
    subject: u16,
    detail: u16,
}

/// The first part of a code (RFC 3463, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 2: delivered.
    Success,
    /// 4: may succeed later.
    Transient,
    /// 5: will not succeed as it is.
    Permanent,
}

/// The language of the texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Japanese.
    Ja,
}
