//! Detection of secret values, and of their positions in a text that may have broken syntax.

use std::ops::Range;

/// Substrings that mark the name of a secret property.
const MARKS: [&str; 5] = ["password", "passphrase", "secret", ".pem", "sasl.oauthbearer.config"];

/// Substrings that mark a secret in a text, where the first part of a name may be in a table's header, and where a name
/// may be misspelt.
const TEXT_MARKS: [&str; 8] = ["pass", "pasw", "pwd", "secret", "token", "credential", "pem", "config"];

/// True if the value of a librdkafka property is a secret.
pub(super) fn is_secret(property: &str) -> bool {
    let property = property.to_ascii_lowercase();
    MARKS.iter().any(|mark| property.contains(mark))
}

/// Returns the positions of the values of secret properties. It looks only at the text, since a file with broken syntax
/// has no values. When in doubt, it covers too much: the rest of the line, or everything to the end of a multi-line
/// string. If the value may continue in the next lines, it covers all lines up to one that certainly is something else,
/// or to the end of the file.
pub(super) fn ranges(text: &str) -> Vec<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let mut marks: Vec<usize> =
        TEXT_MARKS.iter().flat_map(|mark| lower.match_indices(mark).map(|(at, _)| at + mark.len())).collect();
    marks.sort_unstable();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for at in marks {
        // Text that is already hidden need not be searched again, so one pass suffices.
        if ranges.last().is_none_or(|range| at >= range.end) {
            ranges.extend(value_after(text, at));
        }
    }
    ranges
}

/// Returns the position of the value of the key that ends at about `at`, if that is a key.
fn value_after(text: &str, at: usize) -> Option<Range<usize>> {
    let line_start = text[..at].rfind('\n').map_or(0, |lf| lf + 1);
    let line_end = text[at..].find('\n').map_or(text.len(), |lf| at + lf);
    let rest = &text[at..line_end];
    let before = &text[line_start..at];
    let start = match rest.find('=') {
        Some(equals) => at + equals + 1,
        // `key: value`, `key value`, or a key whose value is in the next line.
        None if is_key(before) => at + rest.find(|c: char| !is_of_key(c)).unwrap_or(rest.len()),
        None => return None,
    };
    let start = line_end - text[start..line_end].trim_start().len();
    let value = &text[start..line_end];
    for quotes in ["\"\"\"", "'''"] {
        if let Some(inner) = text[start..].strip_prefix(quotes) {
            let from = start + quotes.len();
            return Some(start..inner.find(quotes).map_or(text.len(), |close| from + close + quotes.len()));
        }
    }
    let end = if may_go_on(value) { line_end + lines_of_value(&text[line_end..]) } else { line_end };
    Some(start..end)
}

/// True if the text before a mark in its line is the beginning of a key, also in an inline table or a header.
fn is_key(before: &str) -> bool {
    let key = before.rsplit(['{', ',', '[']).next().unwrap_or(before);
    key.trim_start().chars().all(is_of_key)
}

/// True if a key may contain the character, including the quotes around its parts.
fn is_of_key(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '"' | '\'')
}

/// True if a value that begins like this in its line may continue in the next one.
fn may_go_on(value: &str) -> bool {
    let value = value.trim_start_matches([':', '=', ' ', '\t']);
    let closed = |quote: char| value[1..].contains(quote);
    match value.chars().next() {
        // `]` ends the header of a table.
        None | Some('#' | ']') => true,
        Some(quote @ ('"' | '\'')) => !closed(quote),
        Some('[') => !closed(']'),
        Some('{') => !closed('}'),
        Some(_) => value.ends_with(['\\', ',']),
    }
}

/// Returns the size of the lines that may belong to a value; `text` begins at the end of its first line. The next line
/// that is not blank always belongs to it.
fn lines_of_value(text: &str) -> usize {
    let (mut size, mut is_there) = (0, false);
    for line in text.split_inclusive('\n') {
        if is_there && is_statement(line) {
            return size;
        }
        is_there |= !matches!(line.trim_start().chars().next(), None | Some('#'));
        size += line.len();
    }
    size
}

/// True if a line certainly begins something else: the header of a table of this configuration, or a key with a value
/// of TOML. A line of base64 is neither.
fn is_statement(line: &str) -> bool {
    let line = line.trim();
    let header = line.trim_start_matches('[');
    if header.len() < line.len() {
        return ["source", "sink"].iter().any(|group| header.starts_with(group));
    }
    let Some((key, value)) = line.split_once('=') else { return false };
    let (key, value) = (key.trim(), value.trim_start());
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '"' | '\'');
    let is_key = !key.is_empty() && key.chars().all(plain);
    let is_value = value.starts_with(['"', '\'', '[', '{', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        || matches!(value, "true" | "false");
    is_key && is_value
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
        assert_eq!(shown("certificate = '/etc/tls/x.pem'\npaths = [\n'/etc/config',\n]"), [""; 0]);
    }

    #[test]
    fn a_value_is_hidden_that_may_go_on_in_the_next_lines() {
        let shown = |text: &str| ranges(text).into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>();
        for value in [
            "\n'hunter2'",
            "\n\n  hunter2",
            "# here\n\"hunter2\"",
            "[\n'hunter2',\n]",
            "{\nhunter2 }",
            "'hun\nter2'",
            "\"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\nhunter2ab==\n-----END PRIVATE KEY-----\"",
        ] {
            let text = format!("sasl.password ={value}\nlinger.ms = 5\nacks = 'all'");
            let hidden = shown(&text).concat();
            assert!(hidden.contains(value.trim_start().trim_end_matches([' ', '}'])), "{text}: {hidden}");
            assert!(!hidden.contains("linger") && !hidden.contains("acks"), "{text}: {hidden}");
        }
        assert_eq!(shown("sasl.password: hunter2"), [": hunter2"]);
        assert_eq!(shown("sasl.password hunter2\nb = 1"), ["hunter2"]);
        assert_eq!(shown("sasl.passwd\n= 'hunter2'\n[[sink.file]]"), ["\n= 'hunter2'\n"]);
        assert_eq!(shown("x = { pwd = \n'hunter2' }\n[sink.kafka]\ny = 1"), ["\n'hunter2' }\n"]);
    }
}
