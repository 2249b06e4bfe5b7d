//! Numbers in decimal, appended to a buffer.

/// As many digits as the largest number has.
const MOST: usize = 20;

/// Appends `value` with at least `width` digits, at most 20.
pub(crate) fn push(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b'0'; MOST];
    let mut first = MOST;
    while value > 0 {
        first -= 1;
        // A decimal digit.
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[first.min(MOST - width.clamp(1, MOST))..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn numbers_are_as_format_writes_them(value: u64, width in 0_usize..=20) {
            let mut out = Vec::new();
            push(&mut out, value, width);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{value:0width$}"));
        }
    }
}
