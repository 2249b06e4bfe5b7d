//! What decides the cause of a failure: the rows, from top to bottom.

mod codes;
mod own;
mod passing;
mod policy;
mod sender;
mod size;
mod user;

use std::ops::RangeInclusive;

use crate::postfix::dsn::Class;
use crate::record::Cause;

/// What a row looks for, and the cause that it stands for.
pub(super) type Row = (On, Cause);

/// Where a row finds what it looks for. Words are in lower case.
#[derive(Debug, PartialEq)]
pub(super) enum On {
    /// Postfix's own words begin with the first and hold the second.
    Own(&'static str, &'static str),
    /// A server's words hold it.
    Reply(&'static str),
    /// A server's words are it.
    ReplyIs(&'static str),
    /// A server's words hold it, and its code begins with 5.
    Permanent(&'static str),
    /// A server's words hold it, and its code begins with 4.
    Transient(&'static str),
    /// A server's words hold it, and its enhanced status code has this subject and detail.
    Coded(u16, u16, &'static str),
    /// Anybody's words hold it: those of a local agent or its command may be either.
    Either(&'static str),
    /// The server's enhanced status code has this subject and detail, else Postfix's.
    Dsn(u16, u16),
    /// The same with this class, this subject and one of these details.
    DsnOf(Class, u16, RangeInclusive<u16>),
    /// The server's reply code.
    Code(u16),
    /// As `Permanent`, where nothing else fits.
    Last(&'static str),
}

/// The rows by what they are about. The first that fits counts.
const PARTS: [&[Row]; 7] = [own::ROWS, passing::ROWS, sender::ROWS, size::ROWS, user::ROWS, policy::ROWS, codes::ROWS];

/// Every row, in order.
pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    PARTS.into_iter().flatten()
}
