//! What of a followed file is read again, and what is where its cursor has passed, when Postrider dies, a disk is full,
//! fails or gives back damage, and a destination is away or refuses?

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::promises::DEADLINE;
use crate::promises::spool::{self, Places};
use crate::promises::ways::PIPE;
use testkit::messages::{Seen, text};
use testkit::output::Output;
use testkit::postrider::{Ended, assert_clean};
use testkit::scratch;
use testkit::small_disk::SmallDisk;
use testkit::status::number;
use testkit::unread::Unread;
use testkit::wait::wait_until;

/// The lines of a file, fewer than a read takes.
const SOME: usize = 20;
/// As many as are written until a run ends by itself.
const MOST: usize = 400;
/// As many as have a place, and as many that have none.
const SENT: usize = 60;

/// A followed file, its cursor and the spool of the sink.
pub(crate) struct Followed(TempDir);

impl Followed {
    pub(crate) fn new() -> Self {
        Self(scratch::directory("promises-followed"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn source(&self) -> String {
        let directory = self.path().display();
        format!(
            "shutdown_timeout = \"1s\"\n[[source.file]]\npaths = [\"{directory}/mail.log\"]\nstart = \"beginning\"\n\
             state = \"{directory}/state\"\n"
        )
    }

    fn config(&self, mode: &str) -> String {
        let (source, keys) = (self.source(), spool::keys(self.path(), "stdout", mode));
        format!("{source}[[sink.stdout]]\nqueue_size = \"64KiB\"\n{keys}")
    }

    pub(crate) fn spawn(&self, config: &str) -> Unread {
        Unread::spawn(config, &self.path().join("stderr"))
    }

    fn spawn_with(&self, config: &str, variable: (&str, &str)) -> Unread {
        Unread::spawn_with(config, &self.path().join("stderr"), variable)
    }

    pub(crate) fn write(&self, numbers: Range<usize>) {
        self.append(&numbers.map(line).collect::<String>());
    }

    fn append(&self, lines: &str) {
        let mut file = File::options().create(true).append(true).open(self.path().join("mail.log")).expect("a file");
        file.write_all(lines.as_bytes()).expect("room");
    }

    /// Returns the number of lines before the cursor on the disk.
    pub(crate) fn passed(&self) -> usize {
        let cursor = fs::read_to_string(self.path().join("state/file.cursor")).unwrap_or_default();
        let offset = cursor.lines().nth(1).and_then(|entry| entry.split(' ').nth(4)?.parse().ok()).unwrap_or_default();
        let (mut passed, mut end) = (0, line(0).len());
        while end <= offset {
            passed += 1;
            end += line(passed).len();
        }
        passed
    }

    fn places(&self) -> Places {
        spool::places(self.path())
    }
}

fn line(number: usize) -> String {
    format!("Nov 24 06:00:00 mx1 test[1]: {}\n", text(number))
}

/// A run whose sink takes nothing, and which ends by itself as `variable` has it end. Gives its end, and how much was
/// written.
fn dies(place: &Followed, mode: &str, output: &Output, variable: (&str, &str)) -> (Ended, usize) {
    let mut postrider = place.spawn_with(&place.config(mode), variable);
    let reader = output.read(postrider.output());
    let mut written = 0;
    while written < MOST && !postrider.has_ended() {
        let end = if written == 0 { PIPE } else { written + SOME };
        place.write(written..end);
        written = end;
        let in_spool = || place.places().contains_key(&(end - 1));
        wait_until(DEADLINE, "the spool, or the end", || postrider.has_ended() || in_spool());
    }
    // A failing disk ends it in its own time.
    wait_until(DEADLINE, "the end", || postrider.has_ended());
    output.open(true);
    reader.join().expect("the reader");
    (postrider.ended(DEADLINE), written)
}

/// Asserts that every line before the cursor is delivered or in the spool.
#[track_caller]
fn has_not_led(place: &Followed, output: &Output) {
    let kept: BTreeSet<usize> = place.places().into_keys().collect();
    let there = output.seen(|seen| &seen.numbers | &kept);
    let lost: Vec<usize> = (0..place.passed()).filter(|number| !there.contains(number)).collect();
    assert!(lost.is_empty(), "the cursor has passed {lost:?}");
}

/// The next run gives every line that was `written`.
fn recovers(place: &Followed, mode: &str, output: &Output, written: usize) -> Ended {
    let mut second = place.spawn(&place.config(mode));
    let reader = output.read(second.output());
    place.write(written..written + SOME);
    wait_until(DEADLINE, "every line", || output.seen(|seen| seen.numbers.len() >= written + SOME));
    let ended = second.terminate(DEADLINE);
    assert_clean(&ended);
    reader.join().expect("the reader");
    output.seen(|seen| seen.judge(mode, &(0..written + SOME).collect(), written + SOME, 0));
    assert_eq!(place.passed(), written + SOME, "{}", ended.stderr);
    ended
}

#[test]
fn every_line_arrives_if_the_process_dies_as_the_spool_takes_it() {
    let mut repeated = 0;
    for (mode, at) in [
        ("always", "after-append:150"),
        ("always", "before-receipts:3"),
        ("always", "after-receipts:4"),
        ("always", "before-cursor-rename:2"),
        ("overflow", "after-append:150"),
        ("overflow", "before-receipts:2"),
        ("overflow", "after-receipts:2"),
        ("overflow", "after-cursor-rename:2"),
    ] {
        let (place, output) = (Followed::new(), Output::default());
        let (ended, written) = dies(&place, mode, &output, ("POSTRIDER_CRASH_AT", at));
        assert_eq!(
            ended.status.signal(),
            Some(Signal::SIGKILL as i32),
            "{mode}, {at}: {}\n{}",
            ended.status,
            ended.stderr
        );
        has_not_led(&place, &output);
        recovers(&place, mode, &output, written);
        repeated += output.seen(|seen| seen.records() - seen.numbers.len());
    }
    assert!(repeated > 0, "nothing came again, so nothing was on its way when the process died");
}

/// The crash of a machine: the last file of the spool ends somewhere behind what its cursor was told of.
#[test]
fn every_line_is_there_after_a_crash_of_the_machine() {
    for _ in 0..10 {
        let (place, output) = (Followed::new(), Output::default());
        let (_, written) = dies(&place, "always", &output, ("POSTRIDER_CRASH_AT", "after-append:150"));
        let unsure: Places = place.places().split_off(&place.passed());
        // The cursor may just have passed all of it.
        let Some((segment, at)) = unsure.values().nth(unsure.len() / 2) else { continue };
        File::options().write(true).open(segment).and_then(|file| file.set_len(*at as u64 + 500)).expect("a cut");
        recovers(&place, "always", &output, written);
        return;
    }
    panic!("the cursor has always passed everything");
}

#[test]
fn a_failing_disk_ends_the_program_and_the_cursor_stays() {
    for mode in ["always", "overflow"] {
        let (place, output) = (Followed::new(), Output::default());
        let (ended, written) = dies(&place, mode, &output, ("POSTRIDER_FAIL_AT", "spool-fdatasync:4"));
        assert_eq!(ended.status.code(), Some(74), "{mode}: {}\n{}", ended.status, ended.stderr);
        assert!(ended.stderr.contains("cannot sync"), "{}", ended.stderr);
        has_not_led(&place, &output);
        recovers(&place, mode, &output, written);
    }
}

#[test]
fn a_full_disk_keeps_the_cursor_waiting_and_loses_nothing() {
    const LINES: usize = 8000;
    let (place, output) = (Followed::new(), Output::default());
    place.write(0..LINES);
    let config = place.config("overflow");
    let mut disk = SmallDisk::spawn(&spool::path(place.path()), "3M", &config, &place.path().join("stderr"));
    let reader = output.read(disk.postrider.output());
    wait_until(DEADLINE, "the reason", || disk.postrider.log().contains("no space left on its file system"));
    let status = disk.postrider.status();
    status.wait_held_up(DEADLINE, "file", "stdout", || place.passed());
    let (passed, status) = (place.passed(), status.now());
    let sink = status.sink("stdout");
    let kept = (sink.count("delivered") + number(&sink["spool"], "records")) as usize;
    assert!(passed <= kept, "the cursor has passed {passed} lines, and {kept} are delivered or on the disk");
    assert!(kept < LINES, "all was taken, though nothing can take it");
    output.open(true);
    wait_until(DEADLINE, "all", || output.seen(|seen| seen.records() >= LINES));
    let ended = disk.postrider.terminate(DEADLINE);
    assert_clean(&ended);
    reader.join().expect("the reader");
    output.seen(|seen| assert!(seen.order.iter().copied().eq(0..LINES), "gaps, repetitions or another order"));
    assert_eq!(place.passed(), LINES, "{}", ended.stderr);
}

/// Writes lines while the sink takes nothing, until the cursor has passed them all, and kills Postrider.
fn is_read_on(place: &Followed, output: &Output, mode: &str) {
    let mut first = place.spawn(&place.config(mode));
    let reader = output.read(first.output());
    place.write(0..MOST);
    wait_until(DEADLINE, "the cursor", || place.passed() == MOST);
    assert!(output.seen(Seen::records) < PIPE, "the sink is blocked");
    first.signal(Signal::SIGKILL);
    first.ended(DEADLINE);
    output.open(true);
    reader.join().expect("the reader");
}

#[test]
fn it_is_read_on_into_the_spool_while_a_sink_takes_nothing() {
    for mode in ["always", "overflow"] {
        let (place, output) = (Followed::new(), Output::default());
        is_read_on(&place, &output, mode);
        let ended = recovers(&place, mode, &output, MOST);
        assert!(ended.sink("stdout").count("recovered") as usize >= MOST - PIPE, "{mode}: {}", ended.stderr);
        assert_eq!(ended.source("file").count("received"), SOME as u64, "{mode}: the rest came from the spool");
    }
}

#[test]
fn damage_in_the_spool_takes_one_line() {
    let (place, output) = (Followed::new(), Output::default());
    is_read_on(&place, &output, "always");
    let (victim, (segment, at)) = place.places().into_iter().nth(MOST / 2).expect("a record");
    let file = File::options().write(true).open(segment).expect("a segment");
    file.write_all_at(b"XXXX", at as u64 + 500).expect("room");
    let mut second = place.spawn(&place.config("always"));
    let reader = output.read(second.output());
    wait_until(DEADLINE, "the others", || output.seen(|seen| seen.numbers.len() == MOST - 1));
    let ended = second.terminate(DEADLINE);
    assert_clean(&ended);
    reader.join().expect("the reader");
    output.seen(|seen| assert!(!seen.numbers.contains(&victim), "{victim} is whole"));
    assert!(
        ended.stderr.contains(" dropped=1 dropped_damaged=1 ") && ended.stderr.contains("damage has destroyed records"),
        "{}",
        ended.stderr
    );
}

/// A sink for which every other line has a path that is a directory.
fn refusing(place: &Followed, key: &str) -> String {
    let out = place.path().join("out");
    fs::create_dir_all(out.join("mx1.json")).expect("a directory in the way");
    format!("{}[[sink.file]]\npath = \"{}\"\n{key}", place.source(), out.join("{hostname}.json").display())
}

/// Lines for it. The names of the hosts are as long as each other.
fn lines(numbers: Range<usize>) -> String {
    numbers.map(|number| line(number).replacen(" mx1 ", &format!(" mx{} ", number % 2 + 1), 1)).collect()
}

/// The cursor passes what is refused too, and nothing of it comes again.
fn refuses(place: &Followed, key: &str) -> Ended {
    let config = refusing(place, key);
    place.append(&lines(0..SENT));
    let postrider = place.spawn(&config);
    wait_until(DEADLINE, "the cursor", || place.passed() == SENT);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(ended.stderr.contains(&format!(" dropped_rejected={} ", SENT / 2)), "{}", ended.stderr);

    let again = place.spawn(&config);
    place.append(&lines(SENT..SENT + SOME));
    wait_until(DEADLINE, "the cursor", || place.passed() == SENT + SOME);
    let again = again.terminate(DEADLINE);
    assert_eq!(again.source("file").count("received"), SOME as u64, "{}", again.stderr);
    let taken = fs::read_to_string(place.path().join("out/mx2.json")).expect("the others");
    assert_eq!(numbers(taken.lines()), (1..SENT + SOME).step_by(2).collect::<Vec<_>>());
    ended
}

fn numbers<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<usize> {
    let mut seen = Seen::default();
    lines.for_each(|line| seen.note(line));
    seen.judge("a file", &seen.numbers, SENT + SOME, 0);
    seen.order
}

/// The refused lines of a dead-letter file.
fn letters(path: &Path) -> Vec<usize> {
    let letters = fs::read_to_string(path).unwrap_or_default();
    let record = |letter: &str| serde_json::from_str::<Value>(letter).expect("JSON")["record"].to_string();
    let records: Vec<String> = letters.lines().map(record).collect();
    numbers(records.iter().map(String::as_str))
}

#[test]
fn the_cursor_passes_refused_lines_in_the_dead_letter_file() {
    let place = Followed::new();
    let path = place.path().join("dead.jsonl");
    refuses(&place, &format!("dead_letter = \"{}\"\n", path.display()));
    assert_eq!(letters(&path), (0..SENT + SOME).step_by(2).collect::<Vec<_>>());
}

/// The program ends, and the next run reads the lines again.
#[test]
fn a_dead_letter_file_that_cannot_be_synced_holds_the_cursor() {
    let place = Followed::new();
    let path = place.path().join("dead.jsonl");
    let config = refusing(&place, &format!("dead_letter = \"{}\"\n", path.display()));
    place.append(&lines(0..SENT));
    let ended = place.spawn_with(&config, ("POSTRIDER_FAIL_AT", "dead-letter-fdatasync:1")).ended(DEADLINE);
    assert_eq!(ended.status.code(), Some(74), "{}\n{}", ended.status, ended.stderr);
    assert!(ended.stderr.contains("cannot sync") && ended.stderr.contains("dead.jsonl"), "{}", ended.stderr);
    assert_eq!(place.passed(), 0, "the cursor has passed what may not be on the disk");
    let second = place.spawn(&config);
    wait_until(DEADLINE, "the cursor", || place.passed() == SENT);
    assert_clean(&second.terminate(DEADLINE));
    let refused: BTreeSet<usize> = letters(&path).into_iter().collect();
    assert_eq!(refused, (0..SENT).step_by(2).collect());
}

/// The log says that they are gone.
#[test]
fn the_cursor_passes_refused_lines_without_a_dead_letter_file() {
    let ended = refuses(&Followed::new(), "");
    assert!(
        ended.stderr.contains("refused permanently") && ended.stderr.contains("the record is dropped"),
        "{}",
        ended.stderr
    );
}
