//! Readers of one form: each reads what the other one reads.

use std::fs;

use proptest::prelude::*;

use super::*;

/// A second space behind the time leads to the tolerant reader: on the lines of the corpus, it finds what the direct
/// one does.
#[test]
fn both_readers_agree_on_the_corpus() {
    let mut compared = 0;
    let files = |part| fs::read_dir(format!("{}/../../tests/corpus/{part}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for file in files("postfix").chain(files("syslog")) {
        let path = file.unwrap().path();
        let text = fs::read(&path).unwrap_or_default();
        for line in text.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok()) {
            // The time of RFC 3164, with or without PRI. A zone or a year behind it would not be one behind two spaces.
            let pri = if line.starts_with('<') { line.find('>').map_or(0, |end| end + 1) } else { 0 };
            let behind = pri + "Nov 24 02:10:35".len();
            if path.extension().is_none_or(|extension| extension != "log")
                || line.as_bytes().get(pri + 3) != Some(&b' ')
                || line.as_bytes().get(behind) != Some(&b' ')
                || line[behind..]
                    .split(' ')
                    .nth(1)
                    .is_none_or(|host| host.bytes().all(|byte| !byte.is_ascii_lowercase()))
            {
                continue;
            }
            let tolerant = format!("{} {}", &line[..behind], &line[behind..]);
            let (direct, tolerant) =
                (parse_at(line, RECEIVED_AT, &zone("UTC")), parse_at(&tolerant, RECEIVED_AT, &zone("UTC")));
            // Where all of it is a text, the spaces are, too.
            let is_text = direct.msg == &line[behind + 1..];
            if is_text || direct.timestamp.is_none() && tolerant.timestamp.is_none() {
                continue;
            }
            assert_eq!(direct, tolerant, "{}: {line}", path.display());
            compared += 1;
        }
    }
    assert!(compared > 300, "{compared} lines");
}

/// The parts that `syslog_loose` loses or changes, in the order of its source.
#[test]
fn nothing_is_lost_to_syslog_loose() {
    let header = "mail.info 2026-11-24T02:10:35Z mx1 a 1";
    for body in [
        "-bash: x",
        "- foo",
        "-",
        "[id k=\"v\"] x",
        "[id k=\"v\"]",
        "[x] y",
        " two spaces",
        "tab\t ",
        "x \u{3000}",
        ": x",
    ] {
        check(&format!("<22>Nov 24 02:10:35 mx1 a[1]: {body}"), header, body, "year_inferred");
        check(&format!("<22>2026-11-24T02:10:35Z mx1 a[1]: {body}"), header, body, "");
        check(&format!("<22>1 2026-11-24T02:10:35Z mx1 a 1 - - {body}"), header, body, "");
    }
    // A NILVALUE without SP is no STRUCTURED-DATA.
    check("<22>1 2026-11-24T02:10:35Z mx1 a 1 - -nospace", header, "-nospace", "");
    check("<22>Nov 24 02:10:35 mx1 a[1]:", header, "", "year_inferred");
    check("<22>Nov 24 02:10:35 mx1 a[1]:x", header, "x", "year_inferred");
    for procid in ["00123", "4294967296", "99999999999999999999", "x-1"] {
        let header = format!("mail.info 2026-11-24T02:10:35Z mx1 a {procid}");
        check(&format!("<22>Nov 24 02:10:35 mx1 a[{procid}]: x"), &header, "x", "year_inferred");
        check(&format!("<22>1 2026-11-24T02:10:35Z mx1 a {procid} - - x"), &header, "x", "");
    }
}

proptest! {
    #[test]
    fn both_readers_of_rfc3164_agree(
        day in 1_u8..32,
        hour in 0_u8..25,
        host in "[a-z][a-z0-9.-]{0,10}",
        name in "[a-z][a-z/]{0,20}",
        pid in 0_u32..100_000,
        msg in ".{0,20}",
    ) {
        let line = |space: &str| format!("<22>Oct {day:2} {hour:02}:30:00{space}{host} {name}[{pid}]: {msg}");
        let (well_formed, tolerant) = (line(" "), line("  "));
        let berlin = zone("Europe/Berlin");
        prop_assert_eq!(parse_at(&well_formed, RECEIVED_AT, &berlin), parse_at(&tolerant, RECEIVED_AT, &berlin));
    }
}
