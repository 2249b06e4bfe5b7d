use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use flate2::read::GzDecoder;
use tempfile::TempDir;

use super::*;
use crate::config::{DeadLetterConfig, FileConfig};
use crate::ledger::{Reason, SinkLedger, SpoolCopy, SpoolReceipt};
use crate::receipt::{Outcome, Ticket, receipt};
use crate::sink::testing::{batch, batch_for, settled, wait_for};
use crate::template::Template;

/// A sink of one path, with nothing else.
pub(super) fn config() -> FileConfig {
    FileConfig {
        directory: std::path::PathBuf::new(),
        path: Template::parse("a.json").unwrap(),
        max_routes: 1000,
        mode: 0o640,
        rotate_size: None,
        rotate_age: None,
        rotate_keep: None,
        gzip: false,
        fsync: Fsync::Never,
        dead_letter: None,
        owner: true,
    }
}

/// A sink in a directory of its own.
struct Fixture {
    directory: TempDir,
    sink: File,
    ledger: Arc<SinkLedger>,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut FileConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = FileConfig { directory: directory.path().join("logs"), ..config() };
        change(&mut config);
        let sink = File::new(&config, "test").unwrap();
        Self { directory, sink, ledger: Arc::default() }
    }

    fn batch(&self, lines: &[(&str, &str)]) -> Batch {
        let lines: Vec<_> = lines.iter().map(|(route, line)| (*line, *route, "")).collect();
        batch(&self.ledger, 0, &lines)
    }

    /// Writes lines with their routes, and expects no trouble.
    fn write(&mut self, lines: &[(&str, &str)]) {
        let mut batches = VecDeque::from([self.batch(lines)]);
        self.sink.write(&mut batches).unwrap();
        assert!(batches.is_empty());
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("logs").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The rotated files of a path from the oldest, without what is still being compressed.
    fn rotated(&self, name: &str) -> Vec<String> {
        let prefix = format!("{name}.");
        let entries = fs::read_dir(self.path("")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(&prefix) && !name.contains(".tmp")).collect();
        // By age: as whole names, `….gz`, the first of a second, would stand behind `…-001.gz`.
        names.sort_by(|one, other| one.trim_end_matches(".gz").cmp(other.trim_end_matches(".gz")));
        names
    }
}

/// The text of a compressed file, unless it has just been removed.
fn gunzip(path: &Path) -> Option<String> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).ok()?).read_to_string(&mut text).ok()?;
    Some(text)
}

#[test]
fn each_route_has_its_file_with_its_lines_in_order() {
    for fsync in [Fsync::Never, Fsync::Always, Fsync::Every(Duration::from_secs(5))] {
        let mut fixture = Fixture::new(|config| config.fsync = fsync);
        let mut batches: VecDeque<_> = (0..20)
            .map(|round| {
                let lines: Vec<String> = (0..50).map(|line| format!("{round}/{line}")).collect();
                let routes = ["a.json", "b/c.json", "a.json", "a.json", "d.json"];
                let lines: Vec<_> =
                    lines.iter().zip(routes.iter().cycle()).map(|(line, route)| (*route, line.as_str())).collect();
                fixture.batch(&lines)
            })
            .collect();
        fixture.sink.write(&mut batches).unwrap();
        let expected = |of: &[usize]| {
            let lines = (0..20).flat_map(|round| (0..50).map(move |line| (round, line)));
            let lines = lines.filter(|(_, line)| of.contains(&(line % 5)));
            lines.fold(String::new(), |text, (round, line)| text + &format!("{round}/{line}\n"))
        };
        assert_eq!(fixture.read("a.json"), expected(&[0, 2, 3]));
        assert_eq!(fixture.read("b/c.json"), expected(&[1]));
        assert_eq!(fixture.read("d.json"), expected(&[4]));
        assert_eq!(settled(&fixture.ledger), (1000, 0));
        fixture.sink.finish(Instant::now()).unwrap();
    }
}

#[test]
fn lines_of_other_sinks_are_left_out() {
    let mut fixture = Fixture::new(|_| {});
    fixture.write(&[("a.json", "one"), ("a.json", "two"), ("a.json", "gap"), ("a.json", "three")]);
    assert_eq!(fixture.read("a.json"), "one\ntwo\nthree\n");
}

#[test]
fn a_refused_path_costs_its_own_records_only() {
    let mut fixture = Fixture::new(|_| {});
    let lines = [("a.json", "one"), ("../a.json", "two"), ("a.json", "three"), ("/tmp/a.json", "four")];
    fixture.write(&lines);
    assert_eq!(fixture.read("a.json"), "one\nthree\n");
    assert_eq!(settled(&fixture.ledger), (2, 2));
    assert_eq!(fixture.ledger.dropped.get(Reason::Rejected), 2);
    assert!(!fixture.directory.path().join("a.json").exists());
}

/// A sink in `/dev`, where `full` stands in for a full disk, and `pts/x` for what nobody, not even root, may make.
fn devices(change: impl FnOnce(&mut FileConfig)) -> Fixture {
    let fixture = Fixture::new(change);
    let logs = fixture.directory.path().join("logs");
    fs::remove_dir(&logs).unwrap();
    // The directory itself may be a symlink.
    std::os::unix::fs::symlink("/dev", &logs).unwrap();
    fixture
}

#[test]
fn a_full_device_keeps_its_batches_and_stops_no_other_file() {
    let mut fixture = devices(|_| {});
    let mut batches = VecDeque::from([
        fixture.batch(&[("null", "one")]),
        fixture.batch(&[("null", "two"), ("full", "three")]),
        fixture.batch(&[("null", "four")]),
    ]);
    fixture.sink.write(&mut batches).unwrap();
    assert_eq!((batches.len(), fixture.ledger.in_flight()), (0, 2), "one batch is inside");
    for _ in 0..3 {
        fixture.write(&[("null", "five")]);
        fixture.sink.troubles.try_now(Instant::now());
        fixture.sink.tick().unwrap();
        assert_eq!(fixture.ledger.in_flight(), 2, "a full disk is never refused");
    }
    fixture.sink.finish(Instant::now()).unwrap();
    assert_eq!(settled(&fixture.ledger), (6, 1));
    assert_eq!(fixture.ledger.dropped.get(Reason::Shutdown), 1);
}

#[test]
fn a_sink_that_can_write_nothing_says_so_and_refuses_nothing() {
    let mut fixture = devices(|_| {});
    fixture.sink.troubles.patience = Duration::ZERO;
    for route in ["full", "pts/a.json"] {
        let mut batches = VecDeque::from([fixture.batch(&[(route, "one")])]);
        for _ in 0..3 {
            let Err(Error::Retry(reason)) = fixture.sink.write(&mut batches) else { panic!("{route}") };
            assert!(reason.contains("logs/full") && reason.contains("No space left"), "{reason}");
        }
    }
    assert_eq!(fixture.ledger.in_flight(), 2);
    // Another route works: the one is the trouble of its route, and the other that of a disk.
    fixture.write(&[("null", "two")]);
    fixture.write(&[]);
    fixture.sink.troubles.try_now(Instant::now());
    fixture.sink.tick().unwrap();
    assert_eq!((fixture.ledger.in_flight(), fixture.ledger.dropped.get(Reason::Rejected)), (1, 1));
    fixture.sink.finish(Instant::now()).unwrap();
    assert_eq!(settled(&fixture.ledger), (1, 2));
}

fn letters_at(path: &Path) -> DeadLetterConfig {
    DeadLetterConfig { path: path.to_owned(), max_size: u64::MAX }
}

#[test]
fn a_full_dead_letter_file_drops_all_but_awaited_records() {
    let letters = tempfile::tempdir().unwrap();
    let path = letters.path().join("dead.jsonl");
    let config = DeadLetterConfig { path: path.clone(), max_size: 1 };
    let mut fixture = Fixture::new(|file| file.dead_letter = Some(config));
    fs::create_dir(fixture.path("a.json")).unwrap();
    fixture.write(&[("a.json", "one"), ("b.json", "two")]);
    assert_eq!(settled(&fixture.ledger), (1, 1));
    assert_eq!(fixture.ledger.dropped.get(Reason::DeadLetterFull), 1);
    let (receipt, mut outcome) = receipt();
    let awaited = batch_for(&fixture.ledger, 0, &[("three", "a.json", "")], Some(Arc::new(receipt)));
    let _ = fixture.sink.write(&mut VecDeque::from([awaited]));
    fixture.write(&[("b.json", "four")]);
    assert_eq!((fixture.ledger.in_flight(), outcome.try_recv().is_err()), (1, true), "it waits, and the others go on");
    let (given_up, _) = crate::receipt::receipt();
    let awaited = batch_for(&fixture.ledger, 0, &[("five", "a.json", "")], Some(Arc::new(given_up)));
    let _ = fixture.sink.write(&mut VecDeque::from([awaited]));
    fixture.sink.troubles.try_now(Instant::now());
    let _ = fixture.sink.tick();
    assert_eq!(fixture.ledger.in_flight(), 1, "what its sender has given up takes no room");
    assert_eq!(fixture.ledger.dropped.get(Reason::DeadLetterFull), 2);
    fixture.sink.finish(Instant::now()).unwrap();
    assert_eq!(outcome.try_recv(), Ok(Outcome::Failed));
    assert_eq!(settled(&fixture.ledger), (2, 3));
    assert_eq!(fixture.read("b.json"), "two\nfour\n");
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), "");
}

/// A sink that names its files after hosts, with a dead-letter file that is full.
fn without_room_for_letters(letters: &TempDir, change: impl FnOnce(&mut FileConfig)) -> Fixture {
    let config = DeadLetterConfig { path: letters.path().join("dead.jsonl"), max_size: 1 };
    Fixture::new(|file| {
        file.path = Template::parse("{hostname}.json").unwrap();
        file.dead_letter = Some(config);
        change(file);
    })
}

#[test]
fn records_beyond_a_full_dead_letter_file_go_to_the_common_file() {
    let letters = tempfile::tempdir().unwrap();
    let mut fixture = without_room_for_letters(&letters, |file| {
        file.max_routes = 3;
        file.fsync = Fsync::Every(Duration::from_secs(3600));
    });
    let [long, longer] = [200, 201].map(|length| "x".repeat(length) + &"y".repeat(100));
    // Those beyond max_routes have the common file too, and the order stays that of the records.
    fixture.write(&[("a.json", "one"), (&long, "two"), (&longer, "three"), ("b.json", "four"), (&long, "five")]);
    let (receipt, mut outcome) = receipt();
    let awaited = [("six", long.as_str(), ""), ("seven", "b.json", ""), ("eight", longer.as_str(), "")];
    let awaited = batch_for(&fixture.ledger, 0, &awaited, Some(Arc::new(receipt)));
    fixture.sink.write(&mut VecDeque::from([awaited])).unwrap();
    assert_eq!(outcome.try_recv(), Ok(Outcome::Delivered), "nobody waits for room");
    assert!(fixture.sink.files.values().all(|file| !file.dirty), "it is on the disk before that is said");
    assert_eq!(fixture.read("others.json"), "two\nthree\nfour\nfive\nsix\nseven\neight\n");
    assert_eq!(fixture.read("a.json"), "one\n");
    assert_eq!(settled(&fixture.ledger), (8, 0));
    assert_eq!(fixture.sink.moved_log.suppressed(), 3, "the first line told of two");
}

#[test]
fn without_a_common_file_a_full_one_holds_awaited_records() {
    let letters = tempfile::tempdir().unwrap();
    let mut fixture = without_room_for_letters(&letters, |_| {});
    fs::create_dir(fixture.path("others.json")).unwrap();
    let long = "x".repeat(300);
    let (receipt, mut outcome) = receipt();
    let awaited = batch_for(&fixture.ledger, 0, &[("one", &long, "")], Some(Arc::new(receipt)));
    let _ = fixture.sink.write(&mut VecDeque::from([awaited]));
    fixture.write(&[(&long, "two"), ("a.json", "three")]);
    fixture.write(&[("a.json", "four")]);
    assert_eq!((fixture.ledger.in_flight(), outcome.try_recv().is_err()), (1, true));
    fs::remove_dir(fixture.path("others.json")).unwrap();
    fixture.sink.troubles.try_now(Instant::now());
    fixture.sink.tick().unwrap();
    assert_eq!(outcome.try_recv(), Ok(Outcome::Delivered));
    assert!(fixture.read("others.json").starts_with("one\n"));
    fixture.sink.finish(Instant::now()).unwrap();
}

#[test]
fn a_forbidden_route_is_set_aside_and_later_refused() {
    let letters = tempfile::tempdir().unwrap();
    let path = letters.path().join("dead.jsonl");
    let mut fixture = devices(|config| config.dead_letter = Some(letters_at(&path)));
    let kept = || fs::read_to_string(&path).unwrap_or_default().lines().count();
    fixture.write(&[("pts/a.json", "one"), ("null", "two")]);
    fixture.write(&[("null", "three"), ("pts/a.json", "four")]);
    assert_eq!((fixture.ledger.in_flight(), kept()), (4, 0), "set aside");
    fixture.write(&[("null", "five")]);
    assert_eq!(fixture.ledger.delivered.load(std::sync::atomic::Ordering::Relaxed), 1);
    fixture.sink.troubles.patience = Duration::ZERO;
    fixture.sink.troubles.try_now(Instant::now());
    fixture.sink.tick().unwrap();
    assert_eq!((fixture.ledger.in_flight(), kept()), (0, 2));
    // From now on at once.
    fixture.write(&[("pts/a.json", "six"), ("null", "seven")]);
    assert_eq!((settled(&fixture.ledger), kept()), ((4, 3), 3));
    assert_eq!(fixture.ledger.dropped.get(Reason::Rejected), 3);
}

#[test]
fn a_stop_keeps_what_may_not_be_written_among_the_dead_letters() {
    let letters = tempfile::tempdir().unwrap();
    for dead_letter in [Some(letters_at(&letters.path().join("dead.jsonl"))), None] {
        let keeps = dead_letter.is_some();
        let mut fixture = devices(|config| config.dead_letter = dead_letter);
        fixture.write(&[("pts/a.json", "one"), ("null", "two")]);
        let begun = Instant::now();
        fixture.sink.finish(begun + Duration::from_secs(60)).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30), "more time would not help it");
        assert_eq!(settled(&fixture.ledger), (1, 1));
        let reason = if keeps { Reason::Rejected } else { Reason::Shutdown };
        assert_eq!(fixture.ledger.dropped.get(reason), 1);
    }
}

#[test]
fn lines_of_a_route_keep_their_order_while_it_is_aside() {
    let mut fixture = Fixture::new(|_| {});
    let other = path::Root::new(&FileConfig { directory: fixture.path(""), ..config() }).unwrap();
    let owned = other.open("a.json").unwrap();
    for n in 0..5 {
        fixture.write(&[("b.json", &format!("b{n}")), ("a.json", &format!("a{n}"))]);
    }
    assert_eq!((fixture.read("a.json"), fixture.ledger.in_flight()), (String::new(), 10));
    drop(owned);
    // New lines do not overtake those that wait.
    fixture.write(&[("a.json", "a5")]);
    assert_eq!(fixture.read("a.json"), "");
    fixture.sink.reopen().unwrap();
    fixture.write(&[("a.json", "a6")]);
    assert_eq!(fixture.read("a.json"), "a0\na1\na2\na3\na4\na5\na6\n");
    assert_eq!(fixture.read("b.json"), "b0\nb1\nb2\nb3\nb4\n");
    assert_eq!(settled(&fixture.ledger), (12, 0));
}

#[test]
fn a_name_forges_no_rotated_file() {
    let mut fixture = Fixture::new(|config| {
        config.path = Template::parse("{hostname}").unwrap();
        config.rotate_size = Some(10);
        config.rotate_keep = Some(3);
    });
    let forged = ["mx1.99991231-235959-999", "mx1.20991231-235959", "mx1.20991231-235958.gz", "mx1.20991231-235957"];
    for name in forged {
        fixture.write(&[(name, "forged")]);
    }
    for n in 0..6 {
        fixture.write(&[("mx1", &format!("{n:0>8}"))]);
    }
    wait_for("the housekeeper", || fixture.rotated("mx1").len() == 3);
    let texts: Vec<String> = fixture.rotated("mx1").iter().map(|name| fixture.read(name)).collect();
    assert_eq!(
        texts,
        ["00000002\n", "00000003\n", "00000004\n"],
        "the newest real ones stay, and the rotation goes on"
    );
    for name in forged {
        assert_eq!(fixture.read(&name.replacen('.', "_", 1)), "forged\n");
    }
}

#[test]
fn a_clock_that_was_in_the_future_does_not_stop_the_rotation() {
    let mut fixture = Fixture::new(|config| config.rotate_size = Some(10));
    fs::write(fixture.path("a.json.20991231-235959-998"), "old\n").unwrap();
    for n in 0..4 {
        fixture.write(&[("a.json", &format!("{n:0>8}"))]);
    }
    let names = fixture.rotated("a.json");
    assert_eq!(names[1..], ["a.json.20991231-235959-999", "a.json.21000101-000000", "a.json.21000101-000000-001"]);
    assert_eq!(fixture.read(&names[3]), "00000002\n");
}

#[test]
fn what_failed_is_written_once_when_it_works_again() {
    let mut fixture = Fixture::new(|config| config.fsync = Fsync::Always);
    // A directory that cannot be made, because a file has its name: refused. One without permission: tried again.
    fs::create_dir(fixture.path("host")).unwrap();
    let closed = fs::Permissions::from_mode(0o000);
    fs::set_permissions(fixture.path("host"), closed).unwrap();
    let mut batches = VecDeque::from([
        fixture.batch(&[("a.json", "one"), ("host/a.json", "two")]),
        fixture.batch(&[("a.json", "three")]),
    ]);
    let failed = fixture.sink.write(&mut batches).is_err();
    // To the superuser nothing is closed.
    assert!(failed || fs::read_dir(fixture.path("host")).is_ok());
    fs::set_permissions(fixture.path("host"), fs::Permissions::from_mode(0o750)).unwrap();
    batches.push_back(fixture.batch(&[("a.json", "four"), ("host/a.json", "five")]));
    fixture.sink.write(&mut batches).unwrap();
    assert_eq!(fixture.read("a.json"), "one\nthree\nfour\n");
    assert_eq!(fixture.read("host/a.json"), "two\nfive\n");
    assert_eq!(settled(&fixture.ledger), (5, 0));
}

#[test]
fn open_files_are_bounded() {
    let mut fixture = Fixture::new(|config| config.fsync = Fsync::Every(Duration::from_secs(60)));
    fixture.sink.open_files = 8;
    for round in 0..3 {
        for host in 0..20 {
            fixture.write(&[(&format!("{host}.json"), &format!("{round}"))]);
            assert!(fixture.sink.files.len() <= 8);
        }
    }
    for host in 0..20 {
        assert_eq!(fixture.read(&format!("{host}.json")), "0\n1\n2\n");
    }
}

#[test]
fn rotation_by_size_keeps_lines_whole_and_files_below_the_limit() {
    let mut fixture = Fixture::new(|config| config.rotate_size = Some(100));
    let lines: Vec<String> = (0..50).map(|line| format!("{line:>29}")).collect();
    for part in lines.chunks(7) {
        let lines: Vec<_> = part.iter().map(|line| ("a.json", line.as_str())).collect();
        fixture.write(&lines);
    }
    let mut names = fixture.rotated("a.json");
    assert_eq!(names.len(), 16, "three lines a file");
    names.push("a.json".to_owned());
    let mut all = String::new();
    for name in names {
        let text = fixture.read(&name);
        assert!(text.len() <= 100 && text.ends_with('\n'));
        all.push_str(&text);
    }
    assert_eq!(all, lines.join("\n") + "\n");
}

#[test]
fn a_line_over_the_limit_has_a_file_of_its_own() {
    let mut fixture = Fixture::new(|config| config.rotate_size = Some(10));
    let long = "x".repeat(50);
    fixture.write(&[("a.json", "one"), ("a.json", &long), ("a.json", "two")]);
    let names = fixture.rotated("a.json");
    let texts: Vec<_> = names.iter().map(|name| fixture.read(name)).collect();
    assert_eq!(texts, ["one\n".to_owned(), format!("{long}\n")]);
    assert_eq!(fixture.read("a.json"), "two\n");
}

#[test]
fn the_newest_rotated_files_stay_and_are_compressed() {
    let mut fixture = Fixture::new(|config| {
        config.rotate_size = Some(1000);
        config.rotate_keep = Some(3);
        config.gzip = true;
        config.mode = 0o604;
        config.fsync = Fsync::Always;
    });
    let text = |number: usize| format!("{number:0>600}");
    for number in 0..10 {
        fixture.write(&[("a.json", &text(number))]);
    }
    // A list that is read while files come and go may be wrong, and is right in the end.
    let expected = [6, 7, 8].map(|number| Some(text(number) + "\n"));
    let mut names = Vec::new();
    wait_for("the housekeeper", || {
        names = fixture.rotated("a.json");
        names.len() == 3 && names.iter().map(|name| gunzip(&fixture.path(name))).eq(expected.iter().cloned())
    });
    for name in names {
        assert_eq!(fs::metadata(fixture.path(&name)).unwrap().mode() & 0o777, 0o604);
    }
}

#[test]
fn rotation_by_age_needs_no_new_record() {
    let mut fixture = Fixture::new(|config| config.rotate_age = Some(Duration::from_millis(50)));
    fixture.write(&[("a.json", "one")]);
    wait_for("the age", || {
        fixture.sink.tick().unwrap();
        !fixture.rotated("a.json").is_empty()
    });
    assert!(!fixture.path("a.json").exists());
    fixture.write(&[("a.json", "two")]);
    assert_eq!(fixture.read("a.json"), "two\n");
    assert_eq!(fixture.read(&fixture.rotated("a.json")[0]), "one\n");
}

#[test]
fn age_counts_over_a_restart() {
    let mut fixture = Fixture::new(|config| config.rotate_age = Some(Duration::from_millis(50)));
    fixture.write(&[("a.json", "one")]);
    let born = fixture.sink.files["a.json"].born;
    fixture.sink.finish(Instant::now()).unwrap();
    wait_for("the age", || SystemTime::now().duration_since(born).unwrap() > Duration::from_millis(50));
    fixture.write(&[("a.json", "two")]);
    assert_eq!(fixture.read("a.json"), "two\n");
    assert_eq!(fixture.rotated("a.json").len(), 1);
}

#[test]
fn a_file_that_another_program_renamed_is_opened_anew() {
    for signal in [true, false] {
        let mut fixture = Fixture::new(|_| {});
        fixture.write(&[("a.json", "one")]);
        fs::rename(fixture.path("a.json"), fixture.path("a.json.1")).unwrap();
        fixture.write(&[("a.json", "two")]);
        if signal {
            fixture.sink.reopen().unwrap();
        } else {
            fixture.sink.tick().unwrap();
        }
        fixture.write(&[("a.json", "three")]);
        assert_eq!(fixture.read("a.json.1"), "one\ntwo\n");
        assert_eq!(fixture.read("a.json"), "three\n");
    }
}

#[test]
fn a_file_whose_path_cannot_be_looked_at_now_stays_open() {
    let mut fixture = Fixture::new(|_| {});
    fixture.write(&[("a.json", "one")]);
    // The kernel answers for such a name neither that it is there nor that it is not.
    let name = "x".repeat(300);
    let file = fixture.sink.files.remove("a.json").unwrap();
    fixture.sink.files.insert(name.clone(), file);
    fixture.sink.tick().unwrap();
    assert!(fixture.sink.files.contains_key(&name));
    assert!(!fixture.sink.rotate(&name).unwrap(), "it is written on");
    assert!(fixture.sink.files.contains_key(&name));
}

#[test]
fn rotations_that_fail_are_logged_once_for_many() {
    let mut fixture = Fixture::new(|config| config.rotate_size = Some(10));
    for name in ["a.json", "b.json", "c.json"] {
        // There is no later name.
        fs::write(fixture.path(&format!("{name}.99991231-235959-999")), "").unwrap();
        fixture.write(&[(name, "0123456"), (name, "0123456")]);
        assert_eq!(fixture.read(name), "0123456\n".repeat(2));
    }
    assert_eq!(fixture.sink.rotation_log.suppressed(), 2);
}

#[test]
fn a_directory_that_was_removed_is_made_again() {
    let mut fixture = Fixture::new(|config| config.fsync = Fsync::Always);
    fixture.write(&[("host/a.json", "one")]);
    fs::remove_dir_all(fixture.path("")).unwrap();
    fixture.sink.tick().unwrap();
    fixture.write(&[("host/a.json", "two")]);
    assert_eq!(fixture.read("host/a.json"), "two\n");
}

#[test]
fn a_file_that_another_program_cut_grows_on() {
    let mut fixture = Fixture::new(|config| config.rotate_size = Some(20));
    fixture.write(&[("a.json", "0123456789")]);
    fs::OpenOptions::new().write(true).truncate(true).open(fixture.path("a.json")).unwrap();
    fixture.sink.tick().unwrap();
    fixture.write(&[("a.json", "after it")]);
    assert_eq!(fixture.read("a.json"), "after it\n");
    assert!(fixture.rotated("a.json").is_empty());
}

#[test]
fn a_rotation_that_is_not_possible_costs_nothing() {
    let mut fixture = Fixture::new(|config| config.rotate_size = Some(10));
    fixture.write(&[("a.json", "one")]);
    fs::set_permissions(fixture.path(""), fs::Permissions::from_mode(0o550)).unwrap();
    if fs::write(fixture.path("probe"), "").is_ok() {
        return; // The superuser may rename everything.
    }
    fixture.write(&[("a.json", "two"), ("a.json", "three"), ("a.json", "four")]);
    assert_eq!(fixture.read("a.json"), "one\ntwo\nthree\nfour\n");
    fs::set_permissions(fixture.path(""), fs::Permissions::from_mode(0o750)).unwrap();
}

#[test]
fn an_awaited_record_is_delivered_once_it_is_on_the_disk() {
    let mut fixture = Fixture::new(|config| config.fsync = Fsync::Every(Duration::from_secs(3600)));
    fixture.write(&[("a.json", "one")]);
    assert!(fixture.sink.files["a.json"].dirty, "nobody waits for this one");
    let (receipt, mut outcome) = receipt();
    let lines = [("two", "a.json", ""), ("three", "b.json", "")];
    let awaited = batch_for(&fixture.ledger, 0, &lines, Some(Arc::new(receipt)));
    let mut batches = VecDeque::from([awaited, fixture.batch(&[("c.json", "four")])]);
    assert!(outcome.try_recv().is_err());
    fixture.sink.write(&mut batches).unwrap();
    assert_eq!(outcome.try_recv(), Ok(Outcome::Delivered));
    assert!(fixture.sink.files.values().all(|file| !file.dirty), "one sync for all of the call");
    assert_eq!(settled(&fixture.ledger), (4, 0));
}

#[test]
fn a_flood_of_names_makes_max_routes_files_and_loses_nothing() {
    let mut fixture = Fixture::new(|config| {
        config.path = Template::parse("{hostname}/{date}.json").unwrap();
        config.max_routes = 3;
    });
    for round in 0..2 {
        let names: Vec<String> = (0..500).map(|n| format!("host{n}/2026-11-24.json")).collect();
        let lines: Vec<_> = names.iter().map(|name| (name.as_str(), if round == 0 { "one" } else { "two" })).collect();
        fixture.write(&lines);
    }
    let mut directories: Vec<_> = fs::read_dir(fixture.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    directories.sort();
    assert_eq!(directories, ["host0", "host1", "host2", "others"]);
    assert_eq!(fixture.read("host1/2026-11-24.json"), "one\ntwo\n");
    assert_eq!(fixture.read("others/others.json"), "one\n".repeat(497) + &"two\n".repeat(497));
    assert_eq!(settled(&fixture.ledger), (1000, 0));
}

#[test]
fn what_a_spool_keeps_is_not_told_as_dropped_at_the_stop() {
    let fixture = Fixture::new(|_| {});
    let ticket = Ticket { number: 0, outcomes: Arc::default(), waiter: thread::current() };
    let mut spooled = fixture.batch(&[("full", "one"), ("full", "two")]);
    assert!(spooled.hand_on(Arc::new(SpoolReceipt::new(ticket, SpoolCopy::Disk))).is_none());
    let work = Work::new(VecDeque::from([spooled, fixture.batch(&[("full", "three")])]));
    assert_eq!(work.give_up(), 1);
}
