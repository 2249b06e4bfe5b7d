//! Delimiters: the bytes that end a message without a count (RFC 6587, section 3.4.2), and the bytes removed with them.

use super::Framing;

/// Maximum length of a delimiter together with the bytes that [`trim`] removes before it: NUL CR LF, or CR LF NUL.
pub(super) const LINE_END_MAX: usize = 3;

/// Returns the byte that ends a message without a count.
pub(super) fn byte(framing: Framing) -> u8 {
    match framing {
        Framing::Auto | Framing::OctetCounting | Framing::Lf => b'\n',
        Framing::Nul => 0,
    }
}

/// Removes the bytes that belong to the line end from `text`, which stops before the delimiter, or where the stream
/// ended.
///
/// The result may depend only on the last two bytes: the limit on frames relies on that, see [`LINE_END_MAX`].
pub(super) fn trim(framing: Framing, text: &[u8]) -> &[u8] {
    match framing {
        // A C string sent with its terminator and a line end: the NUL is not part of the message.
        Framing::Auto | Framing::OctetCounting => strip(strip(text, b'\r'), 0),
        Framing::Lf => strip(text, b'\r'),
        // rsyslog's templates end with LF, which then precedes the delimiter.
        Framing::Nul => text.strip_suffix(b"\n").map_or(text, |line| strip(line, b'\r')),
    }
}

/// Removes every line end and NUL from the end of a datagram. A datagram has no delimiter, so these bytes are padding.
pub(super) fn trim_datagram(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |last| last + 1);
    &bytes[..end]
}

/// Returns the number of bytes before the next message that are not part of it.
///
/// Some senders end an octet-counted message with LF beyond its count, or put SP after the LF (Cisco ASA), or NUL.
pub(super) fn stray_len(framing: Framing, start: &[u8]) -> usize {
    match framing {
        Framing::Auto | Framing::OctetCounting => {
            start.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | 0)).unwrap_or(start.len())
        }
        Framing::Lf | Framing::Nul => 0,
    }
}

fn strip(text: &[u8], end: u8) -> &[u8] {
    text.strip_suffix(&[end]).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_trimmed_and_no_more() {
        for (framing, text, trimmed) in [
            (Framing::Auto, &b"a\r"[..], &b"a"[..]),
            (Framing::Auto, b"a\0", b"a"),
            (Framing::Auto, b"a\0\r", b"a"),
            (Framing::Auto, b"a\r\0", b"a\r"),
            (Framing::Auto, b"a\0b ", b"a\0b "),
            (Framing::Auto, b"a\r\r", b"a\r"),
            (Framing::OctetCounting, b"a\0\r", b"a"),
            (Framing::Lf, b"a\r", b"a"),
            (Framing::Lf, b"a\r\r", b"a\r"),
            (Framing::Lf, b"a\0", b"a\0"),
            (Framing::Lf, b"\r", b""),
            (Framing::Nul, b"a\n", b"a"),
            (Framing::Nul, b"a\r\n", b"a"),
            (Framing::Nul, b"a\n\n", b"a\n"),
            (Framing::Nul, b"a\r", b"a\r"),
        ] {
            assert_eq!(trim(framing, text), trimmed, "{framing:?} {}", text.escape_ascii());
        }
    }
}
