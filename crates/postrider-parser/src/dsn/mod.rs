//! Enhanced status codes (RFC 3463 and the IANA registry of RFC 5248).
//!
//! A code has three parts, and each part narrows the one before it: class, subject, detail. If a part is not
//! registered, the part before it decides, so that every code has a text.

pub mod registry;

use registry::{Detail, Subject};

use crate::decimal;

/// Enhanced status code as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dsn<'a> {
    code: &'a str,
    class: Class,
    subject: u16,
    detail: u16,
}

/// First part of a code (RFC 3463, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Code 2: delivered.
    Success,
    /// Code 4: may succeed later.
    Transient,
    /// Code 5: will not succeed unchanged.
    Permanent,
}

/// Language of the texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Japanese.
    Ja,
}

// === impl Dsn ===

impl<'a> Dsn<'a> {
    /// Reads `code` if it is a whole code and nothing else: a class of 2, 4 or 5, and two numbers of one to three
    /// digits.
    ///
    /// Postfix accepts the same codes (`dsn_valid` in `src/global/dsn_util.c`), leading zeros included.
    pub fn parse(code: &'a str) -> Option<Self> {
        Self::split(code).filter(|(_, rest)| rest.is_empty()).map(|(dsn, _)| dsn)
    }

    /// Splits a code off the front of `text`. More digits may follow it.
    pub(super) fn split(text: &'a str) -> Option<(Self, &'a str)> {
        let (class, parts) = text.as_bytes().split_first()?;
        let (subject, detail, rest) = match parts {
            // Nearly all codes have this form.
            [b'.', subject @ b'0'..=b'9', b'.', detail @ b'0'..=b'9', rest @ ..]
                if !rest.first().is_some_and(u8::is_ascii_digit) =>
            {
                (u16::from(subject - b'0'), u16::from(detail - b'0'), rest)
            }
            _ => {
                let (subject, rest) = part(parts)?;
                let (detail, rest) = part(rest)?;
                (subject, detail, rest)
            }
        };
        let (code, rest) = text.split_at(text.len() - rest.len());
        Some((Self { code, class: Class::from_digit(*class)?, subject, detail }, rest))
    }

    /// Returns the code as written: `4.7.1`.
    pub const fn code(&self) -> &'a str {
        self.code
    }

    /// Returns the class: success, worth another attempt, or permanent failure.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Returns the second part: what the code is about.
    pub const fn subject(&self) -> u16 {
        self.subject
    }

    /// Returns the third part: what happened there.
    pub const fn detail(&self) -> u16 {
        self.detail
    }

    /// Returns the registered name of the subject: `security`.
    pub fn subject_name(&self) -> Option<&'static str> {
        self.registered_subject().map(|subject| subject.name)
    }

    /// Returns the registered name of the detail: `delivery_not_authorized`.
    pub fn detail_name(&self) -> Option<&'static str> {
        match self.detail {
            0 => self.registered_subject().map(|subject| subject.undefined),
            _ => self.registered_detail().map(|detail| detail.name),
        }
    }

    /// Returns the meaning of the code for people who run the mail system, from the last part that is registered.
    pub fn text(&self, language: Language) -> &'static str {
        let text = match (self.registered_subject(), self.registered_detail()) {
            (_, Some(detail)) => detail.text,
            (Some(subject), None) => subject.text(self.class),
            (None, None) => registry::class_text(self.class),
        };
        text.get(language)
    }

    /// Returns the document that defines the last part that is registered: `RFC 3463, section 3.8`.
    pub fn reference(&self) -> &'static str {
        match (self.registered_subject(), self.registered_detail()) {
            (_, Some(detail)) => detail.reference,
            (Some(subject), None) => subject.reference,
            (None, None) => registry::CLASSES,
        }
    }

    fn registered_subject(&self) -> Option<&'static Subject> {
        registry::subject(self.subject)
    }

    fn registered_detail(&self) -> Option<&'static Detail> {
        self.registered_subject()?.detail(self.detail)
    }
}

/// Splits a point and a number of one to three digits off a text.
fn part(text: &[u8]) -> Option<(u16, &[u8])> {
    let text = text.strip_prefix(b".")?;
    let (number, digits) = decimal::leading(text, 3);
    (digits > 0).then_some((number as u16, &text[digits..]))
}

// === impl Class ===

impl Class {
    /// Every class, in the order of its digit.
    pub const ALL: [Self; 3] = [Self::Success, Self::Transient, Self::Permanent];

    /// Returns the name in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
        }
    }

    /// Returns the class with this name in the record.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Returns the digit: 2, 4 or 5.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 2,
            Self::Transient => 4,
            Self::Permanent => 5,
        }
    }

    /// Returns the class of an ASCII digit.
    const fn from_digit(digit: u8) -> Option<Self> {
        match digit {
            b'2' => Some(Self::Success),
            b'4' => Some(Self::Transient),
            b'5' => Some(Self::Permanent),
            _ => None,
        }
    }
}

// === impl Language ===

impl Language {
    /// Names of all languages, as the configuration and the command line take them.
    pub const NAMES: [&'static str; 2] = ["en", "ja"];

    /// Returns the language tag: `en`, `ja`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::En => Self::NAMES[0],
            Self::Ja => Self::NAMES[1],
        }
    }

    /// Returns the language with this tag.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::En, Self::Ja].into_iter().find(|language| language.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dsn(code: &str) -> Dsn<'_> {
        Dsn::parse(code).unwrap()
    }

    #[test]
    fn takes_what_postfix_takes() {
        for (code, class, subject, detail) in [
            ("2.0.0", Class::Success, 0, 0),
            ("4.7.1", Class::Transient, 7, 1),
            ("5.1.10", Class::Permanent, 1, 10),
            ("5.999.999", Class::Permanent, 999, 999),
            ("4.007.01", Class::Transient, 7, 1),
        ] {
            let dsn = dsn(code);
            assert_eq!((dsn.code(), dsn.class(), dsn.subject(), dsn.detail()), (code, class, subject, detail));
        }
    }

    #[test]
    fn takes_nothing_else() {
        for code in [
            "", ".", "..", "4", "4.7", "4.7.", "4..1", ".7.1", "3.7.1", "0.0.0", "44.7.1", "4.7.1.1", "4.7.1 ",
            " 4.7.1", "4.1000.1", "4.7.1000", "4.-7.1", "4.+7.1", "4.7.x", "4,7,1", "４.7.1", "4.7.１", "X.7.1",
        ] {
            assert_eq!(Dsn::parse(code), None, "{code:?}");
        }
    }

    #[test]
    fn names_come_from_the_registry() {
        for (code, subject, detail) in [
            ("4.7.1", Some("security"), Some("delivery_not_authorized")),
            ("2.0.0", Some("other"), Some("other_undefined_status")),
            ("5.1.0", Some("address"), Some("other_address_status")),
            ("5.1.1", Some("address"), Some("bad_destination_mailbox_address")),
            ("5.1.10", Some("address"), Some("recipient_address_has_null_mx")),
            ("5.7.30", Some("security"), Some("requiretls_support_required")),
            ("5.7.31", Some("security"), None),
            ("4.0.1", Some("other"), None),
            ("4.8.0", None, None),
            ("4.8.1", None, None),
        ] {
            assert_eq!((dsn(code).subject_name(), dsn(code).detail_name()), (subject, detail), "{code}");
        }
    }

    #[test]
    fn an_unknown_part_takes_the_text_of_the_part_before() {
        for (code, same) in [("4.7.99", "4.7.0"), ("4.99.1", "4.0.0"), ("5.0.7", "5.0.0"), ("2.99.99", "2.0.0")] {
            for language in [Language::En, Language::Ja] {
                assert_eq!(dsn(code).text(language), dsn(same).text(language), "{code}");
            }
        }
        assert_ne!(dsn("4.7.0").text(Language::En), dsn("5.7.0").text(Language::En));
        assert_ne!(dsn("4.7.1").text(Language::En), dsn("4.7.0").text(Language::En));
    }

    #[test]
    fn a_reference_is_that_of_the_last_known_part() {
        for (code, reference) in [
            ("4.7.1", "RFC 3463, section 3.8"),
            ("5.7.30", "RFC 8689"),
            ("5.7.99", "RFC 3463, section 3.8"),
            ("5.99.1", "RFC 3463, section 2"),
        ] {
            assert_eq!(dsn(code).reference(), reference, "{code}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for class in Class::ALL {
            assert_eq!(Class::from_name(class.name()), Some(class));
            assert_eq!(Class::from_digit(b'0' + class.code()), Some(class));
        }
        for name in Language::NAMES {
            assert_eq!(Language::from_name(name).map(Language::name), Some(name));
        }
        assert_eq!(Class::from_name("Success"), None);
        assert_eq!(Language::from_name("fr"), None);
    }
}
