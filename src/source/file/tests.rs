mod histories;
pub(super) mod simulated;

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use tempfile::TempDir;
use testkit::wait::wait_until;

use super::*;
use crate::buffer::{Batch, Receiver, Waiting, queue};
use crate::config::Links;
use crate::encode::Encoder;
use crate::frame::Frame;
use crate::ledger::{Reason, SinkLedger, SourceLedger};
use crate::pipeline::{Current, Outlet, Pipeline};
use crate::read_frame;
use crate::record::{LineHashes, NewId, Origin, Peer, RecordId, Transport};
use crate::source::Stop;
use crate::source::file::follow::Place;
use crate::syslog::Context;
use crate::time::Timestamp;

/// The thread of a source without its loop, and the queue of its only sink, whose outcomes the test decides.
struct Bench {
    run: Run<'static>,
    sink: Receiver,
    directory: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        Self::at("mail.log")
    }

    fn at(pattern: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (queue, sink) = queue(1 << 24);
        let (select, ledger) = (crate::select::Select::default(), Arc::<SinkLedger>::default());
        let outlet = Outlet {
            name: "sink".to_owned(),
            select,
            route: None,
            key: None,
            queue,
            ledger,
            waiting: Waiting::default(),
        };
        let encoder = Encoder { language: crate::dsn::Language::default() };
        let pipeline = Current::new(Pipeline::new(vec![(encoder, Arc::new(outlet))]));
        let origin = Origin {
            name: "file".to_owned(),
            transport: Transport::File,
            zone: TimeZone::UTC,
            format: crate::syslog::Format::Auto,
        };
        let ledger = Arc::<SourceLedger>::default();
        let intake = Intake::new(pipeline, origin, ledger, 1 << 24, 8192, Stop::default());
        let config = FollowConfig {
            paths: vec![directory.path().join(pattern), directory.path().join("*.gz")],
            state: directory.path().join("state"),
            from_beginning: true,
            poll_interval: Duration::from_millis(10),
            links: Links::Trusted,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store: &'static Mutex<Store> = Box::leak(Box::new(Mutex::new(open(&config, "file").unwrap())));
        let run = Run::new(config, store.lock().unwrap(), intake, runtime.handle().clone());
        Self { run, sink, directory, _runtime: runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Reads everything that there is, and gives the batches with their lines.
    fn read(&mut self) -> Vec<(Batch, Vec<String>)> {
        self.run.follower.look();
        self.take()
    }

    /// The same without looking for files before.
    fn take(&mut self) -> Vec<(Batch, Vec<String>)> {
        while self.run.follower.read() {}
        let mut batches = VecDeque::new();
        self.sink.receive(&mut batches, 10_000, Duration::ZERO);
        batches.into_iter().map(|batch| (lines(&batch), batch)).map(|(lines, batch)| (batch, lines)).collect()
    }

    /// Reads what there is, and delivers it.
    fn read_and_deliver(&mut self, found: &mut Vec<String>) {
        self.run.follower.look();
        found.extend(self.deliver());
    }

    fn deliver(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        for (batch, lines) in self.take() {
            found.extend(lines);
            batch.delivered();
        }
        self.run.follower.settle();
        found
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
    bench.run.follower.settle();
    assert!(!bench.run.follower.files[0].is_delivered());
    let again = bench.read_again();
    assert_eq!(again.iter().flat_map(|(_, lines)| lines.clone()).collect::<Vec<_>>(), texts(first..6000));
    for (batch, _) in again {
        batch.delivered();
    }
    bench.run.follower.settle();
    assert!(bench.run.follower.files[0].is_delivered());
    assert_eq!(bench.run.follower.files[0].entry.offset, numbered(0..6000).len() as u64);
}

/// The ids of the lines of a file, as `decode` gives them.
fn ids_of(text: &str) -> Vec<RecordId> {
    let mut hashes = LineHashes::starting_at(0);
    // In the zone and the year of the bench.
    let origin = Origin {
        name: "file".to_owned(),
        transport: Transport::File,
        zone: TimeZone::UTC,
        format: crate::syslog::Format::Auto,
    };
    let context = Context::new(Timestamp::now(), &origin.zone);
    let id = |line: &str| {
        let frame = Frame { bytes: line.as_bytes(), truncated: false };
        let hash = NewId::Line(hashes.next(line.as_bytes(), 0));
        read_frame(&frame, Peer::default(), &origin, &context, hash, |record| record.id)
    };
    text.lines().map(id).collect()
}

/// Lines of which many are equal, in several seconds and blocks; some have no time.
fn repetitive() -> String {
    let line = |n: usize| match n % 10 {
        9 => format!("no time {}\n", n % 3),
        _ => format!("Nov 24 02:{:02}:{:02} mx1 test: {}\n", n / 90_000, n / 1500 % 60, n % 800 / 2),
    };
    (0..12_000).map(line).collect()
}

#[test]
fn a_line_that_is_handed_on_again_has_the_same_id() {
    let (mut bench, text) = (Bench::new(), repetitive());
    let expected = ids_of(&text);
    assert_eq!(expected.iter().collect::<HashSet<_>>().len(), expected.len());
    fs::write(bench.path("mail.log"), &text).unwrap();
    let mut delivered = 0;
    for round in 0_usize.. {
        let read = bench.read_again();
        let ids = read.iter().flat_map(|(batch, _)| batch.entries().iter().map(|entry| entry.id).collect::<Vec<_>>());
        assert_eq!(ids.collect::<Vec<_>>(), expected[delivered..]);
        for (index, (batch, lines)) in read.into_iter().enumerate() {
            // One more in each round.
            if index < 1 + round && round < 4 {
                delivered += lines.len();
                batch.delivered();
            } else if round < 4 {
                batch.dropped(Reason::Shutdown);
            } else {
                delivered += lines.len();
                batch.delivered();
            }
        }
        bench.run.follower.settle();
        if delivered == expected.len() {
            break;
        }
        if round == 2 {
            // From now on it is read as an archive.
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(text.as_bytes()).unwrap();
            fs::write(bench.path("mail.log.1.gz"), gzip.finish().unwrap()).unwrap();
            fs::remove_file(bench.path("mail.log")).unwrap();
            bench.run.follower.files[0].back_off(false, Instant::now());
        }
    }
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
        bench.run.follower.settle();
    }
    assert_eq!(bench.run.follower.repeats.lines, 200);
    for (batch, _) in bench.read_again() {
        batch.delivered();
    }
    bench.run.follower.settle();
    assert_eq!((bench.read().len(), bench.run.follower.files[0].is_delivered()), (0, true));
}

#[test]
fn an_archive_is_read_again_after_a_drop_though_it_was_removed() {
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
    bench.run.follower.settle();
    let again = bench.read_again();
    assert_eq!(again.iter().flat_map(|(_, lines)| lines.clone()).collect::<Vec<_>>(), texts(first..5000));
    for (batch, _) in again {
        batch.delivered();
    }
    bench.run.follower.settle();
    assert!(bench.run.follower.files[0].entry.done && !bench.run.follower.files[0].is_open());
}

#[test]
fn what_was_cut_twice_between_two_looks_is_read_in_order() {
    let mut bench = Bench::new();
    fs::write(bench.path("mail.log"), numbered(0..10)).unwrap();
    let mut found = Vec::new();
    // The copies come to the names that logrotate gives them.
    for (round, copies) in [["mail.log.2", "mail.log.1"], ["mail.log.02", "mail.log.01"]].into_iter().enumerate() {
        bench.read_and_deliver(&mut found);
        for (part, copy) in copies.into_iter().enumerate() {
            let first = 10 + 40 * round + 20 * part;
            let mut log = fs::File::options().append(true).open(bench.path("mail.log")).unwrap();
            log.write_all(numbered(first..first + 20).as_bytes()).unwrap();
            fs::copy(bench.path("mail.log"), bench.path(copy)).unwrap();
            log.set_len(0).unwrap();
        }
        bench.read_and_deliver(&mut found);
    }
    fs::write(bench.path("mail.log"), numbered(90..100)).unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while found.len() < 100 && Instant::now() < end {
        bench.read_and_deliver(&mut found);
    }
    assert_eq!(found, texts(0..100));
}

#[test]
fn what_is_written_after_the_rotation_of_a_cut_log_is_found() {
    let mut bench = Bench::new();
    let (log, rotated) = (bench.path("mail.log"), bench.path("mail.log.1"));
    fs::write(&log, numbered(0..3)).unwrap();
    let mut found = Vec::new();
    bench.read_and_deliver(&mut found);
    assert!(bench.run.follower.files[0].close());
    // A look saw the rotation. The writer has written to its file since then.
    fs::rename(&log, &rotated).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(100);
    fs::File::open(bench.directory.path()).unwrap().set_modified(long_ago).unwrap();
    fs::write(&rotated, numbered(3..6)).unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while found.len() < 6 && Instant::now() < end {
        bench.read_and_deliver(&mut found);
    }
    assert_eq!(found, texts(0..6));
}

/// As if nothing had happened for a while.
fn fall_asleep(bench: &mut Bench) {
    for file in &mut bench.run.follower.files {
        file.grown -= Duration::from_secs(60);
    }
}

#[test]
fn files_at_rest_are_checked_rarely_and_growth_is_seen_in_time() {
    const FILES: usize = 1500;
    // 1,000 files a second, and the directory in each turn; with what a turn may be late.
    const TURN: Duration = Duration::from_millis(250);
    let calm = |seconds: usize| seconds * (1000 + 4) + FILES;
    let mut bench = Bench::at("logs/*.log");
    let name = |number: usize| format!("logs/{number:04}.log");
    fs::create_dir(bench.path("logs")).unwrap();
    (0..FILES).for_each(|number| fs::write(bench.path(&name(number)), numbered(number..number + 1)).unwrap());
    let mut found = Vec::new();
    // A thousand at a time, as each is open until it is delivered.
    (0..3).for_each(|_| bench.read_and_deliver(&mut found));
    assert_eq!(found.len(), FILES);
    // The last change of a file, and of the directory, must not be of the tick in which it is looked at.
    for path in [bench.path(&name(FILES - 1)), bench.path("logs")] {
        let stamp = ChangeStamp::of(&fs::metadata(path).unwrap());
        wait_until(Duration::from_secs(30), "another tick", || !stamp.is_of_now(SystemTime::now()));
    }
    bench.read_and_deliver(&mut found);
    fall_asleep(&mut bench);
    assert!(bench.run.follower.files.iter().filter(|file| file.is_open()).count() > 500);
    let mut now = Instant::now();
    let mut turns = |bench: &mut Bench, found: &mut Vec<String>, turns: u32| -> usize {
        let looked = (0..turns).map(|_| {
            now += TURN;
            let looked = bench.run.follower.look_around(now);
            let read = bench.deliver();
            found.extend(read);
            looked
        });
        looked.sum()
    };
    let looked = turns(&mut bench, &mut found, 4 * 60);
    assert!((1000..=calm(60)).contains(&looked), "{looked} looks in a minute");
    assert!(
        bench.run.follower.files.iter().all(|file| file.is_at_rest(Instant::now())),
        "nothing is even asked for its size"
    );
    assert_eq!(found.len(), FILES);
    // One that is open, one that is closed: within three seconds.
    for number in [FILES - 1, 0] {
        let mut log = fs::File::options().append(true).open(bench.path(&name(number))).unwrap();
        log.write_all(numbered(0..1).as_bytes()).unwrap();
    }
    let looked = turns(&mut bench, &mut found, 4 * 3 + 1);
    assert!(looked <= calm(4), "{looked} looks in three seconds");
    assert_eq!(found.len(), FILES + 2);
    // These are read in each turn from now on.
    for number in [FILES - 1, 0] {
        let mut log = fs::File::options().append(true).open(bench.path(&name(number))).unwrap();
        log.write_all(numbered(1..2).as_bytes()).unwrap();
    }
    turns(&mut bench, &mut found, 1);
    assert_eq!(found.len(), FILES + 4);
    // The directory changes: that is seen sooner.
    fall_asleep(&mut bench);
    turns(&mut bench, &mut found, 4 * 3);
    fs::rename(bench.path(&name(7)), bench.path("logs/0007.log.1")).unwrap();
    fs::write(bench.path(&name(7)), numbered(2..3)).unwrap();
    turns(&mut bench, &mut found, 3);
    assert!(bench.run.follower.files.iter().any(|file| file.place == Place::Elsewhere(bench.path("logs/0007.log.1"))));
    let end = Instant::now() + Duration::from_secs(30);
    while found.len() < FILES + 5 && Instant::now() < end {
        turns(&mut bench, &mut found, 1);
    }
    assert_eq!(found.len(), FILES + 5);
}

#[test]
fn all_generations_of_a_log_are_read_at_once() {
    const GENERATIONS: usize = 30;
    let mut bench = Bench::new();
    fs::write(bench.path("mail.log"), numbered(0..10)).unwrap();
    let mut found = Vec::new();
    bench.read_and_deliver(&mut found);
    for generation in 1..=GENERATIONS {
        let first = 10 * generation;
        // Each but the first has a last line without an end.
        fs::rename(bench.path("mail.log"), bench.path(&format!("mail.log.{}", GENERATIONS - generation))).unwrap();
        fs::write(bench.path("mail.log"), numbered(first..first + 10).trim_end()).unwrap();
    }
    let begun = Instant::now();
    bench.read_and_deliver(&mut found);
    // The writer may still be at the last one but one.
    let known = if begun.elapsed() < Duration::from_secs(1) { 10 * GENERATIONS - 1 } else { found.len() };
    assert_eq!(found, texts(0..known));
    while found.len() < 10 * GENERATIONS + 9 && begun.elapsed() < Duration::from_secs(30) {
        bench.read_and_deliver(&mut found);
    }
    assert_eq!(found, texts(0..10 * GENERATIONS + 9));
}
