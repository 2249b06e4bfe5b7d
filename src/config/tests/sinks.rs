//! The facts of the kinds of sinks.

use std::path::Path;
use std::time::Duration;

use super::super::{DeadLetterConfig, Fsync, SinkConfig, SinkKind};

/// The only sink of a configuration.
fn sink(text: &str) -> SinkConfig {
    super::config(&format!("[[source.stdin]]\n[[sink.{text}\n")).sinks.remove(0)
}

fn file(path: &str) -> String {
    format!("file]]\npath = \"{path}\"")
}

fn kafka(brokers: &str) -> String {
    format!("kafka]]\nbrokers = [\"{brokers}\"]\ntopic = \"mail\"")
}

#[test]
fn who_writes_to_one_place_waits() {
    let shared = |one: &str, other: &str| sink(one).kind.facts().shares_destination(&sink(other).kind);
    assert!(shared("stdout]]", "stdout]]\nqueue_size = \"1MiB\""));
    assert!(shared(&file("/var/log/{hostname}/mail.json"), &file("/var/log/mx/mail.json")));
    assert!(!shared(&file("/var/log/mx1/mail.json"), &file("/var/log/mx2/mail.json")));
    assert!(shared(&kafka("a:9092"), &kafka("a:9092")) && !shared(&kafka("a:9092"), &kafka("b:9092")));
    assert!(!shared("stdout]]", &file("/var/log/mail.json")));
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", place.path().join("link")).unwrap();
    let below = |rest: &str| file(place.path().join(rest).to_str().unwrap());
    assert!(shared(&below("link/mail.json"), &below("real/mail.json")), "one directory by two names");
}

#[test]
fn who_has_one_spool_waits() {
    let spool = |directory: &str| sink(&format!("stdout]]\n[sink.stdout.spool]\ndirectory = \"{directory}\""));
    assert!(spool("/var/spool/a").shares_spool(&spool("/var/spool/a")));
    assert!(!spool("/var/spool/a").shares_spool(&spool("/var/spool/b")));
    assert!(!sink("stdout]]").shares_spool(&sink("stdout]]")));
}

#[test]
fn a_destination_is_named_in_words() {
    for (text, expected) in [
        ("stdout]]", "the standard output"),
        (&file("/var/log/{hostname}.json"), "/var/log/{hostname}.json"),
        (&kafka("a:9092"), "topic mail at a:9092"),
    ] {
        assert_eq!(sink(text).kind.facts().destination(), expected);
    }
}

/// Two replays may write at a time, and both beside the daemon.
#[test]
fn a_file_sink_of_a_replay_rotates_nothing_and_syncs() {
    let given = DeadLetterConfig { path: "/var/lib/given".into(), max_size: 7 };
    let replayed = |keys: &str| {
        let sink = sink(&format!("{}\n{keys}", file("/var/log/{hostname}.json")));
        let SinkKind::File(file) = sink.kind.facts().for_replay(given.clone()) else { panic!("no file") };
        file
    };
    let file = replayed("fsync = \"never\"\nrotate_size = \"1GiB\"\nrotate_age = \"1d\"\nrotate_keep = 3\ngzip = true");
    assert_eq!((file.rotate_size, file.rotate_age, file.rotate_keep, file.gzip), (None, None, None, false));
    assert_eq!((file.fsync, file.owner, file.max_routes), (Fsync::Always, false, usize::MAX));
    assert_eq!((file.directory.as_path(), file.dead_letter), (Path::new("/var/log"), Some(given.clone())));
    let file = replayed("fsync = \"3s\"\ndead_letter = \"/var/lib/own\"");
    assert_eq!(file.fsync, Fsync::Every(Duration::from_secs(3)));
    assert_eq!(file.dead_letter.map(|letter| letter.path), Some("/var/lib/own".into()));
}
