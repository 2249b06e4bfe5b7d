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

/// The usual headers that no line of the corpus has: they are read without a library, too (`syslog/direct.rs`).
const HEADERS: [&str; 5] = [
    "<22>Nov 24 02:10:35 mx1 postfix/qmgr[1]: 4jYR9Q2wTjz18T: removed",
    "<22>2026-11-24T02:10:35.123456+00:00 mx1 postfix/qmgr[1]: 4jYR9Q2wTjz18T: removed",
    "2026-11-24T02:10:35Z mx1 postfix/qmgr[1]: 4jYR9Q2wTjz18T: removed",
    "<22>1 2026-11-24T02:10:35.123456-03:30 mx1 postfix/qmgr 12345 - - 4jYR9Q2wTjz18T: removed",
    "<22>1 2026-11-24T02:10:35Z mx1 postfix/qmgr - ID47 - 4jYR9Q2wTjz18T: removed",
];

/// The lines of the corpus of Postfix.
fn corpus() -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/postfix")).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "log") {
            lines.extend(fs::read_to_string(&path).expect("a log").lines().map(str::to_owned));
        }
    }
    lines
}

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
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1]))).count_total, 1, "allocations are counted");
    let corpus = corpus();
    assert!(corpus.len() > 1000, "only {} lines", corpus.len());
    for line in HEADERS.into_iter().chain(corpus.iter().map(String::as_str)) {
        let mut parsed = None;
        let parsing = measure(|| parsed = Some(syslog::parse(line, &context)));
        let message = parsed.expect("it was parsed");
        let mut parsed = None;
        let reading = measure(|| parsed = Some(postfix::parse(&message)));
        let postfix = parsed.expect("it was read");
        let peer = Peer::at("192.0.2.1:51234");
        let (flags, plain) = (message.flags | postfix.as_ref().map(|said| said.flags).unwrap_or_default(), false);
        let record = Record { id, received_at: RECEIVED_AT, origin: &origin, peer, message, postfix, flags, plain };
        json.clear();
        let writing = measure(|| Encoder::default().encode(&record, &mut json));
        let allocations = (parsing.count_total, reading.count_total, writing.count_total);
        assert_eq!(allocations, (0, 0, 0), "{line}");
    }
}
