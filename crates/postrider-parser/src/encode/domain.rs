//! The domain of an address.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
/// All bits of each byte but its highest.
const LOW: u64 = ONES * 0x7f;
/// Bit that is set in capitals; setting 0x20 as well makes them small letters.
const LETTER: u64 = ONES * 0x40;

/// Returns the text after the last `@` of an address, and whether it may contain capitals. Returns `None` if there is
/// no such text. Also returns `None` if the address ends with a quote: the `@` is then part of a quoted local part, and
/// there is no domain.
///
/// Addresses are short, and each delivery has one, so this function checks eight bytes at a time, from the end.
pub(super) fn of(address: &str) -> Option<(&str, bool)> {
    let bytes = address.as_bytes();
    if matches!(bytes.last(), Some(b'@' | b'"')) {
        return None;
    }
    let (mut end, mut capitals) = (bytes.len(), 0);
    while end > 0 {
        // The first block overlaps with the block after it, which contains no `@`.
        let start = end.saturating_sub(size_of::<u64>());
        let Some(block) = bytes[start..].first_chunk() else {
            let at = bytes.iter().rposition(|byte| *byte == b'@')?;
            return Some((&address[at + 1..], true));
        };
        let block = u64::from_le_bytes(*block);
        // For each byte equal to `@`, the highest bit is set; no other bit is.
        let differing = block ^ (ONES * u64::from(b'@'));
        let at = !(((differing & LOW) + LOW) | differing | LOW);
        // Also set for `@`, `[` and some other characters.
        let found = block & !(block << 1) & LETTER;
        if at != 0 {
            let place = at.ilog2() / 8;
            // Keep only the bytes after the `@`; the first shift is less than 64.
            capitals |= found >> (8 * place) >> 8;
            return Some((&address[start + place as usize + 1..], capitals != 0));
        }
        capitals |= found;
        end = start;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::of;

    #[test]
    fn domains() {
        for (address, domain) in [
            ("anna@example.com", Some("example.com")),
            ("a@b", Some("b")),
            ("@b", Some("b")),
            ("a@b@example.com", Some("example.com")),
            (r#""a@b"@example.com"#, Some("example.com")),
            ("anna@[192.0.2.1]", Some("[192.0.2.1]")),
            ("ü@müller.example", Some("müller.example")),
            (r#""anna@home""#, None),
            ("anna", None),
            ("a-long-local-part", None),
            ("anna@", None),
            ("@", None),
            ("", None),
        ] {
            assert_eq!(of(address).map(|(domain, _)| domain), domain, "{address}");
        }
        assert_eq!(of("anna@example-domain.com"), Some(("example-domain.com", false)));
        assert_eq!(of("ANNA@example-domain.com"), Some(("example-domain.com", false)));
        assert_eq!(of("anna@example-domaiN.com"), Some(("example-domaiN.com", true)));
        assert_eq!(of("anna.of.me@Example-domain.com"), Some(("Example-domain.com", true)));
    }

    proptest! {
        #[test]
        fn domains_are_those_that_the_standard_library_finds(address in "[@A\u{0}`aZz?ü]{0,30}") {
            let expected = address.rsplit_once('@').map(|(_, domain)| domain).filter(|domain| !domain.is_empty());
            let found = of(&address);
            prop_assert_eq!(found.map(|(domain, _)| domain), expected);
            if let Some((domain, may_have_capitals)) = found {
                prop_assert!(may_have_capitals || domain.to_ascii_lowercase() == domain);
            }
        }
    }
}
