//! Has a line the same id however its file is read: so that what is loaded twice changes nothing?

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::follow::place::{DEADLINE, Place};
use testkit::postrider::{Postrider, assert_clean};
use testkit::wait::wait_until;

const BEGIN: &str = "start = \"beginning\"";

/// Lines of which many are equal: in runs, within a second, and without a time.
fn repetitive(seconds: std::ops::Range<usize>) -> String {
    let second = |second: usize| {
        let time = format!("Nov 24 02:{:02}:{:02} mx1", second / 60, second % 60);
        let warning =
            format!("{time} postfix/smtpd[7]: warning: 203.0.113.9: hostname x.example verification failed\n");
        let connect = |n: usize| format!("{time} postfix/smtpd[{n}]: connect from unknown[203.0.113.9]\n");
        let mut lines = warning.repeat(1 + second % 20);
        lines.extend((0..12).map(|n| connect(n % 4)));
        lines + "\tno time\n\tno time\n"
    };
    seconds.map(second).collect()
}

fn ids(records: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    let id = |record: &str| {
        let record: Value = serde_json::from_str(record).expect("JSON");
        record["id"].as_str().expect("an id").to_owned()
    };
    records.into_iter().map(|record| id(record.as_ref())).collect()
}

/// The ids that `decode` gives, by default for its standard input.
fn decoded(place: &Place, text: &str, name: Option<&str>) -> Vec<String> {
    let mut decode = Command::new(env!("CARGO_BIN_EXE_postrider"));
    decode.arg("decode").args(name.map(|name| place.path(name))).stderr(Stdio::inherit());
    fs::write(place.path("stdin"), text).expect("a file");
    let output = decode.stdin(fs::File::open(place.path("stdin")).expect("a file")).output().expect("postrider runs");
    assert!(output.status.success());
    ids(String::from_utf8(output.stdout).expect("UTF-8").lines())
}

/// Waits for this number of records, and gives their ids.
#[track_caller]
fn delivered(place: &mut Place, count: usize) -> Vec<String> {
    wait_until(DEADLINE, &format!("{count} records"), || {
        place.output.read();
        place.output.records.len() >= count
    });
    ids(&place.output.records)
}

#[test]
fn decode_gives_a_line_one_id_for_any_file_name_and_compression() {
    let place = Place::new("decoded-twice");
    // Many chunks of decode.
    let text = repetitive(0..3000);
    let expected = decoded(&place, &text, None);
    assert_eq!(expected.iter().collect::<BTreeSet<_>>().len(), text.lines().count());
    place.append("mail.log", &text);
    place.write_gzip("mail.log.1.gz", text.as_bytes());
    for name in ["mail.log", "mail.log", "mail.log.1.gz"] {
        assert_eq!(decoded(&place, "", Some(name)), expected, "{name}");
    }
}

#[test]
fn followed_lines_have_decode_ids_over_restarts_and_rotation() {
    let mut place = Place::new("ids");
    let text = repetitive(0..400);
    let expected = decoded(&place, &text, None);
    // Most stops are within a line, which is one of several equal ones. A file that was rotated away waits for nothing.
    let part = |part: usize| text.len() * part / 60 + 77;
    let line_end = text[..part(50)].rfind('\n').expect("a line") + 1;
    let mut begin = 0;
    for (round, end) in [part(2), part(3), part(30), line_end, text.len()].into_iter().enumerate() {
        // While it is down, the file is rotated, and later compressed; what was not read is behind the cursor.
        let name = if round < 3 { "mail.log" } else { "mail.log.1" };
        if round == 3 {
            place.rename("mail.log", name);
        }
        place.append(name, &text[begin..end]);
        if round == 4 {
            place.compress(name);
        }
        let postrider = place.start(&["mail.log"], BEGIN);
        let whole = text[..end].matches('\n').count();
        assert_eq!(delivered(&mut place, whole), expected[..whole], "round {round}");
        assert_clean(&postrider.terminate(DEADLINE));
        begin = end;
    }
    // A new file of the log has the ids of its own lines.
    let next = repetitive(0..20);
    place.append("mail.log", &next);
    let postrider = place.start(&["mail.log"], BEGIN);
    let all = delivered(&mut place, expected.len() + next.lines().count());
    assert_eq!(all[expected.len()..], expected[..next.lines().count()]);
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn what_is_repeated_after_a_kill_has_the_same_ids() {
    let mut place = Place::new("ids-killed");
    let text = repetitive(0..4000);
    let expected = decoded(&place, &text, None);
    place.append("mail.log", &text);
    let mut postrider = Postrider::spawn(&place.config(&["mail.log"], BEGIN));
    for part in 1..4 {
        delivered(&mut place, expected.len() * part / 5);
        postrider.kill();
        postrider.restart();
    }
    let all: BTreeSet<String> = expected.iter().cloned().collect();
    wait_until(DEADLINE, "every line", || {
        place.output.read();
        ids(&place.output.records).into_iter().collect::<BTreeSet<_>>() == all
    });
    assert_clean(&postrider.terminate(DEADLINE));
}
