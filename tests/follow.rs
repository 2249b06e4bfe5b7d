//! Are log files followed through everything that happens to them, without a loss, and with no more repeated than must be?

mod peers;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use peers::postrider::{Ended, Postrider};
use peers::process::Process;
use peers::scratch;
use peers::wait::wait_until;
use serde_json::Value;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);

/// A directory with logs, a cursor and the output, which outlives the runs of Postrider.
struct Place {
    directory: TempDir,
    output: Output,
}

/// What the sink has written, read as it grows.
#[derive(Default)]
struct Output {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
    numbers: Vec<usize>,
    records: Vec<String>,
}

impl Place {
    fn new(name: &str) -> Self {
        let directory = scratch::directory(name);
        let output = Output { path: directory.path().join("out.json"), ..Output::default() };
        Self { directory, output }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn cursor(&self) -> PathBuf {
        self.path("state/file.cursor")
    }

    fn config(&self, paths: &[&str], more: &str) -> String {
        let paths: Vec<PathBuf> = paths.iter().map(|path| self.path(path)).collect();
        let (state, out) = (self.path("state"), self.path("out.json"));
        let (state, out) = (state.display(), out.display());
        format!(
            "[[source.file]]\npaths = {paths:?}\nstate = \"{state}\"\npoll_interval = \"20ms\"\n{more}\n\
             [[sink.file]]\npath = \"{out}\"\n"
        )
    }

    /// Starts Postrider, and waits until it has looked for files once.
    fn start(&self, paths: &[&str], more: &str) -> Postrider {
        let postrider = Postrider::spawn(&self.config(paths, more));
        wait_until(DEADLINE, "the cursor", || self.cursor().exists());
        postrider
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).expect("a log");
        file.write_all(text.as_bytes()).expect("a line in the log");
    }

    fn compress(&self, name: &str) {
        let text = fs::read(self.path(name)).expect("a log");
        self.write_gzip(&format!("{name}.gz"), &text);
        fs::remove_file(self.path(name)).expect("a log that is compressed");
    }

    fn write_gzip(&self, name: &str, text: &[u8]) {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text).expect("compression");
        fs::write(self.path(name), gzip.finish().expect("compression")).expect("a compressed log");
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("a rotation");
    }

    /// As copytruncate does it.
    fn copy_and_cut(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).expect("a copy");
        OpenOptions::new().write(true).truncate(true).open(self.path(from)).expect("a cut");
    }

    #[track_caller]
    fn wait_for(&mut self, count: usize) {
        wait_until(DEADLINE, &format!("{count} records"), || self.output.read().len() >= count);
    }

    /// Waits until every number below `count` is there, and gives how many records are repetitions. Missing ones fail it.
    #[track_caller]
    fn wait_for_all(&mut self, count: usize) -> usize {
        wait_until(DEADLINE, &format!("all numbers below {count}"), || {
            let distinct: BTreeSet<_> = self.output.read().iter().collect();
            distinct.len() >= count
        });
        self.output.numbers.len() - count
    }

    #[track_caller]
    fn assert_each_once_in_order(&mut self, count: usize) {
        self.wait_for(count);
        let wrong = self.output.read().iter().zip(0..).position(|(number, wanted)| *number != wanted);
        assert_eq!((wrong, self.output.numbers.len()), (None, count));
    }
}

impl Output {
    fn read(&mut self) -> &[usize] {
        if let Ok(mut file) = File::open(&self.path) {
            file.seek(SeekFrom::Start(self.offset)).expect("a place in the output");
            self.offset += file.read_to_end(&mut self.rest).expect("the output") as u64;
        }
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for record in String::from_utf8(self.rest.drain(..whole).collect()).expect("UTF-8").lines() {
            let number = record.split_once("number ").map_or("", |(_, rest)| rest);
            let digits = number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            self.numbers.extend(digits.parse::<usize>());
            self.records.push(record.to_owned());
        }
        &self.numbers
    }
}

fn line(number: usize) -> String {
    format!("Nov 24 02:10:35 mx1 postfix/test[{number}]: number {number}\n")
}

fn lines(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(line).collect()
}

#[track_caller]
fn assert_clean(ended: &Ended) {
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.stderr);
    assert!(ended.stderr.contains("balanced=true") && !ended.stderr.contains("balanced=false"), "{}", ended.stderr);
}

#[test]
fn a_file_grows_and_a_line_waits_for_its_end() {
    let mut place = Place::new("grows");
    place.append("mail.log", &(lines([7, 8]) + "Nov 24 02:10:35 mx1 postfix/test[0]: num"));
    let postrider = place.start(&["mail.log", "other.log"], "");
    place.append("mail.log", "ber 0\n");
    place.assert_each_once_in_order(1);
    let half = line(2);
    place.append("mail.log", &half[..half.len() - 1]);
    // When this is there, the half line has been looked at too.
    place.append("other.log", &line(1));
    place.assert_each_once_in_order(2);
    place.append("mail.log", "\n");
    place.assert_each_once_in_order(3);
    let record: Value = serde_json::from_str(&place.output.records[0]).expect("JSON");
    let log = place.path("mail.log").display().to_string();
    assert_eq!(
        (record["source"]["transport"].as_str(), record["source"]["peer"].as_str()),
        (Some("file"), Some(&*log))
    );
    assert_clean(&postrider.terminate(DEADLINE));
    assert_eq!(fs::metadata(place.cursor()).expect("the cursor").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_clean_restart_repeats_nothing_whatever_was_rotated_meanwhile() {
    let mut place = Place::new("restart");
    let paths = &["mail.log"];
    place.append("mail.log", &lines(0..10));
    let postrider = place.start(paths, "start = \"beginning\"");
    place.wait_for(10);
    assert_clean(&postrider.terminate(DEADLINE));
    // Renamed, with lines that nobody has read.
    place.append("mail.log", &lines(10..20));
    place.rename("mail.log", "mail.log.1");
    place.append("mail.log", &lines(20..30));
    let postrider = place.start(paths, "");
    place.wait_for(30);
    assert_clean(&postrider.terminate(DEADLINE));
    // Renamed and compressed.
    place.append("mail.log", &lines(30..40));
    place.rename("mail.log", "mail.log-20261124");
    place.compress("mail.log-20261124");
    place.append("mail.log", &lines(40..50));
    let postrider = place.start(paths, "");
    place.wait_for(50);
    assert_clean(&postrider.terminate(DEADLINE));
    // Copied and cut.
    place.append("mail.log", &lines(50..60));
    place.copy_and_cut("mail.log", "mail.log.2");
    let postrider = place.start(paths, "");
    place.wait_for(60);
    place.append("mail.log", &lines(60..70));
    place.assert_each_once_in_order(70);
    assert_clean(&postrider.terminate(DEADLINE));
    let postrider = place.start(paths, "");
    place.append("mail.log", &lines(70..71));
    place.assert_each_once_in_order(71);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn renaming_under_load_loses_and_mixes_nothing() {
    // So many that the times of two files differ.
    const EACH: usize = 6000;
    let mut place = Place::new("rename");
    let postrider = place.start(&["mail.log"], "");
    let directory = place.directory.path().to_owned();
    let writer = thread::spawn(move || {
        let open = || File::options().create(true).append(true).open(directory.join("mail.log")).expect("a log");
        let mut log = open();
        for number in 0..4 * EACH {
            if number > 0 && number % EACH == 0 {
                let old = directory.join(format!("mail.log.{}", number / EACH));
                fs::rename(directory.join("mail.log"), old).expect("a rotation");
            }
            // The writer notices only later.
            if number % EACH == EACH / 10 {
                if number > EACH {
                    log.write_all(b"Nov 24 02:10:35 mx1 postfix/test[1]: without an end").expect("a line");
                }
                log = open();
            }
            log.write_all(line(number).as_bytes()).expect("a line");
        }
    });
    writer.join().expect("the writer");
    place.assert_each_once_in_order(4 * EACH);
    wait_until(DEADLINE, "the partial lines", || {
        place.output.read();
        place.output.records.iter().filter(|record| record.contains("without an end")).count() == 3
    });
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn copytruncate_is_followed_and_its_copy_not_read_again() {
    let mut place = Place::new("copytruncate");
    let postrider = place.start(&["mail.log*"], "");
    for round in 0..5 {
        place.append("mail.log", &lines(round * 1000..(round + 1) * 1000));
        // Not waited for in every round: what was not read yet is in the copy.
        if round % 2 == 0 {
            assert_eq!(place.wait_for_all((round + 1) * 1000), 0);
        }
        place.copy_and_cut("mail.log", &format!("mail.log.{round}"));
    }
    place.append("mail.log", &lines(5000..5001));
    place.wait_for(5001);
    assert_eq!(place.wait_for_all(5001), 0);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn backlog_is_read_once_and_files_that_appear_later_from_their_beginning() {
    let mut place = Place::new("backlog");
    let paths = &["*/mail.log*"];
    fs::create_dir(place.path("mx1")).expect("a directory");
    // Two members, as concatenated archives have.
    place.write_gzip("mx1/mail.log.2.gz", lines(0..500).as_bytes());
    let first = fs::read(place.path("mx1/mail.log.2.gz")).expect("an archive");
    place.write_gzip("mx1/mail.log.2.gz", lines(500..1000).as_bytes());
    let second = fs::read(place.path("mx1/mail.log.2.gz")).expect("an archive");
    fs::write(place.path("mx1/mail.log.2.gz"), [first, second].concat()).expect("an archive");
    place.append("mx1/mail.log.1", &lines(1000..2000));
    place.append("mx1/mail.log", &lines(2000..3000));
    for (age, name) in [(200, "mx1/mail.log.2.gz"), (100, "mx1/mail.log.1")] {
        let file = File::options().append(true).open(place.path(name)).expect("a log");
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("a time");
    }
    let postrider = place.start(paths, "start = \"beginning\"");
    place.assert_each_once_in_order(3000);
    // The usual rotation, every step of which gives known content another name.
    place.rename("mx1/mail.log.2.gz", "mx1/mail.log.3.gz");
    place.rename("mx1/mail.log.1", "mx1/mail.log.2");
    place.compress("mx1/mail.log.2");
    place.rename("mx1/mail.log", "mx1/mail.log.1");
    place.append("mx1/mail.log", &lines(3000..3500));
    place.assert_each_once_in_order(3500);
    fs::create_dir(place.path("mx2")).expect("a directory");
    place.append("mx2/mail.log", &lines(3500..4000));
    place.assert_each_once_in_order(4000);
    assert_clean(&postrider.terminate(DEADLINE));
    let postrider = place.start(paths, "");
    place.append("mx2/mail.log", &lines(4000..4001));
    place.assert_each_once_in_order(4001);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn rotation_torture() {
    const ROUND: usize = 4000;
    let mut place = Place::new("torture");
    let paths = &["mail.log"];
    let mut postrider = place.start(paths, "start = \"beginning\"");
    let mut duplicates = 0;
    for round in 0..5 {
        let (directory, first) = (place.directory.path().to_owned(), round * ROUND);
        let writer = thread::spawn(move || {
            for number in first..first + ROUND {
                if number % ROUND == ROUND / 3 {
                    let old = directory.join(format!("mail.log.{number}"));
                    fs::rename(directory.join("mail.log"), old).expect("a rotation");
                }
                let log = File::options().create(true).append(true).open(directory.join("mail.log"));
                log.expect("a log").write_all(line(number).as_bytes()).expect("a line");
            }
        });
        place.wait_for(first + 1 + round * 300);
        postrider.kill();
        if round % 2 == 0 {
            writer.join().expect("the writer");
            postrider.restart();
        } else {
            postrider.restart();
            writer.join().expect("the writer");
        }
        duplicates = place.wait_for_all(first + ROUND);
        // What is not in the copy is nowhere, so it is cut when all of it is read; the cursor may still be behind.
        place.copy_and_cut("mail.log", &format!("mail.log.{round}"));
    }
    place.append("mail.log", &line(5 * ROUND));
    duplicates = duplicates.max(place.wait_for_all(5 * ROUND + 1));
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    // Past the test harness, which would keep it to itself as long as the test passes.
    let lines = 5 * ROUND + 1;
    writeln!(io::stderr(), "5 kills, {lines} lines: missing 0, duplicates {duplicates}").expect("standard error");
    // A kill repeats at most what was written since the cursor was, and here that is never more than the round.
    assert!(duplicates <= 5 * ROUND, "{duplicates}");
}

#[test]
fn a_damaged_cursor_repeats_and_says_so() {
    let mut place = Place::new("damaged");
    let postrider = place.start(&["mail.log"], "");
    place.append("mail.log", &lines(0..100));
    place.wait_for(100);
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.stderr.contains("there is no cursor yet"), "{}", ended.stderr);
    let mut cursor = fs::read(place.cursor()).expect("the cursor");
    let middle = cursor.len() / 2;
    cursor[middle] ^= 1;
    fs::write(place.cursor(), cursor).expect("a damaged cursor");
    let postrider = place.start(&["mail.log"], "");
    place.wait_for(200);
    assert!(place.output.numbers[100..].iter().copied().eq(0..100));
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(ended.stderr.contains("the cursor is damaged") && ended.stderr.contains("checksum"), "{}", ended.stderr);
}

#[test]
fn what_a_sink_did_not_take_is_read_again() {
    let mut place = Place::new("refused");
    let config = place.config(&["mail.log"], "start = \"beginning\"");
    place.append("mail.log", &lines(0..100));
    let nobody = "[[sink.kafka]]\nbrokers = [\"127.0.0.1:1\"]\ntopic = \"mail\"\n";
    let postrider = Postrider::spawn(&format!("shutdown_timeout = \"2s\"\n{config}{nobody}"));
    place.assert_each_once_in_order(100);
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.stderr.contains("shutdown 100"), "{}", ended.stderr);
    let postrider = place.start(&["mail.log"], "");
    place.wait_for(200);
    assert!(place.output.numbers[100..].iter().copied().eq(0..100));
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn what_cannot_be_read_is_named_and_tried_again() {
    let mut place = Place::new("unreadable");
    place.append("secret.log", "");
    fs::set_permissions(place.path("secret.log"), fs::Permissions::from_mode(0o000)).expect("permissions");
    fs::create_dir(place.path("directory.log")).expect("a directory");
    let config = place.path("postrider.toml");
    fs::write(&config, place.config(&["secret.log", "directory.log", "mail.log"], "")).expect("a configuration");
    // Root reads everything, unless it may not.
    let caps = "--bounding-set=-dac_override,-dac_read_search";
    let arguments = [caps, "--", env!("CARGO_BIN_EXE_postrider"), "run", "-c", config.to_str().expect("UTF-8")];
    let mut postrider = Process::start("setpriv", &arguments, &place.path("stderr"));
    wait_until(DEADLINE, "the warnings", || {
        let log = postrider.log();
        ["secret.log", "directory.log"]
            .iter()
            .all(|name| log.lines().any(|line| line.contains(name) && line.contains("WARN") && line.contains("; ")))
    });
    // The others are read meanwhile.
    place.append("mail.log", &line(0));
    place.assert_each_once_in_order(1);
    fs::set_permissions(place.path("secret.log"), fs::Permissions::from_mode(0o600)).expect("permissions");
    place.append("secret.log", &line(1));
    place.assert_each_once_in_order(2);
    fs::remove_dir(place.path("directory.log")).expect("no directory any more");
    place.append("directory.log", &line(2));
    place.assert_each_once_in_order(3);
    assert!(postrider.terminate(DEADLINE).success());
    let warnings = postrider.log().lines().filter(|line| line.contains("WARN") && line.contains("secret.log")).count();
    assert!(warnings <= 4, "{}", postrider.log());
}

#[test]
fn two_processes_do_not_share_a_cursor() {
    let place = Place::new("shared");
    let first = place.start(&["mail.log"], "");
    let second = Postrider::spawn(&place.config(&["mail.log"], "")).ended(DEADLINE);
    assert!(!second.status.success());
    assert!(second.stderr.contains("another process of Postrider has it"), "{}", second.stderr);
    assert_clean(&first.terminate(DEADLINE));
}
