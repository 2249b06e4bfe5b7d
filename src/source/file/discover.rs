//! Discovery of files: which exist, which of them are known, and where the known ones are now.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::content::{ChangeStamp, TICK, head, holds, is_gzip};
use super::cursor::{CursorEntry, FileIdentity, Fingerprint};
use super::follow::{Followed, Place};
use super::links::PathStatus;
use super::name::{generation, is_rotated, log_of, same_log};
use super::system::{Listed, System};
use super::{Follower, Round, glob, help};

/// Maximum number of vanished files that are remembered.
const REMEMBERED: usize = 1000;
/// How long a vanished file is looked for in its directory.
const SEARCH: Duration = Duration::from_secs(60);

const OWN: &str = "Postrider's own standard output or error goes to this file; not following it, because each line would come \
                   back; exclude it from `paths`";
const NO_FILE: &str = "Postrider cannot follow a FIFO, a socket or a device; name a regular file; retrying";

/// A file that a configured path leads to.
pub(super) struct Match {
    pub(super) path: PathBuf,
    /// The configured path of the file before it was rotated; usually the same as `path`.
    pub(super) home: PathBuf,
    pub(super) identity: FileIdentity,
    pub(super) stamp: ChangeStamp,
}

impl Match {
    fn new(path: PathBuf, home: PathBuf, status: PathStatus) -> Self {
        Self { path, home, identity: status.identity, stamp: status.stamp }
    }

    /// Returns true if it may be a compressed file that is just being written: the original is still beside it.
    pub(super) fn is_being_made(&self, system: &dyn System) -> bool {
        is_gzip(&self.path) && self.stamp.is_young(system.time()) && system.exists(&self.path.with_extension(""))
    }
}

impl Follower {
    /// Looks for files if a round is due at `now`, otherwise only checks whether something has changed. Returns the
    /// number of files and directories that were looked at.
    pub(super) fn look_around(&mut self, now: Instant) -> usize {
        let (files, time) = (&self.files, self.system.now());
        self.awake.retain(|index| files[*index].is_awake(time));
        let lively = self.awake.iter().map(|index| &self.files[*index]);
        let parents = lively.filter_map(|file| file.location().and_then(Path::parent));
        let (changed, asked) = self.directories.have_changed(&*self.system, parents);
        let looked = if self.rounds.is_due(now, changed) {
            let looked = self.look();
            self.rounds.done(now, looked);
            looked
        } else {
            self.look_at_closed()
        };
        asked + looked
    }

    /// Looks up the files that are closed and still awake. Returns the number of paths that were looked at.
    fn look_at_closed(&mut self) -> usize {
        for index in &self.awake {
            let file = &mut self.files[*index];
            if file.is_open() {
                continue;
            }
            let stamp = file.location().and_then(|path| stamp_of(&*self.system, path, file.entry.identity));
            file.seen = stamp.or(file.seen);
        }
        self.system.end_look()
    }

    /// Looks for all files once. Returns the number of paths that were looked at.
    pub(super) fn look(&mut self) -> usize {
        let (now, since) = (self.system.time(), self.since);
        self.rounds.begin();
        self.directories.clear();
        let matches = self.matches();
        self.locate(&matches);
        let round = std::mem::replace(&mut self.next_round, Round::Later);
        let is_first = matches!(round, Round::First { .. });
        let mut all = self.overlooked();
        all.extend(matches);
        self.part_with_others(&all, is_first);
        self.files.iter_mut().for_each(|file| file.recognize(&*self.system));
        self.search();
        if !self.copies.is_empty() {
            let here: HashSet<FileIdentity> = all.iter().map(|found| found.identity).collect();
            self.copies.retain(|identity, _| here.contains(identity));
        }
        let mut known: HashSet<FileIdentity> = self.files.iter().map(|file| file.entry.identity).collect();
        all.retain(|found| known.insert(found.identity));
        sort_by_age(&mut all);
        // It goes back while something remains to be begun.
        if self.begin_all(all, round) && self.since == since {
            self.since = now.checked_sub(TICK).unwrap_or(now);
        }
        if is_first {
            self.chain();
        }
        self.forget();
        let now = self.system.now();
        self.awake = (0..self.files.len()).filter(|index| self.files[*index].is_awake(now)).collect();
        self.system.end_look()
    }

    /// Makes each file of a log that is listed in the cursor wait for the file before it, if that one is not read to
    /// its end.
    fn chain(&mut self) {
        let mut last = HashMap::new();
        for file in &mut self.files {
            let behind = file.is_behind();
            let log = log_of(&file.entry.path);
            file.after = file.after.or_else(|| last.get(&log).copied());
            if behind {
                last.insert(log, file.serial);
            }
        }
    }

    /// Returns every regular file that the configuration names.
    fn matches(&mut self) -> Vec<Match> {
        let mut matches = Vec::new();
        for pattern in self.config.paths.clone() {
            let mut paths = Vec::new();
            let mut errors = Vec::new();
            let (directories, system) = (&mut self.directories, &*self.system);
            let mut note = |directory: &Path| _ = directories.note(system, directory);
            glob::expand(system, &pattern, &mut paths, &mut note, &mut |path, error| {
                errors.push((path.to_owned(), format!("{error}{}", help(error))));
            });
            for path in paths {
                match self.system.status(&path) {
                    Ok(status) if status.is_file && self.own.contains(&status.identity) => {
                        errors.push((path, OWN.to_owned()));
                    }
                    Ok(status) if status.is_file => matches.push(Match::new(path.clone(), path, status)),
                    Ok(status) if path == pattern && status.is_directory => {
                        errors.push((
                            path,
                            format!("not a file, but a directory{}", help(&io::ErrorKind::IsADirectory.into())),
                        ));
                    }
                    Ok(_) if path == pattern => errors.push((path, NO_FILE.to_owned())),
                    // A glob names files only, so anything else is ignored. A missing file may appear later.
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => errors.push((path, format!("{error}{}", help(&error)))),
                }
            }
            for (path, what) in errors {
                self.complain(&path, &what);
            }
        }
        matches
    }

    /// Updates where the known files are.
    fn locate(&mut self, matches: &[Match]) {
        let mut places: HashMap<FileIdentity, &Match> = HashMap::with_capacity(matches.len());
        // If a file has several names, the known one is used.
        let homes: HashMap<FileIdentity, &Path> =
            self.files.iter().map(|file| (file.entry.identity, file.entry.path.as_path())).collect();
        for found in matches {
            let is_home = homes.get(&found.identity).is_some_and(|home| home.as_os_str() == found.path.as_os_str());
            let place = places.entry(found.identity).or_insert(found);
            if is_home {
                *place = found;
            }
        }
        for file in &mut self.files {
            if let Some(found) = places.get(&file.entry.identity) {
                file.found(&found.path, found.stamp);
            } else if let Some(stamp) =
                file.location().and_then(|path| stamp_of(&*self.system, path, file.entry.identity))
            {
                // The file is not among the matches, but still where it was found before.
                file.seen = Some(stamp);
            } else if !file.is_gone() {
                file.place = Place::Gone { since: self.system.now() };
            }
        }
    }

    /// Detaches files whose path has different content now, so that this content is begun together with all new files,
    /// in the order of age. Open files are also compared when they are read, but that is too late if their log has a
    /// new file. A file of which nothing was ever read also counts as new: it may have been empty, and rotated since.
    fn part_with_others(&mut self, all: &[Match], is_first: bool) {
        let known: HashSet<FileIdentity> = self.files.iter().map(|file| file.entry.identity).collect();
        let new = all.iter().filter(|found| !known.contains(&found.identity));
        let new: HashSet<_> = new.map(|found| log_of(&found.path)).collect();
        let here: HashSet<FileIdentity> = all.iter().map(|found| found.identity).collect();
        self.files.retain(|file| {
            let may_be_new = match file.place {
                Place::Home => is_first || new.contains(&log_of(&file.entry.path)),
                Place::Gone { .. } => is_first && here.contains(&file.entry.identity),
                Place::Elsewhere(_) => false,
            };
            !(may_be_new && file.is_unread())
        });
        for index in 0..self.files.len() {
            let file = &mut self.files[index];
            let is_another = if file.is_open() {
                new.contains(&log_of(&file.entry.path)) && file.is_cut()
            } else {
                file.is_another(&*self.system)
            };
            if is_another {
                self.replaced(index);
            }
        }
    }

    /// Returns the files that appeared and were rotated away since the last look, or while Postrider was down, to names
    /// that no configured path leads to.
    fn overlooked(&mut self) -> Vec<Match> {
        let mut recent: HashMap<&OsStr, bool> = HashMap::new();
        let mut last: Option<(&OsStr, bool)> = None;
        let mut homes: HashMap<&[u8], HashSet<&Path>> = HashMap::new();
        let literal = self.config.paths.iter().map(PathBuf::as_path);
        for home in literal.chain(self.files.iter().map(|file| file.entry.path.as_path())) {
            let Some(directory) = home.parent().map(Path::as_os_str) else { continue };
            if last.is_none_or(|(last, _)| last != directory) {
                let (directories, system) = (&mut self.directories, &*self.system);
                let is_recent =
                    || directories.note(system, directory.as_ref()).is_some_and(|modified| modified >= self.since);
                last = Some((directory, *recent.entry(directory).or_insert_with(is_recent)));
            }
            if last.is_some_and(|(_, is_recent)| is_recent) {
                homes.entry(log_of(home)).or_default().insert(home);
            }
        }
        let mut found = Vec::new();
        for (directory, _) in recent.into_iter().filter(|(_, is_recent)| *is_recent) {
            for Listed { path, .. } in self.system.list(directory.as_ref()).into_iter().flatten() {
                let of_log = homes.get(log_of(&path)).into_iter().flatten();
                let Some(home) = of_log.copied().find(|home| is_rotated(&path, home)) else { continue };
                if let Ok(status) = self.system.status(&path)
                    && status.is_file
                    && !self.own.contains(&status.identity)
                    && status.stamp.modified.is_some_and(|modified| modified >= self.since)
                {
                    found.push(Match::new(path, home.to_path_buf(), status));
                }
            }
        }
        found
    }

    /// Looks for vanished files in their directories: a rotation gives them a name that may match no glob.
    fn search(&mut self) {
        let now = self.system.now();
        let mut index = 0;
        while index < self.files.len() {
            let file = &self.files[index];
            if !file.entry.done && file.lost_for(now).is_some_and(|time| time < SEARCH) {
                self.rounds.make_urgent();
                self.search_for(index);
            }
            index += 1;
        }
    }

    fn search_for(&mut self, index: usize) {
        let CursorEntry { path: home, identity, fingerprint, .. } = self.files[index].entry.clone();
        let entries = home.parent().and_then(|directory| self.system.list(directory).ok());
        for Listed { path, inode } in entries.into_iter().flatten() {
            let by_inode = inode == identity.ino;
            let (print, log) = (!fingerprint.is_empty(), same_log(&path, &home));
            if !(by_inode && (print || log) || print && log) {
                continue;
            }
            let Ok(status) = self.system.status(&path) else { continue };
            let found = Match::new(path, home.clone(), status);
            let known = self.files.iter().any(|file| file.entry.identity == found.identity);
            if !status.is_file || (known && found.identity != identity) {
                continue;
            }
            let head = match head(&*self.system, &found.path) {
                Ok(head) => head,
                // It is there, but cannot be read. Its content is compared when it can.
                Err(error) if error.kind() != io::ErrorKind::NotFound && by_inode && log => {
                    self.files[index].found(&found.path, found.stamp);
                    return;
                }
                Err(_) => continue,
            };
            let file = &mut self.files[index];
            match holds(&*self.system, &found.path, &file.entry) {
                Ok(is_held) if is_held && fingerprint.begins(&head.bytes) => {
                    self.adopt(index, &found);
                    return;
                }
                // It was cut and written anew before it was rotated away: a new file, which the next look begins.
                Ok(_) if found.identity == identity && !is_gzip(&found.path) => {
                    file.entry.identity = FileIdentity::default();
                    self.look_back(&found.path, found.stamp.modified);
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Forgets the oldest vanished files if there are too many.
    fn forget(&mut self) {
        let mut gone = self.files.iter().filter(|file| file.is_lost()).count();
        self.files.retain(|file| {
            let forget = gone > REMEMBERED && file.is_lost();
            gone -= usize::from(forget);
            !forget
        });
    }
}

impl Followed {
    /// Returns true if a file that is not open has different content than before: its inode was reused for another
    /// file, or it was rewritten. Content that cannot be read counts as unchanged until it can be read.
    fn is_another(&mut self, system: &dyn System) -> bool {
        let is_at_rest = self.is_at_rest(system.now());
        if self.is_open() || is_at_rest || self.entry.fingerprint.is_empty() || self.compared == self.seen {
            return false;
        }
        let same = self.location().map(|path| is_same(system, path, &self.entry));
        if matches!(same, Some(Ok(true))) {
            self.compared = self.seen.filter(|seen| !seen.is_of_now(system.time()));
        }
        matches!(same, Some(Ok(false)))
    }

    /// Takes the fingerprint of a file that was empty or not read yet, so that a copy of it can be recognised.
    fn recognize(&mut self, system: &dyn System) {
        let has_content = self.entry.fingerprint.is_empty() && self.seen.is_some_and(|seen| seen.len > 0);
        let path = self.location().filter(|path| has_content && !is_gzip(path));
        let head = path.map(|path| head(system, path));
        if let Some(Ok(head)) = head
            && head.identity == self.entry.identity
        {
            self.entry.fingerprint = Fingerprint::of(&head.bytes);
        }
    }

    pub(super) fn found(&mut self, path: &Path, stamp: ChangeStamp) {
        if self.entry.fingerprint.is_empty() && !same_log(path, &self.entry.path) {
            // Nothing was ever read of it, so it is a new file with a reused inode.
            self.entry =
                CursorEntry { path: path.to_owned(), offset: 0, lines_from: 0, joined: 0, ..self.entry.clone() };
        }
        let is_home = path.as_os_str() == self.entry.path.as_os_str();
        self.place = if is_home { Place::Home } else { Place::Elsewhere(path.to_owned()) };
        self.seen = Some(stamp);
    }
}

/// Returns true if the file at `path` has the content that `entry` describes: at its beginning and, unless it is
/// compressed, before the offset.
fn is_same(system: &dyn System, path: &Path, entry: &CursorEntry) -> io::Result<bool> {
    let head = head(system, path)?;
    if head.identity != entry.identity {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(entry.fingerprint.begins(&head.bytes) && (is_gzip(path) || holds(system, path, entry)?))
}

/// Sorts the oldest first, by the time of the last change. That time has the resolution of a tick, or of a second if
/// the file was restored. If the times are equal, the names decide.
fn sort_by_age(all: &mut [Match]) {
    all.sort_by_cached_key(|found| (found.stamp.modified, generation(&found.path)));
}

/// Returns the stamp of the file at `path`, if its identity is `identity`.
fn stamp_of(system: &dyn System, path: &Path, identity: FileIdentity) -> Option<ChangeStamp> {
    let status = system.status(path).ok()?;
    (status.identity == identity).then_some(status.stamp)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_oldest_comes_first() {
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        // The name and the time of the last change, of each log from its oldest file to its newest.
        let logs: [&[(&str, u64)]; 5] = [
            // The time counts, whatever the names say.
            &[("mail.log.1", 5), ("mail.log.2", 7), ("mail.log", 9)],
            &[("mail.log.11.gz", 5), ("mail.log.10.gz", 5), ("mail.log.9.gz", 5), ("mail.log.1", 5), ("mail.log", 5)],
            &[("mail.log-20261123.gz", 5), ("mail.log-20261124.gz", 5), ("mail.log-20261125", 5), ("mail.log", 5)],
            &[("mail.log-2026112423", 5), ("mail.log-2026112500", 5), ("mail.log", 5)],
            &[("mail1.10", 5), ("mail1.9", 5), ("mail1", 5)],
        ];
        for log in logs {
            let found = |&(name, modified): &(&str, u64)| Match {
                path: Path::new("/var/log").join(name),
                home: PathBuf::new(),
                identity: FileIdentity::default(),
                stamp: ChangeStamp { len: 0, modified: Some(at(modified)) },
            };
            let mut all: Vec<Match> = log.iter().rev().map(found).collect();
            sort_by_age(&mut all);
            let sorted: Vec<_> = all.iter().map(|found| found.path.file_name().unwrap().to_str().unwrap()).collect();
            assert_eq!(sorted, log.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
        }
    }
}
