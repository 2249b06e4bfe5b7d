//! Equal messages that a syslog daemon reduced to one.

use super::Repeated;
use crate::decimal;

/// Reads `message repeated N times: [ TEXT]`, as rsyslog and sysklogd write it.
///
/// The closing bracket may be missing, where something cut the line. The older `last message repeated N times` has no text
/// of its own and is not read here.
pub(super) fn read(msg: &str) -> Option<Repeated<'_>> {
    let rest = msg.trim_start_matches(' ').strip_prefix("message repeated ")?;
    let (count, rest) = rest.split_once(' ')?;
    let count = decimal::whole(count)?;
    let text = rest.strip_prefix("times: [")?.trim_ascii_end();
    let text = text.strip_suffix(']').unwrap_or(text);
    Some(Repeated { count, text: text.strip_prefix(' ').unwrap_or(text) })
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
        ] {
            assert_eq!(read(msg), Some(Repeated { count, text }), "{msg}");
        }
        for other in [
            "",
            "message repeated",
            "message repeated 3 times",
            "message repeated x times: [ y]",
            "message repeated +3 times: [ y]",
            "last message repeated 3 times",
            "a message repeated 3 times: [ y]",
            "message repeated  times: [ y]",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
