//! The turns of the files: each reads once, as far as there are descriptors.

use std::collections::HashSet;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use super::follow::{Action, Outside, TurnResult};
use super::{Follower, help};
use crate::config::FollowConfig;

/// The number of open files.
#[derive(Default)]
pub(super) struct OpenFiles(Rc<()>);

/// One open file, which is counted until this value is dropped.
pub(super) struct Slot {
    _count: Rc<()>,
}

impl OpenFiles {
    pub(super) fn count(&self) -> usize {
        Rc::strong_count(&self.0) - 1
    }

    /// Counts one more open file.
    pub(super) fn slot(&self) -> Slot {
        Slot { _count: Rc::clone(&self.0) }
    }
}

impl Follower {
    /// Gives each file one turn. Returns true if there is a reason to give them another one at once.
    pub(super) fn read(&mut self) -> bool {
        let now = self.system.now();
        if self.awake.iter().all(|index| self.files[*index].is_at_rest(now)) {
            return false;
        }
        let awake = std::mem::take(&mut self.awake);
        let any = self.read_each(&awake);
        self.awake = awake;
        any
    }

    fn read_each(&mut self, awake: &[usize]) -> bool {
        let most = FollowConfig::OPEN_FILES.min(self.intake.descriptors().files());
        // Files that are not awake are finished.
        let (files, now) = (awake.iter().map(|index| &self.files[*index]), self.system.now());
        let unfinished: HashSet<u64> = files.filter(|file| !file.is_finished(now)).map(|file| file.serial).collect();
        self.note_superseded(awake);
        let (mut any, mut without_room) = (false, 0);
        for &index in awake {
            if self.intake.stop().is_cancelled() {
                break;
            }
            let (file, now) = (&mut self.files[index], self.system.now());
            file.after = file.after.filter(|after| unfinished.contains(after));
            let (serial, waits) = (file.serial, file.after.is_some());
            match file.next(now) {
                Action::Rest | Action::BackOff | Action::Wait => continue,
                Action::Read | Action::FinishLine => {}
                // At most half of the open files may be waiting for another file, so that there is always room to read.
                Action::Open if waits && self.open_files.count() >= most / 2 => continue,
                Action::Open if self.open_files.count() < most || self.make_room() => {}
                Action::Open => {
                    without_room += 1;
                    continue;
                }
            }
            any |= self.take_turn(index);
            any |= unfinished.contains(&serial) && self.files[index].is_finished(now);
        }
        if without_room > 0 {
            let what = format!(
                "{most} files are open and being read: {without_room} others wait until one of these is at its end"
            );
            self.complain(&self.config.paths[0].clone(), &what);
        }
        any
    }

    /// Gives the file at `index` its turn. Returns true if there is a reason to give it another one at once.
    fn take_turn(&mut self, index: usize) -> bool {
        let outside = Outside { system: &*self.system, hand: &*self.hand, open_files: &self.open_files };
        match self.files[index].turn(outside) {
            Ok(TurnResult::Idle) => return false,
            Ok(TurnResult::Read) => return true,
            Ok(TurnResult::Replaced) => {
                self.replaced(index);
                return true;
            }
            Ok(TurnResult::Damaged(error)) => self.damaged(index, &error),
            Err(error) => self.unreadable(index, &error),
        }
        false
    }

    /// Marks the files whose successor in the log was rotated away itself.
    fn note_superseded(&mut self, awake: &[usize]) {
        let files = || awake.iter().map(|index| &self.files[*index]);
        let waited_for: HashSet<u64> = files().filter_map(|file| file.after).collect();
        let newer = files().filter(|file| waited_for.contains(&file.serial));
        let superseded: HashSet<u64> = newer.filter_map(|file| file.after).collect();
        for index in awake {
            let file = &mut self.files[*index];
            file.superseded = superseded.contains(&file.serial);
        }
    }

    /// Closes the file that was silent for the longest time. Returns false if no file can be closed, as when none is at
    /// its end.
    fn make_room(&mut self) -> bool {
        let mut open: Vec<usize> = (0..self.files.len()).filter(|index| self.files[*index].is_open()).collect();
        open.sort_by_key(|index| self.files[*index].grown);
        open.into_iter().any(|index| self.files[index].close())
    }

    fn damaged(&mut self, index: usize, error: &io::Error) {
        let file = &self.files[index];
        let path = file.location().unwrap_or(&file.entry.path);
        self.intake.ledger().errors.fetch_add(1, Relaxed);
        tracing::error!(
            source = self.intake.name(),
            path = %path.display(),
            %error,
            "the compressed file is damaged; Postrider has read it up to the damage, and skips the rest until the file changes"
        );
        self.changed = true;
    }

    fn unreadable(&mut self, index: usize, error: &io::Error) {
        let path = self.files[index].location().unwrap_or(&self.files[index].entry.path).to_owned();
        // A file that is not found was renamed since it was looked up. The next look finds it.
        let now = self.system.now();
        self.files[index].back_off(error.kind() != io::ErrorKind::NotFound, now);
        if error.kind() != io::ErrorKind::NotFound {
            self.complain(&path, &format!("{error}{}", help(error)));
        }
    }
}
