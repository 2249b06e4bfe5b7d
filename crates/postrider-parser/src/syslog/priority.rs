//! PRI: facility and severity (RFC 5424, section 6.2.1; RFC 3164, section 4.1.1).

use crate::decimal;

/// Implements a number of the PRI that has a name: `NAMES` lists the names by code.
macro_rules! named_codes {
    ($type:ident) => {
        impl $type {
            /// Returns the value with this code; `None` for a code without a name.
            pub const fn from_code(code: u8) -> Option<Self> {
                if (code as usize) < Self::NAMES.len() { Some(Self(code)) } else { None }
            }

            /// Returns the numerical code.
            pub const fn code(self) -> u8 {
                self.0
            }

            /// Returns the value with exactly this name; `None` for any other spelling, such as `MAIL` or `warn`.
            pub fn from_name(name: &str) -> Option<Self> {
                let code = Self::NAMES.iter().position(|&known| known == name)?;
                u8::try_from(code).ok().map(Self)
            }

            /// Returns the name in the record, such as `mail` or `info`.
            pub const fn name(self) -> &'static str {
                Self::NAMES[self.0 as usize]
            }
        }
    };
}

/// The facility of a `<PRI>`, 0 to 23: what kind of program wrote the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

named_codes!(Facility);

/// The severity of a `<PRI>`, 0 (emergency) to 7 (debug); a smaller number is more severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity(u8);

named_codes!(Severity);

impl Facility {
    /// Names by code, as syslog.conf(5) and rsyslog write them; 13 to 15 follow RFC 5424, table 1.
    pub const NAMES: [&'static str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
        "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
    ];
}

impl Severity {
    /// The machine is unusable.
    pub const EMERG: Self = Self(0);
    /// A program cannot continue.
    pub const CRIT: Self = Self(2);
    /// Something failed.
    pub const ERR: Self = Self(3);
    /// Something is not as it should be.
    pub const WARNING: Self = Self(4);
    /// An event of normal operation.
    pub const INFO: Self = Self(6);

    /// Names by code, as syslog.conf(5) and rsyslog write them.
    pub const NAMES: [&'static str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
}

/// Reads `<PRI>` and returns the text after it; without a valid PRI, the whole text.
///
/// Leading zeros are accepted, because senders that pad the number exist and nothing else can be meant.
pub(super) fn read(text: &str) -> (Option<(Facility, Severity)>, &str) {
    match number(text) {
        Some((pri, rest)) => (from_value(pri), rest),
        None => (None, text),
    }
}

/// Returns the facility and severity of a PRIVAL.
pub(super) fn from_value(pri: u8) -> Option<(Facility, Severity)> {
    Facility::from_code(pri >> 3).zip(Severity::from_code(pri & 7))
}

/// Reads PRIVAL, which is one to three digits with a value of at most 191, and returns the text after the bracket.
fn number(text: &str) -> Option<(u8, &str)> {
    let text = text.strip_prefix('<')?;
    let (pri, digits) = decimal::leading(text.as_bytes(), 3);
    let rest = text[digits..].strip_prefix('>')?;
    (digits > 0 && pri <= 191).then_some((pri as u8, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_each_others_inverse() {
        for code in 0..=u8::MAX {
            let facility = Facility::from_code(code);
            assert_eq!(facility.is_some(), code < 24);
            assert_eq!(facility.and_then(|f| Facility::from_name(f.name())), facility);
            assert_eq!(facility.map_or(code, Facility::code), code);
            let severity = Severity::from_code(code);
            assert_eq!(severity.is_some(), code < 8);
            assert_eq!(severity.and_then(|s| Severity::from_name(s.name())), severity);
            assert_eq!(severity.map_or(code, Severity::code), code);
        }
        assert_eq!(Facility::from_name("mail").map(Facility::code), Some(2));
        assert_eq!(Facility::from_name("local7").map(Facility::code), Some(23));
        assert_eq!(Facility::from_name("Mail"), None);
        let named =
            [Severity::EMERG, Severity::CRIT, Severity::ERR, Severity::WARNING, Severity::INFO].map(Severity::name);
        assert_eq!(named, ["emerg", "crit", "err", "warning", "info"]);
        for other in ["", "error", "warn", "panic", "none", "*", "INFO"] {
            assert_eq!(Severity::from_name(other), None);
        }
    }

    #[test]
    fn reads_valid_ones_only() {
        let names = |text| {
            let (priority, rest) = read(text);
            (priority.map(|(facility, severity)| (facility.name(), severity.name())), rest)
        };
        for (text, expected) in [
            ("<22>x", (Some(("mail", "info")), "x")),
            ("<0>", (Some(("kern", "emerg")), "")),
            ("<191>x", (Some(("local7", "debug")), "x")),
            ("<022>x", (Some(("mail", "info")), "x")),
        ] {
            assert_eq!(names(text), expected, "{text:?}");
        }
        for bad in
            ["", "<", ">", "<>x", "<192>x", "<999>x", "<0022>x", "<+22>x", "<-1>x", "< 2>x", "<2", "<é>", "22>", "<2é>"]
        {
            assert_eq!(names(bad), (None, bad));
        }
    }
}
