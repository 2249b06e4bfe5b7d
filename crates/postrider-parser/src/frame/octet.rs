//! Octet counting: `MSG-LEN SP MSG`, where `MSG-LEN = NONZERO-DIGIT *DIGIT` (RFC 6587, section 3.4.1).

/// Maximum number of digits in MSG-LEN. The RFC has no limit. Nine digits fit every `usize` on Rust's targets with an
/// operating system. A longer number would be the length of a message of a gigabyte; it is far more likely to be text.
const MAX_DIGITS: usize = 9;

/// Maximum number of bytes that [`read_header`] needs to decide: all digits, SP, and the first byte of MSG.
pub(super) const HEADER_MAX: usize = MAX_DIGITS + 2;

/// Result of looking for a count at the start of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A count: MSG begins after `header` bytes and has `len` bytes, at least one.
    Count { header: usize, len: usize },
    /// More bytes may complete a count.
    Undecided,
    /// Text, whatever bytes follow.
    None,
}

/// Reads the `MSG-LEN SP` that `start` may begin with.
///
/// The decision needs the first byte of MSG. Unless the peer is known to be `counting`, that byte must be the `<` of a
/// PRI, because a line of text may begin with a number and a space.
pub(super) fn read_header(start: &[u8], counting: bool) -> Header {
    let mut len = 0;
    for (at, &byte) in start.iter().enumerate().take(MAX_DIGITS + 1) {
        match byte {
            b'1'..=b'9' if at < MAX_DIGITS => len = len * 10 + usize::from(byte - b'0'),
            b'0' if at > 0 && at < MAX_DIGITS => len *= 10,
            b' ' if at > 0 => {
                return match start.get(at + 1) {
                    None => Header::Undecided,
                    Some(b'<') => Header::Count { header: at + 1, len },
                    Some(_) if counting => Header::Count { header: at + 1, len },
                    Some(_) => Header::None,
                };
            }
            _ => return Header::None,
        }
    }
    Header::Undecided
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_decided_at_the_first_byte_of_the_message() {
        let count = |header, len| Header::Count { header, len };
        for (start, fresh, counting) in [
            (&b""[..], Header::Undecided, Header::Undecided),
            (b"4", Header::Undecided, Header::Undecided),
            (b"41 ", Header::Undecided, Header::Undecided),
            (b"41 <", count(3, 41), count(3, 41)),
            (b"41 a", Header::None, count(3, 41)),
            (b"41  ", Header::None, count(3, 41)),
            (b"41<", Header::None, Header::None),
            (b"100 <", count(4, 100), count(4, 100)),
            (b"0", Header::None, Header::None),
            (b"0 <", Header::None, Header::None),
            (b"041 <", Header::None, Header::None),
            (b" 41 <", Header::None, Header::None),
            (b"-41 <", Header::None, Header::None),
            (b"<13>", Header::None, Header::None),
            (b"999999999", Header::Undecided, Header::Undecided),
            (b"999999999 ", Header::Undecided, Header::Undecided),
            (b"999999999 <", count(10, 999_999_999), count(10, 999_999_999)),
            (b"9999999990", Header::None, Header::None),
            (b"2000000010 <", Header::None, Header::None),
            (b"214000000000 <", Header::None, Header::None),
        ] {
            let shown = start.escape_ascii();
            assert_eq!(read_header(start, false), fresh, "{shown}");
            assert_eq!(read_header(start, true), counting, "{shown}, counting");
        }
    }

    #[test]
    fn a_whole_header_is_always_decided() {
        for digits in 1..=MAX_DIGITS {
            let mut start = vec![b'1'; digits];
            start.push(b' ');
            start.resize(HEADER_MAX, b'x');
            assert_ne!(read_header(&start, false), Header::Undecided);
        }
        assert_ne!(read_header(&[b'1'; HEADER_MAX], false), Header::Undecided);
    }
}
