//! Which values are secret, and where they stand in a text that may be broken.

use std::ops::Range;

/// What the name of a secret property has in it.
const MARKS: [&str; 5] = ["password", "passphrase", "secret", ".pem", "sasl.oauthbearer.config"];

/// The same in a text, where the first part of a name may stand in the header of a table.
const TEXT_MARKS: [&str; 5] = ["password", "passphrase", "secret", "pem", "config"];

/// Whether the value of a librdkafka property is a secret.
pub(super) fn is_secret(property: &str) -> bool {
    let property = property.to_ascii_lowercase();
    MARKS.iter().any(|mark| property.contains(mark))
}

/// Where values of secret properties stand. It looks at the text alone, since a file with broken syntax has no values, and
/// takes rather too much: the rest of the line, or to the end of a multi-line string, or to the end of the file.
pub(super) fn ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let lower = text.to_ascii_lowercase();
    for mark in TEXT_MARKS {
        for (at, _) in lower.match_indices(mark) {
            ranges.extend(value_after(text, at + mark.len()));
        }
    }
    ranges.sort_by_key(|range| range.start);
    ranges
}

/// The value that is given to the key that ends at about `at`, if there is one on its line.
fn value_after(text: &str, at: usize) -> Option<Range<usize>> {
    let rest = &text[at..];
    let line = rest.lines().next()?;
    let equals = line.find('=')?;
    let start = at + equals + 1 + line[equals + 1..].len() - line[equals + 1..].trim_start().len();
    let end = ["\"\"\"", "'''"].iter().find_map(|quotes| {
        let inner = text[start..].strip_prefix(quotes)?;
        let from = start + quotes.len();
        Some(inner.find(quotes).map_or(text.len(), |close| from + close + quotes.len()))
    });
    Some(start..end.unwrap_or(at + line.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_properties() {
        for secret in [
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "ssl.certificate.pem",
            "ssl.keystore.password",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "SASL.PASSWORD",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for open in ["sasl.username", "ssl.key.location", "linger.ms", "sasl.mechanism"] {
            assert!(!is_secret(open), "{open}");
        }
    }

    #[test]
    fn values_are_found_in_any_form() {
        let shown = |text: &str| ranges(text).into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>();
        assert_eq!(shown("a = 1\n\"sasl.password\" = \"x\\q\" # y\nb = 2"), ["\"x\\q\" # y"]);
        assert_eq!(shown("sasl = { password = 'x', username = 'y' }"), ["'x', username = 'y' }"]);
        assert_eq!(shown("ssl.key.pem = \"\"\"\nAB\nCD\"\"\"\nb = 1"), ["\"\"\"\nAB\nCD\"\"\""]);
        assert_eq!(shown("ssl.key.pem = '''\nAB\nCD"), ["'''\nAB\nCD"]);
        assert_eq!(shown("[sink.kafka.options.ssl.key]\npem = 'x'"), ["'x'"]);
        assert_eq!(shown("# no password here\nx = 1"), [""; 0]);
    }
}
