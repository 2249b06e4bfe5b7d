//! What does each stage cost? One group a stage, on the lines of the test corpus and on the two header shapes that make
//! up nearly all of the traffic.

use std::hint::black_box;
use std::sync::LazyLock;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::tz::TimeZone;
use postrider::correlate::{Correlator, JoinSettings};
use postrider::encode::{Buffer, Encoder};
use postrider::frame::{Frame, Framer, Framing, Step};
use postrider::record::{NewId, Origin, Peer, Record, RecordId, RecordIds, Transport};
use postrider::syslog::Context;
use postrider::time::Timestamp;
use postrider::{Unread, postfix, read_block, read_frame, syslog};
use testkit::mail::{MailHeader, MailHistory};

/// A delivery as rsyslog's default forward template sends it.
const RFC3164: &str = "<22>Nov 24 02:10:35 mx1 postfix/smtp[12345]: 4jYR9Q2wTjz18T: to=<anna@example.com>, \
    relay=mx.example.com[192.0.2.25]:25, delay=1.2, delays=0.1/0.01/0.4/0.69, dsn=2.0.0, status=sent \
    (250 2.0.0 Ok: queued as 9A8B7C6D5E)";

/// The same as rsyslog's RFC 5424 template sends it.
const RFC5424: &str = "<22>1 2026-11-24T02:10:35.123456+00:00 mx1 postfix/smtp 12345 - - 4jYR9Q2wTjz18T: \
    to=<anna@example.com>, relay=mx.example.com[192.0.2.25]:25, delay=1.2, delays=0.1/0.01/0.4/0.69, dsn=2.0.0, \
    status=sent (250 2.0.0 Ok: queued as 9A8B7C6D5E)";

/// Records in one buffer, as of a read: each takes from the one before it what they have in common.
const RECORDS: usize = 256;

const HEADERS: [(&str, &str); 2] = [("rfc3164", RFC3164), ("rfc5424", RFC5424)];

fn now() -> Timestamp {
    Timestamp::from_micros(1_795_486_235_123_456)
}

/// How fast is a stream told apart into messages?
fn frame(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    let lf: Vec<u8> = format!("{RFC3164}\n").repeat(256).into_bytes();
    let counted: Vec<u8> = format!("{} {RFC3164}", RFC3164.len()).repeat(256).into_bytes();
    for (name, stream) in [("lf", lf), ("octet_counting", counted)] {
        group.throughput(Throughput::Elements(256));
        group.bench_with_input(BenchmarkId::from_parameter(name), &stream, |bencher, stream| {
            bencher.iter(|| {
                let mut framer = Framer::new(Framing::Auto, 65_536);
                let (mut position, mut count) = (0, 0);
                while let Step::Frame { frame, consumed } = framer.next(&stream[position..]) {
                    black_box(frame);
                    position += consumed;
                    count += 1;
                }
                assert_eq!(count, 256);
            });
        });
    }
}

/// What does a header cost?
fn header(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("syslog");
    let zone = TimeZone::UTC;
    for (name, line) in HEADERS {
        group.bench_with_input(BenchmarkId::from_parameter(name), line, |bencher, line| {
            let context = Context::new(now(), &zone);
            bencher.iter(|| syslog::parse(black_box(line), &context).msg.len());
        });
    }
}

/// What does a delivery line cost, beyond its header?
fn delivery(criterion: &mut Criterion) {
    let zone = TimeZone::UTC;
    let message = syslog::parse(RFC3164, &Context::new(now(), &zone));
    criterion.bench_function("postfix/delivery", |bencher| {
        bencher.iter(|| assert!(postfix::parse(black_box(&message)).is_some()));
    });
}

/// What does the JSON of a delivery cost?
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let mut out = Buffer::with_room(RECORDS * 4096);
    with_record(RFC3164, &Context::new(now(), &ORIGIN.zone), |record| {
        group.bench_function("delivery", |bencher| {
            bencher.iter(|| {
                out.clear();
                let mut writer = Encoder::default().writer(&mut out);
                (0..RECORDS).for_each(|_| _ = writer.line(black_box(record)));
                out.len()
            });
        });
    });
}

/// What does a whole line cost, from the frame to the JSON?
fn line(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("line");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let mut out = Buffer::with_room(RECORDS * 4096);
    for (name, line) in HEADERS {
        group.bench_with_input(BenchmarkId::from_parameter(name), line, |bencher, line| {
            bencher.iter(|| {
                out.clear();
                let mut writer = Encoder::default().writer(&mut out);
                let context = Context::new(now(), &ORIGIN.zone);
                (0..RECORDS).for_each(|_| with_record(black_box(line), &context, |record| _ = writer.line(record)));
                out.len()
            });
        });
    }
}

/// Records that are joined with one lock, as in a read.
const BLOCK: usize = 32;

/// What does a line of a mixed log cost, without the joins and with them? What do the joins alone cost? The joins start
/// without a message each time, and the records of the messages and sessions are made, but not written.
fn correlate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("correlate");
    let (lines, end) = mixed_log();
    let unread: Vec<Unread<'_>> = lines.iter().map(|line| unread(line)).collect();
    group.throughput(Throughput::Elements(unread.len() as u64)).sample_size(20);
    let new = || Correlator::new(JoinSettings::DEFAULT);
    // The lines are read a moment after the last of them.
    let context = Context::new(end, &ORIGIN.zone);
    for (name, is_joined) in [("line_without", false), ("line_with", true)] {
        let mut out = Buffer::with_room(BLOCK * 4096);
        let mut read = |correlator: Correlator| {
            let mut joiner = correlator.joiner();
            for block in unread.chunks(BLOCK) {
                out.clear();
                let mut writer = Encoder::default().writer(&mut out);
                read_block(block, &ORIGIN, &context, |records| {
                    if is_joined {
                        joiner.join(records, &mut new_id, &mut |record, _| _ = writer.line(record));
                    } else {
                        for record in &*records {
                            writer.line(record);
                        }
                    }
                });
            }
            drop(joiner);
            correlator
        };
        group.bench_function(name, |bencher| bencher.iter_batched(new, &mut read, BatchSize::PerIteration));
    }
    read_block(&unread, &ORIGIN, &context, |records| {
        let join = |correlator: Correlator| {
            let mut joiner = correlator.joiner();
            for block in records.chunks(BLOCK) {
                joiner.join(block, &mut new_id, &mut |record, _| _ = black_box(record));
            }
            drop(joiner);
            correlator
        };
        group.bench_function("joins", |bencher| bencher.iter_batched(new, join, BatchSize::PerIteration));
    });
}

/// Returns some hours of a few hosts, and the time of their end.
fn mixed_log() -> (Vec<String>, Timestamp) {
    let history = MailHistory::random(fastrand::Rng::with_seed(7), 4000);
    let end = history.lines.iter().map(|line| line.at).max().unwrap_or_default();
    let lines = history.lines.iter().map(|line| history.text(line, MailHeader::Rfc5424)).collect();
    (lines, Timestamp::from_micros(end))
}

fn unread(line: &str) -> Unread<'_> {
    let frame = Frame { bytes: line.as_bytes(), truncated: false };
    Unread { frame, peer: Peer::at("192.0.2.1:51234"), id: NewId::Received(new_id()) }
}

fn new_id() -> RecordId {
    static IDS: LazyLock<RecordIds> = LazyLock::new(RecordIds::default);
    IDS.reserve(now(), 1).take()
}

static ORIGIN: LazyLock<Origin> = LazyLock::new(|| Origin {
    name: "bench".to_owned(),
    transport: Transport::Tcp,
    zone: TimeZone::UTC,
    format: postrider::syslog::Format::Auto,
});

fn with_record(line: &str, context: &Context<'_>, use_record: impl FnOnce(&Record<'_>)) {
    let id = new_id();
    let frame = Frame { bytes: line.as_bytes(), truncated: false };
    read_frame(&frame, Peer::at("192.0.2.1:51234"), &ORIGIN, context, id, use_record);
}

criterion_group!(benches, frame, header, delivery, encode, line, correlate);
criterion_main!(benches);
