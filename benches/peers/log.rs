//! The log that everybody gets: deliveries with numbers, as rsyslog forwards them.

use std::fmt::Write as _;

/// `lines` messages of RFC 3164, each with LF. The second goes on with every sixth, as on a busy server.
pub(crate) fn generate(lines: usize) -> Vec<u8> {
    const DIGITS: &[u8; 51] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxy";
    let mut log = String::with_capacity(lines * 240);
    for number in 0..lines {
        let (minute, second) = (number / 360 % 60, number / 6 % 60);
        // Writing into a String does not fail.
        let _ = write!(
            log,
            "<22>Nov 24 02:{minute:02}:{second:02} mx1 postfix/smtp[{}]: 4jYR9{}{:04}z",
            10_000 + number % 5000,
            number % 10,
            number / 10 % 6000,
        );
        log.extend([number / 51 % 51, number % 51, number / 2601 % 51, 7].map(|digit| char::from(DIGITS[digit])));
        let _ = writeln!(
            log,
            ": to=<user{number}@example.com>, relay=mx{}.example.com[192.0.2.{}]:25, delay=1.{:02}, \
             delays=0.1/0.01/0.4/0.{}, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 9A8B7C{number:05X})",
            number % 9,
            number % 250,
            number % 100,
            10 + number % 90,
        );
    }
    log.into_bytes()
}
