use std::os::unix::fs::symlink;

use super::*;

fn config(directory: &Path, mode: u32, durable: bool) -> FileConfig {
    let fsync = if durable { Fsync::Always } else { Fsync::Never };
    FileConfig { directory: directory.to_owned(), mode, fsync, ..crate::sink::file::tests::config() }
}

fn refusal(root: &Root, route: &str) -> String {
    match root.open(route) {
        Err(PathError::Refused(reason)) => reason,
        other => panic!("{route:?}: {other:?}"),
    }
}

#[test]
fn no_name_leads_out_of_the_directory() {
    let outside = tempfile::tempdir().unwrap();
    let inside = outside.path().join("logs");
    let root = Root::new(&config(&inside, 0o640, true)).unwrap();
    let long = "x".repeat(300);
    for route in ["..", "../x", "a/../../x", "/etc/x", "a//x", "", "a/", ".", "./x", "a\0b", long.as_str()] {
        refusal(&root, route);
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was made beside it");
}

#[test]
fn no_symlink_below_the_directory_is_followed() {
    let outside = tempfile::tempdir().unwrap();
    let inside = outside.path().join("logs");
    let root = Root::new(&config(&inside, 0o640, false)).unwrap();
    fs::create_dir(outside.path().join("secret")).unwrap();
    fs::write(outside.path().join("target"), "").unwrap();
    symlink(outside.path().join("secret"), inside.join("host")).unwrap();
    symlink(outside.path().join("target"), inside.join("mail.json")).unwrap();
    symlink(outside.path().join("nothing"), inside.join("dangling.json")).unwrap();
    for route in ["host/mail.json", "mail.json", "dangling.json"] {
        assert!(refusal(&root, route).contains("symlink"));
    }
    assert!(!outside.path().join("nothing").exists());
    assert_eq!(fs::read_dir(outside.path().join("secret")).unwrap().count(), 0);
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::new(&config(directory.path(), 0o640, false)).unwrap();
    fs::create_dir(directory.path().join("host")).unwrap();
    nix::unistd::mkfifo(&directory.path().join("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    refusal(&root, "host");
    refusal(&root, "fifo");
}

#[test]
fn a_hard_link_that_another_user_may_have_made_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let inside = place.path().join("logs");
    let root = Root::new(&config(&inside, 0o640, false)).unwrap();
    fs::write(place.path().join("target"), "").unwrap();
    fs::hard_link(place.path().join("target"), inside.join("mail.json")).unwrap();
    root.open("mail.json").expect("nobody else can have made it");
    for mode in [0o770, 0o757, 0o1777] {
        fs::set_permissions(&inside, fs::Permissions::from_mode(mode)).unwrap();
        assert!(refusal(&root, "mail.json").contains("hard link"), "{mode:o}");
        root.open("other.json").unwrap();
    }
    fs::remove_file(place.path().join("target")).unwrap();
    root.open("mail.json").expect("it has one name");
}

#[test]
fn a_file_has_one_owner_until_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let root = || Root::new(&config(directory.path(), 0o640, false)).unwrap();
    let owned = root().open("mail.json").unwrap();
    match root().open("mail.json") {
        Err(PathError::Failed { reason, scope: Scope::All }) => assert!(reason.contains("another"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let replay = FileConfig { owner: false, ..config(directory.path(), 0o640, false) };
    Root::new(&replay).unwrap().open("mail.json").expect("a replay writes beside the owner");
    drop(owned);
    root().open("mail.json").unwrap();
}

#[test]
fn a_name_that_a_rotation_could_not_add_to_is_too_long() {
    let directory = tempfile::tempdir().unwrap();
    let rotating = FileConfig { rotate_size: Some(1), ..config(directory.path(), 0o640, false) };
    let root = Root::new(&rotating).unwrap();
    root.open(&"x".repeat(228)).unwrap();
    assert!(refusal(&root, &"x".repeat(229)).contains("too long"));
    Root::new(&config(directory.path(), 0o640, false)).unwrap().open(&"x".repeat(255)).unwrap();
}

#[test]
fn new_files_and_directories_have_the_modes_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::new(&config(&directory.path().join("a/b"), 0o660, true)).unwrap();
    root.open("c/d/mail.json").unwrap();
    let mode = |path: &str| fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("a/b/c/d/mail.json"), 0o660);
    for path in ["a", "a/b", "a/b/c", "a/b/c/d"] {
        assert_eq!(mode(path) & 0o7027, 0, "{path}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_names_path_and_reason() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let error = Root::new(&config(&directory.path().join("file/logs"), 0o640, false)).unwrap_err();
    assert!(error.contains("file/logs") && error.contains("create it"), "{error}");
}
