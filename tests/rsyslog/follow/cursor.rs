//! Is the cursor believed when it can be, and never ahead of what is delivered?

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::follow::place::{DEADLINE, Place, line, lines, said_bytes, start_unprivileged};
use testkit::postrider::{Postrider, assert_clean};
use testkit::wait::wait_until;

#[test]
fn a_damaged_cursor_repeats_and_says_so() {
    let mut place = Place::new("damaged");
    let postrider = place.start(&["mail.log"], "");
    place.append("mail.log", &lines(0..100));
    place.wait_for(100);
    let ended = postrider.terminate(DEADLINE);
    let said = "WARN no cursor yet; reading existing files from the end (start = \"end\") source=\"file\" path=";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
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
    assert!(ended.stderr.contains("dropped_shutdown=100"), "{}", ended.stderr);
    let postrider = place.start(&["mail.log"], "");
    place.wait_for(200);
    assert!(place.output.numbers[100..].iter().copied().eq(0..100));
    assert_clean(&postrider.terminate(DEADLINE));
}

#[test]
fn two_processes_do_not_share_a_cursor() {
    let place = Place::new("shared");
    let first = place.start(&["mail.log"], "");
    let second = Postrider::spawn(&place.config(&["mail.log"], "")).ended(DEADLINE);
    assert!(!second.status.success());
    assert!(second.stderr.contains("another Postrider process uses it"), "{}", second.stderr);
    assert_clean(&first.terminate(DEADLINE));
}

#[test]
fn a_cursor_of_a_later_version_is_left_alone() {
    let place = Place::new("later");
    fs::create_dir(place.path("state")).expect("a directory");
    let body = "postrider cursor 2 ended\n";
    // FNV-1a, as the last line of a cursor has it.
    let sum = body
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let cursor = format!("{body}sum {sum:016x}\n");
    fs::write(place.cursor(), &cursor).expect("a cursor");
    let ended = Postrider::spawn(&place.config(&["mail.log"], "")).ended(DEADLINE);
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("a later version of Postrider wrote"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(place.cursor()).expect("the cursor"), cursor);
}

#[test]
fn without_a_cursor_that_can_be_written_nothing_is_skipped() {
    let mut place = Place::new("unwritable");
    place.append("mail.log", &lines(100..200));
    // Nothing can be written at that name, as on a full disk.
    let obstacle = place.path("state/file.cursor.new");
    fs::create_dir_all(obstacle.join("full")).expect("an obstacle");
    let mut postrider = Postrider::spawn(&place.config(&["mail.log"], ""));
    wait_until(DEADLINE, "the warning", || postrider.stderr().contains("reading nothing until then"));
    place.append("mail.log", &lines(0..10));
    fs::remove_dir_all(&obstacle).expect("room");
    place.assert_each_once_in_order(10);
    // While it runs, lines are delivered all the same; a kill repeats them.
    fs::create_dir_all(obstacle.join("full")).expect("an obstacle");
    place.append("mail.log", &lines(10..20));
    wait_until(DEADLINE, "the warning", || postrider.stderr().contains("a restart before then repeats lines"));
    place.assert_each_once_in_order(20);
    postrider.kill();
    fs::remove_dir_all(&obstacle).expect("room");
    postrider.restart();
    place.append("mail.log", &lines(20..30));
    let repeated = place.wait_for_all(30);
    assert!((10..=20).contains(&repeated), "{repeated}");
    let ended = postrider.terminate(DEADLINE);
    assert_clean(&ended);
    let said = said_bytes(&ended.stderr);
    let bytes: usize = place.output.repeated().map(|number| line(number).len()).sum();
    assert!(said.iter().sum::<usize>() >= bytes, "{said:?} {bytes}");
}

#[test]
fn old_lines_of_a_file_that_becomes_readable_later_are_skipped() {
    let mut place = Place::new("later-readable");
    place.append("mail.log", &lines(100..200));
    fs::set_permissions(place.path("mail.log"), fs::Permissions::from_mode(0o000)).expect("permissions");
    let config = place.path("postrider.toml");
    fs::write(&config, place.config(&["mail.log"], "")).expect("a configuration");
    let mut postrider = start_unprivileged(&config, &place.path("stderr"));
    wait_until(DEADLINE, "the warning", || postrider.log().contains("setfacl"));
    place.append("mail.log", &lines(0..10));
    fs::set_permissions(place.path("mail.log"), fs::Permissions::from_mode(0o600)).expect("permissions");
    place.assert_each_once_in_order(10);
    assert!(postrider.terminate(DEADLINE).success());
}
