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

/// So many digits fit a `u32`, whichever they are.
const MOST_LEADING: usize = u32::MAX.ilog10() as usize;

/// The number that `text` begins with, of at most `most` digits and never more than nine; and how many there are.
#[inline]
pub(crate) fn leading(text: &[u8], most: usize) -> (u32, usize) {
    let most = most.min(MOST_LEADING);
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

/// The longest decimal that [`push_sum`] adds.
pub(crate) const LONGEST: usize = 24;

/// A sum that is written from its end.
struct Sum {
    digits: [u8; 2 * LONGEST],
    start: usize,
    carry: u8,
}

impl Sum {
    fn push(&mut self, byte: u8) {
        self.start -= 1;
        self.digits[self.start] = byte;
    }

    /// Adds two digits, of which either may be missing.
    fn column(&mut self, a: Option<&u8>, b: Option<&u8>) {
        let digit = |digit: Option<&u8>| digit.map_or(0, |digit| digit - b'0');
        let total = digit(a) + digit(b) + self.carry;
        self.carry = u8::from(total > 9);
        self.push(b'0' + total - 10 * self.carry);
    }
}

/// The digits of a decimal before its point, and those behind it.
pub(crate) type Parts<'d> = (&'d [u8], &'d [u8]);

/// Appends the sum of two decimals with a point in any case. It is made column by column, as on paper: no float has just the
/// digits that were logged.
pub(crate) fn push_sum(out: &mut Vec<u8>, (whole_a, fraction_a): Parts<'_>, (whole_b, fraction_b): Parts<'_>) {
    let mut sum = Sum { digits: [0; 2 * LONGEST], start: 2 * LONGEST, carry: 0 };
    for at in (0..fraction_a.len().max(fraction_b.len()).max(1)).rev() {
        sum.column(fraction_a.get(at), fraction_b.get(at));
    }
    sum.push(b'.');
    let (mut digits_a, mut digits_b) = (whole_a.iter().rev(), whole_b.iter().rev());
    for _ in 0..whole_a.len().max(whole_b.len()) {
        sum.column(digits_a.next(), digits_b.next());
    }
    if sum.carry > 0 {
        sum.push(b'1');
    }
    out.extend_from_slice(&sum.digits[sum.start..]);
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

    fn sum(a: &str, b: &str) -> String {
        let [a, b] = [a, b].map(|text| text.split_once('.').unwrap_or((text, "")));
        let mut out = Vec::new();
        push_sum(&mut out, (a.0.as_bytes(), a.1.as_bytes()), (b.0.as_bytes(), b.1.as_bytes()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sums() {
        for (a, b, expected) in [
            ("0", "0", "0.0"),
            ("0.4", "0.69", "1.09"),
            ("0.31", "0.69", "1.00"),
            ("9.5", "0.5", "10.0"),
            ("99", "1", "100.0"),
            ("10", "0.01", "10.01"),
            ("0.000111", "120", "120.000111"),
            ("999999999999999999999999", "0.9999999999999999999999", "999999999999999999999999.9999999999999999999999"),
            ("999999999999999999999999", "1", "1000000000000000000000000.0"),
        ] {
            assert_eq!((sum(a, b), sum(b, a)), (expected.to_owned(), expected.to_owned()), "{a} + {b}");
        }
    }

    proptest::proptest! {
        #[test]
        fn sums_are_those_of_integers(a in 0_u64..1 << 50, b in 0_u64..1 << 50, point_a in 0_u32..8, point_b in 0_u32..8) {
            let decimal = |value: u64, point: u32| match 10_u64.pow(point) {
                1 => value.to_string(),
                unit => format!("{}.{:0width$}", value / unit, value % unit, width = point as usize),
            };
            let found = sum(&decimal(a, point_a), &decimal(b, point_b));
            let point = point_a.max(point_b);
            let total = u128::from(a) * 10_u128.pow(point - point_a) + u128::from(b) * 10_u128.pow(point - point_b);
            let unit = 10_u128.pow(point.max(1));
            let total = if point == 0 { total * 10 } else { total };
            let expected = format!("{}.{:0width$}", total / unit, total % unit, width = point.max(1) as usize);
            assert_eq!(found, expected);
        }

        #[test]
        fn numbers_are_as_format_writes_them(value: u64, width in 0_usize..=20) {
            let mut out = Vec::new();
            push(&mut out, value, width);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{value:0width$}"));
        }

        #[test]
        fn leading_numbers_are_read_as_parse_reads_them(text in "([0-9]{0,11}|9{0,24})[a:]?", most in 0_usize..=30) {
            let digits = text.bytes().take(most.min(9)).take_while(u8::is_ascii_digit).count();
            assert_eq!(leading(text.as_bytes(), most), (text[..digits].parse().unwrap_or(0), digits));
        }
    }
}
