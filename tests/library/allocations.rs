//! Does the way from a message to its JSON allocate for a line?

use std::fs;
use std::path::Path;

use allocation_counter::measure;
use jiff::tz::TimeZone;
use postrider::encode::{Buffer, Encoder};
use postrider::postfix;
use postrider::record::{Origin, Peer, Record, RecordIds, Transport};
use postrider::syslog::{self, Context};
use postrider::time::Timestamp;

/// 2026-11-24T03:00:00Z.
const RECEIVED_AT: Timestamp = Timestamp::from_micros(1_795_489_200_000_000);

#[test]
fn a_postfix_line_is_read_and_written_without_an_allocation() {
    let origin = Origin {
        name: "test".to_owned(),
        transport: Transport::Tcp,
        zone: TimeZone::UTC,
        format: postrider::syslog::Format::Auto,
    };
    let context = Context::new(RECEIVED_AT, &origin.zone);
    let id = RecordIds::default().reserve(RECEIVED_AT, 1).take();
    let mut json = Buffer::with_room(64 * 1024);
    let mut lines = 0;
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1]))).count_total, 1, "allocations are counted");
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/postfix")).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        for line in fs::read_to_string(&path).expect("a log").lines() {
            let message = syslog::parse(line, &context);
            let mut parsed = None;
            let reading = measure(|| parsed = Some(postfix::parse(&message)));
            let postfix = parsed.expect("it was read");
            let peer = Peer::at("192.0.2.1:51234");
            let (flags, plain) = (message.flags | postfix.as_ref().map(|said| said.flags).unwrap_or_default(), false);
            let record = Record { id, received_at: RECEIVED_AT, origin: &origin, peer, message, postfix, flags, plain };
            json.clear();
            let writing = measure(|| Encoder::default().encode(&record, &mut json));
            assert_eq!((reading.count_total, writing.count_total), (0, 0), "{line}");
            lines += 1;
        }
    }
    assert!(lines > 1000, "only {lines} lines");
}
