//! Checks that must hold for any bytes. `tests/fuzz` calls these functions with bytes of its generator, and the
//! targets in `fuzz/` with those of libFuzzer.

// A target calls one of them.
#![allow(dead_code)]

use jiff::tz::TimeZone;
use postrider::dsn::Language;
use postrider::encode::{Buffer, Encoder};
use postrider::frame::{Frame, Framer, Framing, Step};
use postrider::record::{Origin, Peer, Record, RecordIds, Transport};
use postrider::syslog::{Context, Message};
use postrider::template::Template;
use postrider::time::Timestamp;
use postrider::{config, postfix, read_frame, syslog};
use serde_json::Value;

/// A check, by the name of its target.
pub(crate) type Check = (&'static str, fn(&[u8]));

pub(crate) const CHECKS: [Check; 6] = [
    ("frame", frame),
    ("syslog", syslog),
    ("postfix", postfix),
    ("line", line),
    ("config", config),
    ("template", template),
];

/// Tags of programs whose lines Postrider reads.
pub(crate) const TAGS: [&str; 28] = [
    "postfix/anvil",
    "postfix/bounce",
    "postfix/cleanup",
    "postfix/discard",
    "postfix/dnsblog",
    "postfix/error",
    "postfix/lmtp",
    "postfix/local",
    "postfix/master",
    "postfix/pickup",
    "postfix/pipe",
    "postfix/postfix-script",
    "postfix/postlogd",
    "postfix/postqueue",
    "postfix/postscreen",
    "postfix/postsuper",
    "postfix/proxymap",
    "postfix/qmgr",
    "postfix/qmqpd",
    "postfix/scache",
    "postfix/sendmail",
    "postfix/smtp",
    "postfix/submission/smtpd",
    "postfix/tlsproxy",
    "postfix/trivial-rewrite",
    "postfix/verify",
    "postfix/virtual",
    // The program is lost: every reader sees the text.
    "postfix",
];

/// 2026-11-24T03:00:00Z.
const RECEIVED_AT: Timestamp = Timestamp::from_micros(1_795_489_200_000_000);

/// A stream gives the same frames however it is cut into reads: `data` is a framing, a limit, a seed for the cuts, and
/// the stream.
pub(crate) fn frame(data: &[u8]) {
    let [framing, limit, seed, stream @ ..] = data else { return };
    let framing = [Framing::Auto, Framing::OctetCounting, Framing::Lf, Framing::Nul][usize::from(framing % 4)];
    let limit = usize::from(*limit);
    let whole = frames(Framer::new(framing, limit), stream, |_| usize::MAX);
    let mut random = u64::from(*seed) + 1;
    let cut = frames(Framer::new(framing, limit), stream, |room| {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        1 + (random % 16) as usize % room
    });
    assert_eq!(whole, cut);
    for (bytes, _) in whole {
        assert!(!bytes.is_empty() && bytes.len() <= limit.max(1), "{bytes:?}");
    }
}

/// The frames of `stream` when reads are as long as `size` says, given the room that the buffer has left.
fn frames(mut cutter: Framer, stream: &[u8], mut size: impl FnMut(usize) -> usize) -> Vec<(Vec<u8>, bool)> {
    let mut frames = Vec::new();
    let mut keep = |frame: Frame<'_>| frames.push((frame.bytes.to_vec(), frame.truncated));
    let (mut buffer, mut unread) = (Vec::new(), stream);
    while !unread.is_empty() {
        let room = cutter.max_buffer() - buffer.len();
        assert!(room > 0, "the framer leaves no room for a read");
        let (read, rest) = unread.split_at(size(room).min(room).min(unread.len()));
        unread = rest;
        buffer.extend_from_slice(read);
        loop {
            let (consumed, more) = match cutter.next(&buffer) {
                Step::Frame { frame, consumed } => {
                    assert!(consumed > 0);
                    keep(frame);
                    (consumed, true)
                }
                Step::More { consumed } => (consumed, false),
            };
            buffer.drain(..consumed);
            if !more {
                break;
            }
        }
    }
    if let Some(frame) = cutter.finish(&buffer) {
        keep(frame);
    }
    frames
}

/// Each part of a message is part of its text, and MSG is its end.
pub(crate) fn syslog(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let message = parse(&text);
    let parts = [message.timestamp_text, message.hostname, message.app_name, message.procid, message.msgid];
    for part in parts.into_iter().flatten().chain([message.msg, message.text()]) {
        assert!(text.as_bytes().as_ptr_range().contains(&part.as_ptr()) || part.is_empty(), "{part:?} of {text:?}");
    }
    let end = text.strip_suffix("\r\n").or_else(|| text.strip_suffix(['\n', '\0'])).unwrap_or(&text);
    assert!(end.ends_with(message.msg), "{:?} of {text:?}", message.msg);
}

fn parse(text: &str) -> Message<'_> {
    syslog::parse(text, &Context::new(RECEIVED_AT, &TimeZone::UTC))
}

/// A line of a Postfix program is an event, with any text.
pub(crate) fn postfix(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (origin, id) = (origin(), RecordIds::default().reserve(RECEIVED_AT, 1).take());
    for app_name in TAGS {
        let message = Message { app_name: Some(app_name), msg: &text, ..Message::default() };
        let said = postfix::parse(&message).unwrap_or_else(|| panic!("{app_name} is Postfix's"));
        let (flags, postfix) = (said.flags, Some(said));
        let (peer, plain) = (Peer::default(), false);
        let record = Record { id, received_at: RECEIVED_AT, origin: &origin, peer, message, postfix, flags, plain };
        encode(&record, Language::En);
    }
}

/// A frame gives one line of JSON, which has the whole of MSG.
pub(crate) fn line(data: &[u8]) {
    let frame = Frame { bytes: data, truncated: false };
    with_record(&frame, |record| {
        encode(record, Language::Ja);
        let value = encode(record, Language::En);
        assert_eq!(value["message"], record.message.msg);
        let event = record.postfix.as_ref().map(|postfix| postfix.event.name());
        assert_eq!(value["postfix"]["event"].as_str(), event);
        assert_eq!(value["postfix"]["queue_id"].as_str(), record.postfix.as_ref().and_then(|postfix| postfix.queue_id));
        let lost = std::str::from_utf8(data).is_err();
        let flags = value["flags"].as_array().into_iter().flatten();
        assert_eq!(flags.filter(|flag| *flag == "invalid_utf8").count(), usize::from(lost));
    });
}

/// A configuration is valid, or has errors that can be shown.
pub(crate) fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match config::parse(&text, "fuzz.toml") {
        Ok(config) => assert!(!config.sources.is_empty() && !config.sinks.is_empty()),
        Err(found) => {
            assert!(!found.is_empty());
            assert!(found.to_string().starts_with("fuzz.toml"));
        }
    }
}

/// A template renders, and no value leaves its path component; or its error has a place in the text.
pub(crate) fn template(data: &[u8]) {
    // The last line is what a sender wrote.
    let text = String::from_utf8_lossy(data);
    let (text, sent) = text.rsplit_once('\n').unwrap_or((&text, "<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: removed"));
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => {
            assert!(text.get(error.offset..error.offset + error.len).is_some(), "{error:?} in {text:?}");
            return;
        }
    };
    with_record(&Frame { bytes: sent.as_bytes(), truncated: false }, |record| {
        let mut path = String::new();
        template.render_path(record, &mut path);
        let slashes = |text: &str| text.bytes().filter(|b| *b == b'/').count();
        assert_eq!(slashes(&path), template.literals().map(slashes).sum::<usize>(), "{path:?}");
        let mut topic = String::new();
        template.render_topic(record, &mut topic);
        let mut key = "before".to_owned();
        let rendered = template.render(record, &mut key);
        assert!(key.starts_with("before") && (rendered || key == "before"));
    });
}

/// Reads a frame as the pipeline does.
pub(crate) fn with_record<R>(frame: &Frame<'_>, use_record: impl FnOnce(&Record<'_>) -> R) -> R {
    let (origin, id) = (origin(), RecordIds::default().reserve(RECEIVED_AT, 1).take());
    read_frame(frame, Peer::at("192.0.2.1:514"), &origin, &Context::new(RECEIVED_AT, &origin.zone), id, use_record)
}

fn origin() -> Origin {
    Origin {
        name: "fuzz".to_owned(),
        transport: Transport::Udp,
        zone: TimeZone::UTC,
        format: postrider::syslog::Format::Auto,
    }
}

/// The record as JSON, which is one line.
pub(crate) fn encode(record: &Record<'_>, language: Language) -> Value {
    let mut json = Buffer::default();
    Encoder { language }.encode(record, &mut json);
    assert!(json.iter().all(|byte| *byte >= b' '), "a control character in {}", json.escape_ascii());
    let value = serde_json::from_slice(&json);
    value.unwrap_or_else(|error| panic!("{error}: {}", json.escape_ascii()))
}
