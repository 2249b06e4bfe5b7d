use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;

/// `logs/` is a directory that everybody may write to, beside `secret`, which they may not read.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("logs")).unwrap();
        place.permit("logs", 0o777);
        fs::write(place.path("secret"), "secret").unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn permit(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Opens and looks, which must have the same result, and returns it.
    fn look(&self, name: &str, links: Links) -> Result<(), String> {
        let path = self.path(name);
        let opened = open(&path, links).map(drop).map_err(|error| error.to_string());
        let seen = Viewer::new(links).status(&path).map_err(|error| error.to_string());
        assert_eq!(opened.is_ok(), seen.is_ok_and(|status| status.is_file), "{name}");
        opened
    }
}

#[test]
fn links_of_others_lead_nowhere() {
    let place = Place::new();
    symlink("../secret", place.path("logs/relative")).unwrap();
    symlink(place.path("secret"), place.path("logs/absolute")).unwrap();
    symlink(place.0.path(), place.path("logs/directory")).unwrap();
    symlink("logs/absolute", place.path("to-a-link")).unwrap();
    symlink("secret", place.path("ours")).unwrap();
    symlink("logs", place.path("our-directory")).unwrap();
    fs::write(place.path("logs/plain"), "").unwrap();
    let of_others = ["logs/relative", "logs/absolute", "logs/directory/secret", "to-a-link"];
    for name in of_others {
        for mode in [0o777, 0o775, 0o1777] {
            place.permit("logs", mode);
            let refused = place.look(name, Links::Trusted).unwrap_err();
            assert!(refused.contains("/logs/") && refused.contains("`follow_symlinks = true`"), "{refused}");
        }
        // Nobody else may write to it.
        place.permit("logs", 0o755);
        assert_eq!(place.look(name, Links::Trusted), Ok(()), "{name}");
        assert_eq!(place.look(name, Links::All), Ok(()), "{name}");
        assert!(place.look(name, Links::None).unwrap_err().contains("`follow_symlinks` is false"));
    }
    place.permit("logs", 0o777);
    for name in ["ours", "our-directory/plain", "logs/plain"] {
        assert_eq!(place.look(name, Links::Trusted), Ok(()), "{name}");
    }
}

#[test]
fn a_file_with_several_names_among_others_is_not_read() {
    let place = Place::new();
    fs::hard_link(place.path("secret"), place.path("logs/linked")).unwrap();
    let refused = place.look("logs/linked", Links::Trusted).unwrap_err();
    assert!(refused.contains("/logs/linked") && refused.contains("`follow_symlinks = true`"), "{refused}");
    assert!(place.look("logs/linked", Links::None).is_err());
    assert_eq!(place.look("logs/linked", Links::All), Ok(()));
    assert_eq!(place.look("secret", Links::Trusted), Ok(()));
    fs::remove_file(place.path("secret")).unwrap();
    assert_eq!(place.look("logs/linked", Links::Trusted), Ok(()));
}

#[test]
fn a_viewer_goes_from_one_directory_to_the_next() {
    let place = Place::new();
    for name in ["a/b/c", "a/d"] {
        fs::create_dir_all(place.path(name)).unwrap();
        fs::write(place.path(name).join("mail.log"), name).unwrap();
    }
    symlink("a/b", place.path("link")).unwrap();
    let mut viewer = Viewer::new(Links::Trusted);
    let names =
        ["a/b/c/mail.log", "a/d/mail.log", "link/c/mail.log", "a/mail.log", "a/b/c/mail.log", "x/y", "a/d/mail.log"];
    for name in names {
        let seen = viewer.status(&place.path(name)).ok().map(|status| status.identity);
        assert_eq!(seen, fs::metadata(place.path(name)).ok().map(|metadata| FileIdentity::of(&metadata)), "{name}");
    }
    assert_eq!((viewer.end(), viewer.end()), (names.len(), 0));
}

#[test]
fn links_without_end_and_what_is_no_file_are_errors() {
    let place = Place::new();
    place.permit("logs", 0o755);
    symlink("b", place.path("a")).unwrap();
    symlink("a", place.path("b")).unwrap();
    symlink("nowhere", place.path("dangling")).unwrap();
    mkfifo(&place.path("fifo"), Mode::S_IRUSR).unwrap();
    let begun = Instant::now();
    for links in [Links::Trusted, Links::All] {
        for name in ["a", "dangling", "fifo", "logs", "secret/below", "missing", "missing/below"] {
            assert!(place.look(name, links).is_err(), "{name}");
        }
        let kind = |name: &str| open(&place.path(name), links).unwrap_err().kind();
        assert_eq!(kind("missing"), io::ErrorKind::NotFound);
        assert_eq!(kind("dangling"), io::ErrorKind::NotFound);
        assert_eq!(kind("secret/below"), io::ErrorKind::NotADirectory);
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "nobody writes to the FIFO");
}
