//! Numbers in decimal: written to a buffer, and read.

/// Largest integer that a record shows: every store has signed 64-bit integers. A larger one is left out, and the flag
/// `number_out_of_range` is set.
pub(crate) const LARGEST: u64 = i64::MAX.cast_unsigned();

/// Last two digits of each number.
const PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut number = 0;
    while number < pairs.len() {
        pairs[number] = [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Returns the last two digits of a number.
#[inline]
pub(crate) const fn pair(number: u8) -> [u8; 2] {
    PAIRS[number as usize]
}

/// Digits of a number, written from the last to the first.
pub(crate) struct Digits {
    bytes: [u8; 2 * LONGEST],
    start: usize,
}

impl Digits {
    const fn new() -> Self {
        Self { bytes: [0; 2 * LONGEST], start: 2 * LONGEST }
    }

    /// Writes a byte in front of those already written.
    #[inline]
    pub(crate) const fn push(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Returns the digits of a whole number.
pub(crate) fn text(mut value: u64) -> Digits {
    let mut digits = Digits::new();
    while value >= 100 {
        // The remainder is below 100.
        let [tens, ones] = pair((value % 100) as u8);
        digits.push(ones);
        digits.push(tens);
        value /= 100;
    }
    let [tens, ones] = pair(value as u8);
    digits.push(ones);
    if value >= 10 {
        digits.push(tens);
    }
    digits
}

/// Maximum number of digits that always fit a `u32`.
const MOST_LEADING: usize = u32::MAX.ilog10() as usize;

/// Returns the number at the start of `text`, of at most `most` digits and never more than nine, and the count of its
/// digits.
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

/// Returns the number that the whole of `text` is, without a sign; [`u64::MAX`], which is more than [`LARGEST`], if the
/// number is too large.
pub(crate) fn whole(text: &str) -> Option<u64> {
    // `FromStr` would accept a plus sign.
    if text.starts_with('+') {
        return None;
    }
    let too_large = || (text.len() > 19 && text.bytes().all(|b| b.is_ascii_digit())).then_some(u64::MAX);
    text.parse().ok().or_else(too_large)
}

/// Maximum length of a decimal that [`sum`] adds.
pub(crate) const LONGEST: usize = 24;

/// Digits of a decimal before its point, and those after it.
pub(crate) type Parts<'d> = (&'d [u8], &'d [u8]);

/// Returns the sum of two decimals; it always has a point. The digits are added column by column, as on paper: a float
/// would not have exactly the digits that were logged.
pub(crate) fn sum((whole_a, fraction_a): Parts<'_>, (whole_b, fraction_b): Parts<'_>) -> Digits {
    let (mut sum, mut carry) = (Digits::new(), 0);
    // Adds two digits; either may be missing.
    let mut column = |a: Option<&u8>, b: Option<&u8>, sum: &mut Digits| {
        let digit = |digit: Option<&u8>| digit.map_or(0, |digit| digit - b'0');
        let total = digit(a) + digit(b) + carry;
        carry = u8::from(total > 9);
        sum.push(b'0' + total - 10 * carry);
    };
    for at in (0..fraction_a.len().max(fraction_b.len()).max(1)).rev() {
        column(fraction_a.get(at), fraction_b.get(at), &mut sum);
    }
    sum.push(b'.');
    let (mut digits_a, mut digits_b) = (whole_a.iter().rev(), whole_b.iter().rev());
    for _ in 0..whole_a.len().max(whole_b.len()) {
        column(digits_a.next(), digits_b.next(), &mut sum);
    }
    if carry > 0 {
        sum.push(b'1');
    }
    sum
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
        let sum = super::sum((a.0.as_bytes(), a.1.as_bytes()), (b.0.as_bytes(), b.1.as_bytes()));
        String::from_utf8(sum.as_bytes().to_vec()).unwrap()
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
        fn numbers_are_as_format_writes_them(value: u64, shift in 0..64) {
            for value in [value, value >> shift] {
                assert_eq!(text(value).as_bytes(), value.to_string().as_bytes());
            }
        }

        #[test]
        fn leading_numbers_are_read_as_parse_reads_them(text in "([0-9]{0,11}|9{0,24})[a:]?", most in 0_usize..=30) {
            let digits = text.bytes().take(most.min(9)).take_while(u8::is_ascii_digit).count();
            assert_eq!(leading(text.as_bytes(), most), (text[..digits].parse().unwrap_or(0), digits));
        }
    }
}
