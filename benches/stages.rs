//! What does each stage cost? One group a stage, on the lines of the test corpus and on the two header shapes that make
//! up nearly all of the traffic.

use std::hint::black_box;
use std::sync::LazyLock;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::tz::TimeZone;
use postrider::encode::{Buffer, Encoder};
use postrider::frame::{Frame, Framer, Framing, Step};
use postrider::record::{Origin, Peer, Record, RecordIds, Transport};
use postrider::syslog::Context;
use postrider::time::Timestamp;
use postrider::{postfix, read_frame, syslog};

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

static ORIGIN: LazyLock<Origin> = LazyLock::new(|| Origin {
    name: "bench".to_owned(),
    transport: Transport::Tcp,
    zone: TimeZone::UTC,
    format: postrider::syslog::Format::Auto,
});

fn with_record(line: &str, context: &Context<'_>, use_record: impl FnOnce(&Record<'_>)) {
    static IDS: LazyLock<RecordIds> = LazyLock::new(RecordIds::default);
    let id = IDS.reserve(now(), 1).take();
    let frame = Frame { bytes: line.as_bytes(), truncated: false };
    read_frame(&frame, Peer::at("192.0.2.1:51234"), &ORIGIN, context, id, use_record);
}

criterion_group!(benches, frame, header, delivery, encode, line);
criterion_main!(benches);
