//! Any text gives a message, in linear time.

use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

/// Text that a reader might go over again for every byte.
#[test]
fn time_is_linear() {
    let headers = [
        "",
        "<22>",
        "<22>Nov 24 02:10:35 ",
        "<22>Nov 24 02:10:35 mx1 ",
        "<22>Nov 24 02:10:35 mx1 a[1]: ",
        "<22>1 2026-11-24T02:10:35Z mx1 a 1 - ",
    ];
    let units = [
        " ",
        "[",
        "]",
        "\"",
        "\\",
        "<",
        ">",
        ":",
        "-",
        "1",
        "a",
        "\n",
        "\0",
        "\u{feff}",
        "é",
        "=\"",
        "[a b=\"]",
        "[i b\" a=\"]",
        "[a b=\"c\"]",
        "[a",
        " a=\"b\"",
        "\\\"",
        "Nov 24 02:10:35 ",
        "message repeated 1 times: [",
        "2001:db8:",
        "a[1]",
        "last message repeated ",
        "CET ",
        "INFO ",
        "mail.info\t",
        "[ID 1 mail.info] ",
        "2026 ",
        "AM ",
        "mail-1  | ",
        "a/[1]:1/",
        "a/:1/",
        "<mail.info>",
        "1-",
        "月",
    ];
    for header in headers {
        for unit in units {
            for start in ["", "[a b=\"c\"", "[i a=\"]"] {
                let text = format!("{header}{start}{}", unit.repeat(64 * 1024 / unit.len()));
                let started = Instant::now();
                let message = parse_utc(&text);
                let zone = TimeZone::UTC;
                let context = Context::new(Timestamp::from_micros(RECEIVED_AT * 1_000_000), &zone);
                let _ = message.inner(&context);
                let msg = message.msg;
                // Less than 5 ms without optimisation; seconds, if it took quadratic time.
                assert!(started.elapsed() < Duration::from_secs(1), "{header}{start}{unit}: {:?}", started.elapsed());
                assert!(text.ends_with(msg) || unit.ends_with(['\n', '\0']), "{header}{start}{unit}");
            }
        }
    }
}

/// Fragments that readers look for, so that random texts get past the first of them.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("<22>".to_owned()),
        Just("<mail.info>".to_owned()),
        Just("1 ".to_owned()),
        Just("Nov 24 02:10:35".to_owned()),
        Just("2026-11-24T02:10:35.5+01:00".to_owned()),
        Just("2026".to_owned()),
        Just(" mx1".to_owned()),
        Just(" mx1:".to_owned()),
        Just(" PM GMT+1".to_owned()),
        Just(" mail.6 ".to_owned()),
        Just(" postfix/smtpd 1 - - ".to_owned()),
        Just(" postfix/[::1]:25/smtpd[1]:".to_owned()),
        Just(" docker/a[1]: ".to_owned()),
        Just("2026-11-24T02:10:35.5Z ".to_owned()),
        Just(" INFO".to_owned()),
        Just("mail-1  | ".to_owned()),
        Just(" stdout F ".to_owned()),
        Just(" mail.info ".to_owned()),
        Just("\t(none) ".to_owned()),
        Just(" [ID 1 mail.info] ".to_owned()),
        Just(" postfix/smtp[1]:".to_owned()),
        Just(" postfix/submission/smtpd[1234567".to_owned()),
        Just("- ".to_owned()),
        Just("[a b=\"c\"]".to_owned()),
        Just("message repeated 2 times: [ x]".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("\r\n".to_owned()),
        "[ \\-:\\[\\]<>\"=\\\\0-9]",
        ".{0,3}",
    ];
    proptest::collection::vec(fragment, 0..12).prop_map(|parts| parts.concat())
}

fn check_any(text: &str, zone_name: &str, received_at: i64) {
    let message = parse_at(text, received_at, &zone(zone_name));
    // MSG is the end of the text, but for a line end.
    let start = message.msg.as_ptr().addr() - text.as_ptr().addr();
    let rest = &text[start..];
    assert!(["", "\n", "\r\n", "\0"].contains(&&rest[message.msg.len()..]), "{text:?}: {message:?}");
    assert!(message.flags.contains(Flags::PRI_MISSING) || message.facility.is_some() && message.severity.is_some());
    assert_eq!(message.timestamp.is_none(), message.flags.contains(Flags::TIMESTAMP_MISSING));
    assert_eq!(message.hostname.is_none(), message.flags.contains(Flags::HOSTNAME_MISSING));
    let zone = zone(zone_name);
    let context = Context::new(Timestamp::from_micros(received_at * 1_000_000), &zone);
    if let Some(inner) = message.inner(&context) {
        assert!(message.msg.ends_with(inner.msg) || message.msg.ends_with(['\n', '\0']), "{text:?}: {inner:?}");
        assert!(inner.via.is_none_or(|via| *via != Via::default()), "{text:?}");
    }
    for part in [message.hostname, message.app_name, message.procid, message.msgid].into_iter().flatten() {
        assert!(!part.is_empty() && part != "-", "{text:?}: {message:?}");
    }
    if let Some(timestamp) = message.timestamp {
        assert!(timestamp.micros() < 1_000_000, "{text:?}: {message:?}");
        assert!((0..=9999).contains(&timestamp.civil(0).year()), "{text:?}: {message:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_give_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..300), received_at in any::<i32>()) {
        check_any(&String::from_utf8_lossy(&bytes), "Europe/Berlin", received_at.into());
    }

    #[test]
    fn any_fragments_give_a_message(text in fragments(), received_at in any::<i32>()) {
        check_any(&text, "Asia/Tokyo", received_at.into());
    }
}
