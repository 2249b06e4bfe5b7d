//! What becomes of what a destination refuses, by whatever way it came in?

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::promises::DEADLINE;
use crate::promises::ways::{Place, all, each};
use testkit::messages::{Seen, message};
use testkit::postrider::{Ended, assert_clean};
use testkit::unread::Unread;
use testkit::wait::wait_until;

const SENT: usize = 60;

/// Lines that a file has, whole.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Every other message has a path that is a directory. Gives the end, when `is_done` with the refused ones.
fn refuses(place: &Place, key: &str, is_done: impl Fn(&Unread) -> bool) -> Ended {
    let out = place.directory().join("out");
    fs::create_dir_all(out.join("mx1.json")).expect("a directory in the way");
    let (source, path) = (place.source(), out.join("{hostname}.json"));
    let config = format!("{source}[[sink.file]]\npath = \"{}\"\n{key}", path.display());
    let mut postrider = Unread::spawn(&config, &place.directory().join("stderr"));
    let mut feed = place.connect(&mut postrider);
    for number in 0..SENT {
        let host = format!(" mx{} ", number % 2 + 1);
        feed.send_one(&message(number).replacen(" mx1 ", &host, 1)).expect("room");
    }
    let taken = out.join("mx2.json");
    wait_until(DEADLINE, "the others", || lines(&taken).len() == SENT / 2);
    wait_until(DEADLINE, "the refused", || is_done(&postrider));
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let way = place.way;
    assert_eq!(numbers(lines(&taken)), (1..SENT).step_by(2).collect::<Vec<_>>(), "{way:?}");
    assert_eq!(ended.sink("file").count("delivered"), SENT as u64 / 2, "{way:?}");
    assert_eq!(ended.sink("file").count("dropped_rejected"), SENT as u64 / 2, "{}", ended.stderr);
    ended
}

fn numbers(records: impl IntoIterator<Item = Value>) -> Vec<usize> {
    let mut seen = Seen::default();
    records.into_iter().for_each(|record| seen.note(&record.to_string()));
    seen.judge("a file", &seen.numbers, SENT, 0);
    seen.order
}

#[test]
fn refused_records_of_any_source_are_in_the_dead_letter_file() {
    each(&all(), |way| {
        let place = Place::new(way);
        let path = place.directory().join("dead.jsonl");
        let key = format!("dead_letter = \"{}\"\n", path.display());
        refuses(&place, &key, |_| lines(&path).len() == SENT / 2);
        let records = lines(&path).into_iter().map(|mut letter| letter["record"].take());
        assert_eq!(numbers(records), (0..SENT).step_by(2).collect::<Vec<_>>(), "{way:?}");
    });
}

/// Whichever source they came from.
#[test]
fn refusals_without_a_dead_letter_file_are_counted_and_logged() {
    each(&all(), |way| {
        let place = Place::new(way);
        let ended = refuses(&place, "", |postrider| postrider.log().contains("the record is dropped"));
        assert!(ended.stderr.contains("refused permanently"), "{way:?}: {}", ended.stderr);
    });
}
