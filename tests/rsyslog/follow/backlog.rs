//! Old and compressed files: is each read once, and is damage named?

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::ops::Range;
use std::time::Duration;

use flate2::read::MultiGzDecoder;

use crate::follow::place::{DEADLINE, Place, line, lines};
use testkit::postrider::assert_clean;
use testkit::wait::wait_until;

#[test]
fn the_backlog_is_read_once_and_later_files_from_the_start() {
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
        place.make_old(name, Duration::from_secs(age));
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
    let ended = postrider.terminate(DEADLINE);
    let said = "no cursor yet; reading existing files from the beginning (start = \"beginning\")";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_clean(&ended);
    let postrider = place.start(paths, "");
    place.append("mx2/mail.log", &lines(4000..4001));
    place.assert_each_once_in_order(4001);
    assert_clean(&postrider.terminate(DEADLINE));
}

/// Returns the numbers of the whole lines in a compressed file before its damage.
fn salvageable(archive: &[u8]) -> Vec<usize> {
    let mut decoder = MultiGzDecoder::new(archive);
    let (mut text, mut byte) = (Vec::new(), [0]);
    while matches!(decoder.read(&mut byte), Ok(1)) {
        text.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&text);
    let whole = text.lines().filter_map(|text| {
        let number = text.rsplit_once(' ')?.1.parse().ok()?;
        (line(number).trim_end() == text).then_some(number)
    });
    whole.collect()
}

#[test]
fn damaged_archives_give_what_they_can_and_are_named_once() {
    let mut place = Place::new("damage");
    let archive = |name: &str, numbers: Range<usize>| {
        place.write_gzip(name, lines(numbers).as_bytes());
        fs::read(place.path(name)).expect("an archive")
    };
    let whole = archive("cut.gz", 0..2000);
    let cut = whole[..whole.len() * 2 / 3].to_vec();
    let mut torn = archive("torn.gz", 2000..4000);
    let middle = torn.len() / 2;
    torn[middle..middle + 64].fill(0xff);
    let mut crc = archive("crc.gz", 4000..5000);
    let trailer = crc.len() - 8;
    crc[trailer] ^= 1;
    let bad =
        [("cut.gz", cut), ("torn.gz", torn), ("crc.gz", crc), ("text.gz", line(5000).into()), ("empty.gz", vec![])];
    let mut wanted = BTreeSet::new();
    for (name, bytes) in &bad {
        fs::write(place.path(name), bytes).expect("a damaged archive");
        place.make_old(name, Duration::from_secs(3600));
        wanted.extend(salvageable(bytes));
    }
    assert!(wanted.iter().filter(|number| **number < 2000).count() > 500);
    assert!(wanted.iter().filter(|number| (2000..4000).contains(*number)).count() > 200);
    assert!((4000..5000).all(|number| wanted.contains(&number)));
    place.append("mail.log", &line(9000));
    wanted.insert(9000);
    let paths = &["*.gz", "mail.log"];
    let named =
        |log: &str, name: &str| log.lines().filter(|line| line.contains("damaged") && line.contains(name)).count();
    let postrider = place.start(paths, "start = \"beginning\"");
    wait_until(DEADLINE, "what can be read", || wanted.is_subset(&place.output.read().iter().copied().collect()));
    wait_until(DEADLINE, "the names", || bad.iter().all(|(name, _)| named(&postrider.stderr(), name) > 0));
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(bad.iter().all(|(name, _)| named(&ended.stderr, name) == 1), "{}", ended.stderr);
    assert_eq!(ended.source("file").count("errors"), 5);
    // Nothing of it comes twice, and each is named once more, because its rest is still missing.
    place.output.read();
    let records = place.output.records.len();
    let postrider = place.start(paths, "");
    wait_until(DEADLINE, "the names", || bad.iter().all(|(name, _)| named(&postrider.stderr(), name) > 0));
    place.append("mail.log", &line(9001));
    place.wait_for_number(9001);
    assert_eq!(place.output.records.len(), records + 1);
    // Somebody finds the whole archive.
    fs::write(place.path("cut.gz"), &whole).expect("the archive");
    wanted.extend(0..2000);
    wait_until(DEADLINE, "the rest", || {
        // The line that was cut came in two parts.
        let missing: Vec<_> = wanted.difference(&place.output.read().iter().copied().collect()).copied().collect();
        missing.len() <= 1
    });
    assert!(place.output.records.len() <= records + 1 + 2000);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn an_archive_that_is_being_written_is_waited_for() {
    let mut place = Place::new("growing");
    place.write_gzip("whole.gz", lines(0..20_000).as_bytes());
    let whole = fs::read(place.path("whole.gz")).expect("an archive");
    let postrider = place.start(&["mail.log.*"], "");
    let mut archive = File::create(place.path("mail.log.1.gz")).expect("an archive");
    for part in whole.chunks(whole.len().div_ceil(3)) {
        archive.write_all(part).expect("a part");
        let some = salvageable(&fs::read(place.path("mail.log.1.gz")).expect("an archive")).len();
        // The last line of a part may come with the next one.
        place.wait_for(some.saturating_sub(1));
    }
    place.assert_each_once_in_order(20_000);
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    assert!(!ended.stderr.contains("mail.log.1.gz"), "{}", ended.stderr);
}

#[test]
fn the_archive_of_a_file_that_was_to_be_skipped_is_skipped() {
    let mut place = Place::new("skipped");
    place.append("mail.log.1", &lines(100..200));
    place.make_old("mail.log.1", Duration::from_secs(3600));
    place.append("mail.log", &lines(200..300));
    let postrider = place.start(&["mail.log"], "");
    // As logrotate does it: the original goes when the archive is whole and has its time.
    place.write_gzip("mail.log.1.gz", lines(100..200).as_bytes());
    place.append("mail.log", &line(0));
    place.wait_for(1);
    place.append("mail.log", &line(1));
    place.wait_for(2);
    place.make_old("mail.log.1.gz", Duration::from_secs(3600));
    fs::remove_file(place.path("mail.log.1")).expect("an original");
    place.append("mail.log", &line(2));
    place.assert_each_once_in_order(3);
    place.append("mail.log", &line(3));
    place.assert_each_once_in_order(4);
    assert_clean(&postrider.terminate(DEADLINE));
}
