//! Files that are not known yet: how they relate to the known files, and where reading them begins.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::content::{Head, head, holds, is_gzip, last_line};
use super::cursor::{CursorEntry, Fingerprint};
use super::discover::Match;
use super::follow::Followed;
use super::name::{is_rotated, log_of, same_log};
use super::{Follower, Round, help};

/// Maximum number of files that are followed and remembered.
const FILES: usize = 10_000;

/// The indices of the known files, in order, by the logs that they are or were in.
#[derive(Default)]
struct Logs(HashMap<Vec<u8>, Vec<usize>>);

/// The relation of an unknown file to the known ones.
enum Relation {
    None,
    /// The file is the vanished one at this index.
    Is(usize),
    /// The file is a copy of the one with this serial, which has not been cut or removed yet.
    CopyOf(u64),
    /// The file may still be being written; the next look decides.
    Undecided,
}

/// The result of beginning a file.
enum Begun {
    Done,
    /// The file may still be being written; the next look decides.
    Later,
}

impl Follower {
    /// Begins the unknown files, the oldest first. Returns false if one of them cannot be begun yet. It may be rotated
    /// away before the next look, which then has to find it by the time of its last change.
    pub(super) fn begin_all(&mut self, all: Vec<Match>, round: Round) -> bool {
        if all.is_empty() {
            return true;
        }
        let mut logs = Logs::default();
        for (index, file) in self.files.iter().enumerate() {
            logs.add(index, file);
        }
        let (mut beyond, mut is_complete) = (0, true);
        for found in all {
            if self.files.len() >= FILES {
                beyond += 1;
                continue;
            }
            match self.begin(&found, round, &mut logs) {
                Ok(Begun::Done) => continue,
                Ok(Begun::Later) => self.rounds.make_urgent(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.complain(&found.path, &format!("{error}{}", help(&error))),
            }
            is_complete = false;
        }
        if beyond > 0 {
            let what = format!(
                "the source follows its maximum of {FILES} files and ignores {beyond} more; name fewer files in `paths`"
            );
            self.complain(&self.config.paths[0].clone(), &what);
        }
        is_complete
    }

    /// Continues the vanished file at `index` as `found`, which has another name and may be a copy.
    pub(super) fn adopt(&mut self, index: usize, found: &Match) {
        let file = &self.files[index];
        tracing::info!(
            source = self.intake.name(),
            path = %file.entry.path.display(),
            found = %found.path.display(),
            offset = file.entry.offset,
            bytes = found.stamp.len.saturating_sub(file.entry.offset),
            "found the rotated file; resuming at the cursor"
        );
        let entry = CursorEntry { identity: found.identity, done: false, ..file.entry.clone() };
        let mut adopted = Followed::new(entry, file.serial, self.intake.max_frame_size(), self.system.now());
        adopted.after = file.after;
        adopted.found(&found.path, found.stamp);
        self.files[index] = adopted;
        self.changed = true;
    }

    /// Begins an unknown file.
    fn begin(&mut self, found: &Match, round: Round, logs: &mut Logs) -> io::Result<Begun> {
        let (now, skip) = (self.system.time(), matches!(round, Round::First { skip: true }));
        if self.is_known_copy(found) {
            return Ok(Begun::Done);
        }
        // At the first look, a file that is being written counts as existing, too.
        if found.is_being_made(&*self.system) && !skip {
            return Ok(Begun::Later);
        }
        let head = match head(&*self.system, &found.path) {
            // A file that cannot be read yet is begun at its present end, like every other existing file.
            Err(_) if skip => {
                let identity = found.identity;
                Head { identity, bytes: Vec::new(), is_torn: false }
            }
            head => head?,
        };
        if head.identity != found.identity {
            return Err(io::ErrorKind::NotFound.into());
        }
        if head.is_torn && head.bytes.is_empty() && found.stamp.is_young(now) && !skip {
            return Ok(Begun::Later);
        }
        match self.relation(found, &head, logs) {
            Relation::Is(index) => {
                self.adopt(index, found);
                return Ok(Begun::Done);
            }
            Relation::CopyOf(serial) => {
                self.copies.insert(found.identity, (found.stamp, serial));
                return Ok(Begun::Done);
            }
            Relation::Undecided => {
                return Ok(Begun::Later);
            }
            Relation::None => {}
        }
        let (path, fingerprint) = (found.home.clone(), Fingerprint::of(&head.bytes));
        let (identity, mark) = (head.identity, Fingerprint::default());
        let mut entry =
            CursorEntry { path, identity, fingerprint, offset: 0, mark, done: false, lines_from: 0, joined: 0 };
        if skip && is_gzip(&found.path) {
            entry.done = true;
        } else if skip {
            let end = last_line(&*self.system, &found.path, self.intake.max_frame_size());
            (entry.offset, entry.mark) = end.unwrap_or((found.stamp.len, mark));
            (entry.lines_from, entry.joined) = (entry.offset, entry.offset);
        }
        let serial = self.next_serial();
        let mut file = Followed::new(entry, serial, self.intake.max_frame_size(), self.system.now());
        file.found(&found.path, found.stamp);
        let of_log = logs.of(&found.path).iter().map(|index| &self.files[*index]);
        file.after = of_log.rev().find(|file| same_log(&file.entry.path, &found.path)).map(|file| file.serial);
        logs.add(self.files.len(), &file);
        self.files.push(file);
        self.changed = true;
        Ok(Begun::Done)
    }

    /// Returns true if the file is unchanged since it was recognised as a copy of a file that is still being read.
    fn is_known_copy(&self, found: &Match) -> bool {
        let Some((stamp, serial)) = self.copies.get(&found.identity) else { return false };
        *stamp == found.stamp && self.files.iter().any(|file| file.serial == *serial && !file.is_lost())
    }

    /// Returns the relation of an unknown file to the known ones.
    fn relation(&self, found: &Match, head: &Head, logs: &Logs) -> Relation {
        let now = self.system.time();
        for &index in logs.of(&found.path) {
            let file = &self.files[index];
            let CursorEntry { path: home, fingerprint, offset, .. } = &file.entry;
            let at = file.location().unwrap_or(home);
            let is_lost = file.is_lost();
            let is_archive = is_gzip(&found.path) && same_log(home, &found.path);
            let is_copy = is_archive || is_rotated(&found.path, home) || is_rotated(&found.path, at);
            if !(is_copy || is_lost && same_log(home, &found.path)) {
                continue;
            }
            // It may be a copy that is still empty.
            if head.bytes.is_empty() && is_copy && !is_lost && found.stamp.is_young(now) && !fingerprint.is_empty() {
                return Relation::Undecided;
            }
            if fingerprint.is_empty() || !fingerprint.begins(&head.bytes) {
                continue;
            }
            // The file may have been written since the known file was last read, and so contain more.
            match holds(&*self.system, &found.path, &file.entry) {
                Ok(true) if is_lost => return Relation::Is(index),
                Ok(true) => return Relation::CopyOf(file.serial),
                Ok(false) if is_gzip(&found.path) || found.stamp.len >= *offset || !found.stamp.is_young(now) => {}
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof || !found.stamp.is_young(now) => {}
                // No copy is made to the path of the log itself.
                Ok(false) | Err(_) if !is_copy => {}
                Ok(false) | Err(_) => return Relation::Undecided,
            }
        }
        Relation::None
    }
}

impl Logs {
    fn add(&mut self, index: usize, file: &Followed) {
        let home = log_of(&file.entry.path);
        self.0.entry(home.to_owned()).or_default().push(index);
        if let Some(log) = file.location().map(log_of).filter(|log| *log != home) {
            self.0.entry(log.to_owned()).or_default().push(index);
        }
    }

    fn of(&self, path: &Path) -> &[usize] {
        self.0.get(log_of(path)).map_or(&[], Vec::as_slice)
    }
}
