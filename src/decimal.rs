//! Numbers in decimal: appended to a buffer, and read.

/// The largest integer that a record shows, since every store has signed 64-bit ones. A larger one is left out, and the flag
/// `number_out_of_range` says so.
pub(crate) const LARGEST: u64 = i64::MAX.cast_unsigned();

/// As many digits as the largest number has.
const MOST: usize = 20;

/// The last two digits of each number.
const PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut number = 0;
    while number < pairs.len() {
        pairs[number] = [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// The two digits of a number below 100; of a larger one, the last two.
#[inline]
pub(crate) const fn pair(number: u8) -> [u8; 2] {
    PAIRS[number as usize]
}

/// Appends `value` with at least `width` digits, at most 20.
pub(crate) fn push(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b'0'; MOST];
    let mut first = MOST;
    while value >= 10 {
        first -= 2;
        // Below 100.
        digits[first..first + 2].copy_from_slice(&pair((value % 100) as u8));
        value /= 100;
    }
    if value > 0 {
        first -= 1;
        digits[first] = b'0' + value as u8;
    }
    out.extend_from_slice(&digits[first.min(MOST - width.clamp(1, MOST))..]);
}

/// The number that `text` begins with, of at most `most` digits, which are nine at most; and how many there are.
#[inline]
pub(crate) fn leading(text: &[u8], most: usize) -> (u32, usize) {
    let (mut value, mut digits) = (0, 0);
    while digits < most
        && let Some(digit @ b'0'..=b'9') = text.get(digits)
    {
        value = value * 10 + u32::from(digit - b'0');
        digits += 1;
    }
    (value, digits)
}

/// The number that the whole of `text` is, without a sign; of one that is too large, [`u64::MAX`], which is more than [`LARGEST`].
pub(crate) fn whole(text: &str) -> Option<u64> {
    // `FromStr` would take a plus.
    if text.starts_with('+') {
        return None;
    }
    let too_large = || (text.len() > 19 && text.bytes().all(|b| b.is_ascii_digit())).then_some(u64::MAX);
    text.parse().ok().or_else(too_large)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        for (text, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("", None),
            ("+1", None),
            ("+99999999999999999999999", None),
            ("99999999999999999999999x", None),
            ("-1", None),
            ("1 ", None),
            ("1.0", None),
            ("٣", None),
        ] {
            assert_eq!(whole(text), number, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn numbers_are_as_format_writes_them(value: u64, width in 0_usize..=20) {
            let mut out = Vec::new();
            push(&mut out, value, width);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{value:0width$}"));
        }

        #[test]
        fn leading_numbers_are_read_as_parse_reads_them(text in "[0-9]{0,11}[a:]?", most in 0_usize..=9) {
            let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
            assert_eq!(leading(text.as_bytes(), most), (text[..digits].parse().unwrap_or(0), digits));
        }
    }
}
