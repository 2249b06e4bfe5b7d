//! Renamed, copied and cut, deleted: is every line read once, whatever becomes of its file?

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::follow::place::{DEADLINE, Place, line, lines, open_files, said_bytes};
use testkit::postrider::{Postrider, assert_clean};
use testkit::wait::wait_until;

/// When it was last written to.
fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).and_then(|metadata| metadata.modified()).expect("the time of a log")
}

#[test]
fn renaming_under_load_loses_and_mixes_nothing() {
    const EACH: usize = 1000;
    const ROTATIONS: usize = 12;
    let mut place = Place::new("rename");
    let postrider = place.start(&["mail.log"], "");
    let directory = place.directory.path().to_owned();
    let writer = thread::spawn(move || {
        let path = directory.join("mail.log");
        let open = || File::options().create(true).append(true).open(&path).expect("a log");
        let mut log = open();
        let (mut number, mut last) = (0, SystemTime::UNIX_EPOCH);
        let mut write = |log: &mut File| {
            log.write_all(line(number).as_bytes()).expect("a line");
            number += 1;
        };
        for rotation in 1..=ROTATIONS {
            (0..EACH).for_each(|_| write(&mut log));
            // Two files may come and go between two looks. Their times tell which was written first, in ticks of the
            // kernel.
            while modified(&path) <= last {
                write(&mut log);
            }
            let old = directory.join(format!("mail.log.{rotation}"));
            fs::rename(&path, &old).expect("a rotation");
            // The writer notices only later.
            (0..EACH / 10).for_each(|_| write(&mut log));
            log.write_all(b"Nov 24 02:10:35 mx1 postfix/test[1]: without an end").expect("a line");
            last = modified(&old);
            log = open();
        }
        write(&mut log);
        number
    });
    let count = writer.join().expect("the writer");
    place.assert_each_once_in_order(count);
    wait_until(DEADLINE, "the partial lines", || {
        place.output.read();
        place.output.records.iter().filter(|record| record.contains("without an end")).count() == ROTATIONS
    });
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn copytruncate_is_followed_and_its_copy_not_read_again() {
    let mut place = Place::new("copytruncate");
    let postrider = place.start(&["mail.log*"], "");
    for round in 0..5 {
        place.append("mail.log", &lines(round * 1000..(round + 1) * 1000));
        // The test waits in every second round only: lines that were not read yet are in the copy.
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
fn rotation_torture() {
    const ROUND: usize = 4000;
    const ROUNDS: usize = 6;
    /// Number of lines of each round that are written when it is certain that nobody reads.
    const LAST: usize = 100;
    let mut place = Place::new("torture");
    let paths = &["mail.log"];
    let mut postrider = place.start(paths, "start = \"beginning\"");
    let mut unread = 0;
    for round in 0..ROUNDS {
        let (directory, first) = (place.directory.path().to_owned(), round * ROUND);
        let writer = thread::spawn(move || {
            for number in first..first + ROUND - LAST {
                if number % ROUND == ROUND / 3 {
                    let old = directory.join(format!("mail.log.{number}"));
                    fs::rename(directory.join("mail.log"), old).expect("a rotation");
                }
                let log = File::options().create(true).append(true).open(directory.join("mail.log"));
                log.expect("a log").write_all(line(number).as_bytes()).expect("a line");
            }
        });
        place.wait_for_number(first + round * 300);
        let pid = postrider.pid();
        postrider.kill();
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it is killed");
        let copy = format!("mail.log.{round}");
        let last = lines(first + ROUND - LAST..first + ROUND);
        if round % 2 == 0 {
            writer.join().expect("the writer");
            place.append("mail.log", &last);
            unread += first + ROUND - place.output.read().iter().max().map_or(0, |last| last + 1);
            // While nobody reads: what was not read is in the copy alone.
            place.copy_and_cut("mail.log", &copy);
            postrider.restart();
            place.wait_for_all(first + ROUND);
        } else {
            postrider.restart();
            writer.join().expect("the writer");
            place.append("mail.log", &last);
            place.wait_for_all(first + ROUND);
            // The cursor may be behind; the next kill comes soon.
            place.copy_and_cut("mail.log", &copy);
        }
        let repeated: usize = place.output.repeated().map(|number| line(number).len()).sum();
        // The sum over all rounds so far: the repeated lines of one may come in the next.
        let said: usize = said_bytes(&postrider.stderr()).iter().sum();
        assert!(repeated <= said, "round {round}: {repeated} bytes came again, {said} were said to");
    }
    let lines = ROUNDS * ROUND + 1;
    place.append("mail.log", &line(lines - 1));
    let repeated = place.wait_for_all(lines);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.stderr.matches("listening").count(), ROUNDS + 1, "{}", ended.stderr);
    assert!(unread >= ROUNDS / 2 * LAST, "{unread} lines were left to be read from a copy");
    assert_eq!(place.output.numbers.iter().max(), Some(&(lines - 1)), "nothing was made up");
    let said: usize = said_bytes(&ended.stderr).iter().sum();
    // Past the test harness, which would keep it to itself as long as the test passes.
    writeln!(
        io::stderr(),
        "{ROUNDS} kills, {lines} lines, {unread} unread when they were cut: missing 0, repeated {repeated}; {said} bytes were \
         said to be read again"
    )
    .expect("standard error");
}

#[test]
fn a_clean_restart_repeats_nothing_after_any_rotation() {
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

/// More than a fingerprint holds.
fn banner() -> String {
    format!("# {}\n", "the same first line in every file ".repeat(20))
}

#[test]
fn files_that_begin_alike_are_told_apart() {
    let mut place = Place::new("alike");
    let paths = &["mail.log*"];
    place.append("mail.log.1", &(banner() + &lines(0..100)));
    place.make_old("mail.log.1", Duration::from_secs(100));
    place.append("mail.log", &(banner() + &lines(100..200)));
    let postrider = place.start(paths, "start = \"beginning\"");
    place.assert_each_once_in_order(200);
    place.rename("mail.log", "mail.log.2");
    place.append("mail.log", &(banner() + &lines(200..300)));
    place.assert_each_once_in_order(300);
    assert_clean(&postrider.terminate(DEADLINE));
    // Replaced by a longer file while nobody looked: as it begins, it could be the old one.
    fs::write(place.path("mail.log"), banner() + &lines(300..600)).expect("a log");
    let postrider = place.start(paths, "");
    place.assert_each_once_in_order(600);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn a_rewritten_file_of_any_length_is_read_from_its_beginning() {
    let mut place = Place::new("anew");
    let all = |place: &Place, text: String| {
        let file = File::options().write(true).open(place.path("mail.log")).expect("a log");
        file.write_all_at(text.as_bytes(), 0).expect("another content");
        file.set_len(text.len() as u64).expect("another length");
    };
    place.append("mail.log", &(banner() + &lines(100..300)));
    let postrider = place.start(&["mail.log"], "start = \"beginning\"");
    place.wait_for(200);
    for (first, count) in [(300, 200), (500, 250), (750, 50)] {
        // As long as it was, longer, and shorter; no moment at which it is empty.
        all(&place, banner() + &lines(first..first + count));
        place.wait_for(first - 100 + count);
    }
    assert!(place.output.numbers.iter().copied().eq(100..800), "{:?}", place.output.numbers);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert_eq!(ended.stderr.matches("was truncated or replaced").count(), 3, "{}", ended.stderr);
}

#[test]
fn an_inode_that_is_used_again_is_another_file() {
    let mut place = Place::new("inode");
    let paths = &["*.log", "*.gz"];
    place.append("old.log", &lines(0..100));
    place.write_gzip("older.gz", lines(100..200).as_bytes());
    let postrider = place.start(paths, "start = \"beginning\"");
    assert_eq!(place.wait_for_all(200), 0);
    assert_clean(&postrider.terminate(DEADLINE));
    // A file system may give a new file the inode of a removed one.
    for (old, new, numbers) in [("old.log", "new.log", 200..400), ("older.gz", "newer.log", 400..600)] {
        fs::write(place.path(old), lines(numbers)).expect("another content");
        place.rename(old, new);
    }
    let postrider = place.start(paths, "");
    assert_eq!(place.wait_for_all(600), 0);
    for (record, number) in place.output.records.iter().zip(&place.output.numbers).skip(200) {
        let name = if *number < 400 { "new.log" } else { "newer.log" };
        assert!(record.contains(&format!("\"{}\"", place.path(name).display())), "{record}");
    }
    assert_clean(&postrider.terminate(DEADLINE));
}

/// The log has been rotated as often as there are names, the oldest first, and the log itself now has the inode that it
/// had before.
fn rotate_onto_the_same_inode(place: &Place, names: &[String], first: usize) {
    const AGE: Duration = Duration::from_millis(20);
    let mut inode = File::options().write(true).open(place.path("mail.log")).expect("a log");
    for (index, name) in names.iter().enumerate() {
        let plain = name.trim_end_matches(".gz");
        if index == 0 {
            place.append("mail.log", &lines(first..first + 2));
            fs::copy(place.path("mail.log"), place.path(plain)).expect("the content on another inode");
        } else {
            place.append(plain, &lines(first + 2 * index..first + 2 * index + 2));
        }
        if plain != name {
            place.compress(plain);
        }
        place.make_old(name, AGE * (names.len() - index) as u32);
    }
    inode.set_len(0).expect("a new file");
    inode.write_all(line(first + 2 * names.len()).as_bytes()).expect("a line");
}

#[test]
fn unread_generations_are_read_in_order_when_inodes_are_reused() {
    let shapes: [&[&str]; 4] = [
        &["mail.log.2.gz", "mail.log.1"],
        &["mail.log.3", "mail.log.2", "mail.log.1"],
        &["mail.log-20261122.gz", "mail.log-20261123.gz", "mail.log-20261124"],
        &[
            "mail.log.12.gz",
            "mail.log.11.gz",
            "mail.log.10.gz",
            "mail.log.9.gz",
            "mail.log.8.gz",
            "mail.log.7.gz",
            "mail.log.6.gz",
            "mail.log.5.gz",
            "mail.log.4.gz",
            "mail.log.3.gz",
            "mail.log.2.gz",
            "mail.log.1",
        ],
    ];
    for (index, shape) in shapes.iter().enumerate() {
        for paths in [&["mail.log"], &["mail.log*"]] {
            let mut place = Place::new(&format!("generations-{index}"));
            place.append("mail.log", &lines(0..4));
            let postrider = place.start(paths, "start = \"beginning\"");
            place.wait_for(4);
            assert_clean(&postrider.terminate(DEADLINE));
            let names: Vec<String> = shape.iter().map(|name| (*name).to_owned()).collect();
            rotate_onto_the_same_inode(&place, &names, 4);
            let postrider = place.start(paths, "");
            place.assert_each_once_in_order(4 + 2 * names.len() + 1);
            assert_clean(&postrider.terminate(DEADLINE));
        }
    }
}

#[test]
fn unread_and_empty_logs_keep_their_order_over_a_restart() {
    let mut place = Place::new("unread");
    place.append("mail.log", "");
    let postrider = place.start(&["mail.log"], "");
    wait_until(DEADLINE, "the cursor", || {
        fs::read_to_string(place.cursor()).is_ok_and(|cursor| cursor.contains("/mail.log "))
    });
    assert_clean(&postrider.terminate(DEADLINE));
    // Its inode, of which nothing was ever read, is used again.
    rotate_onto_the_same_inode(&place, &["mail.log.2".to_owned(), "mail.log.1".to_owned()], 0);
    // Nothing can be delivered: the next run finds the backlog in its cursor, and takes up the order from there.
    let config = place.config(&["mail.log"], "");
    let nobody = "[[sink.kafka]]\nbrokers = [\"127.0.0.1:1\"]\ntopic = \"mail\"\n";
    let stuck = config.split("[[sink").next().expect("the source").to_owned() + nobody;
    let postrider = Postrider::spawn(&format!("shutdown_timeout = \"1s\"\n{stuck}"));
    wait_until(DEADLINE, "the cursor", || {
        fs::read_to_string(place.cursor()).is_ok_and(|cursor| cursor.lines().count() == 5)
    });
    postrider.terminate(DEADLINE);
    let postrider = place.start(&["mail.log"], "");
    place.assert_each_once_in_order(5);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn a_symbolic_link_may_lead_elsewhere_later() {
    let mut place = Place::new("symlink");
    place.append("mail-1", &lines(0..100));
    symlink("mail-1", place.path("current")).expect("a link");
    let postrider = place.start(&["current"], "start = \"beginning\"");
    place.wait_for(100);
    place.append("mail-1", &lines(100..200));
    place.append("mail-2", &lines(200..300));
    symlink("mail-2", place.path("next")).expect("a link");
    place.rename("next", "current");
    place.assert_each_once_in_order(300);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_let_go() {
    let mut place = Place::new("deleted");
    let postrider = place.start(&["mail.log"], "");
    place.append("mail.log", &lines(0..1));
    place.wait_for(1);
    let mut log = File::options().append(true).open(place.path("mail.log")).expect("a log");
    log.write_all(lines(1..20_000).as_bytes()).expect("lines");
    fs::remove_file(place.path("mail.log")).expect("a log");
    log.write_all(lines(20_000..20_100).as_bytes()).expect("lines");
    drop(log);
    place.assert_each_once_in_order(20_100);
    let held = || open_files(&postrider).iter().any(|path| path.ends_with("mail.log (deleted)"));
    assert!(held(), "its writer may add something yet");
    // For a minute.
    wait_until(DEADLINE * 3, "the descriptor is given back", || !held());
    place.append("mail.log", &line(20_100));
    place.assert_each_once_in_order(20_101);
    assert_clean(&postrider.terminate(DEADLINE));
}
