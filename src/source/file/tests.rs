use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tempfile::TempDir;

use super::*;
use crate::buffer::{Batch, Receiver, queue};
use crate::encode::Encoder;
use crate::ledger::{Reason, SinkLedger, SourceLedger};
use crate::pipeline::{Current, Outlet, Pipeline};
use crate::record::{Origin, Transport};
use crate::source::Stop;

/// A follower without its loop, and the queue of its only sink, whose outcomes the test decides.
struct Bench {
    follower: Follower<'static>,
    sink: Receiver,
    directory: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (queue, sink) = queue(1 << 24);
        let (select, ledger) = (crate::select::Select::default(), Arc::<SinkLedger>::default());
        let outlet = Outlet { select, route: None, key: None, queue, ledger };
        let encoder = Encoder { language: crate::postfix::dsn::Language::default() };
        let pipeline = Current::new(Pipeline::new(encoder, vec![Arc::new(outlet)]));
        let origin = Origin { name: "file".to_owned(), transport: Transport::File, zone: TimeZone::UTC };
        let ledger = Arc::<SourceLedger>::default();
        let intake = Intake::new(pipeline, origin, ledger, 1 << 24, 8192, Stop::default());
        let config = FollowConfig {
            paths: vec![directory.path().join("mail.log"), directory.path().join("*.gz")],
            state: directory.path().join("state"),
            from_beginning: true,
            poll_interval: Duration::from_millis(10),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store: &'static Mutex<Store> = Box::leak(Box::new(Mutex::new(open(&config, "file").unwrap())));
        let follower = Follower::new(config, store.lock().unwrap(), intake, runtime.handle().clone());
        Self { follower, sink, directory, _runtime: runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Reads everything that there is, and gives the batches with their lines.
    fn read(&mut self) -> Vec<(Batch, Vec<String>)> {
        self.follower.look();
        while self.follower.read() {}
        let mut batches = VecDeque::new();
        self.sink.receive(&mut batches, 100, Duration::ZERO);
        batches.into_iter().map(|batch| (lines(&batch), batch)).map(|(lines, batch)| (batch, lines)).collect()
    }

    /// The same again as soon as the pause after a failure is over.
    fn read_again(&mut self) -> Vec<(Batch, Vec<String>)> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let read = self.read();
            if !read.is_empty() || Instant::now() > end {
                return read;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The texts of the records.
fn lines(batch: &Batch) -> Vec<String> {
    let text = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).unwrap()["message"].to_string();
    batch.entries().iter().map(|entry| text(batch.line(entry))).collect()
}

fn numbered(numbers: std::ops::Range<usize>) -> String {
    let lines: Vec<String> = numbers.map(|number| format!("Nov 24 02:10:35 mx1 test: {number}\n")).collect();
    lines.concat()
}

fn texts(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("\"{number}\"")).collect()
}

#[test]
fn what_a_sink_refuses_is_handed_on_again_from_the_cursor() {
    let mut bench = Bench::new();
    // More than one read, so that there are several receipts.
    fs::write(bench.path("mail.log"), numbered(0..6000)).unwrap();
    let read = bench.read();
    assert!(read.len() > 3, "{}", read.len());
    assert_eq!(read.iter().flat_map(|(_, lines)| lines.clone()).collect::<Vec<_>>(), texts(0..6000));
    // The second is refused; those behind it were taken, and come twice.
    let first = read[0].1.len();
    for (index, (batch, _)) in read.into_iter().enumerate() {
        if index == 1 { batch.dropped(Reason::Shutdown) } else { batch.delivered() }
    }
    // It has no name any more, so only the open descriptor leads to it.
    fs::remove_file(bench.path("mail.log")).unwrap();
    bench.follower.settle();
    assert!(!bench.follower.files[0].is_delivered());
    let again = bench.read_again();
    assert_eq!(again.iter().flat_map(|(_, lines)| lines.clone()).collect::<Vec<_>>(), texts(first..6000));
    for (batch, _) in again {
        batch.delivered();
    }
    bench.follower.settle();
    assert!(bench.follower.files[0].is_delivered());
    assert_eq!(bench.follower.files[0].entry.offset, numbered(0..6000).len() as u64);
}

#[test]
fn how_many_lines_are_handed_on_again_is_known() {
    let mut bench = Bench::new();
    fs::write(bench.path("mail.log"), numbered(0..100)).unwrap();
    for _ in 0..3 {
        let read = bench.read_again();
        assert_eq!(read.iter().map(|(_, lines)| lines.len()).sum::<usize>(), 100);
        // Forgotten batches count as lost.
        drop(read);
        // The first is said at once; those of the next ten seconds are added up.
        bench.follower.settle();
    }
    assert_eq!(bench.follower.repeated, 200);
    for (batch, _) in bench.read_again() {
        batch.delivered();
    }
    bench.follower.settle();
    assert_eq!((bench.read().len(), bench.follower.files[0].is_delivered()), (0, true));
}

#[test]
fn an_archive_that_a_sink_refuses_is_read_again_though_it_was_removed() {
    use std::io::Write;
    let mut bench = Bench::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(numbered(0..5000).as_bytes()).unwrap();
    fs::write(bench.path("old.gz"), gzip.finish().unwrap()).unwrap();
    let read = bench.read();
    let first = read[0].1.len();
    fs::remove_file(bench.path("old.gz")).unwrap();
    for (index, (batch, _)) in read.into_iter().enumerate() {
        if index == 0 { batch.delivered() } else { batch.dropped(Reason::Shutdown) }
    }
    bench.follower.settle();
    let again = bench.read_again();
    assert_eq!(again.iter().flat_map(|(_, lines)| lines.clone()).collect::<Vec<_>>(), texts(first..5000));
    for (batch, _) in again {
        batch.delivered();
    }
    bench.follower.settle();
    assert!(bench.follower.files[0].entry.done && !bench.follower.files[0].is_open());
}
