//! The rows that decide the cause of a failure, from top to bottom.

mod codes;
mod own;
mod passing;
mod policy;
mod sender;
mod size;
mod user;

use std::ops::RangeInclusive;

use crate::dsn::Class;
use crate::record::Cause;

/// A row: what it looks for, and the cause that it stands for.
pub(super) type Row = (On, Cause);

/// Place where a row looks, and what it looks for. Words are in lower case.
#[derive(Debug, PartialEq)]
pub(super) enum On {
    /// Postfix's own words begin with the first text and hold the second.
    Own(&'static str, &'static str),
    /// A server's words hold this text.
    Reply(&'static str),
    /// A server's words are exactly this text.
    ReplyIs(&'static str),
    /// A server's words hold this text, and its code begins with 5.
    Permanent(&'static str),
    /// A server's words hold this text, and its code begins with 4.
    Transient(&'static str),
    /// A server's words hold this text, and its enhanced status code has this subject and detail.
    Coded(u16, u16, &'static str),
    /// Postfix's or a server's words hold this text: the words of a local agent or its command may be either.
    Either(&'static str),
    /// The server's enhanced status code, or else Postfix's, has this subject and detail.
    Dsn(u16, u16),
    /// Like `Dsn`, with this class, this subject and one of these details.
    DsnOf(Class, u16, RangeInclusive<u16>),
    /// The server's reply code is this.
    Code(u16),
    /// Like `Permanent`, if nothing else fits.
    Last(&'static str),
}

/// Rows by their subject. The first row that fits counts.
const PARTS: [&[Row]; 7] = [own::ROWS, passing::ROWS, sender::ROWS, size::ROWS, user::ROWS, policy::ROWS, codes::ROWS];

/// Number of rows.
pub(super) const COUNT: usize = {
    let (mut count, mut part) = (0, 0);
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
};

/// Every row, in order.
pub(super) static ALL: [&Row; COUNT] = {
    let mut all = [&PARTS[0][0]; COUNT];
    let (mut at, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut row = 0;
        while row < PARTS[part].len() {
            all[at] = &PARTS[part][row];
            row += 1;
            at += 1;
        }
        part += 1;
    }
    all
};

/// The words of each row.
pub(super) const WORDS: [Option<&str>; COUNT] = {
    let mut words = [None; COUNT];
    let mut row = 0;
    while row < COUNT {
        words[row] = ALL[row].0.words();
        row += 1;
    }
    words
};

impl On {
    /// Returns what a text has to hold, if words decide. If Postfix's own words need to hold nothing, this is their
    /// beginning.
    pub(super) const fn words(&self) -> Option<&'static str> {
        match self {
            Self::Own(begin, words) => Some(if words.is_empty() { begin } else { words }),
            Self::Reply(words)
            | Self::ReplyIs(words)
            | Self::Permanent(words)
            | Self::Transient(words)
            | Self::Coded(_, _, words)
            | Self::Either(words)
            | Self::Last(words) => Some(words),
            Self::Dsn(..) | Self::DsnOf(..) | Self::Code(_) => None,
        }
    }
}
