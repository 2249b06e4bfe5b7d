//! Functions that find a byte in short texts and split the texts there, several times as fast as `memchr` and the
//! standard library.

/// Returns where the first `byte` stands. This function is for a byte among the next few dozen bytes:
/// [`memchr::memchr`] is better at finding bytes that are farther away.
#[inline]
pub(super) fn find(text: &[u8], byte: u8) -> Option<usize> {
    // Compare eight bytes at a time. An equal byte becomes 0, and subtracting 1 from each byte then sets the highest
    // bit of the zero. The borrow may do the same to bytes behind it, but not to bytes before it.
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let mut rest = text;
    while let Some((block, after)) = rest.split_first_chunk() {
        let differing = u64::from_le_bytes(*block) ^ (ONES * u64::from(byte));
        let equal = differing.wrapping_sub(ONES) & !differing & (ONES << 7);
        if equal != 0 {
            return Some(text.len() - rest.len() + equal.trailing_zeros() as usize / 8);
        }
        rest = after;
    }
    rest.iter().position(|b| *b == byte).map(|at| text.len() - rest.len() + at)
}

/// Splits a text at the first `at`, an ASCII character: returns what stands before it and what follows it.
#[inline]
pub(super) fn first(text: &str, at: u8) -> Option<(&str, &str)> {
    debug_assert!(at.is_ascii());
    let place = find(text.as_bytes(), at)?;
    Some((&text[..place], &text[place + 1..]))
}

/// Splits a text at the last `at`, an ASCII character: returns what stands before it and what follows it.
#[inline]
pub(super) fn last(text: &str, at: u8) -> Option<(&str, &str)> {
    debug_assert!(at.is_ascii());
    let place = text.bytes().rposition(|byte| byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn bytes_are_found_where_the_first_is(text in "[\u{0}a`b\u{7f}\u{80}ü]{0,40}", byte: u8) {
            for byte in [byte, b'a', b'b', 0] {
                assert_eq!(super::find(text.as_bytes(), byte), text.bytes().position(|b| b == byte));
            }
        }

        #[test]
        fn texts_are_divided_as_the_standard_library_does(text in "[a=ü ]{0,12}") {
            assert_eq!(super::first(&text, b'='), text.split_once('='));
            assert_eq!(super::last(&text, b'='), text.rsplit_once('='));
        }
    }
}
