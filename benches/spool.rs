//! What does it cost to have records on disk, and to get them back? The disk is that of the build directory.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use postrider::record::RecordId;
use postrider::spool::{Disk, Progress, Settings, Spool, SpoolEntry};

/// As long as the JSON of a delivery.
const LINE: usize = 800;
/// Number of bytes on the disk before they are read and acknowledged.
const DISK: u64 = 256 << 20;

fn spool(name: &str) -> (Spool, tempfile::TempDir) {
    let directory = tempfile::Builder::new().prefix(name).tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let directory = directory.expect("a directory");
    let settings = Settings { max_size: 4 << 30, free_space_floor: 0, ..Settings::default() };
    (Spool::open(Disk::new(directory.path()), settings).expect("a spool").0, directory)
}

fn append(spool: &mut Spool, line: &[u8], n: u64) {
    let entry = SpoolEntry {
        id: RecordId(n.into()),
        timestamp_ms: n.cast_signed(),
        route: "mail",
        key: Some("4jYR9Q2wTjz18T"),
        line,
    };
    spool.append(&entry).expect("a short record");
}

fn drain(spool: &mut Spool) -> u64 {
    let mut records = 0;
    while spool.read(256 << 10, |record| records += u64::from(!black_box(record).line.is_empty())) != Ok(Progress::End)
    {
    }
    spool.acknowledge(spool.durable()).expect("a disk");
    records
}

/// How long until a group is durable?
fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spool/commit");
    group.sample_size(20).measurement_time(Duration::from_secs(8));
    let line = vec![b'x'; LINE];
    for records in [1, 128, 4096] {
        group.throughput(Throughput::Elements(records));
        group.bench_with_input(BenchmarkId::from_parameter(records), &records, |bencher, records| {
            let (mut spool, _directory) = spool("commit");
            bencher.iter_custom(|iterations| {
                let mut time = Duration::ZERO;
                for n in 0..iterations {
                    let start = Instant::now();
                    (0..*records).for_each(|_| append(&mut spool, &line, n));
                    spool.commit().expect("a disk");
                    time += start.elapsed();
                    if spool.figures().disk_bytes > DISK {
                        drain(&mut spool);
                    }
                }
                time
            });
        });
    }
}

/// How fast are records read back and checked?
fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spool/read");
    let (mut spool, _directory) = spool("read");
    let line = vec![b'x'; LINE];
    let records = 50_000;
    (0..records).for_each(|n| append(&mut spool, &line, n));
    spool.commit().expect("a disk");
    group.throughput(Throughput::Elements(records));
    group.bench_function("50000", |bencher| {
        bencher.iter(|| {
            spool.rewind();
            let mut count = 0;
            while spool.read(256 << 10, |record| count += u64::from(!black_box(record).line.is_empty()))
                != Ok(Progress::End)
            {}
            assert_eq!(count, records);
        });
    });
}

criterion_group!(benches, commit, read);
criterion_main!(benches);
