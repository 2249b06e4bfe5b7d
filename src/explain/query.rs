//! What was written, taken apart.

use super::notes::{self, Note};
use crate::dsn::registry;
use crate::dsn::{Class, Dsn};
use crate::record::{Cause, Provider};

/// What to explain.
#[derive(Clone, Copy)]
pub(super) enum Query<'a> {
    Enhanced(Parts<'a>),
    Reply(ReplyCode<'a>, Option<Parts<'a>>),
    Provider(Provider, Option<&'a str>),
    Cause(Cause),
}

/// An enhanced status code, or its first parts.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) code: &'a str,
    pub(super) class: Class,
    pub(super) subject: Option<u16>,
    pub(super) detail: Option<u16>,
}

/// An SMTP reply code, taken apart.
#[derive(Clone, Copy)]
pub(super) struct ReplyCode<'a> {
    pub(super) code: &'a str,
    pub(super) digits: [u8; 3],
}

// === impl Query ===

impl<'a> Query<'a> {
    /// Reads what was written, or says what is wrong with it.
    pub(super) fn read(code: &'a str) -> Result<Self, String> {
        let mut words = code.split_whitespace();
        let first = words.next().ok_or("there is no code")?;
        if let Some(provider) = Provider::from_name(first) {
            let code = words.next();
            return match words.next() {
                None => Ok(Self::Provider(provider, code)),
                Some(_) => Err(format!("{} is followed by one code", provider.name())),
            };
        }
        if let Some(cause) = Cause::from_name(code) {
            return Ok(Self::Cause(cause));
        }
        // A reply of several lines has a hyphen after the code in all but the last (RFC 5321, section 4.2.1).
        let (first, glued) = match first.split_once('-') {
            Some((reply, rest)) if reply.len() == 3 => (reply, Some(rest)),
            _ => (first, None),
        };
        if !first.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err("a code is made of digits and points".to_owned());
        }
        if first.len() > 1 && !first.contains('.') {
            let second = glued.or_else(|| words.next()).and_then(Dsn::parse);
            return Ok(Self::Reply(ReplyCode::read(first)?, second.map(Parts::from)));
        }
        Parts::read(first).map(Self::Enhanced)
    }
}

impl<'a> Parts<'a> {
    pub(super) fn read(code: &'a str) -> Result<Self, String> {
        if let Some(dsn) = Dsn::parse(code) {
            return Ok(dsn.into());
        }
        // The missing parts are put in as 0, so that one parser says what a part is.
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

    /// Where the last part that is registered is defined.
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

impl<'a> From<Dsn<'a>> for Parts<'a> {
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
