//! The schedule of looking for files: often while something happens, and otherwise so rarely that idle files cost next
//! to nothing.
//!
//! A round lists directories and asks for the state of every file in them. Between two rounds, only two things are
//! checked: whether some of the directories have changed, a part of them in each turn, and the files that were read
//! lately.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::content::TICK;
use super::system::System;

/// Maximum number of files looked at per second while nothing happens. With n thousand files, a file that becomes
/// active is noticed within n seconds.
const CALM: usize = 1000;
/// Maximum number of files looked at per second when a directory has changed or something is waited for.
const BUSY: usize = 5000;
/// Maximum number of directories checked for changes in each turn, apart from those with active files.
const DIRECTORIES: usize = 256;

/// The state that decides when the next look and the next round are due.
#[derive(Debug)]
pub(super) struct Rounds {
    /// Minimum time between two looks.
    interval: Duration,
    /// Time of the last look, whether it was a round or not.
    looked: Instant,
    /// Time of the last round.
    last: Instant,
    /// Number of files that the last round looked at.
    files: usize,
    /// True if the next round has something to begin or to search for.
    is_urgent: bool,
}

/// The directories of the last round, and the time of change of each.
#[derive(Debug, Default)]
pub(super) struct Directories {
    changes: HashMap<OsString, Change>,
    paths: Vec<PathBuf>,
    next: usize,
}

/// The time of change of a directory, as far as it can reveal the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    At(SystemTime),
    /// The next change may have the same time.
    Now(SystemTime),
    /// There is no directory that can be checked.
    Missing,
}

impl Rounds {
    pub(super) const fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, looked: now, last: now, files: 0, is_urgent: false }
    }

    /// Returns the time until the next look.
    pub(super) fn time_to_look(&self, now: Instant) -> Duration {
        self.interval.saturating_sub(now.saturating_duration_since(self.looked))
    }

    /// A look has ended.
    pub(super) const fn looked(&mut self, now: Instant) {
        self.looked = now;
    }

    /// Returns true if the next look is a round. With `has_changed`, some directory has changed since the last round.
    pub(super) fn is_due(&self, now: Instant, has_changed: bool) -> bool {
        let rate = if has_changed || self.is_urgent { BUSY } else { CALM };
        let share = Duration::from_millis((self.files * 1000 / rate) as u64);
        now.saturating_duration_since(self.last) >= self.interval.max(share)
    }

    /// The next round has something to begin or to search for: it comes sooner.
    pub(super) const fn make_urgent(&mut self) {
        self.is_urgent = true;
    }

    /// A round begins.
    pub(super) const fn begin(&mut self) {
        self.is_urgent = false;
    }

    /// A round has looked at this number of files.
    pub(super) const fn done(&mut self, now: Instant, files: usize) {
        (self.last, self.files) = (now, files);
    }
}

impl Directories {
    /// Begins a round.
    pub(super) fn clear(&mut self) {
        self.changes.clear();
        self.paths.clear();
    }

    /// Records a directory before it is listed. Returns its time of change.
    pub(super) fn note(&mut self, system: &dyn System, path: &Path) -> Option<SystemTime> {
        if !self.changes.contains_key(path.as_os_str()) {
            self.changes.insert(path.into(), Change::of(system, path));
            self.paths.push(path.to_owned());
        }
        match self.changes[path.as_os_str()] {
            Change::At(modified) | Change::Now(modified) => Some(modified),
            Change::Missing => None,
        }
    }

    /// Returns whether a directory has changed since the round, and how many were checked. It checks a part of all
    /// directories in turn, and all those in `lively`.
    pub(super) fn have_changed<'p>(
        &mut self,
        system: &dyn System,
        lively: impl Iterator<Item = &'p Path>,
    ) -> (bool, usize) {
        let all = self.paths.len();
        let (mut asked, mut changed) = (all.min(DIRECTORIES), false);
        for _ in 0..asked {
            self.next = (self.next + 1) % all;
            changed |= self.has_changed(system, &self.paths[self.next]);
        }
        if all > DIRECTORIES {
            for path in lively {
                asked += 1;
                changed |= self.has_changed(system, path);
            }
        }
        (changed, asked)
    }

    fn has_changed(&self, system: &dyn System, path: &Path) -> bool {
        self.changes
            .get(path.as_os_str())
            .is_none_or(|change| matches!(change, Change::Now(_)) || *change != Change::of(system, path))
    }
}

impl Change {
    fn of(system: &dyn System, path: &Path) -> Self {
        let Ok(modified) = system.modified(path) else { return Self::Missing };
        // A time in the future comes from another clock, and says nothing about the tick of this one.
        let is_now = system.time().duration_since(modified).is_ok_and(|age| age < TICK);
        if is_now { Self::Now(modified) } else { Self::At(modified) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Links;
    use crate::source::file::system::Machine;

    #[test]
    fn many_files_are_looked_for_rarely_and_sooner_if_one_is_busy() {
        let second = Duration::from_secs(1);
        for (files, calm, busy) in [(0, 250, 250), (200, 250, 250), (2000, 2000, 400), (10_000, 10_000, 2000)] {
            let begun = Instant::now();
            let mut rounds = Rounds::new(second / 4, begun);
            rounds.done(begun, files);
            let due = |rounds: &Rounds, has_changed| {
                (0..100_000).find(|time| rounds.is_due(begun + Duration::from_millis(*time), has_changed))
            };
            assert_eq!([false, true].map(|has_changed| due(&rounds, has_changed)), [Some(calm), Some(busy)], "{files}");
            rounds.make_urgent();
            assert_eq!(due(&rounds, false), Some(busy), "{files}");
            rounds.begin();
            assert_eq!(due(&rounds, false), Some(calm), "{files}");
        }
    }

    #[test]
    fn directories_are_asked_in_turn() {
        let root = tempfile::tempdir().unwrap();
        let path = |number: usize| root.path().join(number.to_string());
        let (mut directories, machine) = (Directories::default(), Machine::new(Links::All));
        for number in 0..1000 {
            fs::create_dir(path(number)).unwrap();
        }
        let long_ago = SystemTime::now() - Duration::from_secs(100);
        let age = |path: &Path| fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
        (0..1000).for_each(|number| age(&path(number)));
        (0..1000).for_each(|number| assert_eq!(directories.note(&machine, &path(number)), Some(long_ago)));
        assert_eq!(directories.note(&machine, &path(1000)), None);
        for _ in 0..10 {
            assert_eq!(directories.have_changed(&machine, std::iter::empty()), (false, DIRECTORIES));
        }
        fs::write(path(7).join("mail.log"), "").unwrap();
        assert!((0..4).any(|_| directories.have_changed(&machine, std::iter::empty()).0));
        // A directory that is known to be lively is asked in each turn.
        assert_eq!(directories.have_changed(&machine, [&*path(7)].into_iter()), (true, DIRECTORIES + 1));
        directories.clear();
        assert_eq!(directories.note(&machine, &path(1000)), None);
        fs::create_dir(path(1000)).unwrap();
        assert_eq!(directories.have_changed(&machine, std::iter::empty()), (true, 1));
    }
}
