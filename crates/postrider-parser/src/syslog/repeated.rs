//! Equal messages that a syslog daemon reduced to one.

use super::{Repeated, blanks};
use crate::decimal;

/// Reads `message repeated N times: [ TEXT]`, as rsyslog and sysklogd write it. Also reads the older `last message
/// repeated N times`, whose text is the line itself.
///
/// The closing bracket may be missing if the line was cut.
pub(super) fn read(msg: &str) -> Option<Repeated<'_>> {
    let msg = msg.trim_start_matches(' ');
    // Nearly every text is excluded here.
    match msg.as_bytes().first()? {
        b'm' => {
            let (count, rest) = split_count(msg)?;
            let text = blanks::trim(rest.strip_prefix(": [")?);
            let text = text.strip_suffix(']').unwrap_or(text);
            Some(Repeated { count, text })
        }
        b'l' => {
            let (count, rest) = split_count(msg.strip_prefix("last ")?)?;
            blanks::trim(rest).is_empty().then_some(Repeated { count, text: msg })
        }
        _ => None,
    }
}

/// Returns the count in `message repeated N times`, and the text after it. FreeBSD writes `1 time`.
fn split_count(text: &str) -> Option<(u64, &str)> {
    let (count, rest) = text.strip_prefix("message repeated ")?.split_once(' ')?;
    let rest = rest.strip_prefix("time")?;
    Some((decimal::whole(count)?, rest.strip_prefix('s').unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_count_and_text() {
        for (msg, count, text) in [
            ("message repeated 3 times: [ connect from a[192.0.2.1]]", 3, "connect from a[192.0.2.1]"),
            (" message repeated 1 times: [x]", 1, "x"),
            ("message repeated 4294967296 times: []", 1 << 32, ""),
            ("message repeated 99999999999999999999 times: [x]", u64::MAX, "x"),
            ("message repeated 2 times: [ cut off", 2, "cut off"),
            ("message repeated 2 times: [ x] \t", 2, "x"),
            ("message repeated 2 times: [ x]#015", 2, "x"),
            ("last message repeated 3 times", 3, "last message repeated 3 times"),
            ("last message repeated 1 time", 1, "last message repeated 1 time"),
            (" last message repeated 3 times", 3, "last message repeated 3 times"),
        ] {
            assert_eq!(read(msg), Some(Repeated { count, text }), "{msg}");
        }
        for other in [
            "",
            "message repeated",
            "message repeated 3 times",
            "message repeated x times: [ y]",
            "message repeated +3 times: [ y]",
            "last message repeated 3 times: [ y]",
            "last message repeated",
            "last message repeated 3 times ago",
            "last 3 messages",
            "a message repeated 3 times: [ y]",
            "message repeated  times: [ y]",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
