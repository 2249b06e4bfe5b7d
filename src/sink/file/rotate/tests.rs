use std::time::Duration;

use super::*;

fn job(directory: &tempfile::TempDir) -> Job {
    let fd = fs::File::open(directory.path()).unwrap().into();
    Job { directory: fd, name: "mail.json".to_owned(), path: directory.path().join("mail.json") }
}

fn names(directory: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn names_are_unique_and_sort_by_age() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(&directory);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_486_235);
    fs::write(directory.path().join("mail.json.20261124-021035-001.gz"), "").unwrap();
    for _ in 0..3 {
        fs::write(&job.path, "").unwrap();
        rename(&job.directory, &job.name, now).unwrap();
    }
    assert_eq!(
        names(&directory),
        [
            "mail.json.20261124-021035-001.gz",
            "mail.json.20261124-021035-002",
            "mail.json.20261124-021035-003",
            "mail.json.20261124-021035-004"
        ]
    );
}

#[test]
fn a_clock_that_goes_back_does_not_disturb_the_order() {
    let next = |newest| next(newest, "20261124-021035".to_owned());
    assert_eq!(next(None).unwrap(), "20261124-021035");
    assert_eq!(next(Some("20261124-021034-007")).unwrap(), "20261124-021035");
    assert_eq!(next(Some("20261124-021035")).unwrap(), "20261124-021035-001");
    assert_eq!(next(Some("20261124-041500-009")).unwrap(), "20261124-041500-010");
    // The clock was once in the future: the rotation goes on all the same.
    assert_eq!(next(Some("20261124-041500-999")).unwrap(), "20261124-041501");
    assert_eq!(next(Some("20261231-235959-999")).unwrap(), "20270101-000000");
    assert_eq!(next(Some("99991231-235959-998")).unwrap(), "99991231-235959-999");
    assert_eq!(next(Some("99991231-235959-999")), None);
}

#[test]
fn only_rotated_files_of_the_same_path_are_touched() {
    let directory = tempfile::tempdir().unwrap();
    let strangers = [
        "mail.json",
        "mail.json.1",
        "mail.json.20261124",
        "mail.json.20261124-021035.bak",
        "mail.json.20261124-021035.tmp",
        "mail.json.bz.20261124-021035",
        "other.mail.json.20261124-021035",
        "mail.json.20261124-02103x",
        "mail.json.20261324-021035",
        "mail.json.99999999-999999",
        "mail.json.20261124-021035-1000",
    ];
    for name in strangers {
        fs::write(directory.path().join(name), "").unwrap();
    }
    fs::write(directory.path().join("mail.json.20261124-021035"), "").unwrap();
    fs::write(directory.path().join("mail.json.20261124-021035-001.gz.tmp"), "").unwrap();
    let care = Care::new("test", Some(0), true, Arc::default());
    care.tidy(&job(&directory)).unwrap();
    let mut expected = strangers;
    expected.sort_unstable();
    assert_eq!(names(&directory), expected);
}

#[test]
fn no_file_that_is_written_to_has_the_name_of_a_rotated_one() {
    for (route, expected) in [
        ("mx1", "mx1"),
        ("mx1.20261124-021035", "mx1_20261124-021035"),
        ("mx1.20261124-021035-001", "mx1_20261124-021035-001"),
        ("mx1.20261124-021035.gz", "mx1_20261124-021035.gz"),
        ("a.b/mx1.20261124-021035-999.gz.tmp", "a.b/mx1_20261124-021035-999.gz.tmp"),
        ("mx1.20261124-021035.20261124-021036", "mx1.20261124-021035_20261124-021036"),
        ("mx1.20261124-021035/mail.json", "mx1.20261124-021035/mail.json"),
        ("mx1.20261124-021035.json", "mx1.20261124-021035.json"),
        ("mx1.20261324-021035", "mx1.20261324-021035"),
        ("é.20261124-021035", "é_20261124-021035"),
        ("mx1.2026-11-24", "mx1.2026-11-24"),
        ("x.2026112é-021035", "x.2026112é-021035"),
    ] {
        assert_eq!(live(route), expected);
        let name = expected.rsplit('/').next().unwrap();
        let forged = name.match_indices('.').any(|(point, _)| is_rotation_suffix(&name[point + 1..]));
        assert!(!forged, "{expected}");
    }
}

#[test]
fn leftovers_of_a_crash_are_put_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    // Died before the original was removed, in the middle of compression, and before it began.
    write("mail.json.20261124-021033", "x");
    write("mail.json.20261124-021033.gz", "complete");
    write("mail.json.20261124-021034", "y");
    write("mail.json.20261124-021034.gz.tmp", "half");
    write("mail.json.20261124-021032", "z");
    let care = Care::new("test", Some(2), true, Arc::default());
    care.tidy(&job(&directory)).unwrap();
    assert_eq!(names(&directory), ["mail.json.20261124-021033.gz", "mail.json.20261124-021034.gz"]);
    assert_eq!(fs::read(directory.path().join("mail.json.20261124-021033.gz")).unwrap(), b"complete");
}

#[test]
fn a_stop_leaves_the_original() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("mail.json.20261124-021035"), "x").unwrap();
    let care = Care::new("test", None, true, Arc::new(AtomicBool::new(true)));
    care.compress(&job(&directory), "mail.json.20261124-021035").unwrap();
    assert_eq!(names(&directory), ["mail.json.20261124-021035"]);
}

#[test]
fn what_cannot_be_tidied_is_logged_once_for_many() {
    let directory = tempfile::tempdir().unwrap();
    // It cannot be removed like a file.
    fs::create_dir(directory.path().join("mail.json.20261124-021035.gz.tmp")).unwrap();
    let care = Care::new("test", None, true, Arc::default());
    let (jobs, receiver) = sync_channel(WAITING);
    for _ in 0..3 {
        jobs.send(job(&directory)).unwrap();
    }
    drop(jobs);
    care.run(&receiver);
    assert_eq!(care.log.suppressed(), 2);
}
